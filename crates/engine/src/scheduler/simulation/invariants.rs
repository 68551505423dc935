//! Carries out commands in the simulation, and checks the invariants. Their numbers are those of the scheduler's module.

use super::*;
use crate::scheduler::fill_pace::MAX_STEP;

impl SchedulerSimulation {
    pub(super) fn do_commands(&mut self) {
        while let Some(command) = self.scheduler.next_command() {
            assert!(!self.ended, "invariant 6: a command after the end");
            assert!(
                !self.failed || matches!(command, SchedulerCommand::Abort),
                "invariant 6: {command:?} after a failure"
            );
            self.do_command(command);
        }
    }

    fn do_command(&mut self, command: SchedulerCommand<SimPayload>) {
        match command {
            SchedulerCommand::GiveWork { worker, work } => {
                let holder = match work {
                    SimWork::Block(id) => self.blocks[&id].holder,
                    SimWork::Stored(process) => Some(process),
                    SimWork::Fill => Some(0),
                };
                let process = worker / self.policy.local_workers;
                assert!(holder.is_none_or(|holder| holder == process), "invariant 8: {work:?} in process {process}");
                self.workers[worker].commands.push_back(SimCommand::Work(work));
            }
            SchedulerCommand::CloseEpoch { epoch, ends_window, .. } => self.close_epoch(epoch, ends_window),
            SchedulerCommand::PassEpoch { epoch, rows, .. } => self.pass_epoch(epoch, rows),
            SchedulerCommand::CommitWindow { last_epoch, is_last } => self.commit_window(last_epoch, is_last),
            SchedulerCommand::ShowEpoch { epoch, answers, .. } => self.show_epoch(epoch, answers),
            SchedulerCommand::SettleWindow { contents } => self.settle_window(&contents),
            SchedulerCommand::ShowDurable => assert_eq!(self.scheduler.shown_epoch(), self.shown),
            SchedulerCommand::WarnOfMemory => self.saw_if(true, "memory is high"),
            SchedulerCommand::EndForMemory => {
                assert!(self.is_memory_high, "invariant 6: the run ends for memory that it has");
                self.saw_if(true, "memory ends the run");
                self.end_requested = true;
            }
            SchedulerCommand::Finish => self.finish(),
            SchedulerCommand::Abort => {
                assert!(self.failed, "invariant 6: aborted without a failure");
                self.ended = true;
                self.saw_if(true, "run is aborted");
            }
        }
    }

    fn close_epoch(&mut self, epoch: Epoch, ends_window: bool) {
        assert_eq!(epoch, self.closed + 1, "invariant 1: epochs close in order, each once");
        assert!(!ends_window || self.policy.has_tables, "invariant 2: a window without tables");
        self.closed = epoch;
        self.fill_rows = 0;
        for worker in &mut self.workers {
            worker.commands.push_back(SimCommand::Close { epoch, ends_window });
        }
        if ends_window {
            let on_demand = std::mem::take(&mut self.window_end_demanded);
            self.saw_if(on_demand, "window ends on demand");
            self.windows.push_back(epoch);
        }
    }

    fn pass_epoch(&mut self, epoch: Epoch, rows: SimRows) {
        assert_eq!(epoch, self.passed + 1, "invariant 1: epochs pass in order, each once");
        assert!(epoch < self.reported_frontier, "invariant 3: epoch {epoch} passes before the frontier is beyond it");
        assert_eq!(
            sorted(rows.read.clone()),
            self.blocks_of(epoch, epoch),
            "invariant 3: passed before all workers have read it"
        );
        self.passed = epoch;
        let window = self.scheduler.window_of_mut(epoch);
        window.positions.extend(rows.read);
        window.rows.extend(rows.encoded);
    }

    fn commit_window(&mut self, last_epoch: Epoch, is_last: bool) {
        assert!(last_epoch <= self.passed, "invariant 3: a window is committed before its last epoch has passed");
        let expected = self.windows.iter().find(|last| **last > self.committed);
        assert_eq!(Some(&last_epoch), expected, "invariant 2: windows are committed in order, each once");
        let whole = self.blocks_of(self.committed + 1, last_epoch);
        let window = self.scheduler.window_of_mut(last_epoch);
        assert_eq!(sorted(window.positions.clone()), whole, "invariant 2: a window's positions cover its whole epochs");
        assert_eq!(
            sorted(std::mem::take(&mut window.rows)),
            whole,
            "invariant 2: a window's rows are those of its epochs"
        );
        assert!(
            !is_last || (self.end_requested && last_epoch == self.closed),
            "invariant 6: the last window is not the last"
        );
        self.saw_if(true, "window is committed");
        self.saw_if(is_last, "last window is committed");
        self.committed = last_epoch;
        self.committer.push_back(last_epoch);
    }

    fn show_epoch(&mut self, epoch: Epoch, answers: Vec<BlockId>) {
        assert_eq!(epoch, self.shown + 1, "invariant 1: epochs are shown in order, each once");
        assert!(epoch <= self.passed, "invariant 3: epoch {epoch} is shown before it has passed");
        assert_eq!(
            sorted(answers),
            self.blocks_of(epoch, epoch),
            "invariant 3: answers are shown before they are complete"
        );
        assert_eq!(self.scheduler.shown_epoch(), epoch);
        self.shown = epoch;
    }

