//! The operators of groups and of upper plans.
//!
//! Both hold what arrives until its epoch is complete on all workers, apply it at once, and emit the differences. So an
//! answer at an epoch depends only on the rows up to that epoch.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use pinflow_sql::datum::Row;
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::hash::row_hash;
use pinflow_sql::incremental::{GroupTable, StateError, StateUsage, UpperState};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::GeneralQuestion;
use super::updates::{LeafId, LeafUpdate, question_hash};
use crate::answer::{AnswerCell, AnswerChange, AnswerRow, QuestionId};

/// A change of a leaf's result: a row of the leaf or of its groups.
pub(crate) type LeafResult = (LeafId, Row, i64);

/// The size of the state of both operators on one worker.
pub(crate) type GeneralState = Rc<Cell<StateUsage>>;

type ResultSession<'a, 'b, T> = OutputBuilderSession<'a, u64, CapacityContainerBuilder<Vec<T>>>;

/// Keeps the answers of the questions up to date. Returns the changes of the answers.
///
/// # Panics
/// If more rows are removed than were added: no answer is better than a wrong one.
pub(crate) fn maintain_general<'s>(
    updates: StreamVec<'s, u64, LeafUpdate>,
    questions: &[GeneralQuestion],
    start: GraphStart,
    usage: GeneralState,
) -> StreamVec<'s, u64, AnswerChange> {
    let groups = LeafGroups::new(questions, start, Rc::clone(&usage));
    let results = apply_epochs(updates, ("Groups", LeafUpdate::exchange_hash), start.first_epoch, groups);
    let by_question = |(leaf, ..): &LeafResult| question_hash(leaf.question);
    let plans = UpperPlans::new(questions, start, usage);
    apply_epochs(results, ("Upper plans", by_question), start.first_epoch, plans)
}

/// A state that turns the input of whole epochs into output.
trait EpochState {
    type Input: ExchangeData;
    type Output: Clone + 'static;

    /// What is there without any input.
    fn start(&mut self) -> Vec<Self::Output>;

    /// Applies the whole input of an epoch, in any order.
    fn apply(&mut self, epoch: u64, input: Vec<Vec<Self::Input>>) -> Vec<Self::Output>;
}

/// The input of epochs that are not complete yet, in the containers it arrived in.
type PendingInput<T> = BTreeMap<u64, (Capability<u64>, Vec<Vec<T>>)>;

