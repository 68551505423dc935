//! Random histories of the scheduler. Its invariants are checked at each step.
//!
//! A history is one seed. It simulates workers, the graph's frontier and a committer whose reports come late and in any
//! order that the real ones could take, sources, stops, failures, rebuilds and memory pressure.
//! `PINFLOW_SCHEDULER_HISTORIES` is the number of histories. `PINFLOW_SCHEDULER_SEED` runs a single one, for example one
//! whose seed a failure printed.

mod invariants;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::*;
use crate::CommitPolicy;
use crate::sim_rng::SimRng;

const HISTORIES: u64 = 100_000;
/// Far more turns than any history needs to end.
const DRAIN_TURNS_MAX: usize = 20_000;
const BLOCK_BYTES_MAX: u64 = 120;
const BLOCK_ROWS_MAX: u64 = 9;
const MEMORY_MAX: u64 = 1_000;
const FILL_ROWS_MAX: u64 = 9_000;

/// Blocks are numbered in the order in which they are taken.
type BlockId = u64;

#[derive(Debug, Clone, Copy)]
enum SimWork {
    Block(BlockId),
    /// Rows of the tables that this process has read.
    Stored(usize),
    Fill,
}

/// What the workers report of an epoch.
#[derive(Debug, Default)]
struct SimRows {
    read: Vec<BlockId>,
    /// What the encoders gave if the epoch ends a window.
    encoded: Vec<BlockId>,
}

/// What a window has for its commit: blocks whose positions are committed, and blocks whose rows are.
#[derive(Debug, Default)]
struct SimWindow {
    positions: Vec<BlockId>,
    rows: Vec<BlockId>,
}

#[derive(Debug)]
struct SimPayload;

impl SchedulerPayload for SimPayload {
    type Work = SimWork;
    type EpochRows = SimRows;
    type EpochAnswers = Vec<BlockId>;
    type WindowContents = SimWindow;
}

enum SimCommand {
    Work(SimWork),
    Close { epoch: Epoch, ends_window: bool },
}

/// A worker as the engine has it: commands in order, reports in order, and an encoder that is emptied at the end of a window.
#[derive(Default)]
struct SimWorker {
    commands: VecDeque<SimCommand>,
    read: Vec<BlockId>,
    encoder: Vec<BlockId>,
    /// Reports that are under way: the epoch, and what was read and encoded.
    reports: VecDeque<(Epoch, SimRows)>,
    closed: Epoch,
}

#[derive(Debug, Clone, Copy)]
struct SimBlock {
    epoch: Epoch,
    rows: u64,
    bytes: u64,
    /// The only process whose workers can read it.
    holder: Option<usize>,
}

/// The environment of a scheduler, and a record of the scheduler's commands.
struct SchedulerSimulation {
    rng: SimRng,
    scheduler: EpochScheduler<SimPayload>,
    policy: SchedulerPolicy,
    now: Instant,
    workers: Vec<SimWorker>,
    reported_frontier: Epoch,
    committer: VecDeque<Epoch>,
    blocks: BTreeMap<BlockId, SimBlock>,
    closed: Epoch,
    passed: Epoch,
    shown: Epoch,
    /// Last epochs of the windows that were closed and not settled, oldest first.
    windows: VecDeque<Epoch>,
    /// The last epoch of the last window handed to the committer.
    committed: Epoch,
    /// The last epoch that the committer has reported as durable.
    reported_durable: Epoch,
    durable: Epoch,
    is_rebuilt: bool,
    /// Whether a question fills with each epoch.
    fills: bool,
    /// Rows given in the open epoch that fill a question.
    fill_rows: u64,
    window_end_demanded: bool,
    is_memory_high: bool,
    end_requested: bool,
    failed: bool,
    ended: bool,
    coverage: SightCounts,
}

/// Counts of the situations that the invariants are about. Histories without them would prove nothing.
type SightCounts = BTreeMap<&'static str, u64>;

/// What happens at least once in [`HISTORIES_PER_SIGHT`] histories.
const SIGHTS: [&str; 17] = [
    "sources wait",
    "frontier skips epochs",
    "window is committed",
    "last window is committed",
    "epochs without rows are settled",
    "answers are rebuilt",
    "rebuild is stopped",
    "epoch closes because a question fills",
    "rows fill a question",
    "epoch has a full step of rows of the tables",
    "window ends on demand",
    "demanded window end waits",
    "memory is high",
    "memory ends the run",
    "sources end",
    "run finishes",
    "run is aborted",
];
const HISTORIES_PER_SIGHT: u64 = 1_000;

