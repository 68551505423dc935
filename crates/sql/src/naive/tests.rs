//! What SQLite does not know, or does otherwise. The rest is compared with it in `tests/sqlite.rs`.

use super::*;
use crate::datum::SqlType;
use crate::expr::{CompareOp, ExprKind};
use crate::plan::{
    AggregateCall, AggregateFunction, FrameBound, JoinKind, ListingKey, OutputColumn, SortKey, WindowCall, WindowFrame,
    WindowFunction,
};

const NULL: Datum = Datum::Null;

fn long(value: i64) -> Datum {
    Datum::Long(value)
}

fn double(value: f64) -> Datum {
    Datum::double(value).expect("a finite number")
}

fn text(value: &str) -> Datum {
    Datum::text(value)
}

fn rows<const N: usize>(rows: &[[Datum; N]]) -> Vec<Row> {
    rows.iter().map(|row| Box::from(row.as_slice())).collect()
}

/// A scan of the first `width` columns, which count as longs.
fn scan(relation: usize, width: usize) -> QueryPlan {
    QueryPlan::Scan { relation, columns: (0..width).map(|index| ScalarExpr::column(index, SqlType::Long)).collect() }
}

fn column(index: usize) -> ScalarExpr {
    ScalarExpr::column(index, SqlType::Long)
}

fn ascending(index: usize) -> SortKey {
    SortKey { expr: column(index), descending: false, nulls_first: false }
}

fn descending(index: usize) -> SortKey {
    SortKey { descending: true, ..ascending(index) }
}

/// An aggregate of columns.
fn call(function: AggregateFunction, arguments: &[usize], ty: SqlType) -> AggregateCall {
    let arguments = arguments.iter().map(|&index| column(index)).collect();
    AggregateCall { function, arguments, distinct: false, filter: None, order: Vec::new(), ty }
}

/// The rows of a plan, sorted.
fn sorted_rows(plan: &QueryPlan, tables: &dyn RelationRows) -> Vec<Row> {
    let faults = FaultCounter::default();
    let mut rows = evaluate(plan, tables, &faults);
    rows.sort();
    assert_eq!(faults.count(), 0);
    rows
}

/// The result of an aggregate over all rows, and the number of faults.
fn aggregate_of(aggregate: AggregateCall, rows: Vec<Row>) -> (Datum, u64) {
    let input = Box::new(scan(0, rows.first().map_or(1, |row| row.len())));
    let plan = QueryPlan::Aggregate { input, keys: Vec::new(), aggregates: vec![aggregate] };
    let faults = FaultCounter::default();
    let answer = evaluate(&plan, &[rows], &faults);
    assert_eq!((answer.len(), answer[0].len()), (1, 1));
    (answer[0][0].clone(), faults.count())
}

/// The results of a window function over the rows of one table, ordered by its first column.
fn window_of(function: WindowFunction, rows: Vec<Row>) -> Vec<Datum> {
    let width = rows[0].len();
    let functions = vec![WindowCall { function, ty: SqlType::Long }];
    let input = Box::new(scan(0, width));
    let plan = QueryPlan::Window { input, partition: Vec::new(), order: vec![ascending(0)], functions };
    sorted_rows(&plan, &[rows]).iter().map(|row| row[width].clone()).collect()
}

fn join_plan(kind: JoinKind, condition: Option<ScalarExpr>) -> QueryPlan {
    let keys = vec![(column(0), column(0))];
    QueryPlan::Join { kind, left: Box::new(scan(0, 2)), right: Box::new(scan(1, 2)), keys, condition }
}

fn join_tables() -> [Vec<Row>; 2] {
    let left = rows(&[[long(1), long(5)], [long(2), long(5)], [NULL, long(5)]]);
    let right = rows(&[[long(1), long(4)], [long(1), long(6)], [long(2), long(9)], [NULL, long(1)]]);
    [left, right]
}

/// That the left row's second value is greater than the right row's.
fn left_is_greater() -> Option<ScalarExpr> {
    let (left, right) = (Box::new(column(1)), Box::new(column(3)));
    Some(ScalarExpr::condition(ExprKind::Compare(CompareOp::Greater, left, right)))
}

