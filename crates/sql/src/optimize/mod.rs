//! Conditions are moved to where they belong: those of one relation below the joins, equalities into the keys of joins.
//!
//! The columns of a plan stay what they are. Inner joins are put in an order in which each has a key, if there is one.

mod inner_joins;

use std::ops::Range;

use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, ExprKind, ScalarExpr};
use crate::plan::{JoinKind, QueryPlan};
use crate::rewrite::{
    all_of, columns_read, conjuncts, expression_size, make_equal, reads_only, replace_columns, shift_columns,
};
use inner_joins::push_inner;

/// How large a condition may become when the definitions of its columns are put into it.
const MAX_CONDITION_SIZE: usize = 200;

/// Moves all conditions down.
pub(crate) fn optimize_plan(plan: QueryPlan) -> QueryPlan {
    push_conditions(plan, Vec::new())
}

/// The rows of a plan for which all conditions are true.
pub(crate) fn push_conditions(plan: QueryPlan, mut conditions: Vec<ScalarExpr>) -> QueryPlan {
    match plan {
        QueryPlan::Filter { input, condition } => {
            conditions.extend(conjuncts(condition));
            push_conditions(*input, conditions)
        }
        QueryPlan::Project { input, columns } => push_through_project(*input, columns, conditions),
        QueryPlan::Distinct { input } => QueryPlan::Distinct { input: Box::new(push_conditions(*input, conditions)) },
        QueryPlan::UnionAll { inputs } => {
            let pushed = inputs.into_iter().map(|input| push_conditions(input, conditions.clone()));
            let flat = pushed.flat_map(|input| match input {
                QueryPlan::UnionAll { inputs } => inputs,
                input => vec![input],
            });
            QueryPlan::UnionAll { inputs: flat.collect() }
        }
        QueryPlan::Unnest { input, list, keep_empty } => {
            let width = input.types().len();
            let (below, above) = split(conditions, |condition| reads_only(condition, &(0..width)));
            let input = Box::new(push_conditions(*input, below));
            keep_rows(QueryPlan::Unnest { input, list, keep_empty }, above)
        }
        QueryPlan::Aggregate { input, keys, aggregates } => {
            let (below, above) = split(conditions, |condition| {
                let columns = columns_read(condition);
                !columns.is_empty() && columns.iter().all(|column| *column < keys.len()) && fits(condition, &keys)
            });
            let below = below.into_iter().map(|condition| substituted(condition, &keys)).collect();
            let input = Box::new(push_conditions(*input, below));
            keep_rows(QueryPlan::Aggregate { input, keys, aggregates }, above)
        }
        QueryPlan::Window { input, partition, order, functions } => {
            let (below, above) = split(conditions, |condition| {
                let columns = columns_read(condition);
                let is_part = |column: &usize| partition.iter().any(|part| part.kind == ExprKind::Column(*column));
                !columns.is_empty() && columns.iter().all(is_part)
            });
            let input = Box::new(push_conditions(*input, below));
            keep_rows(QueryPlan::Window { input, partition, order, functions }, above)
        }
        QueryPlan::Limit { input, order, offset, limit } => {
            let input = Box::new(optimize_plan(*input));
            keep_rows(QueryPlan::Limit { input, order, offset, limit }, conditions)
        }
        QueryPlan::Join { kind, left, right, keys, condition } => {
            push_through_join(JoinParts::new(kind, *left, *right, keys, condition), conditions)
        }
        leaf @ (QueryPlan::Scan { .. } | QueryPlan::OneRow { .. }) => keep_rows(leaf, conditions),
    }
}

pub(crate) fn keep_rows(plan: QueryPlan, conditions: Vec<ScalarExpr>) -> QueryPlan {
    match all_of(conditions) {
        Some(condition) => QueryPlan::Filter { input: Box::new(plan), condition },
        None => plan,
    }
}

pub(crate) fn split(
    conditions: Vec<ScalarExpr>,
    is_below: impl Fn(&ScalarExpr) -> bool,
) -> (Vec<ScalarExpr>, Vec<ScalarExpr>) {
    conditions.into_iter().partition(is_below)
}

/// Whether a condition stays small when columns are replaced by these expressions.
fn fits(condition: &ScalarExpr, columns: &[ScalarExpr]) -> bool {
    let mut size = expression_size(condition);
    condition.for_each_column(&mut |column| size += columns.get(column).map_or(0, expression_size));
    size <= MAX_CONDITION_SIZE
}

fn substituted(mut condition: ScalarExpr, columns: &[ScalarExpr]) -> ScalarExpr {
    replace_columns(&mut condition, &mut |column, ty| {
        columns.get(column).cloned().unwrap_or_else(|| ScalarExpr::column(column, ty))
    });
    condition.fold()
}

