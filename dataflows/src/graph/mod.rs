//! The dataflow graph of one worker, and the only entry point for the engine.
//!
//! ```text
//! pin ──┐                 ┌─ pin ⋈ geo ────────┐
//! geo ──┼─► rows by key ──┼─ pin ⋈ user ───────┼─► aggregate inputs ──► aggregates ──► answer changes ──► probe
//! user ─┘                 ├─ pin ⋈ geo ⋈ user ─┤   (exchanged by group)
//!   (exchanged by ind)    └─ user ─────────────┘
//! ```
//!
//! There are two exchanges, and two operators that wait until an epoch is complete on all workers: the joins (with
//! `duplicates = "latest"`) and the aggregates. Everything between them streams.

mod measured_question;
mod question_programs;
mod running_questions;
mod state_sizes;
mod wire_messages;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::trace::ExertionLogic;
use timely::WorkerConfig;
use timely::dataflow::operators::core::{Concatenate, Input};
use timely::dataflow::operators::probe::Handle as ProbeHandle;
use timely::worker::Worker;

pub use crate::aggregates::{MedianMethod, QueryOptions, RankLimit, TieRule, UnknownOption};
pub use crate::answer::{AnswerChange, DisposeState};
pub use crate::options::{DuplicatePolicy, GraphOptions};
pub use crate::questions::{FillProgress, QuestionSet, QuestionUsage};
pub use crate::wire::WorkerPlacement;
pub use measured_question::{MeasuredQuestion, measure_question};
pub use state_sizes::{StateSize, StateSizes};
#[doc(hidden)]
pub use wire_messages::check_wire_message;

use self::question_programs::QuestionPrograms;
use self::running_questions::RunningQuestions;
use crate::aggregates::{AnswerContext, AnswerReceivers, maintain_answers};
use crate::answer::StateDisposal;
use crate::general::{
    CommandLog, FillStart, GeneralLeaves, KeptInput, QuestionCommand, SampleClock, WorkerShare, evaluate_kept_rows,
    maintain_general,
};
use crate::input::{BatchedInput, ItemInput, KeptInputs};
use crate::joins::{
    self, DeliveryStream, FillInput, GeoProjection, KeepAllJoins, LatestInputs, PinProjection, ProjectedRow,
    RowCounters, UserProjection, WalkStep,
};
use crate::keys::KeyInterner;
use crate::questions::{Question, QuestionId};
use crate::record::{Geo, Ind, Lineage, Pin, User};
use crate::symbol::{MarkRequest, SymbolHolder, SymbolSweep, WorkerMarks};

/// The number of keys for which a worker evaluates added questions in one epoch, unless
/// [`set_keys_per_epoch`](WorkerGraph::set_keys_per_epoch) says otherwise. It takes a few milliseconds: see
/// `benches/live_questions.rs`.
const KEYS_PER_EPOCH: u32 = 2_048;

/// The number of records that an idle arrangement merges per scheduling: about 0.1 ms of work.
const IDLE_MERGE_RECORDS: usize = 1_000;

/// Configures a timely worker for this graph: merges of arrangements that have begun continue while no records arrive.
///
/// Do not use differential's `idle_merge_effort` instead. It merges until one batch is left, so a trickle of single
/// updates rewrites whole arrangements again and again (measured: 70 times the time per update at a million `ind`s).
/// The cost of merges that have begun is already covered by earlier records.
pub fn configure(config: &mut WorkerConfig) {
    let finish: ExertionLogic = Arc::new(|levels: &[(usize, usize, usize)]| {
        let merging = levels.iter().any(|(_level, batches, _records)| *batches > 1);
        merging.then_some(IDLE_MERGE_RECORDS)
    });
    config.set("differential/default_exert_logic".to_owned(), finish);
}