#[test]
fn full_join_keeps_rows_with_null_keys_and_rows_whose_partners_fail_the_condition() {
    let expected = rows(&[
        [long(1), long(5), long(1), long(4)],
        [long(2), long(5), NULL, NULL],
        [NULL, long(5), NULL, NULL],
        [NULL, NULL, long(1), long(6)],
        [NULL, NULL, long(2), long(9)],
        [NULL, NULL, NULL, long(1)],
    ]);
    assert_eq!(sorted_rows(&join_plan(JoinKind::Full, left_is_greater()), &join_tables()), expected);
    let left = sorted_rows(&join_plan(JoinKind::Left, left_is_greater()), &join_tables());
    assert_eq!(left, expected[..3]);
    let right = sorted_rows(&join_plan(JoinKind::Right, left_is_greater()), &join_tables());
    assert_eq!(right, [&expected[..1], &expected[3..]].concat());
}

#[test]
fn semi_join_gives_each_left_row_once_and_anti_join_the_others() {
    let semi = sorted_rows(&join_plan(JoinKind::Semi, None), &join_tables());
    assert_eq!(semi, rows(&[[long(1), long(5)], [long(2), long(5)]]));
    let anti = sorted_rows(&join_plan(JoinKind::Anti, left_is_greater()), &join_tables());
    assert_eq!(anti, rows(&[[long(2), long(5)], [NULL, long(5)]]));
}

#[test]
fn join_without_keys_pairs_all_rows() {
    let QueryPlan::Join { kind, left, right, .. } = join_plan(JoinKind::Inner, None) else { panic!("a join") };
    let plan = QueryPlan::Join { kind, left, right, keys: Vec::new(), condition: None };
    assert_eq!(sorted_rows(&plan, &join_tables()).len(), 12);
}

#[test]
fn group_exists_without_keys_also_over_no_rows() {
    assert_eq!(aggregate_of(call(AggregateFunction::CountRows, &[], SqlType::Long), Vec::new()).0, long(0));
    assert_eq!(aggregate_of(call(AggregateFunction::Sum, &[0], SqlType::Long), Vec::new()).0, NULL);
    let keyed = QueryPlan::Aggregate { input: Box::new(scan(0, 1)), keys: vec![column(0)], aggregates: Vec::new() };
    assert_eq!(sorted_rows(&keyed, &[Vec::new()]), rows::<1>(&[]));
    assert_eq!(sorted_rows(&keyed, &[rows(&[[NULL], [long(1)], [NULL]])]), rows(&[[long(1)], [NULL]]));
}

#[test]
fn sum_beyond_a_long_is_null_and_counted_but_not_if_it_comes_back() {
    let sum = call(AggregateFunction::Sum, &[0], SqlType::Long);
    let values = rows(&[[long(i64::MAX)], [long(1)]]);
    assert_eq!(aggregate_of(sum.clone(), values.clone()), (NULL, 1));
    let back = [values, rows(&[[long(-1)], [NULL]])].concat();
    assert_eq!(aggregate_of(sum, back), (long(i64::MAX), 0));
}

#[test]
fn sum_and_average_of_doubles_are_exact() {
    let values = rows(&[[double(1e308)], [double(1e308)], [double(3.0)], [double(-1e308)], [double(-1e308)]]);
    let sum = |function| aggregate_of(call(function, &[0], SqlType::Double), values.clone()).0;
    assert_eq!(sum(AggregateFunction::Sum), double(3.0));
    assert_eq!(sum(AggregateFunction::Avg), double(0.6));
    let great = rows(&[[double(1e308)], [double(1e308)]]);
    assert_eq!(aggregate_of(call(AggregateFunction::Sum, &[0], SqlType::Double), great.clone()), (NULL, 1));
    assert_eq!(aggregate_of(call(AggregateFunction::Avg, &[0], SqlType::Double), great), (double(1e308), 0));
}

