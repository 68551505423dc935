//! Verifies from the tables alone that no row is lost or duplicated.
//!
//! Every row has its lineage, and every table has the position of each partition. For each partition these must hold:
//!
//! 1. the ledger law: all tables together contain as many rows before the position as were read,
//! 2. no (`_source`, `_position`, `_sub`) occurs twice, within a table or across tables,
//! 3. no row of a table is at or after the position of that table,
//! 4. for a recording, every line before the position is in a table.
//!
//! These checks read only the lineage columns. With [`ColumnScope::All`] all columns of all files are read and decoded
//! first, which finds damaged data pages. What cannot be checked, for example because a table is missing, is reported:
//! tables are verified only if all checks ran and found nothing.
//!
//! Memory is bounded if Kinesis sequence numbers are distributed as those of AWS: a first pass counts rows by range of
//! positions. Further passes sort as many ranges at once as fit. Files are skipped by their statistics, so most are
//! read twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use pinflow_dataflows::record::Position;
use pinflow_dataflows::symbol::Symbol;
use serde::Serialize;

use super::error::DeltaError;
use super::input::FileAt;
use super::inspect::{TableContents, missing_tables};
use super::log::TableLog;
use super::rows::{for_each_lineage, position_bounds, read_all_columns};
use super::schema::Table;
use pinflow_connect::sink::RowId;
use pinflow_core::position;
use pinflow_storage::error_summary;

/// The most rows that are sorted at once, 32 bytes each.
const MAX_SORTED_ROWS: u64 = 8_000_000;
/// The number of low bits that positions of one range differ in.
const RANGE_BITS: u32 = 16;
/// The same for Kinesis sequence numbers. Consecutive ones differ by 2^80 and more.
const WIDE_RANGE_BITS: u32 = 96;
/// The most examples shown for each kind of violation and partition. The others are counted.
const MAX_EXAMPLES: u64 = 5;

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The number of rows that were read.
    pub rows: u64,
    /// The counts of each partition.
    pub partitions: Vec<PartitionReport>,
    /// All violations as text.
    pub violations: Vec<String>,
    /// The violations other than missing rows, which deletions do not explain.
    #[serde(skip)]
    pub(crate) other_violations: Vec<String>,
    /// Everything that could not be checked, as text.
    pub unproved: Vec<String>,
    /// The columns that were read.
    pub columns: ColumnScope,
}

impl VerifyReport {
    fn add_violation(&mut self, what: String) {
        self.other_violations.push(what.clone());
        self.violations.push(what);
    }

    /// Whether everything was checked and nothing was found.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.violations.is_empty() && self.unproved.is_empty()
    }
}

/// Which columns a verification reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnScope {
    /// Only the lineage columns. Damage to other columns is not found.
    #[default]
    Lineage,
    /// All columns.
    All,
}

/// The progress of a verification that reads all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The size of the files read so far, bytes.
    pub bytes: u64,
    /// The size of all files, bytes.
    pub bytes_total: u64,
}

/// The row counts of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// The `_source` of its rows.
    pub source: String,
    /// The position that all its tables have reached.
    #[serde(serialize_with = "position::serialize")]
    pub next: Position,
    /// The number of rows read before it.
    pub stored: u64,
    /// The number of rows before it in the tables.
    pub found: u64,
    /// How many of these are in `rejected`.
    pub rejected: u64,
    /// The number of rows before it whose deletion was accepted.
    pub deleted: u64,
}

/// The number of rows by source and range of positions.
type RangeCounts = BTreeMap<(Symbol, PositionRange), u64>;

/// A range of positions. Positions of 64 bits and wider ones have ranges of different sizes, and are ordered
/// separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PositionRange {
    is_wide: bool,
    number: Position,
}

impl PositionRange {
    fn containing(position: Position) -> PositionRange {
        match position.narrow() {
            Some(_) => PositionRange { is_wide: false, number: position.shifted(RANGE_BITS) },
            None => PositionRange { is_wide: true, number: position.shifted(WIDE_RANGE_BITS) },
        }
    }
}

/// A data file that is verified.
struct FileToVerify {
    table: Table,
    at: FileAt,
    bytes: u64,
    rows: Option<u64>,
    /// The least and greatest position; `None` if the log does not have them.
    bounds: Option<(Position, Position)>,
}

/// Rows of a file that have no lineage.
struct ForeignRows {
    table: Table,
    file: PathBuf,
    rows: u64,
    /// Why the first of them has none.
    fault: String,
}

