//! Windows: groups of whole epochs that are committed together.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::CommitPolicy;
use pinflow_core::position::Epoch;

/// The state of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowState {
    /// Accepts blocks and epochs.
    Filling,
    /// Cut. Its last epoch is closed and has not passed the graph.
    InGraph {
        /// The last epoch inside.
        last_epoch: Epoch,
    },
    /// All of its epochs have passed, and it was handed to the committer.
    Committing {
        /// The last epoch inside.
        last_epoch: Epoch,
    },
}

/// A window from its first block until it is durable.
#[derive(Debug)]
pub(crate) struct ScheduledWindow<C> {
    pub(super) state: WindowState,
    /// Records taken into it.
    rows: u64,
    /// Bytes of messages taken into it.
    bytes: usize,
    /// When it took its first block or start position.
    since: Option<Instant>,
    /// Whether it must be committed at once, regardless of its size.
    urgent: bool,
    /// Whether one of its passed epochs moved a position.
    pub(super) moves_positions: bool,
    /// The contents for its commit.
    pub(crate) contents: C,
}

impl<C: Default> ScheduledWindow<C> {
    fn new() -> ScheduledWindow<C> {
        ScheduledWindow {
            state: WindowState::Filling,
            rows: 0,
            bytes: 0,
            since: None,
            urgent: false,
            moves_positions: false,
            contents: C::default(),
        }
    }
}

impl<C> ScheduledWindow<C> {
    fn is_full(&self, policy: &CommitPolicy) -> bool {
        self.rows >= policy.rows_max || self.bytes >= policy.bytes_max
    }

    fn is_overdue(&self, policy: &CommitPolicy, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= policy.age_max)
    }

    /// The last epoch inside. `None` while more epochs can be added.
    fn last_epoch(&self) -> Option<Epoch> {
        match self.state {
            WindowState::Filling => None,
            WindowState::InGraph { last_epoch } | WindowState::Committing { last_epoch } => Some(last_epoch),
        }
    }
}

/// All windows that are not durable, oldest first: those that commit, those in the graph, and the filling one.
#[derive(Debug)]
pub(super) struct WindowQueue<C> {
    policy: CommitPolicy,
    /// Never empty: the last window, and no other, is filling.
    windows: VecDeque<ScheduledWindow<C>>,
}

impl<C: Default> WindowQueue<C> {
    pub(super) fn new(policy: CommitPolicy) -> WindowQueue<C> {
        WindowQueue { policy, windows: VecDeque::from([ScheduledWindow::new()]) }
    }

    /// Cuts the filling window after `last_epoch`, and starts the next one.
    pub(super) fn cut_window(&mut self, last_epoch: Epoch) {
        self.filling_window_mut().state = WindowState::InGraph { last_epoch };
        self.windows.push_back(ScheduledWindow::new());
    }
}

impl<C> WindowQueue<C> {
    /// Windows that were cut and are not durable.
    pub(super) fn undurable_count(&self) -> usize {
        self.windows.len() - 1
    }

    /// Whether the filling window may be cut.
    pub(super) fn may_cut(&self) -> bool {
        self.undurable_count() < self.policy.windows_in_flight_max
    }

    /// Whether another block may be added to the filling window.
    pub(super) fn has_credit(&self) -> bool {
        self.may_cut() || !self.filling_window().is_full(&self.policy)
    }

    /// Whether the filling window has reached a limit and may be cut.
    pub(super) fn is_cut_due(&self, now: Instant) -> bool {
        let filling_window = self.filling_window();
        self.may_cut()
            && (filling_window.urgent
                || filling_window.is_full(&self.policy)
                || filling_window.is_overdue(&self.policy, now))
    }

    /// When the filling window is due to be cut because of its age. `None` while it may not be cut, or is empty.
    pub(super) fn cut_deadline(&self) -> Option<Instant> {
        let deadline = self.filling_window().since.map(|since| since + self.policy.age_max);
        deadline.filter(|_| self.may_cut())
    }

    pub(super) fn filling_is_empty(&self) -> bool {
        self.filling_window().since.is_none()
    }

    /// Bytes of messages in the filling window.
    pub(super) fn filling_bytes(&self) -> usize {
        self.filling_window().bytes
    }

    pub(super) fn add_block(&mut self, rows: u64, bytes: usize, now: Instant) {
        let filling_window = self.filling_window_mut();
        filling_window.rows += rows;
        filling_window.bytes += bytes;
        filling_window.since.get_or_insert(now);
    }

    /// Adds a start position to the window. Its source waits until the position is durable.
    pub(super) fn add_start_positions(&mut self, now: Instant) {
        let filling_window = self.filling_window_mut();
        filling_window.since.get_or_insert(now);
        filling_window.urgent = true;
    }

    pub(super) fn demand_cut(&mut self) {
        self.filling_window_mut().urgent = true;
    }

    /// The window that contains an epoch.
    pub(super) fn window_of(&mut self, epoch: Epoch) -> &mut ScheduledWindow<C> {
        let at = self.windows.iter().position(|window| window.last_epoch().is_none_or(|last| epoch <= last));
        let at = at.expect("the window that fills has no last epoch");
        &mut self.windows[at]
    }

    /// Marks the window that ends with this epoch as handed to the committer.
    pub(super) fn begin_commit(&mut self, last_epoch: Epoch) {
        self.window_of(last_epoch).state = WindowState::Committing { last_epoch };
    }

    /// Removes the oldest window if it ends at or before `epoch`.
    pub(super) fn pop_durable(&mut self, epoch: Epoch) -> Option<C> {
        let is_durable = |window: &mut ScheduledWindow<C>| window.last_epoch().is_some_and(|last| last <= epoch);
        self.windows.pop_front_if(is_durable).map(|window| window.contents)
    }

    /// Whether every passed epoch is durable once the earlier windows are, because no passed epoch waits for a commit.
    pub(super) fn has_nothing_to_commit(&self) -> bool {
        self.undurable_count() == 0 && !self.filling_window().moves_positions
    }

    pub(super) fn filling_window(&self) -> &ScheduledWindow<C> {
        self.windows.back().expect("there is always a window that fills")
    }

    pub(super) fn filling_window_mut(&mut self) -> &mut ScheduledWindow<C> {
        self.windows.back_mut().expect("there is always a window that fills")
    }
}