#[test]
fn variance_is_exact_where_the_squares_are_far_greater() {
    let values = rows(&[[double(1e15 + 1.0)], [double(1e15 + 2.0)], [double(1e15 + 3.0)]]);
    let of = |function| aggregate_of(call(function, &[0], SqlType::Double), values.clone()).0;
    assert_eq!(of(AggregateFunction::VarianceSample), double(1.0));
    assert_eq!(of(AggregateFunction::VariancePopulation), double(2.0 / 3.0));
    assert_eq!(of(AggregateFunction::StddevSample), double(1.0));
    assert_eq!(of(AggregateFunction::StddevPopulation), double((2.0_f64 / 3.0).sqrt()));
    let one = rows(&[[double(7.0)], [NULL]]);
    assert_eq!(aggregate_of(call(AggregateFunction::VarianceSample, &[0], SqlType::Double), one.clone()).0, NULL);
    assert_eq!(aggregate_of(call(AggregateFunction::VariancePopulation, &[0], SqlType::Double), one).0, double(0.0));
}

#[test]
fn percentile_is_interpolated_or_the_least_value_of_enough_rows() {
    let of = |function, share: f64, values: &[i64]| {
        let mut percentile = call(function, &[0], SqlType::Double);
        percentile.arguments.push(ScalarExpr::literal(double(share)));
        let values: Vec<[Datum; 1]> = values.iter().map(|&value| [double(value as f64)]).collect();
        aggregate_of(percentile, rows(&values)).0
    };
    assert_eq!(of(AggregateFunction::PercentileCont, 0.25, &[4, 2, 10, 3]), double(2.75));
    assert_eq!(of(AggregateFunction::PercentileCont, 1.0, &[4, 2, 10, 3]), double(10.0));
    assert_eq!(of(AggregateFunction::PercentileDisc, 0.5, &[4, 2, 10, 3]), double(3.0));
    assert_eq!(of(AggregateFunction::PercentileDisc, 0.51, &[4, 2, 10, 3]), double(4.0));
    assert_eq!(of(AggregateFunction::PercentileDisc, 0.0, &[4, 2, 10, 3]), double(2.0));
    assert_eq!(of(AggregateFunction::PercentileDisc, 1.0, &[4]), double(4.0));
}

#[test]
fn mode_is_the_least_of_the_most_frequent_values() {
    let values = rows(&[[long(3)], [long(2)], [NULL], [NULL], [NULL], [long(3)], [long(2)], [long(1)]]);
    assert_eq!(aggregate_of(call(AggregateFunction::Mode, &[0], SqlType::Long), values).0, long(2));
}

#[test]
fn arg_max_takes_the_least_result_that_is_not_null_of_the_rows_with_the_greatest_value() {
    let arg_max = || call(AggregateFunction::ArgMax, &[0, 1], SqlType::Long);
    let values = rows(&[[long(9), NULL], [long(7), long(2)], [NULL, long(2)], [long(5), long(2)], [long(1), long(1)]]);
    assert_eq!(aggregate_of(arg_max(), values.clone()).0, long(5));
    assert_eq!(aggregate_of(arg_max(), values[2..3].to_vec()).0, NULL);
    assert_eq!(aggregate_of(arg_max(), values[..1].to_vec()).0, NULL);
    assert_eq!(aggregate_of(call(AggregateFunction::ArgMin, &[0, 1], SqlType::Long), values).0, long(1));
}

#[test]
fn string_agg_is_ordered_by_its_keys_then_by_the_text() {
    let string_agg = |distinct, order| {
        let mut aggregate = call(AggregateFunction::StringAgg, &[0], SqlType::Text);
        aggregate.arguments.push(ScalarExpr::literal(text("+")));
        AggregateCall { distinct, order, ..aggregate }
    };
    let values =
        rows(&[[text("b"), long(1)], [text("a"), long(2)], [text("c"), NULL], [text("a"), long(1)], [NULL, long(1)]]);
    let of = |distinct, order| aggregate_of(string_agg(distinct, order), values.clone()).0;
    assert_eq!(of(false, vec![descending(1)]), text("a+a+b+c"));
    assert_eq!(of(false, vec![SortKey { nulls_first: true, ..ascending(1) }]), text("c+a+b+a"));
    assert_eq!(of(true, vec![descending(0)]), text("c+b+a"));
    assert_eq!(of(false, Vec::new()), text("a+a+b+c"));
}

