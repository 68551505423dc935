//! The results of aggregates, read from cells.

use compact_str::CompactString;

use super::aggregates::AggregateReader;
use super::big_uint::{BigUint, round_quotient};
use super::cells::CellState;
use super::exact_sum::{exact_variance, quotient_of_doubles};
use super::linear_cell::{LinearCell, MomentSums};
use super::pair_moments::ResultOverflow;
use super::sorted::SortValue;
use super::value_map::{CountedMap, ValueMap};
use crate::datum::Datum;
use crate::eval::FaultCounter;
use crate::functions::NoResult;
use crate::plan::AggregateFunction;

/// The result of an aggregate. A result that is too great for its type is null, and counted.
pub(super) fn read_cell(reader: &AggregateReader, cell: &CellState, faults: &FaultCounter) -> Datum {
    match cell {
        CellState::Linear(cell) => read_linear(reader.function, cell, faults),
        CellState::Values(values) => read_values(reader, values, faults),
        CellState::Texts(texts) => join_texts(texts, &reader.separator),
        CellState::Pairs(pairs) => match reader.function {
            AggregateFunction::ArgMax => value_of_greatest(pairs),
            _ => pairs.counts().first().map_or(Datum::Null, |(_, value)| value.clone()),
        },
        CellState::Distinct(cell) => read_cell(reader, &cell.inner, faults),
    }
}

fn read_linear(function: AggregateFunction, cell: &LinearCell, faults: &FaultCounter) -> Datum {
    if matches!(function, AggregateFunction::Count | AggregateFunction::CountRows) {
        return Datum::Long(cell.count());
    }
    match cell {
        _ if cell.count() <= 0 => Datum::Null,
        LinearCell::Count(count) => Datum::Long(*count),
        LinearCell::LongSum { count, high, low } => {
            let sum = i128::from(*high) << 64 | i128::from(*low);
            if function == AggregateFunction::Avg {
                return double_or_fault(average_of_longs(sum, count.unsigned_abs()), faults);
            }
            i64::try_from(sum).map_or_else(|_| fault(faults), Datum::Long)
        }
        LinearCell::DoubleSum { count, sum } => {
            let average = function == AggregateFunction::Avg;
            double_or_fault(if average { sum.divided_by(count.unsigned_abs()) } else { sum.to_double() }, faults)
        }
        LinearCell::Moments(moments) => read_variance(function, moments, faults),
        LinearCell::PairMoments(sums) => match function {
            AggregateFunction::OfPairs(function) => match sums.result(function) {
                Ok(result) => result.map_or(Datum::Null, |value| double_or_fault(Some(value), faults)),
                Err(ResultOverflow) => fault(faults),
            },
            _ => Datum::Null,
        },
        LinearCell::Truth { yes, no } => {
            Datum::Bool(if function == AggregateFunction::BoolAnd { *no == 0 } else { *yes > 0 })
        }
    }
}

fn average_of_longs(sum: i128, count: u64) -> Option<f64> {
    quotient_of_doubles(sum, 0, count).or_else(|| {
        let magnitude = BigUint::from_u128(sum.unsigned_abs());
        round_quotient(sum < 0, &magnitude, 0, &[count])
    })
}

fn read_variance(function: AggregateFunction, moments: &MomentSums, faults: &FaultCounter) -> Datum {
    use AggregateFunction as F;
    let count = moments.count.unsigned_abs();
    let divisor = if matches!(function, F::StddevSample | F::VarianceSample) { count - 1 } else { count };
    if divisor == 0 {
        return Datum::Null;
    }
    let variance = exact_variance(&moments.sum, &moments.squares, count, divisor);
    let root = matches!(function, F::StddevSample | F::StddevPopulation);
    double_or_fault(variance.map(|variance| if root { variance.sqrt() } else { variance }), faults)
}

fn read_values(reader: &AggregateReader, values: &ValueMap, faults: &FaultCounter) -> Datum {
    let cloned = |value: Option<&Datum>| value.cloned().unwrap_or(Datum::Null);
    match reader.function {
        AggregateFunction::Count if reader.distinct => Datum::Long(values.counts().len() as i64),
        AggregateFunction::Count => Datum::Long(values.total()),
        AggregateFunction::Min => cloned(values.counts().first()),
        AggregateFunction::Max => cloned(values.counts().last()),
        AggregateFunction::Mode => cloned(values.most_frequent()),
        _ => read_percentile(reader, values, faults),
    }
}

fn read_percentile(reader: &AggregateReader, values: &ValueMap, faults: &FaultCounter) -> Datum {
    let Some((cursor, point)) = reader.percentile.filter(|_| values.total() > 0) else { return Datum::Null };
    let (place, fraction) = point.place_among(values.total());
    match values.values_at(cursor, place) {
        Some((Datum::Double(lower), Some(Datum::Double(upper)))) if fraction > 0.0 => {
            double_or_fault(Some(lower + (upper - lower) * fraction), faults)
        }
        Some((value, _)) => value.clone(),
        None => Datum::Null,
    }
}

/// All texts in their order, repeated ones included.
fn join_texts(texts: &CountedMap<Box<[SortValue]>>, separator: &str) -> Datum {
    let mut joined = CompactString::default();
    let mut first = true;
    for (keys, count) in texts.counts().iter() {
        let Some(Datum::Text(text)) = keys.last().map(|key| &key.value) else { continue };
        for _ in 0..count {
            if !std::mem::take(&mut first) {
                joined.push_str(separator);
            }
            joined.push_str(text);
        }
    }
    if first { Datum::Null } else { Datum::Text(joined) }
}

/// The least `x` of the pairs with the greatest `y`. Null is the greatest `x`.
fn value_of_greatest(pairs: &CountedMap<(Datum, Datum)>) -> Datum {
    let Some((greatest, _)) = pairs.counts().last() else { return Datum::Null };
    // No value is smaller than false.
    let first = (greatest.clone(), Datum::Bool(false));
    pairs.counts().iter_from(&first).next().map_or(Datum::Null, |((_, value), _)| value.clone())
}

fn double_or_fault(value: Option<f64>, faults: &FaultCounter) -> Datum {
    value.and_then(Datum::double).unwrap_or_else(|| fault(faults))
}

fn fault(faults: &FaultCounter) -> Datum {
    faults.value_of(Err(NoResult))
}
