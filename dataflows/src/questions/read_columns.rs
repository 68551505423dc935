//! Which columns of the cleaned tables the questions of a run read.

use pinflow_sql::catalog::POSTS;

use crate::general::extra_columns_of;
use crate::record::Stream;

use super::{QuestionPath, QuestionSet};

/// The columns that questions read besides those that the graph holds of every row, by stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadColumns([Vec<&'static str>; Stream::ALL.len()]);

impl ReadColumns {
    /// The columns of a set of questions.
    #[must_use]
    pub fn of_questions(questions: &QuestionSet) -> ReadColumns {
        let mut columns = ReadColumns::default();
        for (_, question) in questions.iter() {
            let QuestionPath::General(program) = &question.path else { continue };
            for (relation, column) in extra_columns_of(program) {
                let name = POSTS.relations[relation].columns[column].name;
                if !columns.0[relation].contains(&name) {
                    columns.0[relation].push(name);
                }
            }
        }
        columns
    }

    /// The columns of a stream, by name.
    #[must_use]
    pub fn of_stream(&self, stream: Stream) -> &[&'static str] {
        &self.0[stream as usize]
    }
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
