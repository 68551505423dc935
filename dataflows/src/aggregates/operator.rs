//! The stateful operator that holds all groups of all questions.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hashbrown::HashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::combine::combine_counts;
use super::{Aggregate, AggregateInput, GroupKey, GroupState, GroupUpdate, QueryOptions, consolidate};
use crate::answer::{AnswerCell, AnswerChange, AnswerRow, AnswerUpdate, QuestionId, StateDisposal};
use crate::epoch::message_epoch;
use crate::hash::KeyedState;
use crate::symbol::{Symbol, SymbolHolder};

/// What the operator needs to know of a question.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// The question, as changes of its answer name it.
    pub answer: QuestionId,
    /// The name of the answer.
    pub name: String,
    /// How inputs of a group become rows of the answer.
    pub aggregate: Aggregate,
    /// How the aggregate ranks, and which median it takes.
    pub options: QueryOptions,
    /// For each column of the answer its place among grouping columns, label and value. `None` if it is the same.
    pub output: Option<Box<[usize]>>,
    /// The size of its state on this worker.
    pub counts: Rc<Cell<GroupCounts>>,
    /// Set once the question is dropped and no input of it counts any more, so that none needs to be made.
    pub is_dropped: Rc<Cell<bool>>,
}

/// The size of the state that the operator holds of a question on one worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Groups.
    pub groups: usize,
    /// Entries of all groups: counted labels and values.
    pub entries: usize,
}

/// The approximate size of a group's entry: 13 bytes in a table of counts, 28 in an ordered map of pairs.
const ENTRY_BYTES: usize = 20;
/// The approximate size of a group without its entries, in a hash table that is between half and seven eighths full.
const GROUP_BYTES: usize = 110;

impl GroupCounts {
    /// The approximate size in memory, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.groups * GROUP_BYTES + self.entries * ENTRY_BYTES
    }
}

impl std::ops::AddAssign for GroupCounts {
    fn add_assign(&mut self, other: GroupCounts) {
        self.groups += other.groups;
        self.entries += other.entries;
    }
}

/// Receives the answer changes of an epoch.
pub(crate) type ChangesReceiver = Box<dyn FnMut(u64, Vec<AnswerChange>)>;

/// The operator's name, as `GET /graph` shows it.
pub(crate) const AGGREGATES_OPERATOR: &str = "Measures";

/// Keeps the answers of all questions up to date. `asked` lists the questions by the index that their
/// inputs have. `others` are changes of answers that other operators keep up to date on this worker, and questions that
/// are dropped.
///
/// Inputs are buffered, under a retained capability, until their epoch is complete on all workers. Then `changes` is
/// called with the answer changes of the groups on this worker: once per epoch, in epoch order, and not for epochs
/// without changes.
///
/// The output stream carries no data. Once its frontier has passed an epoch, `changes` has been called for that epoch
/// on all workers.
///
/// The operator holds only symbols of rows that count: a sweep that marks those rows has marked all symbols held here.
///
/// # Panics
/// If more inputs are retracted than were inserted: no answer is better than a wrong one.
pub(crate) fn maintain_answers<'s>(
    inputs: StreamVec<'s, u64, (AggregateInput, u64, i64)>,
    others: StreamVec<'s, u64, AnswerUpdate>,
    asked: Vec<AggregateSpec>,
    (holds_symbols, disposal): (Rc<SymbolHolder>, StateDisposal),
    mut changes: ChangesReceiver,
) -> StreamVec<'s, u64, ()> {
    let summed = asked.iter().map(|it| it.aggregate.is_count_only()).collect();
    let inputs = combine_counts(inputs, summed);
    let by_group = Exchange::new(|(input, _, _): &(AggregateInput, u64, i64)| input.exchange_hash());
    inputs.binary_frontier(others, by_group, Pipeline, AGGREGATES_OPERATOR, move |_, _| {
        let mut pending: PendingEpochs = BTreeMap::new();
        let mut answers = AnswerGroups::new(asked, disposal);
        move |(input, frontier),
              (other, other_frontier),
              _output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<()>>>| {
            let _ = &holds_symbols;
            input.for_each(|time, data| {
                // A join that catches up can emit several epochs in one container.
                while let Some(&(_, epoch, _)) = data.first() {
                    let others = data.iter().position(|(_, other, _)| *other != epoch);
                    let rest = others.map_or_else(Vec::new, |others| data.split_off(others));
                    let waiting = pending.entry(epoch).or_insert_with(|| PendingEpoch::new(time.delayed(&epoch, 0)));
                    waiting.inputs.push(std::mem::replace(data, rest));
                }
            });
            other.for_each(|time, data| {
                let epoch = message_epoch(&time);
                let waiting = pending.entry(epoch).or_insert_with(|| PendingEpoch::new(time.delayed(&epoch, 0)));
                waiting.others.append(data);
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) || other_frontier.less_equal(&epoch) {
                    break;
                }
                // Drop the capability only after the call: the probe must not pass the epoch earlier.
                let PendingEpoch { capability: _capability, inputs, others } = entry.remove();
                let mut changed = apply_others(others, &mut answers);
                answers.apply(epoch, inputs, &mut changed);
                if !changed.is_empty() {
                    changes(epoch, changed);
                }
            }
        }
    })
}

/// Drops questions, and returns the changes of the other answers.
fn apply_others(others: Vec<AnswerUpdate>, answers: &mut AnswerGroups) -> Vec<AnswerChange> {
    let (mut changed, mut dropped) = (Vec::new(), BTreeSet::new());
    for other in others {
        match other {
            AnswerUpdate::Change(change) => changed.push(change),
            AnswerUpdate::Drop(question) => drop(dropped.insert(question)),
        }
    }
    if !dropped.is_empty() {
        changed.retain(|change| !dropped.contains(&change.answer));
        answers.drop_questions(&dropped);
    }
    changed
}

