//! Calls that are other expressions.

use super::resolve::{ResolveError, build_call, coerce, unify_types};
use crate::datum::{Datum, SqlType};
use crate::expr::{ArithmeticOp, CompareOp, ExprKind, ScalarExpr};

/// A call that is another expression.
pub struct SpecialForm {
    /// The name, then other names, in lower case.
    pub names: &'static [&'static str],
    /// How it is called.
    pub signature: &'static str,
    /// What it computes.
    pub description: &'static str,
    /// A call with constants, and its result as text.
    pub example: (&'static str, &'static str),
    build: fn(&str, Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError>,
    /// The least and the greatest number of arguments.
    counts: (usize, usize),
}

static FORMS: [SpecialForm; 11] = [
    SpecialForm {
        names: &["coalesce", "ifnull", "nvl"],
        signature: "coalesce(any, …)",
        description: "The first value that is not null.",
        example: ("coalesce(NULL, 'a', 'b')", "a"),
        build: build_coalesce,
        counts: (1, usize::MAX),
    },
    SpecialForm {
        names: &["nullif"],
        signature: "nullif(any, any)",
        description: "The first value; null if the values are equal.",
        example: ("nullif(3, 4)", "3"),
        build: build_nullif,
        counts: (2, 2),
    },
    SpecialForm {
        names: &["if", "iff", "iif"],
        signature: "if(boolean, any[, any])",
        description: "The second value if the condition is true, else the third one, or null.",
        example: ("if(1 > 2, 'a', 'b')", "b"),
        build: build_if,
        counts: (2, 3),
    },
    SpecialForm {
        names: &["nvl2"],
        signature: "nvl2(any, any, any)",
        description: "The second value if the first one is not null, else the third one.",
        example: ("nvl2(NULL, 'a', 'b')", "b"),
        build: build_nvl2,
        counts: (3, 3),
    },
    SpecialForm {
        names: &["isnull"],
        signature: "isnull(any)",
        description: "Whether the value is null. Also `x IS NULL`.",
        example: ("isnull(NULL)", "true"),
        build: build_is_null,
        counts: (1, 1),
    },
    SpecialForm {
        names: &["isnotnull"],
        signature: "isnotnull(any)",
        description: "Whether the value is not null. Also `x IS NOT NULL`.",
        example: ("isnotnull(NULL)", "false"),
        build: build_is_not_null,
        counts: (1, 1),
    },
    SpecialForm {
        names: &["mod"],
        signature: "mod(number, number)",
        description: "The remainder with the sign of the first number: `x % y`.",
        example: ("mod(-7, 3)", "-1"),
        build: |name, arguments| build_arithmetic(name, arguments, ArithmeticOp::Remainder),
        counts: (2, 2),
    },
    SpecialForm {
        names: &["div", "divide"],
        signature: "div(bigint, bigint)",
        description: "The quotient without its fraction: `x // y`.",
        example: ("div(-7, 2)", "-3"),
        build: |name, arguments| build_arithmetic(name, arguments, ArithmeticOp::DivideWhole),
        counts: (2, 2),
    },
    SpecialForm {
        names: &["date_part", "datepart", "extract"],
        signature: "date_part(unit, timestamp)",
        description: "The part of a moment that the function of this name gives. Also `extract(month FROM x)`.",
        example: ("date_part('month', '2024-03-10')", "3"),
        build: build_date_part,
        counts: (2, 2),
    },
    SpecialForm {
        names: &["double", "float", "bigint", "int", "string", "boolean"],
        signature: "bigint(any)",
        description: "Spark's casts: bigint, int, double, float, string and boolean.",
        example: ("bigint('42')", "42"),
        build: build_cast,
        counts: (1, 1),
    },
    SpecialForm {
        names: &["typeof"],
        signature: "typeof(any)",
        description: "The name of the type.",
        example: ("typeof(1.5)", "double"),
        build: |_, arguments| Ok(ScalarExpr::literal(Datum::text(type_of(&arguments, 0).name()))),
        counts: (1, 1),
    },
];

/// The calls that are other expressions.
#[must_use]
pub fn special_forms() -> &'static [SpecialForm] {
    &FORMS
}

