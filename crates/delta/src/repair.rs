//! Repairs a table's log after a power loss or disk damage, if the rest of the log is complete.
//!
//! Two kinds of damaged files are repaired:
//!
//! - a checkpoint, if the commits that it summarises still exist,
//! - the newest commit, if it is torn or empty: its positions are lost together with its rows, so the rows are read
//!   again.
//!
//! They are moved to `_damaged` in the table's folder, never deleted. Other damage needs a backup and is refused.
//!
//! The newest commit of `rejected` is an exception: if the cleaned tables were committed after it, its rejections are
//! not read again. The ledger law finds whether there were any. A repair is verified afterwards, and every start checks
//! it.

use std::path::PathBuf;

use deltalake::logstore::object_store::ObjectStoreExt;
use serde::Deserialize;

use super::error::DeltaError;
use super::inspect::find_tables;
use super::log::{TableLog, parse_checkpoint_name};
use pinflow_storage::Location;

/// A damaged file that was moved out of a log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RepairedFile {
    /// Its path before the repair.
    pub file: PathBuf,
    /// Its path now.
    pub moved_to: PathBuf,
    /// Its damage.
    pub fault: String,
}

/// The folder of damaged files in the table's folder. Other engines ignore names that start with `_`.
const DAMAGED_FOLDER: &str = "_damaged";

/// The log file that names the newest checkpoint.
const LAST_CHECKPOINT: &str = "_last_checkpoint";

/// The used part of `_last_checkpoint`.
#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

/// Repairs the tables at a location, or the one table that it is. No writer may be running.
///
/// # Errors
/// Damage that needs a backup. Files that were moved before stay moved. Nothing is deleted.
pub async fn repair(place: impl Into<Location>) -> Result<Vec<RepairedFile>, DeltaError> {
    let place = place.into().resolve_existing()?;
    let mut repaired = Vec::new();
    for (_, place) in find_tables(&place).await? {
        let log = TableLog::new(&place)?;
        repaired.extend(repair_torn_commit(&log).await?);
        repaired.extend(repair_checkpoints(&log).await?);
        // The remaining log must be complete.
        if let Some(newest) = log.newest_version().await? {
            log.read_txns(newest).await?;
        }
    }
    Ok(repaired)
}

/// Moves the newest commit away if it is torn. A torn commit that others follow cannot be repaired, and reading the log
/// fails.
async fn repair_torn_commit(log: &TableLog) -> Result<Option<RepairedFile>, DeltaError> {
    let Some(newest) = log.newest_version().await? else { return Ok(None) };
    let fault = match log.read_commit(newest).await {
        Err(DeltaError::Torn { what, .. }) => what,
        Ok(Some(commit)) if commit.lines.is_empty() => "it is empty".to_owned(),
        other => return other.map(|_| None),
    };
    move_away(log, &format!("{newest:020}.json"), fault).await.map(Some)
}

/// Moves unreadable checkpoints away, and `_last_checkpoint` if it names one of them.
async fn repair_checkpoints(log: &TableLog) -> Result<Vec<RepairedFile>, DeltaError> {
    let names = list_log_files(log).await?;
    let mut damaged = Vec::new();
    for name in names.iter().filter(|name| parse_checkpoint_name(name).is_some()) {
        if let Err(DeltaError::Checkpoint { cause, .. }) = log.read_checkpoint_txns(&log.log_file_location(name)).await
        {
            damaged.push((name.clone(), cause.to_string()));
        }
    }
    let pointed_to = |version: u64| damaged.iter().any(|(name, _)| checkpoint_version(name) == Some(version));
    match log
        .read_file(&log.log_file_location(LAST_CHECKPOINT))
        .await?
        .map(|bytes| serde_json::from_slice::<LastCheckpoint>(&bytes))
    {
        Some(Err(fault)) => damaged.push((LAST_CHECKPOINT.to_owned(), fault.to_string())),
        Some(Ok(LastCheckpoint { version })) if pointed_to(version) => {
            let fault = format!("it names the checkpoint of version {version}, which cannot be read");
            damaged.push((LAST_CHECKPOINT.to_owned(), fault));
        }
        // Without `_last_checkpoint`, readers list the log.
        _ => {}
    }
    check_commits(log, &names, &damaged).await?;
    let mut repaired = Vec::new();
    for (name, fault) in damaged {
        repaired.push(move_away(log, &name, fault).await?);
    }
    Ok(repaired)
}

/// Checks that all commits exist that the damaged checkpoints summarised.
async fn check_commits(log: &TableLog, names: &[String], damaged: &[(String, String)]) -> Result<(), DeltaError> {
    let versions: Vec<u64> = damaged.iter().filter_map(|(name, _)| checkpoint_version(name)).collect();
    let (Some(oldest), Some(newest)) = (versions.iter().min(), log.newest_version().await?) else { return Ok(()) };
    let sound = names.iter().filter_map(|name| checkpoint_version(name));
    let first = sound.filter(|version| version < oldest).max().map_or(0, |version| version + 1);
    for version in first..=newest {
        if log.read_commit(version).await?.is_none() {
            return Err(DeltaError::Gap { path: log.folder.clone(), version });
        }
    }
    Ok(())
}

fn checkpoint_version(name: &str) -> Option<u64> {
    Some(parse_checkpoint_name(name)?.0)
}

/// The names of the files of a log.
async fn list_log_files(log: &TableLog) -> Result<Vec<String>, DeltaError> {
    Ok(log.place().join("_delta_log").list_entries().await?.files.into_iter().map(|(name, _)| name).collect())
}

async fn move_away(log: &TableLog, name: &str, fault: String) -> Result<RepairedFile, DeltaError> {
    let taken = log.place().join(DAMAGED_FOLDER).list_entries().await?.files;
    let mut names = (0..).map(|n| if n == 0 { name.to_owned() } else { format!("{name}.{n}") });
    let free = names.find(|name| taken.iter().all(|(taken, _)| taken != name));
    let free = free.unwrap_or_else(|| name.to_owned());
    let (from, to) = (log.log_file_location(name), log.file_location(&format!("{DAMAGED_FOLDER}/{free}")));
    let moved = log.store().rename(&from, &to).await;
    moved.map_err(|cause| DeltaError::Store { what: "move away", path: log.display_path(&from), cause })?;
    let folder = &log.folder;
    Ok(RepairedFile {
        file: folder.join("_delta_log").join(name),
        moved_to: folder.join(DAMAGED_FOLDER).join(free),
        fault,
    })
}
