//! Which columns of the cleaned tables the questions of a run read.

use pinflow_sql::catalog::POSTS;
use pinflow_sql::expr::ScalarExpr;

use crate::general::extra_exprs_of;
use crate::options::DuplicatePolicy;
use crate::record::Stream;

use super::{Question, QuestionPath, QuestionSet};

/// The columns that questions read besides those that the graph holds of every row, by stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadColumns([Vec<&'static str>; Stream::ALL.len()]);

impl ReadColumns {
    /// The columns of a set of questions.
    #[must_use]
    pub fn of_questions(questions: &QuestionSet) -> ReadColumns {
        let mut columns = ReadColumns::default();
        for (_, question) in questions.iter() {
            for (relation, expr) in extra_exprs(question) {
                columns.add_columns_of(relation, expr);
            }
        }
        columns
    }

    /// Adds the columns that an expression over a relation reads.
    fn add_columns_of(&mut self, relation: usize, expr: &ScalarExpr) {
        let columns = &mut self.0[relation];
        expr.for_each_column(&mut |column| {
            let name = POSTS.relations[relation].columns[column].name;
            if !columns.contains(&name) {
                columns.push(name);
            }
        });
    }

    /// What has to be read from the tables before the answer of a question that is added to a running graph can be
    /// complete. `None` if the graph has all that it needs.
    ///
    /// With `duplicates = "latest"` these are the columns that the graph does not hold for the questions `held`. With
    /// `"keep"` every row has to be read, with these columns besides those that are held of every row.
    #[must_use]
    pub fn to_fill(duplicates: DuplicatePolicy, held: &QuestionSet, added: &Question) -> Option<ReadColumns> {
        let known: Vec<_> = match duplicates {
            DuplicatePolicy::Latest => held.iter().flat_map(|(_, question)| extra_exprs(question)).collect(),
            DuplicatePolicy::Keep => Vec::new(),
        };
        let program = added.general_program();
        let mut columns = ReadColumns::default();
        for (relation, expr) in extra_exprs_of(&program).filter(|expr| !known.contains(expr)) {
            columns.add_columns_of(relation, expr);
        }
        (duplicates == DuplicatePolicy::Keep || columns != ReadColumns::default()).then_some(columns)
    }

    /// The columns of a stream, by name.
    #[must_use]
    pub fn of_stream(&self, stream: Stream) -> &[&'static str] {
        &self.0[stream as usize]
    }
}

/// The expressions that a question reads and that are not held of every row, each with its relation.
fn extra_exprs(question: &Question) -> impl Iterator<Item = (usize, &ScalarExpr)> {
    let program = match &question.path {
        QuestionPath::Compact(_) => None,
        QuestionPath::General(program) => Some(&**program),
    };
    program.into_iter().flat_map(extra_exprs_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::GraphOptions;
    use crate::questions::{Question, QuestionOrigin};

    #[test]
    fn only_columns_that_are_not_held_are_read_besides() {
        let options = GraphOptions::default();
        let sql = "SELECT length(title) AS letters, country, month(timestamp) AS month, count(*) AS posts \
                   FROM pin JOIN geo USING (ind) WHERE follower_count > 3 GROUP BY 1, 2, 3";
        let name = "mine".parse().expect("a name");
        let question = Question::compile(name, sql, options, QuestionOrigin::Configured).expect("compiles");
        let built_in = QuestionSet::built_in(options);
        assert_eq!(ReadColumns::of_questions(&built_in), ReadColumns::default());
        let (set, _) = built_in.with_question(question).expect("another name");
        let columns = ReadColumns::of_questions(&set);
        assert_eq!(columns.of_stream(Stream::Pin), ["title"]);
        assert_eq!(columns.of_stream(Stream::Geo), ["timestamp"]);
        assert!(columns.of_stream(Stream::User).is_empty());
    }
}
