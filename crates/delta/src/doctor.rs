//! Diagnoses tables: problems and slowdowns, each with a hint.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use super::CompactionPolicy;
use super::compact::table_staged_files;
use super::error::DeltaError;
use super::inspect::{TableContents, inspect};
use super::log::TableLog;
use super::maintenance::CHECKPOINT_COMMITS;
use super::open::ActiveFile;
use super::verify::{ColumnScope, verify};
use pinflow_storage::{Location, error_summary};

/// Staged files that are younger than this may belong to a running put.
const MIN_STAGED_FILE_AGE: Duration = Duration::from_secs(3600);
/// The most small files that are not reported as a risk.
const MAX_SMALL_FILES: usize = 256;

/// Shown with each diagnosis, because only lineage columns are read.
const LINEAGE_ONLY: &str = "read: the lineage columns only; `pinflow table PATH --verify --deep` reads all of them";

/// The result of one check of the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableFinding {
    /// The table; `None` if it concerns all of them.
    pub table: Option<&'static str>,
    /// How bad it is.
    pub grade: FindingGrade,
    /// The result as text, with a hint if there is one.
    pub what: String,
}

/// The severity of a [`TableFinding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingGrade {
    /// No problem.
    #[serde(rename = "well")]
    Passed,
    /// It costs time or space.
    Risk,
    /// The tables are wrong.
    #[serde(rename = "fault")]
    Problem,
}

/// Checks the tables at a location, or the one table that it is. Reads the lineage of all rows, and writes nothing.
///
/// # Errors
/// If a folder or log cannot be read. A problem of a table is a [`TableFinding`].
pub async fn diagnose(place: impl Into<Location>) -> Result<Vec<TableFinding>, DeltaError> {
    let tables = match inspect(place, 0).await {
        Ok(tables) => tables,
        Err(error) => {
            return Ok(vec![TableFinding { table: None, grade: FindingGrade::Problem, what: error_summary(&error) }]);
        }
    };
    let mut findings = Vec::new();
    for table in &tables {
        findings.push(check_small_files(table));
        findings.push(check_checkpoint(table).await?);
        findings.push(check_unreferenced_files(table).await?);
        findings.extend(check_staged_files(table)?);
    }
    let of_all = |grade, what: &String| TableFinding { table: None, grade, what: what.clone() };
    let report = match verify(tables, ColumnScope::Lineage, |_| {}).await {
        Ok(report) => report,
        Err(error) => {
            findings.push(of_all(FindingGrade::Problem, &error_summary(&error)));
            return Ok(findings);
        }
    };
    let wrong = report.violations.iter().chain(&report.unproved);
    findings.extend(wrong.map(|what| of_all(FindingGrade::Problem, what)));
    if report.is_proved() {
        findings.push(of_all(FindingGrade::Passed, &format!("{} rows, none lost, none twice", report.rows)));
    }
    findings.push(of_all(FindingGrade::Passed, &LINEAGE_ONLY.to_owned()));
    Ok(findings)
}

fn check_small_files(table: &TableContents) -> TableFinding {
    let target = CompactionPolicy::ALL.target_bytes;
    let small = table.active.iter().filter(|file| file.bytes < target / 2).count();
    let files = table.files;
    let (grade, hint) = if small > MAX_SMALL_FILES {
        (FindingGrade::Risk, "; `pinflow table PATH optimize` joins them, and readers are faster then")
    } else {
        (FindingGrade::Passed, "")
    };
    let mega = target >> 21;
    TableFinding {
        table: Some(table.table),
        grade,
        what: format!("{files} files, {small} of them below {mega} MiB{hint}"),
    }
}

async fn check_checkpoint(table: &TableContents) -> Result<TableFinding, DeltaError> {
    let log = TableLog::new(&table.place)?;
    let version = table.version;
    let last = log.newest_checkpoint_version(version).await?;
    let since = version - last.unwrap_or(0);
    // One may be in progress, and the one before it may have failed.
    let (grade, hint) = if since > 3 * CHECKPOINT_COMMITS.get() {
        (FindingGrade::Risk, "; a run creates one every hundred commits, and logs why it could not")
    } else {
        (FindingGrade::Passed, "")
    };
    let what = match last {
        Some(last) => format!("version {version}, the last checkpoint is of version {last}{hint}"),
        None => format!("version {version}, no checkpoint yet{hint}"),
    };
    Ok(TableFinding { table: Some(table.table), grade, what })
}

/// Checks the data files to which the newest version does not refer.
async fn check_unreferenced_files(table: &TableContents) -> Result<TableFinding, DeltaError> {
    let name = |file: &ActiveFile| file.at.path.file_name().map(|name| name.to_string_lossy().into_owned());
    let active: HashSet<String> = table.active.iter().filter_map(name).collect();
    let found = table.place.list_entries().await?.files.into_iter();
    let unreferenced = found.filter(|(name, _)| name.ends_with(".parquet") && !active.contains(name));
    let (files, bytes) = unreferenced.fold((0_u64, 0), |(files, sum), (_, bytes)| (files + 1, sum + bytes));
    let (grade, hint) = if bytes > table.bytes.max(1 << 30) {
        (FindingGrade::Risk, "; `pinflow table PATH vacuum` removes those that no version of the last week refers to")
    } else {
        (FindingGrade::Passed, "")
    };
    let what = format!("{files} files that the newest version does not need, {bytes} bytes{hint}");
    Ok(TableFinding { table: Some(table.table), grade, what })
}

/// Checks for staged files that dead processes left. Younger ones may belong to a running put.
fn check_staged_files(table: &TableContents) -> Result<Option<TableFinding>, DeltaError> {
    let mut found = table_staged_files(&TableLog::new(&table.place)?)?;
    found.retain(|file| file.age >= MIN_STAGED_FILE_AGE);
    if found.is_empty() {
        return Ok(None);
    }
    let (files, bytes) = (found.len(), found.iter().map(|file| file.bytes).sum::<u64>());
    let what = format!(
        "{files} files that were being written when a process died, {bytes} bytes; `pinflow table PATH vacuum` removes those \
         that are older than what it keeps"
    );
    Ok(Some(TableFinding { table: Some(table.table), grade: FindingGrade::Risk, what }))
}

impl TableFinding {
    /// Whether any of these is wrong, not only slow.
    #[must_use]
    pub fn has_problem(findings: &[TableFinding]) -> bool {
        findings.iter().any(|symptom| symptom.grade == FindingGrade::Problem)
    }
}
