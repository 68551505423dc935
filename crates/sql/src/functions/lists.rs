//! Functions of lists. Positions are from 1, except for Spark's `get`.

use std::collections::BTreeSet;

use crate::datum::Datum;
use crate::functions::{CallArguments, FunctionResult, MAX_LIST_BYTES, NoResult};

/// The index of a position: from 1, or from the end by a negative one. `None` for 0, and outside the list.
fn index_of(list: &[Datum], position: i64) -> Option<usize> {
    let distance = usize::try_from(position.unsigned_abs()).ok()?;
    let index = if position > 0 { distance.checked_sub(1)? } else { list.len().checked_sub(distance)? };
    (index < list.len()).then_some(index)
}

fn element_or_null(list: &[Datum], index: Option<usize>) -> FunctionResult {
    Ok(index.and_then(|index| list.get(index)).cloned().unwrap_or(Datum::Null))
}

/// A list of these elements, unless it is too large.
pub(super) fn make(list: impl IntoIterator<Item = Datum>) -> FunctionResult {
    let mut bytes = 0;
    let counted = list.into_iter().map(|element| {
        bytes += element.allocated_bytes();
        (bytes <= MAX_LIST_BYTES).then_some(element).ok_or(NoResult)
    });
    counted.collect::<Result<Box<[Datum]>, NoResult>>().map(Datum::List)
}

pub(super) fn element(arguments: CallArguments<'_>) -> FunctionResult {
    let list = arguments.list(0)?;
    element_or_null(list, index_of(list, arguments.long(1)?))
}

/// Spark's: positions from 0.
pub(super) fn element_from_zero(arguments: CallArguments<'_>) -> FunctionResult {
    element_or_null(arguments.list(0)?, usize::try_from(arguments.long(1)?).ok())
}

pub(super) fn first(arguments: CallArguments<'_>) -> FunctionResult {
    element_or_null(arguments.list(0)?, Some(0))
}

pub(super) fn last(arguments: CallArguments<'_>) -> FunctionResult {
    let list = arguments.list(0)?;
    element_or_null(list, list.len().checked_sub(1))
}

pub(super) fn length(arguments: CallArguments<'_>) -> FunctionResult {
    i64::try_from(arguments.list(0)?.len()).map(Datum::Long).map_err(|_| NoResult)
}

pub(super) fn make_list(arguments: CallArguments<'_>) -> FunctionResult {
    make(arguments.all().cloned())
}

pub(super) fn contains(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Bool(arguments.list(0)?.contains(arguments.get(1)?)))
}

/// The position of the first such element, or 0.
pub(super) fn position(arguments: CallArguments<'_>) -> FunctionResult {
    let value = arguments.get(1)?;
    let index = arguments.list(0)?.iter().position(|element| element == value);
    Ok(Datum::Long(index.and_then(|index| i64::try_from(index + 1).ok()).unwrap_or(0)))
}

/// Each element once, in the order of its first place, without nulls.
pub(super) fn distinct(arguments: CallArguments<'_>) -> FunctionResult {
    let mut seen = BTreeSet::new();
    let list = arguments.list(0)?.iter().filter(|element| !element.is_null());
    make(list.filter(|element| seen.insert(*element)).cloned())
}

pub(super) fn distinct_count(arguments: CallArguments<'_>) -> FunctionResult {
    let distinct: BTreeSet<&Datum> = arguments.list(0)?.iter().filter(|element| !element.is_null()).collect();
    i64::try_from(distinct.len()).map(Datum::Long).map_err(|_| NoResult)
}

pub(super) fn sort(arguments: CallArguments<'_>) -> FunctionResult {
    let mut list = arguments.list(0)?.to_vec();
    list.sort();
    make(list)
}

pub(super) fn sort_descending(arguments: CallArguments<'_>) -> FunctionResult {
    let mut list = arguments.list(0)?.to_vec();
    // Nulls stay last.
    list.sort_by(|one, other| one.is_null().cmp(&other.is_null()).then_with(|| other.cmp(one)));
    make(list)
}

