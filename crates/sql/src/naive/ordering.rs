//! The order of rows: sort keys with directions and places of nulls, ties settled by all columns.

use std::cmp::Ordering;

use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::plan::{ListingKey, SortKey};

/// Compares two values of a key. Nulls are at the end, or at the start with `nulls_first`, in both directions.
fn compare_values(one: &Datum, other: &Datum, descending: bool, nulls_first: bool) -> Ordering {
    match (one.is_null(), other.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) => compare_values(other, one, descending, nulls_first).reverse(),
        (false, false) if descending => other.cmp(one),
        (false, false) => one.cmp(other),
    }
}

/// Compares the values of an order's keys.
pub(super) fn compare_keys(order: &[SortKey], one: &[Datum], other: &[Datum]) -> Ordering {
    let values = one.iter().zip(other);
    let compared = order.iter().zip(values);
    compared
        .map(|(key, (one, other))| compare_values(one, other, key.descending, key.nulls_first))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Compares two rows of an answer by the columns of its listing order.
pub(super) fn compare_listed(listing: &[ListingKey], one: &[Datum], other: &[Datum]) -> Ordering {
    listing
        .iter()
        .map(|key| compare_values(&one[key.column], &other[key.column], key.descending, key.nulls_first))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The values of an order's keys for one row.
pub(super) fn key_values(order: &[SortKey], row: &[Datum], faults: &FaultCounter) -> Row {
    order.iter().map(|key| key.expr.eval(row, faults).into_owned()).collect()
}

/// Rows with the values of their keys, by these and then by all columns, ascending.
pub(super) fn sort_rows(rows: Vec<Row>, order: &[SortKey], faults: &FaultCounter) -> Vec<(Row, Row)> {
    let mut keyed: Vec<(Row, Row)> = rows.into_iter().map(|row| (key_values(order, &row, faults), row)).collect();
    keyed.sort_by(|(one_keys, one), (other_keys, other)| {
        compare_keys(order, one_keys, other_keys).then_with(|| one.cmp(other))
    });
    keyed
}
