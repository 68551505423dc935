//! Closed epochs that are still in the graph.

use std::collections::VecDeque;

use super::SchedulerPayload;
use super::epoch::OpenEpoch;
use pinflow_core::position::Epoch;

/// A closed epoch that has not passed the graph.
pub(super) struct InFlightEpoch<P: SchedulerPayload> {
    pub(super) number: Epoch,
    /// Whether it is the last epoch of its window.
    pub(super) ends_window: bool,
    pub(super) moves_positions: bool,
    /// The number of workers that have read all of it.
    pub(super) workers_done: usize,
    pub(super) rows: P::EpochRows,
    pub(super) answers: P::EpochAnswers,
}

/// Closed epochs that have not passed, oldest first.
pub(super) struct InFlightEpochs<P: SchedulerPayload> {
    epochs: VecDeque<InFlightEpoch<P>>,
}

impl<P: SchedulerPayload> InFlightEpochs<P> {
    pub(super) fn new() -> InFlightEpochs<P> {
        InFlightEpochs { epochs: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.epochs.len()
    }

    pub(super) fn push(&mut self, closed: OpenEpoch<P>, ends_window: bool) {
        let OpenEpoch { number, moves_positions, rows, answers, .. } = closed;
        self.epochs.push_back(InFlightEpoch { number, ends_window, moves_positions, workers_done: 0, rows, answers });
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
