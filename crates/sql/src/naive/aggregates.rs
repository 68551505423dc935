//! Aggregates: the values of each group are collected, and the result is computed from the whole list.

use std::collections::{BTreeMap, BTreeSet};

use super::exact::ExactNumber;
use super::{eval_all, extend_row, ordering};
use crate::datum::{Datum, Row, SqlType};
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::functions::{FunctionResult, NoResult};
use crate::plan::{AggregateCall, AggregateFunction, PairFunction};

/// One row for each group of rows with equal keys: the keys, then the aggregates.
pub(super) fn group_rows(
    rows: &[Row],
    keys: &[ScalarExpr],
    calls: &[AggregateCall],
    faults: &FaultCounter,
) -> Vec<Row> {
    let mut groups: BTreeMap<Row, Vec<&Row>> = BTreeMap::new();
    if keys.is_empty() {
        // The one group exists also if no row does.
        groups.insert(Row::default(), Vec::new());
    }
    for row in rows {
        groups.entry(eval_all(keys, row, faults)).or_default().push(row);
    }
    let with_aggregates = |(key, rows): (Row, Vec<&Row>)| {
        let results: Vec<Datum> = calls.iter().map(|call| aggregate_rows(call, &rows, faults)).collect();
        extend_row(&key, &results)
    };
    groups.into_iter().map(with_aggregates).collect()
}

/// The result of an aggregate over rows.
pub(super) fn aggregate_rows(call: &AggregateCall, rows: &[&Row], faults: &FaultCounter) -> Datum {
    let inputs = counted_inputs(call, rows, faults);
    if let AggregateFunction::CountRows | AggregateFunction::Count = call.function {
        return Datum::Long(i64::try_from(inputs.len()).unwrap_or(i64::MAX));
    }
    if inputs.is_empty() {
        return Datum::Null;
    }
    faults.value_of(compute_aggregate(call, &inputs))
}

/// The arguments of the rows that count, in the order of the aggregate.
fn counted_inputs(call: &AggregateCall, rows: &[&Row], faults: &FaultCounter) -> Vec<Row> {
    // Null in these arguments means that a row does not count.
    let needed: &[usize] = match call.function {
        AggregateFunction::CountRows => &[],
        AggregateFunction::ArgMax | AggregateFunction::ArgMin => &[1],
        AggregateFunction::OfPairs(_) => &[0, 1],
        _ => &[0],
    };
    let passes = |row: &Row| call.filter.as_ref().is_none_or(|filter| filter.eval(row, faults).is_true());
    let mut inputs = Vec::new();
    for row in rows.iter().filter(|row| passes(row)) {
        let arguments = eval_all(&call.arguments, row, faults);
        if needed.iter().all(|needed| !arguments[*needed].is_null()) {
            inputs.push((ordering::key_values(&call.order, row, faults), arguments));
        }
    }
    inputs.sort_by(|(one_keys, one), (other_keys, other)| {
        ordering::compare_keys(&call.order, one_keys, other_keys).then_with(|| one.cmp(other))
    });
    let mut seen = BTreeSet::new();
    let arguments = inputs.into_iter().map(|(_, arguments)| arguments);
    arguments.filter(|arguments| !call.distinct || seen.insert(arguments.clone())).collect()
}

