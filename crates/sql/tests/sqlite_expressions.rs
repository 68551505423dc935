//! Random expressions, compared with SQLite.
//!
//! An expression is made together with its SQL. Where SQLite means something else, the SQL says so: `only_integer` turns
//! the real numbers into which overflowing integers become into nulls, `only_finite` does so with infinities.
//! `EXPRESSION_CASES` sets the number of expressions (256 by default).

use std::borrow::Cow;

use pinflow_sql::calls::build_call;
use pinflow_sql::datum::{Datum, SqlType};
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::expr::{ArithmeticOp, CompareOp, ExprKind, LikeExpr, ScalarExpr};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

const LONGS: [i64; 14] = [0, 1, -1, 2, 3, -3, 7, 10, 100, i64::MIN, i64::MAX, i64::MIN + 1, 1 << 53, (1 << 53) + 1];
const DOUBLES: [f64; 14] = [0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 3.0, 1e15, 1e308, -1e308, 1e-300];
const TEXTS: [&str; 20] = [
    "", "a", "b", "ab", "abc", "aab", "ä", "äb", "%", "_", "a%", "%a%", "%b", "a_", "__", "%a_b%", "A", " a ", "it's",
    "a!",
];
const LIKE_PATTERNS: [&str; 12] = ["", "%", "_", "a%", "%b", "%a%", "__", "a!%", "!_%", "%!%%", "%!!", "a_%b%"];
const COLUMNS: [(&str, SqlType); 8] = [
    ("a", SqlType::Long),
    ("b", SqlType::Long),
    ("x", SqlType::Double),
    ("y", SqlType::Double),
    ("s", SqlType::Text),
    ("t", SqlType::Text),
    ("p", SqlType::Bool),
    ("q", SqlType::Bool),
];

/// An expression and its SQL.
type ExprWithSql = (ScalarExpr, String);

