//! The changes of a join's result for one key.

use super::join_state::{JoinSpec, JoinedBags, JoinedUpdates, SidePresence};
use super::row_bag::RowBag;
use super::{RowUpdate, StateError};
use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::plan::JoinKind;

/// The changes of pairs that updates make, with the rows as they were before them. Equal pairs are not added up.
pub(super) fn pair_changes(
    spec: &JoinSpec,
    bags: &JoinedBags,
    updates: &JoinedUpdates,
    faults: &FaultCounter,
    changes: &mut Vec<RowUpdate>,
) -> Result<(), StateError> {
    // (L + dL)·(R + dR) − L·R = dL·(R + dR) + L·dR
    for (left, diff) in &updates.left {
        bags.right.try_for_each(|right, count| push_pair(spec, (left, *diff), (right, count), faults, changes))?;
        for (right, count) in &updates.right {
            push_pair(spec, (left, *diff), (right, *count), faults, changes)?;
        }
    }
    for (right, diff) in &updates.right {
        bags.left.try_for_each(|left, count| push_pair(spec, (left, count), (right, *diff), faults, changes))?;
    }
    Ok(())
}

/// The changes of rows that are in the result because of what the other side has, without a look at single pairs: for
/// joins without a further condition. `bags` are those after the updates, `before` says which sides had rows.
pub(super) fn presence_changes(
    spec: &JoinSpec,
    before: SidePresence,
    bags: &JoinedBags,
    updates: &JoinedUpdates,
    changes: &mut Vec<RowUpdate>,
) {
    let after = SidePresence::of_bags(bags);
    if spec.keeps_left() || spec.kind == JoinKind::Semi {
        let wanted = spec.kind == JoinKind::Semi;
        let shown = (before.right == wanted, after.right == wanted);
        let mut push = |row: &Row, diff| changes.push((spec.left_alone(row), diff));
        push_shown(&bags.left, &updates.left, shown, &mut push);
    }
    if spec.keeps_right() {
        let mut push = |row: &Row, diff| changes.push((spec.right_alone(row), diff));
        push_shown(&bags.right, &updates.right, (!before.left, !after.left), &mut push);
    }
}

/// Appends all rows of a join's result, `sign` times.
pub(super) fn joined_rows(
    spec: &JoinSpec,
    bags: &JoinedBags,
    sign: i64,
    faults: &FaultCounter,
    changes: &mut Vec<RowUpdate>,
) -> Result<(), StateError> {
    let mut right: Vec<(&Row, i64, bool)> = Vec::new();
    collect_rows(&bags.right, &mut |row, count| right.push((row, count, false)));
    let mut left: Vec<(&Row, i64)> = Vec::new();
    collect_rows(&bags.left, &mut |row, count| left.push((row, count)));
    for (row, count) in left {
        let mut found = false;
        for (other, times, matched) in &mut right {
            let pair = pair_row(row, other);
            if !meets_condition(spec, &pair, faults) {
                continue;
            }
            (found, *matched) = (true, true);
            if !spec.emits_pairs() {
                break;
            }
            changes.push((pair, multiply_counts(count, *times)? * sign));
        }
        if found && spec.kind == JoinKind::Semi || !found && spec.keeps_left() {
            changes.push((spec.left_alone(row), count * sign));
        }
    }
    let alone = right.iter().filter(|(_, _, matched)| !matched && spec.keeps_right());
    changes.extend(alone.map(|(row, count, _)| (spec.right_alone(row), count * sign)));
    Ok(())
}

fn collect_rows<'a>(bag: &'a RowBag, visit: &mut dyn FnMut(&'a Row, i64)) {
    match bag {
        RowBag::Few(rows) => rows.iter().for_each(|(row, count)| visit(row, *count)),
        RowBag::Many(rows) => rows.iter().for_each(|(row, count)| visit(row, *count)),
    }
}

fn push_pair(
    spec: &JoinSpec,
    (left, count): (&Row, i64),
    (right, times): (&Row, i64),
    faults: &FaultCounter,
    changes: &mut Vec<RowUpdate>,
) -> Result<(), StateError> {
    let pair = pair_row(left, right);
    if meets_condition(spec, &pair, faults) {
        changes.push((pair, multiply_counts(count, times)?));
    }
    Ok(())
}

/// The changes of rows that are shown or not, all of them: `shown` says it before and after the updates.
fn push_shown(bag: &RowBag, updates: &[RowUpdate], shown: (bool, bool), push: &mut dyn FnMut(&Row, i64)) {
    match shown {
        (false, false) => {}
        (true, true) => updates.iter().for_each(|(row, diff)| push(row, *diff)),
        (false, true) => collect_rows(bag, push),
        (true, false) => {
            // Less the rows before: those after, without the updates.
            collect_rows(bag, &mut |row, count| push(row, -count));
            updates.iter().for_each(|(row, diff)| push(row, *diff));
        }
    }
}

fn pair_row(left: &[Datum], right: &[Datum]) -> Row {
    left.iter().chain(right).cloned().collect()
}

fn meets_condition(spec: &JoinSpec, pair: &[Datum], faults: &FaultCounter) -> bool {
    spec.condition.as_ref().is_none_or(|condition| condition.eval(pair, faults).is_true())
}

fn multiply_counts(one: i64, other: i64) -> Result<i64, StateError> {
    one.checked_mul(other).ok_or(StateError::CountOverflow { operator: "a join" })
}
