//! Values and rows that sort as a question asks.

use std::cmp::Ordering;

use crate::datum::{Datum, Row};
use crate::plan::SortKey;

/// A sort direction with the place of nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SortDirection {
    /// Whether great values come first.
    pub(crate) descending: bool,
    /// Whether nulls come first.
    pub(crate) nulls_first: bool,
}

impl SortDirection {
    /// Small values first, nulls last: as values themselves are ordered.
    pub(crate) const ASCENDING: SortDirection = SortDirection { descending: false, nulls_first: false };

    /// The direction of a sort key.
    pub(crate) fn of_key(key: &SortKey) -> SortDirection {
        SortDirection { descending: key.descending, nulls_first: key.nulls_first }
    }

    /// Compares two values in this direction.
    pub(crate) fn compare(self, one: &Datum, other: &Datum) -> Ordering {
        match (one.is_null(), other.is_null()) {
            (true, true) => Ordering::Equal,
            (false, false) if self.descending => other.cmp(one),
            (false, false) => one.cmp(other),
            (null, _) => {
                if null == self.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

/// A value with its direction. All values at one place of a map have the same direction, so that the order is total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SortValue {
    /// The value.
    pub(crate) value: Datum,
    /// Its direction.
    pub(crate) direction: SortDirection,
}

impl SortValue {
    /// A value in the order of values themselves.
    pub(crate) fn ascending(value: Datum) -> SortValue {
        SortValue { value, direction: SortDirection::ASCENDING }
    }
}

impl Ord for SortValue {
    fn cmp(&self, other: &SortValue) -> Ordering {
        self.direction.compare(&self.value, &other.value)
    }
}

impl PartialOrd for SortValue {
    fn partial_cmp(&self, other: &SortValue) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A row in an order: by its sort values, then by all columns, ascending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortedRow {
    /// The values of the sort keys.
    pub(crate) keys: Box<[SortValue]>,
    /// The row.
    pub(crate) row: Row,
}
