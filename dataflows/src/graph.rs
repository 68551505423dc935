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

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::trace::ExertionLogic;
use pinflow_sql::catalog::{GEO_RELATION, PIN_RELATION, POSTS, USER_RELATION};
use pinflow_sql::eval::FaultCounter;
use serde::Serialize;
use timely::WorkerConfig;
use timely::dataflow::operators::core::{Concatenate, Input};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::worker::Worker;

pub use crate::aggregates::{MedianMethod, QueryOptions, RankLimit, TieRule, UnknownOption};
pub use crate::answer::AnswerChange;
pub use crate::options::{DuplicatePolicy, GraphOptions};
pub use crate::questions::{FillProgress, QuestionSet, QuestionUsage};

use crate::aggregates::{AggregateInput, AggregateSpec, GroupCounts, maintain_answers};
use crate::general::{
    ExtraColumns, GeneralLeaves, GeneralQuestion, GeneralState, GraphStart, evaluate_kept_rows, maintain_general,
};
use crate::input::BatchedInput;
use crate::joins::{
    self, DeliveryStream, GeoProjection, JoinOutputs, KeepAllJoins, KeyChangeConsumer, MarkRequest, PinProjection,
    RelationSet, RowCounters, UserProjection,
};
use crate::keys::KeyInterner;
use crate::questions::{Question, QuestionId, QuestionPath};
use crate::record::{Geo, Lineage, Pin, User};
use crate::symbol::{SymbolHolder, SymbolSweep};

/// The size of the graph's state on one worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateSizes {
    /// Distinct `ind`s.
    pub inds: usize,
    /// Pin rows that count.
    pub pins: usize,
    /// Geo rows that count.
    pub geos: usize,
    /// User rows that count.
    pub users: usize,
    /// Groups over all answers.
    pub groups: usize,
    /// Entries over all groups: counted labels and values.
    pub entries: usize,
    /// Bytes of the table of `ind`s.
    pub ind_bytes: usize,
    /// Operations without a result while questions were evaluated: their values are null.
    pub faults: u64,
    /// Bytes of the groups and rows that questions of the general path hold.
    pub general_bytes: usize,
    /// Bytes of the stored rows. 0 with `duplicates = "keep"`, where rows are in arrangements.
    pub row_bytes: usize,
}

/// The size of a part of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StateSize {
    /// The number of records.
    pub records: usize,
    /// Their approximate size in memory, bytes.
    pub bytes: usize,
}

/// The approximate size of a group's entry: 13 bytes in a table of counts, 28 in an ordered map of pairs.
const ENTRY_BYTES: usize = 20;
/// The approximate size of a group without its entries, in a hash table that is between half and seven eighths full.
const GROUP_BYTES: usize = 110;

impl StateSizes {
    /// The distinct `ind`s.
    #[must_use]
    pub fn inds(&self) -> StateSize {
        StateSize { records: self.inds, bytes: self.ind_bytes }
    }

    /// The rows that count. With `duplicates = "keep"`, `bytes` is 0.
    #[must_use]
    pub fn rows(&self) -> StateSize {
        StateSize { records: self.pins + self.geos + self.users, bytes: self.row_bytes }
    }

    /// The groups of all answers.
    #[must_use]
    pub fn groups(&self) -> StateSize {
        StateSize {
            records: self.entries,
            bytes: self.groups * GROUP_BYTES + self.entries * ENTRY_BYTES + self.general_bytes,
        }
    }
}

impl std::ops::AddAssign for StateSizes {
    fn add_assign(&mut self, other: StateSizes) {
        self.inds += other.inds;
        self.pins += other.pins;
        self.geos += other.geos;
        self.users += other.users;
        self.groups += other.groups;
        self.entries += other.entries;
        self.ind_bytes += other.ind_bytes;
        self.row_bytes += other.row_bytes;
        self.general_bytes += other.general_bytes;
        self.faults += other.faults;
    }
}

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
    probe: ProbeHandle<u64>,
    keys: Rc<RefCell<KeyInterner>>,
    held: RowCounters,
    counts: Rc<Cell<GroupCounts>>,
    general: GeneralState,
    /// Those of all questions, and of the extra columns.
    faults: Vec<Rc<FaultCounter>>,
    row_bytes: Rc<Cell<usize>>,
    sweeps: MarkRequest,
}

