//! An answer: a named table that changes row by row.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// A whole number of 64 bits.
    Long,
    /// Text.
    Text,
    /// A floating-point number of 64 bits.
    Double,
}

/// A column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerColumn {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub kind: ColumnType,
}

/// A whole-number column.
#[must_use]
pub const fn long_column(name: &'static str) -> AnswerColumn {
    AnswerColumn { name, kind: ColumnType::Long }
}

/// A text column.
#[must_use]
pub const fn text_column(name: &'static str) -> AnswerColumn {
    AnswerColumn { name, kind: ColumnType::Text }
}

/// A floating-point column.
#[must_use]
pub const fn double_column(name: &'static str) -> AnswerColumn {
    AnswerColumn { name, kind: ColumnType::Double }
}

/// One value of a row.
///
/// A text is stored as text, not as a symbol: answers outlive the rows they are made of, and symbols do not.
#[derive(Debug, Clone)]
pub enum AnswerCell {
    /// A value of a [`ColumnType::Long`] column.
    Long(i64),
    /// A value of a [`ColumnType::Text`] column. Ordered byte by byte.
    Text(CompactString),
    /// A value of a [`ColumnType::Double`] column. Ordered by [`f64::total_cmp`].
    Double(f64),
}

impl AnswerCell {
    /// A text cell.
    #[must_use]
    pub fn text(text: &str) -> AnswerCell {
        AnswerCell::Text(CompactString::new(text))
    }

    /// The type of its column.
    #[must_use]
    pub fn column_type(&self) -> ColumnType {
        match self {
            AnswerCell::Long(_) => ColumnType::Long,
            AnswerCell::Text(_) => ColumnType::Text,
            AnswerCell::Double(_) => ColumnType::Double,
        }
    }
}

impl Ord for AnswerCell {
    fn cmp(&self, other: &AnswerCell) -> Ordering {
        match (self, other) {
            (AnswerCell::Long(one), AnswerCell::Long(other)) => one.cmp(other),
            (AnswerCell::Text(one), AnswerCell::Text(other)) => one.cmp(other),
            (AnswerCell::Double(one), AnswerCell::Double(other)) => one.total_cmp(other),
            // Cells of one column have the same type, so this order is never visible.
            _ => (self.column_type() as u8).cmp(&(other.column_type() as u8)),
        }
    }
}

impl PartialOrd for AnswerCell {
    fn partial_cmp(&self, other: &AnswerCell) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for AnswerCell {
    fn eq(&self, other: &AnswerCell) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for AnswerCell {}

impl Serialize for AnswerCell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            AnswerCell::Long(value) => serializer.serialize_i64(*value),
            AnswerCell::Text(value) => serializer.serialize_str(value),
            AnswerCell::Double(value) => serializer.serialize_f64(*value),
        }
    }
}

/// The cells of one row, in the order of the columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerRow(pub Box<[AnswerCell]>);

impl AnswerRow {
    /// The row with its column names. It serialises as `{"post_year":2018,"category":"art","category_count":27}`.
    #[must_use]
    pub fn with_columns<'a>(&'a self, columns: &'a [AnswerColumn]) -> NamedRow<'a> {
        NamedRow { row: self, columns }
    }
}

/// An [`AnswerRow`] with its column names.
#[derive(Debug, Clone, Copy)]
pub struct NamedRow<'a> {
    row: &'a AnswerRow,
    columns: &'a [AnswerColumn],
}

impl Serialize for NamedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(&self.row.0) {
            map.serialize_entry(column.name, cell)?;
        }
        map.end()
    }
}

/// A change of an answer: a row is added (`diff` 1) or removed (`diff` −1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerChange {
    /// The answer, by its index among all questions.
    pub answer: usize,
    /// The row.
    pub row: AnswerRow,
    /// The change of its multiplicity.
    pub diff: i64,
}

/// A change does not fit the answer: an earlier change was lost or repeated, so the answer is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a change of {diff} does not fit an answer that holds {held} of row {row:?}")]
pub struct InconsistentChange {
    /// The row.
    pub row: AnswerRow,
    /// Its net change in the epoch.
    pub diff: i64,
    /// How often the answer holds it.
    pub held: i64,
}

/// The current rows of one answer, kept up to date by changes.
#[derive(Debug, Clone)]
pub struct LiveAnswer {
    columns: &'static [AnswerColumn],
    groups: usize,
    rows: BTreeSet<RankedRow>,
}

impl LiveAnswer {
    /// An empty answer. The first `groups` columns are grouping columns, and the last one is the ranked value.
    #[must_use]
    pub fn new(columns: &'static [AnswerColumn], groups: usize) -> LiveAnswer {
        LiveAnswer { columns, groups, rows: BTreeSet::new() }
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &'static [AnswerColumn] {
        self.columns
    }

