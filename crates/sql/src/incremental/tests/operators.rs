//! Each operator by itself, above scans, over random histories.

use super::expressions::random_expr;
use super::histories::{KeyedTables, RowsPerKey, random_epoch, random_row, random_value};
use super::plans::{AGGREGATES, random_call, random_order, random_window_call};
use super::questions::naive_answer;
use super::runs::QuestionRun;
use super::{RandomDraws, case_count};
use crate::catalog::POSTS;
use crate::datum::{Datum, Row, SqlType};
use crate::eval::FaultCounter;
use crate::expr::{ExprKind, ScalarExpr};
use crate::incremental::{GroupSpec, GroupTable, StateError, UpperState};
use crate::plan::{AggregateCall, AggregateFunction, JoinKind, QueryPlan};
use crate::split::{split_at_leaves, split_plan};

/// All columns of a relation but the long texts.
fn scan_relation(relation: usize) -> QueryPlan {
    let columns = POSTS.relations[relation].columns.iter().enumerate().filter(|(_, column)| !column.hidden);
    let columns = columns.map(|(index, column)| ScalarExpr::column(index, column.ty)).take(6).collect();
    QueryPlan::Scan { relation, columns }
}

/// Compares histories of plans whose only leaves are scans. Of several kinds each has a part of the cases.
fn check_operator(kinds: usize, make: impl Fn(&mut RandomDraws) -> QueryPlan) {
    for seed in 0..case_count().div_ceil(kinds as u64) {
        let mut draws = RandomDraws::new(seed);
        let plan = make(&mut draws);
        let program = split_at_leaves(&plan, &POSTS, |plan, _| matches!(plan, QueryPlan::Scan { .. }));
        let mut run = QuestionRun::start(program.clone(), false).expect("an empty state");
        let mut filled = QuestionRun::start_filled(program, false).expect("an empty state");
        let (first_emitted, budget) = (draws.below(12), 1 + draws.below(9));
        let mut tables = KeyedTables::new(&POSTS);
        assert_eq!(run.answer, naive_answer(&plan, &tables), "seed {seed} at the start: {plan:#?}");
        for epoch in 0..20 {
            let before = tables.clone();
            let keys = random_epoch(&mut draws, &mut tables, &POSTS, RowsPerKey::Keep);
            run.apply(&before, &tables, &keys).expect("only rows that are there go");
            assert_eq!(run.answer, naive_answer(&plan, &tables), "seed {seed} in epoch {epoch}: {plan:#?}");
            filled.budget = (epoch >= first_emitted).then_some(if epoch < 18 { budget } else { usize::MAX });
            filled.apply(&before, &tables, &keys).expect("only rows that are there go");
            if filled.is_filled() {
                assert_eq!(filled.answer, run.answer, "seed {seed} in epoch {epoch}, filled: {plan:#?}");
            }
        }
        assert!(filled.is_filled(), "seed {seed}: {plan:#?}");
    }
}

#[test]
fn join_of_each_kind_agrees_with_the_naive_evaluator() {
    for kind in [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti] {
        check_operator(6, |draws| {
            let (left, right) = (scan_relation(1 + draws.below(2)), scan_relation(1 + draws.below(2)));
            let (left_types, right_types) = (left.types(), right.types());
            let ty = *draws.pick(&[SqlType::Long, SqlType::Text]);
            let key = |draws: &mut RandomDraws| {
                (random_expr(draws, &left_types, ty, 1), random_expr(draws, &right_types, ty, 1))
            };
            let keys = (0..draws.below(3)).map(|_| key(draws)).collect();
            let both = [left_types.clone(), right_types.clone()].concat();
            let condition = draws.once_in(3).then(|| random_expr(draws, &both, SqlType::Bool, 2));
            QueryPlan::Join { kind, left: Box::new(left), right: Box::new(right), keys, condition }
        });
    }
}

