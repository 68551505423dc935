//! Only what is read is kept: scans read the columns that are needed, projections merge, renames vanish.

use crate::datum::SqlType;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{AggregateCall, JoinKind, QueryPlan, SortKey, WindowCall};
use crate::rewrite::{aggregate_exprs_mut, columns_read, order_exprs_mut, replace_columns, window_exprs_mut};

/// Drops what no column of the plan depends on. The columns of the plan itself stay.
pub(crate) fn prune_columns(plan: QueryPlan) -> QueryPlan {
    let types = plan.types();
    let all = (0..types.len()).collect();
    let pruned = keep_columns(plan, all);
    exactly(pruned, &types)
}

/// A plan with fewer columns.
struct PrunedPlan {
    plan: QueryPlan,
    /// Where the column at each former position is now.
    places: Vec<Option<usize>>,
}

impl PrunedPlan {
    fn place(&self, column: usize) -> usize {
        self.places.get(column).copied().flatten().unwrap_or(0)
    }

    fn apply(&self, expr: &mut ScalarExpr) {
        expr.map_columns(&mut |column| self.place(column));
    }
}

/// A set of positions.
fn union(mut columns: Vec<usize>, more: impl IntoIterator<Item = usize>) -> Vec<usize> {
    columns.extend(more);
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn read_by<'e>(exprs: impl IntoIterator<Item = &'e ScalarExpr>) -> Vec<usize> {
    exprs.into_iter().flat_map(columns_read).collect()
}

/// The plan with exactly the columns that a former one had.
fn exactly(pruned: PrunedPlan, types: &[SqlType]) -> QueryPlan {
    let columns: Vec<ScalarExpr> =
        types.iter().enumerate().map(|(column, ty)| ScalarExpr::column(pruned.place(column), *ty)).collect();
    project(pruned.plan, columns)
}

/// The plan with at least the needed columns.
fn keep_columns(plan: QueryPlan, needed: Vec<usize>) -> PrunedPlan {
    match plan {
        QueryPlan::Scan { relation, columns } => {
            let (columns, places) = kept_exprs(columns, &needed);
            PrunedPlan { plan: QueryPlan::Scan { relation, columns }, places }
        }
        QueryPlan::Project { input, columns } => {
            let (mut columns, places) = kept_exprs(columns, &needed);
            let input = keep_columns(*input, union(read_by(&columns), []));
            columns.iter_mut().for_each(|column| input.apply(column));
            let places = places_after(&places, columns.len());
            PrunedPlan { plan: project(input.plan, columns), places }
        }
        QueryPlan::Filter { input, mut condition } => {
            let input = keep_columns(*input, union(needed, columns_read(&condition)));
            input.apply(&mut condition);
            PrunedPlan { plan: QueryPlan::Filter { input: Box::new(input.plan), condition }, places: input.places }
        }
        QueryPlan::Unnest { input, list, keep_empty } => keep_unnest(*input, list, keep_empty, needed),
        QueryPlan::Join { kind, left, right, keys, condition } => {
            keep_join(kind, *left, *right, keys, condition, &needed)
        }
        QueryPlan::Aggregate { input, keys, aggregates } => keep_aggregate(*input, keys, aggregates, &needed),
        QueryPlan::Distinct { input } => keep_all(*input, |input| QueryPlan::Distinct { input }),
        QueryPlan::Window { input, partition, order, functions } => {
            keep_window(*input, partition, order, functions, &needed)
        }
        // Which rows are first may depend on every column.
        QueryPlan::Limit { input, order, offset, limit } => {
            keep_all(*input, |input| QueryPlan::Limit { input, order, offset, limit })
        }
        QueryPlan::UnionAll { inputs } => keep_union(inputs, &needed),
        QueryPlan::OneRow { columns, types } => {
            let places = (0..columns.len()).map(Some).collect();
            PrunedPlan { plan: QueryPlan::OneRow { columns, types }, places }
        }
    }
}

fn places_after(places: &[Option<usize>], width: usize) -> Vec<Option<usize>> {
    places.iter().map(|place| place.filter(|place| *place < width)).collect()
}

