//! The engine's state of a partition.

use jiff::Timestamp;
use pinflow_dataflows::record::Micros;
use pinflow_dataflows::symbol::Symbol;

use super::SourceStatus;
use super::protocol::ReadCounts;
use pinflow_connect::source::Partition;
use pinflow_core::position::{PartitionProgress, Position};

/// A partition, and up to where its rows are in the answers.
pub(super) struct PartitionState {
    pub(super) partition: Partition,
    pub(super) source: Symbol,
    pub(super) reached: PartitionProgress,
    pub(super) lag: Option<u64>,
    pub(super) lag_ms: Option<u64>,
    /// The end of the partition, as the source last reported it.
    pub(super) end: Option<Position>,
    /// The arrival time of its last record.
    pub(super) arrived_at: Option<Micros>,
    /// Bytes of the partition after its last block; 0 if that is unknown.
    pub(super) remaining_bytes: u64,
    pub(super) read: ReadCounts,
}

impl PartitionState {
    /// A partition before its first record in this run.
    pub(super) fn new(partition: Partition) -> PartitionState {
        PartitionState {
            source: Symbol::new(&partition.name),
            reached: partition.resumed.unwrap_or(PartitionProgress::NONE),
            lag: None,
            lag_ms: None,
            end: None,
            arrived_at: None,
            remaining_bytes: 0,
            read: ReadCounts::default(),
            partition,
        }
    }

    /// Records between the position in the answers and the last reported end of the partition.
    pub(super) fn lag(&self) -> Option<u64> {
        let counted = self.end.and_then(Position::narrow).zip(self.reached.next.narrow());
        counted.map(|(end, next)| end.saturating_sub(next)).or(self.lag)
    }

    pub(super) fn status(&self, as_of: Timestamp) -> SourceStatus {
        let lag = self.lag();
        let age_ms = |at: Micros| u64::try_from((as_of.as_microsecond() - at) / 1_000).unwrap_or(0);
        SourceStatus {
            source: self.partition.name.clone(),
            position: self.reached.next.to_string(),
            end: self.end.map(|end| end.max(self.reached.next).to_string()),
            lag,
            lag_ms: match lag {
                Some(0) => Some(0),
                _ => self.lag_ms.or_else(|| self.arrived_at.filter(|_| lag.is_some()).map(age_ms)),
            },
            read: self.read.rows,
            written: self.read.rows - self.read.rejected - self.read.redelivered,
            rejected: self.read.rejected,
            redelivered: self.read.redelivered,
            read_all_time: self.reached.rows,
        }
    }
}
