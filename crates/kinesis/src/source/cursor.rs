//! The position in a shard, and the check that no record was left out. No I/O.
//!
//! Iterators are not trusted for long. Each new one (at a start, after it expired, after a failed call) starts *at* the last
//! record that was read, and the first record it returns must be that one. If that record is gone it has expired, and unread
//! records may have expired too. Time decides: everything that had arrived by `caught_ms` was read, so nothing is lost while
//! less than the retention period has passed since.

use crate::{IteratorStart, KinesisRecord, ShardBatch};
use pinflow_core::position::{PartitionProgress, Position, ResumeHint, message_fingerprint};

/// Allowance for clock differences: a time within this much of the end of the retention period counts as expired.
pub(super) const RETENTION_MARGIN_MS: u64 = 5 * 60_000;
/// Minimum progress of the caught-up time before a block without records is sent for it. Such a block causes a commit
/// of its own, and a run may be started every minute.
const IDLE_MARK_INTERVAL_MS: u64 = 10 * 60_000;

/// How far one shard was read.
#[derive(Debug, Clone)]
pub(super) struct ShardCursor {
    /// The last record that was read; `None` before the first.
    last: Option<LastRecord>,
    /// Where to start while there is none, in Unix milliseconds; 0 means at the oldest record.
    begin_ms: u64,
    /// Everything that had arrived by then was read or is excluded by `start`. Before the first record: the time of the
    /// start.
    caught_ms: u64,
    /// The `caught_ms` of the last block that was sent.
    marked_ms: u64,
    /// An iterator was requested, and its first record was not yet verified.
    unverified: bool,
    /// Whether the tables have a position for the shard.
    is_stored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LastRecord {
    position: Position,
    /// As the service wrote it, if it was read in this run.
    text: Option<String>,
    hash: u64,
}

/// Why the records are not a continuation of what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContinuityError {
    /// Records between these positions may have expired before they were read. Up to [`Position::END`] if the shard has
    /// no more records.
    Gap {
        /// The first position of the gap.
        from: Position,
        /// The last position of the gap.
        to: Position,
    },
    /// The last record that was read is now a different one.
    DifferentRecord {
        /// The position of that record.
        position: Position,
    },
    /// A sequence number that is invalid or too long.
    BadSequenceNumber(String),
}

impl ShardCursor {
    /// Resumes at a stored position.
    pub(super) fn resume(reached: PartitionProgress) -> ShardCursor {
        let is_blank = reached.next == Position::START;
        ShardCursor {
            last: (!is_blank).then(|| LastRecord {
                position: reached.next.before(),
                text: None,
                hash: reached.fingerprint,
            }),
            begin_ms: if is_blank { reached.fingerprint } else { 0 },
            caught_ms: reached.hint.caught_up_ms(),
            marked_ms: reached.hint.caught_up_ms(),
            unverified: true,
            is_stored: true,
        }
    }

    /// Starts a shard of which nothing was read.
    pub(super) fn start(reached: PartitionProgress) -> ShardCursor {
        ShardCursor { is_stored: false, ..ShardCursor::resume(reached) }
    }

    /// Whether the tables had a position for the shard when the run began.
    pub(super) fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// Where the next iterator must start.
    pub(super) fn iterator_start(&mut self) -> IteratorStart {
        self.unverified = true;
        match (&self.last, self.begin_ms) {
            (Some(LastRecord { text: Some(text), .. }), _) => IteratorStart::AtSequenceNumber(text.clone()),
            (Some(LastRecord { position, .. }), _) => IteratorStart::AtSequenceNumber(position.to_string()),
            (None, 0) => IteratorStart::TrimHorizon,
            (None, moment) => IteratorStart::AtTimestamp(moment),
        }
    }

    /// Whether the next record may have expired, so that a new iterator must be verified.
    pub(super) fn is_stale(&self, now_ms: u64, retention_ms: u64) -> bool {
        !self.unverified && self.may_have_lost(now_ms, retention_ms)
    }

    fn may_have_lost(&self, now_ms: u64, retention_ms: u64) -> bool {
        now_ms.saturating_sub(self.caught_ms) > retention_ms.saturating_sub(RETENTION_MARGIN_MS)
    }

    /// The position after the last record that was read.
    pub(super) fn next_position(&self) -> Position {
        self.last.as_ref().map_or(Position::START, |last| last.position.after())
    }

    /// The state stored with the position: the fingerprint of the last record, or where to start; and the caught-up
    /// time.
    pub(super) fn stored_state(&self) -> (u64, ResumeHint) {
        (self.last.as_ref().map_or(self.begin_ms, |last| last.hash), ResumeHint::caught_up(self.caught_ms))
    }

    /// The state to store with a block that is sent now, as [`ShardCursor::stored_state`].
    pub(super) fn state_for_block(&mut self, has_records: bool) -> (u64, ResumeHint) {
        let (fingerprint, caught_ms) = (self.stored_state().0, self.caught_ms);
        if has_records || caught_ms >= self.marked_ms.saturating_add(IDLE_MARK_INTERVAL_MS) {
            self.marked_ms = caught_ms;
        }
        (fingerprint, ResumeHint::caught_up(self.marked_ms))
    }