/// The needed expressions, equal ones once.
fn kept_exprs(exprs: Vec<ScalarExpr>, needed: &[usize]) -> (Vec<ScalarExpr>, Vec<Option<usize>>) {
    let mut kept: Vec<ScalarExpr> = Vec::new();
    let mut places = vec![None; exprs.len()];
    for (position, expr) in exprs.into_iter().enumerate() {
        if needed.binary_search(&position).is_err() {
            continue;
        }
        let place = kept.iter().position(|known| *known == expr).unwrap_or_else(|| {
            kept.push(expr);
            kept.len() - 1
        });
        places[position] = Some(place);
    }
    (kept, places)
}

/// An operator that needs all columns of its input, as they are.
fn keep_all(input: QueryPlan, make: impl FnOnce(Box<QueryPlan>) -> QueryPlan) -> PrunedPlan {
    let types = input.types();
    let all = (0..types.len()).collect();
    let input = exactly(keep_columns(input, all), &types);
    PrunedPlan { plan: make(Box::new(input)), places: (0..types.len()).map(Some).collect() }
}

fn keep_unnest(input: QueryPlan, mut list: ScalarExpr, keep_empty: bool, needed: Vec<usize>) -> PrunedPlan {
    let width = input.types().len();
    let below = needed.into_iter().filter(|column| *column < width).collect();
    let input = keep_columns(input, union(below, columns_read(&list)));
    input.apply(&mut list);
    let mut places = input.places;
    places.push(Some(input.plan.types().len()));
    PrunedPlan { plan: QueryPlan::Unnest { input: Box::new(input.plan), list, keep_empty }, places }
}

fn keep_join(
    kind: JoinKind,
    left: QueryPlan,
    right: QueryPlan,
    mut keys: Vec<(ScalarExpr, ScalarExpr)>,
    condition: Option<ScalarExpr>,
    needed: &[usize],
) -> PrunedPlan {
    let width = left.types().len();
    let all = union(needed.to_vec(), condition.iter().flat_map(columns_read));
    let left_needed = all.iter().copied().filter(|column| *column < width).collect();
    let right_needed = all.iter().filter(|column| **column >= width).map(|column| column - width).collect();
    let left = keep_columns(left, union(left_needed, read_by(keys.iter().map(|(one, _)| one))));
    let right = keep_columns(right, union(right_needed, read_by(keys.iter().map(|(_, other)| other))));
    for (one, other) in &mut keys {
        left.apply(one);
        right.apply(other);
    }
    let new_width = left.plan.types().len();
    let moved = right.places.iter().map(|place| place.map(|place| place + new_width));
    let places: Vec<Option<usize>> = left.places.iter().copied().chain(moved).collect();
    let condition = condition.map(|mut condition| {
        condition.map_columns(&mut |column| places.get(column).copied().flatten().unwrap_or(0));
        condition
    });
    let is_left_only = matches!(kind, JoinKind::Semi | JoinKind::Anti);
    let places = if is_left_only { left.places } else { places };
    let plan = QueryPlan::Join { kind, left: Box::new(left.plan), right: Box::new(right.plan), keys, condition };
    PrunedPlan { plan, places }
}

fn keep_aggregate(
    input: QueryPlan,
    mut keys: Vec<ScalarExpr>,
    aggregates: Vec<AggregateCall>,
    needed: &[usize],
) -> PrunedPlan {
    let mut places: Vec<Option<usize>> = (0..keys.len()).map(Some).collect();
    let mut kept: Vec<AggregateCall> = Vec::new();
    for (index, call) in aggregates.into_iter().enumerate() {
        if needed.binary_search(&(keys.len() + index)).is_err() {
            places.push(None);
            continue;
        }
        places.push(Some(keys.len() + kept.len()));
        kept.push(call);
    }
    let mut read = read_by(&keys);
    for call in &mut kept {
        read.extend(aggregate_exprs_mut(call).into_iter().flat_map(|expr| columns_read(expr)));
    }
    let input = keep_columns(input, union(read, []));
    keys.iter_mut().for_each(|key| input.apply(key));
    for call in &mut kept {
        aggregate_exprs_mut(call).into_iter().for_each(|expr| input.apply(expr));
    }
    PrunedPlan { plan: QueryPlan::Aggregate { input: Box::new(input.plan), keys, aggregates: kept }, places }
}

