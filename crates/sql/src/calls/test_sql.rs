//! Expressions of constants from their SQL, for tests: the smallest binder that calls of functions need.

use sqlparser::ast::{self, BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value};
use sqlparser::dialect::DuckDbDialect;
use sqlparser::parser::Parser;

use crate::datum::{Datum, SqlType};
use crate::expr::{ArithmeticOp, ExprKind, ScalarExpr};
use crate::functions::cast_value;

use super::{ResolveError, build_call, coerce};

/// The expression of a text.
pub(crate) fn parse_constant(sql: &str) -> Result<ScalarExpr, ResolveError> {
    let mut parser = Parser::new(&DuckDbDialect {}).try_with_sql(sql).expect("tokens");
    bind(&parser.parse_expr().unwrap_or_else(|error| panic!("{sql}: {error}")))
}

/// The value of a text as a text, or `(fault)` if there is no result.
pub(crate) fn eval_constant(sql: &str) -> String {
    let expr = parse_constant(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let faults = crate::eval::FaultCounter::default();
    let value = expr.eval(&[], &faults).into_owned();
    assert!(value.is_null() || matches_type(&value, expr.ty), "{sql} is {value:?}, not {}", expr.ty);
    match faults.count() {
        0 => display(&value),
        _ => "(fault)".to_owned(),
    }
}

fn matches_type(value: &Datum, ty: SqlType) -> bool {
    match value {
        Datum::List(list) => {
            ty.element().is_some_and(|ty| list.iter().all(|one| one.is_null() || matches_type(one, ty)))
        }
        value => value.sql_type() == ty,
    }
}

fn display(value: &Datum) -> String {
    match value {
        Datum::Null => "NULL".to_owned(),
        value => match cast_value(value, SqlType::Text) {
            Ok(Datum::Text(text)) => text.to_string(),
            other => panic!("{value:?} as text is {other:?}"),
        },
    }
}

fn bind(expr: &ast::Expr) -> Result<ScalarExpr, ResolveError> {
    Ok(match expr {
        ast::Expr::Value(value) => ScalarExpr::literal(literal(&value.value)),
        ast::Expr::Nested(inner) => bind(inner)?,
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let operand = bind(expr)?;
            let ty = operand.ty;
            ScalarExpr { kind: ExprKind::Negate(Box::new(operand)), ty }.fold()
        }
        ast::Expr::BinaryOp { left, op, right } => binary(op, bind(left)?, bind(right)?)?,
        ast::Expr::Cast { expr, data_type, .. } => {
            let ty = match data_type.to_string().to_lowercase().as_str() {
                "varchar" | "text" => SqlType::Text,
                "bigint" => SqlType::Long,
                "double" => SqlType::Double,
                "boolean" => SqlType::Bool,
                "timestamp" => SqlType::Time,
                "double[]" => SqlType::Doubles,
                other => panic!("no type {other}"),
            };
            ScalarExpr { kind: ExprKind::Cast(Box::new(bind(expr)?)), ty }
        }
        ast::Expr::Array(array) => call("list_value", array.elem.iter().map(bind).collect::<Result<_, _>>()?)?,
        ast::Expr::Function(function) => {
            let FunctionArguments::List(list) = &function.args else { panic!("{function}") };
            let argument = |argument: &FunctionArg| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => bind(expr),
                other => panic!("{other}"),
            };
            call(&function.name.to_string(), list.args.iter().map(argument).collect::<Result<_, _>>()?)?
        }
        ast::Expr::Substring { expr, substring_from, substring_for, .. } => {
            let parts = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
            call("substring", parts.into_iter().flatten().map(|part| bind(part)).collect::<Result<_, _>>()?)?
        }
        ast::Expr::Trim { expr, trim_characters, .. } => {
            let characters = trim_characters.iter().flatten();
            call("trim", std::iter::once(&**expr).chain(characters).map(bind).collect::<Result<_, _>>()?)?
        }
        ast::Expr::Floor { expr, .. } => call("floor", vec![bind(expr)?])?,
        ast::Expr::Ceil { expr, .. } => call("ceil", vec![bind(expr)?])?,
        other => panic!("no test needs {other:?}"),
    })
}

fn call(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    build_call(name, arguments)
}

fn binary(op: &BinaryOperator, one: ScalarExpr, other: ScalarExpr) -> Result<ScalarExpr, ResolveError> {
    let op = match op {
        BinaryOperator::StringConcat => return call("||", vec![one, other]),
        BinaryOperator::Plus => ArithmeticOp::Add,
        BinaryOperator::Multiply => ArithmeticOp::Multiply,
        BinaryOperator::Divide => ArithmeticOp::Divide,
        BinaryOperator::Gt | BinaryOperator::Eq => {
            let op =
                if *op == BinaryOperator::Gt { crate::expr::CompareOp::Greater } else { crate::expr::CompareOp::Equal };
            return Ok(ScalarExpr::condition(ExprKind::Compare(op, Box::new(one), Box::new(other))));
        }
        other => panic!("no test needs {other}"),
    };
    let ty = one.ty;
    let (one, other) = match op {
        ArithmeticOp::Divide => (coerce(one, SqlType::Double), coerce(other, SqlType::Double)),
        _ => (one, other),
    };
    let ty = if op == ArithmeticOp::Divide { SqlType::Double } else { ty };
    Ok(ScalarExpr { kind: ExprKind::Arithmetic(op, Box::new(one), Box::new(other)), ty })
}

fn literal(value: &Value) -> Datum {
    match value {
        Value::Null => Datum::Null,
        Value::Boolean(truth) => Datum::Bool(*truth),
        Value::SingleQuotedString(text) => Datum::text(text),
        Value::Number(digits, _) => match digits.parse() {
            Ok(long) => Datum::Long(long),
            Err(_) => Datum::double(digits.parse().expect("a number")).expect("a finite number"),
        },
        other => panic!("no test needs {other}"),
    }
}
