//! Where a shard is read on, and the proof that nothing was left out. No I/O here.
//!
//! An iterator is never trusted for long. Whenever one is asked for anew (at a start, after it has expired, after a call
//! that failed), it begins *at* the last record that was read, and the first record it brings must be that one. If the
//! record is not there any more, it has expired, and so may others have that were not read. What tells is time:
//! everything that had arrived by `caught_ms` was read, so nothing is lost as long as the retention period has not
//! passed since.

use crate::kinesis::{Answer, Begin, Record};
use crate::position::{Position, Reached};

use super::anchor;

/// Clocks differ: a moment that lies less than this within the retention period counts as outside of it.
pub(super) const MARGIN_MS: u64 = 5 * 60_000;

/// How far one shard was read.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// The last record that was taken; `None` before the first.
    last: Option<Last>,
    /// Where to begin while there is none, Unix milliseconds; 0: at the oldest record.
    begin_ms: u64,
    /// Everything that had arrived by then was taken, or is not wanted.
    caught_ms: u64,
    /// An iterator was asked for, and has not yet been seen to begin where it must.
    unproved: bool,
    /// It was resumed before its first record, so what it begins with cannot be known.
    resumed_blank: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    position: Position,
    /// As the service wrote it, if it did so in this run.
    text: Option<String>,
    hash: u64,
}

/// What must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Breach {
    /// Records between these positions may have expired before they were read; to [`Position::END`] if nothing is there
    /// any more.
    Gap {
        /// The first position.
        from: Position,
        /// The last position.
        to: Position,
    },
    /// The last record is another one.
    Other {
        /// Its number.
        position: Position,
    },
    /// A sequence number that cannot be handled.
    Unreadable(String),
}

impl Cursor {
    /// Goes on where the tables say.
    pub(super) fn resume(reached: Reached) -> Cursor {
        let is_blank = reached.next == Position::START;
        Cursor {
            last: (!is_blank).then(|| Last { position: reached.next.before(), text: None, hash: reached.anchor }),
            begin_ms: if is_blank { reached.anchor } else { 0 },
            caught_ms: reached.seek,
            unproved: true,
            resumed_blank: is_blank,
        }
    }

    /// Begins a shard of which nothing was ever read.
    pub(super) fn fresh(reached: Reached) -> Cursor {
        Cursor { resumed_blank: false, ..Cursor::resume(reached) }
    }

    /// Where the next iterator must begin.
    pub(super) fn begin(&mut self) -> Begin {
        self.unproved = true;
        match (&self.last, self.begin_ms) {
            (Some(Last { text: Some(text), .. }), _) => Begin::At(text.clone()),
            (Some(Last { position, .. }), _) => Begin::At(position.to_string()),
            (None, 0) => Begin::Horizon,
            (None, moment) => Begin::Moment(moment),
        }
    }

    /// Whether what comes next may have expired, so that an iterator must prove itself again.
    pub(super) fn is_stale(&self, now_ms: u64, retention_ms: u64) -> bool {
        self.last.is_some() && !self.unproved && self.may_have_lost(now_ms, retention_ms)
    }

    fn may_have_lost(&self, now_ms: u64, retention_ms: u64) -> bool {
        now_ms.saturating_sub(self.caught_ms) > retention_ms.saturating_sub(MARGIN_MS)
    }

    /// The position after everything taken.
    pub(super) fn next(&self) -> Position {
        self.last.as_ref().map_or(Position::START, |last| last.position.after())
    }

    /// What is stored beside the position: the hash of the last record, or where to begin; and the time.
    pub(super) fn stored(&self) -> (u64, u64) {
        (self.last.as_ref().map_or(self.begin_ms, |last| last.hash), self.caught_ms)
    }

    /// Takes an answer that was asked for at `asked_ms`: how many of its first records were taken before.
    ///
    /// # Errors
    /// [`Breach`]
    pub(super) fn admit(&mut self, answer: &Answer, asked_ms: u64, retention_ms: u64) -> Result<Admitted, Breach> {
        let numbers = answer.records.iter().map(|record| {
            Position::parse(record.sequence_number.as_bytes())
                .ok_or_else(|| Breach::Unreadable(record.sequence_number.clone()))
        });
        let positions = numbers.collect::<Result<Vec<_>, _>>()?;
        let old = match &self.last {
            Some(last) => positions.iter().take_while(|position| **position <= last.position).count(),
            None => 0,
        };
        let first = positions.get(old).copied();
        if self.unproved {
            self.prove(answer, &positions[..old], first, asked_ms, retention_ms)?;
        }
        Ok(Admitted { old, positions })
    }

    /// Looks whether the iterator begins where it must.
    fn prove(
        &mut self,
        answer: &Answer,
        old: &[Position],
        first: Option<Position>,
        asked_ms: u64,
        retention_ms: u64,
    ) -> Result<(), Breach> {
        let stands = self.last.as_ref().and_then(|last| {
            let at = old.iter().position(|position| *position == last.position)?;
            Some((last, &answer.records[at]))
        });
        if let Some((last, record)) = stands {
            if anchor::hash(record) != last.hash {
                return Err(Breach::Other { position: last.position });
            }
            self.unproved = false;
            return Ok(());
        }
        // An answer may be empty though more follows.
        let is_over = answer.next.is_none() || answer.behind_ms == Some(0);
        if first.is_none() && !is_over {
            return Ok(());
        }
        let must_stand = self.last.is_some() || self.resumed_blank;
        if must_stand && self.may_have_lost(asked_ms, retention_ms) {
            let to = first.map_or(Position::END, Position::before);
            return Err(Breach::Gap { from: self.next(), to });
        }
        self.proved();
        Ok(())
    }

    /// What is missing was accepted, or nothing is.
    pub(super) fn proved(&mut self) {
        self.unproved = false;
        self.resumed_blank = false;
    }

    /// A record was taken.
    pub(super) fn take(&mut self, position: Position, record: &Record) {
        let (text, hash) = (Some(record.sequence_number.clone()), anchor::hash(record));
        self.last = Some(Last { position, text, hash });
        self.resumed_blank = false;
    }

    /// An answer was taken to its end.
    pub(super) fn caught(&mut self, answer: &Answer, asked_ms: u64) {
        // Behind an iterator that has not proved itself may lie anything.
        if let (Some(behind), false) = (answer.behind_ms, self.unproved) {
            self.caught_ms = self.caught_ms.max(asked_ms.saturating_sub(behind));
        }
    }
}

/// What of an answer is new.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Records at its beginning that were taken before.
    pub(super) old: usize,
    /// The positions of all its records.
    pub(super) positions: Vec<Position>,
}