/// Verifies tables. With [`ColumnScope::All`], `on_progress` is called after each file.
///
/// # Errors
/// If a lineage column cannot be read.
pub async fn verify(
    tables: Vec<TableContents>,
    columns: ColumnScope,
    on_progress: impl FnMut(VerifyProgress) + Send + 'static,
) -> Result<VerifyReport, DeltaError> {
    let tables = std::sync::Arc::new(tables);
    let read = std::sync::Arc::clone(&tables);
    let checked = tokio::task::spawn_blocking(move || check_tables(&read, columns, on_progress)).await;
    let (mut report, foreign) = checked.map_err(|_| DeltaError::Died { what: "the check of all rows" })??;
    for rows in foreign {
        report.add_violation(describe_foreign_rows(rows, &tables).await?);
    }
    Ok(report)
}

/// Runs all checks. Blocks while files are read.
fn check_tables(
    tables: &[TableContents],
    columns: ColumnScope,
    on_progress: impl FnMut(VerifyProgress),
) -> Result<(VerifyReport, Vec<ForeignRows>), DeltaError> {
    let mut report = VerifyReport { columns, ..VerifyReport::default() };
    let mut files: Vec<FileToVerify> = tables.iter().flat_map(files_to_verify).collect();
    let mut damaged = HashSet::new();
    if columns == ColumnScope::All {
        damaged = find_damaged_files(&files, on_progress, &mut report);
        files.retain(|file| !damaged.contains(&file.at.path));
    }
    if !damaged.is_empty() {
        let what = "rows of damaged files were not counted, so whether other rows are missing is unknown";
        report.unproved.push(what.to_owned());
    }
    missing_tables(tables).into_iter().for_each(|what| report.add_violation(what));
    let is_whole = is_whole(tables, &mut report) && damaged.is_empty();
    let positions = source_totals(tables);
    let (counts, foreign) = count_rows(&files, &positions, tables, &mut report)?;
    if is_whole {
        check_ledger(&positions, &mut report);
    }
    check_repeats(&files, &counts, &positions, is_whole, &mut report)?;
    Ok((report, foreign))
}

/// Whether all four tables exist, without which the ledger law cannot be checked.
fn is_whole(tables: &[TableContents], report: &mut VerifyReport) -> bool {
    let is_there = |table: &Table| tables.iter().any(|contents| contents.which == *table);
    if Table::ALL.iter().all(is_there) {
        return true;
    }
    let is_written = tables.iter().any(|contents| !contents.reached.is_empty());
    let found: Vec<_> = tables.iter().map(|contents| contents.table).collect();
    if is_written {
        report.unproved.push(format!(
            "only {} of the four tables was checked, so whether rows were lost is unknown; verify the folder that \
             contains pin, geo, user and rejected",
            found.join(", ")
        ));
    }
    false
}

/// Reads all columns of all files, and reports files that cannot be read.
fn find_damaged_files(
    files: &[FileToVerify],
    mut on_progress: impl FnMut(VerifyProgress),
    report: &mut VerifyReport,
) -> HashSet<PathBuf> {
    let mut damaged = HashSet::new();
    let mut progress = VerifyProgress { bytes: 0, bytes_total: files.iter().map(|file| file.bytes).sum() };
    for FileToVerify { table, at, bytes, rows, .. } in files {
        let fault = match read_all_columns(at) {
            Ok(read) if rows.is_none_or(|rows| rows == read) => None,
            Ok(read) => Some(format!("it has {read} rows, its log says {}", rows.unwrap_or_default())),
            Err(error) => Some(error_summary(&error)),
        };
        if let Some(fault) = fault {
            let path = at.path.display();
            report.add_violation(format!("{table}: {path} is damaged ({fault}); restore this file from a backup"));
            damaged.insert(at.path.clone());
        }
        progress.bytes += bytes;
        on_progress(progress);
    }
    damaged
}

/// Describes rows without lineage: which commit added them, and what to do.
async fn describe_foreign_rows(rows: ForeignRows, tables: &[TableContents]) -> Result<String, DeltaError> {
    let ForeignRows { table, file, rows, fault } = rows;
    let mut commit = None;
    if let Some(contents) = tables.iter().find(|contents| contents.which == table) {
        commit = TableLog::new(&contents.place)?.describe_commit_adding(contents.version, &file).await?;
    }
    let commit = commit.unwrap_or_else(|| "a commit that is no longer in the log".to_owned());
    let file = file.display();
    Ok(format!(
        "{table}: {rows} rows of {file} have no lineage ({fault}): another tool wrote them ({commit}); delete them with \
         it (DELETE WHERE _source IS NULL), and keep such rows in a table of their own"
    ))
}

