//! The stateful operator that holds all groups of all questions.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hashbrown::HashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::dataflow::operators::{Capability, InputCapability};

use super::combine::combine_counts;
use super::report_answers::{AnswerReceivers, AnswerReport, EpochReports, report_to_first_worker};
use super::{Aggregate, AggregateInput, GroupKey, GroupState, GroupUpdate, QueryOptions, consolidate};
use crate::answer::{AnswerCell, AnswerChange, AnswerRow, AnswerUpdate, QuestionId, StateDisposal};
use crate::epoch::message_epoch;
use crate::hash::KeyedState;
use crate::symbol::{MarkRequest, Symbol, SymbolHolder, TextHashes, WorkerMarks};
use crate::wire::{EdgePact, WorkerPlacement};

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

/// The operator's name, as `GET /graph` shows it.
pub(crate) const AGGREGATES_OPERATOR: &str = "Measures";

/// What the operator shares with the others of its worker.
pub(crate) struct AnswerContext {
    /// The index of this worker.
    pub(crate) worker: usize,
    pub(crate) placement: WorkerPlacement,
    pub(crate) holds_symbols: Rc<SymbolHolder>,
    pub(crate) disposal: StateDisposal,
    /// A sweep for which the symbols of all groups must be marked.
    pub(crate) sweeps: MarkRequest,
}

/// Keeps the answers of all questions up to date. `asked` lists the questions by the index that their
/// inputs have. `others` are changes of answers that other operators keep up to date on this worker, and questions that
/// are dropped.
///
/// Inputs are buffered, under a retained capability, until their epoch is complete on all workers. Then `receivers` gets
/// the answer changes of the groups on this worker: once per epoch, in epoch order, and not for epochs without changes.
/// With several processes, the `receivers` of the first worker get the changes of all workers instead.
///
/// Once `probe` has passed an epoch, all `receivers` have what they get of that epoch.
///
/// In one process the operator holds only symbols of rows that count: a sweep that marks those rows has marked all
/// symbols held here. With several processes the rows can be in another one, so the operator marks what it holds.
///
/// # Panics
/// If more inputs are retracted than were inserted: no answer is better than a wrong one.
pub(crate) fn maintain_answers<'s>(
    inputs: InputStream<'s>,
    others: StreamVec<'s, u64, AnswerUpdate>,
    asked: Vec<AggregateSpec>,
    context: AnswerContext,
    (receivers, probe): (AnswerReceivers, &ProbeHandle<u64>),
) {
    let summed = asked.iter().map(|it| it.aggregate.is_count_only()).collect();
    let inputs = combine_counts(inputs, summed);
    match context.placement {
        WorkerPlacement::OneProcess => {
            let mut receivers = receivers;
            let deliver = move |epoch, answers, _: &mut dyn FnMut(_)| receivers.receive_epoch(epoch, answers);
            apply_inputs(inputs, others, asked, context, deliver).probe_with(probe);
        }
        WorkerPlacement::SeveralProcesses => {
            let deliver = |_, answers: EpochReports, give: &mut dyn FnMut(_)| answers.into_reports().for_each(give);
            let reports = apply_inputs(inputs, others, asked, context, deliver);
            report_to_first_worker(reports, receivers).probe_with(probe);
        }
    }
}

