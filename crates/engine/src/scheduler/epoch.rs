//! The epoch that takes blocks.

use std::time::Duration;

use tokio::time::Instant;

use super::SchedulerPayload;
use pinflow_core::position::Epoch;

/// The epoch that takes blocks.
pub(super) struct OpenEpoch<P: SchedulerPayload> {
    pub(super) number: Epoch,
    /// Bytes handed to workers in it.
    pub(super) bytes: usize,
    /// Of these, bytes of messages.
    pub(super) message_bytes: u64,
    /// Rows of the tables in it that fill a question.
    pub(super) fill_rows: u64,
    /// Whether it fills a question from what the graph holds.
    pub(super) walks: bool,
    /// When the previous epoch closed.
    opened_at: Instant,
    /// Whether there is something in it that must be shown.
    pub(super) has_content: bool,
    pub(super) moves_positions: bool,
    pub(super) rows: P::EpochRows,
    pub(super) answers: P::EpochAnswers,
}

impl<P: SchedulerPayload> OpenEpoch<P> {
    pub(super) fn new(number: Epoch, now: Instant) -> OpenEpoch<P> {
        OpenEpoch {
            number,
            bytes: 0,
            message_bytes: 0,
            fill_rows: 0,
            walks: false,
            opened_at: now,
            has_content: false,
            moves_positions: false,
            rows: P::EpochRows::default(),
            answers: P::EpochAnswers::default(),
        }
    }

    /// How much of a question it fills for each worker: a step, or what came of the tables. `None` if nothing.
    pub(super) fn fill_step(&self, step: u32, workers: usize) -> Option<u32> {
        if self.walks {
            return Some(step);
        }
        let rows = u32::try_from(self.fill_rows.div_ceil(workers as u64)).unwrap_or(u32::MAX);
        (rows > 0).then_some(rows)
    }

    /// When it has this length. `None` if it is empty.
    pub(super) fn close_deadline(&self, length: Duration) -> Option<Instant> {
        self.has_content.then(|| self.opened_at + length)
    }
}