    /// Checks a batch that was requested at `requested_ms`. Returns how many of its first records were read before.
    ///
    /// # Errors
    /// [`ContinuityError`]
    pub(super) fn check_batch(
        &mut self,
        batch: &ShardBatch,
        requested_ms: u64,
        retention_ms: u64,
    ) -> Result<CheckedBatch, ContinuityError> {
        let numbers = batch.records.iter().map(|record| {
            Position::parse(record.sequence_number.as_bytes())
                .ok_or_else(|| ContinuityError::BadSequenceNumber(record.sequence_number.clone()))
        });
        let positions = numbers.collect::<Result<Vec<_>, _>>()?;
        let old = match &self.last {
            Some(last) => positions.iter().take_while(|position| **position <= last.position).count(),
            None => 0,
        };
        let first = positions.get(old).copied();
        if self.unverified {
            self.verify_start(batch, &positions[..old], first, requested_ms, retention_ms)?;
        }
        Ok(CheckedBatch { old, positions })
    }

    /// Verifies that the iterator starts at the expected record.
    fn verify_start(
        &mut self,
        batch: &ShardBatch,
        old: &[Position],
        first: Option<Position>,
        requested_ms: u64,
        retention_ms: u64,
    ) -> Result<(), ContinuityError> {
        let stands = self.last.as_ref().and_then(|last| {
            let at = old.iter().position(|position| *position == last.position)?;
            Some((last, &batch.records[at]))
        });
        if let Some((last, record)) = stands {
            if record_fingerprint(record) != last.hash {
                return Err(ContinuityError::DifferentRecord { position: last.position });
            }
            self.unverified = false;
            return Ok(());
        }
        // A batch can be empty although more records follow.
        let is_over = batch.next.is_none() || batch.behind_ms == Some(0);
        if first.is_none() && !is_over {
            return Ok(());
        }
        if self.may_have_lost(requested_ms, retention_ms) {
            let to = first.map_or(Position::END, Position::before);
            return Err(ContinuityError::Gap { from: self.next_position(), to });
        }
        self.mark_verified();
        Ok(())
    }

    /// Ends the verification: no record is missing, or the loss was accepted.
    pub(super) fn mark_verified(&mut self) {
        self.unverified = false;
    }

    /// Advances to this record, the last one that was read.
    pub(super) fn advance(&mut self, position: Position, record: &KinesisRecord) {
        let (text, hash) = (Some(record.sequence_number.clone()), record_fingerprint(record));
        self.last = Some(LastRecord { position, text, hash });
    }

    /// Updates the caught-up time after a complete batch was read.
    pub(super) fn note_caught_up(&mut self, batch: &ShardBatch, requested_ms: u64) {
        // A batch of an unverified iterator says nothing about the records in between.
        let (Some(behind), false) = (batch.behind_ms, self.unverified) else { return };
        let caught = requested_ms.saturating_sub(behind);
        // A shard starts at its oldest record, and how old that is only shows with the first record.
        self.caught_ms = if self.last.is_some() { caught } else { caught.max(self.caught_ms) };
    }
}

/// The fingerprint of a record. It includes all fields.
fn record_fingerprint(record: &KinesisRecord) -> u64 {
    message_fingerprint(record.arrived_ms, Some(record.partition_key.as_bytes()), Some(&record.data))
}

/// The part of a batch that is new.
#[derive(Debug)]
pub(super) struct CheckedBatch {
    /// Number of records at its start that were read before.
    pub(super) old: usize,
    /// The positions of all its records.
    pub(super) positions: Vec<Position>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    fn record(number: u64) -> KinesisRecord {
        let data = number.to_string().into_bytes();
        KinesisRecord { sequence_number: number.to_string(), arrived_ms: Some(1), partition_key: String::new(), data }
    }

    fn batch(numbers: &[u64], behind_ms: u64) -> ShardBatch {
        let records = numbers.iter().map(|number| record(*number)).collect();
        ShardBatch { records, next: Some("next".to_owned()), behind_ms: Some(behind_ms) }
    }

    /// A cursor after record 5, caught up at this time.
    fn cursor_after_record_5(caught_ms: u64) -> ShardCursor {
        let hash = record_fingerprint(&record(5));
        ShardCursor::resume(PartitionProgress {
            next: 6.into(),
            rows: 5,
            fingerprint: hash,
            hint: ResumeHint::caught_up(caught_ms),
        })
    }

    #[test]
    fn iterator_starts_at_last_record_which_must_be_unchanged() {
        let mut cursor = cursor_after_record_5(0);
        assert_eq!(cursor.iterator_start(), IteratorStart::AtSequenceNumber("5".to_owned()));
        // However long ago that was.
        let checked = cursor.check_batch(&batch(&[5, 8, 9], 0), 100 * DAY, DAY);
        assert_eq!(checked.map(|checked| checked.old), Ok(1));
        let mut cursor = cursor_after_record_5(0);
        cursor.last = cursor.last.map(|last| LastRecord { hash: 1, ..last });
        let checked = cursor.check_batch(&batch(&[5, 8], 0), 0, DAY);
        assert_eq!(checked.map(drop), Err(ContinuityError::DifferentRecord { position: 5.into() }));
    }

