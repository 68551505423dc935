//! The scheduler: decides when to close an epoch, cut a window, take a block and stop. A pure state machine.
//!
//! The [driver](super::driver) passes it events ([`SchedulerEvent`]) and carries out its commands ([`SchedulerCommand`]). The
//! scheduler does no I/O and reads no clock: time is an argument. It owns everything that is in flight, as opaque values: see
//! [`SchedulerPayload`].
//!
//! # Invariants
//!
//! 1. **Order.** Epochs are closed, passed and shown in order, each once.
//! 2. **Whole epochs.** A window covers whole epochs: every block of an epoch is committed with the window that contains the
//!    epoch. Windows are committed in order, and cover every block once.
//! 3. **Nothing early.** An epoch is passed only after every worker has read it and the frontier is beyond it. It is shown
//!    only after that, and its window is committed only after its last epoch has passed.
//! 4. **Durability.** The durable epoch never decreases. Blocks that are not in a durable window belong to later epochs.
//! 5. **Credit.** Blocks, epochs and windows in flight are bounded by the settings, and so are the rows that an epoch takes to
//!    fill a question.
//! 6. **Progress.** While no block may be taken, a report is outstanding that will change that, or a deadline is set.
//!    No deadline stays in the past. Start positions are committed without delay. Every block taken is shown and becomes durable
//!    even if no further block arrives. After a stop, or the end of the sources, the run finishes once all reports are in, with
//!    everything durable. After a failure nothing more is shown or committed.
//! 7. **Questions.** While a question fills, an epoch closes whenever the graph has none, with or without records. If the
//!    end of a window is demanded, the next epoch that closes ends one, as soon as another window may be cut.
//! 8. **Place.** A block or rows that only one process has go to a worker of that process.
//!
//! `simulation` checks them at each step of random histories.

mod epoch;
mod epoch_pace;
mod fill_pace;
mod in_flight;
mod messages;
#[cfg(test)]
mod simulation;
mod state_view;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;
use std::ops::Range;

use tokio::time::Instant;

pub(super) use self::messages::{
    AllowedInput, BlockReaders, SchedulerCommand, SchedulerEvent, SchedulerPayload, SchedulerPolicy,
};

use self::epoch::OpenEpoch;
use self::epoch_pace::EpochPace;
use self::fill_pace::FillPace;
use self::in_flight::InFlightEpochs;
use self::window::WindowQueue;
use super::memory::{MemoryAction, MemoryGuard};
use pinflow_core::position::Epoch;

/// By how many blocks a worker of this process must have more than one of another process before a block is sent there,
/// if the other processes read sources themselves.
const REMOTE_COST_BLOCKS: usize = 4;

/// Where a run is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SchedulerPhase {
    /// Blocks are taken.
    Running,
    /// The last epoch must be closed.
    Ending,
    /// The last epoch is closed.
    Draining,
    /// [`SchedulerCommand::Finish`] or [`SchedulerCommand::Abort`] was given.
    Ended,
}

/// The state of a run. The module lists its invariants.
pub(super) struct EpochScheduler<P: SchedulerPayload> {
    policy: SchedulerPolicy,
    phase: SchedulerPhase,
    /// Whether the run ends before its sources do.
    stopped: bool,
    open: OpenEpoch<P>,
    in_flight: InFlightEpochs<P>,
    windows: WindowQueue<P::WindowContents>,
    /// Bytes handed to each worker in the open epoch.
    worker_bytes: Vec<usize>,
    /// Every epoch below has passed the graph.
    frontier: Epoch,
    /// The last epoch that has passed and is shown.
    shown: Epoch,
    durable: Epoch,
    /// The epoch that holds all rows that were read back; `None` while they are read back.
    rebuilt_in: Option<Epoch>,
    /// Readers that have not sent all that was there when they started.
    backlogs: usize,
    /// The epoch that holds the last of it.
    caught_up_in: Option<Epoch>,
    memory: MemoryGuard,
    epoch_pace: EpochPace,
    fill_pace: FillPace,
    /// Free unused texts even if they have not grown.
    sweep_demanded: bool,
    /// Rows of the tables were read back.
    has_stored_rows: bool,
    /// The open epoch is to end a window, whatever it holds.
    window_end_demanded: bool,
    /// Other processes read sources themselves.
    others_read: bool,
    commands: VecDeque<SchedulerCommand<P>>,
}

