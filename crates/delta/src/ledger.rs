//! The `txn` actions of a table: which writer owns it, and how far each partition was written.
//!
//! A `txn` action is an application id and a number. Such actions are part of the same commit as the rows, and survive
//! checkpoints and log cleanup. They have no `lastUpdated`, so they never expire. With `P` = `pinflow/v1/‹pipeline›` a
//! table has
//!
//! | application id | number |
//! | --- | --- |
//! | `P#owner` | incarnation of the writer; each start raises it |
//! | `P#nonce` | random number of each start; distinguishes two writers with the same incarnation |
//! | `P#commit` | commits of this pipeline to this table so far |
//! | `P/‹key›` | the next position to read; of one that is wider than 63 bits, the lowest 63 |
//! | `P/‹key›#next1`, `#next2` | the next 63 bits of such a position, and those above |
//! | `P/‹key›#rows`, `#anchor`, `#seek` | the rest of [`PartitionProgress`] |
//! | `P/‹key›#stream_hint` | 0 pin, 1 geo, 2 user, 3 any of them |
//! | `P/‹key›#source/‹name›` | 0; the name is the `_source` of the partition's rows |
//! | `P/‹key›#deleted` | rows before the position whose deletion was accepted; in `rejected`, only where there are some |
//!
//! `%`, `#` and, in the pipeline, `/` are percent-encoded, so that no name can be taken for another id.

use std::collections::BTreeMap;

use deltalake::kernel::Transaction;
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;

use pinflow_connect::sink::PartitionReached;
use pinflow_core::position::{PartitionProgress, Position, ResumeHint};

/// A number or name that cannot be stored, or a stored one that is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidTxn {
    pub(crate) key: String,
    pub(crate) what: String,
}

/// The state of one pipeline in one table, read from its `txn` actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PositionLedger {
    /// The current writer; `None` before the first one.
    pub(crate) owner: Option<WriterIdentity>,
    /// Commits so far.
    pub(crate) commits: u64,
    partitions: BTreeMap<String, PartitionFields>,
    /// The number of rows whose deletion was accepted, by partition key.
    deleted: BTreeMap<String, u64>,
}

/// Identifies one run of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriterIdentity {
    pub(crate) incarnation: u64,
    pub(crate) nonce: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PartitionFields {
    next: Option<u64>,
    /// The upper limbs of `next`. A position only grows, so once it has them, every commit that moves it stores them.
    upper: [u64; 2],
    rows: Option<u64>,
    anchor: Option<u64>,
    seek: Option<u64>,
    stream_hint: Option<u64>,
    source: Option<String>,
}

/// The application ids of one pipeline.
#[derive(Debug, Clone)]
pub(crate) struct TxnIds {
    prefix: String,
}

impl TxnIds {
    pub(crate) fn new(pipeline: &str) -> TxnIds {
        TxnIds { prefix: format!("pinflow/v1/{}", escape_name(pipeline).replace('/', "%2F")) }
    }

    /// The actions of a commit: the owner, the number of the commit, and the positions that move.
    pub(crate) fn commit_actions(
        &self,
        owner: WriterIdentity,
        commits: u64,
        moves: &[PartitionReached],
    ) -> Result<Vec<Transaction>, InvalidTxn> {
        let mut actions = Vec::with_capacity(3 + moves.len() * 6);
        let mut add = |id: String, key: &str, number: u64| {
            let version = i64::try_from(number)
                .map_err(|_| InvalidTxn { key: key.to_owned(), what: format!("{number} is above 2^63-1") })?;
            actions.push(Transaction::new(id, version));
            Ok(())
        };
        let prefix = &self.prefix;
        add(format!("{prefix}#owner"), "the writer", owner.incarnation)?;
        add(format!("{prefix}#nonce"), "the writer", owner.nonce)?;
        add(format!("{prefix}#commit"), "the writer", commits)?;
        for PartitionReached { key, source, stream_hint, reached } in moves {
            let id = format!("{prefix}/{}", escape_name(key));
            let [low, upper @ ..] = reached.next.limbs();
            add(id.clone(), key, low)?;
            if upper != [0, 0] {
                add(format!("{id}#next1"), key, upper[0])?;
                add(format!("{id}#next2"), key, upper[1])?;
            }
            add(format!("{id}#rows"), key, reached.rows)?;
            add(format!("{id}#anchor"), key, reached.fingerprint)?;
            add(format!("{id}#seek"), key, reached.hint.to_stored())?;
            add(format!("{id}#carries"), key, encode_stream_hint(*stream_hint))?;
            add(format!("{id}#source/{}", escape_name(source)), key, 0)?;
        }
        Ok(actions)
    }