/// All names of special forms.
pub(super) fn special_names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().flat_map(|form| form.names.iter().copied())
}

/// Whether this is the name, in lower case, of a special form.
pub(super) fn is_special(name: &str) -> bool {
    special_names().any(|known| known == name)
}

/// The expression of a special form. `Err` gives the arguments back if the name, in lower case, is not one.
pub(super) fn build(
    name: &str,
    arguments: Vec<ScalarExpr>,
) -> Result<Result<ScalarExpr, ResolveError>, Vec<ScalarExpr>> {
    let Some(form) = FORMS.iter().find(|form| form.names.contains(&name)) else { return Err(arguments) };
    let (least, most) = form.counts;
    if !(least..=most).contains(&arguments.len()) {
        let count = arguments.len();
        let plural = if count == 1 { "" } else { "s" };
        let message = format!("{name} does not take {count} argument{plural}: it is {}", form.signature);
        return Ok(Err(ResolveError::new(message)));
    }
    Ok((form.build)(name, arguments))
}

fn type_of(arguments: &[ScalarExpr], index: usize) -> SqlType {
    arguments.get(index).map_or(SqlType::Null, |argument| argument.ty)
}

/// Gives the arguments from an index on one type.
fn unify_from(
    name: &str,
    mut arguments: Vec<ScalarExpr>,
    from: usize,
) -> Result<(Vec<ScalarExpr>, Vec<ScalarExpr>, SqlType), ResolveError> {
    let rest = arguments.split_off(from);
    let types: Vec<SqlType> = rest.iter().map(|argument| argument.ty).collect();
    let (rest, ty) = unify_types(rest).map_err(|index| {
        let found = types.get(index).copied().unwrap_or(SqlType::Null);
        let wanted = types.iter().copied().find(|ty| *ty != SqlType::Null).unwrap_or(SqlType::Null);
        let message = format!(
            "{name} takes values of one type, and {{argument}} is {found} where another is {wanted}; cast one of them"
        );
        ResolveError::of_argument(from + index, message)
    })?;
    Ok((arguments, rest, ty))
}

fn case(condition: ScalarExpr, result: ScalarExpr, otherwise: ScalarExpr) -> ScalarExpr {
    let ty = result.ty;
    ScalarExpr { kind: ExprKind::Case { branches: vec![(condition, result)], otherwise: Box::new(otherwise) }, ty }
}

fn take_two(arguments: Vec<ScalarExpr>) -> (ScalarExpr, ScalarExpr) {
    let mut arguments = arguments.into_iter();
    let null = || ScalarExpr::null(SqlType::Null);
    (arguments.next().unwrap_or_else(null), arguments.next().unwrap_or_else(null))
}

fn build_coalesce(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    let (_, all, ty) = unify_from(name, arguments, 0)?;
    Ok(ScalarExpr { kind: ExprKind::Coalesce(all), ty })
}

fn build_nullif(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    let (_, all, ty) = unify_from(name, arguments, 0)?;
    let (one, other) = take_two(all);
    let equal = ExprKind::Compare(CompareOp::Equal, Box::new(one.clone()), Box::new(other));
    Ok(case(ScalarExpr::condition(equal), ScalarExpr::null(ty), one))
}

fn build_if(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    if !matches!(type_of(&arguments, 0), SqlType::Bool | SqlType::Null) {
        let found = type_of(&arguments, 0);
        let message = format!(
            "{name} takes a condition as 1st argument, and {{argument}} is {found}; compare it, as in {{argument}} = 1"
        );
        return Err(ResolveError::of_argument(0, message));
    }
    let (condition, mut all, ty) = unify_from(name, arguments, 1)?;
    if all.len() == 1 {
        all.push(ScalarExpr::null(ty));
    }
    let (condition, _) = take_two(condition);
    let (result, otherwise) = take_two(all);
    Ok(case(coerce(condition, SqlType::Bool), result, otherwise))
}

fn build_nvl2(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    let (value, all, _) = unify_from(name, arguments, 1)?;
    let (value, _) = take_two(value);
    let (known, unknown) = take_two(all);
    Ok(case(ScalarExpr::condition(ExprKind::IsNull(Box::new(value))), unknown, known))
}

