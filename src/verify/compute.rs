//! Computes answers in batch over the rows of tables.

use std::time::{Duration, Instant};

use pinflow_dataflows::answer::{AnswerCell, AnswerRow};
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::Question;
use pinflow_delta::{DeltaError, RowExtent, TableContents};
use pinflow_terminal::write_error_line;

use crate::question::{TableReading, evaluate_question, read_relations};

/// Time between two progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// A question whose answer is computed.
#[derive(Debug)]
pub(super) struct AnswerToCompute {
    /// The name of its answer.
    pub(super) name: String,
    /// The question with the options of the run.
    pub(super) question: Question,
}

/// The answers over tables.
#[derive(Debug)]
pub(super) struct ComputedAnswers {
    /// The rows of each answer, in order, as JSON text.
    pub(super) answers: Vec<(AnswerToCompute, Vec<String>)>,
    /// The number of rows that count in the tables.
    pub(super) rows_read: usize,
}

/// Computes answers over versions of tables that belong together. Blocks. Reports progress on stderr.
///
/// # Errors
/// If a table cannot be read.
pub(super) fn compute_answers(
    questions: Vec<AnswerToCompute>,
    tables: &[TableContents],
    duplicates: DuplicatePolicy,
    text_bytes_max: usize,
) -> Result<ComputedAnswers, DeltaError> {
    let mut progress = ProgressLines { printed: Instant::now() };
    let reading =
        TableReading { tables, duplicates, extent: RowExtent::WholeVersion, text_bytes_max: Some(text_bytes_max) };
    let plans = questions.iter().map(|of| &of.question.bound.plan);
    let relations = read_relations(plans, reading, &mut |rows, table| {
        progress.print_if_due(|| format!("read {rows} rows of {table}"));
    })?;
    let total = questions.len();
    let mut answers = Vec::with_capacity(total);
    for (done, question) in questions.into_iter().enumerate() {
        progress.print_if_due(|| format!("computed {done} of {total} answers"));
        let rows = evaluate_question(&question.question.bound, &relations).rows;
        let rows = rows.into_iter().map(|row| row_text(&question.question, row.into_vec())).collect();
        answers.push((question, rows));
    }
    Ok(ComputedAnswers { answers, rows_read: relations.row_count() })
}

/// A row as JSON, with the same text as in a reply of the run.
fn row_text(question: &Question, row: Vec<pinflow_sql::datum::Datum>) -> String {
    let cells: Vec<AnswerCell> = row.into_iter().map(AnswerCell::from).collect();
    let row = AnswerRow::new(cells);
    serde_json::to_string(&row.with_columns(question.columns())).expect("cells have a JSON form")
}

/// Prints a line now and then.
struct ProgressLines {
    printed: Instant,
}

impl ProgressLines {
    fn print_if_due(&mut self, line: impl FnOnce() -> String) {
        if self.printed.elapsed() >= PROGRESS_INTERVAL {
            write_error_line(&line());
            self.printed = Instant::now();
        }
    }
}