    /// Applies all changes of one epoch, in any order.
    ///
    /// # Errors
    /// [`InconsistentChange`] if a row would be there twice, or is removed but not there. The answer is unchanged then.
    pub fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a AnswerRow, i64)>,
    ) -> Result<(), InconsistentChange> {
        let mut net: BTreeMap<&AnswerRow, i64> = BTreeMap::new();
        for (row, diff) in changes {
            *net.entry(row).or_default() += diff;
        }
        let net: Vec<(RankedRow, i64)> =
            net.into_iter().map(|(row, diff)| (self.rank_row(row.clone()), diff)).collect();
        for (listed, diff) in &net {
            let held = i64::from(self.rows.contains(listed));
            if !(0..=1).contains(&(held + diff)) || listed.row.0.len() != self.columns.len() {
                return Err(InconsistentChange { row: listed.row.clone(), diff: *diff, held });
            }
        }
        for (listed, diff) in net {
            match diff {
                1 => drop(self.rows.insert(listed)),
                -1 => drop(self.rows.remove(&listed)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The rows, by grouping columns ascending, then by rank (value descending, label ascending).
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &AnswerRow> {
        self.rows.iter().map(|listed| &listed.row)
    }

    fn rank_row(&self, row: AnswerRow) -> RankedRow {
        RankedRow { groups: self.groups, row }
    }
}

/// Serialises as `[{"post_year":2018,"category":"art","category_count":27},…]`.
impl Serialize for LiveAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in self.rows() {
            rows.serialize_element(&row.with_columns(self.columns))?;
        }
        rows.end()
    }
}

/// A row, ordered as answers are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RankedRow {
    groups: usize,
    row: AnswerRow,
}

impl RankedRow {
    fn rank_key(&self) -> (&[AnswerCell], Reverse<Option<&AnswerCell>>, &[AnswerCell]) {
        let (groups, rest) = self.row.0.split_at(self.groups.min(self.row.0.len()));
        match rest.split_last() {
            Some((value, labels)) => (groups, Reverse(Some(value)), labels),
            None => (groups, Reverse(None), &[]),
        }
    }
}

impl Ord for RankedRow {
    fn cmp(&self, other: &RankedRow) -> Ordering {
        self.rank_key().cmp(&other.rank_key())
    }
}

impl PartialOrd for RankedRow {
    fn partial_cmp(&self, other: &RankedRow) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLUMNS: [AnswerColumn; 3] =
        [long_column("post_year"), text_column("category"), long_column("category_count")];

    fn row(year: i64, category: &str, count: i64) -> AnswerRow {
        AnswerRow(Box::new([AnswerCell::Long(year), AnswerCell::text(category), AnswerCell::Long(count)]))
    }

    #[test]
    fn rows_are_listed_by_group_then_value_descending_then_label() {
        let mut table = LiveAnswer::new(&COLUMNS, 1);
        let rows = [row(2019, "b", 9), row(2018, "b", 2), row(2018, "a", 2), row(2018, "c", 30)];
        table.apply(rows.iter().map(|row| (row, 1))).expect("fits");
        let listed = serde_json::to_string(&table).expect("serialises");
        assert_eq!(
            listed,
            r#"[{"post_year":2018,"category":"c","category_count":30},{"post_year":2018,"category":"a","category_count":2},{"post_year":2018,"category":"b","category_count":2},{"post_year":2019,"category":"b","category_count":9}]"#
        );
    }

    #[test]
    fn whole_double_serialises_with_fraction() {
        static MEDIAN: [AnswerColumn; 2] = [text_column("age_group"), double_column("median_follower_count")];
        let mut table = LiveAnswer::new(&MEDIAN, 1);
        let row = AnswerRow(Box::new([AnswerCell::text("50+"), AnswerCell::Double(31_000.0)]));
        table.apply([(&row, 1)]).expect("fits");
        let listed = serde_json::to_string(&table).expect("serialises");
        assert_eq!(listed, r#"[{"age_group":"50+","median_follower_count":31000.0}]"#);
    }

    #[test]
    fn inconsistent_change_is_an_error_and_changes_nothing() {
        let mut table = LiveAnswer::new(&COLUMNS, 1);
        let (here, other) = (row(2018, "art", 1), row(2018, "art", 2));
        table.apply([(&here, 1)]).expect("fits");
        let gone = table.apply([(&here, -1), (&other, -1)]).expect_err("was never there");
        assert_eq!((gone.row, gone.diff, gone.held), (other.clone(), -1, 0));
        assert!(table.apply([(&here, 1)]).is_err(), "is there already");
        assert!(table.apply([(&other, 2)]).is_err(), "twice at once");
        assert!(table.apply([(&here, 1), (&here, -1), (&here, 0)]).is_ok(), "nothing in the end");
        assert_eq!(table.rows().collect::<Vec<_>>(), [&here]);
    }
}
