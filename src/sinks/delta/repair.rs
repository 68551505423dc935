//! Mends a table's log after a loss of power or a damaged disk, where the rest of the log says the same.
//!
//! Two files of a log can be done without: a checkpoint, if the commits that it sums up are still there; and the newest
//! commit, if it is torn, because its positions are lost together with its rows, which are then read again. They are
//! moved to `_damaged` in the table's folder, never deleted. Anything else needs a backup, and is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::error::DeltaError;
use super::inspect::folders;
use super::log::{Log, checkpoint_name};
use super::store::Synced;

/// What was moved out of a log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mended {
    /// The file, where it was.
    pub file: PathBuf,
    /// Where it is now.
    pub moved_to: PathBuf,
    /// What was wrong with it.
    pub fault: String,
}

/// Where damaged files go, within the table's folder. Other engines leave names that start with `_` alone.
const DAMAGED: &str = "_damaged";

/// What `_last_checkpoint` says, as far as it matters here.
#[derive(Deserialize)]
struct Hint {
    version: u64,
}

/// Mends the tables under a root folder, or the one table that a folder is. No pinflow may be writing to them.
///
/// # Errors
/// What cannot be mended without a backup. What was moved until then stays moved; nothing is deleted.
pub async fn repair(path: &Path) -> Result<Vec<Mended>, DeltaError> {
    let path = path.canonicalize().map_err(|cause| DeltaError::Disk { what: "find", path: path.to_owned(), cause })?;
    let mut mended = Vec::new();
    for (_, folder) in folders(&path) {
        let log = Log::new(Arc::new(Synced::default()), &folder)?;
        mended.extend(torn_commit(&log).await?);
        mended.extend(checkpoints(&log).await?);
        // What is left must be a whole log.
        if let Some(newest) = log.newest().await? {
            log.txns(newest).await?;
        }
    }
    Ok(mended)
}

/// The newest commit, if it is torn. A torn one that others follow cannot be done without, and is found by
/// whoever reads the log.
async fn torn_commit(log: &Log) -> Result<Option<Mended>, DeltaError> {
    let Some(newest) = log.newest().await? else { return Ok(None) };
    match log.commit(newest).await {
        Err(DeltaError::Torn { path, what }) => move_away(log, Path::new(&path), what).map(Some),
        other => other.map(|_| None),
    }
}

/// Checkpoints that cannot be read, and with them what points to the newest.
async fn checkpoints(log: &Log) -> Result<Vec<Mended>, DeltaError> {
    let folder = log.folder.join("_delta_log");
    let mut damaged = Vec::new();
    for name in names(&folder)? {
        if checkpoint_name(&name).is_none() {
            continue;
        }
        if let Err(DeltaError::Checkpoint { cause, .. }) = log.checkpoint_txns(&log.location_in_log(&name)).await {
            damaged.push((folder.join(&name), cause.to_string()));
        }
    }
    let hint = folder.join("_last_checkpoint");
    let pointed_to = |version: u64| damaged.iter().any(|(path, _)| version_of(path) == Some(version));
    match fs::read(&hint).map(|bytes| serde_json::from_slice::<Hint>(&bytes)) {
        Ok(Err(fault)) => damaged.push((hint, fault.to_string())),
        Ok(Ok(Hint { version })) if pointed_to(version) => {
            damaged.push((hint, format!("it names the checkpoint of version {version}, which cannot be read")));
        }
        // Without the hint, readers list the log.
        _ => {}
    }
    check_commits(log, &damaged).await?;
    damaged.into_iter().map(|(path, fault)| move_away(log, &path, fault)).collect()
}

/// Whether all commits are there that the damaged checkpoints stood for.
async fn check_commits(log: &Log, damaged: &[(PathBuf, String)]) -> Result<(), DeltaError> {
    let versions: Vec<u64> = damaged.iter().filter_map(|(path, _)| version_of(path)).collect();
    let (Some(oldest), Some(newest)) = (versions.iter().min(), log.newest().await?) else { return Ok(()) };
    let sound = names(&log.folder.join("_delta_log"))?.into_iter().filter_map(|name| Some(checkpoint_name(&name)?.0));
    let first = sound.filter(|version| version < oldest).max().map_or(0, |version| version + 1);
    for version in first..=newest {
        if log.commit(version).await?.is_none() {
            return Err(DeltaError::Gap { path: log.folder.clone(), version });
        }
    }
    Ok(())
}

fn version_of(path: &Path) -> Option<u64> {
    Some(checkpoint_name(path.file_name()?.to_str()?)?.0)
}

fn names(folder: &Path) -> Result<Vec<String>, DeltaError> {
    let disk = |cause| DeltaError::Disk { what: "list", path: folder.to_owned(), cause };
    let entries = fs::read_dir(folder).map_err(disk)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).map_err(disk));
    Ok(names.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn move_away(log: &Log, from: &Path, fault: String) -> Result<Mended, DeltaError> {
    let disk = |what, path: &Path| {
        let path = path.to_owned();
        move |cause| DeltaError::Disk { what, path, cause }
    };
    let folder = log.folder.join(DAMAGED);
    fs::create_dir_all(&folder).map_err(disk("create", &folder))?;
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut free = (0..).map(|n| if n == 0 { folder.join(&name) } else { folder.join(format!("{name}.{n}")) });
    let to = free.find(|to| !to.exists()).unwrap_or_else(|| folder.join(&name));
    fs::rename(from, &to).map_err(disk("move away", from))?;
    for folder in [Some(folder.as_path()), from.parent()].into_iter().flatten() {
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk("sync", folder))?;
    }
    Ok(Mended { file: from.to_owned(), moved_to: to, fault })
}
