//! Constants, parameters, casts, intervals and the functions that have a syntax of their own.

use sqlparser::ast::{self, DataType, DateTimeField, Expr as Ast, TrimWhereField, Value};
use sqlparser::tokenizer::Span;

use crate::calls::{self, CalendarInterval, coerce as cast_to};
use crate::datum::{Datum, SqlType};
use crate::expr::{ExprKind, ScalarExpr};
use crate::functions::can_cast;
use crate::places::LocatedNode;
use crate::rewrite::literal_value;

use super::coerce::coerce_to;
use super::functions::{CallParts, fold_constant};
use super::scope::{closest_name, join_words};
use super::{BindResult, ClauseKind, QuestionBinder};

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_value(&mut self, value: &ast::ValueWithSpan) -> BindResult<ScalarExpr> {
        match &value.value {
            Value::Number(digits, _) => self.bind_number(digits, value.span),
            Value::Boolean(value) => Ok(ScalarExpr::literal(Datum::Bool(*value))),
            Value::Null => Ok(ScalarExpr::null(SqlType::Null)),
            Value::Placeholder(name) => self.bind_parameter(name, value.span),
            Value::HexStringLiteral(_)
            | Value::SingleQuotedByteStringLiteral(_)
            | Value::DoubleQuotedByteStringLiteral(_) => {
                Err(self.report(value.span, "bytes are not possible; write a text in single quotes"))
            }
            other => match other.clone().into_string() {
                Some(text) => Ok(ScalarExpr::literal(Datum::text(&text))),
                None => {
                    Err(self
                        .report(value.span, "this constant is not possible; write a number or a text in single quotes"))
                }
            },
        }
    }

    fn bind_number(&mut self, digits: &str, span: Span) -> BindResult<ScalarExpr> {
        match number_of(digits) {
            Some(number) => Ok(ScalarExpr::literal(number)),
            None => Err(self.report(span, format!("{digits} is too great for a number of 64 bits"))),
        }
    }

    /// `-5`, so that the least number can be written.
    pub(super) fn negative_number(&mut self, operand: &Ast) -> Option<ScalarExpr> {
        match operand {
            Ast::Value(ast::ValueWithSpan { value: Value::Number(digits, _), .. }) => {
                number_of(&format!("-{digits}")).map(ScalarExpr::literal)
            }
            _ => None,
        }
    }

    fn bind_parameter(&mut self, placeholder: &str, span: Span) -> BindResult<ScalarExpr> {
        let name = placeholder.trim_start_matches(['$', ':', '@', '?']);
        if let Some(value) = self.parameters.get(name) {
            return Ok(ScalarExpr::literal(value.clone()));
        }
        let known: Vec<String> = self.parameters.keys().map(|name| format!("${name}")).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let message = match known[..] {
            [] => format!("there is no parameter `{placeholder}`; write its value"),
            _ => format!("there is no parameter `{placeholder}`; there are {}", join_words(&known)),
        };
        Err(self.report(span, message))
    }

    /// `DATE '2020-01-01'`, `TIMESTAMP '…'`.
    pub(super) fn bind_typed_string(&mut self, typed: &ast::TypedString) -> BindResult<ScalarExpr> {
        let text = typed.value.value.clone().into_string().unwrap_or_default();
        let ty = match typed.data_type {
            DataType::Date
            | DataType::Date32
            | DataType::Timestamp(..)
            | DataType::TimestampNtz(_)
            | DataType::Datetime(_) => SqlType::Time,
            ref other => {
                let message = format!(
                    "constants of type {other} are not possible; write DATE '2020-01-31' or TIMESTAMP '2020-01-31 12:00:00'"
                );
                return Err(self.report(typed.value.span, message));
            }
        };
        let moment = cast_to(ScalarExpr::literal(Datum::text(&text)), ty);
        if literal_value(&moment).is_none_or(Datum::is_null) {
            let message = format!("'{text}' is no timestamp; write it as '2020-01-31' or '2020-01-31 12:00:00'");
            return Err(self.report(typed.value.span, message));
        }
        if matches!(typed.data_type, DataType::Date | DataType::Date32) {
            return self.truncate_to_day(moment, typed.value.span);
        }
        Ok(moment)
    }

    fn truncate_to_day(&mut self, moment: ScalarExpr, span: Span) -> BindResult<ScalarExpr> {
        self.call_function("date_trunc", vec![ScalarExpr::literal(Datum::text("day")), moment], span)
    }

    /// Expressions that have a syntax of their own, and those that are refused.
    pub(super) fn bind_special_form(&mut self, ast: &'a Ast, clause: ClauseKind) -> BindResult<ScalarExpr> {
        match ast {
            Ast::Cast { expr, data_type, .. } => self.bind_cast(expr, data_type, clause),
            Ast::Convert { expr, data_type: Some(data_type), .. } => self.bind_cast(expr, data_type, clause),
            Ast::Extract { field, expr, .. } => {
                let moment = self.bind_expr(expr, clause)?;
                self.call_function(
                    "date_part",
                    vec![ScalarExpr::literal(Datum::text(&field_name(field))), moment],
                    expr.span(),
                )
            }
            Ast::Ceil { expr, field } => self.bind_rounding("ceil", expr, field, clause),
            Ast::Floor { expr, field } => self.bind_rounding("floor", expr, field, clause),
            Ast::Position { expr, r#in } => {
                let (part, text) = self.bind_pair(expr, r#in, clause)?;
                self.call_function("strpos", vec![text, part], ast.span())
            }
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.bind_expr(expr, clause)?];
                match substring_from {
                    Some(from) => arguments.push(self.bind_expr(from, clause)?),
                    None => arguments.push(ScalarExpr::literal(Datum::Long(1))),
                }
                if let Some(length) = substring_for {
                    arguments.push(self.bind_expr(length, clause)?);
                }
                self.call_function("substring", arguments, ast.span())
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters } => {
                let what = trim_what.as_deref().or(trim_characters.as_ref().and_then(|all| all.first()));
                self.bind_trim(*trim_where, what, expr, clause)
            }
            Ast::Array(array) => self.bind_array(&array.elem, ast, clause),
            Ast::AtTimeZone { timestamp, time_zone } => self.bind_time_zone(timestamp, time_zone, clause),
            Ast::Lambda(lambda) => {
                let span = lambda.params.first().map_or(Span::empty(), |parameter| parameter.name.span);
                Err(self.report(span, refused_form(ast)))
            }
            _ => {
                let message = refused_form(ast);
                Err(self.report_at(ast, message))
            }
        }
    }

    fn bind_rounding(
        &mut self,
        name: &str,
        operand: &'a Ast,
        field: &ast::CeilFloorKind,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let mut arguments = vec![self.bind_expr(operand, clause)?];
        match field {
            ast::CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {}
            ast::CeilFloorKind::Scale(scale) => arguments.push(self.bind_value(scale)?),
            ast::CeilFloorKind::DateTimeField(unit) => {
                let message =
                    format!("{name} … TO {unit} is not possible; write date_trunc('{}', …)", field_name(unit));
                return Err(self.report_at(operand, message));
            }
        }
        self.call_function(name, arguments, operand.span())
    }

    fn bind_trim(
        &mut self,
        side: Option<TrimWhereField>,
        what: Option<&'a Ast>,
        text: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let name = match side {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "trim",
        };
        let mut arguments = vec![self.bind_expr(text, clause)?];
        if let Some(what) = what {
            arguments.push(self.bind_expr(what, clause)?);
        }
        self.call_function(name, arguments, text.span())
    }

    /// `ARRAY['a', 'b']`, `['a', 'b']`: constants of one type.
    pub(super) fn bind_array(
        &mut self,
        elements: &'a [Ast],
        ast: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let elements = self.bind_all(elements, clause)?;
        self.constant_list(elements, ast.span())
    }

    pub(super) fn constant_list(&mut self, elements: Vec<ScalarExpr>, span: Span) -> BindResult<ScalarExpr> {
        let doubles = !elements.is_empty() && elements.iter().all(|element| element.ty.is_number());
        let ty = if doubles { SqlType::Double } else { SqlType::Text };
        let mut values = Vec::new();
        for element in elements {
            let fits = element.ty == SqlType::Null || element.ty == ty || (doubles && element.ty == SqlType::Long);
            let element = if fits { cast_to(element, ty) } else { element };
            match literal_value(&element) {
                Some(value) if fits => values.push(value.clone()),
                _ => return Err(self.report(span, "a list can hold constant texts or constant numbers only")),
            }
        }
        let ty = if doubles { SqlType::Doubles } else { SqlType::Texts };
        Ok(ScalarExpr { kind: ExprKind::Literal(Datum::List(values.into_boxed_slice())), ty })
    }

    fn bind_time_zone(&mut self, moment: &'a Ast, zone: &'a Ast, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let (moment, zone_value) = self.bind_pair(moment, zone, clause)?;
        match literal_value(&zone_value) {
            Some(Datum::Text(name)) if ["utc", "z", "gmt", "etc/utc"].contains(&name.to_lowercase().as_str()) => {
                Ok(moment)
            }
            _ => {
                Err(self
                    .report_at(zone, "timestamps are in UTC, and other time zones are not possible; add an INTERVAL"))
            }
        }
    }

    fn bind_cast(&mut self, operand: &'a Ast, data_type: &DataType, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let bound = self.bind_expr(operand, clause)?;
        let span = operand.span();
        let Some(ty) = sql_type_of(data_type) else {
            let message = format!(
                "a cast to {data_type} is not possible; there are boolean, bigint, double, text, date and timestamp"
            );
            return Err(self.report(span, message));
        };
        if bound.ty.element().is_some() && bound.ty != ty {
            return Err(self.report(span, format!("a {} cannot be cast; array_to_string makes text of it", bound.ty)));
        }
        if !can_cast(bound.ty, ty) {
            return Err(self.report(span, format!("{} cannot be cast to {ty}", bound.ty)));
        }
        let cast = cast_to(bound, ty);
        match (data_type, decimal_scale(data_type)) {
            (DataType::Date | DataType::Date32, _) => self.truncate_to_day(cast, span),
            (_, Some(scale)) => self.call_function("round", vec![cast, ScalarExpr::literal(Datum::Long(scale))], span),
            _ => Ok(cast),
        }
    }

    /// `moment + INTERVAL '2' DAY`.
    pub(super) fn add_interval(
        &mut self,
        moment: ScalarExpr,
        interval: &'a ast::Interval,
        minus: bool,
        span: Span,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let interval = self.bind_interval(interval, clause)?;
        let Some(moment) = coerce_to(moment, SqlType::Time) else {
            return Err(self.report(span, "an INTERVAL can be added to a timestamp only"));
        };
        match if minus { interval.negated() } else { Some(interval) } {
            Some(interval) => Ok(fold_constant(calls::add_interval(moment, interval))),
            None => Err(self.report(span, "the INTERVAL is too long")),
        }
    }

    /// A constant interval: `INTERVAL '1 day 2 hours'`, `INTERVAL 7 DAY`.
    pub(super) fn bind_interval(
        &mut self,
        interval: &'a ast::Interval,
        clause: ClauseKind,
    ) -> BindResult<CalendarInterval> {
        let span = interval.value.span();
        let value = self.bind_expr(&interval.value, clause)?;
        let unit = interval.leading_field.as_ref().map(field_name);
        let text = match literal_value(&cast_to(value, SqlType::Text)) {
            Some(Datum::Text(text)) => text.to_string(),
            _ => String::new(),
        };
        calls::parse_interval(&text, unit.as_deref()).ok_or_else(|| {
            let message =
                "an INTERVAL is a constant number with a unit: INTERVAL '7' DAY, or INTERVAL '1 month 2 days'";
            self.report(span, message)
        })
    }

    /// Calls that take an interval: `time_bucket(INTERVAL '15 minutes', t)`, `date_add(t, INTERVAL '1 day')`.
    pub(super) fn bind_interval_call(
        &mut self,
        call: &CallParts<'a>,
        clause: ClauseKind,
    ) -> Option<BindResult<ScalarExpr>> {
        let (moment, interval) = match (call.name.as_str(), &call.arguments[..]) {
            ("time_bucket", [Ast::Interval(interval), moment]) => (*moment, interval),
            ("date_add" | "date_sub" | "adddate" | "subdate", [moment, Ast::Interval(interval)]) => (*moment, interval),
            _ => return None,
        };
        let minus = matches!(call.name.as_str(), "date_sub" | "subdate");
        let bound = self.bind_expr(moment, clause);
        if call.name != "time_bucket" {
            return Some(bound.and_then(|moment| self.add_interval(moment, interval, minus, call.span, clause)));
        }
        let interval = self.bind_interval(interval, clause);
        Some(bound.and_then(|moment| self.make_bucket(moment, interval?, call.span)))
    }

    fn make_bucket(&mut self, moment: ScalarExpr, interval: CalendarInterval, span: Span) -> BindResult<ScalarExpr> {
        let moment = coerce_to(moment, SqlType::Time);
        let bucket = moment.and_then(|moment| calls::time_bucket(moment, interval));
        bucket.map(fold_constant).ok_or_else(|| {
            self.report(span, "time_bucket takes a positive interval, of months or of shorter units, and a timestamp")
        })
    }

    /// Records that there is no such name among some.
    pub(super) fn report_unknown(
        &mut self,
        span: Span,
        what: &str,
        name: &str,
        known: &[&str],
    ) -> super::ReportedProblem {
        let hint = match closest_name(name, known.iter().copied()) {
            Some(similar) => format!("; do you mean `{similar}`?"),
            None => format!("; there {} {}", if known.len() == 1 { "is" } else { "are" }, join_words(known)),
        };
        self.report(span, format!("there is no {what} `{name}`{hint}"))
    }
}