/// Inputs and changes of an epoch that is not complete yet, in the containers they arrived in.
struct PendingEpoch {
    capability: Capability<u64>,
    inputs: Vec<Vec<(AggregateInput, u64, i64)>>,
    others: Vec<AnswerUpdate>,
}

impl PendingEpoch {
    fn new(capability: Capability<u64>) -> PendingEpoch {
        PendingEpoch { capability, inputs: Vec::new(), others: Vec::new() }
    }
}

type PendingEpochs = BTreeMap<u64, PendingEpoch>;

/// Limits of the emptied update lists that are kept for reuse: how many, and the capacity of each (12 MB together).
const SPARE_LISTS_MAX: usize = 1024;
const SPARE_LIST_UPDATES_MAX: usize = 512;

/// The groups of all answers on this worker.
struct AnswerGroups {
    asked: Vec<AggregateSpec>,
    groups: Vec<HashMap<GroupKey, GroupEntry, KeyedState>>,
    touched: Vec<(u16, GroupKey)>,
    /// Emptied lists for pending updates, reused from epoch to epoch.
    spare: Vec<Vec<GroupUpdate>>,
    disposal: StateDisposal,
}

/// A group, and the updates of the current epoch that are not applied to it yet.
struct GroupEntry {
    waiting: Vec<GroupUpdate>,
    state: GroupState,
}

impl AnswerGroups {
    fn new(asked: Vec<AggregateSpec>, disposal: StateDisposal) -> AnswerGroups {
        let groups = asked.iter().map(|_| HashMap::default()).collect();
        AnswerGroups { asked, groups, touched: Vec::new(), spare: Vec::new(), disposal }
    }

    /// Frees the groups of questions. All earlier epochs are applied, so no input of them counts any more.
    fn drop_questions(&mut self, dropped: &BTreeSet<QuestionId>) {
        for (asked, groups) in self.asked.iter().zip(&mut self.groups) {
            if dropped.contains(&asked.answer) {
                asked.is_dropped.set(true);
                asked.counts.take();
                self.disposal.dispose_of(std::mem::take(groups));
            }
        }
    }

    /// Applies all inputs of an epoch and adds the changes of the answers to `changed`.
    fn apply(&mut self, epoch: u64, inputs: Vec<Vec<(AggregateInput, u64, i64)>>, changed: &mut Vec<AnswerChange>) {
        for (AggregateInput { group, label, answer, value }, _, diff) in inputs.into_iter().flatten() {
            let measure = self.asked[usize::from(answer)].aggregate;
            let held = self.groups[usize::from(answer)]
                .entry(group)
                .or_insert_with(|| GroupEntry { waiting: Vec::new(), state: measure.empty_group() });
            if held.waiting.is_empty() {
                self.touched.push((answer, group));
                held.waiting = self.spare.pop().unwrap_or_default();
            }
            held.waiting.push(GroupUpdate { label, value, diff });
        }
        for (answer, group) in std::mem::take(&mut self.touched) {
            if self.asked[usize::from(answer)].is_dropped.get() {
                // The inputs were made on a worker that was behind this one.
                self.groups[usize::from(answer)].remove(&group);
            } else {
                self.apply_pending(epoch, answer, group, changed);
            }
        }
    }

    /// Applies a group's pending updates.
    fn apply_pending(&mut self, epoch: u64, answer: u16, group: GroupKey, changed: &mut Vec<AnswerChange>) {
        let asked = &self.asked[usize::from(answer)];
        let groups = &mut self.groups[usize::from(answer)];
        let held = groups.get_mut(&group).expect("a touched group is held");
        let mut updates = std::mem::take(&mut held.waiting);
        consolidate(&mut updates);
        let before = held.state.entries();
        let mut emit = |label: Option<Symbol>, value, diff| {
            changed.push(AnswerChange { answer: asked.answer, row: asked.answer_row(group, label, value), diff });
        };
        if let Err(negative) = held.state.apply(&updates, &asked.options, &mut emit) {
            panic!("answer {} at epoch {epoch}, group {group:?}: {negative}", asked.name);
        }
        let after = held.state.entries();
        let mut counts = asked.counts.get();
        counts.entries = counts.entries + after - before;
        // A group exists while it has entries.
        counts.groups = counts.groups + usize::from(after > 0) - usize::from(before > 0);
        asked.counts.set(counts);
        if after == 0 {
            groups.remove(&group);
        }
        updates.clear();
        if self.spare.len() < SPARE_LISTS_MAX && updates.capacity() <= SPARE_LIST_UPDATES_MAX {
            self.spare.push(updates);
        }
    }
}

impl AggregateSpec {
    /// The row of an answer: grouping columns, the label if there is one, and the value, in the order of its columns.
    fn answer_row(&self, group: GroupKey, label: Option<Symbol>, value: AnswerCell) -> AnswerRow {
        let groups = group.into_iter().filter_map(super::GroupKeyPart::to_cell);
        let mut cells: Vec<_> =
            groups.chain(label.map(|label| AnswerCell::text(&label.text()))).chain([value]).collect();
        let Some(output) = &self.output else { return AnswerRow::new(cells) };
        let take = |column: &usize| {
            cells.get_mut(*column).map_or(AnswerCell::Null, |it| std::mem::replace(it, AnswerCell::Null))
        };
        AnswerRow(output.iter().map(take).collect())
    }
}