/// Makes an expression from random bytes. Without bytes it takes the first, simplest choice, so that shrinking the bytes
/// shrinks the expression.
struct ExprBuilder<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl ExprBuilder<'_> {
    fn choose(&mut self, count: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % count
    }

    fn value(&mut self, ty: SqlType) -> Datum {
        if self.choose(7) == 6 {
            return Datum::Null;
        }
        match ty {
            SqlType::Bool => Datum::Bool(self.choose(2) == 1),
            SqlType::Long => Datum::Long(LONGS[self.choose(LONGS.len())]),
            SqlType::Double => Datum::double(DOUBLES[self.choose(DOUBLES.len())]).expect("finite"),
            _ => Datum::text(TEXTS[self.choose(TEXTS.len())]),
        }
    }

    fn any_type(&mut self) -> SqlType {
        [SqlType::Long, SqlType::Text, SqlType::Double, SqlType::Bool][self.choose(4)]
    }

    fn literal(&mut self, ty: SqlType) -> ExprWithSql {
        let value = self.value(ty);
        let sql = sql_literal(&value);
        (ScalarExpr { kind: ExprKind::Literal(value), ty }, sql)
    }

    fn leaf(&mut self, ty: SqlType) -> ExprWithSql {
        let columns: Vec<usize> = (0..COLUMNS.len()).filter(|index| COLUMNS[*index].1 == ty).collect();
        match self.choose(columns.len() + 1) {
            0 => self.literal(ty),
            choice => {
                let index = columns[choice - 1];
                (ScalarExpr::column(index, ty), COLUMNS[index].0.to_owned())
            }
        }
    }

    fn any(&mut self, ty: SqlType, depth: usize) -> ExprWithSql {
        if depth == 0 {
            return self.leaf(ty);
        }
        match self.choose(6) {
            0 => self.leaf(ty),
            1 => self.conditional(ty, depth - 1),
            _ => match ty {
                SqlType::Bool => self.condition(depth - 1),
                SqlType::Long => self.long(depth - 1),
                SqlType::Double => self.double(depth - 1),
                _ => self.text(depth - 1),
            },
        }
    }

    fn conditional(&mut self, ty: SqlType, depth: usize) -> ExprWithSql {
        match self.choose(4) {
            0 => {
                let (condition, when) = self.any(SqlType::Bool, depth);
                let (result, then) = self.any(ty, depth);
                let (otherwise, last) = self.any(ty, depth);
                let kind = ExprKind::Case { branches: vec![(condition, result)], otherwise: Box::new(otherwise) };
                (ScalarExpr { kind, ty }, format!("CASE WHEN {when} THEN {then} ELSE {last} END"))
            }
            1 => self.call("coalesce", &[ty, ty, ty], depth),
            2 => self.call("nullif", &[ty, ty], depth),
            _ => self.call("iif", &[SqlType::Bool, ty, ty], depth),
        }
    }

    /// A function that is called the same, and means the same, in SQLite.
    fn call(&mut self, name: &str, types: &[SqlType], depth: usize) -> ExprWithSql {
        let (arguments, texts): (Vec<ScalarExpr>, Vec<String>) = types.iter().map(|ty| self.any(*ty, depth)).unzip();
        let expr = build_call(name, arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
        (expr, format!("{name}({})", texts.join(", ")))
    }

    fn condition(&mut self, depth: usize) -> ExprWithSql {
        match self.choose(12) {
            0..=2 => self.comparison(depth),
            3 => self.chain(depth, "AND", ExprKind::And),
            4 => self.chain(depth, "OR", ExprKind::Or),
            5 => {
                let (operand, sql) = self.any(SqlType::Bool, depth);
                (ScalarExpr::condition(ExprKind::Not(Box::new(operand))), format!("(NOT {sql})"))
            }
            6 => {
                let ty = self.any_type();
                let (operand, sql) = self.any(ty, depth);
                (ScalarExpr::condition(ExprKind::IsNull(Box::new(operand))), format!("({sql} IS NULL)"))
            }
            7 => {
                let (operand, sql) = self.any(SqlType::Bool, depth);
                (ScalarExpr::condition(ExprKind::IsTrue(Box::new(operand))), format!("({sql} IS TRUE)"))
            }
            8 => {
                let ty = self.any_type();
                let ((one, left), (other, right)) = (self.any(ty, depth), self.any(ty, depth));
                let kind = ExprKind::SameValue(Box::new(one), Box::new(other));
                (ScalarExpr::condition(kind), format!("({left} IS NOT DISTINCT FROM {right})"))
            }
            9 => self.in_list(depth),
            _ => self.like(depth),
        }
    }

    fn comparison(&mut self, depth: usize) -> ExprWithSql {
        let (op, sign) = [
            (CompareOp::Equal, "="),
            (CompareOp::NotEqual, "<>"),
            (CompareOp::Less, "<"),
            (CompareOp::LessOrEqual, "<="),
            (CompareOp::Greater, ">"),
            (CompareOp::GreaterOrEqual, ">="),
        ][self.choose(6)];
        let ty = self.any_type();
        let ((one, left), (other, right)) = (self.any(ty, depth), self.any(ty, depth));
        let kind = ExprKind::Compare(op, Box::new(one), Box::new(other));
        (ScalarExpr::condition(kind), format!("({left} {sign} {right})"))
    }

    fn chain(&mut self, depth: usize, word: &str, kind: fn(Vec<ScalarExpr>) -> ExprKind) -> ExprWithSql {
        let count = 1 + self.choose(3);
        let (all, texts): (Vec<ScalarExpr>, Vec<String>) = (0..count).map(|_| self.any(SqlType::Bool, depth)).unzip();
        (ScalarExpr::condition(kind(all)), format!("({})", texts.join(&format!(" {word} "))))
    }

    fn in_list(&mut self, depth: usize) -> ExprWithSql {
        let ty = self.any_type();
        let (operand, sql) = self.any(ty, depth);
        let count = 1 + self.choose(3);
        let (list, texts): (Vec<ScalarExpr>, Vec<String>) = (0..count).map(|_| self.any(ty, depth.min(1))).unzip();
        (ScalarExpr::condition(ExprKind::In(Box::new(operand), list)), format!("({sql} IN ({}))", texts.join(", ")))
    }

    fn like(&mut self, depth: usize) -> ExprWithSql {
        let (text, sql) = self.any(SqlType::Text, depth);
        let escape = (self.choose(2) == 1).then_some('!');
        let pattern = LIKE_PATTERNS[self.choose(LIKE_PATTERNS.len())];
        let tail = if escape.is_some() { " ESCAPE '!'" } else { "" };
        let like = LikeExpr { text, pattern: ScalarExpr::literal(Datum::text(pattern)), escape, ignore_case: false };
        (ScalarExpr::condition(ExprKind::Like(Box::new(like))), format!("({sql} LIKE '{pattern}'{tail})"))
    }

    fn arithmetic(&mut self, ty: SqlType, op: ArithmeticOp, sign: &str, guard: &str, depth: usize) -> ExprWithSql {
        let ((one, left), (other, right)) = (self.any(ty, depth), self.any(ty, depth));
        let kind = ExprKind::Arithmetic(op, Box::new(one), Box::new(other));
        (ScalarExpr { kind, ty }, format!("{guard}({left} {sign} {right})"))
    }

    fn long(&mut self, depth: usize) -> ExprWithSql {
        let long = SqlType::Long;
        match self.choose(10) {
            0 => self.arithmetic(long, ArithmeticOp::Add, "+", "only_integer", depth),
            1 => self.arithmetic(long, ArithmeticOp::Subtract, "-", "only_integer", depth),
            2 => self.arithmetic(long, ArithmeticOp::Multiply, "*", "only_integer", depth),
            3 => self.arithmetic(long, ArithmeticOp::DivideWhole, "/", "only_integer", depth),
            4 => self.arithmetic(long, ArithmeticOp::Remainder, "%", "only_integer", depth),
            5 => {
                let (operand, sql) = self.any(long, depth);
                (ScalarExpr { kind: ExprKind::Negate(Box::new(operand)), ty: long }, format!("only_integer(- {sql})"))
            }
            6 => self.call("length", &[SqlType::Text], depth),
            7 => self.call("instr", &[SqlType::Text, SqlType::Text], depth),
            8 => {
                let (expr, sql) = self.call("abs", &[long], depth);
                (expr, sql.replacen("abs(", "abs(without_least(", 1) + ")")
            }
            _ => {
                let ty = [SqlType::Long, SqlType::Double][self.choose(2)];
                self.call("sign", &[ty], depth)
            }
        }
    }

    fn double(&mut self, depth: usize) -> ExprWithSql {
        let double = SqlType::Double;
        match self.choose(7) {
            0 => self.arithmetic(double, ArithmeticOp::Add, "+", "only_finite", depth),
            1 => self.arithmetic(double, ArithmeticOp::Subtract, "-", "only_finite", depth),
            2 => self.arithmetic(double, ArithmeticOp::Multiply, "*", "only_finite", depth),
            3 => self.arithmetic(double, ArithmeticOp::Divide, "/", "only_finite", depth),
            4 => {
                let (operand, sql) = self.any(double, depth);
                (ScalarExpr { kind: ExprKind::Negate(Box::new(operand)), ty: double }, format!("only_finite(- {sql})"))
            }
            5 => {
                let (operand, sql) = self.any(SqlType::Long, depth);
                (ScalarExpr { kind: ExprKind::Cast(Box::new(operand)), ty: double }, format!("CAST({sql} AS REAL)"))
            }
            _ => {
                let (expr, sql) = self.call("round", &[double], depth);
                (expr, format!("only_finite({sql})"))
            }
        }
    }

    fn text(&mut self, depth: usize) -> ExprWithSql {
        let text = SqlType::Text;
        match self.choose(9) {
            0 => {
                let ((one, left), (other, right)) = (self.any(text, depth), self.any(text, depth));
                (build_call("||", vec![one, other]).expect("texts"), format!("({left} || {right})"))
            }
            1 => self.call("substr", &[text, SqlType::Long], 0),
            2 => self.substring(depth),
            3 => self.replacement(depth),
            4 => self.call("trim", &[text, text], depth),
            5 => self.call("ltrim", &[text, text], depth),
            6 => self.call("rtrim", &[text], depth),
            7 => self.call("lower", &[text], depth),
            _ => {
                let (operand, sql) = self.any(SqlType::Long, depth);
                (ScalarExpr { kind: ExprKind::Cast(Box::new(operand)), ty: text }, format!("CAST({sql} AS TEXT)"))
            }
        }
    }

    /// SQLite ignores a null replacement where the text to be replaced is empty.
    fn replacement(&mut self, depth: usize) -> ExprWithSql {
        let ((value, sql), (from, part)) = (self.any(SqlType::Text, depth), self.any(SqlType::Text, depth));
        let (to, with) = self.leaf(SqlType::Text);
        let expr = build_call("replace", vec![value, from, to]).expect("texts");
        (expr, format!("iif({with} IS NULL, NULL, replace({sql}, {part}, {with}))"))
    }

    fn substring(&mut self, depth: usize) -> ExprWithSql {
        let (text, sql) = self.any(SqlType::Text, depth);
        let (start, length) = (self.choose(11) as i64 - 5, self.choose(11) as i64 - 5);
        let constants = [start, length].map(|value| ScalarExpr::literal(Datum::Long(value)));
        let arguments = std::iter::once(text).chain(constants).collect();
        (build_call("substr", arguments).expect("a text"), format!("substr({sql}, {start}, {length})"))
    }
}

