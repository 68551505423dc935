//! What a question holds over the rows of tables.

use std::path::Path;

use pinflow_dataflows::graph::{GraphOptions, MeasuredQuestion, measure_question};
use pinflow_dataflows::questions::Question;

use super::args::ReadingFlags;
use super::error::QuestionCommandError;
use super::memory_estimate::{MemoryTotal, bytes_in_all_lists};
use super::try_question::{TableReading, open_tables, read_relations, report_rows};
use pinflow_delta::RowExtent;

/// Runs a question over the rows that tables hold now, in a graph of its own, and measures what it holds.
///
/// # Errors
/// If the tables cannot be read.
pub(super) async fn measure_over_tables(
    question: &Question,
    options: GraphOptions,
    tables: &Path,
    reading: &ReadingFlags,
) -> Result<MemoryTotal, QuestionCommandError> {
    let contents = open_tables(tables, reading).await?;
    let question = question.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let duplicates = options.duplicates;
        let reading =
            TableReading { tables: &contents, duplicates, extent: RowExtent::Consistent, text_bytes_max: None };
        let rows = read_relations([&question.bound.plan], reading, &mut report_rows())?.into_rows();
        measure_question(&question, options, rows).map_err(|error| QuestionCommandError::Panicked(error.to_string()))
    });
    let measured = measured.await.map_err(|panic| QuestionCommandError::Panicked(panic.to_string()))??;
    Ok(total_of(&measured))
}

fn total_of(measured: &MeasuredQuestion) -> MemoryTotal {
    let MeasuredQuestion { inds, usage, answer } = measured;
    MemoryTotal {
        is_measured: true,
        inds: *inds as u64,
        groups: usage.groups,
        rows: usage.rows,
        held_bytes: usage.bytes,
        answer_rows: answer.row_count() as u64,
        answer_bytes: bytes_in_all_lists(answer.held_bytes() as u64, answer.counted_rows().len()),
    }
}