fn number_of(digits: &str) -> Option<Datum> {
    let digits = digits.replace('_', "");
    if let Ok(number) = digits.parse::<i64>() {
        return Some(Datum::Long(number));
    }
    digits.parse::<f64>().ok().and_then(Datum::double)
}

/// The name of a unit or a part of a moment.
fn field_name(field: &DateTimeField) -> String {
    match field {
        DateTimeField::Custom(name) => name.value.to_lowercase(),
        field => field.to_string().to_lowercase(),
    }
}

fn sql_type_of(data_type: &DataType) -> Option<SqlType> {
    use DataType as T;
    Some(match data_type {
        T::Bool | T::Boolean => SqlType::Bool,
        T::TinyInt(_) | T::SmallInt(_) | T::MediumInt(_) | T::Int(_) | T::Integer(_) | T::BigInt(_) => SqlType::Long,
        T::Int2(_) | T::Int4(_) | T::Int8(_) | T::Int16 | T::Int32 | T::Int64 | T::Signed | T::SignedInteger => {
            SqlType::Long
        }
        T::UTinyInt | T::USmallInt | T::UBigInt | T::HugeInt | T::Unsigned | T::UnsignedInteger => SqlType::Long,
        T::Float(_) | T::Float4 | T::Float8 | T::Float32 | T::Float64 | T::Real | T::Double(_) | T::DoublePrecision => {
            SqlType::Double
        }
        T::Numeric(_) | T::Decimal(_) | T::Dec(_) => SqlType::Double,
        T::Text | T::String(_) | T::Varchar(_) | T::Nvarchar(_) | T::Char(_) | T::Character(_) => SqlType::Text,
        T::CharacterVarying(_) | T::CharVarying(_) | T::Clob(_) => SqlType::Text,
        T::Date | T::Date32 | T::Timestamp(..) | T::TimestampNtz(_) | T::Datetime(_) => SqlType::Time,
        T::Custom(name, _) => match name.to_string().to_lowercase().as_str() {
            "long" | "short" | "byte" | "int" => SqlType::Long,
            "string" => SqlType::Text,
            "timestamptz" | "timestamp_s" | "timestamp_ms" | "timestamp_ltz" => SqlType::Time,
            _ => return None,
        },
        _ => return None,
    })
}