/// Installs an operator that holds its input until an epoch is complete on all workers, and then applies it to `state`.
fn apply_epochs<'s, S: EpochState + 'static>(
    input: StreamVec<'s, u64, S::Input>,
    (name, route): (&str, impl Fn(&S::Input) -> u64 + 'static),
    first_epoch: u64,
    mut state: S,
) -> StreamVec<'s, u64, S::Output> {
    input.unary_frontier(Exchange::new(route), name, move |mut capability, _| {
        capability.downgrade(&first_epoch);
        let mut start = Some((capability, state.start()));
        let mut pending: PendingInput<S::Input> = BTreeMap::new();
        move |(input, frontier), output: &mut ResultSession<'_, '_, S::Output>| {
            if let Some((capability, mut results)) = start.take() {
                output.session(&capability).give_container(&mut results);
            }
            input.for_each(|time, data| {
                let (_, waiting) = pending.entry(*time.time()).or_insert_with(|| (time.retain(0), Vec::new()));
                waiting.push(std::mem::take(data));
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                let (capability, waiting) = entry.remove();
                let mut results = state.apply(epoch, waiting);
                output.session(&capability).give_container(&mut results);
            }
        }
    })
}

/// The groups of all leaves on one worker.
struct LeafGroups {
    tables: HashMap<LeafId, LeafTable>,
    touched: Vec<LeafId>,
    start: GraphStart,
    usage: GeneralState,
}

/// The groups of one leaf.
struct LeafTable {
    table: GroupTable,
    faults: Rc<FaultCounter>,
    touched: bool,
    name: Arc<str>,
    counted: StateUsage,
}

impl LeafGroups {
    fn new(questions: &[GeneralQuestion], start: GraphStart, usage: GeneralState) -> LeafGroups {
        let mut tables = HashMap::new();
        for question in questions {
            for (leaf, definition) in (0..).zip(&question.program.leaves) {
                let Some(group) = &definition.group else { continue };
                let id = LeafId { question: question.id.number(), leaf };
                let table = GroupTable::new(Arc::clone(group));
                let (faults, name) = (Rc::clone(&question.faults), Arc::clone(&question.name));
                tables.insert(id, LeafTable { table, faults, touched: false, name, counted: StateUsage::default() });
            }
        }
        LeafGroups { tables, touched: Vec::new(), start, usage }
    }
}

impl EpochState for LeafGroups {
    type Input = LeafUpdate;
    type Output = LeafResult;

    /// The rows of groups that exist without rows, if this worker is the one that holds them.
    fn start(&mut self) -> Vec<LeafResult> {
        let start = self.start;
        let mut results = Vec::new();
        for (leaf, held) in &mut self.tables {
            if held.table.spec().has_single_group() && start.owns(row_hash(&[])) {
                let rows = held.table.initial_rows(&held.faults);
                results.extend(rows.into_iter().map(|(row, diff)| (*leaf, row, diff)));
            }
        }
        results
    }

    fn apply(&mut self, epoch: u64, waiting: Vec<Vec<LeafUpdate>>) -> Vec<LeafResult> {
        let mut results = Vec::new();
        for update in waiting.into_iter().flatten() {
            let leaf = update.leaf();
            // A leaf without groups has no table.
            let Some(held) = self.tables.get_mut(&leaf) else {
                if let LeafUpdate::Row { row, diff, .. } = update {
                    results.push((leaf, row, diff));
                }
                continue;
            };
            if !held.touched {
                held.touched = true;
                self.touched.push(leaf);
            }
            match update {
                LeafUpdate::Row { row, diff, .. } => held.table.update(&row, diff),
                LeafUpdate::Partial { group, .. } => held.table.merge(&group),
            }
        }
        for leaf in self.touched.drain(..) {
            let Some(held) = self.tables.get_mut(&leaf) else { continue };
            held.touched = false;
            let finished = held.table.finish_epoch(&held.faults, &mut |row, diff| results.push((leaf, row, diff)));
            if let Err(error) = finished {
                refuse_wrong_state(&held.name, epoch, error);
            }
            count_usage(&self.usage, &mut held.counted, held.table.usage());
        }
        results
    }
}

/// The upper plans of the questions on one worker. Only the worker that owns a question has rows of it.
struct UpperPlans {
    plans: HashMap<u32, HeldPlan>,
    start: GraphStart,
    usage: GeneralState,
}

/// The upper plan of one question.
struct HeldPlan {
    state: UpperState,
    id: QuestionId,
    faults: Rc<FaultCounter>,
    name: Arc<str>,
    counted: StateUsage,
}

impl UpperPlans {
    fn new(questions: &[GeneralQuestion], start: GraphStart, usage: GeneralState) -> UpperPlans {
        let plans = questions.iter().map(|question| {
            let state = UpperState::new(&question.program.upper);
            let (faults, name) = (Rc::clone(&question.faults), Arc::clone(&question.name));
            (question.id.number(), HeldPlan { state, id: question.id, faults, name, counted: StateUsage::default() })
        });
        UpperPlans { plans: plans.collect(), start, usage }
    }
}

impl EpochState for UpperPlans {
    type Input = LeafResult;
    type Output = AnswerChange;

    /// The rows of answers that are there without rows of the leaves, for the questions that this worker owns.
    fn start(&mut self) -> Vec<AnswerChange> {
        let start = self.start;
        let mut changes = Vec::new();
        for (question, held) in &mut self.plans {
            if start.owns(question_hash(*question)) {
                match held.state.start(&held.faults) {
                    Ok(rows) => changes.extend(rows.into_iter().map(|(row, diff)| answer_change(held.id, row, diff))),
                    Err(error) => refuse_wrong_state(&held.name, 0, error),
                }
            }
        }
        changes
    }

    fn apply(&mut self, epoch: u64, waiting: Vec<Vec<LeafResult>>) -> Vec<AnswerChange> {
        let mut by_question: BTreeMap<u32, Vec<(usize, Row, i64)>> = BTreeMap::new();
        for (LeafId { question, leaf }, row, diff) in waiting.into_iter().flatten() {
            by_question.entry(question).or_default().push((leaf.into(), row, diff));
        }
        let mut changes = Vec::new();
        for (question, updates) in by_question {
            let Some(held) = self.plans.get_mut(&question) else { continue };
            match held.state.apply(updates, &held.faults) {
                Ok(rows) => changes.extend(rows.into_iter().map(|(row, diff)| answer_change(held.id, row, diff))),
                Err(error) => refuse_wrong_state(&held.name, epoch, error),
            }
            count_usage(&self.usage, &mut held.counted, held.state.usage());
        }
        changes
    }
}

fn answer_change(answer: QuestionId, row: Row, diff: i64) -> AnswerChange {
    AnswerChange { answer, row: AnswerRow(row.into_iter().map(AnswerCell::from).collect()), diff }
}

/// Where and when a graph starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GraphStart {
    /// The epoch in which answers get the rows that they have without any input.
    pub(crate) first_epoch: u64,
    /// The index of this worker.
    pub(crate) worker: usize,
    /// The number of workers.
    pub(crate) workers: usize,
}

impl GraphStart {
    /// Whether this is the worker to which a hash is exchanged.
    fn owns(self, hash: u64) -> bool {
        hash % self.workers as u64 == self.worker as u64
    }
}

/// Replaces what a part of the state has counted towards the sum by its size now.
fn count_usage(usage: &GeneralState, counted: &mut StateUsage, now: StateUsage) {
    let mut sum = usage.get();
    sum.groups = sum.groups + now.groups - counted.groups;
    sum.rows = sum.rows + now.rows - counted.rows;
    sum.bytes = sum.bytes + now.bytes - counted.bytes;
    usage.set(sum);
    *counted = now;
}

/// More was removed than was there, which is a bug: no answer is better than a wrong one.
fn refuse_wrong_state(name: &str, epoch: u64, error: StateError) -> ! {
    panic!("question {name} at epoch {epoch}: {error}")
}
