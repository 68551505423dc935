//! Inner joins of several inputs: which columns are equal, and in which order the inputs are joined.

use std::ops::Range;

use super::{JoinParts, is_never_true, keep_rows, key_pair, moved, no_rows, push_conditions, side_of, split};
use crate::expr::{CompareOp, ExprKind, ScalarExpr};
use crate::plan::{JoinKind, QueryPlan};
use crate::rewrite::{columns_read, conjuncts, is_single_row, make_equal, shift_columns};

/// An input of inner joins, with the columns that it has in the joined rows.
struct InnerJoinInput {
    plan: QueryPlan,
    columns: Range<usize>,
}

/// Inner joins of any number of inputs: all conditions are looked at together.
pub(crate) fn push_inner(join: JoinParts, mut conditions: Vec<ScalarExpr>) -> QueryPlan {
    let mut inputs = Vec::new();
    let width = join.right_columns.end;
    conditions.extend(join.on);
    flatten_join(join.left, 0, &mut inputs, &mut conditions);
    flatten_join(join.right, join.right_columns.start, &mut inputs, &mut conditions);
    let (classes, mut conditions) = equal_columns(conditions);
    for class in &classes {
        for input in &inputs {
            let own: Vec<&ScalarExpr> = class.iter().filter(|column| side_of(column, &input.columns)).collect();
            conditions.extend(own.iter().skip(1).map(|other| make_equal(own[0].clone(), (*other).clone())));
        }
    }
    if conditions.iter().any(is_never_true) {
        return no_rows(inputs.iter().flat_map(|input| input.plan.types()).collect());
    }
    for input in &mut inputs {
        let (own, rest) = split(conditions, |condition| side_of(condition, &input.columns));
        conditions = rest;
        let plan = std::mem::replace(&mut input.plan, QueryPlan::UnionAll { inputs: Vec::new() });
        input.plan = push_conditions(plan, moved(own, input.columns.start));
    }
    join_inputs(inputs, conditions, &classes, width)
}

fn flatten_join(plan: QueryPlan, first: usize, inputs: &mut Vec<InnerJoinInput>, conditions: &mut Vec<ScalarExpr>) {
    match plan {
        QueryPlan::Filter { input, condition } => {
            let mut condition = condition;
            shift_columns(&mut condition, first.cast_signed());
            conditions.extend(conjuncts(condition));
            flatten_join(*input, first, inputs, conditions);
        }
        QueryPlan::Join { kind: JoinKind::Inner, left, right, keys, condition } => {
            let parts = JoinParts::new(JoinKind::Inner, *left, *right, keys, condition);
            for mut condition in parts.on {
                shift_columns(&mut condition, first.cast_signed());
                conditions.push(condition);
            }
            flatten_join(parts.left, first, inputs, conditions);
            flatten_join(parts.right, first + parts.right_columns.start, inputs, conditions);
        }
        plan => {
            let width = plan.types().len();
            inputs.push(InnerJoinInput { plan, columns: first..first + width });
        }
    }
}

/// Joins the inputs, one after another, each with one that it has a key with, if there is one.
fn join_inputs(
    mut inputs: Vec<InnerJoinInput>,
    mut conditions: Vec<ScalarExpr>,
    classes: &[Vec<ScalarExpr>],
    width: usize,
) -> QueryPlan {
    let first = inputs.remove(0);
    let types = |plan: &QueryPlan| plan.types();
    let mut order: Vec<usize> = first.columns.clone().collect();
    let mut column_types = types(&first.plan);
    let mut plan = first.plan;
    while !inputs.is_empty() {
        let next = next_input(&inputs, &conditions, classes, &order, is_single_row(&plan));
        let input = inputs.remove(next);
        let joined = order.clone();
        let shared = shared_columns(classes, &joined, &input.columns);
        order.extend(input.columns.clone());
        column_types.extend(types(&input.plan));
        let (here, later) =
            split(conditions, |condition| columns_read(condition).iter().all(|column| order.contains(column)));
        conditions = later;
        plan = join_pair(plan, &joined, input, shared.into_iter().chain(here).collect());
    }
    let place = |column: usize| order.iter().position(|known| *known == column).unwrap_or(column);
    let is_sorted = order.iter().copied().eq(0..width);
    let plan = keep_rows(plan, mapped(conditions, &place));
    if is_sorted {
        return plan;
    }
    let columns = (0..width).map(|column| ScalarExpr::column(place(column), column_types[place(column)])).collect();
    QueryPlan::Project { input: Box::new(plan), columns }
}

