//! The questions of a run at one moment.

use std::sync::Arc;

use super::{BUILT_IN, Question, QuestionId, QuestionName, built_in_questions};
use crate::options::GraphOptions;

/// The questions of a run at one moment, in the order in which they were added. A clone shares them.
///
/// A set never changes. Adding or removing a question makes another set. Ids are not reused: a set knows the ids of the
/// questions that were removed from those it was made of.
#[derive(Debug, Clone, Default)]
pub struct QuestionSet {
    /// By ascending id.
    questions: Arc<[(QuestionId, Arc<Question>)]>,
    next_id: u32,
}

/// There is a question of this name, in this or another case, already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is a question named {0:?} already; names must differ in more than case")]
pub struct DuplicateQuestion(pub String);

impl QuestionSet {
    /// The questions that are part of the program, with these options, in the order of their names.
    #[must_use]
    pub fn built_in(options: GraphOptions) -> QuestionSet {
        let questions: Arc<[_]> = (0..).map(QuestionId::new).zip(built_in_questions(options).map(Arc::new)).collect();
        QuestionSet { questions, next_id: BUILT_IN.len() as u32 }
    }

    /// The set of one question, and its id.
    pub(crate) fn of_one(question: Question) -> (QuestionSet, QuestionId) {
        let id = QuestionId::new(0);
        (QuestionSet { questions: Arc::new([(id, Arc::new(question))]), next_id: 1 }, id)
    }

    /// The set with one more question, and its id.
    ///
    /// # Errors
    /// [`DuplicateQuestion`] if there is one of this name, in this or another case.
    pub fn with_question(&self, question: Question) -> Result<(QuestionSet, QuestionId), DuplicateQuestion> {
        let (set, id) = self.with_reserved_id();
        Ok((set.with_reserved_question(id, Arc::new(question))?, id))
    }

    /// The same questions, and an id that no other question will get.
    #[must_use]
    pub fn with_reserved_id(&self) -> (QuestionSet, QuestionId) {
        (
            QuestionSet { questions: Arc::clone(&self.questions), next_id: self.next_id + 1 },
            QuestionId::new(self.next_id),
        )
    }

    /// The set with a question for which `id` was reserved.
    ///
    /// # Errors
    /// As [`QuestionSet::with_question`].
    pub fn with_reserved_question(
        &self,
        id: QuestionId,
        question: Arc<Question>,
    ) -> Result<QuestionSet, DuplicateQuestion> {
        self.check_name(&question.name)?;
        let (before, after) = self.questions.split_at(self.questions.partition_point(|(other, _)| *other < id));
        let questions = [before, &[(id, question)], after].concat().into();
        Ok(QuestionSet { questions, next_id: self.next_id.max(id.number() + 1) })
    }

    /// Names that differ only in case would share a folder on some file systems, so they count as equal.
    fn check_name(&self, name: &QuestionName) -> Result<(), DuplicateQuestion> {
        match self.iter().find(|(_, other)| other.name.eq_ignore_ascii_case(name)) {
            Some((_, other)) => Err(DuplicateQuestion(other.name.to_string())),
            None => Ok(()),
        }
    }

    /// The set without a question.
    #[must_use]
    pub fn without_question(&self, id: QuestionId) -> QuestionSet {
        let questions = self.questions.iter().filter(|(other, _)| *other != id).cloned().collect();
        QuestionSet { questions, next_id: self.next_id }
    }

    /// The questions with their ids, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (QuestionId, &Arc<Question>)> {
        self.questions.iter().map(|(id, question)| (*id, question))
    }

    /// The number of questions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Whether there are no questions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The question with this id.
    #[must_use]
    pub fn get(&self, id: QuestionId) -> Option<&Arc<Question>> {
        self.index_of(id).map(|index| &self.questions[index].1)
    }

    /// The position of the question with this id in the order.
    #[must_use]
    pub fn index_of(&self, id: QuestionId) -> Option<usize> {
        self.questions.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    /// The question of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(QuestionId, &Arc<Question>)> {
        self.iter().find(|(_, question)| question.name == *name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &QuestionName> {
        self.questions.iter().map(|(_, question)| &question.name)
    }

    /// Whether both sets have the same ids. Sets of one run are then equal, because ids are not reused.
    #[must_use]
    pub fn has_same_ids(&self, other: &QuestionSet) -> bool {
        Arc::ptr_eq(&self.questions, &other.questions)
            || self.iter().map(|(id, _)| id).eq(other.iter().map(|(id, _)| id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(name: &str) -> Question {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, question) = built_in.iter().next().expect("there are built-in questions");
        Question { name: QuestionName::parse(name).expect(name), ..Question::clone(question) }
    }

    #[test]
    fn built_in_questions_are_numbered_from_zero_in_the_order_of_their_names() {
        let set = QuestionSet::built_in(GraphOptions::default());
        let ids: Vec<_> = set.iter().map(|(id, _)| id.number()).collect();
        assert_eq!(ids, (0..11).collect::<Vec<_>>());
        assert!(set.names().is_sorted());
        for (id, question) in set.iter() {
            let (found, named) = set.find(&question.name).expect("is there");
            assert!(found == id && Arc::ptr_eq(named, question));
        }
    }

    #[test]
    fn id_of_a_removed_question_is_not_reused() {
        let (set, first) =
            QuestionSet::built_in(GraphOptions::default()).with_question(renamed("mine")).expect("is new");
        let (set, second) = set.without_question(first).with_question(renamed("mine")).expect("is new again");
        assert_eq!((first.number(), second.number()), (11, 12));
        assert!(set.get(first).is_none() && set.get(second).is_some());
        assert_eq!((set.index_of(first), set.index_of(second), set.len()), (None, Some(11), 12));
        assert!(!set.has_same_ids(&QuestionSet::built_in(GraphOptions::default())));
        assert!(set.without_question(second).has_same_ids(&QuestionSet::built_in(GraphOptions::default())));
    }

    #[test]
    fn question_with_a_reserved_id_is_listed_by_its_id() {
        let (set, first) = QuestionSet::built_in(GraphOptions::default()).with_reserved_id();
        let (set, second) = set.with_question(renamed("second")).expect("is new");
        assert!(first < second && set.get(first).is_none());
        let set = set.with_reserved_question(first, Arc::new(renamed("first"))).expect("is new");
        assert_eq!((set.index_of(first), set.index_of(second)), (Some(11), Some(12)));
        assert!(set.with_reserved_id().1 > second);
        assert!(set.with_reserved_question(QuestionId::new(99), Arc::new(renamed("FIRST"))).is_err());
    }

    #[test]
    fn second_question_of_a_name_is_refused_in_any_case() {
        let refused = QuestionSet::built_in(GraphOptions::default()).with_question(renamed("Users_Joined_By_Year"));
        assert_eq!(refused.expect_err("is there"), DuplicateQuestion("users_joined_by_year".to_owned()));
    }
}