#[test]
fn each_aggregate_agrees_with_the_naive_evaluator() {
    for function in AGGREGATES {
        check_operator(AGGREGATES.len(), |draws| {
            let input = scan_relation(draws.below(3));
            let types = input.types();
            let keys = if draws.once_in(3) { vec![] } else { vec![random_expr(draws, &types, SqlType::Text, 0)] };
            let aggregates = (0..3).map(|_| random_call(draws, function, &types)).collect();
            QueryPlan::Aggregate { input: Box::new(input), keys, aggregates }
        });
    }
}

#[test]
fn aggregates_of_one_argument_share_what_they_hold_and_agree_with_the_naive_evaluator() {
    use AggregateFunction as F;
    let age = ScalarExpr { kind: ExprKind::Cast(Box::new(ScalarExpr::column(2, SqlType::Long))), ty: SqlType::Double };
    let call = |function, distinct| {
        let ty = if function == F::Count { SqlType::Long } else { SqlType::Double };
        AggregateCall { function, arguments: vec![age.clone()], distinct, filter: None, order: vec![], ty }
    };
    let functions = [F::Count, F::Sum, F::Avg, F::Min, F::Max, F::Mode, F::VarianceSample, F::StddevPopulation];
    let calls: Vec<_> =
        functions.into_iter().flat_map(|function| [call(function, false), call(function, true)]).collect();
    let spec = GroupSpec::new(&[], &calls);
    // Sum, values, moments, and the distinct forms of sum, mode and moments.
    assert_eq!((spec.inputs().len(), spec.cell_count()), (1, 6));
    check_operator(4, |draws| {
        let input = Box::new(scan_relation(2));
        let keys = if draws.once_in(2) { vec![] } else { vec![ScalarExpr::column(1, SqlType::Text)] };
        QueryPlan::Aggregate { input, keys, aggregates: calls.clone() }
    });
}

#[test]
fn distinct_agrees_with_the_naive_evaluator() {
    check_operator(1, |draws| {
        let input = scan_relation(draws.below(3));
        let columns = vec![random_expr(draws, &input.types(), SqlType::Text, 1)];
        // Not directly above a scan, where it would be a group.
        let input =
            Box::new(QueryPlan::UnionAll { inputs: vec![QueryPlan::Project { input: Box::new(input), columns }] });
        QueryPlan::Distinct { input }
    });
}

#[test]
fn limit_agrees_with_the_naive_evaluator() {
    check_operator(1, |draws| {
        let input = scan_relation(draws.below(3));
        let order = random_order(draws, &input.types());
        let limit = if draws.once_in(5) { None } else { Some(draws.below(6) as u64) };
        QueryPlan::Limit { input: Box::new(input), order, offset: draws.below(4) as u64, limit }
    });
}

#[test]
fn window_agrees_with_the_naive_evaluator() {
    check_operator(1, |draws| {
        let input = scan_relation(draws.below(3));
        let types = input.types();
        let partition = if draws.once_in(3) { vec![] } else { vec![random_expr(draws, &types, SqlType::Text, 0)] };
        let order = random_order(draws, &types);
        let functions = (0..2).map(|_| random_window_call(draws, &types)).collect();
        QueryPlan::Window { input: Box::new(input), partition, order, functions }
    });
}

/// Plans with an operator that holds a row for each key of a relation.
fn plans_that_grow() -> [QueryPlan; 4] {
    let scan = || Box::new(scan_relation(1));
    let is_key = |column: &ScalarExpr| column.kind == ExprKind::Column(POSTS.relations[1].key);
    let QueryPlan::Scan { columns, .. } = *scan() else { unreachable!("a scan") };
    let key = ScalarExpr::column(columns.iter().position(is_key).expect("the key is scanned"), SqlType::Long);
    let (keys, condition) = (vec![(key.clone(), key.clone())], None);
    [
        QueryPlan::Aggregate { input: scan(), keys: vec![key.clone()], aggregates: vec![] },
        QueryPlan::Window { input: scan(), partition: vec![key], order: vec![], functions: vec![] },
        QueryPlan::Limit { input: scan(), order: vec![], offset: 0, limit: None },
        QueryPlan::Join { kind: JoinKind::Inner, left: scan(), right: scan(), keys, condition },
    ]
}

