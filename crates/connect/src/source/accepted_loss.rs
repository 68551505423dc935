//! Records that expired from a source before they were read, and whose loss the user accepted with `--accept-loss`.

use std::str::FromStr;

use pinflow_core::position::{self, Position};

/// A range of positions of one partition that may be missing: `kafka/‹topic›/‹partition›:‹first›-‹last›` or
/// `kinesis/‹stream›/‹shard›:‹first›-‹last›`. A last position of `end` accepts the loss of all further records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// The partition's name, as in `_source`.
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
                "{text:?} is not a range of a partition; write kafka/TOPIC/PARTITION:FIRST-LAST or \
                 kinesis/STREAM/SHARD:FIRST-LAST"
            )
        })
    }
}

impl AcceptedLoss {
    /// Whether it is exactly this range.
    pub fn matches(&self, partition: &str, from: Position, to: Position) -> bool {
        self.partition == partition && self.from == from && self.to == to
    }

    /// Warns that the run continues without these records.
    pub fn log_acceptance(&self) {
        let AcceptedLoss { partition, from, to } = self;
        tracing::warn!(source = partition, %from, %to, "records are lost; continuing without them because of --accept-loss");
    }

    /// The placeholder for the lost records, to be delivered at the first of their positions.
    ///
    /// It is a JSON object without a key, so it becomes a row of `rejected` with the reason `no_key` and these bytes as
    /// its payload. It is counted like every other row.
    pub fn placeholder_message(&self) -> Vec<u8> {
        let AcceptedLoss { partition, from, to } = self;
        let placeholder = serde_json::json!({
            "pinflow_lost": {
                "partition": partition,
                "from": position::to_json(*from),
                "to": position::to_json(*to),
                "why": "gone before it was read; accepted by --accept-loss",
            }
        });
        placeholder.to_string().into_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn range_is_parsed_exactly() {
        let read: AcceptedLoss = "kafka/a.b-c/7:17-41".parse().unwrap();
        assert_eq!(read, AcceptedLoss { partition: "kafka/a.b-c/7".to_owned(), from: 17.into(), to: 41.into() });
        let shard: AcceptedLoss = "kinesis/a-pin/shardId-000000000007:495903382714902566085596925-end".parse().unwrap();
        assert_eq!((shard.from.to_string().len(), shard.to), (27, Position::END));
        for wrong in ["", "kafka/a/7", "kafka/a/7:17", "kafka/a/7:41-17", "a/7:1-2", "kafka/a/7:x-2", "kafka/a:1-2"] {
            assert!(wrong.parse::<AcceptedLoss>().is_err(), "{wrong}");
        }
    }
}
