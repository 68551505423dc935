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
    questions: Rc<[GeneralQuestion]>,
    start: GraphStart,
    usage: GeneralState,
) -> StreamVec<'s, u64, AnswerChange> {
    let results = group_updates(updates, Rc::clone(&questions), start, Rc::clone(&usage));
    apply_upper_plans(results, questions, start, usage)
}

/// The updates of epochs that are not complete yet, in the containers they arrived in.
type PendingUpdates<T> = BTreeMap<u64, (Capability<u64>, Vec<Vec<T>>)>;

/// Applies updates to the groups of all leaves. Rows of leaves without groups are passed on.
fn group_updates<'s>(
    updates: StreamVec<'s, u64, LeafUpdate>,
    questions: Rc<[GeneralQuestion]>,
    start: GraphStart,
    usage: GeneralState,
) -> StreamVec<'s, u64, LeafResult> {
    let by_group = Exchange::new(LeafUpdate::exchange_hash);
    updates.unary_frontier(by_group, "Groups", move |mut capability, _| {
        capability.downgrade(&start.first_epoch);
        let mut groups = LeafGroups::new(&questions, usage);
        let mut initial = Some((capability, groups.initial_rows(start)));
        let mut pending: PendingUpdates<LeafUpdate> = BTreeMap::new();
        move |(input, frontier), output: &mut ResultSession<'_, '_, LeafResult>| {
            if let Some((capability, mut rows)) = initial.take() {
                output.session(&capability).give_container(&mut rows);
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
                let mut results = groups.apply(epoch, waiting);
                output.session(&capability).give_container(&mut results);
            }
        }
    })
}

/// The groups of all leaves on one worker.
struct LeafGroups {
    tables: HashMap<LeafId, LeafTable>,
    touched: Vec<LeafId>,
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
    fn new(questions: &[GeneralQuestion], usage: GeneralState) -> LeafGroups {
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
        LeafGroups { tables, touched: Vec::new(), usage }
    }

    /// The rows of groups that exist without rows, if this worker is the one that holds them.
    fn initial_rows(&mut self, start: GraphStart) -> Vec<LeafResult> {
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

/// Applies the results of leaves to the upper plans of their questions.
fn apply_upper_plans<'s>(
    results: StreamVec<'s, u64, LeafResult>,
    questions: Rc<[GeneralQuestion]>,
    start: GraphStart,
    usage: GeneralState,
) -> StreamVec<'s, u64, AnswerChange> {
    let by_question = Exchange::new(|(leaf, ..): &LeafResult| question_hash(leaf.question));
    results.unary_frontier(by_question, "Upper plans", move |mut capability, _| {
        capability.downgrade(&start.first_epoch);
        let mut plans = UpperPlans::new(&questions, usage);
        let mut initial = Some((capability, plans.initial_changes(start)));
        let mut pending: PendingUpdates<LeafResult> = BTreeMap::new();
        move |(input, frontier), output: &mut ResultSession<'_, '_, AnswerChange>| {
            if let Some((capability, mut changes)) = initial.take() {
                output.session(&capability).give_container(&mut changes);
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
                let mut changes = plans.apply(epoch, waiting);
                output.session(&capability).give_container(&mut changes);
            }
        }
    })
}

/// The upper plans of the questions on one worker. Only the worker that owns a question has rows of it.
struct UpperPlans {
    plans: HashMap<u32, HeldPlan>,
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
    fn new(questions: &[GeneralQuestion], usage: GeneralState) -> UpperPlans {
        let plans = questions.iter().map(|question| {
            let state = UpperState::new(&question.program.upper);
            let (faults, name) = (Rc::clone(&question.faults), Arc::clone(&question.name));
            (question.id.number(), HeldPlan { state, id: question.id, faults, name, counted: StateUsage::default() })
        });
        UpperPlans { plans: plans.collect(), usage }
    }

    /// The rows of answers that are there without rows of the leaves, for the questions that this worker owns.
    fn initial_changes(&mut self, start: GraphStart) -> Vec<AnswerChange> {
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