fn sql_literal(value: &Datum) -> String {
    match value {
        Datum::Bool(truth) => i64::from(*truth).to_string(),
        Datum::Long(long) if *long < 0 => format!("({long})"),
        Datum::Long(long) => long.to_string(),
        Datum::Double(double) => format!("({double:?})"),
        Datum::Text(text) => format!("'{}'", text.replace('\'', "''")),
        _ => "NULL".to_owned(),
    }
}

fn to_sqlite(value: &Datum) -> Value {
    match value {
        Datum::Bool(truth) => Value::Integer(i64::from(*truth)),
        Datum::Long(long) => Value::Integer(*long),
        Datum::Double(double) => Value::Real(*double),
        Datum::Text(text) => Value::Text(text.to_string()),
        _ => Value::Null,
    }
}

fn open_sqlite() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch("PRAGMA case_sensitive_like = ON")?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("only_integer", 1, flags, |context| {
        Ok(Some(context.get::<Value>(0)?).filter(|value| matches!(value, Value::Integer(_))))
    })?;
    connection.create_scalar_function("only_finite", 1, flags, |context| {
        Ok(context.get::<Option<f64>>(0)?.filter(|value| value.is_finite()).map(|value| value + 0.0))
    })?;
    // `abs` of the least integer is an error in SQLite.
    connection.create_scalar_function("without_least", 1, flags, |context| {
        Ok(context.get::<Option<i64>>(0)?.filter(|value| *value != i64::MIN))
    })?;
    Ok(connection)
}