fn build_is_null(_: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    let (value, _) = take_two(arguments);
    Ok(ScalarExpr::condition(ExprKind::IsNull(Box::new(value))))
}

fn build_is_not_null(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    Ok(ScalarExpr::condition(ExprKind::Not(Box::new(build_is_null(name, arguments)?))))
}

fn build_arithmetic(name: &str, arguments: Vec<ScalarExpr>, op: ArithmeticOp) -> Result<ScalarExpr, ResolveError> {
    let wrong = arguments.iter().position(|argument| !argument.ty.is_number() && argument.ty != SqlType::Null);
    if let Some(index) = wrong {
        let found = type_of(&arguments, index);
        return Err(ResolveError::of_argument(index, format!("{name} takes numbers, and {{argument}} is {found}")));
    }
    let (_, all, ty) = unify_from(name, arguments, 0)?;
    let ty = if ty == SqlType::Null { SqlType::Long } else { ty };
    let (one, other) = take_two(all);
    let quotient =
        ScalarExpr { kind: ExprKind::Arithmetic(op, Box::new(coerce(one, ty)), Box::new(coerce(other, ty))), ty };
    let is_whole = op == ArithmeticOp::DivideWhole;
    Ok(if is_whole { coerce(quotient, SqlType::Long) } else { quotient })
}

fn build_cast(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    let ty = match name {
        "double" | "float" => SqlType::Double,
        "bigint" | "int" => SqlType::Long,
        "string" => SqlType::Text,
        _ => SqlType::Bool,
    };
    let found = type_of(&arguments, 0);
    if !crate::functions::can_cast(found, ty) {
        return Err(ResolveError::of_argument(
            0,
            format!("{{argument}} is {found}, which cannot be converted to {ty}"),
        ));
    }
    Ok(coerce(take_two(arguments).0, ty))
}

/// Fields of `extract` and `date_part` whose function has another name.
const FIELDS: [(&[&str], &str); 16] = [
    (&["years", "y", "yr", "yrs"], "year"),
    (&["quarters"], "quarter"),
    (&["months", "mon", "mons"], "month"),
    (&["weeks", "w", "weekofyear"], "week"),
    (&["days", "d", "dayofmonth"], "day"),
    (&["hours", "h", "hr", "hrs"], "hour"),
    (&["minutes", "min", "mins", "m"], "minute"),
    (&["seconds", "sec", "secs", "s"], "second"),
    (&["milliseconds", "ms", "msec", "msecs"], "millisecond"),
    (&["microseconds", "us", "usec", "usecs"], "microsecond"),
    (&["decades"], "decade"),
    (&["dow", "dayofweek"], "dayofweek"),
    (&["dayofweek_iso", "isodow"], "isodow"),
    (&["doy"], "dayofyear"),
    (&["yearofweek"], "isoyear"),
    (&["epoch_second"], "epoch"),
];

/// The functions that are fields of `extract` and `date_part`.
const FIELD_FUNCTIONS: [&str; 18] = [
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
    "decade",
    "dayofweek",
    "isodow",
    "dayofyear",
    "isoyear",
    "yearweek",
    "weekday",
    "epoch",
];

/// `EXTRACT(field FROM time)`: the part of a moment.
///
/// # Errors
///
/// If there is no such field, or the value is no moment.
pub fn date_part(field: &str, time: ScalarExpr) -> Result<ScalarExpr, ResolveError> {
    let field = field.to_ascii_lowercase();
    let alias = FIELDS.iter().find(|(names, _)| names.contains(&field.as_str()));
    let name = alias.map_or(field.as_str(), |(_, name)| name);
    if !FIELD_FUNCTIONS.contains(&name) {
        let message = format!("there is no field `{field}`; fields are {}", FIELD_FUNCTIONS.join(", "));
        return Err(ResolveError::new(message));
    }
    build_call(name, vec![time])
}

fn build_date_part(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    let (field, time) = take_two(arguments);
    let ExprKind::Literal(Datum::Text(field)) = &field.kind else {
        let message = format!("{name} takes a constant field such as 'month' as 1st argument");
        return Err(ResolveError::of_argument(0, message));
    };
    date_part(field, time).map_err(|error| {
        let index = usize::from(error.argument.is_some());
        error.at_argument(index)
    })
}