impl SchedulerSimulation {
    fn new(seed: u64) -> SchedulerSimulation {
        let mut rng = SimRng(seed);
        let has_tables = rng.chance(85);
        let workers = rng.index(4) + 1;
        let policy = SchedulerPolicy {
            workers,
            local_workers: rng.index(workers) + 1,
            epoch_length: Duration::from_millis(rng.between(1, 50)),
            epoch_bytes_max: rng.index(800) + 1,
            epochs_in_flight_max: rng.index(4) + 1,
            commit: CommitPolicy {
                rows_max: rng.between(1, 60),
                age_max: Duration::from_millis(rng.between(1, 300)),
                bytes_max: rng.index(3_000) + 1,
                windows_in_flight_max: rng.index(3) + 1,
            },
            has_tables,
            backlogs: rng.index(3),
            memory_max: rng.chance(50).then_some(MEMORY_MAX),
            memory_grace: Duration::from_millis(200),
        };
        let now = Instant::now();
        SchedulerSimulation {
            scheduler: EpochScheduler::new(policy.clone(), now),
            workers: (0..policy.workers).map(|_| SimWorker::default()).collect(),
            policy,
            rng,
            now,
            // Epochs are numbered from 1, so epoch 0 is empty.
            reported_frontier: 1,
            committer: VecDeque::new(),
            blocks: BTreeMap::new(),
            closed: 0,
            passed: 0,
            shown: 0,
            windows: VecDeque::new(),
            committed: 0,
            reported_durable: 0,
            durable: 0,
            is_rebuilt: false,
            fills: false,
            fill_rows: 0,
            window_end_demanded: false,
            is_memory_high: false,
            end_requested: false,
            failed: false,
            ended: false,
            coverage: SightCounts::new(),
        }
    }

    /// One history: random turns, then a moment of rest, then the end.
    fn run(mut self) -> SightCounts {
        for _ in 0..self.rng.between(5, 250) {
            if self.ended {
                return self.coverage;
            }
            self.take_random_turn();
        }
        self.settle_down();
        if !self.end_requested && !self.ended {
            self.end_requested = true;
            self.take_turn(SchedulerEvent::StopRequested);
        }
        for _ in 0..DRAIN_TURNS_MAX {
            if self.ended {
                return self.coverage;
            }
            self.deliver_report();
        }
        panic!("invariant 6: the run does not end");
    }

    fn saw_if(&mut self, condition: bool, sight: &'static str) {
        *self.coverage.entry(sight).or_default() += u64::from(condition);
    }

    fn take_random_turn(&mut self) {
        if self.rng.chance(40) {
            self.now += Duration::from_millis(self.rng.below(40));
        }
        let mishap = self.rng.below(1_000);
        if mishap < 2 {
            self.failed = true;
            return self.take_turn(SchedulerEvent::Failed);
        }
        if mishap < 8 && !self.end_requested {
            self.end_requested = true;
            return self.take_turn(SchedulerEvent::StopRequested);
        }
        if self.rng.chance(3) {
            self.is_memory_high = self.policy.memory_max.is_some() && self.rng.chance(50);
        }
        if self.is_rebuilt && self.rng.chance(4) {
            self.fills = self.rng.chance(40);
        }
        if self.is_rebuilt && self.rng.chance(3) {
            return self.demand_window_end();
        }
        if self.scheduler.may_take_fill_rows() && self.rng.chance(10) {
            return self.take_fill_rows();
        }
        match self.scheduler.allowed_input() {
            AllowedInput::SourceEvents if self.rng.chance(60) => self.take_source_event(),
            AllowedInput::StoredRows if self.rng.chance(60) => self.take_stored_rows(),
            _ => self.deliver_report(),
        }
    }

    fn take_source_event(&mut self) {
        let event = match self.rng.below(200) {
            0 if !self.end_requested => {
                self.end_requested = true;
                self.saw_if(true, "sources end");
                SchedulerEvent::SourcesEnded
            }
            1..=4 => SchedulerEvent::BacklogRead,
            5..=12 => SchedulerEvent::StatusChanged,
            13..=18 => return self.take_start_positions(),
            _ => self.next_block(),
        };
        self.take_turn(event);
    }