fn ask_sqlite(connection: &Connection, sql: &str, row: &[Datum]) -> rusqlite::Result<Value> {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, _)| format!("? AS {name}")).collect();
    let query = format!("SELECT {sql} FROM (SELECT {})", columns.join(", "));
    connection.query_row(&query, params_from_iter(row.iter().map(to_sqlite)), |row| row.get(0))
}

/// The expression with the row's values in place of its columns.
fn substitute(expr: &mut ScalarExpr, row: &[Datum]) {
    if let ExprKind::Column(index) = expr.kind {
        expr.kind = ExprKind::Literal(row[index].clone());
    }
    for operand in expr.operands_mut() {
        substitute(operand, row);
    }
}

fn check(connection: &Connection, bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut builder = ExprBuilder { bytes: bytes.iter() };
    let row: Vec<Datum> = COLUMNS.iter().map(|(_, ty)| builder.value(*ty)).collect();
    let ty = builder.any_type();
    let (expr, sql) = builder.any(ty, 4);
    let faults = FaultCounter::default();
    let value = expr.eval(&row, &faults);
    let expected = ask_sqlite(connection, &sql, &row);
    let expected = expected.map_err(|error| TestCaseError::fail(format!("{sql} over {row:?}: {error}")))?;
    prop_assert_eq!(to_sqlite(&value), expected, "{} over {:?}", sql, row);

    let folded = expr.clone().fold();
    prop_assert_eq!(folded.eval(&row, &faults), Cow::Borrowed(&*value), "folded {} over {:?}", sql, row);
    let mut constant = expr.clone();
    substitute(&mut constant, &row);
    let constant = constant.fold();
    prop_assert_eq!(constant.eval(&[], &faults), Cow::Borrowed(&*value), "constant {} over {:?}", sql, row);
    Ok(())
}

#[test]
fn random_expressions_have_the_values_that_sqlite_gives_them() {
    let cases = std::env::var("EXPRESSION_CASES").ok().map_or(256, |count| count.parse().expect("a number of cases"));
    let connection = open_sqlite().expect("a database in memory");
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    runner.run(&bytes, |bytes| check(&connection, &bytes)).unwrap_or_else(|error| panic!("{error}"));
}
