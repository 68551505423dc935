//! Joins: each left row is compared with each right row of the same keys.

use std::collections::BTreeMap;

use super::{eval_all, extend_row};
use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::plan::JoinKind;

/// The rows of a join. `inputs` and `widths` (numbers of columns) are those of the left and of the right input.
pub(super) fn join_rows(
    kind: JoinKind,
    inputs: &[Vec<Row>; 2],
    widths: [usize; 2],
    keys: &[(ScalarExpr, ScalarExpr)],
    condition: Option<&ScalarExpr>,
    faults: &FaultCounter,
) -> Vec<Row> {
    let [left, right] = inputs;
    let partners = find_partners(inputs, keys, condition, faults);
    let pairs = |keep_left: bool| {
        let mut joined = Vec::new();
        for (row, partners) in left.iter().zip(&partners) {
            joined.extend(partners.iter().map(|&partner| extend_row(row, &right[partner])));
            if keep_left && partners.is_empty() {
                joined.push(extend_row(row, &nulls(widths[1])));
            }
        }
        joined
    };
    let left_only = |with_partner: bool| {
        let rows = left.iter().zip(&partners).filter(|(_, partners)| partners.is_empty() != with_partner);
        rows.map(|(row, _)| row.clone()).collect::<Vec<_>>()
    };
    let right_only = || lone_right_rows(right, &partners, widths[0]);
    match kind {
        JoinKind::Inner => pairs(false),
        JoinKind::Left => pairs(true),
        JoinKind::Right => [pairs(false), right_only()].concat(),
        JoinKind::Full => [pairs(true), right_only()].concat(),
        JoinKind::Semi => left_only(true),
        JoinKind::Anti => left_only(false),
    }
}

/// For each left row the right rows that match it.
fn find_partners(
    [left, right]: &[Vec<Row>; 2],
    keys: &[(ScalarExpr, ScalarExpr)],
    condition: Option<&ScalarExpr>,
    faults: &FaultCounter,
) -> Vec<Vec<usize>> {
    let (left_keys, right_keys): (Vec<ScalarExpr>, Vec<ScalarExpr>) = keys.iter().cloned().unzip();
    let mut by_key: BTreeMap<Row, Vec<usize>> = BTreeMap::new();
    for (index, row) in right.iter().enumerate() {
        by_key.entry(eval_all(&right_keys, row, faults)).or_default().push(index);
    }
    let matches = |row: &Row, partner: usize| {
        condition.is_none_or(|condition| condition.eval(&extend_row(row, &right[partner]), faults).is_true())
    };
    let partners_of = |row: &Row| {
        let key = eval_all(&left_keys, row, faults);
        // A null is equal to nothing in a join, not even to another null.
        let candidates = if key.iter().any(Datum::is_null) { None } else { by_key.get(&key) };
        let candidates = candidates.map(Vec::as_slice).unwrap_or_default();
        candidates.iter().copied().filter(|&partner| matches(row, partner)).collect()
    };
    left.iter().map(partners_of).collect()
}

/// The right rows that match no left row, with nulls for the left columns.
fn lone_right_rows(right: &[Row], partners: &[Vec<usize>], left_width: usize) -> Vec<Row> {
    let mut has_partner = vec![false; right.len()];
    for &partner in partners.iter().flatten() {
        has_partner[partner] = true;
    }
    let lone = right.iter().zip(has_partner).filter(|(_, has_partner)| !has_partner);
    lone.map(|(row, _)| extend_row(&nulls(left_width), row)).collect()
}

fn nulls(width: usize) -> Row {
    vec![Datum::Null; width].into_boxed_slice()
}