/// One worker's part of the graph.
///
/// Dropping it closes its inputs, as [`WorkerGraph::close`] does.
pub struct WorkerGraph {
    pins: BatchedInput<PinProjection>,
    geos: BatchedInput<GeoProjection>,
    users: BatchedInput<UserProjection>,
    fills: GeneralInput,
    commands: CommandLog,
    /// The open epoch.
    epoch: u64,
    worker: u64,
    probe: ProbeHandle<u64>,
    keys: Rc<RefCell<KeyInterner>>,
    held: RowCounters,
    questions: RunningQuestions,
    clock: SampleClock,
    disposal: StateDisposal,
    step: WalkStep,
    row_bytes: Rc<Cell<usize>>,
    placement: WorkerPlacement,
    /// For the operator of the joins, and for that of the aggregates.
    sweeps: [MarkRequest; 2],
}

/// The input of rows of the tables for questions that are added.
enum GeneralInput {
    Latest(ItemInput<FillInput>),
    /// Rows that are delivered take this way, too, as long as there are questions of the general path.
    Keep(KeptInputs),
}

impl GeneralInput {
    fn send(&mut self, item: FillInput) {
        match self {
            GeneralInput::Latest(input) => input.send(item),
            GeneralInput::Keep(input) => input.borrow_mut().send(KeptInput::Other(item)),
        }
    }

    fn advance_to(&mut self, epoch: u64) {
        match self {
            GeneralInput::Latest(input) => input.advance_to(epoch),
            GeneralInput::Keep(input) => input.borrow_mut().advance_to(epoch),
        }
    }

    /// Where delivered rows are also sent, where that is done.
    fn copies(&self) -> Option<KeptInputs> {
        match self {
            GeneralInput::Latest(_) => None,
            GeneralInput::Keep(input) => Some(Rc::clone(input)),
        }
    }
}

impl WorkerGraph {
    /// Installs the graph for these questions on this worker. Every worker of every process must install it, with the same
    /// arguments, and before or after the same other dataflows. `first_epoch` is open then.
    ///
    /// `changes` receives the answer changes of the groups on this worker: once per epoch, in epoch order, and not for
    /// epochs without changes. When the [`frontier`](WorkerGraph::frontier) of any worker is beyond an epoch, `changes`
    /// has been called for that epoch and all earlier ones on every worker.
    ///
    /// `fills` receives the progress of questions that were added with [`add_question`](WorkerGraph::add_question), each
    /// with the index of the worker: each epoch from the one in which the graph begins to fill the answer to the one in
    /// which it is complete on that worker, before the frontier passes that epoch, and before `changes` is called for it.
    /// An answer is complete at the first epoch at which it is on all workers.
    ///
    /// With [`WorkerPlacement::SeveralProcesses`], both are called only on the worker with index 0, with the changes and
    /// the progress of all workers: `changes` at most once per epoch. When the frontier of any worker, in any process, is
    /// beyond an epoch, they have been called there for that epoch and all earlier ones.
    pub fn install(
        worker: &mut Worker,
        placement: WorkerPlacement,
        first_epoch: u64,
        options: GraphOptions,
        questions: &QuestionSet,
        changes: impl FnMut(u64, Vec<AnswerChange>) + 'static,
        fills: impl FnMut(u64, usize, FillProgress) + 'static,
    ) -> WorkerGraph {
        let receivers = AnswerReceivers { changes: Box::new(changes), fills: Box::new(fills) };
        WorkerGraph::install_boxed(worker, placement, first_epoch, options, questions, receivers)
    }

