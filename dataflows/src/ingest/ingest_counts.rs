//! Counts of parsed rows, rejections and field faults.

use serde::{Deserialize, Serialize};

use crate::clean::{FieldFault, FieldFaults};
use crate::record::Stream;
use crate::rejection::RejectionReason;

/// Counts since they were last taken. The counts of several workers add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestCounts {
    rows: [u64; Stream::ALL.len()],
    rejections: [u64; RejectionReason::ALL.len()],
    field_faults: [u64; FieldFault::ALL.len()],
    /// Ignored fields that the row's stream does not have. Those of rejected rows are not counted.
    pub unknown_fields: u64,
    /// Records whose arrival time is too far in the future, so that it counts as unknown.
    pub times_ahead: u64,
}

impl IngestCounts {
    /// Cleaned rows of a stream.
    #[must_use]
    pub fn rows(&self, stream: Stream) -> u64 {
        self.rows[stream as usize]
    }

    /// Rejections for a reason.
    #[must_use]
    pub fn rejections(&self, reason: RejectionReason) -> u64 {
        self.rejections[reason as usize]
    }

    /// Field faults of a column. Those of rejected rows are not counted.
    #[must_use]
    pub fn field_faults(&self, fault: FieldFault) -> u64 {
        self.field_faults[fault as usize]
    }

    /// All rows that were read: every one is a cleaned row or a rejection.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.rows.iter().chain(&self.rejections).sum()
    }

    /// Adds the counts of another worker.
    pub fn merge(&mut self, other: &IngestCounts) {
        let IngestCounts { rows, rejections, field_faults, unknown_fields, times_ahead } = other;
        add_counts(&mut self.rows, rows);
        add_counts(&mut self.rejections, rejections);
        add_counts(&mut self.field_faults, field_faults);
        self.unknown_fields += unknown_fields;
        self.times_ahead += times_ahead;
    }

    pub(super) fn count_row(&mut self, stream: Stream, faults: FieldFaults, unknown: u32) {
        self.rows[stream as usize] += 1;
        self.unknown_fields += u64::from(unknown);
        if !faults.is_empty() {
            for fault in FieldFault::ALL {
                self.field_faults[fault as usize] += u64::from(faults.contains(fault));
            }
        }
    }

    pub(super) fn count_rejection(&mut self, reason: RejectionReason) {
        self.rejections[reason as usize] += 1;
    }
}

fn add_counts(totals: &mut [u64], others: &[u64]) {
    for (total, other) in totals.iter_mut().zip(others) {
        *total += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_counts_add_up() {
        for (place, reason) in RejectionReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
        for (place, fault) in FieldFault::ALL.iter().enumerate() {
            assert_eq!(*fault as usize, place);
        }
        let (mut some, mut faults) = (IngestCounts::default(), FieldFaults::default());
        faults.insert(FieldFault::Age);
        some.count_row(Stream::User, faults, 2);
        some.count_rejection(RejectionReason::NoKey);
        some.times_ahead = 3;
        let mut all = some.clone();
        all.merge(&some);
        assert_eq!((all.rows(Stream::User), all.rows(Stream::Pin), all.rejections(RejectionReason::NoKey)), (2, 0, 2));
        assert_eq!(
            (all.field_faults(FieldFault::Age), all.field_faults(FieldFault::Timestamp), all.unknown_fields),
            (2, 0, 4)
        );
        assert_eq!((all.read(), all.times_ahead), (4, 6));
    }
}