#[test]
fn fill_ends_while_more_rows_come_in_each_epoch_than_its_budget() {
    for plan in plans_that_grow() {
        let program = split_at_leaves(&plan, &POSTS, |plan, _| matches!(plan, QueryPlan::Scan { .. }));
        let mut filled = QuestionRun::start_filled(program, false).expect("an empty state");
        let (mut draws, mut tables) = (RandomDraws::new(7), KeyedTables::new(&POSTS));
        let mut epochs = 0;
        while !filled.is_filled() {
            let before = tables.clone();
            let keys: Vec<i64> = (100 * epochs..100 * (epochs + 1)).collect();
            for key in &keys {
                tables.rows[1].entry(*key).or_default().insert(random_row(&mut draws, &POSTS.relations[1], *key), 1);
            }
            filled.budget = (epochs > 0).then_some(20);
            filled.apply(&before, &tables, &keys).expect("no rows go");
            assert!(epochs < 60, "{plan:#?}");
            epochs += 1;
        }
        assert!(epochs > 2, "it takes some steps: {plan:#?}");
        assert_eq!(filled.answer, naive_answer(&plan, &tables), "{plan:#?}");
    }
}

/// Plans whose operators hold rows.
fn stateful_plans(draws: &mut RandomDraws) -> Vec<QueryPlan> {
    let scan = || Box::new(scan_relation(1));
    let types = scan().types();
    let keys = vec![(ScalarExpr::column(1, SqlType::Text), ScalarExpr::column(1, SqlType::Text))];
    vec![
        QueryPlan::Distinct { input: Box::new(QueryPlan::UnionAll { inputs: vec![*scan()] }) },
        QueryPlan::Join { kind: JoinKind::Left, left: scan(), right: scan(), keys, condition: None },
        QueryPlan::Limit { input: scan(), order: random_order(draws, &types), offset: 0, limit: Some(3) },
        QueryPlan::Window {
            input: scan(),
            partition: vec![],
            order: vec![],
            functions: vec![random_window_call(draws, &types)],
        },
    ]
}

fn random_scanned_row(draws: &mut RandomDraws) -> Row {
    scan_relation(1).types().into_iter().map(|ty| random_value(draws, ty)).collect()
}

#[test]
fn row_that_is_removed_but_was_never_added_is_an_error() {
    let mut draws = RandomDraws::new(1);
    for plan in stateful_plans(&mut draws) {
        let program = split_at_leaves(&plan, &POSTS, |plan, _| matches!(plan, QueryPlan::Scan { .. }));
        let mut state = UpperState::new(&program.upper);
        // A join does not hold rows whose key is null.
        let row =
            std::iter::repeat_with(|| random_scanned_row(&mut draws)).find(|row| !row[1].is_null()).expect("some key");
        let result = state.apply(vec![(0, row, -1)], &FaultCounter::default());
        assert!(matches!(result, Err(StateError::NegativeCount { .. })), "{result:?}: {plan:#?}");
    }
}

#[test]
fn group_with_fewer_than_no_rows_or_values_is_an_error() {
    for function in AGGREGATES {
        let mut draws = RandomDraws::new(3);
        let types = scan_relation(1).types();
        let spec = GroupSpec::new(&[], &[random_call(&mut draws, function, &types)]);
        let mut table = GroupTable::new(spec.into());
        table.initial_rows(&FaultCounter::default());
        let row: Vec<_> = table.spec().inputs().iter().map(|input| random_value(&mut draws, input.ty)).collect();
        table.update(&row, -1);
        let result = table.finish_epoch(&FaultCounter::default(), &mut |_, _| {});
        assert_eq!(result, Err(StateError::NegativeCount { operator: "a group" }), "{function:?}");
    }
}

