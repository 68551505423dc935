//! What is wrong with tables, or costs time: the findings, each with its mend.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use super::Compaction;
use super::compact::table_leftovers;
use super::error::DeltaError;
use super::inspect::{Contents, inspect};
use super::log::Log;
use super::maintain::CHECKPOINT_COMMITS;
use super::open::ActiveFile;
use super::verify::{Columns, verify};
use pinflow_storage::{Location, error_summary};

/// A file that is being written is written to more often than this.
const LEFTOVER_AGE_MIN: Duration = Duration::from_secs(3600);
/// Small files that are no trouble yet.
const SMALL_FILES_MAX: usize = 256;

/// What was not read.
const LINEAGE_ONLY: &str = "read: the lineage columns only; `pinflow table PATH --verify --deep` reads all of them";

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Symptom {
    /// The table; `None` if it concerns all of them.
    pub table: Option<&'static str>,
    /// How bad it is.
    pub grade: Grade,
    /// In words, with the mend where there is one.
    pub what: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Well,
    /// It costs time or room.
    Risk,
    /// It is wrong.
    Fault,
}

/// Looks at the tables under a folder, or at the one that it is. Reads every row's lineage; changes nothing.
///
/// # Errors
/// If a folder cannot be looked at. What is wrong with a table is a [`Symptom`].
pub async fn diagnose(place: impl Into<Location>) -> Result<Vec<Symptom>, DeltaError> {
    let tables = match inspect(place, 0).await {
        Ok(tables) => tables,
        Err(error) => return Ok(vec![Symptom { table: None, grade: Grade::Fault, what: error_summary(&error) }]),
    };
    let mut symptoms = Vec::new();
    for table in &tables {
        symptoms.push(small_files(table));
        symptoms.push(checkpoint(table).await?);
        symptoms.push(strays(table).await?);
        symptoms.extend(leftovers(table)?);
    }
    let of_all = |grade, what: &String| Symptom { table: None, grade, what: what.clone() };
    let verdict = match verify(tables, Columns::Lineage, |_| {}).await {
        Ok(verdict) => verdict,
        Err(error) => {
            symptoms.push(of_all(Grade::Fault, &error_summary(&error)));
            return Ok(symptoms);
        }
    };
    let wrong = verdict.violations.iter().chain(&verdict.unproved);
    symptoms.extend(wrong.map(|what| of_all(Grade::Fault, what)));
    if verdict.is_proved() {
        symptoms.push(of_all(Grade::Well, &format!("{} rows, none lost, none twice", verdict.rows)));
    }
    symptoms.push(of_all(Grade::Well, &LINEAGE_ONLY.to_owned()));
    Ok(symptoms)
}

fn small_files(table: &Contents) -> Symptom {
    let target = Compaction::ALL.target_bytes;
    let small = table.active.iter().filter(|file| file.bytes < target / 2).count();
    let files = table.files;
    let (grade, mend) = if small > SMALL_FILES_MAX {
        (Grade::Risk, "; `pinflow table PATH optimize` joins them, and readers are faster then")
    } else {
        (Grade::Well, "")
    };
    let mega = target >> 21;
    Symptom { table: Some(table.table), grade, what: format!("{files} files, {small} of them below {mega} MiB{mend}") }
}

async fn checkpoint(table: &Contents) -> Result<Symptom, DeltaError> {
    let log = Log::new(&table.place)?;
    let version = table.version;
    let last = log.last_checkpoint(version).await?;
    let since = version - last.unwrap_or(0);
    // One may be under way, and the one before it may have failed.
    let (grade, mend) = if since > 3 * CHECKPOINT_COMMITS.get() {
        (Grade::Risk, "; a run makes one each hundred commits, and its log says why it could not")
    } else {
        (Grade::Well, "")
    };
    let what = match last {
        Some(last) => format!("version {version}, the last checkpoint is of version {last}{mend}"),
        None => format!("version {version}, no checkpoint yet{mend}"),
    };
    Ok(Symptom { table: Some(table.table), grade, what })
}

/// Data files that the newest version does not refer to: older versions may, or nobody.
async fn strays(table: &Contents) -> Result<Symptom, DeltaError> {
    let name = |file: &ActiveFile| file.at.path.file_name().map(|name| name.to_string_lossy().into_owned());
    let active: HashSet<String> = table.active.iter().filter_map(name).collect();
    let found = table.place.list_entries().await?.files.into_iter();
    let strays = found.filter(|(name, _)| name.ends_with(".parquet") && !active.contains(name));
    let (files, bytes) = strays.fold((0_u64, 0), |(files, sum), (_, bytes)| (files + 1, sum + bytes));
    let (grade, mend) = if bytes > table.bytes.max(1 << 30) {
        (Grade::Risk, "; `pinflow table PATH vacuum` removes those that no version of the last week refers to")
    } else {
        (Grade::Well, "")
    };
    let what = format!("{files} files of older versions or of nobody, {bytes} bytes{mend}");
    Ok(Symptom { table: Some(table.table), grade, what })
}

/// What processes that died were writing; younger files may be written at this moment.
fn leftovers(table: &Contents) -> Result<Option<Symptom>, DeltaError> {
    let mut found = table_leftovers(&Log::new(&table.place)?)?;
    found.retain(|leftover| leftover.age >= LEFTOVER_AGE_MIN);
    if found.is_empty() {
        return Ok(None);
    }
    let (files, bytes) = (found.len(), found.iter().map(|leftover| leftover.bytes).sum::<u64>());
    let what = format!(
        "{files} files that were being written when a process died, {bytes} bytes; `pinflow table PATH vacuum` removes those \
         that are older than what it keeps"
    );
    Ok(Some(Symptom { table: Some(table.table), grade: Grade::Risk, what }))
}

impl Symptom {
    /// Whether any of these is wrong, not only slow.
    #[must_use]
    pub fn any_fault(symptoms: &[Symptom]) -> bool {
        symptoms.iter().any(|symptom| symptom.grade == Grade::Fault)
    }
}
