//! The one operator that holds all groups of all questions.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::combine::combine_counts;
use super::{Aggregate, AggregateInput, GroupKey, GroupState, GroupUpdate, QueryOptions, consolidate};
use crate::answer::{self, AnswerChange, AnswerRow};
use crate::hash::KeyedState;
use crate::symbol::{Symbol, SymbolHolder};

/// A question, as far as it concerns the operator.
#[derive(Debug, Clone, Copy)]
pub struct AggregateSpec {
    /// Its name.
    pub name: &'static str,
    /// What it says of each group.
    pub aggregate: Aggregate,
}

/// How much the groups hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Groups of all answers.
    pub groups: usize,
    /// Their entries: counted labels and values.
    pub entries: usize,
}

/// The operator's name.
pub(crate) const AGGREGATES_OPERATOR: &str = "Measures";

/// Maintains the answers to `asked`, by index, under the changes of what rows contribute.
///
/// Contributions wait, under a retained capability, until their epoch is complete on all workers; then `changes` gets
/// what changes in the answers of the groups that this worker holds. Epochs come in order; those that change nothing
/// do not come. The output carries no data: when its frontier has passed an epoch, so have the changes on all workers.
/// `counts` is kept at what the groups hold. Groups and labels are those of rows that count: a
/// sweep that marks the rows marks all that is held here.
///
/// # Panics
/// If more of something is retracted than was ever there: no answer is better than a wrong one.
pub fn maintain_answers<'s>(
    contributions: StreamVec<'s, u64, (AggregateInput, u64, i64)>,
    asked: Vec<AggregateSpec>,
    options: QueryOptions,
    counts: Rc<Cell<GroupCounts>>,
    holds_symbols: Rc<SymbolHolder>,
    mut changes: impl FnMut(u64, Vec<AnswerChange>) + 'static,
) -> StreamVec<'s, u64, ()> {
    let summed = asked.iter().map(|it| it.aggregate.is_count_only()).collect();
    let contributions = combine_counts(contributions, summed);
    let by_group = Exchange::new(|(contribution, _, _): &(AggregateInput, u64, i64)| contribution.exchange_hash());
    contributions.unary_frontier(by_group, AGGREGATES_OPERATOR, move |_, _| {
        let mut pending: PendingEpochs = BTreeMap::new();
        let mut answers = AnswerGroups::new(asked, options, counts);
        move |(input, frontier), _output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<()>>>| {
            let _ = &holds_symbols;
            input.for_each(|time, data| {
                // A join that catches up gives several epochs in one container.
                while let Some(&(_, epoch, _)) = data.first() {
                    let others = data.iter().position(|(_, other, _)| *other != epoch);
                    let rest = others.map_or_else(Vec::new, |others| data.split_off(others));
                    let (_, waiting) = pending.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), Vec::new()));
                    waiting.push(std::mem::replace(data, rest));
                }
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                // The capability is dropped after the call: the probe must not pass the epoch before.
                let (_capability, waiting) = entry.remove();
                let changed = answers.apply(epoch, waiting);
                if !changed.is_empty() {
                    changes(epoch, changed);
                }
            }
        }
    })
}

/// Contributions that wait for their epoch to be complete, in the containers they came in.
type PendingEpochs = BTreeMap<u64, (Capability<u64>, Vec<Vec<(AggregateInput, u64, i64)>>)>;

/// Lists kept for use again, and the updates that such a list has room for: 12 MB at the most.
const SPARE_LISTS_MAX: usize = 1024;
const SPARE_LIST_UPDATES_MAX: usize = 512;

/// All groups of all answers that this worker holds.
struct AnswerGroups {
    asked: Vec<AggregateSpec>,
    options: QueryOptions,
    groups: Vec<HashMap<GroupKey, GroupEntry, KeyedState>>,
    touched: Vec<(u16, GroupKey)>,
    /// Room for what waits, used again from epoch to epoch.
    spare: Vec<Vec<GroupUpdate>>,
    counts: Rc<Cell<GroupCounts>>,
}

/// A group, and what waits to be applied to it within an epoch.
struct GroupEntry {
    waiting: Vec<GroupUpdate>,
    state: GroupState,
}

impl AnswerGroups {
    fn new(asked: Vec<AggregateSpec>, options: QueryOptions, counts: Rc<Cell<GroupCounts>>) -> AnswerGroups {
        let groups = asked.iter().map(|_| HashMap::default()).collect();
        AnswerGroups { asked, options, groups, touched: Vec::new(), spare: Vec::new(), counts }
    }

    /// Applies all contributions of an epoch and says what changes.
    fn apply(&mut self, epoch: u64, contributions: Vec<Vec<(AggregateInput, u64, i64)>>) -> Vec<AnswerChange> {
        for (AggregateInput { group, label, answer, value }, _, diff) in contributions.into_iter().flatten() {
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
        let mut changed = Vec::new();
        for (answer, group) in std::mem::take(&mut self.touched) {
            self.apply_pending(epoch, answer, group, &mut changed);
        }
        changed
    }

    /// Applies to one group what waits for it.
    fn apply_pending(&mut self, epoch: u64, answer: u16, group: GroupKey, changed: &mut Vec<AnswerChange>) {
        let asked = &self.asked[usize::from(answer)];
        let groups = &mut self.groups[usize::from(answer)];
        let held = groups.get_mut(&group).expect("a touched group is held");
        let mut updates = std::mem::take(&mut held.waiting);
        consolidate(&mut updates);
        let before = held.state.entries();
        let mut emit = |label: Option<Symbol>, value, diff| {
            changed.push(AnswerChange { answer: answer.into(), row: answer_row(group, label, value), diff });
        };
        if let Err(negative) = held.state.apply(&updates, &self.options, &mut emit) {
            panic!("answer {} at epoch {epoch}, group {group:?}: {negative}", asked.name);
        }
        let after = held.state.entries();
        let mut counts = self.counts.get();
        counts.entries = counts.entries + after - before;
        // A group is there as long as it has entries.
        counts.groups = counts.groups + usize::from(after > 0) - usize::from(before > 0);
        self.counts.set(counts);
        if after == 0 {
            groups.remove(&group);
        }
        updates.clear();
        if self.spare.len() < SPARE_LISTS_MAX && updates.capacity() <= SPARE_LIST_UPDATES_MAX {
            self.spare.push(updates);
        }
    }
}

/// Grouping columns, then the label where there is one, then the value.
fn answer_row(group: GroupKey, label: Option<Symbol>, value: answer::AnswerCell) -> AnswerRow {
    let groups = group.into_iter().filter_map(super::GroupKeyPart::to_cell);
    let cells: Vec<_> =
        groups.chain(label.map(|label| answer::AnswerCell::text(&label.text()))).chain([value]).collect();
    AnswerRow(cells.into_boxed_slice())
}