/// The result over the arguments of the rows that count: at least one.
fn compute_aggregate(call: &AggregateCall, inputs: &[Row]) -> FunctionResult {
    let mut values: Vec<Datum> = inputs.iter().filter_map(|input| input.first()).cloned().collect();
    values.sort();
    let extreme = |value: Option<&Datum>| value.cloned().unwrap_or(Datum::Null);
    Ok(match call.function {
        AggregateFunction::CountRows | AggregateFunction::Count => Datum::Null,
        AggregateFunction::Sum if call.ty == SqlType::Long => sum_longs(&values)?,
        AggregateFunction::Sum => double_datum(exact_sum(&values).rounded())?,
        AggregateFunction::Avg => double_datum(exact_sum(&values).rounded_over(&ExactNumber::of_count(values.len())))?,
        AggregateFunction::Min => extreme(values.first()),
        AggregateFunction::Max => extreme(values.last()),
        AggregateFunction::PercentileCont => interpolated_value(&values, share_of(inputs))?,
        AggregateFunction::PercentileDisc => {
            let place = (share_of(inputs) * values.len() as f64).ceil() as usize;
            extreme(values.get(place.saturating_sub(1)))
        }
        AggregateFunction::Mode => most_frequent(&values),
        AggregateFunction::StddevSample => deviation(&values, 1)?,
        AggregateFunction::StddevPopulation => deviation(&values, 0)?,
        AggregateFunction::VarianceSample => variance(&values, 1).map_or(Ok(Datum::Null), double_datum)?,
        AggregateFunction::VariancePopulation => variance(&values, 0).map_or(Ok(Datum::Null), double_datum)?,
        AggregateFunction::BoolAnd => Datum::Bool(values.iter().all(Datum::is_true)),
        AggregateFunction::BoolOr => Datum::Bool(values.iter().any(Datum::is_true)),
        AggregateFunction::StringAgg => join_texts(inputs),
        AggregateFunction::ArgMax => arg_extreme(inputs, inputs.iter().map(|input| &input[1]).max()),
        AggregateFunction::ArgMin => arg_extreme(inputs, inputs.iter().map(|input| &input[1]).min()),
        AggregateFunction::OfPairs(function) => pair_result(function, inputs)?,
    })
}

fn double_datum(value: Option<f64>) -> FunctionResult {
    value.and_then(Datum::double).ok_or(NoResult)
}

fn sum_longs(values: &[Datum]) -> FunctionResult {
    let longs = values.iter().map(|value| if let Datum::Long(value) = value { i128::from(*value) } else { 0 });
    i64::try_from(longs.sum::<i128>()).map(Datum::Long).map_err(|_| NoResult)
}

fn exact_sum(values: &[Datum]) -> ExactNumber {
    values.iter().fold(ExactNumber::ZERO, |sum, value| sum.plus(&ExactNumber::of_datum(value)))
}

/// The variance: `None` for too few values, `Some(None)` if it is too great. `fewer` is 1 for that of a sample.
fn variance(values: &[Datum], fewer: usize) -> Option<Option<f64>> {
    let count = values.len();
    if count <= fewer {
        return None;
    }
    let sum = exact_sum(values);
    let squares = values.iter().map(ExactNumber::of_datum).map(|value| value.times(&value));
    let squares = squares.fold(ExactNumber::ZERO, |sum, square| sum.plus(&square));
    let (count, divisor) = (ExactNumber::of_count(count), ExactNumber::of_count(count - fewer));
    Some(count.times(&squares).minus(&sum.times(&sum)).rounded_over(&count.times(&divisor)))
}

fn total(values: impl Iterator<Item = ExactNumber>) -> ExactNumber {
    values.fold(ExactNumber::ZERO, |sum, value| sum.plus(&value))
}

