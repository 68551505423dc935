//! Random plans.

use super::RandomDraws;
use super::expressions::random_expr;
use crate::catalog::RelationCatalog;
use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, ExprKind, ScalarExpr};
use crate::plan::{
    AggregateCall, AggregateFunction, FrameBound, JoinKind, PairFunction, QueryPlan, SortKey, WindowCall, WindowFrame,
    WindowFunction,
};

const SCALAR_TYPES: [SqlType; 5] = [SqlType::Bool, SqlType::Long, SqlType::Double, SqlType::Text, SqlType::Time];

pub(super) const AGGREGATES: [AggregateFunction; 29] = [
    AggregateFunction::CountRows,
    AggregateFunction::Count,
    AggregateFunction::Sum,
    AggregateFunction::Sum,
    AggregateFunction::Avg,
    AggregateFunction::Min,
    AggregateFunction::Max,
    AggregateFunction::PercentileCont,
    AggregateFunction::PercentileCont,
    AggregateFunction::PercentileDisc,
    AggregateFunction::Mode,
    AggregateFunction::StddevSample,
    AggregateFunction::StddevPopulation,
    AggregateFunction::VarianceSample,
    AggregateFunction::VariancePopulation,
    AggregateFunction::BoolAnd,
    AggregateFunction::BoolOr,
    AggregateFunction::StringAgg,
    AggregateFunction::ArgMax,
    AggregateFunction::ArgMin,
    AggregateFunction::OfPairs(PairFunction::CovariancePopulation),
    AggregateFunction::OfPairs(PairFunction::CovarianceSample),
    AggregateFunction::OfPairs(PairFunction::Correlation),
    AggregateFunction::OfPairs(PairFunction::Slope),
    AggregateFunction::OfPairs(PairFunction::Intercept),
    AggregateFunction::OfPairs(PairFunction::Determination),
    AggregateFunction::OfPairs(PairFunction::SpreadOfX),
    AggregateFunction::OfPairs(PairFunction::SpreadOfY),
    AggregateFunction::OfPairs(PairFunction::SpreadOfBoth),
];

/// A plan of up to `depth` operators above each other.
pub(super) fn random_plan(draws: &mut RandomDraws, catalog: &RelationCatalog, depth: usize) -> QueryPlan {
    if depth == 0 {
        return random_scan(draws, catalog);
    }
    let choice = draws.below(20);
    if (9..12).contains(&choice) {
        return random_join(draws, catalog, depth);
    }
    if choice == 12 {
        return random_union(draws, catalog, depth);
    }
    if choice == 13 && draws.once_in(3) {
        let types = vec![SqlType::Long, SqlType::Text];
        return QueryPlan::OneRow { columns: vec![Datum::Long(1), Datum::text("a")], types };
    }
    let input = random_plan(draws, catalog, depth - 1);
    unary_plan(draws, input, choice)
}

/// A plan of one input, by a number below 9 or above 12.
pub(super) fn unary_plan(draws: &mut RandomDraws, input: QueryPlan, choice: usize) -> QueryPlan {
    let types = input.types();
    let boxed = Box::new(input);
    match choice {
        0..3 => QueryPlan::Filter { condition: random_expr(draws, &types, SqlType::Bool, 2), input: boxed },
        3 | 4 => {
            let columns = (0..1 + draws.below(4)).map(|_| random_column(draws, &types)).collect();
            QueryPlan::Project { input: boxed, columns }
        }
        5 => match types.iter().position(|ty| ty.element().is_some()) {
            Some(index) => QueryPlan::Unnest {
                input: boxed,
                list: ScalarExpr::column(index, types[index]),
                keep_empty: draws.once_in(2),
            },
            None => QueryPlan::Distinct { input: boxed },
        },
        6 => QueryPlan::Distinct { input: boxed },
        7 | 8 => {
            let limit = if draws.once_in(5) { None } else { Some(draws.below(4) as u64) };
            QueryPlan::Limit { input: boxed, order: random_order(draws, &types), offset: draws.below(3) as u64, limit }
        }
        13..16 => random_window(draws, boxed, &types),
        _ => random_aggregate(draws, boxed, &types),
    }
}

fn random_scan(draws: &mut RandomDraws, catalog: &RelationCatalog) -> QueryPlan {
    let relation = draws.below(catalog.relations.len());
    let definition = &catalog.relations[relation];
    let mut columns: Vec<ScalarExpr> = Vec::new();
    for (index, column) in definition.columns.iter().enumerate() {
        if draws.once_in(3) || index == definition.key && !draws.once_in(6) {
            columns.push(ScalarExpr::column(index, column.ty));
        }
    }
    QueryPlan::Scan { relation, columns }
}

/// Most often a column as it is.
fn random_column(draws: &mut RandomDraws, types: &[SqlType]) -> ScalarExpr {
    if !types.is_empty() && !draws.once_in(4) {
        let index = draws.below(types.len());
        return ScalarExpr::column(index, types[index]);
    }
    let ty = *draws.pick(&SCALAR_TYPES);
    random_expr(draws, types, ty, 2)
}

