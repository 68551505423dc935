//! What was made, counted, so that a test can say what a reader must find.

use std::collections::BTreeMap;

use pinflow_dataflows::record::Stream;
use serde::Serialize;

use super::malformed::ExpectedOutcome;

/// What was made for one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StreamStats {
    /// Messages of every kind.
    pub(crate) messages: u64,
    /// Rows that a reader accepts, those with field faults among them.
    pub(crate) rows: u64,
    /// Bytes with line breaks, before compression.
    pub(crate) bytes: u64,
    /// Messages that a reader rejects, by reason.
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    /// Rows with a column that a reader cannot read, by column.
    pub(crate) field_faults: BTreeMap<&'static str, u64>,
}

impl StreamStats {
    pub(crate) fn count_malformed(&mut self, outcome: ExpectedOutcome) {
        match outcome {
            ExpectedOutcome::Rejected(reason) => *self.rejected.entry(reason.name()).or_default() += 1,
            ExpectedOutcome::FieldFault(column) => {
                self.rows += 1;
                *self.field_faults.entry(column).or_default() += 1;
            }
        }
    }

    pub(crate) fn add_stats(&mut self, other: &StreamStats) {
        self.messages += other.messages;
        self.rows += other.rows;
        self.bytes += other.bytes;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        for (column, count) in &other.field_faults {
            *self.field_faults.entry(column).or_default() += count;
        }
    }
}

/// What was made, by stream.
pub(crate) type StatsByStream = BTreeMap<&'static str, StreamStats>;

/// The tallies of several streams, in the order of the contract.
pub(crate) fn sum_by_stream(all_stats: impl IntoIterator<Item = (Stream, StreamStats)>) -> StatsByStream {
    let mut all = StatsByStream::new();
    for (stream, stats) in all_stats {
        all.entry(stream.name()).or_default().add_stats(&stats);
    }
    all
}
