//! A plan as text for people: one operator a line, its inputs below it, expressions as SQL.

use std::fmt::Write;

use crate::catalog::RelationCatalog;
use crate::datum::{Datum, SqlType};
use crate::expr::{ArithmeticOp, CompareOp, ExprKind, ScalarExpr};
use crate::plan::{
    AggregateCall, AggregateFunction, BoundQuestion, FrameBound, JoinKind, QueryPlan, SortKey, WindowCall, WindowFrame,
    WindowFunction,
};

/// The longest text of an expression that names a column above it.
const MAX_NAME_LENGTH: usize = 60;

impl BoundQuestion {
    /// The columns, the plan and the notes as text, with names of columns where they are known.
    #[must_use]
    pub fn explain(&self, catalog: &RelationCatalog) -> String {
        let mut text = String::from("columns\n");
        for column in &self.columns {
            let nullable = if column.nullable { "" } else { ", never null" };
            let _ = writeln!(text, "  {} {}{nullable}", column.name, column.ty);
        }
        text.push_str("plan\n");
        text.push_str(&explain_plan(&self.plan, catalog, 1));
        if !self.listing.is_empty() {
            let names = plan_names(&self.plan, catalog);
            let keys = self.listing.iter().map(|key| {
                let own = self.columns.get(key.column).map(|column| &column.name);
                let name = own.or_else(|| names.get(key.column)).map_or("?", String::as_str);
                ordered(name, key.descending, key.nulls_first)
            });
            let _ = writeln!(text, "listed by {}", keys.collect::<Vec<String>>().join(", "));
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

/// A plan as indented text.
fn explain_plan(plan: &QueryPlan, catalog: &RelationCatalog, depth: usize) -> String {
    let mut text = format!("{}{}\n", "  ".repeat(depth), operator_line(plan, catalog));
    for input in plan.inputs() {
        text.push_str(&explain_plan(input, catalog, depth + 1));
    }
    text
}

fn operator_line(plan: &QueryPlan, catalog: &RelationCatalog) -> String {
    let inputs: Vec<Vec<String>> = plan.inputs().into_iter().map(|input| plan_names(input, catalog)).collect();
    let own = inputs.first().map_or(&[][..], Vec::as_slice);
    match plan {
        QueryPlan::Scan { relation, columns } => {
            let names = relation_names(*relation, catalog);
            let table = catalog.relations.get(*relation).map_or("?", |relation| relation.name);
            format!("Scan {table}: {}", list(columns, &names))
        }
        QueryPlan::Filter { condition, .. } => format!("Filter {}", print_expr(condition, own)),
        QueryPlan::Project { columns, .. } => format!("Project {}", list(columns, own)),
        QueryPlan::Unnest { list, keep_empty, .. } => {
            format!("Unnest {}{}", print_expr(list, own), if *keep_empty { ", keeping empty ones" } else { "" })
        }
        QueryPlan::Join { kind, keys, condition, .. } => {
            let right = inputs.get(1).map_or(&[][..], Vec::as_slice);
            join_line(*kind, keys, condition.as_ref(), own, right)
        }
        QueryPlan::Aggregate { keys, aggregates, .. } => {
            let calls: Vec<String> = aggregates.iter().map(|call| print_aggregate(call, own)).collect();
            let by = if keys.is_empty() { "one group".to_owned() } else { format!("by {}", list(keys, own)) };
            if calls.is_empty() { format!("Aggregate {by}") } else { format!("Aggregate {by}: {}", calls.join(", ")) }
        }
        QueryPlan::Distinct { .. } => "Distinct".to_owned(),
        QueryPlan::Window { partition, order, functions, .. } => window_line(partition, order, functions, own),
        QueryPlan::Limit { order, offset, limit, .. } => limit_line(order, *offset, *limit, own),
        QueryPlan::UnionAll { .. } => "Union all".to_owned(),
        QueryPlan::OneRow { columns, .. } => {
            let values: Vec<String> = columns.iter().map(print_datum).collect();
            format!("One row: {}", values.join(", "))
        }
    }
}

fn join_line(
    kind: JoinKind,
    keys: &[(ScalarExpr, ScalarExpr)],
    condition: Option<&ScalarExpr>,
    left: &[String],
    right: &[String],
) -> String {
    let kind = match kind {
        JoinKind::Inner => "Inner",
        JoinKind::Left => "Left",
        JoinKind::Right => "Right",
        JoinKind::Full => "Full",
        JoinKind::Semi => "Semi",
        JoinKind::Anti => "Anti",
    };
    let mut conditions: Vec<String> = keys
        .iter()
        .map(|(one, other)| format!("{} = {}", print_operand(one, left), print_operand(other, right)))
        .collect();
    if let Some(condition) = condition {
        let both: Vec<String> = left.iter().chain(right).cloned().collect();
        let is_alone = keys.is_empty() || matches!(condition.kind, ExprKind::Compare(..) | ExprKind::And(_));
        conditions.push(if is_alone { print_expr(condition, &both) } else { print_operand(condition, &both) });
    }
    if conditions.is_empty() {
        format!("{kind} join with one row")
    } else {
        format!("{kind} join on {}", conditions.join(" AND "))
    }
}

fn window_line(partition: &[ScalarExpr], order: &[SortKey], functions: &[WindowCall], names: &[String]) -> String {
    let calls: Vec<String> = functions.iter().map(|call| print_window(call, names)).collect();
    let mut text = format!("Window {}", calls.join(", "));
    if !partition.is_empty() {
        let _ = write!(text, " partition by {}", list(partition, names));
    }
    if !order.is_empty() {
        let _ = write!(text, " order by {}", print_order(order, names));
    }
    text
}

fn limit_line(order: &[SortKey], offset: u64, limit: Option<u64>, names: &[String]) -> String {
    let mut text = match limit {
        Some(limit) => format!("First {limit}"),
        None => "All".to_owned(),
    };
    if offset > 0 {
        let _ = write!(text, " after {offset}");
    }
    if !order.is_empty() {
        let _ = write!(text, " by {}", print_order(order, names));
    }
    text
}

fn print_order(order: &[SortKey], names: &[String]) -> String {
    let keys = order.iter().map(|key| ordered(&print_expr(&key.expr, names), key.descending, key.nulls_first));
    keys.collect::<Vec<String>>().join(", ")
}

fn ordered(name: &str, descending: bool, nulls_first: bool) -> String {
    format!("{name}{}{}", if descending { " DESC" } else { "" }, if nulls_first { " NULLS FIRST" } else { "" })
}

fn list(exprs: &[ScalarExpr], names: &[String]) -> String {
    if exprs.is_empty() {
        return "no columns".to_owned();
    }
    exprs.iter().map(|expr| print_expr(expr, names)).collect::<Vec<String>>().join(", ")
}

fn relation_names(relation: usize, catalog: &RelationCatalog) -> Vec<String> {
    let columns = catalog.relations.get(relation).map_or(&[][..], |relation| relation.columns);
    columns.iter().map(|column| column.name.to_owned()).collect()
}

/// Names for the columns of a plan: those of tables where they are known, else texts of expressions.
fn plan_names(plan: &QueryPlan, catalog: &RelationCatalog) -> Vec<String> {
    let exprs = |exprs: &[ScalarExpr], names: &[String]| {
        exprs.iter().map(|expr| column_name(print_expr(expr, names))).collect()
    };
    let input = |plan: &QueryPlan| plan.inputs().first().map(|input| plan_names(input, catalog)).unwrap_or_default();
    match plan {
        QueryPlan::Scan { relation, columns } => exprs(columns, &relation_names(*relation, catalog)),
        QueryPlan::Project { columns, .. } => exprs(columns, &input(plan)),
        QueryPlan::Filter { .. }
        | QueryPlan::Distinct { .. }
        | QueryPlan::Limit { .. }
        | QueryPlan::UnionAll { .. } => input(plan),
        QueryPlan::Unnest { list, .. } => {
            let mut names = input(plan);
            names.push(column_name(format!("element of {}", print_expr(list, &names))));
            names
        }
        QueryPlan::Join { kind: JoinKind::Semi | JoinKind::Anti, .. } => input(plan),
        QueryPlan::Join { left, right, .. } => {
            let mut names = plan_names(left, catalog);
            names.extend(plan_names(right, catalog));
            names
        }
        QueryPlan::Aggregate { keys, aggregates, .. } => {
            let below = input(plan);
            let mut names: Vec<String> = exprs(keys, &below);
            names.extend(aggregates.iter().map(|call| column_name(print_aggregate(call, &below))));
            names
        }
        QueryPlan::Window { functions, .. } => {
            let mut names = input(plan);
            let calls: Vec<String> = functions.iter().map(|call| column_name(print_window(call, &names))).collect();
            names.extend(calls);
            names
        }
        QueryPlan::OneRow { columns, .. } => columns.iter().map(print_datum).collect(),
    }
}

/// A text as a name: too long ones are cut, so that texts of texts stay short.
fn column_name(text: String) -> String {
    match text.char_indices().nth(MAX_NAME_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn print_aggregate(call: &AggregateCall, names: &[String]) -> String {
    let name = match call.function {
        AggregateFunction::CountRows | AggregateFunction::Count => "count",
        AggregateFunction::Sum => "sum",
        AggregateFunction::Avg => "avg",
        AggregateFunction::Min => "min",
        AggregateFunction::Max => "max",
        AggregateFunction::PercentileCont => "percentile_cont",
        AggregateFunction::PercentileDisc => "percentile_disc",
        AggregateFunction::Mode => "mode",
        AggregateFunction::StddevSample => "stddev_samp",
        AggregateFunction::StddevPopulation => "stddev_pop",
        AggregateFunction::VarianceSample => "var_samp",
        AggregateFunction::VariancePopulation => "var_pop",
        AggregateFunction::BoolAnd => "bool_and",
        AggregateFunction::BoolOr => "bool_or",
        AggregateFunction::StringAgg => "string_agg",
        AggregateFunction::ArgMax => "arg_max",
        AggregateFunction::ArgMin => "arg_min",
        AggregateFunction::OfPairs(function) => function.name(),
    };
    let mut inside: String =
        call.arguments.iter().map(|argument| print_expr(argument, names)).collect::<Vec<_>>().join(", ");
    if call.function == AggregateFunction::CountRows {
        inside.push('*');
    }
    if !call.order.is_empty() {
        let _ = write!(inside, " ORDER BY {}", print_order(&call.order, names));
    }
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let mut text = format!("{name}({distinct}{inside})");
    if let Some(filter) = &call.filter {
        let _ = write!(text, " FILTER ({})", print_expr(filter, names));
    }
    text
}

fn print_window(call: &WindowCall, names: &[String]) -> String {
    match &call.function {
        WindowFunction::RowNumber => "row_number()".to_owned(),
        WindowFunction::Rank => "rank()".to_owned(),
        WindowFunction::DenseRank => "dense_rank()".to_owned(),
        WindowFunction::PercentRank => "percent_rank()".to_owned(),
        WindowFunction::CumeDist => "cume_dist()".to_owned(),
        WindowFunction::Ntile(buckets) => format!("ntile({buckets})"),
        WindowFunction::Offset { value, distance, .. } if *distance < 0 => {
            format!("lag({}, {})", print_expr(value, names), distance.unsigned_abs())
        }
        WindowFunction::Offset { value, distance, .. } => format!("lead({}, {distance})", print_expr(value, names)),
        WindowFunction::KnownOffset { value, distance, .. } => {
            let name = if *distance < 0 { "lag" } else { "lead" };
            format!("{name}({}, {}) ignoring nulls", print_expr(value, names), distance.unsigned_abs())
        }
        WindowFunction::KnownValue { value, place, frame } => {
            let (value, frame) = (print_expr(value, names), print_frame(*frame));
            match place {
                1 => format!("first_value({value}) ignoring nulls{frame}"),
                -1 => format!("last_value({value}) ignoring nulls{frame}"),
                place => format!("nth_value({value}, {place}) ignoring nulls{frame}"),
            }
        }
        WindowFunction::FirstValue(value, frame) => {
            format!("first_value({}){}", print_expr(value, names), print_frame(*frame))
        }
        WindowFunction::LastValue(value, frame) => {
            format!("last_value({}){}", print_expr(value, names), print_frame(*frame))
        }
        WindowFunction::NthValue(value, n, frame) => {
            format!("nth_value({}, {n}){}", print_expr(value, names), print_frame(*frame))
        }
        WindowFunction::Aggregate(call, frame) => format!("{}{}", print_aggregate(call, names), print_frame(*frame)),
    }
}

fn print_frame(frame: WindowFrame) -> String {
    if frame == WindowFrame::WHOLE {
        return String::new();
    }
    let bound = |bound: FrameBound, end: &str| match bound {
        FrameBound::Unbounded => format!("unbounded {end}"),
        FrameBound::Current => "current row".to_owned(),
        FrameBound::Preceding(rows) => format!("{rows} preceding"),
        FrameBound::Following(rows) => format!("{rows} following"),
    };
    let unit = if frame.rows { "rows" } else { "range" };
    format!(" {unit} {} to {}", bound(frame.start, "preceding"), bound(frame.end, "following"))
}

/// An expression as SQL.
fn print_expr(expr: &ScalarExpr, names: &[String]) -> String {
    let inner = |expr: &ScalarExpr| print_operand(expr, names);
    let comma = |exprs: &[ScalarExpr]| exprs.iter().map(|expr| print_expr(expr, names)).collect::<Vec<_>>().join(", ");
    match &expr.kind {
        ExprKind::Column(column) => names.get(*column).cloned().unwrap_or_else(|| format!("#{column}")),
        ExprKind::Literal(value) => print_literal(value, expr.ty),
        ExprKind::Compare(op, one, other) => format!("{} {} {}", inner(one), compare_sign(*op), inner(other)),
        ExprKind::SameValue(one, other) => format!("{} IS NOT DISTINCT FROM {}", inner(one), inner(other)),
        ExprKind::And(all) => all.iter().map(inner).collect::<Vec<_>>().join(" AND "),
        ExprKind::Or(any) => any.iter().map(inner).collect::<Vec<_>>().join(" OR "),
        ExprKind::Not(operand) => match &operand.kind {
            ExprKind::IsNull(tested) => format!("{} IS NOT NULL", inner(tested)),
            _ => format!("NOT {}", inner(operand)),
        },
        ExprKind::IsNull(operand) => format!("{} IS NULL", inner(operand)),
        ExprKind::IsTrue(operand) => format!("{} IS TRUE", inner(operand)),
        ExprKind::Arithmetic(op, one, other) => format!("{} {} {}", inner(one), arithmetic_sign(*op), inner(other)),
        ExprKind::Negate(operand) => format!("-{}", inner(operand)),
        ExprKind::In(subject, list) => format!("{} IN ({})", inner(subject), comma(list)),
        ExprKind::Like(like) => {
            let word = if like.ignore_case { "ILIKE" } else { "LIKE" };
            format!("{} {word} {}", inner(&like.text), inner(&like.pattern))
        }
        ExprKind::Case { branches, otherwise } => {
            let mut text = String::from("CASE");
            for (condition, result) in branches {
                let _ = write!(text, " WHEN {} THEN {}", print_expr(condition, names), print_expr(result, names));
            }
            let _ = write!(text, " ELSE {} END", print_expr(otherwise, names));
            text
        }
        ExprKind::Coalesce(all) => format!("coalesce({})", comma(all)),
        ExprKind::Cast(operand) => format!("cast({} AS {})", print_expr(operand, names), expr.ty),
        ExprKind::Call(function, arguments) => format!("{}({})", function, comma(arguments)),
    }
}

/// An operand, in parentheses if it is an operation.
fn print_operand(expr: &ScalarExpr, names: &[String]) -> String {
    let text = print_expr(expr, names);
    match expr.kind {
        ExprKind::Column(_)
        | ExprKind::Literal(_)
        | ExprKind::Call(..)
        | ExprKind::Cast(_)
        | ExprKind::Coalesce(_)
        | ExprKind::Case { .. } => text,
        _ => format!("({text})"),
    }
}

fn compare_sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "=",
        CompareOp::NotEqual => "<>",
        CompareOp::Less => "<",
        CompareOp::LessOrEqual => "<=",
        CompareOp::Greater => ">",
        CompareOp::GreaterOrEqual => ">=",
    }
}

fn arithmetic_sign(op: ArithmeticOp) -> &'static str {
    match op {
        ArithmeticOp::Add => "+",
        ArithmeticOp::Subtract => "-",
        ArithmeticOp::Multiply => "*",
        ArithmeticOp::Divide => "/",
        ArithmeticOp::DivideWhole => "//",
        ArithmeticOp::Remainder => "%",
    }
}

fn print_literal(value: &Datum, ty: SqlType) -> String {
    match value {
        Datum::Time(_) => format!("{ty} {}", print_datum(value)),
        value => print_datum(value),
    }
}

fn print_datum(value: &Datum) -> String {
    match value {
        Datum::Bool(value) => value.to_string(),
        Datum::Long(value) => value.to_string(),
        Datum::Double(value) => format!("{value:?}"),
        Datum::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Datum::Time(micros) => match jiff::Timestamp::from_microsecond(*micros) {
            Ok(moment) => format!("'{moment}'"),
            Err(_) => format!("{micros} µs"),
        },
        Datum::List(list) => format!("[{}]", list.iter().map(print_datum).collect::<Vec<_>>().join(", ")),
        Datum::Null => "NULL".to_owned(),
    }
}
