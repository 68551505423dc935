//! Counts, ranks and medians, maintained under every update.
//!
//! A question gives [`Contribution`]s: a group, perhaps a label, a value. What is said of each group is its
//! [`Measure`]. One stateful operator holds all groups of all questions, exchanged by group; it takes up an
//! epoch when it is complete on all workers, and hands over what changed in the answers.
//!
//! The cost of one update is logarithmic in its group and never grows linearly with it: ranks are ordered
//! sets with a boundary that moves by neighbours, medians are counted ordered maps with a cursor that does.
//! Where only the first ranks are listed, only those and some behind them are kept in order at all.

mod combine;
mod contribution;
mod foremost;
mod median;
mod one_label;
mod operator;
mod rank;
mod tally;
mod terms;

pub use contribution::{Contribution, GROUPS_MAX, Group, Part};
pub(crate) use operator::MEASURES;
pub use operator::{Asked, GroupCounts, measure};
pub use terms::{Median, NoSuchTerm, Terms, Ties, Top};

use crate::answer::Cell;
use crate::symbol::Symbol;

/// What is said of the contributions of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// How many there are.
    Rows,
    /// How many different labels they have. Those without a label count as none.
    DistinctLabels,
    /// The labels with most of them, each with how many. Those without a label are left out.
    LabelsByRows,
    /// The labels with the greatest value, each with its greatest. Those without a label are left out.
    LabelsByGreatest,
    /// The median of their values.
    Median,
}

impl Measure {
    /// Whether its answers have a label column between the grouping columns and the value.
    #[must_use]
    pub fn has_labels(self) -> bool {
        matches!(self, Measure::LabelsByRows | Measure::LabelsByGreatest)
    }

    /// Whether only the number of equal labels matters, not their values: such contributions can be summed up anywhere.
    fn sums(self) -> bool {
        matches!(self, Measure::Rows | Measure::LabelsByRows)
    }

    /// A group of which nothing is known yet.
    #[must_use]
    pub fn empty_group(self) -> GroupState {
        match self {
            Measure::Rows => GroupState::Rows(tally::Rows::default()),
            Measure::DistinctLabels => GroupState::DistinctLabels(Box::default()),
            Measure::LabelsByRows => GroupState::OneLabelByRows(one_label::OneLabel::default()),
            Measure::LabelsByGreatest => GroupState::OneLabelByGreatest(one_label::OneLabel::default()),
            Measure::Median => GroupState::Median(Box::default()),
        }
    }
}

/// A change within one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// The label.
    pub label: Option<Symbol>,
    /// The value.
    pub value: i64,
    /// How many more of these there are.
    pub diff: i64,
}

/// Sorts by label (by number, not by text) and value, and sums up what is equal.
pub fn consolidate(updates: &mut Vec<Update>) {
    let key = |update: &Update| (update.label.map(Symbol::number), update.value);
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

/// More of something was taken back than was ever there: an error upstream, and never an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{label:?} with value {value} would be there {count} times")]
pub struct Negative {
    /// The label.
    pub label: Option<Symbol>,
    /// The value, where the measure tells values apart.
    pub value: i64,
    /// How often it would be there.
    pub count: i64,
}

/// Where the changes of a group's answer go: label, value, and 1 or −1.
pub type Emit<'a> = dyn FnMut(Option<Symbol>, Cell, i64) + 'a;

/// All that is known of one group. Small itself: there may be a group for each row.
#[derive(Debug)]
pub enum GroupState {
    /// For [`Measure::Rows`].
    Rows(tally::Rows),
    /// For [`Measure::DistinctLabels`].
    DistinctLabels(Box<tally::DistinctLabels>),
    /// For [`Measure::LabelsByRows`], as long as there is one label.
    OneLabelByRows(one_label::OneLabel),
    /// For [`Measure::LabelsByGreatest`], as long as there is one label with one value.
    OneLabelByGreatest(one_label::OneLabel),
    /// For [`Measure::LabelsByRows`].
    LabelsByRows(Box<rank::ByRows>),
    /// For [`Measure::LabelsByGreatest`].
    LabelsByGreatest(Box<rank::ByGreatest>),
    /// For [`Measure::Median`].
    Median(Box<median::Median>),
}

impl GroupState {
    /// Takes up the updates of one epoch, [consolidated](consolidate), and emits how the answer changes.
    ///
    /// # Errors
    /// [`Negative`], after which the group must not be used any more.
    pub fn apply(&mut self, updates: &[Update], terms: &Terms, emit: &mut Emit<'_>) -> Result<(), Negative> {
        match self {
            GroupState::Rows(state) => state.apply(updates, emit),
            GroupState::DistinctLabels(state) => state.apply(updates, emit),
            GroupState::OneLabelByRows(one) => {
                if one.apply(updates, true, emit)? {
                    return Ok(());
                }
                let mut state = Box::<rank::ByRows>::default();
                one.as_update().map_or(Ok(()), |rows| state.apply(&[rows], terms, &mut |_, _, _| {}))?;
                let applied = state.apply(updates, terms, emit);
                *self = GroupState::LabelsByRows(state);
                applied
            }
            GroupState::OneLabelByGreatest(one) => {
                if one.apply(updates, false, emit)? {
                    return Ok(());
                }
                let mut state = Box::<rank::ByGreatest>::default();
                one.as_update().map_or(Ok(()), |rows| state.apply(&[rows], terms, &mut |_, _, _| {}))?;
                let applied = state.apply(updates, terms, emit);
                *self = GroupState::LabelsByGreatest(state);
                applied
            }
            GroupState::LabelsByRows(state) => state.apply(updates, terms, emit),
            GroupState::LabelsByGreatest(state) => state.apply(updates, terms, emit),
            GroupState::Median(state) => state.apply(updates, terms, emit),
        }
    }

    /// How many entries it holds; 0 when nothing is left of the group.
    #[must_use]
    pub fn entries(&self) -> usize {
        match self {
            GroupState::Rows(state) => state.entries(),
            GroupState::DistinctLabels(state) => state.entries(),
            GroupState::OneLabelByRows(one) | GroupState::OneLabelByGreatest(one) => one.entries(),
            GroupState::LabelsByRows(state) => state.entries(),
            GroupState::LabelsByGreatest(state) => state.entries(),
            GroupState::Median(state) => state.entries(),
        }
    }
}

/// The new count of something.
fn counted(label: Option<Symbol>, value: i64, before: i64, diff: i64) -> Result<i64, Negative> {
    let count = before.checked_add(diff).expect("a multiplicity fits 63 bits");
    if count < 0 { Err(Negative { label, value, count }) } else { Ok(count) }
}
