//! Records intended deletions of rows, such as the erasure of a person's data, so that the ledger law holds again.
//!
//! The number of deleted rows of each partition is stored in `rejected` as a `txn` action, so it survives checkpoints
//! and log cleanup like the positions. The commit info names the rows for users.

use std::collections::BTreeMap;

use deltalake::ObjectStoreError;
use deltalake::logstore::object_store::PutMode;
use serde::Serialize;

use super::error::DeltaError;
use super::inspect::inspect;
use super::ledger::TxnIds;
use super::log::TableLog;
use super::schema::Table;
use super::verify::{ColumnScope, verify};
use pinflow_storage::Location;

/// The most attempts to commit while other writers commit.
const MAX_COMMIT_ATTEMPTS: u32 = 100;
/// The operation of the commit.
const OPERATION: &str = "ACCEPT DELETION";

/// Rows of one partition whose deletion was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedDeletion {
    /// The `_source` of its rows.
    pub source: String,
    /// The number of rows that were accepted before.
    pub before: u64,
    /// The number of rows that are accepted now, including those accepted before.
    pub rows: u64,
}

/// Why deletions were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The tables cannot be read or written.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// Something else is wrong with the tables.
    #[error("nothing was accepted, because the tables have other problems than missing rows:\n{}", .0.join("\n"))]
    OtherFaults(Vec<String>),
}

/// Records all missing rows as deleted on purpose. Returns the partitions whose number of deleted rows changed.
///
/// # Errors
/// If the tables have a problem that is not a deletion (duplicate rows, a missing table), or cannot be read or written.
pub async fn accept_deletion(place: impl Into<Location>) -> Result<Vec<AcceptedDeletion>, AcceptError> {
    let tables = inspect(place, 0).await?;
    let mut keys = BTreeMap::new();
    for moved in tables.iter().flat_map(|contents| &contents.reached) {
        keys.insert(moved.source.clone(), moved.key.clone());
    }
    let rejected = tables.iter().find(|contents| contents.which == Table::Rejected);
    let written = rejected.map(|contents| (contents.place.clone(), contents.pipeline.clone(), contents.version));
    let report = verify(tables, ColumnScope::Lineage, |_| {}).await?;
    let others: Vec<String> = report.other_violations.iter().chain(&report.unproved).cloned().collect();
    let (Some((place, pipeline, version)), true) = (written, others.is_empty()) else {
        return Err(AcceptError::OtherFaults(others));
    };
    let mut accepted = Vec::new();
    let mut rows_by_key = BTreeMap::new();
    for partition in report.partitions {
        let rows = partition.stored.saturating_sub(partition.found);
        if rows != partition.deleted
            && let Some(key) = keys.remove(&partition.source)
        {
            rows_by_key.insert(key, rows);
            accepted.push(AcceptedDeletion { source: partition.source, before: partition.deleted, rows });
        }
    }
    if !accepted.is_empty() {
        append_commit(&TableLog::new(&place)?, version, &commit_bytes(&pipeline, &rows_by_key, &accepted)).await?;
    }
    Ok(accepted)
}

fn commit_bytes(pipeline: &str, rows_by_key: &BTreeMap<String, u64>, accepted: &[AcceptedDeletion]) -> bytes::Bytes {
    let now = jiff::Timestamp::now().as_millisecond();
    let info = serde_json::json!({ "commitInfo": {
        "timestamp": now,
        "operation": OPERATION,
        "operationParameters": {},
        "engineInfo": concat!("pinflow:", env!("CARGO_PKG_VERSION")),
        "pinflow": { "deleted": accepted },
    }});
    let txns = TxnIds::new(pipeline).deletion_actions(rows_by_key);
    let txns = txns.iter().map(|txn| serde_json::json!({ "txn": { "appId": txn.app_id, "version": txn.version } }));
    let lines: Vec<String> = std::iter::once(info).chain(txns).map(|line| line.to_string()).collect();
    lines.join("\n").into()
}

/// Appends a commit to the log. It conflicts with no other commit, so it takes the next free version.
async fn append_commit(log: &TableLog, version: u64, bytes: &bytes::Bytes) -> Result<(), DeltaError> {
    let mut next = version + 1;
    let mut tries = 0;
    loop {
        let location = log.commit_location(next);
        match log.store().put_opts(&location, bytes.clone().into(), PutMode::Create.into()).await {
            Ok(_) => return Ok(()),
            Err(ObjectStoreError::AlreadyExists { .. }) if tries < MAX_COMMIT_ATTEMPTS => {
                tries += 1;
                next += 1;
            }
            Err(cause) => {
                return Err(DeltaError::Store { what: "commit to", path: log.display_path(&location), cause });
            }
        }
    }
}
