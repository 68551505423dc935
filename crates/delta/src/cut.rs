//! Reads tables as of the end of a committed epoch, while the run that committed it goes on.
//!
//! Every commit of a run names the last epoch inside it. So the version of a table that has exactly the rows of a durable
//! answer is the one before the first commit of a later epoch. The positions do not tell: after a crash between two
//! commits, a table can have rows that are beyond the position at which the run resumed, and these are in the answers.

use super::error::DeltaError;
use super::inspect::{TableContents, find_newest_version, read_pipeline, read_table_version};
use super::ledger::TxnIds;
use super::log::{LogCommit, TableLog};
use super::schema::Table;
use pinflow_core::position::Epoch;
use pinflow_storage::Location;

/// A version of a table that a run has written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedVersion {
    /// The table.
    pub table: Table,
    /// The version.
    pub version: u64,
    /// The last epoch of the run whose rows it has. 0 before the first commit of the run.
    pub epoch: Epoch,
}

/// Reads what the tables of a pipeline contained after a run had committed `epoch`, and before it committed a later one.
///
/// `committed` are versions of the run that have all rows of the epoch, and perhaps those of later ones.
///
/// # Errors
/// [`DeltaError::Pipeline`] if the tables belong to another pipeline. Others if a table is not there, does not have the
/// version, or cannot be read.
pub async fn inspect_at_epoch(
    place: impl Into<Location>,
    pipeline: &str,
    committed: &[CommittedVersion],
    epoch: Epoch,
) -> Result<Vec<TableContents>, DeltaError> {
    let place = place.into().resolve_existing()?;
    let mut found = Vec::new();
    for known in committed {
        let place = place.join(known.table.name());
        let log = TableLog::new(&place)?;
        let newest = find_newest_version(&log).await?;
        let theirs = read_pipeline(&log, newest).await?;
        if theirs != pipeline {
            return Err(DeltaError::Pipeline { path: log.folder, theirs, ours: pipeline.to_owned() });
        }
        if newest < known.version {
            let what = format!("a table of {newest} versions, without version {} of the run", known.version);
            return Err(DeltaError::Foreign { path: log.folder, what });
        }
        let version = version_of_epoch(&log, &TxnIds::new(pipeline), known, epoch).await?;
        found.push(read_table_version(known.table, &place, version, 0).await?);
    }
    Ok(found)
}

/// The version before the first commit of an epoch after `epoch`.
async fn version_of_epoch(
    log: &TableLog,
    ids: &TxnIds,
    known: &CommittedVersion,
    epoch: Epoch,
) -> Result<u64, DeltaError> {
    // Also if the run has committed nothing: the commits of an earlier run have epochs of their own.
    if known.epoch <= epoch {
        return Ok(known.version);
    }
    let mut version = known.version;
    for at in (0..=known.version).rev() {
        let commit = log.read_commit(at).await?;
        let commit = commit.ok_or_else(|| DeltaError::Gap { path: log.folder.clone(), version: at })?;
        match committed_epoch(&commit, ids) {
            // A compaction has the same rows as the version before it.
            None => {}
            Some(committed) if committed > epoch => version = at.saturating_sub(1),
            Some(_) => break,
        }
    }
    Ok(version)
}

/// The last epoch inside a commit of a run, 0 for the claim of its tables. `None` for a commit of another kind.
fn committed_epoch(commit: &LogCommit, ids: &TxnIds) -> Option<Epoch> {
    commit.lines.iter().filter_map(|line| line.txn.as_ref()).find(|txn| ids.is_of_writer(&txn.app_id))?;
    let info = commit.lines.iter().find_map(|line| line.commit_info.as_ref())?;
    let epoch = &info["operationParameters"]["epochId"];
    // The library writes parameters as text.
    epoch.as_u64().or_else(|| epoch.as_str()?.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn commit(info: &str, txn: &str) -> LogCommit {
        let line = |text: String| serde_json::from_str(&text).unwrap();
        let lines = vec![
            line(format!("{{\"commitInfo\":{info}}}")),
            line(format!("{{\"txn\":{{\"appId\":\"{txn}\",\"version\":3}}}}")),
        ];
        LogCommit { digest: [0; 32], lines }
    }

    #[test]
    fn epoch_is_that_of_a_commit_of_this_pipeline_and_of_no_other() {
        let ids = TxnIds::new("posts");
        let epoch = |info: &str, txn: &str| committed_epoch(&commit(info, txn), &ids);
        let (text, number) =
            (r#"{"operationParameters":{"epochId":"812"}}"#, r#"{"operationParameters":{"epochId":812}}"#);
        assert_eq!(epoch(text, "pinflow/v1/posts#commit"), Some(812));
        assert_eq!(epoch(number, "pinflow/v1/posts#commit"), Some(812));
        assert_eq!(epoch(text, "pinflow/v1/others#commit"), None);
        assert_eq!(epoch(r#"{"operation":"OPTIMIZE"}"#, "pinflow/v1/posts#commit"), None);
    }
}
