//! Questions: SQL texts with the programs that maintain their answers.
//!
//! A question is one SELECT over the relations `pin`, `geo` and `user`, which hold the cleaned rows that count (the
//! latest of each `ind`, or all). The built-in ones are the files `*.sql` of this folder; they use three parameters:
//! `$ties` is `'first'` or `'all'`, `$top` is a number or null for all, `$median` is `'exact'` or `'lower'`. Other
//! questions may use them, too.

mod question_name;
mod question_set;
mod read_columns;

pub use question_name::{InvalidName, QuestionName};
pub use question_set::{DuplicateQuestion, QuestionSet};
pub use read_columns::ReadColumns;

use std::sync::Arc;

use pinflow_sql::bind::{QuestionParameters, bind_question};
use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::diagnostics::{QuestionError, QuestionProblem};
use pinflow_sql::plan::BoundQuestion;
use pinflow_sql::split::{MaintainedPlan, maintain_plan};

use crate::aggregates::RankLimit;
use crate::answer::{AnswerColumn, AnswerSchema, InvalidSchema, LiveAnswer};
use crate::compact::CompactQuestion;
use crate::options::GraphOptions;

pub use crate::answer::{FillProgress, QuestionId, QuestionUsage};

include!(concat!(env!("OUT_DIR"), "/questions.rs"));

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// The name of its answer.
    pub name: QuestionName,
    /// The columns of its answer and the order of its rows.
    pub schema: Arc<AnswerSchema>,
    /// Where it comes from.
    pub origin: QuestionOrigin,
    /// The text.
    pub sql: String,
    /// The plan, for evaluation in batch and for explanations.
    pub bound: Arc<BoundQuestion>,
    /// How its answer is maintained.
    pub path: QuestionPath,
}

/// Why no answer can have the columns of a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// No answer can hold values of a column's type.
    #[error("column `{name}` is a {ty}, which no answer can hold; select its elements or a text made of them")]
    ColumnType {
        /// The column.
        name: String,
        /// Its type.
        ty: &'static str,
    },
    /// The columns do not fit together.
    #[error(transparent)]
    Schema(#[from] InvalidSchema),
}

/// Where a question comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionOrigin {
    /// It is part of the program.
    BuiltIn,
    /// It is in the configuration, or was given by a flag.
    Configured,
    /// It was added to a running pinflow.
    Added,
}

/// How the answer of a question is maintained.
#[derive(Debug, Clone)]
pub enum QuestionPath {
    /// By the aggregates of small inputs: the question has one of the common shapes.
    Compact(Arc<CompactQuestion>),
    /// By the operators of its plan.
    General(Arc<MaintainedPlan>),
}

impl Question {
    /// The question of a text.
    ///
    /// # Errors
    /// All problems of the text, with their places.
    pub fn compile(
        name: QuestionName,
        sql: &str,
        options: GraphOptions,
        origin: QuestionOrigin,
    ) -> Result<Question, QuestionError> {
        let label = name.to_string();
        let bound = bind_question(&label, sql, &POSTS, &question_parameters(options))?;
        let invalid = |message| QuestionError::new(&label, sql, vec![QuestionProblem { span: None, message }]);
        Question::from_bound(name, sql, bound, origin).map_err(|error| invalid(error.to_string()))
    }

    /// The question of a text that is bound already, with the options of the run.
    ///
    /// # Errors
    /// [`InvalidAnswer`] if no answer can have its columns.
    pub fn from_bound(
        name: QuestionName,
        sql: &str,
        bound: BoundQuestion,
        origin: QuestionOrigin,
    ) -> Result<Question, InvalidAnswer> {
        let columns = bound.columns.iter().map(|column| {
            let refused = || InvalidAnswer::ColumnType { name: column.name.clone(), ty: column.ty.name() };
            AnswerColumn::from_sql(column).ok_or_else(refused)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let hidden = bound.plan.types().len().saturating_sub(columns.len());
        let schema = AnswerSchema::new(columns, hidden, bound.listing.clone())?;
        let path = match CompactQuestion::recognize(&bound, &POSTS) {
            Some(compact) => QuestionPath::Compact(Arc::new(compact)),
            None => QuestionPath::General(Arc::new(general_program(&bound))),
        };
        let sql = sql.to_owned();
        Ok(Question { name, schema: Arc::new(schema), origin, sql, bound: Arc::new(bound), path })
    }

    /// The question on the general path, whatever its shape. Its answers are the same.
    #[must_use]
    pub fn on_general_path(&self) -> Question {
        Question { path: QuestionPath::General(self.general_program()), ..self.clone() }
    }

    /// The program of the general path, whatever the path of the question.
    pub(crate) fn general_program(&self) -> Arc<MaintainedPlan> {
        match &self.path {
            QuestionPath::Compact(_) => Arc::new(general_program(&self.bound)),
            QuestionPath::General(program) => Arc::clone(program),
        }
    }

    /// The columns of the answer, in order.
    #[must_use]
    pub fn columns(&self) -> &[AnswerColumn] {
        self.schema.columns()
    }

    /// The number of leading columns that are grouping columns, for which the answer has one row or a ranking. 0 if the
    /// question does not say.
    #[must_use]
    pub fn group_columns(&self) -> usize {
        match &self.path {
            QuestionPath::Compact(compact) => compact.leading_groups(),
            QuestionPath::General(_) => 0,
        }
    }

    /// The plan as text: one operator a line, with its inputs below it.
    #[must_use]
    pub fn explain_plan(&self) -> Vec<String> {
        let explained = self.bound.explain(&POSTS);
        let plan = explained.lines().skip_while(|line| *line != "plan").skip(1);
        plan.map_while(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
    }

    /// The answer without rows.
    #[must_use]
    pub fn empty_table(&self) -> LiveAnswer {
        LiveAnswer::new(Arc::clone(&self.schema))
    }
}

/// The parameters of questions: `ties`, `top` and `median`.
#[must_use]
pub fn question_parameters(options: GraphOptions) -> QuestionParameters {
    let top = match options.top {
        RankLimit::All => Datum::Null,
        RankLimit::Ranks(ranks) => Datum::Long(ranks.get().into()),
    };
    let text = |value: &dyn ToString| Datum::text(&value.to_string());
    [("ties", text(&options.ties)), ("top", top), ("median", text(&options.median))]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The built-in questions with these options, in the order of their names.
fn built_in_questions(options: GraphOptions) -> impl Iterator<Item = Question> {
    BUILT_IN.into_iter().map(move |(name, sql)| {
        let name = QuestionName::parse(name).expect("a built-in question has a valid name");
        Question::compile(name, sql, options, QuestionOrigin::BuiltIn)
            .unwrap_or_else(|error| panic!("a built-in question does not compile: {error}"))
    })
}

fn general_program(bound: &BoundQuestion) -> MaintainedPlan {
    maintain_plan(&bound.plan, &POSTS)
}