fn mapped(mut conditions: Vec<ScalarExpr>, place: &impl Fn(usize) -> usize) -> Vec<ScalarExpr> {
    conditions.iter_mut().for_each(|condition| condition.map_columns(&mut |column| place(column)));
    conditions
}

fn next_input(
    inputs: &[InnerJoinInput],
    conditions: &[ScalarExpr],
    classes: &[Vec<ScalarExpr>],
    joined: &[usize],
    single: bool,
) -> usize {
    let is_joined =
        |expr: &ScalarExpr| !expr.is_constant() && columns_read(expr).iter().all(|column| joined.contains(column));
    let has_key = |input: &InnerJoinInput| {
        let is_input = |expr: &ScalarExpr| side_of(expr, &input.columns);
        !shared_columns(classes, joined, &input.columns).is_empty()
            || conditions.iter().any(|condition| key_pair(condition, &is_joined, &is_input).is_some())
    };
    let keyed = inputs.iter().position(has_key);
    let single = if single { None } else { inputs.iter().position(|input| is_single_row(&input.plan)) };
    keyed.or(single).unwrap_or(0)
}

fn join_pair(left: QueryPlan, joined: &[usize], input: InnerJoinInput, conditions: Vec<ScalarExpr>) -> QueryPlan {
    let width = joined.len();
    let place = |column: usize| match joined.iter().position(|known| *known == column) {
        Some(position) => position,
        None => width + column - input.columns.start,
    };
    let mut on = mapped(conditions, &place);
    on.retain(|condition| !crate::rewrite::is_literal_bool(condition, true));
    let right_columns = width..width + input.columns.len();
    let parts = JoinParts { kind: JoinKind::Inner, left, right: input.plan, on, left_columns: 0..width, right_columns };
    parts.into_plan()
}

/// Sets of columns that the conditions make equal, and the other conditions.
///
/// With `a = b` and `b = c`, a and c can be joined, too.
fn equal_columns(conditions: Vec<ScalarExpr>) -> (Vec<Vec<ScalarExpr>>, Vec<ScalarExpr>) {
    let mut classes: Vec<Vec<ScalarExpr>> = Vec::new();
    let mut rest = Vec::new();
    for condition in conditions {
        match column_pair(&condition) {
            Some((one, other)) => add_equality(&mut classes, one, other),
            None => rest.push(condition),
        }
    }
    (classes, rest)
}

fn column_pair(condition: &ScalarExpr) -> Option<(ScalarExpr, ScalarExpr)> {
    let ExprKind::Compare(CompareOp::Equal, one, other) = &condition.kind else { return None };
    let is_column = |expr: &ScalarExpr| matches!(expr.kind, ExprKind::Column(_));
    (is_column(one) && is_column(other) && one != other).then(|| ((**one).clone(), (**other).clone()))
}

fn add_equality(classes: &mut Vec<Vec<ScalarExpr>>, one: ScalarExpr, other: ScalarExpr) {
    let (mut class, rest): (Vec<Vec<ScalarExpr>>, Vec<Vec<ScalarExpr>>) =
        std::mem::take(classes).into_iter().partition(|class| class.contains(&one) || class.contains(&other));
    class.push(vec![one, other]);
    let mut merged: Vec<ScalarExpr> = Vec::new();
    for column in class.into_iter().flatten() {
        if !merged.contains(&column) {
            merged.push(column);
        }
    }
    *classes = rest;
    classes.push(merged);
}

/// One equality for each set of equal columns that has some on both sides.
fn shared_columns(classes: &[Vec<ScalarExpr>], joined: &[usize], input: &Range<usize>) -> Vec<ScalarExpr> {
    let pair = |class: &Vec<ScalarExpr>| {
        let left = class.iter().find(|column| columns_read(column).iter().all(|column| joined.contains(column)))?;
        let right = class.iter().find(|column| side_of(column, input))?;
        Some(make_equal(left.clone(), right.clone()))
    };
    classes.iter().filter_map(pair).collect()
}
