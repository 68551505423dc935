//! The position in a shard, and the check that no record was left out. No I/O.
//!
//! Iterators are not trusted for long. Each new one (at a start, after it expired, after a failed call) starts *at* the last
//! record that was read, and the first record it returns must be that one. If that record is gone it has expired, and unread
//! records may have expired too. Time decides: everything that had arrived by `caught_ms` was read, so nothing is lost while
//! less than the retention period has passed since.

use crate::{IteratorStart, KinesisRecord, ShardBatch};
use pinflow_core::position::{PartitionProgress, Position, ResumeHint, message_fingerprint};

/// Clocks differ: a moment that lies less than this within the retention period counts as outside of it.
pub(super) const RETENTION_MARGIN_MS: u64 = 5 * 60_000;
/// That nothing has come is handed over when it is news of this much time. It makes a commit of its own, and a run may be
/// started every minute.
const IDLE_MARK_INTERVAL_MS: u64 = 10 * 60_000;

/// How far one shard was read.
#[derive(Debug, Clone)]
pub(super) struct ShardCursor {
    /// The last record that was taken; `None` before the first.
    last: Option<LastRecord>,
    /// Where to begin while there is none, Unix milliseconds; 0: at the oldest record.
    begin_ms: u64,
    /// Everything that had arrived by then was taken, or is not wanted. Before the first record: when it was begun.
    caught_ms: u64,
    /// The same as it was handed over last.
    marked_ms: u64,
    /// An iterator was asked for, and has not yet been seen to begin where it must.
    unverified: bool,
    /// Whether the tables know of it already.
    is_stored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LastRecord {
    position: Position,
    /// As the service wrote it, if it did so in this run.
    text: Option<String>,
    hash: u64,
}

/// What must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContinuityError {
    /// Records between these positions may have expired before they were read; to [`Position::END`] if nothing is there
    /// any more.
    Gap {
        /// The first position.
        from: Position,
        /// The last position.
        to: Position,
    },
    /// The last record is another one.
    DifferentRecord {
        /// Its number.
        position: Position,
    },
    /// A sequence number that cannot be handled.
    BadSequenceNumber(String),
}

impl ShardCursor {
    /// Goes on where the tables say.
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

    /// Begins a shard of which nothing was ever read.
    pub(super) fn start(reached: PartitionProgress) -> ShardCursor {
        ShardCursor { is_stored: false, ..ShardCursor::resume(reached) }
    }

    /// Whether the tables knew of the shard when the run began.
    pub(super) fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// Where the next iterator must begin.
    pub(super) fn iterator_start(&mut self) -> IteratorStart {
        self.unverified = true;
        match (&self.last, self.begin_ms) {
            (Some(LastRecord { text: Some(text), .. }), _) => IteratorStart::AtSequenceNumber(text.clone()),
            (Some(LastRecord { position, .. }), _) => IteratorStart::AtSequenceNumber(position.to_string()),
            (None, 0) => IteratorStart::TrimHorizon,
            (None, moment) => IteratorStart::AtTimestamp(moment),
        }
    }

    /// Whether what comes next may have expired, so that an iterator must prove itself again.
    pub(super) fn is_stale(&self, now_ms: u64, retention_ms: u64) -> bool {
        !self.unverified && self.may_have_lost(now_ms, retention_ms)
    }

    fn may_have_lost(&self, now_ms: u64, retention_ms: u64) -> bool {
        now_ms.saturating_sub(self.caught_ms) > retention_ms.saturating_sub(RETENTION_MARGIN_MS)
    }

    /// The position after everything taken.
    pub(super) fn next_position(&self) -> Position {
        self.last.as_ref().map_or(Position::START, |last| last.position.after())
    }

    /// What is stored beside the position: the hash of the last record, or where to begin; and the time.
    pub(super) fn stored_state(&self) -> (u64, ResumeHint) {
        (self.last.as_ref().map_or(self.begin_ms, |last| last.hash), ResumeHint::caught_up(self.caught_ms))
    }

    /// What is stored with a block that is handed over now, as [`ShardCursor::stored_state`].
    pub(super) fn state_for_block(&mut self, has_records: bool) -> (u64, ResumeHint) {
        let (fingerprint, caught_ms) = (self.stored_state().0, self.caught_ms);
        if has_records || caught_ms >= self.marked_ms.saturating_add(IDLE_MARK_INTERVAL_MS) {
            self.marked_ms = caught_ms;
        }
        (fingerprint, ResumeHint::caught_up(self.marked_ms))
    }