/// The digits after the point of `DECIMAL(10, 2)`.
fn decimal_scale(data_type: &DataType) -> Option<i64> {
    use ast::ExactNumberInfo::{Precision, PrecisionAndScale};
    match data_type {
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => match info {
            PrecisionAndScale(_, scale) => Some(*scale),
            Precision(_) => Some(0),
            ast::ExactNumberInfo::None => None,
        },
        _ => None,
    }
}

fn refused_form(ast: &Ast) -> String {
    match ast {
        Ast::Interval(_) => "an INTERVAL can only be added to or taken from a timestamp".to_owned(),
        Ast::Lambda(_) => {
            "-> makes a function, or takes a part of JSON, and neither is possible; make rows of a list with unnest"
                .to_owned()
        }
        Ast::Struct { .. } | Ast::Named { .. } | Ast::Dictionary(_) | Ast::Map(_) => {
            "structs and maps are not possible; select the values as columns of their own".to_owned()
        }
        Ast::JsonAccess { .. } => "the cleaned tables have no JSON, so paths into it are not possible".to_owned(),
        Ast::Tuple(_) => "a list in parentheses can only be compared or stand before IN".to_owned(),
        Ast::Collate { .. } => "COLLATE is not possible: text is ordered by its bytes; compare lower(text)".to_owned(),
        Ast::Overlay { .. } => "OVERLAY is not possible; put parts together with || and substring".to_owned(),
        Ast::GroupingSets(_) | Ast::Cube(_) | Ast::Rollup(_) => "this belongs into GROUP BY".to_owned(),
        Ast::Wildcard(_) | Ast::QualifiedWildcard(..) => "* is possible in SELECT and in count(*) only".to_owned(),
        Ast::MatchAgainst { .. } => "MATCH … AGAINST is not possible; write LIKE or regexp_matches".to_owned(),
        other => format!("`{}` is not possible in a question", super::expr_text(other)),
    }
}