/// Up to two sort keys.
pub(super) fn random_order(draws: &mut RandomDraws, types: &[SqlType]) -> Vec<SortKey> {
    let key = |draws: &mut RandomDraws| SortKey {
        expr: random_column(draws, types),
        descending: draws.once_in(2),
        nulls_first: draws.once_in(2),
    };
    (0..draws.below(3)).map(|_| key(draws)).collect()
}

fn random_join(draws: &mut RandomDraws, catalog: &RelationCatalog, depth: usize) -> QueryPlan {
    const KINDS: [JoinKind; 8] = [
        JoinKind::Inner,
        JoinKind::Inner,
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
        JoinKind::Semi,
        JoinKind::Anti,
    ];
    let right_depth = draws.below(depth);
    let left = random_plan(draws, catalog, depth - 1);
    let right = random_plan(draws, catalog, right_depth);
    let (left_types, right_types) = (left.types(), right.types());
    let mut keys = Vec::new();
    // The first columns are often the keys of the relations.
    if left_types.first() == Some(&SqlType::Long) && right_types.first() == Some(&SqlType::Long) && !draws.once_in(5) {
        keys.push((ScalarExpr::column(0, SqlType::Long), ScalarExpr::column(0, SqlType::Long)));
    }
    if keys.is_empty() && !draws.once_in(8) || draws.once_in(6) {
        let ty = *draws.pick(&SCALAR_TYPES);
        keys.push((random_expr(draws, &left_types, ty, 1), random_expr(draws, &right_types, ty, 1)));
    }
    let both = [left_types, right_types].concat();
    let condition = draws.once_in(4).then(|| random_expr(draws, &both, SqlType::Bool, 2));
    QueryPlan::Join { kind: *draws.pick(&KINDS), left: Box::new(left), right: Box::new(right), keys, condition }
}

fn random_union(draws: &mut RandomDraws, catalog: &RelationCatalog, depth: usize) -> QueryPlan {
    let types: Vec<SqlType> = (0..1 + draws.below(3)).map(|_| *draws.pick(&SCALAR_TYPES)).collect();
    let input = |draws: &mut RandomDraws| {
        let input_depth = draws.below(depth);
        let input = random_plan(draws, catalog, input_depth);
        let available = input.types();
        let columns = types.iter().map(|ty| random_expr(draws, &available, *ty, 1)).collect();
        QueryPlan::Project { input: Box::new(input), columns }
    };
    QueryPlan::UnionAll { inputs: (0..1 + draws.below(2)).map(|_| input(draws)).collect() }
}

fn random_aggregate(draws: &mut RandomDraws, input: Box<QueryPlan>, types: &[SqlType]) -> QueryPlan {
    let keys = (0..draws.below(3)).map(|_| random_column(draws, types)).collect();
    let aggregates = (0..draws.below(5)).map(|_| random_aggregate_call(draws, types)).collect();
    QueryPlan::Aggregate { input, keys, aggregates }
}

fn random_aggregate_call(draws: &mut RandomDraws, types: &[SqlType]) -> AggregateCall {
    let function = *draws.pick(&AGGREGATES);
    random_call(draws, function, types)
}

/// A call of an aggregate, at times with DISTINCT, a filter or an order.
pub(super) fn random_call(draws: &mut RandomDraws, function: AggregateFunction, types: &[SqlType]) -> AggregateCall {
    use AggregateFunction as F;
    let number = *draws.pick(&[SqlType::Long, SqlType::Double]);
    let scalar = *draws.pick(&SCALAR_TYPES);
    let argument = |draws: &mut RandomDraws, ty| random_expr(draws, types, ty, 1);
    let fraction = ScalarExpr::literal(Datum::Double(*draws.pick(&[0.0, 0.07, 0.25, 0.5, 0.9, 1.0])));
    let (arguments, ty) = match function {
        F::CountRows => (vec![], SqlType::Long),
        F::Count => (vec![argument(draws, scalar)], SqlType::Long),
        F::Sum => (vec![argument(draws, number)], number),
        F::Avg => (vec![argument(draws, number)], SqlType::Double),
        F::Min | F::Max | F::Mode => (vec![argument(draws, scalar)], scalar),
        F::PercentileCont => (vec![argument(draws, SqlType::Double), fraction], SqlType::Double),
        F::PercentileDisc => (vec![argument(draws, scalar), fraction], scalar),
        F::StddevSample | F::StddevPopulation | F::VarianceSample | F::VariancePopulation => {
            (vec![argument(draws, SqlType::Double)], SqlType::Double)
        }
        F::BoolAnd | F::BoolOr => (vec![argument(draws, SqlType::Bool)], SqlType::Bool),
        F::StringAgg => (vec![argument(draws, SqlType::Text), ScalarExpr::literal(Datum::text("; "))], SqlType::Text),
        F::ArgMax | F::ArgMin => (vec![argument(draws, scalar), argument(draws, number)], scalar),
        F::OfPairs(_) => (vec![argument(draws, SqlType::Double), argument(draws, SqlType::Double)], SqlType::Double),
    };
    let distinct = !arguments.is_empty() && !matches!(function, F::OfPairs(_)) && draws.once_in(4);
    let order = match function {
        F::StringAgg if !distinct => random_order(draws, types),
        F::StringAgg => vec![SortKey { expr: arguments[0].clone(), descending: true, nulls_first: false }],
        _ => vec![],
    };
    let filter = draws.once_in(4).then(|| random_expr(draws, types, SqlType::Bool, 1));
    AggregateCall { function, arguments, distinct, filter, order, ty }
}

