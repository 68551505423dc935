use super::*;
use crate::calls::build_call;
use crate::datum::SqlType;

fn long(value: i64) -> ScalarExpr {
    ScalarExpr::literal(Datum::Long(value))
}

fn truth(value: Option<bool>) -> ScalarExpr {
    value.map_or(ScalarExpr::null(SqlType::Bool), |value| ScalarExpr::literal(Datum::Bool(value)))
}

fn arithmetic(op: ArithmeticOp, one: ScalarExpr, other: ScalarExpr) -> ScalarExpr {
    let ty = one.ty;
    ScalarExpr { kind: ExprKind::Arithmetic(op, Box::new(one), Box::new(other)), ty }
}

fn division(divisor: ScalarExpr) -> ScalarExpr {
    arithmetic(ArithmeticOp::DivideWhole, long(1), divisor)
}

fn equals(one: ScalarExpr, other: ScalarExpr) -> ScalarExpr {
    ScalarExpr::condition(ExprKind::Compare(CompareOp::Equal, Box::new(one), Box::new(other)))
}

#[test]
fn chains_follow_the_truth_tables_of_three_values() {
    let values = [Some(false), None, Some(true)];
    let faults = FaultCounter::default();
    for one in values {
        for other in values {
            let both = ScalarExpr::condition(ExprKind::And(vec![truth(one), truth(other)]));
            let either = ScalarExpr::condition(ExprKind::Or(vec![truth(one), truth(other)]));
            // False, unknown, true in this order: AND is the least of both, OR the greatest.
            let rank = |value: Option<bool>| values.iter().position(|one| *one == value).expect("a value");
            assert_eq!(rank(both.eval_condition(&[], &faults)), rank(one).min(rank(other)));
            assert_eq!(rank(either.eval_condition(&[], &faults)), rank(one).max(rank(other)));
        }
    }
}

#[test]
fn operations_without_a_result_are_null_and_counted() {
    let faults = FaultCounter::default();
    let row = [Datum::Long(i64::MAX), Datum::Long(0), Datum::text("x")];
    let column = |index| ScalarExpr::column(index, SqlType::Long);
    let failing = [
        arithmetic(ArithmeticOp::Add, column(0), long(1)),
        arithmetic(ArithmeticOp::DivideWhole, long(i64::MIN), long(-1)),
        arithmetic(ArithmeticOp::Remainder, column(0), column(1)),
        division(column(1)),
        ScalarExpr { kind: ExprKind::Negate(Box::new(long(i64::MIN))), ty: SqlType::Long },
        ScalarExpr { kind: ExprKind::Cast(Box::new(ScalarExpr::column(2, SqlType::Text))), ty: SqlType::Long },
        build_call("ln", vec![column(1)]).expect("a function"),
    ];
    for (count, expr) in (1..).zip(failing) {
        assert_eq!((expr.eval(&row, &faults).into_owned(), faults.count()), (Datum::Null, count), "{expr:?}");
    }
    assert_eq!(
        arithmetic(ArithmeticOp::Remainder, long(i64::MIN), long(-1)).eval(&row, &faults).into_owned(),
        Datum::Long(0)
    );
    assert_eq!((faults.take(), faults.count()), (7, 0));
}

#[test]
fn branches_that_are_not_taken_count_no_faults() {
    let faults = FaultCounter::default();
    let row = [Datum::Long(0)];
    let divisor = || ScalarExpr::column(0, SqlType::Long);
    let guarded = ScalarExpr::condition(ExprKind::And(vec![
        ScalarExpr::condition(ExprKind::Not(Box::new(equals(divisor(), long(0))))),
        equals(division(divisor()), long(1)),
    ]));
    assert_eq!(guarded.eval_condition(&row, &faults), Some(false));
    let first = ScalarExpr { kind: ExprKind::Coalesce(vec![long(7), division(divisor())]), ty: SqlType::Long };
    assert_eq!(first.eval(&row, &faults).into_owned(), Datum::Long(7));
    let branch = build_call("if", vec![equals(divisor(), long(0)), long(1), division(divisor())]).expect("a call");
    assert_eq!(branch.eval(&row, &faults).into_owned(), Datum::Long(1));
    assert_eq!(faults.count(), 0);
}

#[test]
fn columns_and_constants_are_borrowed() {
    let row = [Datum::text("a text that is too long to be stored inline in a value")];
    let column = ScalarExpr::column(0, SqlType::Text);
    let faults = FaultCounter::default();
    assert!(matches!(column.eval(&row, &faults), Cow::Borrowed(value) if std::ptr::eq(value, &raw const row[0])));
    let same = ScalarExpr { kind: ExprKind::Cast(Box::new(column)), ty: SqlType::Text };
    assert!(matches!(same.eval(&row, &faults), Cow::Borrowed(_)));
    assert!(matches!(long(1).eval(&row, &faults), Cow::Borrowed(_)));
}

#[test]
fn constants_are_folded_unless_they_have_no_result() {
    let folded = arithmetic(
        ArithmeticOp::Add,
        ScalarExpr::column(0, SqlType::Long),
        arithmetic(ArithmeticOp::Multiply, long(2), long(3)),
    );
    assert_eq!(folded.fold(), arithmetic(ArithmeticOp::Add, ScalarExpr::column(0, SqlType::Long), long(6)));
    let failing = division(arithmetic(ArithmeticOp::Subtract, long(1), long(1)));
    assert_eq!(failing.fold(), division(long(0)));
}

#[test]
fn conditions_that_constants_decide_are_cut() {
    let column = || ScalarExpr::column(0, SqlType::Bool);
    let and = |all| ScalarExpr::condition(ExprKind::And(all)).fold();
    let or = |all| ScalarExpr::condition(ExprKind::Or(all)).fold();
    assert_eq!(and(vec![truth(Some(true)), column()]), ScalarExpr::condition(ExprKind::And(vec![column()])));
    assert_eq!(and(vec![column(), truth(Some(false))]), truth(Some(false)));
    assert_eq!(or(vec![column(), truth(Some(true))]), truth(Some(true)));
    assert_eq!(or(vec![truth(Some(false)), truth(Some(false))]), truth(Some(false)));
    // Unknown decides nothing.
    assert_eq!(and(vec![column(), truth(None)]), ScalarExpr::condition(ExprKind::And(vec![column(), truth(None)])));
    let case = |condition, result: ScalarExpr, otherwise: ScalarExpr| {
        build_call("if", vec![condition, result, otherwise]).expect("a call").fold()
    };
    assert_eq!(
        case(truth(Some(true)), ScalarExpr::column(1, SqlType::Long), long(2)),
        ScalarExpr::column(1, SqlType::Long)
    );
    assert_eq!(case(truth(None), long(1), ScalarExpr::column(1, SqlType::Long)), ScalarExpr::column(1, SqlType::Long));
}

#[test]
fn the_deepest_expression_needs_little_stack() {
    let deepest = (1..MAX_EXPR_DEPTH).fold(long(0), |inner, index| match index % 2 {
        0 => build_call("abs", vec![inner]).expect("a number"),
        _ => arithmetic(ArithmeticOp::Add, inner, long(1)),
    });
    assert_eq!(deepest.depth(), MAX_EXPR_DEPTH);
    let evaluate = move || {
        let faults = FaultCounter::default();
        (deepest.eval(&[], &faults).into_owned(), deepest.fold())
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(evaluate).expect("a thread");
    let (value, folded) = thread.join().expect("enough stack");
    let count = i64::try_from(MAX_EXPR_DEPTH / 2).expect("a small number");
    assert_eq!((value, folded), (Datum::Long(count), long(count)));
}
