//! From a name and arguments to a call.

use std::fmt;

use crate::datum::{Datum, SqlType};
use crate::expr::{ExprKind, ScalarExpr};
use crate::functions::calendar::TimeUnit;
use crate::functions::catalog::all_functions;
use crate::functions::{
    FunctionSpec, ParameterType, ResultType, ScalarFunction, can_cast, cast, patterns, time_format,
};

use super::{special, unsupported};

/// A function with the types of its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCall {
    /// The function.
    pub function: ScalarFunction,
    /// The types to which the arguments must be cast.
    pub arguments: Vec<SqlType>,
    /// The type of the result.
    pub ty: SqlType,
}

/// Why there is no such call: what the function takes, or what would work instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError {
    /// The index of the argument that caused it. `None` if the name or the number of arguments did.
    pub argument: Option<usize>,
    /// With [`ARGUMENT_MARK`] where the argument's text belongs.
    template: String,
}

/// Stands for the text of the argument in a message.
const ARGUMENT_MARK: &str = "{argument}";

impl ResolveError {
    pub(super) fn new(message: impl Into<String>) -> ResolveError {
        ResolveError { argument: None, template: message.into() }
    }

    pub(super) fn of_argument(argument: usize, message: impl Into<String>) -> ResolveError {
        ResolveError { argument: Some(argument), template: message.into() }
    }

    /// The same error, caused by another argument.
    pub(super) fn at_argument(self, index: usize) -> ResolveError {
        ResolveError { argument: Some(index), ..self }
    }

    /// The message: one sentence without a full stop. `argument` is the text of the argument that caused it, such as
    /// the name of a column.
    #[must_use]
    pub fn message(&self, argument: &str) -> String {
        self.template.replace(ARGUMENT_MARK, argument)
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argument = self.argument.map(|index| format!("its {} argument", ordinal(index)));
        f.write_str(&self.message(argument.as_deref().unwrap_or_default()))
    }
}

impl std::error::Error for ResolveError {}

fn ordinal(index: usize) -> String {
    match index {
        0 => "1st".to_owned(),
        1 => "2nd".to_owned(),
        2 => "3rd".to_owned(),
        index => format!("{}th", index + 1),
    }
}

/// The type that values of both types can have without loss.
#[must_use]
pub fn common_type(one: SqlType, other: SqlType) -> Option<SqlType> {
    match (one, other) {
        (one, other) if one == other => Some(one),
        (SqlType::Null, ty) | (ty, SqlType::Null) => Some(ty),
        (SqlType::Long, SqlType::Double) | (SqlType::Double, SqlType::Long) => Some(SqlType::Double),
        _ => None,
    }
}

/// Gives all expressions one type, and says which. A constant text becomes a moment where others are moments.
///
/// # Errors
///
/// The index of the first expression whose type does not fit those before it.
pub fn unify_types(expressions: Vec<ScalarExpr>) -> Result<(Vec<ScalarExpr>, SqlType), usize> {
    let given: Vec<GivenArgument<'_>> = expressions.iter().map(GivenArgument::of).collect();
    let ty = unified_type(&given)?;
    Ok((expressions.into_iter().map(|one| coerce(one, ty)).collect(), ty))
}

