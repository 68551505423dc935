//! All functions over values at the edges of their types.

use std::borrow::Cow;

use super::*;
use crate::datum::SqlType;

const LONGS: [i64; 8] = [0, 1, -1, 7, -25, 5_000_000_000, i64::MIN, i64::MAX];
const DOUBLES: [f64; 7] = [0.0, -1.5, 2.5, 5e-324, 1e308, -1e308, 9_007_199_254_740_993.0];
const MOMENTS: [i64; 7] =
    [0, -1, 1_709_251_199_999_999, -62_167_219_200_000_000, 253_402_214_400_000_000, i64::MIN, i64::MAX];
const TEXTS: [&str; 8] = ["", "a", "äöü", "a,b,,c", "%Y-%m", "yyyy 'o''clock'", "(", "[a-z]+"];

fn list(values: impl IntoIterator<Item = Datum>) -> Datum {
    Datum::List(values.into_iter().collect())
}

fn values_of(ty: SqlType) -> Vec<Datum> {
    let double = |value: &f64| Datum::double(*value).expect("finite");
    match ty {
        SqlType::Null => vec![Datum::Null],
        SqlType::Bool => vec![Datum::Bool(false), Datum::Bool(true)],
        SqlType::Long => LONGS.map(Datum::Long).to_vec(),
        SqlType::Double => DOUBLES.iter().map(double).collect(),
        SqlType::Text => TEXTS.map(Datum::text).to_vec(),
        SqlType::Time => MOMENTS.map(Datum::Time).to_vec(),
        SqlType::Texts => vec![list([]), list([Datum::text("b"), Datum::Null, Datum::text("a")])],
        SqlType::Doubles => vec![list([]), list(DOUBLES.iter().map(double)), list([Datum::Null])],
    }
}

/// The types that a parameter takes, in the order of one choice for all parameters.
fn types_of(parameter: ParameterType) -> &'static [SqlType] {
    match parameter {
        ParameterType::Exactly(SqlType::Long) => &[SqlType::Long],
        ParameterType::Exactly(SqlType::Double) => &[SqlType::Double],
        ParameterType::Exactly(SqlType::Time) => &[SqlType::Time],
        ParameterType::Exactly(SqlType::Doubles) => &[SqlType::Doubles],
        ParameterType::Number => &[SqlType::Long, SqlType::Double],
        ParameterType::AnyAlike => &[SqlType::Text, SqlType::Double],
        ParameterType::AnyList => &[SqlType::Texts, SqlType::Doubles],
        ParameterType::Element => &[SqlType::Text, SqlType::Double],
        _ => &[SqlType::Text],
    }
}

fn argument_values(parameter: ParameterType, choice: usize) -> Vec<Datum> {
    let types = types_of(parameter);
    match parameter {
        ParameterType::Unit => calendar::TimeUnit::names().map(Datum::text).collect(),
        _ => values_of(types[choice % types.len()]),
    }
}

/// All combinations of arguments, or some thousands of them.
fn combinations(columns: &[Vec<Datum>]) -> Vec<Vec<Datum>> {
    let mut rows = vec![Vec::new()];
    for column in columns {
        let with = |row: &Vec<Datum>, value: &Datum| row.iter().chain([value]).cloned().collect();
        rows = rows
            .iter()
            .flat_map(|row| column.iter().map(move |value| with(row, value)))
            .step_by(1 + rows.len() / 500)
            .collect();
    }
    rows
}

fn is_of_type(value: &Datum, ty: SqlType) -> bool {
    match value {
        Datum::Null => true,
        Datum::List(all) => ty.element().is_some_and(|ty| all.iter().all(|one| is_of_type(one, ty))),
        Datum::Double(double) => {
            ty == SqlType::Double && double.is_finite() && !(*double == 0.0 && double.is_sign_negative())
        }
        value => value.sql_type() == ty,
    }
}

#[test]
fn no_function_panics_or_gives_another_type_at_the_edges() {
    let (mut calls, mut results) = (0, 0);
    let internal = [&catalog::ADD_INTERVAL, &catalog::TIME_BUCKET];
    for spec in all_functions().chain(internal) {
        for (count, choice) in (0..=spec.parameters.len() + 1).flat_map(|count| [(count, 0), (count, 1)]) {
            if !spec.takes_count(count) {
                continue;
            }
            let columns: Vec<Vec<Datum>> =
                (0..count).filter_map(|index| spec.parameter(index)).map(|it| argument_values(it, choice)).collect();
            let types: Vec<SqlType> = (0..count)
                .filter_map(|index| spec.parameter(index))
                .map(|it| types_of(it)[choice % types_of(it).len()])
                .collect();
            let ty = match spec.result {
                ResultType::Always(ty) => ty,
                ResultType::LikeArgument(index) => types[index],
                ResultType::ElementOfFirst => types[0].element().expect("a list"),
                ResultType::ListOfFirst if types.first() == Some(&SqlType::Double) => SqlType::Doubles,
                ResultType::ListOfFirst => SqlType::Texts,
            };
            for arguments in combinations(&columns) {
                let arguments: Vec<Cow<'_, Datum>> = arguments.iter().map(Cow::Borrowed).collect();
                calls += 1;
                let Ok(value) = ScalarFunction(spec).compute(&arguments) else { continue };
                results += 1;
                assert!(is_of_type(&value, ty), "{}({arguments:?}) is {value:?}, no {ty}", spec.name);
            }
        }
    }
    assert!(calls > 20_000 && results > calls / 3, "{results} results of {calls} calls");
}

#[test]
fn no_cast_panics_or_gives_another_type_at_the_edges() {
    let types = [
        SqlType::Null,
        SqlType::Bool,
        SqlType::Long,
        SqlType::Double,
        SqlType::Text,
        SqlType::Time,
        SqlType::Texts,
        SqlType::Doubles,
    ];
    for from in types {
        for to in types {
            for value in values_of(from) {
                let result = cast_value(&value, to);
                assert!(
                    result.as_ref().is_ok_and(|result| is_of_type(result, to)) || result == Err(NoResult),
                    "{value:?} as {to} is {result:?}"
                );
                let castable = can_cast(from, to) && to != SqlType::Null;
                assert!(castable || from == to || value.is_null() || result.is_err(), "{value:?} as {to}");
            }
        }
    }
}