pub(super) fn reverse(arguments: CallArguments<'_>) -> FunctionResult {
    make(arguments.list(0)?.iter().rev().cloned())
}

pub(super) fn concat(arguments: CallArguments<'_>) -> FunctionResult {
    let lists = arguments.all().filter_map(|argument| match argument {
        Datum::List(list) => Some(list),
        _ => None,
    });
    make(lists.flatten().cloned())
}

/// From a position to another, both included, from 1 or from the end.
pub(super) fn slice(arguments: CallArguments<'_>) -> FunctionResult {
    let list = arguments.list(0)?;
    let length = i64::try_from(list.len()).map_err(|_| NoResult)?;
    let absolute = |position: i64| if position < 0 { position + length + 1 } else { position };
    let (start, end) = (absolute(arguments.long(1)?).max(1), absolute(arguments.long(2)?).min(length));
    if start > end {
        return make([]);
    }
    let (start, end) = (usize::try_from(start - 1), usize::try_from(end));
    let part = start.ok().zip(end.ok()).and_then(|(start, end)| list.get(start..end));
    make(part.unwrap_or_default().iter().cloned())
}

fn elements_of(arguments: CallArguments<'_>, index: usize) -> Result<BTreeSet<&Datum>, NoResult> {
    Ok(arguments.list(index)?.iter().filter(|element| !element.is_null()).collect())
}

pub(super) fn has_any(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Bool(!elements_of(arguments, 0)?.is_disjoint(&elements_of(arguments, 1)?)))
}

pub(super) fn has_all(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Bool(elements_of(arguments, 1)?.is_subset(&elements_of(arguments, 0)?)))
}

/// Elements of the first list that are, or are not, in the second one: each once, in the order of the first list.
fn compare_lists(arguments: CallArguments<'_>, wanted: bool) -> FunctionResult {
    let other: BTreeSet<&Datum> = arguments.list(1)?.iter().collect();
    let mut seen = BTreeSet::new();
    let list = arguments.list(0)?.iter().filter(|element| other.contains(element) == wanted);
    make(list.filter(|element| seen.insert(*element)).cloned())
}

pub(super) fn intersect(arguments: CallArguments<'_>) -> FunctionResult {
    compare_lists(arguments, true)
}

pub(super) fn except(arguments: CallArguments<'_>) -> FunctionResult {
    compare_lists(arguments, false)
}

pub(super) fn remove(arguments: CallArguments<'_>) -> FunctionResult {
    let value = arguments.get(1)?;
    make(arguments.list(0)?.iter().filter(|element| *element != value).cloned())
}

pub(super) fn least(arguments: CallArguments<'_>) -> FunctionResult {
    // Null is the greatest value.
    Ok(arguments.list(0)?.iter().min().cloned().unwrap_or(Datum::Null))
}

pub(super) fn greatest(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(arguments.list(0)?.iter().filter(|element| !element.is_null()).max().cloned().unwrap_or(Datum::Null))
}

/// The doubles of a list, in order, and how many there are.
fn sum_of(arguments: CallArguments<'_>) -> Result<(f64, f64), NoResult> {
    let mut total = (0.0, 0.0);
    for element in arguments.list(0)? {
        if let Datum::Double(value) = element {
            total = (total.0 + value, total.1 + 1.0);
        }
    }
    Ok(total)
}

pub(super) fn sum(arguments: CallArguments<'_>) -> FunctionResult {
    let (sum, count) = sum_of(arguments)?;
    if count > 0.0 { Datum::double(sum).ok_or(NoResult) } else { Ok(Datum::Null) }
}

pub(super) fn average(arguments: CallArguments<'_>) -> FunctionResult {
    let (sum, count) = sum_of(arguments)?;
    if count > 0.0 { Datum::double(sum / count).ok_or(NoResult) } else { Ok(Datum::Null) }
}
