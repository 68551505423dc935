//! What the driver reads of the scheduler's state, and the contents of epochs and windows that it fills. Nothing is decided here.

use std::time::Duration;

use tokio::time::Instant;

use super::{EpochScheduler, SchedulerPayload, SchedulerPhase};
use pinflow_core::position::Epoch;

impl<P: SchedulerPayload> EpochScheduler<P> {
    /// The number of the epoch that takes blocks.
    pub(crate) fn open_epoch(&self) -> Epoch {
        self.open.number
    }

    /// Bytes handed to workers in the open epoch.
    pub(crate) fn open_bytes(&self) -> usize {
        self.open.bytes
    }

    /// What was read in the open epoch, and what it changed.
    pub(crate) fn open_epoch_mut(&mut self) -> (&mut P::EpochRows, &mut P::EpochAnswers) {
        (&mut self.open.rows, &mut self.open.answers)
    }

    /// The same of an epoch in flight.
    pub(crate) fn in_flight_mut(&mut self, epoch: Epoch) -> (&mut P::EpochRows, &mut P::EpochAnswers) {
        let epoch = self.in_flight.get_mut(epoch);
        (&mut epoch.rows, &mut epoch.answers)
    }

    /// Bytes of messages in the window that fills.
    pub(crate) fn window_bytes(&self) -> usize {
        self.windows.filling_bytes()
    }

    /// The window that takes blocks.
    pub(crate) fn filling_window_mut(&mut self) -> &mut P::WindowContents {
        &mut self.windows.filling_window_mut().contents
    }

    /// The window that contains an epoch.
    pub(crate) fn window_of_mut(&mut self, epoch: Epoch) -> &mut P::WindowContents {
        &mut self.windows.window_of(epoch).contents
    }

    /// Every epoch below has passed the graph.
    pub(crate) fn frontier(&self) -> Epoch {
        self.frontier
    }

    /// The last epoch that is shown; 0 before the first.
    pub(crate) fn shown_epoch(&self) -> Epoch {
        self.shown
    }

    /// The last epoch whose rows are committed. `None` without tables.
    pub(crate) fn durable_epoch(&self) -> Option<Epoch> {
        self.policy.has_tables.then_some(self.durable)
    }

    /// The epoch that holds all rows that were read back; `None` while they are read back.
    pub(crate) fn rebuilt_in(&self) -> Option<Epoch> {
        self.rebuilt_in
    }

    /// Whether the answers hold everything that the tables hold.
    pub(crate) fn is_rebuilt(&self) -> bool {
        self.rebuilt_in.is_some_and(|epoch| self.shown >= epoch)
    }

    /// Whether the answers hold everything that was there when the run started.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up_in.is_some_and(|epoch| self.shown >= epoch)
    }

    /// Whether no more blocks are taken.
    pub(crate) fn is_ending(&self) -> bool {
        self.phase != SchedulerPhase::Running
    }

    /// For how long the memory has been above its limit. `None` if it is not.
    pub(crate) fn memory_over_for(&self, now: Instant) -> Option<Duration> {
        self.memory.over_for(now)
    }

    pub(crate) fn memory_is_over(&self) -> bool {
        self.memory.is_over()
    }

    /// Whether the run ends before its sources did.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }
}
