//! The decisions of a table writer as pure functions of what was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ledger::{PositionLedger, WriterIdentity};
use super::schema::Table;
use pinflow_connect::sink::PartitionReached;
use pinflow_core::position::Position;

/// The state of a commit whose put returned no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitOutcome {
    /// It is in the log.
    Durable,
    /// It is not in the log. The same files can be committed again.
    Retry,
    /// Another writer owns the table.
    Fenced,
}

/// Decides from the current ledger whether commit number `commit` of the writer `mine` is in the log.
///
/// The number and the rows of a commit are in one file of the log, and only the owner changes the number. So the number
/// alone decides, even for a window that moves no position (rows that a sibling table has already).
pub(crate) fn commit_outcome(mine: WriterIdentity, commit: u64, found: &PositionLedger) -> CommitOutcome {
    match found.owner {
        Some(owner) if owner == mine && found.commits == commit => CommitOutcome::Durable,
        Some(owner) if owner == mine && found.commits + 1 == commit => CommitOutcome::Retry,
        _ => CommitOutcome::Fenced,
    }
}

/// Whether a starting writer owns a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FenceState {
    /// Not yet: raise the incarnation.
    Unclaimed,
    /// It is the owner.
    Owned,
    /// A later writer owns it.
    Lost,
}

/// Decides whether the writer `mine` owns a table.
///
/// Two writers that start at the same time may have the same incarnation. Then the nonce in the table decides.
pub(crate) fn fence_state(mine: WriterIdentity, found: Option<WriterIdentity>) -> FenceState {
    match found {
        None => FenceState::Unclaimed,
        Some(owner) if owner == mine => FenceState::Owned,
        Some(owner) if owner.incarnation < mine.incarnation => FenceState::Unclaimed,
        Some(_) => FenceState::Lost,
    }
}

/// The positions that a table must store: those of partitions whose rows it takes, unless it has them already.
pub(crate) fn positions_to_store(
    table: Table,
    ledger: &PositionLedger,
    reached: &[PartitionReached],
) -> Vec<PartitionReached> {
    let ahead = |moved: &&PartitionReached| {
        ledger.position_and_hint(&moved.key).is_none_or(|(next, hint)| moved.reached.is_beyond(next, hint))
    };
    reached.iter().filter(|moved| table.accepts(moved.stream_hint)).filter(ahead).cloned().collect()
}

/// Where a partition resumes, and which tables are ahead of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResumePoint {
    /// The position that all its tables have reached; `None` (the beginning) if a table has none.
    pub(crate) at: Option<PartitionReached>,
    /// The `_source` of its rows.
    pub(crate) source: String,
    /// Tables that are further and may contain rows that are read again.
    pub(crate) ahead: Vec<Table>,
}