fn files_to_verify(contents: &TableContents) -> impl Iterator<Item = FileToVerify> {
    let table = contents.which;
    contents.active.iter().map(move |file| FileToVerify {
        table,
        at: file.at.clone(),
        bytes: file.bytes,
        rows: file.rows,
        bounds: file.stats.as_deref().and_then(position_bounds),
    })
}

/// The position and row counts of a source over all tables.
struct SourceTotals {
    next: Position,
    stored: u64,
    deleted: u64,
}

/// The totals of each source, as of the position at which a restart would resume.
fn source_totals(tables: &[TableContents]) -> BTreeMap<Symbol, SourceTotals> {
    let stored: Vec<_> = tables.iter().map(|contents| (contents.which, contents.reached.clone())).collect();
    let deleted = |key: &str| tables.iter().filter_map(|contents| contents.deleted.get(key)).sum();
    let known = super::decide::resume_points(&stored).into_iter().map(|(key, resumed)| {
        let (next, stored) = resumed.at.map_or((Position::START, 0), |at| (at.reached.next, at.reached.rows));
        (Symbol::new(&resumed.source), SourceTotals { next, stored, deleted: deleted(&key) })
    });
    known.collect()
}

/// The first pass: counts rows, and reports those at or after the position of their table.
fn count_rows(
    files: &[FileToVerify],
    positions: &BTreeMap<Symbol, SourceTotals>,
    tables: &[TableContents],
    report: &mut VerifyReport,
) -> Result<(RangeCounts, Vec<ForeignRows>), DeltaError> {
    let (mut counts, mut foreign) = (RangeCounts::new(), Vec::new());
    let mut before: BTreeMap<Symbol, (u64, u64)> = BTreeMap::new();
    let mut beyond: BTreeMap<(Symbol, Table), (u64, RowId)> = BTreeMap::new();
    let mut stored = HashMap::new();
    for contents in tables {
        for moved in &contents.reached {
            stored.insert((Symbol::new(&moved.source), contents.which), moved.reached.next);
        }
    }
    for file in files {
        let rejected = u64::from(file.table == Table::Rejected);
        let (mut without, mut first_fault) = (0, None);
        for_each_lineage(&file.at, |delivery| {
            report.rows += 1;
            let delivery = match delivery {
                Ok(delivery) => delivery,
                Err(fault) => {
                    without += 1;
                    first_fault.get_or_insert(fault);
                    return;
                }
            };
            let RowId { source, position, .. } = delivery;
            *counts.entry((source, PositionRange::containing(position))).or_default() += 1;
            if positions.get(&source).is_some_and(|known| position < known.next) {
                let (rows, of_them) = before.entry(source).or_default();
                (*rows, *of_them) = (*rows + 1, *of_them + rejected);
            }
            if stored.get(&(source, file.table)).is_none_or(|next| position >= *next) {
                beyond.entry((source, file.table)).or_insert((0, delivery)).0 += 1;
            }
        })?;
        if let Some(fault) = first_fault {
            foreign.push(ForeignRows { table: file.table, file: file.at.path.clone(), rows: without, fault });
        }
    }
    for ((source, table), (rows, first)) in beyond {
        report.add_violation(format!(
            "{table}: {rows} rows of {source} stand at or after its stored position, for example {}",
            first.position
        ));
    }
    for (source, known) in positions {
        let (found, rejected) = before.get(source).copied().unwrap_or_default();
        let source = source.text().to_owned();
        let SourceTotals { next, stored, deleted } = *known;
        report.partitions.push(PartitionReport { source, next, stored, found, rejected, deleted });
    }
    Ok((counts, foreign))
}

fn check_ledger(positions: &BTreeMap<Symbol, SourceTotals>, report: &mut VerifyReport) {
    debug_assert_eq!(positions.len(), report.partitions.len());
    for PartitionReport { source, next, stored, found, deleted, .. } in report.partitions.clone() {
        if stored == found + deleted {
            continue;
        }
        let but = if deleted > 0 { format!(" and {deleted} deletions were accepted") } else { String::new() };
        let what =
            format!("{source}: {stored} rows were read before position {next}{but}, the tables hold {found} of them");
        if found > stored {
            report.add_violation(what);
        } else {
            report.violations.push(what);
        }
    }
}