fn push_through_project(input: QueryPlan, columns: Vec<ScalarExpr>, conditions: Vec<ScalarExpr>) -> QueryPlan {
    let (below, above) = split(conditions, |condition| fits(condition, &columns));
    let below = below.into_iter().map(|condition| substituted(condition, &columns)).collect();
    let input = Box::new(push_conditions(input, below));
    keep_rows(QueryPlan::Project { input, columns }, above)
}

/// A join, with its condition as a list that includes the keys.
pub(crate) struct JoinParts {
    pub(crate) kind: JoinKind,
    pub(crate) left: QueryPlan,
    pub(crate) right: QueryPlan,
    /// Over the columns of both sides.
    pub(crate) on: Vec<ScalarExpr>,
    pub(crate) left_columns: Range<usize>,
    pub(crate) right_columns: Range<usize>,
}

impl JoinParts {
    pub(crate) fn new(
        kind: JoinKind,
        left: QueryPlan,
        right: QueryPlan,
        keys: Vec<(ScalarExpr, ScalarExpr)>,
        condition: Option<ScalarExpr>,
    ) -> JoinParts {
        let left_width = left.types().len();
        let right_width = right.types().len();
        let mut on: Vec<ScalarExpr> = condition.map(conjuncts).unwrap_or_default();
        for (one, mut other) in keys {
            shift_columns(&mut other, left_width.cast_signed());
            on.push(make_equal(one, other));
        }
        let right_columns = left_width..left_width + right_width;
        JoinParts { kind, left, right, on, left_columns: 0..left_width, right_columns }
    }

    /// The join, with `on` split into keys and the rest. Conditions of one side are moved into it by the caller.
    pub(crate) fn into_plan(self) -> QueryPlan {
        let JoinParts { kind, left, right, on, left_columns, right_columns } = self;
        if on.iter().any(is_never_true) {
            return unjoined_rows(kind, left, right);
        }
        let mut keys = Vec::new();
        let mut rest = Vec::new();
        for condition in on {
            match key_pair(&condition, &|expr| side_of(expr, &left_columns), &|expr| side_of(expr, &right_columns)) {
                Some((one, mut other)) => {
                    shift_columns(&mut other, -left_columns.end.cast_signed());
                    keys.push((one, other));
                }
                None => rest.push(condition),
            }
        }
        QueryPlan::Join { kind, left: Box::new(left), right: Box::new(right), keys, condition: all_of(rest) }
    }
}

/// Whether a condition is the constant false or null.
pub(crate) fn is_never_true(condition: &ScalarExpr) -> bool {
    matches!(&condition.kind, ExprKind::Literal(value) if !value.is_true())
}

/// A plan without rows.
pub(crate) fn no_rows(types: Vec<SqlType>) -> QueryPlan {
    let row = QueryPlan::OneRow { columns: vec![Datum::Null; types.len()], types };
    keep_rows(row, vec![ScalarExpr::literal(Datum::Bool(false))])
}

/// A join in which no rows match, such as one `ON a.ind = b.ind AND 1 = 2`. Its condition has become a constant, so there
/// are no keys.
fn unjoined_rows(kind: JoinKind, left: QueryPlan, right: QueryPlan) -> QueryPlan {
    let (left_types, right_types) = (left.types(), right.types());
    let columns = |types: &[SqlType]| -> Vec<ScalarExpr> {
        types.iter().enumerate().map(|(column, ty)| ScalarExpr::column(column, *ty)).collect()
    };
    let nulls = |types: &[SqlType]| -> Vec<ScalarExpr> { types.iter().map(|ty| ScalarExpr::null(*ty)).collect() };
    let left_rows = |left| QueryPlan::Project {
        input: Box::new(left),
        columns: [columns(&left_types), nulls(&right_types)].concat(),
    };
    let right_rows = |right| QueryPlan::Project {
        input: Box::new(right),
        columns: [nulls(&left_types), columns(&right_types)].concat(),
    };
    match kind {
        JoinKind::Inner => no_rows([left_types, right_types].concat()),
        JoinKind::Left => left_rows(left),
        JoinKind::Right => right_rows(right),
        JoinKind::Full => QueryPlan::UnionAll { inputs: vec![left_rows(left), right_rows(right)] },
        JoinKind::Semi => no_rows(left_types),
        JoinKind::Anti => left,
    }
}

/// Whether an expression reads columns, all of them in a range.
pub(crate) fn side_of(expr: &ScalarExpr, columns: &Range<usize>) -> bool {
    !expr.is_constant() && reads_only(expr, columns)
}

/// `one = other` with one side on the left and the other one on the right.
pub(crate) fn key_pair(
    condition: &ScalarExpr,
    is_left: &dyn Fn(&ScalarExpr) -> bool,
    is_right: &dyn Fn(&ScalarExpr) -> bool,
) -> Option<(ScalarExpr, ScalarExpr)> {
    let ExprKind::Compare(CompareOp::Equal, one, other) = &condition.kind else { return None };
    if is_left(one) && is_right(other) {
        return Some(((**one).clone(), (**other).clone()));
    }
    if is_left(other) && is_right(one) {
        return Some(((**other).clone(), (**one).clone()));
    }
    None
}

