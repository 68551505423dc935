//! Records that are gone from a source, and that whoever runs pinflow has accepted to be without.

use std::str::FromStr;

use crate::position::{self, Position};

/// A range of positions of one partition that may be missing: `kafka/‹topic›/‹partition›:‹first›-‹last›`, or
/// `kinesis/‹stream›/‹shard›:‹first›-‹last›`, where the last one may be `end`: whatever there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// The partition's name, as `_source` has it.
    pub partition: String,
    /// The first position.
    pub from: Position,
    /// The last position.
    pub to: Position,
}

impl FromStr for AcceptedLoss {
    type Err = String;
    fn from_str(text: &str) -> Result<AcceptedLoss, String> {
        let read = || {
            let (partition, range) = text.rsplit_once(':')?;
            let (from, to) = range.split_once('-')?;
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            let known = ["kafka/", "kinesis/"].iter().any(|kind| partition.starts_with(kind));
            let named = known && partition.split('/').count() == 3;
            (named && from <= to).then(|| AcceptedLoss { partition: partition.to_owned(), from, to })
        };
        read().ok_or_else(|| {
            format!(
                "{text:?} is no range of a partition; write kafka/TOPIC/PARTITION:FIRST-LAST or \
                 kinesis/STREAM/SHARD:FIRST-LAST"
            )
        })
    }
}

impl AcceptedLoss {
    /// Whether it is exactly this one.
    pub(super) fn is(&self, partition: &str, from: Position, to: Position) -> bool {
        self.partition == partition && self.from == from && self.to == to
    }

    /// Says that the run goes on without it.
    pub(super) fn say(&self) {
        let AcceptedLoss { partition, from, to } = self;
        tracing::warn!(source = partition, %from, %to, "records are lost: goes on without them, as --accept-loss says");
    }

    /// The message that takes the place of the lost ones, at the first position.
    ///
    /// It is a row like any other that cannot become one: an object without a key, so it ends in `rejected` with the
    /// reason `no_key` and these bytes as its payload. The closed list of reasons is about messages, and this is one
    /// that pinflow itself wrote; it needs no reason of its own, and the ledger law counts it like every row.
    pub(super) fn message(&self) -> Vec<u8> {
        let AcceptedLoss { partition, from, to } = self;
        let says = serde_json::json!({
            "pinflow_lost": {
                "partition": partition,
                "from": position::to_json(*from),
                "to": position::to_json(*to),
                "why": "gone before it was read; accepted by --accept-loss",
            }
        });
        says.to_string().into_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_exactly() {
        let read: AcceptedLoss = "kafka/a.b-c/7:17-41".parse().unwrap();
        assert_eq!(read, AcceptedLoss { partition: "kafka/a.b-c/7".to_owned(), from: 17.into(), to: 41.into() });
        let shard: AcceptedLoss = "kinesis/a-pin/shardId-000000000007:495903382714902566085596925-end".parse().unwrap();
        assert_eq!((shard.from.to_string().len(), shard.to), (27, Position::END));
        for wrong in ["", "kafka/a/7", "kafka/a/7:17", "kafka/a/7:41-17", "a/7:1-2", "kafka/a/7:x-2", "kafka/a:1-2"] {
            assert!(wrong.parse::<AcceptedLoss>().is_err(), "{wrong}");
        }
    }
}
