//! Random scalar expressions and conditions.

use pinflow_sql::datum::SqlType;

use super::tables::MOMENTS;
use super::template::in_dialects;
use super::{QueryBuilder, QueryScope};

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
const LONGS: [&str; 8] = ["2", "1", "0", "3", "5", "(-1)", "24", "500"];
const DOUBLES: [&str; 5] = ["0.0", "0.5", "1.25", "(-2.5)", "100.0"];
const TEXTS: [&str; 8] = ["'art'", "'bob'", "''", "'Peru'", "'tree'", "'Art'", "'low'", "'b'"];
const PATTERNS: [&str; 6] = ["'%e%'", "'a%'", "'_ob'", "'%'", "''", "'%!%%' ESCAPE '!'"];

impl QueryBuilder<'_> {
    /// A constant.
    pub(super) fn random_literal(&mut self, ty: SqlType) -> String {
        let word = match ty {
            SqlType::Bool => *self.choices.pick(&["TRUE", "FALSE"]),
            SqlType::Double => *self.choices.pick(&DOUBLES),
            SqlType::Text => *self.choices.pick(&TEXTS),
            SqlType::Time => return time_literal(*self.choices.pick(&MOMENTS)),
            _ => *self.choices.pick(&LONGS),
        };
        word.to_owned()
    }

    /// A value of the scope, or a constant if there is none of this type.
    fn simple_value(&mut self, scope: &QueryScope, ty: SqlType) -> String {
        let known = scope.of_type(ty);
        if known.is_empty() || self.choices.chance(8) {
            return self.random_literal(ty);
        }
        self.choices.pick(&known).sql.clone()
    }

    /// An expression of a type. `depth` limits how far it nests.
    pub(super) fn random_expression(&mut self, scope: &QueryScope, ty: SqlType, depth: usize) -> String {
        if depth == 0 || !self.choices.chance(45) {
            return self.simple_value(scope, ty);
        }
        let depth = depth - 1;
        match self.choices.below(4) {
            0 => self.case_expression(scope, ty, depth),
            1 => {
                let (one, other) = (self.random_expression(scope, ty, depth), self.random_literal(ty));
                format!("coalesce({one}, {other})")
            }
            _ => match ty {
                SqlType::Bool => self.random_condition(scope, depth),
                SqlType::Double => self.double_operation(scope, depth),
                SqlType::Text => self.text_operation(scope, depth),
                SqlType::Time => self.simple_value(scope, ty),
                _ => self.long_operation(scope, depth),
            },
        }
    }

    fn case_expression(&mut self, scope: &QueryScope, ty: SqlType, depth: usize) -> String {
        let (condition, result) = (self.random_condition(scope, depth), self.random_expression(scope, ty, depth));
        let mut sql = format!("CASE WHEN {condition} THEN {result}");
        if self.choices.chance(30) {
            let (condition, result) = (self.random_condition(scope, depth), self.random_expression(scope, ty, depth));
            sql += &format!(" WHEN {condition} THEN {result}");
        }
        if self.choices.chance(60) {
            sql += &format!(" ELSE {}", self.random_expression(scope, ty, depth));
        }
        sql + " END"
    }

    fn long_operation(&mut self, scope: &QueryScope, depth: usize) -> String {
        let one = self.random_expression(scope, SqlType::Long, depth);
        match self.choices.below(9) {
            0 => format!("({one} + {})", self.random_expression(scope, SqlType::Long, depth)),
            1 => format!("({one} - {})", self.random_expression(scope, SqlType::Long, depth)),
            2 => format!("({one} * {})", self.random_literal(SqlType::Long)),
            3 => format!("({one} % {})", self.simple_value(scope, SqlType::Long)),
            4 => {
                let other = self.simple_value(scope, SqlType::Long);
                format!("({one} {} {other})", in_dialects("//", "/"))
            }
            5 => format!("abs({one})"),
            6 => format!("nullif({one}, {})", self.random_literal(SqlType::Long)),
            7 => format!("length({})", self.random_expression(scope, SqlType::Text, depth)),
            _ => format!("year({})", self.simple_value(scope, SqlType::Time)),
        }
    }

    /// Fractions of powers of two, if the values of the scope are.
    fn double_operation(&mut self, scope: &QueryScope, depth: usize) -> String {
        let long = self.random_expression(scope, SqlType::Long, depth);
        match self.choices.below(4) {
            0 => format!("({long} * {})", self.random_literal(SqlType::Double)),
            1 => {
                let divisor = *self.choices.pick(&["2", "4", "0"]);
                in_dialects(&format!("({long} / {divisor})"), &format!("(CAST({long} AS REAL) / {divisor})"))
            }
            2 => format!("({long} + {})", self.random_expression(scope, SqlType::Double, depth)),
            _ => format!("(- {})", self.random_expression(scope, SqlType::Double, depth)),
        }
    }

    fn text_operation(&mut self, scope: &QueryScope, depth: usize) -> String {
        let one = self.random_expression(scope, SqlType::Text, depth);
        match self.choices.below(6) {
            0 => format!("lower({one})"),
            1 => format!("upper({one})"),
            2 => format!("({one} || {})", self.random_expression(scope, SqlType::Text, depth)),
            3 => format!("substr({one}, 1, {})", 1 + self.choices.below(3)),
            4 => format!("replace({one}, 'a', 'bb')"),
            _ => format!("trim({one})"),
        }
    }

    /// A condition, which can be unknown.
    pub(super) fn random_condition(&mut self, scope: &QueryScope, depth: usize) -> String {
        if depth > 0 && self.choices.chance(40) {
            let depth = depth - 1;
            let one = self.random_condition(scope, depth);
            return match self.choices.below(5) {
                0 => format!("({one} AND {})", self.random_condition(scope, depth)),
                1 | 2 => format!("({one} OR {})", self.random_condition(scope, depth)),
                3 => format!("(NOT {one})"),
                _ => format!("({one} IS {})", self.choices.pick(&["TRUE", "NOT TRUE", "FALSE", "NOT FALSE"])),
            };
        }
        let ty = self.scope_type(scope);
        let value = self.random_expression(scope, ty, depth.min(1));
        let not = if self.choices.chance(30) { "NOT " } else { "" };
        match self.choices.below(8) {
            0..3 => {
                let other = if self.choices.chance(50) {
                    self.random_expression(scope, ty, depth.min(1))
                } else {
                    self.random_literal(ty)
                };
                format!("({value} {} {other})", self.choices.pick(&COMPARISONS))
            }
            3 => format!("({value} IS {not}NULL)"),
            4 => {
                let mut list = vec![self.random_literal(ty), self.simple_value(scope, ty)];
                if self.choices.chance(20) {
                    list.push("NULL".to_owned());
                }
                format!("({value} {not}IN ({}))", list.join(", "))
            }
            5 => format!("({value} {not}BETWEEN {} AND {})", self.random_literal(ty), self.simple_value(scope, ty)),
            6 => format!("({value} IS {not}DISTINCT FROM {})", self.simple_value(scope, ty)),
            _ => self.like_condition(scope, not, depth.min(1)),
        }
    }

    fn like_condition(&mut self, scope: &QueryScope, not: &str, depth: usize) -> String {
        let (text, pattern) = (self.random_expression(scope, SqlType::Text, depth), *self.choices.pick(&PATTERNS));
        if self.choices.chance(30) && !pattern.contains("ESCAPE") {
            let sqlite = format!("(lower({text}) {not}LIKE lower({pattern}))");
            return in_dialects(&format!("({text} {not}ILIKE {pattern})"), &sqlite);
        }
        format!("({text} {not}LIKE {pattern})")
    }

    /// An expression to group, to order or to join by: it reads a value of the scope, so it is never a bare number,
    /// which would be the place of a column.
    pub(super) fn key_expression(&mut self, scope: &QueryScope) -> (String, SqlType) {
        let value = self.choices.pick(&scope.values).clone();
        let sql = value.sql;
        if !self.choices.chance(35) {
            return (sql, value.ty);
        }
        match value.ty {
            SqlType::Long if self.choices.chance(50) => (format!("({sql} % 3)"), SqlType::Long),
            SqlType::Text if self.choices.chance(50) => (format!("lower({sql})"), SqlType::Text),
            SqlType::Time => (format!("year({sql})"), SqlType::Long),
            ty => {
                let other = self.random_literal(ty);
                let condition = format!("({sql} < {other})");
                (format!("CASE WHEN {condition} THEN 'low' WHEN {sql} IS NULL THEN 'none' END"), SqlType::Text)
            }
        }
    }
}

/// A moment: SQLite has microseconds.
fn time_literal(moment: i64) -> String {
    let seconds = moment.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let date = civil_date(days);
    let pinflow = format!("TIMESTAMP '{date} {hour:02}:{minute:02}:{:02}'", second % 60);
    in_dialects(&pinflow, &moment.to_string())
}

/// The date of a number of days since 1970, by counting years and months.
fn civil_date(mut days: i64) -> String {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days < 0 {
        year -= 1;
        days += if leap(year) { 366 } else { 365 };
    }
    while days >= if leap(year) { 366 } else { 365 } {
        days -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}