impl WorkerGraph {
    /// Installs the graph for these questions on this worker. Every worker must install it, with the same arguments.
    /// `first_epoch` is open then.
    ///
    /// `changes` receives the answer changes of the groups on this worker: once per epoch, in epoch order, and not for
    /// epochs without changes. When the [`frontier`](WorkerGraph::frontier) of any worker is beyond an epoch, `changes`
    /// has been called for that epoch and all earlier ones on every worker.
    ///
    /// `fills` receives the progress of questions that were added with [`add_question`](WorkerGraph::add_question): each
    /// epoch from the one in which the graph begins to fill the answer to the one in which it is complete on this worker,
    /// before the frontier passes that epoch. An answer is complete at the first epoch at which it is on all workers.
    pub fn install(
        worker: &mut Worker,
        first_epoch: u64,
        options: GraphOptions,
        questions: &QuestionSet,
        changes: impl FnMut(u64, Vec<AnswerChange>) + 'static,
        fills: impl FnMut(u64, FillProgress) + 'static,
    ) -> WorkerGraph {
        drop(fills);
        let keys = Rc::new(RefCell::new(KeyInterner::default()));
        let held = RowCounters::default();
        let counts = Rc::new(Cell::new(GroupCounts::default()));
        let row_bytes = Rc::new(Cell::new(0));
        let probe = ProbeHandle::new();
        let sweeps = MarkRequest::default();
        let holds_symbols = Rc::new(SymbolHolder::register());
        let QuestionPrograms { aggregates, outputs, general } = QuestionPrograms::new(questions);
        let usage = GeneralState::default();
        let mut extra = ExtraColumns::default();
        let leaves = (!general.is_empty()).then(|| GeneralLeaves::new(&general, worker.peers(), &mut extra));
        let faults = general.iter().map(|question| Rc::clone(&question.faults)).chain(extra.fault_counters()).collect();
        let start = GraphStart { first_epoch, worker: worker.index(), workers: worker.peers() };
        let (pins, geos, users) = worker.dataflow::<u64, _, _>(|scope| {
            let (pins, pin_rows) = scope.new_input();
            let (geos, geo_rows) = scope.new_input();
            let (users, user_rows) = scope.new_input();
            let rows = (pin_rows, geo_rows, user_rows);
            let (inputs, updates) = match options.duplicates {
                DuplicatePolicy::Latest => {
                    let figures = (held.clone(), Rc::clone(&row_bytes));
                    let marking = (Rc::clone(&sweeps), Rc::clone(&holds_symbols));
                    let consumer = leaves.map(|leaves| Box::new(leaves) as Box<dyn KeyChangeConsumer<_>>);
                    joins::latest_joins(rows, Rc::clone(&keys), figures, (outputs, consumer), marking)
                }
                DuplicatePolicy::Keep => {
                    let updates = match leaves {
                        Some(leaves) => evaluate_kept_rows(&rows, leaves),
                        None => empty(scope),
                    };
                    (scope.concatenate(keep_all_joins(rows, &keys, &held).join_all(outputs)), updates)
                }
            };
            let others = match general.is_empty() {
                true => empty(scope),
                false => maintain_general(updates, &general, start, Rc::clone(&usage)),
            };
            maintain_answers(inputs, others, aggregates, Rc::clone(&counts), holds_symbols, changes).probe_with(&probe);
            (
                BatchedInput::new(pins, extra.of_relation(PIN_RELATION)),
                BatchedInput::new(geos, extra.of_relation(GEO_RELATION)),
                BatchedInput::new(users, extra.of_relation(USER_RELATION)),
            )
        });
        let mut graph =
            WorkerGraph { pins, geos, users, probe, keys, held, counts, general: usage, faults, row_bytes, sweeps };
        if first_epoch > 0 {
            graph.advance_to(first_epoch);
        }
        graph
    }

    /// Requests that this worker marks the symbols of its rows once `epoch`, and nothing after it, has been applied.
    ///
    /// Call it on all workers before they close the epoch. Use it only with [`DuplicatePolicy::Latest`]: with `Keep` no
    /// row is ever replaced, so there is nothing to free.
    pub fn mark_after(&mut self, epoch: u64, sweep: Arc<SymbolSweep>) {
        self.sweeps.replace(Some((epoch, sweep)));
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
    pub fn set_clock(&mut self, _clock: fn() -> u64) {}

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
        let _ = (id, question, with_rows);
        panic!("questions cannot be added yet");
    }