    /// Not generic, so that the operators are compiled once, with this crate, and not again in each crate that installs a
    /// graph.
    fn install_boxed(
        worker: &mut Worker,
        placement: WorkerPlacement,
        first_epoch: u64,
        options: GraphOptions,
        questions: &QuestionSet,
        receivers: AnswerReceivers,
    ) -> WorkerGraph {
        let keys = Rc::new(RefCell::new(KeyInterner::default()));
        let held = RowCounters::default();
        let row_bytes = Rc::new(Cell::new(0));
        let probe = ProbeHandle::new();
        let sweeps = [MarkRequest::default(), MarkRequest::default()];
        let clock = SampleClock::default();
        let step = WalkStep::new(Cell::new(KEYS_PER_EPOCH));
        let holds_symbols = Rc::new(SymbolHolder::register());
        let programs = QuestionPrograms::new(questions);
        let running = RunningQuestions::new(options.duplicates, programs.compact_answers());
        let QuestionPrograms { aggregates, outputs, general } = programs;
        let commands = CommandLog::default();
        let share = WorkerShare { worker: worker.index(), workers: worker.peers() };
        let disposal = StateDisposal::default();
        let leaves = GeneralLeaves::new((share, &step), &commands, &clock, &disposal);
        let (pins, geos, users, fills) = worker.dataflow::<u64, _, _>(|scope| {
            let (pins, pin_rows) = scope.new_input();
            let (geos, geo_rows) = scope.new_input();
            let (users, user_rows) = scope.new_input();
            let (fills, inputs, updates) = match options.duplicates {
                DuplicatePolicy::Latest => {
                    let (fills, fill_rows) = scope.new_input();
                    let (pins, geos, users) = (pin_rows, geo_rows, user_rows);
                    let rows = LatestInputs { pins, geos, users, fills: fill_rows, placement };
                    let figures = (held.clone(), Rc::clone(&row_bytes));
                    let marking = (Rc::clone(&sweeps[0]), Rc::clone(&holds_symbols));
                    let joined = (outputs, leaves, Rc::clone(&step));
                    let (inputs, updates) = joins::latest_joins(rows, Rc::clone(&keys), figures, joined, marking);
                    (GeneralInput::Latest(fills), inputs, updates)
                }
                DuplicatePolicy::Keep => {
                    let (kept, kept_rows) = scope.new_input();
                    let joins = keep_all_joins((pin_rows, geo_rows, user_rows), &keys, &held, placement);
                    let updates = evaluate_kept_rows(kept_rows, leaves);
                    let inputs = scope.concatenate(joins.join_all(outputs));
                    (GeneralInput::Keep(Rc::new(RefCell::new(kept))), inputs, updates)
                }
            };
            let others = maintain_general(updates, (&commands, &disposal), share, &step);
            let context = AnswerContext {
                worker: share.worker,
                placement,
                holds_symbols,
                disposal: disposal.clone(),
                sweeps: Rc::clone(&sweeps[1]),
            };
            maintain_answers(inputs, others, aggregates, context, (receivers, &probe));
            (BatchedInput::new(pins), BatchedInput::new(geos), BatchedInput::new(users), fills)
        });
        let graph = WorkerGraph {
            pins,
            geos,
            users,
            fills,
            commands,
            epoch: 0,
            worker: share.worker as u64,
            probe,
            keys,
            held,
            questions: running,
            clock,
            disposal,
            step,
            row_bytes,
            placement,
            sweeps,
        };
        graph.start_at(first_epoch, general)
    }

    /// Opens the first epoch, and adds these questions in it.
    fn start_at(mut self, first_epoch: u64, general: Vec<(QuestionId, Arc<Question>)>) -> WorkerGraph {
        if first_epoch > 0 {
            self.advance_to(first_epoch);
        }
        for (id, question) in general {
            let command = self.questions.add_question(id, &question, FillStart::Empty);
            self.send_command(command);
        }
        self
    }

    /// Requests that this worker marks the symbols that it holds once `epoch`, and nothing after it, has been applied.
    ///
    /// Call it on all workers of this process before any of them closes the epoch. Workers of other processes can close it
    /// earlier, and need no sweep at the same epoch. Use it only with [`DuplicatePolicy::Latest`]: with `Keep` no row is
    /// ever replaced, so there is nothing to free.
    pub fn mark_after(&mut self, epoch: u64, sweep: Arc<SymbolSweep>) {
        // In one process all symbols of groups are also those of rows.
        let requests = match self.placement {
            WorkerPlacement::OneProcess => &self.sweeps[..1],
            WorkerPlacement::SeveralProcesses => &self.sweeps[..],
        };
        let marks = WorkerMarks::new(sweep, requests.len());
        for request in requests {
            request.replace(Some((epoch, marks.clone())));
        }
    }

