//! Warns about sources whose rows are all rejected, because such a run must not look like a success.

use std::collections::BTreeMap;

use pinflow_dataflows::rejection::RejectionReason;
use serde::{Deserialize, Serialize};

use super::protocol::ReadCounts;
use pinflow_core::position::Epoch;

/// Rows of a source after which it is checked. A source that ends earlier is checked at its end.
const JUDGED_AFTER_ROWS: u64 = 100;

/// Rows and rejections of each source until it is checked.
#[derive(Debug, Default)]
pub(super) struct AllRejectedMonitor {
    sources: BTreeMap<String, SourceRejections>,
}

#[derive(Debug, Default)]
struct SourceRejections {
    rows: u64,
    rejected: u64,
    reasons: RejectionCounts,
    /// The epoch in which it ended, if it has ended.
    ended_in: Option<Epoch>,
    judged: bool,
}

/// Rejections by reason, in the order of [`RejectionReason::ALL`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RejectionCounts([u64; RejectionReason::ALL.len()]);

impl RejectionCounts {
    pub(super) fn count_reason(&mut self, reason: RejectionReason) {
        self.0[reason as usize] += 1;
    }

    fn most_frequent(&self) -> Option<RejectionReason> {
        // If counts are equal, use the first reason in the documented order.
        let most = RejectionReason::ALL.into_iter().rev().max_by_key(|reason| self.0[*reason as usize])?;
        (self.0[most as usize] > 0).then_some(most)
    }
}

impl std::ops::AddAssign for RejectionCounts {
    fn add_assign(&mut self, other: RejectionCounts) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}

/// A source of which every row was rejected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AllRejected {
    /// `recording/‹file›`, `kafka/‹topic›`, `kinesis/‹stream›`.
    pub(super) source: String,
    /// Rows read, all of them rejected.
    pub(super) rows: u64,
    pub(super) reason: RejectionReason,
}

impl AllRejectedMonitor {
    /// Counts the rows of a partition.
    pub(super) fn count_read(&mut self, partition: &str, read: ReadCounts) -> Option<AllRejected> {
        let source = source_of(partition);
        let counted = self.sources.entry(source.to_owned()).or_default();
        counted.rows += read.rows;
        counted.rejected += read.rejected;
        counted.reasons += read.reasons;
        if counted.rows < JUDGED_AFTER_ROWS { None } else { counted.judge_source(source) }
    }

    /// Records that a partition has ended. Only for a recorded file is that also the end of the source.
    pub(super) fn mark_ended(&mut self, partition: &str, epoch: Epoch) {
        if source_of(partition) == partition {
            self.sources.entry(partition.to_owned()).or_default().ended_in = Some(epoch);
        }
    }

    /// Checks the sources that have ended up to an epoch. All rows of that epoch must have been counted.
    pub(super) fn judge_ended_sources(&mut self, epoch: Epoch) -> Vec<AllRejected> {
        let ended = self.sources.iter_mut().filter(|(_, source)| source.ended_in.is_some_and(|end| end <= epoch));
        ended.filter_map(|(name, source)| source.judge_source(name)).collect()
    }

    /// Checks all remaining sources at the end of the run.
    pub(super) fn judge_remaining_sources(&mut self) -> Vec<AllRejected> {
        self.sources.iter_mut().filter_map(|(name, source)| source.judge_source(name)).collect()
    }
}

impl SourceRejections {
    fn judge_source(&mut self, source: &str) -> Option<AllRejected> {
        if std::mem::replace(&mut self.judged, true) || self.rows == 0 || self.rejected < self.rows {
            return None;
        }
        let reason = self.reasons.most_frequent()?;
        Some(AllRejected { source: source.to_owned(), rows: self.rows, reason })
    }
}

/// The source of a partition: its topic or stream, or the recorded file itself.
fn source_of(partition: &str) -> &str {
    match partition.split_once('/') {
        Some(("kafka" | "kinesis", rest)) => match rest.rfind('/') {
            Some(at) => &partition[..partition.len() - rest.len() + at],
            None => partition,
        },
        _ => partition,
    }
}