    /// The actions that record how many rows of partitions were deleted on purpose.
    pub(crate) fn deletion_actions(&self, deleted: &BTreeMap<String, u64>) -> Vec<Transaction> {
        let action = |(key, rows): (&String, &u64)| {
            let id = format!("{}/{}#deleted", self.prefix, escape_name(key));
            Transaction::new(id, i64::try_from(*rows).unwrap_or(i64::MAX))
        };
        deleted.iter().map(action).collect()
    }

    /// Whether this is the id of the `txn` action that every commit of this pipeline's writers has.
    pub(crate) fn is_of_writer(&self, id: &str) -> bool {
        id.strip_prefix(&self.prefix) == Some("#commit")
    }

    /// Applies one `txn` action. Those of other applications are ignored.
    pub(crate) fn apply_txn(&self, ledger: &mut PositionLedger, id: &str, number: i64) -> Result<(), InvalidTxn> {
        let Some(rest) = id.strip_prefix(&self.prefix) else { return Ok(()) };
        let invalid = |what: String| InvalidTxn { key: id.to_owned(), what };
        let number = u64::try_from(number).map_err(|_| invalid(format!("{number} is negative")))?;
        if let Some(field) = rest.strip_prefix('#') {
            let owner = ledger.owner.get_or_insert(WriterIdentity { incarnation: 0, nonce: 0 });
            match field {
                "owner" => owner.incarnation = number,
                "nonce" => owner.nonce = number,
                "commit" => ledger.commits = number,
                _ => return Err(invalid("written by a later pinflow".to_owned())),
            }
            return Ok(());
        }
        // Another pipeline whose name starts with ours has neither `#` nor `/` here.
        let Some(rest) = rest.strip_prefix('/') else { return Ok(()) };
        let (key, field) = rest.split_once('#').map_or((rest, None), |(key, field)| (key, Some(field)));
        if field == Some("deleted") {
            ledger.deleted.insert(unescape_name(key), number);
            return Ok(());
        }
        let fields = ledger.partitions.entry(unescape_name(key)).or_default();
        match field {
            None => fields.next = Some(number),
            Some("next1") => fields.upper[0] = number,
            Some("next2") => fields.upper[1] = number,
            Some("rows") => fields.rows = Some(number),
            Some("anchor") => fields.anchor = Some(number),
            Some("seek") => fields.seek = Some(number),
            Some("carries") => fields.stream_hint = Some(number),
            Some(field) => match field.strip_prefix("source/") {
                Some(source) => fields.source = Some(unescape_name(source)),
                None => return Err(invalid("written by a later pinflow".to_owned())),
            },
        }
        Ok(())
    }
}

impl PositionLedger {
    /// The next position of a partition in this table.
    pub(crate) fn next_position(&self, key: &str) -> Option<Position> {
        self.partitions.get(key).and_then(PartitionFields::next)
    }

    /// The next position of a partition with its resume hint (see [`PartitionProgress::hint`]).
    pub(crate) fn position_and_hint(&self, key: &str) -> Option<(Position, ResumeHint)> {
        let fields = self.partitions.get(key)?;
        Some((fields.next()?, ResumeHint::from_stored(key, fields.seek.unwrap_or(0))))
    }

    /// The number of rows read of a partition, as stored in this table.
    pub(crate) fn rows_read(&self, key: &str) -> u64 {
        self.partitions.get(key).and_then(|fields| fields.rows).unwrap_or(0)
    }

    /// The number of rows whose deletion was accepted, by partition key.
    pub(crate) fn deleted(&self) -> &BTreeMap<String, u64> {
        &self.deleted
    }

    /// Whether no position is stored.
    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// All partitions with their positions.
    pub(crate) fn stored_positions(&self) -> Result<Vec<PartitionReached>, InvalidTxn> {
        self.partitions.iter().map(|(key, fields)| fields.to_reached(key)).collect()
    }
}

impl PartitionFields {
    fn next(&self) -> Option<Position> {
        let [next1, next2] = self.upper;
        Position::from_limbs([self.next?, next1, next2])
    }

    fn to_reached(&self, key: &str) -> Result<PartitionReached, InvalidTxn> {
        let missing = |what: &str| InvalidTxn { key: key.to_owned(), what: format!("no {what}") };
        let stream_hint = self.stream_hint.ok_or_else(|| missing("carries"))?;
        Ok(PartitionReached {
            key: key.to_owned(),
            source: self.source.clone().ok_or_else(|| missing("source"))?,
            stream_hint: decode_stream_hint(stream_hint)
                .ok_or_else(|| InvalidTxn { key: key.to_owned(), what: format!("carries {stream_hint}") })?,
            reached: PartitionProgress {
                next: self.next().ok_or_else(|| missing("next"))?,
                rows: self.rows.ok_or_else(|| missing("rows"))?,
                fingerprint: self.anchor.ok_or_else(|| missing("anchor"))?,
                hint: ResumeHint::from_stored(key, self.seek.ok_or_else(|| missing("seek"))?),
            },
        })
    }
}