    fn settle_window(&mut self, contents: &SimWindow) {
        let last = self.windows.pop_front().expect("invariant 4: a window is settled that was not cut");
        assert!(last <= self.reported_durable, "invariant 4: a window is settled before it is durable");
        let is_inside = |id: &BlockId| self.blocks[id].epoch <= last;
        assert!(contents.positions.iter().all(is_inside), "invariant 4: positions are settled that are not durable");
    }

    fn finish(&mut self) {
        self.ended = true;
        self.saw_if(true, "run finishes");
        self.saw_if(!self.is_rebuilt, "rebuild is stopped");
        assert!(self.end_requested, "invariant 6: the run ends by itself");
        assert_eq!(
            (self.passed, self.shown),
            (self.closed, self.closed),
            "invariant 6: the run ends before all is shown"
        );
        let taken = self.blocks.values().map(|block| block.epoch).max().unwrap_or(0);
        assert!(taken <= self.closed, "invariant 6: the run ends with an open epoch");
        if self.policy.has_tables {
            assert_eq!(self.reported_durable, self.closed, "invariant 6: the run ends before all is durable");
            assert_eq!(self.scheduler.durable_epoch(), Some(self.closed), "invariant 4: all is durable at the end");
        }
    }

    pub(super) fn check_durable(&mut self) {
        let Some(durable) = self.scheduler.durable_epoch() else { return };
        assert!(durable >= self.durable, "invariant 4: the durable epoch falls");
        assert!(
            durable <= self.shown.max(self.reported_durable),
            "invariant 4: an epoch is durable before it has passed"
        );
        let undurable = self.blocks_of(self.reported_durable + 1, durable);
        assert!(
            undurable.is_empty(),
            "invariant 4: epoch {durable} counts as durable, and blocks {undurable:?} are not"
        );
        self.saw_if(durable > self.durable.max(self.reported_durable), "epochs without rows are settled");
        self.durable = durable;
    }

    /// One more of each than the limit may be there because a limit is only looked at before a block is taken.
    pub(super) fn check_credit(&self) {
        let last = usize::from(self.end_requested);
        let in_flight = usize::try_from(self.closed - self.passed).expect("a small number");
        assert!(
            in_flight <= self.policy.epochs_in_flight_max + 1 + last,
            "invariant 5: {in_flight} epochs are in flight"
        );
        let undurable_count = self.windows.len();
        let windows_max = self.policy.commit.windows_in_flight_max;
        assert!(undurable_count <= windows_max + last, "invariant 5: {undurable_count} windows are in flight");
        let open = self.blocks.values().rev().take_while(|block| block.epoch > self.closed);
        let open_bytes: u64 = open.map(|block| block.bytes).sum();
        assert!(
            open_bytes < self.policy.epoch_bytes_max as u64 + BLOCK_BYTES_MAX,
            "invariant 5: {open_bytes} bytes are open"
        );
        let fill_rows_max = u64::from(MAX_STEP) * self.policy.workers as u64 + FILL_ROWS_MAX;
        assert!(self.fill_rows < fill_rows_max, "invariant 5: {} rows fill a question", self.fill_rows);
        if self.policy.has_tables {
            self.check_window_credit();
        }
    }

    /// Whether the graph has no epoch, and nothing else keeps a question from being filled.
    pub(super) fn has_room_to_fill(&self) -> bool {
        let is_held_up = self.ended || self.end_requested || self.scheduler.memory_is_over();
        !is_held_up && self.closed == self.passed
    }

    pub(super) fn check_demanded_end(&mut self) {
        if !self.window_end_demanded || self.end_requested {
            return;
        }
        self.saw_if(true, "demanded window end waits");
        let waits_for_windows = self.windows.len() >= self.policy.commit.windows_in_flight_max;
        let waits_for_graph = self.closed - self.passed > self.policy.epochs_in_flight_max as u64;
        assert!(waits_for_windows || waits_for_graph, "invariant 7: a window that was demanded to end does not");
    }

    fn check_window_credit(&self) {
        let cut = self.windows.back().copied().unwrap_or(self.committed);
        let filling = self.blocks.values().rev().take_while(|block| block.epoch > cut);
        let (rows, bytes) = filling.fold((0, 0), |sum, block| (sum.0 + block.rows, sum.1 + block.bytes));
        let commit = &self.policy.commit;
        assert!(rows < commit.rows_max + BLOCK_ROWS_MAX, "invariant 5: {rows} rows are in the open window");
        assert!(bytes < commit.bytes_max as u64 + BLOCK_BYTES_MAX, "invariant 5: {bytes} bytes are in the open window");
    }

    pub(super) fn check_progress(&mut self) {
        let deadline = self.scheduler.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "invariant 6: a deadline has passed, and nothing was done");
        if self.scheduler.allowed_input() == AllowedInput::Nothing {
            self.saw_if(!self.end_requested, "sources wait");
            assert!(self.has_reports_under_way() || deadline.is_some(), "invariant 6: sources wait for nothing");
        }
        let is_taking = self.scheduler.allowed_input() == AllowedInput::SourceEvents;
        assert!(!is_taking || self.is_rebuilt, "invariant 3: blocks are taken before the answers are rebuilt");
    }

    fn blocks_of(&self, from: Epoch, to: Epoch) -> Vec<BlockId> {
        let newest_first = self.blocks.iter().rev().skip_while(|(_, block)| block.epoch > to);
        let ids = newest_first.take_while(|(_, block)| block.epoch >= from).map(|(id, _)| *id);
        sorted(ids.collect())
    }
}

fn sorted(mut ids: Vec<BlockId>) -> Vec<BlockId> {
    ids.sort_unstable();
    ids
}