fn push_through_join(mut join: JoinParts, conditions: Vec<ScalarExpr>) -> QueryPlan {
    join.kind = narrowed_kind(&join, &conditions);
    match join.kind {
        JoinKind::Inner => push_inner(join, conditions),
        JoinKind::Left => push_left(join, conditions),
        JoinKind::Right => push_right(join, conditions),
        JoinKind::Full => {
            join.left = optimize_plan(join.left);
            join.right = optimize_plan(join.right);
            keep_rows(join.into_plan(), conditions)
        }
        JoinKind::Semi | JoinKind::Anti => push_semi(join, conditions),
    }
}

/// An outer join whose extra rows the conditions throw away is a narrower join.
fn narrowed_kind(join: &JoinParts, conditions: &[ScalarExpr]) -> JoinKind {
    let rejects = |columns: &Range<usize>| conditions.iter().any(|condition| rejects_nulls(condition, columns));
    let keeps_left = !rejects(&join.right_columns);
    let keeps_right = !rejects(&join.left_columns);
    match join.kind {
        JoinKind::Left if !keeps_left => JoinKind::Inner,
        JoinKind::Right if !keeps_right => JoinKind::Inner,
        JoinKind::Full => match (keeps_left, keeps_right) {
            (true, true) => JoinKind::Full,
            (true, false) => JoinKind::Left,
            (false, true) => JoinKind::Right,
            (false, false) => JoinKind::Inner,
        },
        kind => kind,
    }
}

fn push_left(mut join: JoinParts, conditions: Vec<ScalarExpr>) -> QueryPlan {
    let (to_left, above) = split(conditions, |condition| reads_only(condition, &join.left_columns));
    let (to_right, on) = split(join.on, |condition| side_of(condition, &join.right_columns));
    join.on = on;
    join.left = push_conditions(join.left, to_left);
    join.right = push_conditions(join.right, moved(to_right, join.left_columns.end));
    keep_rows(join.into_plan(), above)
}

fn push_right(mut join: JoinParts, conditions: Vec<ScalarExpr>) -> QueryPlan {
    let (to_right, above) = split(conditions, |condition| side_of(condition, &join.right_columns));
    let (to_left, on) = split(join.on, |condition| side_of(condition, &join.left_columns));
    join.on = on;
    join.left = push_conditions(join.left, to_left);
    join.right = push_conditions(join.right, moved(to_right, join.left_columns.end));
    keep_rows(join.into_plan(), above)
}

fn push_semi(mut join: JoinParts, conditions: Vec<ScalarExpr>) -> QueryPlan {
    let mut to_left = conditions;
    let (to_right, on) = split(join.on, |condition| side_of(condition, &join.right_columns));
    join.on = on;
    if join.kind == JoinKind::Semi {
        let (left_only, on) = split(join.on, |condition| side_of(condition, &join.left_columns));
        join.on = on;
        to_left.extend(left_only);
    }
    join.left = push_conditions(join.left, to_left);
    join.right = push_conditions(join.right, moved(to_right, join.left_columns.end));
    join.into_plan()
}

pub(crate) fn moved(conditions: Vec<ScalarExpr>, distance: usize) -> Vec<ScalarExpr> {
    let mut conditions = conditions;
    conditions.iter_mut().for_each(|condition| shift_columns(condition, -distance.cast_signed()));
    conditions
}

/// Whether a condition is not true for rows in which all columns of a range are null.
fn rejects_nulls(condition: &ScalarExpr, columns: &Range<usize>) -> bool {
    match &condition.kind {
        ExprKind::And(all) => all.iter().any(|one| rejects_nulls(one, columns)),
        ExprKind::Or(any) => any.iter().all(|one| rejects_nulls(one, columns)),
        ExprKind::IsTrue(inner) => rejects_nulls(inner, columns),
        ExprKind::Not(inner) => match &inner.kind {
            ExprKind::IsNull(tested) => is_strict(tested, columns),
            _ => is_strict(inner, columns),
        },
        _ => is_strict(condition, columns),
    }
}

/// Whether an expression is null where all columns of a range are.
fn is_strict(expr: &ScalarExpr, columns: &Range<usize>) -> bool {
    match &expr.kind {
        ExprKind::Column(column) => columns.contains(column),
        ExprKind::Compare(_, one, other) | ExprKind::Arithmetic(_, one, other) => {
            is_strict(one, columns) || is_strict(other, columns)
        }
        ExprKind::Not(inner) | ExprKind::Negate(inner) | ExprKind::Cast(inner) => is_strict(inner, columns),
        ExprKind::In(subject, _) => is_strict(subject, columns),
        ExprKind::Call(function, arguments) if function.propagates_nulls() => {
            arguments.iter().any(|argument| is_strict(argument, columns))
        }
        ExprKind::Like(like) => is_strict(&like.text, columns) || is_strict(&like.pattern, columns),
        _ => false,
    }
}
