//! Answers a question once over tables, by the evaluator that knows nothing of changes.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinflow_delta::{
    DeltaError, RowExtent, RowSelection, Table, TableContents, inspect, missing_tables, read_counting_rows,
};
use pinflow_sql::catalog::{CatalogRelation, POSTS, RelationCatalog};
use pinflow_sql::datum::Row;
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::naive::{RelationRows, evaluate, list_answer};
use pinflow_sql::plan::{BoundQuestion, QueryPlan};
use pinflow_storage::Location;
use pinflow_terminal::write_error_line;

use super::args::{ReadingFlags, TryArgs};
use super::error::QuestionCommandError;
use super::memory_estimate::columns_read;
use super::render;
use crate::config::{QuestionText, compile_text};
use crate::table_location::connect_location;
use pinflow_dataflows::graph::DuplicatePolicy;

/// Time between two progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// An answer and how it came about.
#[derive(Debug)]
pub(crate) struct TriedAnswer {
    /// The rows in the order in which they are listed.
    pub(crate) rows: Vec<Row>,
    /// The number of rows that count in the tables that the question reads.
    pub(crate) rows_read: usize,
    /// The number of operations without a result, which gave null.
    pub(crate) faults: u64,
}

/// How the rows of tables are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableReading<'a> {
    /// What the tables contain.
    pub(crate) tables: &'a [TableContents],
    /// Which rows of one key count.
    pub(crate) duplicates: DuplicatePolicy,
    /// Which rows of the tables are read.
    pub(crate) extent: RowExtent,
    /// Longer texts count as null, if there is a limit.
    pub(crate) text_bytes_max: Option<usize>,
}

/// The rows of each relation of the catalog. A relation that no question reads has none.
#[derive(Debug, Default)]
pub(crate) struct ReadRelations(Vec<Vec<Row>>);

impl ReadRelations {
    /// The number of rows of all relations.
    pub(crate) fn row_count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The rows, by relation of the catalog.
    pub(super) fn into_rows(self) -> Vec<Vec<Row>> {
        self.0
    }
}

impl RelationRows for ReadRelations {
    fn relation_rows(&self, relation: usize) -> &[Row] {
        self.0.get(relation).map_or(&[], Vec::as_slice)
    }
}

/// Answers a question over tables and prints the answer.
///
/// # Errors
/// If the question is wrong, the tables cannot be read, or the output cannot be written.
pub(super) async fn run(
    text: QuestionText,
    args: TryArgs,
    out: &mut (dyn Write + Send),
) -> Result<(), QuestionCommandError> {
    let options = args.graph_options();
    let question = compile_text(&text, &options).map_err(|error| QuestionCommandError::Wrong(vec![error]))?;
    let bound = question.bound;
    let tables = open_tables(&args.tables, &args.reading).await?;
    let begun = Instant::now();
    let asked = Arc::clone(&bound);
    let answer =
        tokio::task::spawn_blocking(move || answer_question(&asked, &tables, options.duplicates, report_rows()));
    let answer = answer.await.map_err(|panic| QuestionCommandError::Panicked(panic.to_string()))??;
    report_effort(&answer, args.limit, begun.elapsed());
    Ok(render::write_answer(&text, &bound, &answer, (args.limit, args.output_format()), out)?)
}

/// Reports on stderr how far the tables are read.
pub(super) fn report_rows() -> impl FnMut(u64, Table) {
    let mut reported = Instant::now();
    move |rows, table| {
        if reported.elapsed() >= PROGRESS_INTERVAL {
            write_error_line(&format!("read {rows} rows of {table}"));
            reported = Instant::now();
        }
    }
}

/// Finds the tables and what they contain now.
pub(super) async fn open_tables(
    tables: &Path,
    reading: &ReadingFlags,
) -> Result<Vec<TableContents>, QuestionCommandError> {
    let location = connect_location(tables, reading.connection.as_deref(), "--tables").await?;
    Ok(inspect_whole_tables(&location).await?)
}

/// Reads what tables contain now. All four must be there.
///
/// # Errors
/// If a table is missing or cannot be read.
pub(crate) async fn inspect_whole_tables(location: &Location) -> Result<Vec<TableContents>, DeltaError> {
    let tables = inspect(location, 0).await?;
    let missing = missing_tables(&tables);
    if missing.is_empty() {
        return Ok(tables);
    }
    Err(DeltaError::Foreign { path: location.name().to_owned(), what: missing.join("; ") })
}