fn encode_stream_hint(stream_hint: StreamHint) -> u64 {
    match stream_hint {
        StreamHint::Only(Stream::Pin) => 0,
        StreamHint::Only(Stream::Geo) => 1,
        StreamHint::Only(Stream::User) => 2,
        StreamHint::Auto => 3,
    }
}

fn decode_stream_hint(number: u64) -> Option<StreamHint> {
    [StreamHint::Only(Stream::Pin), StreamHint::Only(Stream::Geo), StreamHint::Only(Stream::User), StreamHint::Auto]
        .into_iter()
        .find(|stream_hint| encode_stream_hint(*stream_hint) == number)
}

fn escape_name(name: &str) -> String {
    name.replace('%', "%25").replace('#', "%23")
}

fn unescape_name(name: &str) -> String {
    name.replace("%23", "#").replace("%25", "%")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_move() -> impl Strategy<Value = PartitionReached> {
        let number = || 0..=i64::MAX as u64;
        let stream_hint = (0..4u64).prop_map(|n| decode_stream_hint(n).unwrap());
        let next = prop_oneof![
            any::<u64>().prop_map(Position::from),
            (number(), number(), 0..1_u64 << 60)
                .prop_filter_map("END is none", |(a, b, c)| Position::from_limbs([a, b, c])),
            Just(Position::END),
        ];
        let reached = (next, number(), number(), number()).prop_map(|(next, rows, fingerprint, number)| {
            PartitionProgress { next, rows, fingerprint, hint: ResumeHint::from_stored("", number) }
        });
        ("[a-c%#/2350]{0,8}", "\\PC{0,8}", stream_hint, reached)
            .prop_map(|(key, source, stream_hint, reached)| PartitionReached { key, source, stream_hint, reached })
    }

    proptest! {
        #[test]
        fn stored_actions_are_read_back(
            pipeline in "[a#%/]{0,4}",
            moves in proptest::collection::btree_map("[a-c%#/2350]{0,8}", any_move(), 0..6),
        ) {
            let moves: Vec<_> = moves.into_iter().map(|(key, m)| PartitionReached { key, ..m }).collect();
            let ids = TxnIds::new(&pipeline);
            let owner = WriterIdentity { incarnation: 3, nonce: 4 };
            let mut ledger = PositionLedger::default();
            for action in ids.commit_actions(owner, 5, &moves).unwrap() {
                prop_assert_eq!(action.last_updated, None);
                ids.apply_txn(&mut ledger, &action.app_id, action.version).unwrap();
            }
            prop_assert_eq!(ledger.owner, Some(owner));
            prop_assert_eq!(ledger.commits, 5);
            prop_assert_eq!(ledger.stored_positions().unwrap(), moves);
        }

        #[test]
        fn actions_of_another_pipeline_are_ignored(ours in "[ab#%/]{1,4}", theirs in "[ab#%/]{1,4}", moved in any_move()) {
            prop_assume!(ours != theirs);
            let mut ledger = PositionLedger::default();
            let owner = WriterIdentity { incarnation: 1, nonce: 1 };
            for action in TxnIds::new(&theirs).commit_actions(owner, 1, &[moved]).unwrap() {
                TxnIds::new(&ours).apply_txn(&mut ledger, &action.app_id, action.version).unwrap();
            }
            prop_assert_eq!(ledger, PositionLedger::default());
        }
    }

    #[test]
    fn number_outside_of_txn_range_is_refused() {
        let moved = PartitionReached {
            key: "k".to_owned(),
            source: "s".to_owned(),
            stream_hint: StreamHint::Auto,
            reached: PartitionProgress { rows: 1 << 63, ..PartitionProgress::NONE },
        };
        assert!(TxnIds::new("p").commit_actions(WriterIdentity { incarnation: 1, nonce: 1 }, 1, &[moved]).is_err());
        assert!(TxnIds::new("p").apply_txn(&mut PositionLedger::default(), "pinflow/v1/p/k", -1).is_err());
        assert!(TxnIds::new("p").apply_txn(&mut PositionLedger::default(), "pinflow/v1/p/k#later", 1).is_err());
    }

    #[test]
    fn incomplete_position_is_refused() {
        let mut ledger = PositionLedger::default();
        TxnIds::new("p").apply_txn(&mut ledger, "pinflow/v1/p/k", 7).unwrap();
        assert_eq!(ledger.stored_positions().unwrap_err().key, "k");
    }
}