    /// Takes an answer that was asked for at `asked_ms`: how many of its first records were taken before.
    ///
    /// # Errors
    /// [`ContinuityError`]
    pub(super) fn check_batch(
        &mut self,
        batch: &ShardBatch,
        asked_ms: u64,
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
            self.verify_start(batch, &positions[..old], first, asked_ms, retention_ms)?;
        }
        Ok(CheckedBatch { old, positions })
    }

    /// Looks whether the iterator begins where it must.
    fn verify_start(
        &mut self,
        batch: &ShardBatch,
        old: &[Position],
        first: Option<Position>,
        asked_ms: u64,
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
        // An answer may be empty though more follows.
        let is_over = batch.next.is_none() || batch.behind_ms == Some(0);
        if first.is_none() && !is_over {
            return Ok(());
        }
        if self.may_have_lost(asked_ms, retention_ms) {
            let to = first.map_or(Position::END, Position::before);
            return Err(ContinuityError::Gap { from: self.next_position(), to });
        }
        self.mark_verified();
        Ok(())
    }

    /// What is missing was accepted, or nothing is.
    pub(super) fn mark_verified(&mut self) {
        self.unverified = false;
    }

    /// Records were taken, this one last.
    pub(super) fn advance(&mut self, position: Position, record: &KinesisRecord) {
        let (text, hash) = (Some(record.sequence_number.clone()), record_fingerprint(record));
        self.last = Some(LastRecord { position, text, hash });
    }

    /// An answer was taken to its end.
    pub(super) fn note_caught_up(&mut self, batch: &ShardBatch, asked_ms: u64) {
        // Behind an iterator that has not proved itself may lie anything.
        let (Some(behind), false) = (batch.behind_ms, self.unverified) else { return };
        let caught = asked_ms.saturating_sub(behind);
        // A shard begins with the oldest record that there is, however old; how far back that leads shows only with it.
        self.caught_ms = if self.last.is_some() { caught } else { caught.max(self.caught_ms) };
    }
}

/// The fingerprint of a record: all of it counts.
fn record_fingerprint(record: &KinesisRecord) -> u64 {
    message_fingerprint(record.arrived_ms, Some(record.partition_key.as_bytes()), Some(&record.data))
}

/// What of an answer is new.
#[derive(Debug)]
pub(super) struct CheckedBatch {
    /// Records at its beginning that were taken before.
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

    /// Stands behind record 5, all caught at a moment.
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
    fn an_iterator_begins_at_the_last_record_which_must_be_the_same() {
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
    fn a_record_that_has_expired_is_no_loss_if_all_was_caught_lately() {
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
    fn an_empty_answer_proves_nothing_while_more_follows() {
        let mut cursor = cursor_after_record_5(0);
        assert!(cursor.check_batch(&batch(&[], 5_000), 9 * DAY, DAY).is_ok());
        cursor.note_caught_up(&batch(&[], 5_000), 9 * DAY);
        assert_eq!(cursor.stored_state().1, ResumeHint::None);
        assert!(cursor.check_batch(&batch(&[5], 0), 9 * DAY, DAY).is_ok());
        cursor.note_caught_up(&batch(&[5], 0), 9 * DAY);
        assert_eq!(cursor.stored_state().1, ResumeHint::CaughtUpMs(9 * DAY));
    }

    #[test]
    fn a_reader_that_falls_behind_the_retention_must_prove_itself_again() {
        let mut cursor = cursor_after_record_5(DAY);
        assert!(cursor.check_batch(&batch(&[5], 0), DAY, DAY).is_ok());
        cursor.note_caught_up(&batch(&[5], 0), DAY);
        assert!(!cursor.is_stale(DAY + 23 * HOUR, DAY));
        assert!(cursor.is_stale(2 * DAY, DAY));
        assert_eq!(cursor.iterator_start(), IteratorStart::AtSequenceNumber("5".to_owned()));
        assert!(cursor.check_batch(&batch(&[5, 9], 0), 2 * DAY, DAY).is_ok());
    }

    #[test]
    fn before_the_first_record_it_begins_where_it_was_told_to() {
        let hint = ResumeHint::CaughtUpMs(DAY);
        let at = |fingerprint| ShardCursor::start(PartitionProgress { fingerprint, hint, ..PartitionProgress::NONE });
        assert_eq!(at(0).iterator_start(), IteratorStart::TrimHorizon);
        assert_eq!(at(77).iterator_start(), IteratorStart::AtTimestamp(77));
        assert_eq!(at(77).stored_state(), (77, hint));
        let mut cursor = at(0);
        // The oldest record is as old as can be, and nothing is lost.
        assert!(cursor.check_batch(&batch(&[3], DAY), DAY, DAY).is_ok());
        cursor.advance(3.into(), &record(3));
        cursor.note_caught_up(&batch(&[3], DAY), DAY);
        assert_eq!((cursor.next_position(), cursor.stored_state().1), (4.into(), ResumeHint::None));
        assert!(cursor.is_stale(DAY, DAY), "so it must go on proving itself");
        let gap = ContinuityError::Gap { from: Position::START, to: 2.into() };
        assert_eq!(
            at(0).check_batch(&batch(&[3], 0), 3 * DAY, DAY).map(drop),
            Err(gap),
            "begun long ago, and never read"
        );
    }

    #[test]
    fn idle_time_is_handed_over_only_now_and_then() {
        let mut cursor = cursor_after_record_5(DAY);
        let mut idle_at = |caught_ms: u64, has_records: bool| {
            cursor.caught_ms = caught_ms;
            cursor.state_for_block(has_records).1.caught_up_ms()
        };
        assert_eq!(idle_at(DAY + 60_000, false), DAY, "a minute is no news");
        assert_eq!(idle_at(DAY + 60_000, true), DAY + 60_000, "with records it costs nothing");
        assert_eq!(idle_at(DAY + 659_999, false), DAY + 60_000);
        assert_eq!(idle_at(DAY + 660_000, false), DAY + 660_000);
    }

    #[test]
    fn a_number_that_no_position_can_hold_is_refused() {
        let mut wide = batch(&[3], 0);
        wide.records[0].sequence_number = "9".repeat(57);
        let refused = ShardCursor::start(PartitionProgress::NONE).check_batch(&wide, 0, DAY).map(drop);
        assert_eq!(refused, Err(ContinuityError::BadSequenceNumber("9".repeat(57))));
    }
}