#[test]
fn removal_before_the_addition_within_an_epoch_is_no_error() {
    let mut draws = RandomDraws::new(5);
    let types = scan_relation(1).types();
    let calls: Vec<_> = AGGREGATES.iter().map(|function| random_call(&mut draws, *function, &types)).collect();
    let mut table = GroupTable::new(GroupSpec::new(&[ScalarExpr::column(1, SqlType::Text)], &calls).into());
    let row: Vec<_> = table.spec().inputs().iter().map(|input| random_value(&mut draws, input.ty)).collect();
    let mut changes = 0;
    for (first, second) in [(-1, 1), (-1, 2), (1, -2)] {
        table.update(&row, first);
        table.update(&row, second);
        table
            .finish_epoch(&FaultCounter::default(), &mut |_, _| changes += 1)
            .expect("all counts are positive in the end");
    }
    assert_eq!((changes, table.usage().groups, table.usage().bytes), (2, 0, 0));
}

#[test]
fn join_on_the_key_is_one_leaf_and_other_joins_are_not() {
    let join = |kind, left: QueryPlan, right: QueryPlan, keys: [usize; 2]| {
        let keys = vec![(ScalarExpr::column(keys[0], SqlType::Long), ScalarExpr::column(keys[1], SqlType::Long))];
        QueryPlan::Join { kind, left: Box::new(left), right: Box::new(right), keys, condition: None }
    };
    let leaves = |plan: &QueryPlan| split_plan(plan, &POSTS).leaves.len();
    let (geo, user) = (|| scan_relation(1), || scan_relation(2));
    let width = geo().types().len();
    for kind in [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full] {
        let both = join(kind, geo(), user(), [0, 0]);
        assert_eq!(leaves(&both), 1, "{kind:?}");
        // The key of a side that may be missing is null then, and null has no partner.
        assert_eq!(leaves(&join(JoinKind::Left, both.clone(), geo(), [width, 0])), 1, "{kind:?}");
        assert_eq!(leaves(&join(JoinKind::Inner, both, user(), [width + 2, 0])), 2, "{kind:?}: age is not the key");
    }
}

#[test]
fn only_expressions_that_are_the_key_or_null_join_within_a_leaf() {
    let both = QueryPlan::Join {
        kind: JoinKind::Full,
        left: Box::new(scan_relation(1)),
        right: Box::new(scan_relation(2)),
        keys: vec![(ScalarExpr::column(0, SqlType::Long), ScalarExpr::column(0, SqlType::Long))],
        condition: None,
    };
    let right_key = scan_relation(1).types().len();
    let long = |index| ScalarExpr::column(index, SqlType::Long);
    let coalesce = |operands| ScalarExpr { kind: ExprKind::Coalesce(operands), ty: SqlType::Long };
    let cases = [
        (coalesce(vec![long(0), long(right_key)]), 1),
        (coalesce(vec![long(0), ScalarExpr::null(SqlType::Long)]), 1),
        (coalesce(vec![long(0), long(right_key + 2)]), 2),
        (coalesce(vec![long(0), ScalarExpr::literal(Datum::Long(3))]), 2),
        (ScalarExpr { kind: ExprKind::Negate(Box::new(long(0))), ty: SqlType::Long }, 2),
    ];
    for (key, leaves) in cases {
        let named = QueryPlan::Project { input: Box::new(both.clone()), columns: vec![key.clone()] };
        let right = Box::new(scan_relation(0));
        let keys = vec![(long(0), long(0))];
        let plan = QueryPlan::Join { kind: JoinKind::Inner, left: Box::new(named), right, keys, condition: None };
        assert_eq!(split_plan(&plan, &POSTS).leaves.len(), leaves, "{key:?}");
    }
}
