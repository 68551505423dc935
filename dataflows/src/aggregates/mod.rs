//! Counts, top-k rankings and medians per group, kept up to date under every insertion and retraction.
//!
//! A question maps each joined row to an [`AggregateInput`]: a group key, an optional label and a value. Its
//! [`Aggregate`] says how the inputs of a group become rows of the answer. One stateful operator (`maintain_answers`)
//! holds all groups of all questions, exchanged by group. It applies an epoch once the epoch is complete on all workers
//! and emits the changed rows of the answers.
//!
//! The cost of one update is logarithmic in the size of its group, never linear: a ranking is an ordered set with a
//! boundary that moves by neighbours, a median is an ordered map of counts with a cursor that does the same. Where only
//! the first ranks are listed, a bounded buffer (`top_k_buffer`) keeps only the top of the ranking in order.

mod aggregate_input;
mod combine;
mod counts;
mod median;
mod one_label;
mod operator;
mod query_options;
mod report_answers;
mod top_k;
mod top_k_buffer;

pub use aggregate_input::{AggregateInput, GROUP_COLUMNS_MAX, GroupKey, GroupKeyPart};
pub(crate) use operator::AGGREGATES_OPERATOR;
pub use operator::{AggregateSpec, GroupCounts};
pub(crate) use operator::{AnswerContext, maintain_answers};
pub use query_options::{MedianMethod, QueryOptions, RankLimit, TieRule, UnknownOption};
pub(crate) use report_answers::{AnswerReceivers, AnswerReport};

use crate::answer::AnswerCell;
use crate::symbol::Symbol;

/// How the inputs of a group become rows of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The number of inputs.
    Count,
    /// The number of distinct labels. Inputs without a label count as none.
    CountDistinct,
    /// The labels with the most inputs, each with its count. Inputs without a label are left out.
    TopByCount,
    /// The labels with the greatest maximum value, each with that value. Inputs without a label are left out.
    TopByMax,
    /// The median of the values.
    Median,
}

impl Aggregate {
    /// Whether the answer has a label column between the grouping columns and the value.
    #[must_use]
    pub fn has_labels(self) -> bool {
        matches!(self, Aggregate::TopByCount | Aggregate::TopByMax)
    }

    /// Whether values are ignored, so that equal inputs can be pre-aggregated before the exchange.
    fn is_count_only(self) -> bool {
        matches!(self, Aggregate::Count | Aggregate::TopByCount)
    }

    /// The state of a group without inputs.
    #[must_use]
    pub fn empty_group(self) -> GroupState {
        match self {
            Aggregate::Count => GroupState::Count(counts::RowCount::default()),
            Aggregate::CountDistinct => GroupState::CountDistinct(Box::default()),
            Aggregate::TopByCount => GroupState::OneLabelByCount(one_label::OneLabel::default()),
            Aggregate::TopByMax => GroupState::OneLabelByMax(one_label::OneLabel::default()),
            Aggregate::Median => GroupState::Median(Box::default()),
        }
    }
}

/// A change of the inputs of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupUpdate {
    /// The label.
    pub label: Option<Symbol>,
    /// The value.
    pub value: i64,
    /// The change of multiplicity: positive for insertions, negative for retractions.
    pub diff: i64,
}

/// Sorts updates by label (by symbol number, not by text) and value, and adds up the diffs of equal ones.
pub fn consolidate(updates: &mut Vec<GroupUpdate>) {
    let key = |update: &GroupUpdate| (update.label.map(Symbol::number), update.value);
    if updates.len() > 1 {
        updates.sort_unstable_by_key(key);
        updates.dedup_by(|next, sum| {
            let same = key(next) == key(sum);
            if same {
                sum.diff += next.diff;
            }
            same
        });
    }
    updates.retain(|update| update.diff != 0);
}

/// More inputs were retracted than inserted. This is a bug upstream: the group has no right answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{label:?} with value {value} would be there {count} times")]
pub struct NegativeCount {
    /// The label.
    pub label: Option<Symbol>,
    /// The value, or 0 where the aggregate ignores values.
    pub value: i64,
    /// The count that would result.
    pub count: i64,
}