    fn take_start_positions(&mut self) {
        let (epoch, windows) = (self.closed + 1, self.windows.len());
        self.take_turn(SchedulerEvent::StartPositionsTaken);
        if self.policy.has_tables && windows < self.policy.commit.windows_in_flight_max {
            assert!(self.windows.contains(&epoch), "invariant 6: start positions wait although a window may be cut");
        }
    }

    fn next_block(&mut self) -> SchedulerEvent<SimWork> {
        let id = self.blocks.len() as BlockId;
        let (rows, bytes) = (self.rng.between(0, BLOCK_ROWS_MAX), self.rng.between(0, BLOCK_BYTES_MAX));
        let size = usize::try_from(bytes).expect("a small number");
        let processes = self.policy.workers / self.policy.local_workers;
        let readers = match self.rng.chance(30) {
            true => BlockReaders::OfProcess(self.rng.index(processes)),
            false => BlockReaders::All,
        };
        let holder = if let BlockReaders::OfProcess(process) = readers { Some(process) } else { None };
        self.blocks.insert(id, SimBlock { epoch: self.closed + 1, rows, bytes, holder });
        SchedulerEvent::BlockTaken { work: SimWork::Block(id), rows, bytes: size, readers }
    }

    fn demand_window_end(&mut self) {
        self.window_end_demanded = self.policy.has_tables && !self.end_requested;
        self.take_turn(SchedulerEvent::WindowEndDemanded);
    }

    fn take_fill_rows(&mut self) {
        let (rows, bytes) = (self.rng.between(1, FILL_ROWS_MAX), self.rng.index(100));
        self.fill_rows += rows;
        self.saw_if(true, "rows fill a question");
        self.take_turn(SchedulerEvent::FillRowsTaken { work: SimWork::Fill, rows, bytes });
    }

    fn take_stored_rows(&mut self) {
        self.is_rebuilt = self.rng.chance(40);
        self.saw_if(self.is_rebuilt, "answers are rebuilt");
        let (bytes, can_sweep) = (self.rng.index(100), self.rng.chance(80));
        let process = self.rng.index(self.policy.workers / self.policy.local_workers);
        self.take_turn(match self.is_rebuilt {
            true => SchedulerEvent::RebuildFinished { can_sweep },
            false => SchedulerEvent::StoredRowsTaken { work: SimWork::Stored(process), bytes, process },
        });
    }

    /// Advances a worker, the frontier or the committer by one step. If none of them can advance, only time passes.
    fn deliver_report(&mut self) {
        let event = match self.rng.below(4) {
            0 => return self.step_worker(),
            1 => self.next_worker_report(),
            2 => self.next_frontier(),
            _ => self.next_durable(),
        };
        match event {
            Some(event) => self.take_turn(event),
            None => self.take_tick(),
        }
    }

    fn step_worker(&mut self) {
        let at = self.rng.index(self.workers.len());
        let worker = &mut self.workers[at];
        match worker.commands.pop_front() {
            Some(SimCommand::Work(SimWork::Block(id))) => {
                worker.read.push(id);
                worker.encoder.push(id);
            }
            Some(SimCommand::Close { epoch, ends_window }) => {
                worker.closed = epoch;
                let encoded = if ends_window { std::mem::take(&mut worker.encoder) } else { Vec::new() };
                worker.reports.push_back((epoch, SimRows { read: std::mem::take(&mut worker.read), encoded }));
            }
            Some(SimCommand::Work(SimWork::Stored(_) | SimWork::Fill)) | None => {}
        }
    }

    fn next_worker_report(&mut self) -> Option<SchedulerEvent<SimWork>> {
        let at = self.rng.index(self.workers.len());
        let (epoch, report) = self.workers[at].reports.pop_front()?;
        let (rows, answers) = self.scheduler.in_flight_mut(epoch);
        answers.extend(&report.read);
        rows.read.extend(report.read);
        rows.encoded.extend(report.encoded);
        Some(SchedulerEvent::EpochRead { epoch })
    }

    /// The frontier, which is never beyond what all workers have closed, and may skip epochs.
    fn next_frontier(&mut self) -> Option<SchedulerEvent<SimWork>> {
        let most = self.closed_by_all() + 1;
        if most <= self.reported_frontier {
            return None;
        }
        let before = self.reported_frontier;
        self.reported_frontier = self.rng.between(before + 1, most);
        self.saw_if(self.reported_frontier > before + 1, "frontier skips epochs");
        Some(SchedulerEvent::FrontierAdvanced { frontier: self.reported_frontier })
    }