    /// Adds a pin row of the tables, from an epoch before the question was added, for the question with this id. Only the
    /// columns of [`ReadColumns::to_fill`](crate::questions::ReadColumns) need values, and with `duplicates = "keep"`
    /// those that are held of every row. Rows for a question that was dropped are ignored.
    pub fn fill_pin(&mut self, id: QuestionId, lineage: Lineage, row: &Pin<'_>) {
        let _ = (id, lineage, row);
    }

    /// Adds a geo row of the tables: see [`fill_pin`](WorkerGraph::fill_pin).
    pub fn fill_geo(&mut self, id: QuestionId, lineage: Lineage, row: &Geo<'_>) {
        let _ = (id, lineage, row);
    }

    /// Adds a user row of the tables: see [`fill_pin`](WorkerGraph::fill_pin).
    pub fn fill_user(&mut self, id: QuestionId, lineage: Lineage, row: &User<'_>) {
        let _ = (id, lineage, row);
    }

    /// Says that all rows of the tables that a question needs were added, on all workers, in the open epoch or earlier
    /// ones. Call it on all workers in the same epoch. The graph begins to fill the answer in this epoch.
    pub fn begin_fill(&mut self, id: QuestionId) {
        let _ = id;
    }

    /// Removes a question in the open epoch, also one that is not complete. Call it on all workers in the same epoch.
    ///
    /// From this epoch on, its answer has no changes. Its rows are not retracted one by one.
    pub fn drop_question(&mut self, id: QuestionId) {
        let _ = id;
    }

    /// What each question costs on this worker, in the order of their ids.
    #[must_use]
    pub fn question_usage(&self) -> Vec<QuestionUsage> {
        Vec::new()
    }

    /// Closes all epochs below `epoch` on this worker, and opens it.
    ///
    /// # Panics
    /// If the epoch is closed already.
    pub fn advance_to(&mut self, epoch: u64) {
        self.pins.advance_to(epoch);
        self.geos.advance_to(epoch);
        self.users.advance_to(epoch);
    }

    /// The first epoch that is not complete. All earlier epochs are complete on all workers, and their changes have
    /// been handed over. `u64::MAX` once all inputs are closed and all work is done.
    #[must_use]
    pub fn frontier(&self) -> u64 {
        self.probe.with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX))
    }

    /// The size of this worker's state.
    #[must_use]
    pub fn sizes(&self) -> StateSizes {
        let [pins, geos, users] = &self.held;
        let keys = self.keys.borrow();
        StateSizes {
            inds: keys.len(),
            pins: pins.get(),
            geos: geos.get(),
            users: users.get(),
            groups: self.counts.get().groups + self.general.get().groups,
            entries: self.counts.get().entries + self.general.get().rows,
            general_bytes: self.general.get().bytes,
            faults: self.faults.iter().map(|counter| counter.count()).sum(),
            ind_bytes: keys.allocated_bytes(),
            row_bytes: self.row_bytes.get(),
        }
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
) -> KeepAllJoins<'s> {
    let [held_pins, held_geos, held_users] = held;
    KeepAllJoins::arrange(
        joins::keep_all(pins, Rc::clone(keys), Rc::clone(held_pins)),
        joins::keep_all(geos, Rc::clone(keys), Rc::clone(held_geos)),
        joins::keep_all(users, Rc::clone(keys), Rc::clone(held_users)),
    )
}

/// The questions of a graph, by the path on which their answers are maintained.
struct QuestionPrograms {
    aggregates: Vec<AggregateSpec>,
    outputs: JoinOutputs<AggregateInput>,
    general: Rc<[GeneralQuestion]>,
}

impl QuestionPrograms {
    fn new(questions: &QuestionSet) -> QuestionPrograms {
        let (mut aggregates, mut outputs, mut general) = (Vec::new(), JoinOutputs::default(), Vec::new());
        for (id, question) in questions.iter() {
            match &question.path {
                QuestionPath::Compact(compact) => {
                    let index = u16::try_from(aggregates.len()).expect("a run has fewer than 65,536 questions");
                    let output = compact.compile(&POSTS, index).expect("a recognized question compiles");
                    outputs.push(RelationSet::of(&compact.relations), output);
                    aggregates.push(AggregateSpec {
                        answer: id,
                        name: question.name.to_string(),
                        aggregate: compact.aggregate,
                        options: compact.options,
                        output: compact.output_order(),
                    });
                }
                QuestionPath::General(program) => general.push(GeneralQuestion {
                    id,
                    name: question.name.as_str().into(),
                    program: Arc::clone(program),
                    faults: Rc::default(),
                }),
            }
        }
        QuestionPrograms { aggregates, outputs, general: general.into() }
    }
}
