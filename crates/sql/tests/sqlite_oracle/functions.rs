//! Functions and aggregates that SQLite lacks, or has otherwise.
//!
//! They are written a second time here, with other methods than those of the crate where there are any. Doubles must be
//! fractions of small powers of two: then whole numbers of 128 bits hold sums of their squares exactly.

use std::cmp::Ordering;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::Value;

/// Registers all of them.
pub(super) fn register_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    // SQLite's own change only ASCII letters.
    let text = |change: fn(&str) -> String| {
        move |context: &Context<'_>| Ok(context.get::<Option<String>>(0)?.map(|text| change(&text)))
    };
    connection.create_scalar_function("lower", 1, flags, text(str::to_lowercase))?;
    connection.create_scalar_function("upper", 1, flags, text(str::to_uppercase))?;
    connection.create_scalar_function("year", 1, flags, |context| Ok(context.get::<Option<i64>>(0)?.map(utc_year)))?;
    let aggregates: [(&str, i32, ComputeResult); 21] = [
        ("median", 1, |rows| percentile_cont(rows, 0.5)),
        ("percentile_cont", 2, |rows| percentile_cont(rows, second_double(rows))),
        ("percentile_disc", 2, |rows| percentile_disc(rows, second_double(rows))),
        ("mode", 1, most_frequent),
        ("stddev_samp", 1, |rows| square_root(exact_variance(rows, 1))),
        ("stddev_pop", 1, |rows| square_root(exact_variance(rows, 0))),
        ("var_samp", 1, |rows| exact_variance(rows, 1)),
        ("var_pop", 1, |rows| exact_variance(rows, 0)),
        ("arg_max", 2, |rows| arg_extreme(rows, Ordering::Greater)),
        ("arg_min", 2, |rows| arg_extreme(rows, Ordering::Less)),
        ("bool_and", 1, |rows| fold_bools(rows, true)),
        ("bool_or", 1, |rows| fold_bools(rows, false)),
        ("covar_pop", 2, |rows| covariance(rows, 0)),
        ("covar_samp", 2, |rows| covariance(rows, 1)),
        ("corr", 2, correlation),
        ("regr_slope", 2, |rows| spreads(rows).map_or(Value::Null, |of| quotient(of.both, of.x))),
        ("regr_r2", 2, determination),
        ("regr_intercept", 2, intercept),
        ("regr_sxx", 2, |rows| deviations(rows, |of| of.x)),
        ("regr_syy", 2, |rows| deviations(rows, |of| of.y)),
        ("regr_sxy", 2, |rows| deviations(rows, |of| of.both)),
    ];
    for (name, arguments, compute) in aggregates {
        connection.create_aggregate_function(name, arguments, flags, CollectedRows(compute))?;
    }
    Ok(())
}

/// The result of an aggregate over the arguments of all rows.
type ComputeResult = fn(&[Vec<Value>]) -> Value;

/// An aggregate that collects its arguments and computes the result at the end.
struct CollectedRows(ComputeResult);

impl Aggregate<Vec<Vec<Value>>, Value> for CollectedRows {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Vec<Vec<Value>>> {
        Ok(Vec::new())
    }

    fn step(&self, context: &mut Context<'_>, rows: &mut Vec<Vec<Value>>) -> rusqlite::Result<()> {
        rows.push((0..context.len()).map(|index| context.get(index)).collect::<rusqlite::Result<_>>()?);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, rows: Option<Vec<Vec<Value>>>) -> rusqlite::Result<Value> {
        Ok((self.0)(&rows.unwrap_or_default()))
    }
}

fn compare_values(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        _ => as_double(one).total_cmp(&as_double(other)),
    }
}

fn as_double(value: &Value) -> f64 {
    match value {
        Value::Integer(value) => *value as f64,
        Value::Real(value) => *value,
        _ => f64::NAN,
    }
}

fn second_double(rows: &[Vec<Value>]) -> f64 {
    rows.first().map_or(0.0, |row| as_double(&row[1]))
}

/// The first arguments that are not null, sorted.
fn known_values(rows: &[Vec<Value>]) -> Vec<Value> {
    let mut values: Vec<Value> = rows.iter().map(|row| row[0].clone()).filter(|value| *value != Value::Null).collect();
    values.sort_by(compare_values);
    values
}

fn percentile_cont(rows: &[Vec<Value>], share: f64) -> Value {
    let values = known_values(rows);
    if values.is_empty() {
        return Value::Null;
    }
    let place = share * (values.len() - 1) as f64;
    let [below, above] = [place.floor(), place.ceil()].map(|place| as_double(&values[place as usize]));
    Value::Real(below + (above - below) * (place - place.floor()))
}

fn percentile_disc(rows: &[Vec<Value>], share: f64) -> Value {
    let values = known_values(rows);
    let enough = |&index: &usize| (index + 1) as f64 / values.len() as f64 >= share;
    (0..values.len()).find(enough).map_or(Value::Null, |index| values[index].clone())
}

fn most_frequent(rows: &[Vec<Value>]) -> Value {
    let values = known_values(rows);
    let frequency = |value: &Value| values.iter().filter(|other| compare_values(value, other).is_eq()).count();
    let greatest = values.iter().map(frequency).max();
    values.iter().find(|value| Some(frequency(value)) == greatest).cloned().unwrap_or(Value::Null)
}

/// The value times 2^10, which is whole.
fn scaled_value(value: &Value) -> i128 {
    let scaled = as_double(value) * 1024.0;
    assert_eq!(scaled.fract(), 0.0, "{value:?} is too fine for an exact sum");
    scaled as i128
}