    fn next_durable(&mut self) -> Option<SchedulerEvent<SimWork>> {
        let epoch = self.committer.pop_front()?;
        self.reported_durable = epoch;
        Some(SchedulerEvent::WindowDurable { epoch })
    }

    fn closed_by_all(&self) -> Epoch {
        self.workers.iter().map(|worker| worker.closed).min().expect("at least one worker")
    }

    fn has_reports_under_way(&self) -> bool {
        let is_busy = |worker: &SimWorker| !worker.commands.is_empty() || !worker.reports.is_empty();
        self.workers.iter().any(is_busy) || self.reported_frontier <= self.closed_by_all() || !self.committer.is_empty()
    }

    /// Delivers all reports and advances the clock from deadline to deadline until everything is shown and durable.
    fn settle_down(&mut self) {
        (self.is_memory_high, self.fills) = (false, false);
        for _ in 0..DRAIN_TURNS_MAX {
            let is_idle = !self.has_reports_under_way();
            if self.ended || self.end_requested || (is_idle && self.is_settled()) {
                return;
            }
            if is_idle {
                let deadline = self.scheduler.next_deadline();
                self.now = deadline.expect("invariant 6: work waits, nothing is in flight, and no deadline is set");
            }
            self.deliver_report();
        }
        panic!("invariant 6: sources wait for ever, or what they sent is never shown or never durable");
    }

    /// Whether more may be taken, and all that was taken is shown and durable.
    fn is_settled(&self) -> bool {
        let taken = self.blocks.values().next_back().map_or(0, |block| block.epoch);
        let durable = if self.policy.has_tables { self.durable } else { self.shown };
        let is_answered = self.shown >= taken && self.scheduler.is_rebuilt() == self.is_rebuilt;
        self.scheduler.allowed_input() != AllowedInput::Nothing && is_answered && durable >= taken
    }

    fn take_turn(&mut self, event: SchedulerEvent<SimWork>) {
        self.scheduler.handle_event(event, self.now);
        self.do_commands();
        self.take_tick();
    }

    /// What the driver does at the end of each turn.
    fn take_tick(&mut self) {
        if self.scheduler.memory_check_at().is_some_and(|at| self.now >= at) {
            let resident = if self.is_memory_high { MEMORY_MAX + 1 } else { MEMORY_MAX / 2 };
            self.scheduler.handle_event(SchedulerEvent::MemoryMeasured { resident }, self.now);
            self.do_commands();
        }
        let (can_sweep, fills, closed) = (self.rng.chance(80), self.fills, self.closed);
        let has_full_step =
            !self.scheduler.may_take_fill_rows() && self.scheduler.allowed_input() == AllowedInput::SourceEvents;
        let must_close = (fills || has_full_step) && self.has_room_to_fill();
        self.scheduler.handle_event(SchedulerEvent::Tick { can_sweep, fills }, self.now);
        self.do_commands();
        if !self.ended {
            assert!(!must_close || self.closed > closed, "invariant 7: a question fills, and its epoch stays open");
            self.saw_if(must_close && self.fill_rows == 0, "epoch closes because a question fills");
            self.saw_if(has_full_step, "epoch has a full step of rows of the tables");
            self.check_demanded_end();
            self.check_durable();
            self.check_credit();
            self.check_progress();
        }
    }
}

/// Prints the seed of a history that fails.
struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the history of seed {0} fails: run it alone with PINFLOW_SCHEDULER_SEED={0}", self.0);
        }
    }
}

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn scheduler_keeps_its_laws_in_random_histories() {
    let seeds = match number_from_env("PINFLOW_SCHEDULER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from_env("PINFLOW_SCHEDULER_HISTORIES").unwrap_or(HISTORIES),
    };
    let histories = seeds.end - seeds.start;
    let mut total = SightCounts::new();
    for seed in seeds {
        let _seed = SeedOnPanic(seed);
        for (sight, count) in SchedulerSimulation::new(seed).run() {
            *total.entry(sight).or_default() += count;
        }
    }
    for sight in SIGHTS {
        let count = total.get(sight).copied().unwrap_or(0);
        assert!(count >= histories / HISTORIES_PER_SIGHT, "{sight}: only {count} times in {histories} histories");
    }
}
