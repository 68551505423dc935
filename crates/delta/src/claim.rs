//! Claims the tables for one writer: when they are opened, or with the first commit.
//!
//! A claim is a commit to each table that fences older writers. A run that is started every minute would add four such
//! commits each time, even without new data. Such a run claims the tables when it has something to commit, and only if
//! they did not change since they were opened.

use super::decide::{self, FenceState};
use super::error::DeltaError;
use super::ledger::WriterIdentity;
use super::schema::Table;
use super::writer::TableWriter;

/// The most claims in a row that may lose against other starting writers.
const MAX_CLAIM_ATTEMPTS: u32 = 1_000;

/// When a process claims the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClaimPolicy {
    /// When it opens them. An older writer is fenced at once.
    #[default]
    AtOpen,
    /// With the first commit. A run without new data leaves no trace.
    AtFirstCommit,
}

/// The owner and the number of commits in a table's ledger.
pub(super) type SeenLedger = (Option<WriterIdentity>, u64);

/// The current [`SeenLedger`] of a table.
pub(super) fn seen_ledger(writer: &TableWriter) -> SeenLedger {
    (writer.ledger.owner, writer.ledger.commits)
}

/// Checks that no other pinflow has written to a table since it was opened.
///
/// # Errors
/// [`DeltaError::Fenced`] if one has. [`DeltaError::Store`] if the storage cannot be
/// reached at the moment.
pub(super) async fn check_unchanged(writer: &mut TableWriter, seen: SeenLedger) -> Result<(), DeltaError> {
    writer.catch_up().await?;
    if seen_ledger(writer) == seen { Ok(()) } else { Err(writer.fenced_error()) }
}

/// Checks that the claim of this process is the only commit of a writer since the table was opened.
pub(super) fn check_only_claimed(writer: &TableWriter, seen: SeenLedger) -> Result<(), DeltaError> {
    if writer.ledger.commits == seen.1 + 1 { Ok(()) } else { Err(writer.fenced_error()) }
}

fn current_incarnation(writer: &TableWriter) -> u64 {
    writer.ledger.owner.map_or(0, |owner| owner.incarnation)
}

/// Makes this process the owner of all four tables.
///
/// `rejected` is claimed first, and decides which of several starting writers is the last one. In the other tables the
/// greater incarnation wins. So exactly one writer ends up as the owner of all four.
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
                return Err(DeltaError::Store { what: "claim", path, cause });
            }
        }
        if decide::fence_state(mine, writer.ledger.owner) != FenceState::Owned {
            return Err(writer.fenced_error());
        }
        writer.owner = mine;
    }
    Ok(())
}
