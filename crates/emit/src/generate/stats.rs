//! Counts of generated messages, by what a reader must make of them. Tests compare them with what a reader found.

use std::collections::BTreeMap;

use pinflow_dataflows::record::Stream;
use serde::Serialize;

use super::malformed::ExpectedOutcome;

/// Counts of one stream. The field names are those of the `--manifest` file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StreamStats {
    /// All messages.
    pub(crate) messages: u64,
    /// Rows that a reader accepts, including those with a field fault.
    pub(crate) rows: u64,
    /// Bytes including line feeds, before compression.
    pub(crate) bytes: u64,
    /// Messages that a reader rejects, by reason.
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    /// Rows with a field fault, by column.
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

/// Counts by stream.
pub(crate) type StatsByStream = BTreeMap<&'static str, StreamStats>;

/// Adds up counts by stream.
pub(crate) fn sum_by_stream(all_stats: impl IntoIterator<Item = (Stream, StreamStats)>) -> StatsByStream {
    let mut all = StatsByStream::new();
    for (stream, stats) in all_stats {
        all.entry(stream.name()).or_default().add_stats(&stats);
    }
    all
}
