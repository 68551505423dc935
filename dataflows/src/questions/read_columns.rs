//! Which columns of the cleaned tables the questions of a run read.

use pinflow_sql::catalog::POSTS;
use pinflow_sql::expr::ScalarExpr;

use crate::general::{extra_exprs_of, held_columns};
use crate::options::DuplicatePolicy;
use crate::record::Stream;

use super::{Question, QuestionPath, QuestionSet};

/// The columns of the tables that are read besides `ind`, by stream. No row is read of a stream without an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadColumns([Option<Vec<&'static str>>; Stream::ALL.len()]);

impl ReadColumns {
    /// The columns that the graph holds of every row.
    #[must_use]
    pub fn held() -> ReadColumns {
        ReadColumns([0, 1, 2].map(|relation| Some(held_columns(relation).collect())))
    }

    /// The columns that are needed to rebuild the answers of a set of questions: those that the graph holds of every row,
    /// and those that the questions read besides.
    #[must_use]
    pub fn of_questions(questions: &QuestionSet) -> ReadColumns {
        let mut columns = ReadColumns::held();
        for (_, question) in questions.iter() {
            for (relation, expr) in extra_exprs(question) {
                columns.add_columns_of(relation, expr);
            }
        }
        columns
    }

    /// Adds the columns that an expression over a relation reads.
    fn add_columns_of(&mut self, relation: usize, expr: &ScalarExpr) {
        let columns = self.0[relation].get_or_insert_default();
        expr.for_each_column(&mut |column| {
            let name = POSTS.relations[relation].columns[column].name;
            if column != POSTS.relations[relation].key && !columns.contains(&name) {
                columns.push(name);
            }
        });
    }

    /// What has to be read from the tables before the answer of a question that is added to a running graph can be
    /// complete. `None` if the graph has all that it needs.
    ///
    /// With `duplicates = "latest"` these are the columns that the graph does not hold for the questions `held`. With
    /// `"keep"` they are all columns of the question.
    #[must_use]
    pub fn to_fill(duplicates: DuplicatePolicy, held: &QuestionSet, added: &Question) -> Option<ReadColumns> {
        let program = added.general_program();
        let mut columns = ReadColumns::default();
        match duplicates {
            DuplicatePolicy::Latest => {
                let known: Vec<_> = held.iter().flat_map(|(_, question)| extra_exprs(question)).collect();
                for (relation, expr) in extra_exprs_of(&program).filter(|expr| !known.contains(expr)) {
                    columns.add_columns_of(relation, expr);
                }
                (columns != ReadColumns::default()).then_some(columns)
            }
            DuplicatePolicy::Keep => {
                for scan in &program.scans {
                    columns.0[scan.relation].get_or_insert_default();
                    scan.columns.iter().for_each(|expr| columns.add_columns_of(scan.relation, expr));
                }
                Some(columns)
            }
        }
    }

    /// The columns of a stream, by name. `None` if none of its rows is read.
    #[must_use]
    pub fn of_stream(&self, stream: Stream) -> Option<&[&'static str]> {
        self.0[stream as usize].as_deref()
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
    fn no_other_columns_are_read_than_those_that_are_needed() {
        let options = GraphOptions::default();
        let sql = "SELECT length(title) AS letters, country, month(timestamp) AS month, count(*) AS posts \
                   FROM pin JOIN geo USING (ind) WHERE follower_count > 3 GROUP BY 1, 2, 3";
        let name = "mine".parse().expect("a name");
        let question = Question::compile(name, sql, options, QuestionOrigin::Configured).expect("compiles");
        let built_in = QuestionSet::built_in(options);
        let of_streams = |columns: &ReadColumns| {
            Stream::ALL.map(|stream| columns.of_stream(stream).map(|columns| columns.join(",")))
        };
        let some = |columns: &str| Some(columns.to_owned());
        let held =
            [some("follower_count,poster_name,category"), some("country,timestamp"), some("user_name,age,date_joined")];
        assert_eq!(of_streams(&ReadColumns::of_questions(&built_in)), held);
        let to_fill = |duplicates| ReadColumns::to_fill(duplicates, &built_in, &question).expect("it reads the tables");
        assert_eq!(of_streams(&to_fill(DuplicatePolicy::Latest)), [some("title"), some("timestamp"), None]);
        let kept = [some("title,follower_count"), some("country,timestamp"), None];
        assert_eq!(of_streams(&to_fill(DuplicatePolicy::Keep)).map(sorted), kept.map(sorted));
        let (set, _) = built_in.with_question(question.clone()).expect("another name");
        assert_eq!(ReadColumns::to_fill(DuplicatePolicy::Latest, &set, &question), None);
        let all = [some("follower_count,poster_name,category,title"), held[1].clone(), held[2].clone()];
        assert_eq!(of_streams(&ReadColumns::of_questions(&set)), all);
    }

    fn sorted(names: Option<String>) -> Option<Vec<String>> {
        let mut names: Vec<_> = names?.split(',').map(str::to_owned).collect();
        names.sort();
        Some(names)
    }
}
