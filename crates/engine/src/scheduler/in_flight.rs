//! Closed epochs that are still in the graph.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::SchedulerPayload;
use super::epoch::OpenEpoch;
use pinflow_core::position::Epoch;

/// Epochs that have passed the graph together.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassedEpochs {
    /// When the graph began to work on them: when the first was closed, or when the one before it passed.
    pub(super) begun: Instant,
    pub(super) count: u32,
    /// Bytes of their messages.
    pub(super) message_bytes: u64,
    /// How many of them filled a question, and the sum of what they filled for each worker.
    pub(super) fills: u32,
    pub(super) steps: u64,
}

/// A closed epoch that has not passed the graph.
pub(super) struct InFlightEpoch<P: SchedulerPayload> {
    pub(super) number: Epoch,
    /// Whether it is the last epoch of its window.
    pub(super) ends_window: bool,
    pub(super) moves_positions: bool,
    pub(super) closed_at: Instant,
    message_bytes: u64,
    /// How much of a question it fills for each worker.
    fill_step: Option<u32>,
    /// The number of workers that have read all of it.
    pub(super) workers_done: usize,
    pub(super) rows: P::EpochRows,
    pub(super) answers: P::EpochAnswers,
}

/// Closed epochs that have not passed, oldest first.
pub(super) struct InFlightEpochs<P: SchedulerPayload> {
    epochs: VecDeque<InFlightEpoch<P>>,
    /// When the frontier last passed one of them.
    passed_at: Option<Instant>,
}

impl<P: SchedulerPayload> InFlightEpochs<P> {
    pub(super) fn new() -> InFlightEpochs<P> {
        InFlightEpochs { epochs: VecDeque::new(), passed_at: None }
    }

    pub(super) fn len(&self) -> usize {
        self.epochs.len()
    }

    pub(super) fn push(&mut self, closed: OpenEpoch<P>, ends_window: bool, fill_step: Option<u32>, closed_at: Instant) {
        let OpenEpoch { number, message_bytes, moves_positions, rows, answers, .. } = closed;
        self.epochs.push_back(InFlightEpoch {
            number,
            ends_window,
            moves_positions,
            closed_at,
            message_bytes,
            fill_step,
            workers_done: 0,
            rows,
            answers,
        });
    }

    /// The epochs that the frontier passes as it moves, now. `None` if there is none.
    pub(super) fn note_passed(&mut self, before: Epoch, frontier: Epoch, now: Instant) -> Option<PassedEpochs> {
        let passed = || self.epochs.iter().filter(|epoch| (before..frontier).contains(&epoch.number));
        let closed_at = passed().next()?.closed_at;
        let steps = || passed().filter_map(|epoch| epoch.fill_step);
        let (count, fills) = (passed().count() as u32, steps().count() as u32);
        let steps = steps().map(u64::from).sum();
        let message_bytes = passed().map(|epoch| epoch.message_bytes).sum();
        // The graph works on one epoch after the other.
        let begun = self.passed_at.map_or(closed_at, |before| before.max(closed_at));
        self.passed_at = Some(now);
        Some(PassedEpochs { begun, count, message_bytes, fills, steps })
    }

    /// The epoch, which must be in flight: workers report on an epoch only after it was closed and before it has passed.
    pub(super) fn get_mut(&mut self, epoch: Epoch) -> &mut InFlightEpoch<P> {
        let first = self.epochs.front().map_or(epoch, |oldest| oldest.number);
        let index = epoch.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.epochs.get_mut(index)).expect("a report is on an epoch that is in flight")
    }

    /// Removes the oldest epoch if it is below the frontier and every worker has read all of it.
    pub(super) fn pop_complete(&mut self, frontier: Epoch, workers: usize) -> Option<InFlightEpoch<P>> {
        self.epochs.pop_front_if(|oldest| oldest.number < frontier && oldest.workers_done == workers)
    }
}
