//! Becoming the only writer of the tables: at the open, or with the first commit.
//!
//! The fence is a commit of its own in each table. A run that only looks whether there is anything new, once a minute,
//! would add four of them each time. Such a run claims the tables when it has something to commit, and only if they still
//! are what it has read.

use super::decide::{self, FenceState};
use super::error::DeltaError;
use super::ledger::WriterIdentity;
use super::schema::Table;
use super::writer::TableWriter;

/// Starts that raise the fence at the same moment; each round one of them wins.
const MAX_CLAIM_ATTEMPTS: u32 = 1_000;

/// When a process becomes the writer of the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClaimPolicy {
    /// When it opens them: an older writer is fenced at once.
    #[default]
    AtOpen,
    /// With the first commit: a run that finds nothing new leaves no trace.
    AtFirstCommit,
}

/// What a table's ledger said when it was opened: its owner and the number of commits.
pub(super) type SeenLedger = (Option<WriterIdentity>, u64);

/// What the ledger of a table says.
pub(super) fn seen_ledger(writer: &TableWriter) -> SeenLedger {
    (writer.ledger.owner, writer.ledger.commits)
}

/// Checks that no other pinflow has written to a table since it was opened.
///
/// # Errors
/// [`DeltaError::Fenced`] if one has: what was read then is no longer true. [`DeltaError::Store`] if the storage cannot be
/// reached at the moment.
pub(super) async fn check_unchanged(writer: &mut TableWriter, seen: SeenLedger) -> Result<(), DeltaError> {
    writer.catch_up().await?;
    if seen_ledger(writer) == seen { Ok(()) } else { Err(writer.fenced_error()) }
}

/// Checks that the fence of this process is the only commit of a writer since a table was opened.
pub(super) fn check_only_claimed(writer: &TableWriter, seen: SeenLedger) -> Result<(), DeltaError> {
    if writer.ledger.commits == seen.1 + 1 { Ok(()) } else { Err(writer.fenced_error()) }
}

fn current_incarnation(writer: &TableWriter) -> u64 {
    writer.ledger.owner.map_or(0, |owner| owner.incarnation)
}

/// Makes this process the owner of all four tables.
///
/// `rejected` comes first and settles who is last among those that start at once; in the others the greater
/// incarnation wins, so that exactly one of any number of starters ends up as the owner of all.
pub(super) async fn claim_tables<'a>(writers: impl Iterator<Item = &'a mut TableWriter>) -> Result<(), DeltaError> {
    let mut writers: Vec<_> = writers.collect();
    let highest = writers.iter().map(|writer| current_incarnation(writer)).max().unwrap_or(0);
    let nonce = uuid::Uuid::new_v4().as_u64_pair().0 >> 1;
    let mut mine = WriterIdentity { incarnation: highest + 1, nonce };
    for writer in &mut writers {
        for _ in 0..MAX_CLAIM_ATTEMPTS {
            let fault = match decide::fence_state(mine, writer.ledger.owner) {
                FenceState::Owned => break,
                FenceState::Lost if writer.table == Table::Rejected => {
                    mine.incarnation = current_incarnation(writer) + 1;
                    continue;
                }
                FenceState::Lost => return Err(writer.fenced_error()),
                FenceState::Unclaimed => writer.claim(mine).await?,
            };
            if let (Some(cause), FenceState::Unclaimed) = (fault, decide::fence_state(mine, writer.ledger.owner)) {
                let path = writer.log.folder.display().to_string();
                return Err(DeltaError::Store { what: "raise the fence of", path, cause });
            }
        }
        if decide::fence_state(mine, writer.ledger.owner) != FenceState::Owned {
            return Err(writer.fenced_error());
        }
        writer.owner = mine;
    }
    Ok(())
}