/// `Σ(x − mean)²`, with everything multiplied by the count so that it stays whole.
fn exact_variance(rows: &[Vec<Value>], fewer: usize) -> Value {
    let values: Vec<i128> = known_values(rows).iter().map(scaled_value).collect();
    if values.len() <= fewer {
        return Value::Null;
    }
    let (count, sum) = (values.len() as i128, values.iter().sum::<i128>());
    let squares: i128 = values.iter().map(|value| (value * count - sum) * (value * count - sum)).sum();
    let divisor = count * count * (count - fewer as i128) * 1024 * 1024;
    // Small enough that both are doubles, so that only the division rounds.
    let common = greatest_divisor(squares, divisor);
    Value::Real((squares / common) as f64 / (divisor / common) as f64)
}

/// The products of deviations from the means, of pairs `(y, x)`: times the number of pairs, and in units of 2^-20.
struct PairSpreads {
    count: i128,
    both: i128,
    x: i128,
    y: i128,
    sum_x: i128,
    sum_y: i128,
}

/// `None` for no pairs without a null, and for pairs that all have the same `x`.
fn spreads(rows: &[Vec<Value>]) -> Option<PairSpreads> {
    pair_spreads(rows).filter(|spreads| spreads.x != 0)
}

fn pair_spreads(rows: &[Vec<Value>]) -> Option<PairSpreads> {
    let known = rows.iter().filter(|row| row[0] != Value::Null && row[1] != Value::Null);
    let pairs: Vec<(i128, i128)> = known.map(|row| (scaled_value(&row[0]), scaled_value(&row[1]))).collect();
    let count = pairs.len() as i128;
    let (sum_y, sum_x) = pairs.iter().fold((0, 0), |(all_y, all_x), (y, x)| (all_y + y, all_x + x));
    let sum = |product: fn(i128, i128) -> i128| pairs.iter().map(|(y, x)| product(*y, *x)).sum::<i128>() * count;
    let both = sum(|y, x| y * x) - sum_x * sum_y;
    let (x, y) = (sum(|_, x| x * x) - sum_x * sum_x, sum(|y, _| y * y) - sum_y * sum_y);
    (count > 0).then_some(PairSpreads { count, both, x, y, sum_x, sum_y })
}

/// Small enough that both are doubles, so that only the division rounds.
fn quotient(number: i128, divisor: i128) -> Value {
    let common = greatest_divisor(number.abs(), divisor);
    Value::Real((number / common) as f64 / (divisor / common) as f64)
}

fn covariance(rows: &[Vec<Value>], fewer: i128) -> Value {
    match pair_spreads(rows) {
        Some(of) if of.count > fewer => quotient(of.both, of.count * (of.count - fewer) * 1024 * 1024),
        _ => Value::Null,
    }
}

fn deviations(rows: &[Vec<Value>], sum: fn(&PairSpreads) -> i128) -> Value {
    pair_spreads(rows).map_or(Value::Null, |of| quotient(sum(&of), of.count * 1024 * 1024))
}

fn determination(rows: &[Vec<Value>]) -> Value {
    match spreads(rows) {
        None => Value::Null,
        Some(of) if of.y == 0 => Value::Real(1.0),
        Some(of) => Value::Real((of.both as f64 / of.x as f64) * (of.both as f64 / of.y as f64)),
    }
}

fn correlation(rows: &[Vec<Value>]) -> Value {
    match spreads(rows) {
        Some(of) if of.y != 0 => Value::Real(of.both as f64 / ((of.x as f64).sqrt() * (of.y as f64).sqrt())),
        _ => Value::Null,
    }
}

fn intercept(rows: &[Vec<Value>]) -> Value {
    spreads(rows).map_or(Value::Null, |of| quotient(of.sum_y * of.x - of.sum_x * of.both, of.count * of.x * 1024))
}

fn greatest_divisor(one: i128, other: i128) -> i128 {
    if other == 0 { one } else { greatest_divisor(other, one % other) }
}

fn square_root(value: Value) -> Value {
    if value == Value::Null { value } else { Value::Real(as_double(&value).sqrt()) }
}

fn arg_extreme(rows: &[Vec<Value>], better: Ordering) -> Value {
    let known = |row: &&Vec<Value>| row[1] != Value::Null;
    let mut best: Vec<&Vec<Value>> = Vec::new();
    for row in rows.iter().filter(known) {
        match best.first().map(|first| compare_values(&row[1], &first[1])) {
            Some(Ordering::Equal) => best.push(row),
            Some(ordering) if ordering != better => {}
            _ => best = vec![row],
        }
    }
    best.into_iter().map(|row| row[0].clone()).min_by(compare_values).unwrap_or(Value::Null)
}

fn fold_bools(rows: &[Vec<Value>], all: bool) -> Value {
    let values = known_values(rows);
    let is_true = |value: &Value| *value == Value::Integer(1);
    match values.is_empty() {
        true => Value::Null,
        false if all => Value::Integer(i64::from(values.iter().all(is_true))),
        false => Value::Integer(i64::from(values.iter().any(is_true))),
    }
}

/// The UTC year of a moment in microseconds since 1970, by counting days.
fn utc_year(moment: i64) -> i64 {
    let days_of = |year: i64| if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 };
    let (mut year, mut day) = (1970, moment.div_euclid(86_400_000_000));
    while day < 0 {
        year -= 1;
        day += days_of(year);
    }
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    year
}