fn unified_type(given: &[GivenArgument<'_>]) -> Result<SqlType, usize> {
    let has_moment = given.iter().any(|one| one.ty == SqlType::Time);
    let mut ty = SqlType::Null;
    for (index, one) in given.iter().enumerate() {
        let own = if has_moment && one.is_moment_text() { SqlType::Time } else { one.ty };
        ty = common_type(ty, own).ok_or(index)?;
    }
    Ok(ty)
}

/// The expression as a value of a type. Constants are converted at once, if they can be.
#[must_use]
pub fn coerce(expr: ScalarExpr, ty: SqlType) -> ScalarExpr {
    if expr.ty == ty {
        return expr;
    }
    match &expr.kind {
        ExprKind::Literal(Datum::Null) => ScalarExpr::null(ty),
        ExprKind::Literal(value) => match cast::cast_value(value, ty) {
            Ok(value) => ScalarExpr { kind: ExprKind::Literal(value), ty },
            Err(_) => ScalarExpr { kind: ExprKind::Cast(Box::new(expr)), ty },
        },
        _ => ScalarExpr { kind: ExprKind::Cast(Box::new(expr)), ty },
    }
}

/// Whether there is a function of this name, in any case; also one that is refused with a reason.
#[must_use]
pub fn is_function(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    special::is_special(&name)
        || all_functions().any(|spec| spec.has_name(&name))
        || unsupported::reason(&name).is_some()
}

/// The function of this name, in any case, that takes arguments of these types.
///
/// # Errors
///
/// If there is none. Constants are not known here, and calls that are other expressions (`coalesce`, …) are none: see
/// [`build_call`].
pub fn resolve(name: &str, arguments: &[SqlType]) -> Result<FunctionCall, ResolveError> {
    let given: Vec<GivenArgument<'_>> = arguments.iter().map(|ty| GivenArgument { ty: *ty, constant: None }).collect();
    resolve_given(&name.to_ascii_lowercase(), &given)
}

/// The expression that calls a function by its name, in any case, with casts where they are needed.
///
/// Not by this function, since they are syntax: `CAST`, `TRY_CAST`, `EXTRACT(field FROM x)` (see
/// [`date_part`](crate::calls::date_part)), `SUBSTRING(x FROM a FOR b)` (`substring`), `TRIM(BOTH y FROM x)` (`trim`,
/// `ltrim`, `rtrim`), `POSITION(x IN y)` (`position`), `list[1]` (`list_extract`), `list[1:2]` (`list_slice`), `['a']`
/// (`list_value`), and intervals (see [`add_interval`](crate::calls::add_interval)). The operators `||` and `&&` are
/// functions of these names.
///
/// # Errors
///
/// If there is no such function, it takes other arguments, or a constant argument is wrong.
pub fn build_call(name: &str, arguments: Vec<ScalarExpr>) -> Result<ScalarExpr, ResolveError> {
    let name = name.to_ascii_lowercase();
    let arguments = match special::build(&name, arguments) {
        Ok(result) => return result,
        Err(arguments) => arguments,
    };
    let given: Vec<GivenArgument<'_>> = arguments.iter().map(GivenArgument::of).collect();
    let call = resolve_given(&name, &given)?;
    let spec = call.function.spec();
    let arguments = arguments.into_iter().zip(call.arguments).enumerate();
    let arguments = arguments
        .map(|(index, (argument, ty))| match spec.parameter(index) {
            Some(ParameterType::Unit) => canonical_unit(argument),
            _ => coerce(argument, ty),
        })
        .collect();
    Ok(ScalarExpr { kind: ExprKind::Call(call.function, arguments), ty: call.ty })
}

/// Functions know units by one name only.
fn canonical_unit(argument: ScalarExpr) -> ScalarExpr {
    match GivenArgument::of(&argument).constant.and_then(TimeUnit::find) {
        Some((name, _)) => ScalarExpr::literal(Datum::text(name)),
        None => argument,
    }
}

/// What is known of an argument.
struct GivenArgument<'a> {
    ty: SqlType,
    /// The text, if it is a constant one.
    constant: Option<&'a str>,
}