/// Installs the operator. `deliver` gets what an epoch changes in the answers of this worker, and may give reports of it.
fn apply_inputs<'s>(
    inputs: InputStream<'s>,
    others: StreamVec<'s, u64, AnswerUpdate>,
    asked: Vec<AggregateSpec>,
    context: AnswerContext,
    mut deliver: impl FnMut(u64, EpochReports, &mut dyn FnMut(AnswerReport)) + 'static,
) -> StreamVec<'s, u64, AnswerReport> {
    let AnswerContext { worker, placement, holds_symbols, disposal, sweeps } = context;
    let mut hashes = TextHashes::default();
    let by_group = EdgePact::with_routes(
        placement,
        |(input, _, _): &(AggregateInput, u64, i64)| input.exchange_hash(),
        move |(input, _, _): &(AggregateInput, u64, i64)| input.shared_exchange_hash(&mut hashes),
    );
    inputs.binary_frontier(others, by_group, Pipeline, AGGREGATES_OPERATOR, move |_, _| {
        let mut pending = PendingEpochs::default();
        let mut answers = AnswerGroups::new(asked, disposal);
        move |(input, frontier), (other, other_frontier), output: &mut ReportSession<'_>| {
            let _ = &holds_symbols;
            input.for_each(|time, data| pending.add_inputs(&time, data));
            other.for_each(|time, data| pending.epoch_at(message_epoch(&time), &time).others.append(data));
            let is_complete = |epoch: u64| !frontier.less_equal(&epoch) && !other_frontier.less_equal(&epoch);
            loop {
                let next = pending.0.keys().next().copied().filter(|epoch| is_complete(*epoch));
                let marks = |cut: u64| is_complete(cut) && next.is_none_or(|next| next > cut);
                if let Some((_, sweep)) = sweeps.borrow_mut().take_if(|(cut, _)| marks(*cut)) {
                    answers.mark_symbols(&sweep);
                    pending.inputs().for_each(|input| input.symbols().for_each(|symbol| sweep.mark(symbol)));
                    sweep.operator_marked();
                }
                let Some((epoch, waiting)) = next.and_then(|_| pending.0.pop_first()) else { break };
                // Drop the capability only after the call: the probe must not pass the epoch earlier.
                let PendingEpoch { capability, inputs, others } = waiting;
                let mut changed = apply_others(worker, others, &mut answers);
                answers.apply(epoch, inputs, &mut changed.changes);
                let mut session = output.session(&capability);
                deliver(epoch, changed, &mut |report| session.give(report));
            }
        }
    })
}

/// Drops questions, and returns the changes of the other answers.
fn apply_others(worker: usize, others: Vec<AnswerUpdate>, answers: &mut AnswerGroups) -> EpochReports {
    let (mut changed, mut dropped) = (EpochReports::default(), BTreeSet::new());
    for other in others {
        match other {
            AnswerUpdate::Change(change) => changed.changes.push(change),
            AnswerUpdate::Drop(question) => drop(dropped.insert(question)),
            AnswerUpdate::Fill(progress) => changed.fills.push((worker, progress)),
        }
    }
    if !dropped.is_empty() {
        changed.changes.retain(|change| !dropped.contains(&change.answer));
        answers.drop_questions(&dropped);
    }
    changed
}

/// Inputs of aggregates, with their epochs and changes of multiplicity.
type InputStream<'s> = StreamVec<'s, u64, (AggregateInput, u64, i64)>;

type ReportSession<'a> = OutputBuilderSession<'a, u64, CapacityContainerBuilder<Vec<AnswerReport>>>;

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

/// What is not applied yet, by epoch.
#[derive(Default)]
struct PendingEpochs(BTreeMap<u64, PendingEpoch>);

impl PendingEpochs {
    fn epoch_at(&mut self, epoch: u64, time: &InputCapability<u64>) -> &mut PendingEpoch {
        self.0.entry(epoch).or_insert_with(|| PendingEpoch::new(time.delayed(&epoch, 0)))
    }

    fn add_inputs(&mut self, time: &InputCapability<u64>, data: &mut Vec<(AggregateInput, u64, i64)>) {
        // A join that catches up can emit several epochs in one container.
        while let Some(&(_, epoch, _)) = data.first() {
            let others = data.iter().position(|(_, other, _)| *other != epoch);
            let rest = others.map_or_else(Vec::new, |others| data.split_off(others));
            self.epoch_at(epoch, time).inputs.push(std::mem::replace(data, rest));
        }
    }

    /// All inputs that wait.
    fn inputs(&self) -> impl Iterator<Item = &AggregateInput> {
        self.0.values().flat_map(|waiting| waiting.inputs.iter().flatten().map(|(input, _, _)| input))
    }
}

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

    /// Marks the symbols of all groups.
    fn mark_symbols(&self, sweep: &WorkerMarks) {
        for (group, held) in self.groups.iter().flatten() {
            group.iter().filter_map(|part| part.symbol()).for_each(|symbol| sweep.mark(symbol));
            held.state.for_each_label(&mut |label| sweep.mark(label));
        }
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