#[test]
fn distinct_and_filter_are_applied_before_an_aggregate() {
    let values = rows(&[[long(3)], [long(3)], [long(2)], [long(9)], [NULL]]);
    let less = ExprKind::Compare(CompareOp::Less, Box::new(column(0)), Box::new(ScalarExpr::literal(long(9))));
    let filtered = AggregateCall {
        filter: Some(ScalarExpr::condition(less)),
        distinct: true,
        ..call(AggregateFunction::Sum, &[0], SqlType::Long)
    };
    assert_eq!(aggregate_of(filtered, values).0, long(5));
}

#[test]
fn ranks_of_one_row_and_of_peers() {
    let ties = rows(&[[long(1)], [long(1)], [long(2)], [NULL], [NULL]]);
    let expected = |values: [i64; 5]| values.map(long).to_vec();
    assert_eq!(window_of(WindowFunction::RowNumber, ties.clone()), expected([1, 2, 3, 4, 5]));
    assert_eq!(window_of(WindowFunction::Rank, ties.clone()), expected([1, 1, 3, 4, 4]));
    assert_eq!(window_of(WindowFunction::DenseRank, ties.clone()), expected([1, 1, 2, 3, 3]));
    assert_eq!(window_of(WindowFunction::PercentRank, ties.clone()), [0.0, 0.0, 0.5, 0.75, 0.75].map(double));
    assert_eq!(window_of(WindowFunction::CumeDist, ties.clone()), [0.4, 0.4, 0.6, 1.0, 1.0].map(double));
    assert_eq!(window_of(WindowFunction::PercentRank, ties[..1].to_vec()), [double(0.0)]);
    assert_eq!(window_of(WindowFunction::Ntile(2), ties.clone()), expected([1, 1, 1, 2, 2]));
    assert_eq!(window_of(WindowFunction::Ntile(u64::MAX), ties), expected([1, 2, 3, 4, 5]));
}

#[test]
fn frames_end_at_the_partition_and_can_be_empty() {
    let values = rows(&[[long(1), long(0)], [long(2), long(1)], [long(2), long(2)], [long(4), long(3)]]);
    let sum = |rows, start, end| {
        let aggregate = call(AggregateFunction::Sum, &[0], SqlType::Long);
        window_of(WindowFunction::Aggregate(aggregate, WindowFrame { rows, start, end }), values.clone())
    };
    let long_or_null = |values: [i64; 4]| values.map(|value| if value == 0 { NULL } else { long(value) }).to_vec();
    assert_eq!(sum(false, FrameBound::Unbounded, FrameBound::Current), long_or_null([1, 5, 5, 9]));
    assert_eq!(sum(false, FrameBound::Current, FrameBound::Unbounded), long_or_null([9, 8, 8, 4]));
    assert_eq!(sum(true, FrameBound::Unbounded, FrameBound::Current), long_or_null([1, 3, 5, 9]));
    assert_eq!(sum(true, FrameBound::Preceding(1), FrameBound::Following(1)), long_or_null([3, 5, 8, 6]));
    assert_eq!(sum(true, FrameBound::Preceding(2), FrameBound::Preceding(1)), long_or_null([0, 1, 3, 4]));
    assert_eq!(sum(true, FrameBound::Following(1), FrameBound::Following(9)), long_or_null([8, 6, 4, 0]));
    assert_eq!(sum(true, FrameBound::Following(2), FrameBound::Following(1)), long_or_null([0, 0, 0, 0]));
}