/// Where each partition resumes, from what each table has stored.
///
/// That is the least position over the cleaned tables that take the partition's rows. `rejected` does not count: a
/// window is committed there first, so all rejections before the position of another table are durable, even if the
/// position in `rejected` was deferred. Tables that are further contain rows that will be read again. If a table has no
/// position, the run died inside the first window, and the partition starts from its beginning.
pub(crate) fn resume_points(stored: &[(Table, Vec<PartitionReached>)]) -> BTreeMap<String, ResumePoint> {
    // There may be 100,000 partitions, so look them up in maps instead of searching.
    let tables: Vec<(Table, HashMap<&str, &PartitionReached>)> = stored
        .iter()
        .map(|(table, partitions)| (*table, partitions.iter().map(|moved| (moved.key.as_str(), moved)).collect()))
        .collect();
    let find = |table: Table, key: &str| {
        let (_, partitions) = tables.iter().find(|(named, _)| *named == table)?;
        partitions.get(key).copied()
    };
    let keys: BTreeSet<&str> = stored.iter().flat_map(|(_, p)| p).map(|moved| moved.key.as_str()).collect();
    let resumed = |key: &str| {
        let known = || Table::ALL.into_iter().filter_map(|table| find(table, key));
        // The streams of a partition can change between runs. The furthest position has the newest value.
        let newest = known().max_by_key(|moved| moved.reached.next).expect("the key was found in some table");
        let takes = || Table::CLEANED.into_iter().filter(|table| table.accepts(newest.stream_hint));
        let positions: Option<Vec<_>> = takes().map(|table| find(table, key)).collect();
        let at = positions.and_then(|p| p.into_iter().min_by_key(|moved| moved.reached.next)).cloned();
        let least = at.as_ref().map_or(Position::START, |at| at.reached.next);
        let further = |table: &Table| find(*table, key).is_some_and(|moved| moved.reached.next > least);
        let ahead = Table::ALL.into_iter().filter(further).collect();
        ResumePoint { at, source: newest.source.clone(), ahead }
    };
    keys.into_iter().map(|key| (key.to_owned(), resumed(key))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::super::ledger::TxnIds;
    use super::*;
    use pinflow_core::position::{PartitionProgress, ResumeHint};
    use pinflow_dataflows::ingest::StreamHint;
    use pinflow_dataflows::record::Stream;

    const MINE: WriterIdentity = WriterIdentity { incarnation: 7, nonce: 70 };

    fn reached_at(key: &str, next: u64, stream_hint: StreamHint) -> PartitionReached {
        let reached =
            PartitionProgress { next: next.into(), rows: next * 2, fingerprint: 5, hint: ResumeHint::Number(6) };
        PartitionReached { key: key.to_owned(), source: format!("source {key}"), stream_hint, reached }
    }

    fn ledger(owner: Option<WriterIdentity>, commits: u64) -> PositionLedger {
        let mut ledger = PositionLedger::default();
        (ledger.owner, ledger.commits) = (owner, commits);
        ledger
    }

    #[test]
    fn commit_is_durable_exactly_if_its_number_is_in_the_ledger() {
        assert_eq!(commit_outcome(MINE, 4, &ledger(Some(MINE), 4)), CommitOutcome::Durable);
        assert_eq!(commit_outcome(MINE, 4, &ledger(Some(MINE), 3)), CommitOutcome::Retry);
        assert_eq!(commit_outcome(MINE, 4, &ledger(Some(MINE), 2)), CommitOutcome::Fenced);
        assert_eq!(commit_outcome(MINE, 4, &ledger(Some(MINE), 5)), CommitOutcome::Fenced);
        assert_eq!(commit_outcome(MINE, 4, &ledger(None, 3)), CommitOutcome::Fenced);
        for other in [WriterIdentity { incarnation: 8, nonce: 1 }, WriterIdentity { incarnation: 7, nonce: 71 }] {
            // Even if our commit succeeded first: the other writer has read it and continues from there.
            assert_eq!(commit_outcome(MINE, 4, &ledger(Some(other), 4)), CommitOutcome::Fenced);
        }
    }

    #[test]
    fn later_start_owns_the_table() {
        let owner = |incarnation, nonce| Some(WriterIdentity { incarnation, nonce });
        assert_eq!(fence_state(MINE, None), FenceState::Unclaimed);
        assert_eq!(fence_state(MINE, owner(6, 1)), FenceState::Unclaimed);
        assert_eq!(fence_state(MINE, owner(7, 70)), FenceState::Owned);
        assert_eq!(fence_state(MINE, owner(7, 71)), FenceState::Lost);
        assert_eq!(fence_state(MINE, owner(8, 70)), FenceState::Lost);
    }

    #[test]
    fn table_that_is_ahead_keeps_its_position() {
        let ids = TxnIds::new("p");
        let mut ledger = PositionLedger::default();
        for action in ids
            .commit_actions(MINE, 1, &[reached_at("a", 10, StreamHint::Auto), reached_at("b", 10, StreamHint::Auto)])
            .unwrap()
        {
            ids.apply_txn(&mut ledger, &action.app_id, action.version).unwrap();
        }
        let pin = StreamHint::Only(Stream::Pin);
        let window = [
            reached_at("a", 9, pin),
            reached_at("b", 11, pin),
            reached_at("c", 1, pin),
            reached_at("d", 1, StreamHint::Only(Stream::Geo)),
        ];
        let keys: Vec<String> =
            positions_to_store(Table::Pin, &ledger, &window).into_iter().map(|moved| moved.key).collect();
        assert_eq!(keys, ["b", "c"]);
        let keys: Vec<String> =
            positions_to_store(Table::Rejected, &ledger, &window).into_iter().map(|moved| moved.key).collect();
        assert_eq!(keys, ["b", "c", "d"]);
    }

    #[test]
    fn unchanged_position_is_stored_if_its_hint_advances() {
        let ids = TxnIds::new("p");
        let mut ledger = PositionLedger::default();
        for action in ids.commit_actions(MINE, 1, &[reached_at("a", 10, StreamHint::Auto)]).unwrap() {
            ids.apply_txn(&mut ledger, &action.app_id, action.version).unwrap();
        }
        let moved = |next, seek| {
            let one = reached_at("a", next, StreamHint::Auto);
            PartitionReached {
                reached: PartitionProgress { hint: ResumeHint::from_stored("a", seek), ..one.reached },
                ..one
            }
        };
        for (next, seek, moves_it) in [(10, 6, false), (10, 7, true), (10, 5, false), (9, 9, false), (11, 0, true)] {
            assert_eq!(
                !positions_to_store(Table::Pin, &ledger, &[moved(next, seek)]).is_empty(),
                moves_it,
                "{next} {seek}"
            );
        }
    }

    #[test]
    fn partition_resumes_at_least_position_of_its_tables() {
        let pin = StreamHint::Only(Stream::Pin);
        let stored = [
            (
                Table::Rejected,
                vec![reached_at("only", 20, pin), reached_at("all", 20, StreamHint::Auto), reached_at("first", 5, pin)],
            ),
            (
                Table::Pin,
                vec![reached_at("only", 10, pin), reached_at("all", 20, StreamHint::Auto), reached_at("rides", 9, pin)],
            ),
            (Table::Geo, vec![reached_at("all", 15, StreamHint::Auto)]),
            (Table::User, vec![reached_at("all", 12, StreamHint::Auto), reached_at("half", 3, StreamHint::Auto)]),
        ];
        let resumed = resume_points(&stored);
        let next = |key: &str| resumed[key].at.as_ref().and_then(|at| at.reached.next.narrow());
        // Died between `rejected` and `pin`.
        assert_eq!((next("only"), &resumed["only"].ahead[..]), (Some(10), &[Table::Rejected][..]));
        // Died between the three.
        let ahead = [Table::Rejected, Table::Pin, Table::Geo];
        assert_eq!((next("all"), &resumed["all"].ahead[..]), (Some(12), &ahead[..]));
        // Died inside its first window.
        assert_eq!((next("first"), &resumed["first"].ahead[..]), (None, &[Table::Rejected][..]));
        assert_eq!((next("half"), &resumed["half"].ahead[..]), (None, &[Table::User][..]));
        // Nothing was ever rejected.
        assert_eq!((next("rides"), &resumed["rides"].ahead[..]), (Some(9), &[][..]));
        assert_eq!(resumed["first"].source, "source first");
    }
}