/// An aggregate of pairs `(y, x)`, from deviations that are whole numbers of 1/n: `n·x − Σx`.
fn pair_result(function: PairFunction, inputs: &[Row]) -> FunctionResult {
    let count = ExactNumber::of_count(inputs.len());
    let values = |index: usize| inputs.iter().map(move |input| ExactNumber::of_datum(&input[index]));
    let (sum_x, sum_y) = (total(values(1)), total(values(0)));
    let deviation = |value: ExactNumber, sum: &ExactNumber| count.times(&value).minus(sum);
    let deviations: Vec<(ExactNumber, ExactNumber)> =
        values(1).zip(values(0)).map(|(x, y)| (deviation(x, &sum_x), deviation(y, &sum_y))).collect();
    // All are n² times the sums of products of deviations from the means.
    let both = total(deviations.iter().map(|(x, y)| x.times(y)));
    let of_x = total(deviations.iter().map(|(x, _)| x.times(x)));
    let of_y = total(deviations.iter().map(|(_, y)| y.times(y)));
    let squared_count = count.times(&count);
    let determination = || both.times(&both).rounded_over(&of_x.times(&of_y));
    let result = match function {
        PairFunction::CovariancePopulation => both.rounded_over(&squared_count.times(&count)),
        PairFunction::CovarianceSample if inputs.len() < 2 => return Ok(Datum::Null),
        PairFunction::CovarianceSample => {
            both.rounded_over(&squared_count.times(&ExactNumber::of_count(inputs.len() - 1)))
        }
        PairFunction::SpreadOfX => of_x.rounded_over(&squared_count),
        PairFunction::SpreadOfY => of_y.rounded_over(&squared_count),
        PairFunction::SpreadOfBoth => both.rounded_over(&squared_count),
        _ if of_x.is_zero() => return Ok(Datum::Null),
        PairFunction::Correlation if of_y.is_zero() => return Ok(Datum::Null),
        PairFunction::Correlation => determination().map(|share| share.sqrt() * both.sign()),
        PairFunction::Slope => both.rounded_over(&of_x),
        // (Σy − slope·Σx) / n, with the slope as the fraction that it is.
        PairFunction::Intercept => sum_y.times(&of_x).minus(&sum_x.times(&both)).rounded_over(&count.times(&of_x)),
        PairFunction::Determination if of_y.is_zero() => Some(1.0),
        PairFunction::Determination => determination(),
    };
    double_datum(result)
}

fn deviation(values: &[Datum], fewer: usize) -> FunctionResult {
    variance(values, fewer).map_or(Ok(Datum::Null), |variance| double_datum(variance.map(f64::sqrt)))
}

/// The most frequent of sorted values, the least of those equally frequent.
fn most_frequent(values: &[Datum]) -> Datum {
    let mut runs: Vec<&[Datum]> = values.chunk_by(|one, other| one == other).collect();
    // The sort is stable: of equally long runs the first one stays first.
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    runs.first().and_then(|run| run.first()).cloned().unwrap_or(Datum::Null)
}

/// `arg_max` and `arg_min`: the inputs are pairs of a result and of what is compared.
fn arg_extreme(inputs: &[Row], extreme: Option<&Datum>) -> Datum {
    let results = inputs.iter().filter(|input| Some(&input[1]) == extreme).map(|input| &input[0]);
    // Null is the greatest value, so it is the result only if there is no other.
    results.min().cloned().unwrap_or(Datum::Null)
}

/// `string_agg`: the inputs are pairs of a text and the separator.
fn join_texts(inputs: &[Row]) -> Datum {
    let mut joined = String::new();
    for (index, input) in inputs.iter().enumerate() {
        if let (true, Datum::Text(separator)) = (index > 0, &input[1]) {
            joined.push_str(separator);
        }
        if let Datum::Text(text) = &input[0] {
            joined.push_str(text);
        }
    }
    Datum::text(&joined)
}

/// The share of a percentile: its second argument, a constant.
fn share_of(inputs: &[Row]) -> f64 {
    match inputs.first().and_then(|input| input.get(1)) {
        Some(Datum::Double(share)) => *share,
        _ => 0.0,
    }
}

/// `percentile_cont` of sorted values.
fn interpolated_value(values: &[Datum], share: f64) -> FunctionResult {
    let place = share * (values.len() - 1) as f64;
    let (below, fraction) = (place.floor() as usize, place.fract());
    match (&values[below], values.get(below + 1)) {
        (Datum::Double(value), Some(Datum::Double(next))) if fraction > 0.0 => {
            double_datum(Some(value + (next - value) * fraction))
        }
        (value, _) => Ok(value.clone()),
    }
}