#[test]
fn values_of_other_rows_are_null_or_the_default_where_there_is_no_row() {
    let values = rows(&[[long(1)], [long(2)], [NULL]]);
    let offset = |distance, default| {
        window_of(WindowFunction::Offset { value: column(0), distance, default: Box::new(default) }, values.clone())
    };
    assert_eq!(offset(-1, column(0)), [long(1), long(1), long(2)]);
    assert_eq!(offset(1, ScalarExpr::literal(long(7))), [long(2), NULL, long(7)]);
    assert_eq!(offset(i64::MAX, ScalarExpr::null(SqlType::Long)), [NULL, NULL, NULL]);
    let next = WindowFrame { rows: true, start: FrameBound::Following(1), end: FrameBound::Unbounded };
    assert_eq!(window_of(WindowFunction::FirstValue(column(0), next), values.clone()), [long(2), NULL, NULL]);
    assert_eq!(
        window_of(WindowFunction::LastValue(column(0), WindowFrame::RUNNING), values.clone()),
        [long(1), long(2), NULL]
    );
    let nth = |nth| window_of(WindowFunction::NthValue(column(0), nth, WindowFrame::RUNNING), values.clone());
    assert_eq!(nth(2), [NULL, long(2), long(2)]);
}

#[test]
fn limit_settles_ties_by_all_columns() {
    let tables = [rows(&[[NULL, long(1)], [long(1), NULL], [long(1), long(8)], [long(2), long(0)]])];
    let table = &tables[0];
    let limit = |offset, limit, order| {
        let plan = QueryPlan::Limit { input: Box::new(scan(0, 2)), order, offset, limit };
        sorted_rows(&plan, &tables)
    };
    assert_eq!(limit(0, Some(1), vec![ascending(0)]), table[2..3]);
    assert_eq!(limit(3, None, vec![descending(0)]), table[..1]);
    assert_eq!(limit(1, Some(u64::MAX), vec![SortKey { nulls_first: true, ..descending(0) }]).len(), 3);
    assert_eq!(limit(0, Some(0), Vec::new()).len(), 0);
}

#[test]
fn unnest_keeps_rows_of_empty_lists_only_if_asked() {
    let table = [
        Box::from([long(1), Datum::List([text("a"), NULL].into())].as_slice()),
        Box::from([long(2), Datum::List([].into())].as_slice()),
        Box::from([long(3), NULL].as_slice()),
    ];
    let unnested = |keep_empty| {
        let list = ScalarExpr::column(1, SqlType::Texts);
        let unnest = QueryPlan::Unnest { input: Box::new(scan(0, 2)), list, keep_empty };
        let columns = vec![column(0), ScalarExpr::column(2, SqlType::Text)];
        sorted_rows(&QueryPlan::Project { input: Box::new(unnest), columns }, &[table.to_vec()])
    };
    let elements = rows(&[[long(1), text("a")], [long(1), NULL]]);
    assert_eq!(unnested(false), elements);
    assert_eq!(unnested(true), [elements, rows(&[[long(2), NULL], [long(3), NULL]])].concat());
}

#[test]
fn answer_is_listed_by_hidden_columns_which_are_cut_off() {
    let question = BoundQuestion {
        plan: scan(0, 2),
        columns: vec![OutputColumn { name: "first".to_owned(), ty: SqlType::Long, nullable: false }],
        listing: vec![ListingKey { column: 1, descending: true, nulls_first: false }],
        notes: Vec::new(),
    };
    let answer = rows(&[[long(1), NULL], [long(3), long(5)], [long(2), long(5)], [long(4), long(6)]]);
    assert_eq!(list_answer(&question, answer), rows(&[[long(4)], [long(2)], [long(3)], [long(1)]]));
}

#[test]
fn union_repeats_rows_and_distinct_does_not() {
    let union = QueryPlan::UnionAll {
        inputs: vec![scan(0, 1), QueryPlan::OneRow { columns: vec![long(1)], types: vec![SqlType::Long] }, scan(9, 1)],
    };
    let tables = [rows(&[[long(1)], [NULL], [NULL]])];
    assert_eq!(sorted_rows(&union, &tables), rows(&[[long(1)], [long(1)], [NULL], [NULL]]));
    assert_eq!(sorted_rows(&QueryPlan::Distinct { input: Box::new(union) }, &tables), rows(&[[long(1)], [NULL]]));
}