fn keep_window(
    input: QueryPlan,
    mut partition: Vec<ScalarExpr>,
    mut order: Vec<SortKey>,
    functions: Vec<WindowCall>,
    needed: &[usize],
) -> PrunedPlan {
    let width = input.types().len();
    let is_needed = |index: usize| needed.binary_search(&(width + index)).is_ok();
    let below: Vec<usize> = needed.iter().copied().filter(|column| *column < width).collect();
    let count = functions.len();
    let kept = functions.into_iter().enumerate().filter(|(index, _)| is_needed(*index));
    let (indices, mut functions): (Vec<usize>, Vec<WindowCall>) = kept.unzip();
    if functions.is_empty() {
        let mut input = keep_columns(input, below);
        input.places.extend(std::iter::repeat_n(None, count));
        return input;
    }
    let mut read = read_by(&partition);
    read.extend(read_by(order.iter().map(|key| &key.expr)));
    for call in &mut functions {
        read.extend(window_exprs_mut(call).into_iter().flat_map(|expr| columns_read(expr)));
    }
    let input = keep_columns(input, union(below, read));
    partition.iter_mut().chain(order_exprs_mut(&mut order)).for_each(|expr| input.apply(expr));
    for call in &mut functions {
        window_exprs_mut(call).into_iter().for_each(|expr| input.apply(expr));
    }
    let new_width = input.plan.types().len();
    let mut places = input.places;
    places.extend(
        (0..count).map(|index| indices.iter().position(|known| *known == index).map(|place| place + new_width)),
    );
    PrunedPlan { plan: QueryPlan::Window { input: Box::new(input.plan), partition, order, functions }, places }
}

fn keep_union(inputs: Vec<QueryPlan>, needed: &[usize]) -> PrunedPlan {
    let types = inputs.first().map(QueryPlan::types).unwrap_or_default();
    let keep = |input: QueryPlan| {
        let pruned = keep_columns(input, needed.to_vec());
        let columns = needed.iter().map(|column| ScalarExpr::column(pruned.place(*column), types[*column])).collect();
        project(pruned.plan, columns)
    };
    let inputs = inputs.into_iter().map(keep).collect();
    let places = (0..types.len()).map(|column| needed.binary_search(&column).ok()).collect();
    PrunedPlan { plan: QueryPlan::UnionAll { inputs }, places }
}

/// A projection, merged with what it is over where that computes nothing twice.
fn project(input: QueryPlan, columns: Vec<ScalarExpr>) -> QueryPlan {
    if is_identity(&columns, input.types().len()) {
        return input;
    }
    match input {
        QueryPlan::Project { input, columns: inner } if merges(&columns, &inner) => {
            let merged = merge(columns, &inner);
            project(*input, merged)
        }
        QueryPlan::Scan { relation, columns: inner } if merges(&columns, &inner) => {
            QueryPlan::Scan { relation, columns: merge(columns, &inner) }
        }
        QueryPlan::UnionAll { inputs } if columns.iter().all(|column| matches!(column.kind, ExprKind::Column(_))) => {
            QueryPlan::UnionAll { inputs: inputs.into_iter().map(|input| project(input, columns.clone())).collect() }
        }
        input => QueryPlan::Project { input: Box::new(input), columns },
    }
}

fn is_identity(columns: &[ScalarExpr], width: usize) -> bool {
    columns.len() == width
        && columns.iter().enumerate().all(|(position, column)| column.kind == ExprKind::Column(position))
}

/// Whether no expression of the inner projection would be computed twice.
fn merges(columns: &[ScalarExpr], inner: &[ScalarExpr]) -> bool {
    let mut uses = vec![0; inner.len()];
    for column in columns {
        column.for_each_column(&mut |position| {
            if let Some(count) = uses.get_mut(position) {
                *count += 1;
            }
        });
    }
    let is_plain = |expr: &ScalarExpr| matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_));
    inner.iter().zip(uses).all(|(expr, uses)| uses <= 1 || is_plain(expr))
}

fn merge(mut columns: Vec<ScalarExpr>, inner: &[ScalarExpr]) -> Vec<ScalarExpr> {
    for column in &mut columns {
        replace_columns(column, &mut |position, ty| {
            inner.get(position).cloned().unwrap_or_else(|| ScalarExpr::column(position, ty))
        });
    }
    columns
}