    #[test]
    fn expired_record_is_no_loss_if_caught_up_within_retention() {
        for (hours, lost) in [(0, false), (23, false), (24, true), (240, true)] {
            let checked = cursor_after_record_5(DAY).check_batch(&batch(&[8], 0), DAY + hours * HOUR, DAY);
            let gap = ContinuityError::Gap { from: 6.into(), to: 7.into() };
            assert_eq!(checked.map(|checked| checked.old), if lost { Err(gap) } else { Ok(0) }, "{hours}");
            let checked = cursor_after_record_5(DAY).check_batch(&batch(&[], 0), DAY + hours * HOUR, DAY);
            let gap = ContinuityError::Gap { from: 6.into(), to: Position::END };
            assert_eq!(
                checked.map(|checked| checked.old),
                if lost { Err(gap) } else { Ok(0) },
                "{hours}, nothing there"
            );
        }
    }

    #[test]
    fn empty_batch_verifies_nothing_while_more_records_follow() {
        let mut cursor = cursor_after_record_5(0);
        assert!(cursor.check_batch(&batch(&[], 5_000), 9 * DAY, DAY).is_ok());
        cursor.note_caught_up(&batch(&[], 5_000), 9 * DAY);
        assert_eq!(cursor.stored_state().1, ResumeHint::None);
        assert!(cursor.check_batch(&batch(&[5], 0), 9 * DAY, DAY).is_ok());
        cursor.note_caught_up(&batch(&[5], 0), 9 * DAY);
        assert_eq!(cursor.stored_state().1, ResumeHint::CaughtUpMs(9 * DAY));
    }

    #[test]
    fn iterator_is_verified_again_after_falling_behind_retention() {
        let mut cursor = cursor_after_record_5(DAY);
        assert!(cursor.check_batch(&batch(&[5], 0), DAY, DAY).is_ok());
        cursor.note_caught_up(&batch(&[5], 0), DAY);
        assert!(!cursor.is_stale(DAY + 23 * HOUR, DAY));
        assert!(cursor.is_stale(2 * DAY, DAY));
        assert_eq!(cursor.iterator_start(), IteratorStart::AtSequenceNumber("5".to_owned()));
        assert!(cursor.check_batch(&batch(&[5, 9], 0), 2 * DAY, DAY).is_ok());
    }

    #[test]
    fn cursor_without_records_starts_at_configured_start() {
        let hint = ResumeHint::CaughtUpMs(DAY);
        let at = |fingerprint| ShardCursor::start(PartitionProgress { fingerprint, hint, ..PartitionProgress::NONE });
        assert_eq!(at(0).iterator_start(), IteratorStart::TrimHorizon);
        assert_eq!(at(77).iterator_start(), IteratorStart::AtTimestamp(77));
        assert_eq!(at(77).stored_state(), (77, hint));
        let mut cursor = at(0);
        // The oldest record can have any age without a loss.
        assert!(cursor.check_batch(&batch(&[3], DAY), DAY, DAY).is_ok());
        cursor.advance(3.into(), &record(3));
        cursor.note_caught_up(&batch(&[3], DAY), DAY);
        assert_eq!((cursor.next_position(), cursor.stored_state().1), (4.into(), ResumeHint::None));
        assert!(cursor.is_stale(DAY, DAY), "so it must go on proving itself");
        let gap = ContinuityError::Gap { from: Position::START, to: 2.into() };
        assert_eq!(
            at(0).check_batch(&batch(&[3], 0), 3 * DAY, DAY).map(drop),
            Err(gap),
            "started long ago, and never read"
        );
    }

    #[test]
    fn idle_time_is_stored_at_most_every_ten_minutes() {
        let mut cursor = cursor_after_record_5(DAY);
        let mut idle_at = |caught_ms: u64, has_records: bool| {
            cursor.caught_ms = caught_ms;
            cursor.state_for_block(has_records).1.caught_up_ms()
        };
        assert_eq!(idle_at(DAY + 60_000, false), DAY, "one minute is not enough");
        assert_eq!(idle_at(DAY + 60_000, true), DAY + 60_000, "with records it costs nothing");
        assert_eq!(idle_at(DAY + 659_999, false), DAY + 60_000);
        assert_eq!(idle_at(DAY + 660_000, false), DAY + 660_000);
    }

    #[test]
    fn too_long_sequence_number_is_rejected() {
        let mut wide = batch(&[3], 0);
        wide.records[0].sequence_number = "9".repeat(57);
        let refused = ShardCursor::start(PartitionProgress::NONE).check_batch(&wide, 0, DAY).map(drop);
        assert_eq!(refused, Err(ContinuityError::BadSequenceNumber("9".repeat(57))));
    }
}
