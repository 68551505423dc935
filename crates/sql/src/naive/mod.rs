//! Batch evaluation of a plan: rows in, rows out.
//!
//! It is the reference for the incremental operators, and answers a question once over tables at rest. Each operator is
//! written as its definition says, without shortcuts: nested loops over groups of equal keys, sorted vectors, sums
//! from scratch. It shares only [`QueryPlan`] and [`ScalarExpr::eval`](crate::expr::ScalarExpr::eval) with the incremental evaluation.

mod aggregates;
mod exact;
mod joins;
mod ordering;
mod windows;

use std::collections::BTreeSet;

use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::plan::{BoundQuestion, QueryPlan};

/// The rows of the relations that a plan scans.
pub trait RelationRows {
    /// All rows that count of a relation, each with all columns in catalog order.
    ///
    /// `relation` is an index into the catalog. A relation without rows gives an empty slice.
    fn relation_rows(&self, relation: usize) -> &[Row];
}

/// The rows of each relation, in catalog order. Relations beyond the end have no rows.
impl RelationRows for [Vec<Row>] {
    fn relation_rows(&self, relation: usize) -> &[Row] {
        self.get(relation).map_or(&[], Vec::as_slice)
    }
}

/// See [`RelationRows`] of a slice.
impl<const N: usize> RelationRows for [Vec<Row>; N] {
    fn relation_rows(&self, relation: usize) -> &[Row] {
        self.as_slice().relation_rows(relation)
    }
}

/// The rows of a plan over whole tables: a bag, in no particular order.
///
/// Operations without a result are counted in `faults`, as often as they were evaluated.
#[must_use]
pub fn evaluate(plan: &QueryPlan, tables: &dyn RelationRows, faults: &FaultCounter) -> Vec<Row> {
    let rows_of = |input: &QueryPlan| evaluate(input, tables, faults);
    match plan {
        QueryPlan::Scan { relation, columns } => {
            tables.relation_rows(*relation).iter().map(|row| eval_all(columns, row, faults)).collect()
        }
        QueryPlan::Filter { input, condition } => {
            let mut rows = rows_of(input);
            rows.retain(|row| condition.eval(row, faults).is_true());
            rows
        }
        QueryPlan::Project { input, columns } => {
            rows_of(input).iter().map(|row| eval_all(columns, row, faults)).collect()
        }
        QueryPlan::Unnest { input, list, keep_empty } => unnest_rows(&rows_of(input), list, *keep_empty, faults),
        QueryPlan::Join { kind, left, right, keys, condition } => {
            let widths = [left.types().len(), right.types().len()];
            let inputs = [rows_of(left), rows_of(right)];
            joins::join_rows(*kind, &inputs, widths, keys, condition.as_ref(), faults)
        }
        QueryPlan::Aggregate { input, keys, aggregates } => {
            aggregates::group_rows(&rows_of(input), keys, aggregates, faults)
        }
        QueryPlan::Distinct { input } => rows_of(input).into_iter().collect::<BTreeSet<Row>>().into_iter().collect(),
        QueryPlan::Window { input, partition, order, functions } => {
            windows::window_rows(rows_of(input), partition, order, functions, faults)
        }
        QueryPlan::Limit { input, order, offset, limit } => {
            let sorted = ordering::sort_rows(rows_of(input), order, faults).into_iter();
            let rows = sorted.map(|(_, row)| row).skip(saturating_usize(*offset));
            rows.take(limit.map_or(usize::MAX, saturating_usize)).collect()
        }
        QueryPlan::UnionAll { inputs } => inputs.iter().flat_map(rows_of).collect(),
        QueryPlan::OneRow { columns, .. } => vec![columns.clone().into_boxed_slice()],
    }
}

/// The rows of an answer in the order in which they are listed, without the columns that only the order reads.
///
/// `rows` are the rows of the question's plan.
#[must_use]
pub fn list_answer(question: &BoundQuestion, mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|one, other| ordering::compare_listed(&question.listing, one, other).then_with(|| one.cmp(other)));
    let width = question.columns.len();
    rows.into_iter().map(|row| row.into_vec().into_iter().take(width).collect()).collect()
}

/// The values of expressions over one row.
fn eval_all(columns: &[ScalarExpr], row: &[Datum], faults: &FaultCounter) -> Row {
    columns.iter().map(|column| column.eval(row, faults).into_owned()).collect()
}

/// The row with further values at its end.
fn extend_row(row: &[Datum], more: &[Datum]) -> Row {
    row.iter().chain(more).cloned().collect()
}

fn unnest_rows(rows: &[Row], list: &ScalarExpr, keep_empty: bool, faults: &FaultCounter) -> Vec<Row> {
    let mut unnested = Vec::new();
    for row in rows {
        match &*list.eval(row, faults) {
            Datum::List(elements) if !elements.is_empty() => {
                unnested.extend(elements.iter().map(|element| extend_row(row, std::slice::from_ref(element))));
            }
            _ if keep_empty => unnested.push(extend_row(row, &[Datum::Null])),
            _ => {}
        }
    }
    unnested
}

/// A number of rows. No vector has more than `usize::MAX`.
fn saturating_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