/// Receives the changed rows of a group's answer: label, value, and +1 or −1.
pub type EmitChange<'a> = dyn FnMut(Option<Symbol>, AnswerCell, i64) + 'a;

/// The state of one group. Kept small: a question may have one group per row.
#[derive(Debug)]
pub enum GroupState {
    /// For [`Aggregate::Count`].
    Count(counts::RowCount),
    /// For [`Aggregate::CountDistinct`].
    CountDistinct(Box<counts::DistinctLabels>),
    /// For [`Aggregate::TopByCount`], while the group has only one label.
    OneLabelByCount(one_label::OneLabel),
    /// For [`Aggregate::TopByMax`], while the group has only one label with one value.
    OneLabelByMax(one_label::OneLabel),
    /// For [`Aggregate::TopByCount`].
    TopByCount(Box<top_k::TopByCount>),
    /// For [`Aggregate::TopByMax`].
    TopByMax(Box<top_k::TopByMax>),
    /// For [`Aggregate::Median`].
    Median(Box<median::RunningMedian>),
}

impl GroupState {
    /// Applies the [consolidated](consolidate) updates of one epoch and emits the changed rows of the answer.
    ///
    /// # Errors
    /// [`NegativeCount`] if more is retracted than was inserted. The state must not be used afterwards.
    pub fn apply(
        &mut self,
        updates: &[GroupUpdate],
        options: &QueryOptions,
        emit: &mut EmitChange<'_>,
    ) -> Result<(), NegativeCount> {
        match self {
            GroupState::Count(state) => state.apply(updates, emit),
            GroupState::CountDistinct(state) => state.apply(updates, emit),
            GroupState::OneLabelByCount(one) => {
                if one.apply(updates, true, emit)? {
                    return Ok(());
                }
                let mut state = Box::<top_k::TopByCount>::default();
                one.as_update().map_or(Ok(()), |rows| state.apply(&[rows], options, &mut |_, _, _| {}))?;
                let applied = state.apply(updates, options, emit);
                *self = GroupState::TopByCount(state);
                applied
            }
            GroupState::OneLabelByMax(one) => {
                if one.apply(updates, false, emit)? {
                    return Ok(());
                }
                let mut state = Box::<top_k::TopByMax>::default();
                one.as_update().map_or(Ok(()), |rows| state.apply(&[rows], options, &mut |_, _, _| {}))?;
                let applied = state.apply(updates, options, emit);
                *self = GroupState::TopByMax(state);
                applied
            }
            GroupState::TopByCount(state) => state.apply(updates, options, emit),
            GroupState::TopByMax(state) => state.apply(updates, options, emit),
            GroupState::Median(state) => state.apply(updates, options, emit),
        }
    }

    /// Calls `visit` with the label of each entry.
    fn for_each_label(&self, visit: &mut dyn FnMut(Symbol)) {
        match self {
            GroupState::Count(_) | GroupState::Median(_) => {}
            GroupState::CountDistinct(state) => state.labels().for_each(visit),
            GroupState::OneLabelByCount(one) | GroupState::OneLabelByMax(one) => {
                one.as_update().and_then(|update| update.label).into_iter().for_each(visit);
            }
            GroupState::TopByCount(state) => state.labels().for_each(visit),
            GroupState::TopByMax(state) => state.labels().for_each(visit),
        }
    }

    /// The number of entries held: 0 once the group is empty.
    #[must_use]
    pub fn entries(&self) -> usize {
        match self {
            GroupState::Count(state) => state.entries(),
            GroupState::CountDistinct(state) => state.entries(),
            GroupState::OneLabelByCount(one) | GroupState::OneLabelByMax(one) => one.entries(),
            GroupState::TopByCount(state) => state.entries(),
            GroupState::TopByMax(state) => state.entries(),
            GroupState::Median(state) => state.entries(),
        }
    }
}

/// Adds `diff` to a count that must not become negative.
fn checked_count(label: Option<Symbol>, value: i64, before: i64, diff: i64) -> Result<i64, NegativeCount> {
    let count = before.checked_add(diff).expect("a multiplicity fits 63 bits");
    if count < 0 { Err(NegativeCount { label, value, count }) } else { Ok(count) }
}