    /// Adds a pin row in the open epoch.
    pub fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.pins.send(row.ind, lineage, row);
    }

    /// Adds a geo row in the open epoch.
    pub fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        self.geos.send(row.ind, lineage, row);
    }

    /// Adds a user row in the open epoch.
    pub fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        self.users.send(row.ind, lineage, row);
    }

    /// Sets the clock with which one in 64 evaluations of a question is timed: nanoseconds since any fixed moment.
    pub fn set_clock(&mut self, clock: fn() -> u64) {
        self.clock.set(Some(clock));
    }

    /// Sets how the state of dropped questions is freed from now on, for example on another thread: it can take seconds.
    /// Until then it is freed in the epoch in which a question is dropped.
    pub fn set_disposal(&mut self, dispose: DisposeState) {
        self.disposal.set(dispose);
    }

    /// Sets for how many keys this worker evaluates added questions in one epoch, with `duplicates = "latest"`: more make
    /// an answer complete in fewer epochs, each of which takes longer. At least one.
    pub fn set_keys_per_epoch(&mut self, keys: u32) {
        self.step.set(keys.max(1));
    }

    /// Adds a question in the open epoch, on the general path. Call it on all workers in the same epoch, and in the same
    /// order as other changes of the questions. `id` must never have been used in this graph.
    ///
    /// Its answer has no rows before that epoch, and only some of them until it is complete: see `fills` of
    /// [`install`](WorkerGraph::install).
    ///
    /// `with_rows` says whether rows of the tables are needed, as [`ReadColumns::to_fill`](crate::questions::ReadColumns)
    /// does. Without them, the graph begins to fill the answer in this epoch. With them, call this before any row of the
    /// epoch is added on this worker, then [`fill_pin`](WorkerGraph::fill_pin) and the like for every row of the earlier
    /// epochs, each on any worker and in any order, in this epoch or later ones, and at last
    /// [`begin_fill`](WorkerGraph::begin_fill).
    ///
    /// # Panics
    /// If rows of the tables are needed and `with_rows` is false, or if they are and the open epoch has rows already.
    pub fn add_question(&mut self, id: QuestionId, question: &Question, with_rows: bool) {
        let has_rows = self.pins.has_rows() || self.geos.has_rows() || self.users.has_rows();
        assert!(!(with_rows && has_rows), "question {} was not added before the rows of its epoch", question.name);
        let fill = if with_rows { FillStart::AfterRows } else { FillStart::Now };
        let command = self.questions.add_question(id, question, fill);
        self.send_command(command);
    }

    /// Adds a pin row of the tables, from an epoch before the question was added, for the question with this id. Only the
    /// columns of [`ReadColumns::to_fill`](crate::questions::ReadColumns) need values, and rows of a stream without columns
    /// are not needed. Rows for a question that was dropped are ignored.
    pub fn fill_pin(&mut self, id: QuestionId, lineage: Lineage, row: &Pin<'_>) {
        self.fill_row::<PinProjection>(id, row.ind, lineage, row);
    }

    /// Adds a geo row of the tables: see [`fill_pin`](WorkerGraph::fill_pin).
    pub fn fill_geo(&mut self, id: QuestionId, lineage: Lineage, row: &Geo<'_>) {
        self.fill_row::<GeoProjection>(id, row.ind, lineage, row);
    }

    /// Adds a user row of the tables: see [`fill_pin`](WorkerGraph::fill_pin).
    pub fn fill_user(&mut self, id: QuestionId, lineage: Lineage, row: &User<'_>) {
        self.fill_row::<UserProjection>(id, row.ind, lineage, row);
    }

    /// Says that all rows of the tables that a question needs were added, on all workers, in the open epoch or earlier
    /// ones. Call it on all workers in the same epoch. The graph begins to fill the answer in this epoch.
    pub fn begin_fill(&mut self, id: QuestionId) {
        let command = self.questions.begin_fill(id);
        command.into_iter().for_each(|command| self.send_command(command));
    }

    /// Removes a question in the open epoch, also one that is not complete. Call it on all workers in the same epoch.
    ///
    /// From this epoch on, its answer has no changes. Its rows are not retracted one by one.
    pub fn drop_question(&mut self, id: QuestionId) {
        let command = self.questions.drop_question(id);
        command.into_iter().for_each(|command| self.send_command(command));
    }

    fn fill_row<R: ProjectedRow>(&mut self, id: QuestionId, ind: Ind, lineage: Lineage, row: &R::Row<'_>) {
        if let Some(row) = self.questions.fill_plan(id).and_then(|plan| plan.fill_row::<R>(ind, lineage, row)) {
            self.fills.send(FillInput::Row(row));
        }
    }

    /// Gives a command to the operators, after which rows carry what the questions need.
    fn send_command(&mut self, command: QuestionCommand) {
        self.commands.push(self.epoch, command);
        self.fills.send(FillInput::Notice { worker: self.worker });
        let [pins, geos, users] = self.questions.extra_columns();
        self.pins.set_extra(pins);
        self.geos.set_extra(geos);
        self.users.set_extra(users);
        let copies = self.fills.copies().filter(|_| self.questions.has_general());
        self.pins.set_copies(copies.clone());
        self.geos.set_copies(copies.clone());
        self.users.set_copies(copies);
    }

    /// What each question costs on this worker, in the order of their ids.
    #[must_use]
    pub fn question_usage(&self) -> Vec<QuestionUsage> {
        self.questions.usage()
    }

    /// Closes all epochs below `epoch` on this worker, and opens it.
    ///
    /// # Panics
    /// If the epoch is closed already.
    pub fn advance_to(&mut self, epoch: u64) {
        self.pins.advance_to(epoch);
        self.geos.advance_to(epoch);
        self.users.advance_to(epoch);
        self.fills.advance_to(epoch);
        self.epoch = epoch;
    }

    /// The first epoch that is not complete. All earlier epochs are complete on all workers of all processes, and their
    /// changes have been handed over. `u64::MAX` once all inputs are closed and all work is done.
    #[must_use]
    pub fn frontier(&self) -> u64 {
        self.probe.with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX))
    }

    /// The size of this worker's state.
    #[must_use]
    pub fn sizes(&self) -> StateSizes {
        let [pins, geos, users] = &self.held;
        let keys = self.keys.borrow();
        let mut sizes = StateSizes {
            inds: keys.len(),
            pins: pins.get(),
            geos: geos.get(),
            users: users.get(),
            ind_bytes: keys.allocated_bytes(),
            row_bytes: self.row_bytes.get(),
            ..StateSizes::default()
        };
        self.questions.add_sizes(&mut sizes);
        sizes
    }

    /// Closes all epochs on this worker.
    pub fn close(self) {}
}

/// Arranges the rows of all deliveries, for `duplicates = "keep"`.
fn keep_all_joins<'s>(
    (pins, geos, users): (
        DeliveryStream<'s, PinProjection>,
        DeliveryStream<'s, GeoProjection>,
        DeliveryStream<'s, UserProjection>,
    ),
    keys: &Rc<RefCell<KeyInterner>>,
    held: &RowCounters,
    placement: WorkerPlacement,
) -> KeepAllJoins<'s> {
    let [held_pins, held_geos, held_users] = held;
    KeepAllJoins::arrange(
        joins::keep_all(pins, Rc::clone(keys), Rc::clone(held_pins), placement),
        joins::keep_all(geos, Rc::clone(keys), Rc::clone(held_geos), placement),
        joins::keep_all(users, Rc::clone(keys), Rc::clone(held_users), placement),
    )
}