/// The further passes: sorts ranges of positions, and reports duplicates and, for recordings, gaps.
fn check_repeats(
    files: &[FileToVerify],
    counts: &RangeCounts,
    positions: &BTreeMap<Symbol, SourceTotals>,
    whole: bool,
    report: &mut VerifyReport,
) -> Result<(), DeltaError> {
    let mut checks: BTreeMap<Symbol, SourceCheck> = BTreeMap::new();
    let mut ranges = counts.iter().peekable();
    while ranges.peek().is_some() {
        let mut taken: HashMap<Symbol, (PositionRange, PositionRange)> = HashMap::new();
        let mut rows = 0;
        while let Some((&(source, range), count)) =
            ranges.next_if(|(_, count)| rows == 0 || rows + **count <= MAX_SORTED_ROWS)
        {
            rows += count;
            taken.entry(source).or_insert((range, range)).1 = range;
        }
        for (source, mut deliveries) in gather_rows(files, &taken)? {
            deliveries.sort_unstable();
            checks
                .entry(source)
                .or_default()
                .add_sorted_rows(&deliveries, positions.get(&source).map_or(Position::START, |known| known.next));
        }
    }
    for (source, known) in positions {
        let check = checks.remove(source).unwrap_or_default();
        check.report_violations(*source, known, whole, report);
    }
    for (source, check) in checks {
        check.report_violations(source, &SourceTotals { next: Position::START, stored: 0, deleted: 0 }, false, report);
    }
    Ok(())
}

/// Reads the rows of the given ranges, by source.
fn gather_rows(
    files: &[FileToVerify],
    taken: &HashMap<Symbol, (PositionRange, PositionRange)>,
) -> Result<BTreeMap<Symbol, Vec<RowPosition>>, DeltaError> {
    let mut found: BTreeMap<Symbol, Vec<RowPosition>> = BTreeMap::new();
    for file in files {
        let meets = |(low, high): (Position, Position)| {
            taken.values().any(|(first, last)| {
                PositionRange::containing(low) <= *last && PositionRange::containing(high) >= *first
            })
        };
        if file.bounds.is_some_and(|bounds| !meets(bounds)) {
            continue;
        }
        for_each_lineage(&file.at, |delivery| {
            // The first pass has reported rows without lineage.
            let Ok(RowId { source, position, sub }) = delivery else { return };
            let inside = |(first, last): &(PositionRange, PositionRange)| {
                (*first..=*last).contains(&PositionRange::containing(position))
            };
            if taken.get(&source).is_some_and(inside) {
                found.entry(source).or_default().push((position, sub));
            }
        })?;
    }
    Ok(found)
}

/// The position of a row, and its number within the message (`_sub`).
type RowPosition = (Position, u32);

/// Checks the sorted rows of one source, range by range.
#[derive(Default)]
struct SourceCheck {
    repeats: u64,
    examples: Vec<RowPosition>,
    /// The number of distinct positions before the position of the partition.
    distinct: u64,
    last: Option<Position>,
    gaps: Vec<(Position, Position)>,
}

impl SourceCheck {
    fn add_sorted_rows(&mut self, sorted: &[RowPosition], next: Position) {
        for pair in sorted.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.repeats += 1;
            if self.repeats <= MAX_EXAMPLES {
                self.examples.push(pair[0]);
            }
        }
        for &(position, _) in sorted.iter().filter(|(position, _)| *position < next) {
            if self.last == Some(position) {
                continue;
            }
            let expected = self.last.map_or(Position::from(1), Position::after);
            if position > expected && (self.gaps.len() as u64) < MAX_EXAMPLES {
                self.gaps.push((expected, position.before()));
            }
            self.distinct += 1;
            self.last = Some(position);
        }
    }

    fn report_violations(mut self, source: Symbol, known: &SourceTotals, whole: bool, report: &mut VerifyReport) {
        if self.repeats > 0 {
            let examples: Vec<String> =
                self.examples.iter().map(|(position, sub)| format!("{position}/{sub}")).collect();
            report.add_violation(format!(
                "{source}: {} rows repeat one that is there already, for example (position/sub) {}",
                self.repeats,
                examples.join(", ")
            ));
        }
        let lines = known.next.narrow().map_or(0, |next| next.saturating_sub(1));
        // Kafka offsets and Kinesis sequence numbers can have gaps. Lines of a recording have none.
        // A missing line had at least one row, so accepted deletions explain at most as many lines as rows.
        let absent = lines.saturating_sub(self.distinct);
        if whole && source.text().starts_with("recording/") && absent > known.deleted {
            let last = self.last.unwrap_or_default();
            if last < lines.into() {
                self.gaps.push((last.after(), lines.into()));
            }
            let gaps: Vec<String> = self.gaps.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            report.violations.push(format!(
                "{source}: {} of {lines} lines are in no table, for example {}",
                absent,
                gaps.join(", ")
            ));
        }
    }
}