impl AllRejected {
    /// Logs one warning.
    pub(super) fn log_warning(&self) {
        let AllRejected { source, rows, reason } = self;
        let (reason, hint) = (reason.name(), likely_cause(*reason));
        tracing::warn!(source, rows, reason, hint, "every record that was read was rejected");
    }
}

/// The probable cause if all rows of a source are rejected for this reason.
fn likely_cause(reason: RejectionReason) -> &'static str {
    match reason {
        RejectionReason::NotUtf8 | RejectionReason::NotJson | RejectionReason::TrailingBytes => {
            "is it CSV, Avro or another format? A source has JSON objects, one per line or message, or is a file that is one JSON array"
        }
        RejectionReason::NotAnObject => {
            "each record must be a JSON object: one per line or message, or a file that is one JSON array of them"
        }
        RejectionReason::NoKey | RejectionReason::BadKey => {
            "a row needs its key, a whole number called `ind` or `index`"
        }
        RejectionReason::WrongStream => {
            "does the source name another stream? Check the names, or set the source's stream to `auto`"
        }
        RejectionReason::WrongType => "the fields do not have the JSON types of a post",
        RejectionReason::DuplicateField => "the records name a field twice with different values",
        RejectionReason::TooLarge | RejectionReason::TooDeep | RejectionReason::TooManyRows => {
            "the records are larger than a message may be"
        }
        RejectionReason::Tombstone => "the records are null: the topic deletes keys",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(rows: u64, rejected: u64, reason: RejectionReason) -> ReadCounts {
        let mut read = ReadCounts { rows, rejected, ..ReadCounts::default() };
        (0..rejected).for_each(|_| read.reasons.count_reason(reason));
        read
    }

    #[test]
    fn source_is_judged_once_after_its_first_rows() {
        let mut monitor = AllRejectedMonitor::default();
        assert_eq!(monitor.count_read("kafka/a.b/0", read(60, 60, RejectionReason::NotJson)), None);
        assert_eq!(monitor.count_read("kafka/a.b/1", read(39, 39, RejectionReason::NoKey)), None);
        let all = monitor.count_read("kafka/a.b/2", read(1, 1, RejectionReason::NoKey)).unwrap();
        assert_eq!(all, AllRejected { source: "kafka/a.b".to_owned(), rows: 100, reason: RejectionReason::NotJson });
        assert_eq!(
            monitor.count_read("kafka/a.b/0", read(1_000, 1_000, RejectionReason::NotJson)),
            None,
            "one warning a source"
        );
        assert!(monitor.judge_remaining_sources().is_empty());
    }

    #[test]
    fn one_accepted_row_is_enough() {
        let mut monitor = AllRejectedMonitor::default();
        assert_eq!(monitor.count_read("kinesis/s/shardId-1", read(1, 0, RejectionReason::NotJson)), None);
        assert_eq!(monitor.count_read("kinesis/s/shardId-2", read(500, 500, RejectionReason::NotJson)), None);
        assert!(monitor.judge_remaining_sources().is_empty());
    }

    #[test]
    fn short_source_is_judged_at_its_end() {
        let mut monitor = AllRejectedMonitor::default();
        monitor.mark_ended("recording/empty.jsonl", 1);
        for file in ["recording/pin.jsonl", "recording/spring/geo.jsonl", "recording/followed.jsonl"] {
            assert_eq!(monitor.count_read(file, read(3, 3, RejectionReason::NotJson)), None);
        }
        monitor.mark_ended("recording/pin.jsonl", 2);
        monitor.mark_ended("recording/spring/geo.jsonl", 3);
        assert!(monitor.judge_ended_sources(1).is_empty());
        assert_eq!(monitor.judge_ended_sources(2).len(), 1);
        assert_eq!(monitor.judge_ended_sources(9)[0].source, "recording/spring/geo.jsonl");
        assert_eq!(monitor.judge_remaining_sources()[0].source, "recording/followed.jsonl");
    }

    #[test]
    fn every_reason_is_counted_in_its_place() {
        for reason in RejectionReason::ALL {
            let mut counts = RejectionCounts::default();
            counts.count_reason(reason);
            assert_eq!(counts.most_frequent(), Some(reason));
        }
        assert_eq!(RejectionCounts::default().most_frequent(), None);
    }
}