fn random_window(draws: &mut RandomDraws, input: Box<QueryPlan>, types: &[SqlType]) -> QueryPlan {
    let partition = (0..draws.below(2)).map(|_| random_column(draws, types)).collect();
    let order = random_order(draws, types);
    if draws.once_in(3) {
        return random_ranks(draws, input, partition, order);
    }
    let functions = (0..1 + draws.below(3)).map(|_| random_window_call(draws, types)).collect();
    QueryPlan::Window { input, partition, order, functions }
}

/// The first ranks of each partition.
fn random_ranks(
    draws: &mut RandomDraws,
    input: Box<QueryPlan>,
    partition: Vec<ScalarExpr>,
    order: Vec<SortKey>,
) -> QueryPlan {
    const RANKS: [WindowFunction; 3] = [WindowFunction::RowNumber, WindowFunction::Rank, WindowFunction::DenseRank];
    let width = input.types().len();
    let call = |draws: &mut RandomDraws| WindowCall { function: draws.pick(&RANKS).clone(), ty: SqlType::Long };
    let functions: Vec<WindowCall> = (0..1 + draws.below(2)).map(|_| call(draws)).collect();
    let rank = ScalarExpr::column(width + draws.below(functions.len()), SqlType::Long);
    let most = ScalarExpr::literal(Datum::Long(draws.below(4) as i64));
    let op = *draws.pick(&[CompareOp::LessOrEqual, CompareOp::Less, CompareOp::Equal, CompareOp::Greater]);
    let condition = ScalarExpr::condition(ExprKind::Compare(op, Box::new(rank), Box::new(most)));
    let input = Box::new(QueryPlan::Window { input, partition, order, functions });
    QueryPlan::Filter { input, condition }
}

/// A window function of any kind.
pub(super) fn random_window_call(draws: &mut RandomDraws, types: &[SqlType]) -> WindowCall {
    let scalar = *draws.pick(&SCALAR_TYPES);
    let value = random_expr(draws, types, scalar, 1);
    let frame = random_frame(draws);
    let (function, ty) = match draws.below(16) {
        0 => (WindowFunction::RowNumber, SqlType::Long),
        1 => (WindowFunction::Rank, SqlType::Long),
        2 => (WindowFunction::DenseRank, SqlType::Long),
        3 => (WindowFunction::PercentRank, SqlType::Double),
        4 => (WindowFunction::CumeDist, SqlType::Double),
        5 => (WindowFunction::Ntile(1 + draws.below(4) as u64), SqlType::Long),
        6 => {
            let default = Box::new(random_expr(draws, types, scalar, 1));
            (WindowFunction::Offset { value, distance: draws.below(5) as i64 - 2, default }, scalar)
        }
        7 => (WindowFunction::FirstValue(value, frame), scalar),
        8 => (WindowFunction::LastValue(value, frame), scalar),
        10 => {
            let default = Box::new(random_expr(draws, types, scalar, 1));
            (WindowFunction::KnownOffset { value, distance: draws.below(7) as i64 - 3, default }, scalar)
        }
        11 => {
            let place = *draws.pick(&[1, 1, -1, -1, 2, 3, -2]);
            (WindowFunction::KnownValue { value, place, frame }, scalar)
        }
        9 => (WindowFunction::NthValue(value, 1 + draws.below(3) as u64, frame), scalar),
        _ => {
            let call = random_aggregate_call(draws, types);
            let ty = call.ty;
            (WindowFunction::Aggregate(call, frame), ty)
        }
    };
    WindowCall { function, ty }
}

fn random_frame(draws: &mut RandomDraws) -> WindowFrame {
    let rows = draws.once_in(2);
    let bound = |draws: &mut RandomDraws| match draws.below(if rows { 4 } else { 2 }) {
        0 => FrameBound::Unbounded,
        1 => FrameBound::Current,
        2 => FrameBound::Preceding(draws.below(3) as u64),
        _ => FrameBound::Following(draws.below(3) as u64),
    };
    WindowFrame { rows, start: bound(draws), end: bound(draws) }
}