/// The number of rows of the tables that a question reads.
pub(crate) fn count_rows_to_read(bound: &BoundQuestion, tables: &[TableContents]) -> u64 {
    let needed = needed_columns([&bound.plan], &POSTS);
    let read = POSTS.relations.iter().zip(needed).filter(|(_, needed)| needed.iter().any(Option::is_some));
    read.filter_map(|(relation, _)| tables.iter().find(|table| table.table == relation.name))
        .map(|table| table.rows)
        .sum()
}

/// Reads the columns that a question needs, and evaluates its plan. Blocks. `report` is called now and then with a number
/// of rows that were read of a table.
///
/// # Errors
/// If a table cannot be read.
pub(crate) fn answer_question(
    bound: &BoundQuestion,
    tables: &[TableContents],
    duplicates: DuplicatePolicy,
    mut report: impl FnMut(u64, Table),
) -> Result<TriedAnswer, DeltaError> {
    let reading = TableReading { tables, duplicates, extent: RowExtent::Consistent, text_bytes_max: None };
    Ok(evaluate_question(bound, &read_relations([&bound.plan], reading, &mut report)?))
}

/// Reads the rows that count, with the columns that some of these plans need. Blocks. `report` is called as by
/// [`answer_question`].
///
/// # Errors
/// If a table cannot be read.
pub(crate) fn read_relations<'a>(
    plans: impl IntoIterator<Item = &'a QueryPlan>,
    reading: TableReading<'_>,
    report: &mut impl FnMut(u64, Table),
) -> Result<ReadRelations, DeltaError> {
    let mut relations = ReadRelations::default();
    for (relation, needed) in POSTS.relations.iter().zip(needed_columns(plans, &POSTS)) {
        let rows = match needed.iter().any(Option::is_some) {
            true => read_relation(relation, needed, reading, report)?,
            false => Vec::new(),
        };
        relations.0.push(rows);
    }
    Ok(relations)
}

/// Evaluates the plan of a question over rows that were read for it.
pub(crate) fn evaluate_question(bound: &BoundQuestion, relations: &ReadRelations) -> TriedAnswer {
    let faults = FaultCounter::default();
    let rows = evaluate(&bound.plan, relations, &faults);
    TriedAnswer { rows: list_answer(bound, rows), rows_read: relations.row_count(), faults: faults.count() }
}

/// The columns that some of these plans read of each relation of the catalog, by their places in it.
///
/// The key is read of every relation that is scanned, since a scan may need the number of its rows alone.
fn needed_columns<'a>(
    plans: impl IntoIterator<Item = &'a QueryPlan>,
    catalog: &RelationCatalog,
) -> Vec<Vec<Option<&'static str>>> {
    let mut needed: Vec<Vec<_>> = catalog.relations.iter().map(|relation| vec![None; relation.columns.len()]).collect();
    plans.into_iter().for_each(|plan| add_needed(plan, catalog, &mut needed));
    needed
}

fn add_needed(plan: &QueryPlan, catalog: &RelationCatalog, needed: &mut [Vec<Option<&'static str>>]) {
    if let QueryPlan::Scan { relation, columns } = plan
        && let (Some(known), Some(needed)) = (catalog.relations.get(*relation), needed.get_mut(*relation))
    {
        for index in columns.iter().flat_map(columns_read).chain([known.key]) {
            if let (Some(column), Some(needed)) = (known.columns.get(index), needed.get_mut(index)) {
                *needed = Some(column.name);
            }
        }
    }
    plan.inputs().into_iter().for_each(|input| add_needed(input, catalog, needed));
}

/// Reads the rows of a relation that count.
fn read_relation(
    relation: &CatalogRelation,
    columns: Vec<Option<&'static str>>,
    reading: TableReading<'_>,
    report: &mut impl FnMut(u64, Table),
) -> Result<Vec<Row>, DeltaError> {
    let Some(table) = Table::CLEANED.into_iter().find(|table| table.name() == relation.name) else {
        return Ok(Vec::new());
    };
    let TableReading { tables, duplicates, extent, text_bytes_max } = reading;
    let selection = RowSelection { table, columns, duplicates, extent, text_bytes_max };
    read_counting_rows(tables, &selection, |rows| report(rows, table))
}

/// Reports on stderr what the answer was made of.
fn report_effort(answer: &TriedAnswer, limit: Option<usize>, took: Duration) {
    let TriedAnswer { rows, rows_read, faults } = answer;
    let shown = limit.filter(|limit| *limit < rows.len()).map(|limit| format!("the first {limit} of "));
    let mut line = format!(
        "{}{} rows, from {rows_read} rows of the tables, in {:.1} s",
        shown.unwrap_or_default(),
        rows.len(),
        took.as_secs_f64()
    );
    if *faults > 0 {
        line +=
            &format!("; {faults} operations had no result (a division by zero, an overflow, a bad cast) and gave null");
    }
    write_error_line(&line);
}