impl<P: SchedulerPayload> EpochScheduler<P> {
    pub(super) fn new(policy: SchedulerPolicy, now: Instant) -> EpochScheduler<P> {
        EpochScheduler {
            phase: SchedulerPhase::Running,
            stopped: false,
            open: OpenEpoch::new(1, now),
            in_flight: InFlightEpochs::new(),
            windows: WindowQueue::new(policy.commit),
            worker_bytes: vec![0; policy.workers],
            frontier: 0,
            shown: 0,
            durable: 0,
            rebuilt_in: None,
            backlogs: policy.backlogs,
            caught_up_in: None,
            memory: MemoryGuard::new(policy.memory_max, policy.memory_grace, now),
            epoch_pace: EpochPace::new(policy.epoch_length),
            fill_pace: FillPace::new(policy.epoch_length),
            sweep_demanded: false,
            has_stored_rows: false,
            window_end_demanded: false,
            others_read: false,
            commands: VecDeque::new(),
            policy,
        }
    }

    /// Takes in an event. Do all that [`EpochScheduler::next_command`] returns before the next event.
    pub(super) fn handle_event(&mut self, event: SchedulerEvent<P::Work>, now: Instant) {
        if self.phase == SchedulerPhase::Ended {
            return;
        }
        match event {
            SchedulerEvent::BlockTaken { work, rows, bytes, readers } => {
                self.open.moves_positions = true;
                self.open.message_bytes += bytes as u64;
                self.windows.add_block(rows, bytes, now);
                self.give_block(work, bytes, readers);
            }
            SchedulerEvent::StoredRowsTaken { work, bytes, process } => {
                self.has_stored_rows = true;
                self.give_work(work, bytes, self.workers_of(process), 0);
            }
            SchedulerEvent::FillRowsTaken { work, rows, bytes } => {
                self.open.fill_rows += rows;
                self.give_work(work, bytes, 0..self.policy.local_workers, 0);
            }
            SchedulerEvent::WindowEndDemanded => self.window_end_demanded = self.policy.has_tables,
            SchedulerEvent::RebuildFinished { can_sweep } => {
                self.rebuilt_in = Some(self.open.number);
                // Rows that were read back and then replaced leave unused texts.
                self.sweep_demanded |= self.has_stored_rows;
                // The rebuilt answers are an epoch of their own, shown even if nothing follows, and durable already.
                self.close_epoch(false, can_sweep, now);
            }
            SchedulerEvent::StartPositionsTaken => {
                self.open.has_content = true;
                self.open.moves_positions = true;
                self.windows.add_start_positions(now);
            }
            SchedulerEvent::StatusChanged => self.open.has_content = true,
            SchedulerEvent::BacklogRead => self.on_backlog_read(),
            SchedulerEvent::SourcesEnded => {
                self.caught_up_in.get_or_insert(self.open.number);
                self.begin_end(false);
            }
            SchedulerEvent::StopRequested => self.begin_end(true),
            SchedulerEvent::EpochRead { epoch } => self.in_flight.get_mut(epoch).workers_done += 1,
            SchedulerEvent::FrontierAdvanced { frontier } => self.on_frontier(frontier, now),
            SchedulerEvent::WindowDurable { epoch } => self.on_window_durable(epoch),
            SchedulerEvent::MemoryMeasured { resident } => self.on_memory_measured(resident, now),
            SchedulerEvent::Failed => self.abort_run(),
            SchedulerEvent::Tick { can_sweep, fills } => self.close_epoch_if_due(can_sweep, fills, now),
        }
    }

    /// The next command. `None` until another event arrives.
    pub(super) fn next_command(&mut self) -> Option<SchedulerCommand<P>> {
        if let Some(command) = self.commands.pop_front() {
            return Some(command);
        }
        if self.phase == SchedulerPhase::Ended {
            return None;
        }
        if let Some(command) = self.pass_next_epoch() {
            return Some(command);
        }
        if self.is_drained() {
            self.phase = SchedulerPhase::Ended;
            return Some(SchedulerCommand::Finish);
        }
        None
    }

    /// What may be taken now. If it is nothing, queues fill and sources wait.
    pub(super) fn allowed_input(&self) -> AllowedInput {
        if self.phase != SchedulerPhase::Running || !self.has_credit() {
            return AllowedInput::Nothing;
        }
        if self.rebuilt_in.is_some() { AllowedInput::SourceEvents } else { AllowedInput::StoredRows }
    }

    /// Whether rows may be taken that fill a question. An epoch takes a step of them, so that records do not wait for them.
    pub(super) fn may_take_fill_rows(&self) -> bool {
        self.allowed_input() == AllowedInput::SourceEvents && !self.has_full_step()
    }

    /// For how many `ind`s a worker fills a question in the open epoch.
    pub(super) fn fill_step(&self) -> u32 {
        self.fill_pace.step()
    }