impl<'a> GivenArgument<'a> {
    fn of(expr: &'a ScalarExpr) -> GivenArgument<'a> {
        let constant = match &expr.kind {
            ExprKind::Literal(Datum::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        GivenArgument { ty: expr.ty, constant }
    }

    fn is_moment_text(&self) -> bool {
        self.constant.is_some_and(|text| cast::parse_moment(text).is_some())
    }
}

/// Why an entry of the catalog does not take the arguments.
enum ArgumentMismatch {
    Count,
    Type {
        argument: usize,
        wanted: ParameterType,
    },
    /// A constant is wrong: what is wrong with it.
    Constant {
        argument: usize,
        problem: String,
    },
}

fn resolve_given(name: &str, given: &[GivenArgument<'_>]) -> Result<FunctionCall, ResolveError> {
    let specs: Vec<&'static FunctionSpec> = all_functions().filter(|spec| spec.has_name(name)).collect();
    if specs.is_empty() {
        return Err(unknown_function(name));
    }
    let mut best: Option<(u32, FunctionCall)> = None;
    let mut mismatches = Vec::new();
    for spec in &specs {
        match match_arguments(spec, given) {
            Ok((cost, call)) if best.as_ref().is_none_or(|(least, _)| cost < *least) => best = Some((cost, call)),
            Ok(_) => {}
            Err(mismatch) => mismatches.push(mismatch),
        }
    }
    best.map(|(_, call)| call).ok_or_else(|| explain_mismatch(name, &specs, mismatches, given))
}

fn unknown_function(name: &str) -> ResolveError {
    if let Some(reason) = unsupported::reason(name) {
        return ResolveError::new(reason);
    }
    let names = all_functions().flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases));
    let names = names.copied().chain(special::special_names());
    let nearest = names.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    match nearest.filter(|known| strsim::damerau_levenshtein(known, name) <= name.len().div_ceil(3).min(3)) {
        Some(nearest) => ResolveError::new(format!("there is no function `{name}`; did you mean `{nearest}`?")),
        None => ResolveError::new(format!("there is no function `{name}`")),
    }
}

/// How well arguments fit: the sum of the costs of their conversions.
fn match_arguments(
    spec: &'static FunctionSpec,
    given: &[GivenArgument<'_>],
) -> Result<(u32, FunctionCall), ArgumentMismatch> {
    if !spec.takes_count(given.len()) {
        return Err(ArgumentMismatch::Count);
    }
    let alike = [ParameterType::Number, ParameterType::AnyAlike, ParameterType::AnyList]
        .map(|parameter| common_type_of(spec, given, parameter));
    let [number, any, list] = alike;
    let (number, any, list) = (number?, any?, list?);
    let (mut cost, mut types) = (0, Vec::with_capacity(given.len()));
    for (index, one) in given.iter().enumerate() {
        let Some(parameter) = spec.parameter(index) else { return Err(ArgumentMismatch::Count) };
        let wanted = match parameter {
            ParameterType::Exactly(ty) => ty,
            ParameterType::Number => {
                if number == SqlType::Null {
                    SqlType::Double
                } else {
                    number
                }
            }
            ParameterType::AnyAlike => list_element_type(spec, any),
            ParameterType::AnyList => {
                if list == SqlType::Null {
                    SqlType::Texts
                } else {
                    list
                }
            }
            ParameterType::Element => list.element().unwrap_or(SqlType::Text),
            _ => SqlType::Text,
        };
        cost += conversion_cost(index, one, parameter, wanted)?;
        check_constant(index, one, parameter)?;
        types.push(wanted);
    }
    let ty = result_type(spec, &types);
    Ok((cost, FunctionCall { function: ScalarFunction(spec), arguments: types, ty }))
}

/// Lists have elements of two types.
fn list_element_type(spec: &FunctionSpec, ty: SqlType) -> SqlType {
    match (spec.result, ty) {
        (ResultType::ListOfFirst, SqlType::Long) => SqlType::Double,
        (ResultType::ListOfFirst, SqlType::Null) => SqlType::Text,
        (_, ty) => ty,
    }
}

fn result_type(spec: &FunctionSpec, types: &[SqlType]) -> SqlType {
    let argument = |index: usize| types.get(index).copied().unwrap_or(SqlType::Null);
    match spec.result {
        ResultType::Always(ty) => ty,
        ResultType::LikeArgument(index) => argument(index),
        ResultType::ElementOfFirst => argument(0).element().unwrap_or(SqlType::Null),
        ResultType::ListOfFirst if argument(0) == SqlType::Double => SqlType::Doubles,
        ResultType::ListOfFirst => SqlType::Texts,
    }
}

/// The type that all arguments of one kind of parameter get.
fn common_type_of(
    spec: &FunctionSpec,
    given: &[GivenArgument<'_>],
    wanted: ParameterType,
) -> Result<SqlType, ArgumentMismatch> {
    let has_moment = given.iter().any(|one| one.ty == SqlType::Time);
    let mut ty = SqlType::Null;
    for (index, one) in given.iter().enumerate() {
        if spec.parameter(index) != Some(wanted) {
            continue;
        }
        let own = if has_moment && one.is_moment_text() { SqlType::Time } else { one.ty };
        let fits = match wanted {
            ParameterType::Number => own.is_number() || own == SqlType::Null,
            ParameterType::AnyList => own.element().is_some() || own == SqlType::Null,
            _ => {
                spec.result != ResultType::ListOfFirst
                    || matches!(own, SqlType::Null | SqlType::Text | SqlType::Long | SqlType::Double)
            }
        };
        let common = if fits { common_type(ty, own) } else { None };
        ty = common.ok_or(ArgumentMismatch::Type { argument: index, wanted })?;
    }
    Ok(ty)
}

fn conversion_cost(
    index: usize,
    given: &GivenArgument<'_>,
    parameter: ParameterType,
    wanted: SqlType,
) -> Result<u32, ArgumentMismatch> {
    match (given.ty, wanted) {
        (own, wanted) if own == wanted => Ok(0),
        (SqlType::Null, _) => Ok(0),
        (SqlType::Long, SqlType::Double) => Ok(1),
        (SqlType::Text, SqlType::Time) if given.is_moment_text() => Ok(2),
        (SqlType::Text, SqlType::Time) if given.constant.is_some() => {
            let problem =
                format!("'{}' is no timestamp such as '2024-03-10 14:30:00'", given.constant.unwrap_or_default());
            Err(ArgumentMismatch::Constant { argument: index, problem })
        }
        (own, SqlType::Text) if parameter == ParameterType::AnyAsText && can_cast(own, SqlType::Text) => Ok(2),
        _ => Err(ArgumentMismatch::Type { argument: index, wanted: parameter }),
    }
}

fn check_constant(index: usize, given: &GivenArgument<'_>, parameter: ParameterType) -> Result<(), ArgumentMismatch> {
    let checked = match (parameter, given.constant) {
        (ParameterType::Unit, Some(text)) => match TimeUnit::find(text) {
            Some(_) => Ok(()),
            None => Err(format!(
                "there is no unit '{text}'; units are {}",
                TimeUnit::names().collect::<Vec<_>>().join(", ")
            )),
        },
        (ParameterType::Unit, None) => return Err(ArgumentMismatch::Type { argument: index, wanted: parameter }),
        (ParameterType::Regex, Some(text)) => patterns::check_regex(text),
        (ParameterType::RegexFlags, Some(text)) => patterns::check_flags(text),
        (ParameterType::PercentFormat, Some(text)) => time_format::check_percent_format(text),
        (ParameterType::LetterFormat, Some(text)) => time_format::check_letter_format(text),
        _ => Ok(()),
    };
    checked.map_err(|problem| ArgumentMismatch::Constant { argument: index, problem })
}

fn explain_mismatch(
    name: &str,
    specs: &[&FunctionSpec],
    mut mismatches: Vec<ArgumentMismatch>,
    given: &[GivenArgument<'_>],
) -> ResolveError {
    let signatures: Vec<String> = specs.iter().map(|spec| spec.signature_as(name)).collect();
    let signatures = signatures.join(" or ");
    mismatches.retain(|mismatch| !matches!(mismatch, ArgumentMismatch::Count));
    let constant = mismatches.iter().position(|mismatch| matches!(mismatch, ArgumentMismatch::Constant { .. }));
    match (constant.map(|index| mismatches.swap_remove(index)), mismatches.as_slice()) {
        (Some(ArgumentMismatch::Constant { argument, problem }), _) => ResolveError::of_argument(argument, problem),
        (_, [ArgumentMismatch::Type { argument, wanted }]) => explain_type(name, *argument, *wanted, given),
        (_, [ArgumentMismatch::Type { argument, .. }, ..]) => {
            let found = given.get(*argument).map_or(SqlType::Null, |one| one.ty);
            ResolveError::of_argument(
                *argument,
                format!("{ARGUMENT_MARK} is {found}, and the function is {signatures}"),
            )
        }
        _ => {
            let count = given.len();
            let plural = if count == 1 { "" } else { "s" };
            ResolveError::new(format!("{name} does not take {count} argument{plural}: it is {signatures}"))
        }
    }
}

/// The type's name in SQL.
fn cast_name(ty: SqlType) -> &'static str {
    match ty {
        SqlType::Texts => "text[]",
        SqlType::Doubles => "double[]",
        ty => ty.name(),
    }
}

fn explain_type(name: &str, argument: usize, wanted: ParameterType, given: &[GivenArgument<'_>]) -> ResolveError {
    let found = given.get(argument).map_or(SqlType::Null, |one| one.ty);
    let takes = match (argument, given.len()) {
        (0, 1) => format!("{name} takes {}", wanted.description()),
        _ => format!("{name} takes {} as {} argument", wanted.description(), ordinal(argument)),
    };
    let hint = match wanted {
        ParameterType::Exactly(ty) if can_cast(found, ty) => {
            format!("; cast({ARGUMENT_MARK} AS {}) converts it", cast_name(ty))
        }
        ParameterType::Number if found == SqlType::Text => {
            format!("; cast({ARGUMENT_MARK} AS double) converts it")
        }
        ParameterType::AnyAlike => ": all must have one type".to_owned(),
        _ => String::new(),
    };
    ResolveError::of_argument(argument, format!("{takes}, and {ARGUMENT_MARK} is {found}{hint}"))
}