    /// Whether the open epoch has as many rows that fill a question as it takes.
    fn has_full_step(&self) -> bool {
        self.open.fill_rows >= u64::from(self.fill_pace.step()) * self.policy.workers as u64
    }

    /// When [`SchedulerEvent::Tick`] or the next memory measurement is due, if no event arrives earlier.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let epoch = self.close_deadline().filter(|_| self.graph_has_room());
        let commit = self.windows.cut_deadline().filter(|_| self.policy.has_tables);
        [epoch, commit, self.memory_check_at()].into_iter().flatten().min()
    }

    /// When the next memory measurement is due.
    pub(super) fn memory_check_at(&self) -> Option<Instant> {
        self.memory.check_at().filter(|_| self.phase == SchedulerPhase::Running)
    }

    /// When the open epoch is due to be closed, regardless of its size. `None` if it is empty.
    fn close_deadline(&self) -> Option<Instant> {
        self.open.close_deadline(self.epoch_pace.length(self.in_flight.len() == 0))
    }

    fn graph_has_room(&self) -> bool {
        self.in_flight.len() < self.policy.epochs_in_flight_max
    }

    fn has_credit(&self) -> bool {
        // One more than the graph is meant to hold: the next epoch fills while the graph is busy.
        self.in_flight.len() <= self.policy.epochs_in_flight_max
            && !self.memory.is_over()
            && self.open.bytes < self.policy.epoch_bytes_max
            && self.windows.has_credit()
    }

    fn workers_of(&self, process: usize) -> Range<usize> {
        let first = process * self.policy.local_workers;
        first..first + self.policy.local_workers
    }

    fn give_block(&mut self, work: P::Work, bytes: usize, readers: BlockReaders) {
        match readers {
            BlockReaders::OfProcess(process) => {
                self.others_read |= process > 0;
                self.give_work(work, bytes, self.workers_of(process), 0);
            }
            BlockReaders::All => {
                // What is on its way from the source of another process is not counted yet.
                let remote_cost = if self.others_read { bytes * REMOTE_COST_BLOCKS } else { 0 };
                self.give_work(work, bytes, 0..self.policy.workers, remote_cost);
            }
        }
    }

    /// Gives work of the open epoch to the one of these workers that has least of it. Those of other processes count as if
    /// they had `remote_cost` more.
    fn give_work(&mut self, work: P::Work, bytes: usize, workers: Range<usize>, remote_cost: usize) {
        self.open.bytes += bytes;
        self.open.has_content = true;
        let cost = |worker: &usize| {
            let remote_cost = if *worker < self.policy.local_workers { 0 } else { remote_cost };
            self.worker_bytes[*worker] + remote_cost
        };
        let worker = workers.min_by_key(cost).expect("at least one worker");
        self.worker_bytes[worker] += bytes;
        self.commands.push_back(SchedulerCommand::GiveWork { worker, work });
    }

    fn on_frontier(&mut self, frontier: Epoch, now: Instant) {
        if let Some(passed) = self.in_flight.note_passed(self.frontier, frontier, now) {
            self.epoch_pace.observe_epochs(passed, now);
            // Epochs of rows that are read back take other times than those of messages.
            if self.rebuilt_in.is_some_and(|rebuilt_in| rebuilt_in < self.frontier) {
                self.fill_pace.observe_epochs(passed, now);
            }
        }
        self.frontier = self.frontier.max(frontier);
    }

    fn on_backlog_read(&mut self) {
        self.backlogs = self.backlogs.saturating_sub(1);
        if self.backlogs == 0 {
            self.caught_up_in.get_or_insert(self.open.number);
            // An epoch shows it, even if nothing follows.
            self.open.has_content = true;
        }
    }

    /// The first reason for the end counts.
    fn begin_end(&mut self, stopped: bool) {
        if self.phase == SchedulerPhase::Running {
            self.phase = SchedulerPhase::Ending;
            self.stopped = stopped;
        }
    }

    fn abort_run(&mut self) {
        self.phase = SchedulerPhase::Ended;
        self.commands.clear();
        self.commands.push_back(SchedulerCommand::Abort);
    }

    fn on_memory_measured(&mut self, resident: u64, now: Instant) {
        match self.memory.observe_resident(resident, now) {
            MemoryAction::Continue | MemoryAction::Pause { begins: false } => {}
            MemoryAction::Pause { begins: true } => {
                self.windows.demand_cut();
                self.sweep_demanded = true;
                self.commands.push_back(SchedulerCommand::WarnOfMemory);
            }
            MemoryAction::GiveUp => {
                self.begin_end(true);
                self.commands.push_back(SchedulerCommand::EndForMemory);
            }
        }
    }

    fn close_epoch_if_due(&mut self, can_sweep: bool, fills: bool, now: Instant) {
        match self.phase {
            SchedulerPhase::Running => {}
            SchedulerPhase::Ending => {
                self.phase = SchedulerPhase::Draining;
                return self.close_epoch(self.policy.has_tables, can_sweep, now);
            }
            SchedulerPhase::Draining | SchedulerPhase::Ended => return,
        }
        self.open.walks = fills;
        let is_demanded = self.may_end_demanded_window();
        let ends_window = self.policy.has_tables && (is_demanded || self.windows.is_cut_due(now));
        let is_cut = ends_window && (is_demanded || !self.windows.filling_is_empty());
        // With the graph busy, waiting makes fewer and larger epochs, which cost less.
        if is_cut || (self.graph_has_room() && self.is_epoch_due(can_sweep, fills, now)) {
            self.close_epoch(ends_window, can_sweep, now);
        }
    }

    fn is_epoch_due(&self, can_sweep: bool, fills: bool, now: Instant) -> bool {
        let is_full = self.open.bytes >= self.policy.epoch_bytes_max;
        let is_old = self.close_deadline().is_some_and(|deadline| now >= deadline);
        // A question that fills takes memory, and so it pauses like the sources.
        let walks = fills && !self.memory.is_over();
        // A record would have to wait for two of them.
        let fills = (walks || self.has_full_step()) && self.in_flight.len() == 0;
        is_full || is_old || fills || (self.sweep_demanded && can_sweep)
    }

    /// Whether a window that was demanded to end may end now.
    fn may_end_demanded_window(&self) -> bool {
        self.window_end_demanded && self.windows.may_cut() && self.in_flight.len() <= self.policy.epochs_in_flight_max
    }

    fn close_epoch(&mut self, ends_window: bool, can_sweep: bool, now: Instant) {
        let epoch = self.open.number;
        let fill_step = self.open.fill_step(self.fill_step(), self.policy.workers);
        let closed = std::mem::replace(&mut self.open, OpenEpoch::new(epoch + 1, now));
        self.in_flight.push(closed, ends_window, fill_step, now);
        if ends_window {
            self.windows.cut_window(epoch);
            self.window_end_demanded = false;
        }
        self.worker_bytes.fill(0);
        let sweep_demanded = can_sweep && std::mem::take(&mut self.sweep_demanded);
        self.commands.push_back(SchedulerCommand::CloseEpoch { epoch, ends_window, sweep_demanded });
    }

    /// Passes the oldest epoch in flight if it is complete. Further commands are queued after it.
    fn pass_next_epoch(&mut self) -> Option<SchedulerCommand<P>> {
        let passed = self.in_flight.pop_complete(self.frontier, self.policy.workers)?;
        let (epoch, ends_window, answers) = (passed.number, passed.ends_window, passed.answers);
        self.shown = epoch;
        self.windows.window_of(epoch).moves_positions |= passed.moves_positions;
        if ends_window {
            let is_last = self.phase == SchedulerPhase::Draining && self.in_flight.len() == 0;
            self.windows.begin_commit(epoch);
            self.commands.push_back(SchedulerCommand::CommitWindow { last_epoch: epoch, is_last });
        }
        if self.policy.has_tables && self.rebuilt_in.is_none_or(|rebuilt_in| epoch <= rebuilt_in) {
            // What was read back is in the tables.
            self.durable = epoch;
        }
        self.settle_empty_epochs();
        self.commands.push_back(SchedulerCommand::ShowEpoch { epoch, ends_window, answers });
        Some(SchedulerCommand::PassEpoch { epoch, closed_at: passed.closed_at, rows: passed.rows })
    }

    fn on_window_durable(&mut self, epoch: Epoch) {
        self.durable = self.durable.max(epoch);
        while let Some(contents) = self.windows.pop_durable(epoch) {
            self.commands.push_back(SchedulerCommand::SettleWindow { contents });
        }
        self.settle_empty_epochs();
        // Otherwise a reader of durable answers would wait for the next record.
        self.commands.push_back(SchedulerCommand::ShowDurable);
    }

    /// Epochs that have passed count as durable if there is nothing to commit in them: they only show how far sources are.
    fn settle_empty_epochs(&mut self) {
        if self.policy.has_tables && self.windows.has_nothing_to_commit() {
            self.durable = self.durable.max(self.shown);
        }
    }

    fn is_drained(&self) -> bool {
        self.phase == SchedulerPhase::Draining && self.in_flight.len() == 0 && self.windows.undurable_count() == 0
    }
}
