//! An answer is a named table: columns, rows, changes.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of 64 bits.
    Long,
    /// Text.
    Text,
    /// A floating-point number of 64 bits.
    Double,
}

/// A column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

/// A whole-number column.
#[must_use]
pub const fn long(name: &'static str) -> Column {
    Column { name, kind: Kind::Long }
}

/// A text column.
#[must_use]
pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

/// A floating-point column.
#[must_use]
pub const fn double(name: &'static str) -> Column {
    Column { name, kind: Kind::Double }
}

/// One value of a row.
///
/// A text is text here, not a symbol: answers outlive the rows that they are made of, and symbols do not.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Of a [`Kind::Long`] column.
    Long(i64),
    /// Of a [`Kind::Text`] column; ordered as text, byte by byte.
    Text(CompactString),
    /// Of a [`Kind::Double`] column; ordered totally.
    Double(f64),
}

impl Cell {
    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Cell {
        Cell::Text(CompactString::new(text))
    }

    /// The type of column it fits.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Cell::Long(_) => Kind::Long,
            Cell::Text(_) => Kind::Text,
            Cell::Double(_) => Kind::Double,
        }
    }
}

impl Ord for Cell {
    fn cmp(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Long(one), Cell::Long(other)) => one.cmp(other),
            (Cell::Text(one), Cell::Text(other)) => one.cmp(other),
            (Cell::Double(one), Cell::Double(other)) => one.total_cmp(other),
            // Never within one column.
            _ => (self.kind() as u8).cmp(&(other.kind() as u8)),
        }
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Cell) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Cell) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cell {}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Long(value) => serializer.serialize_i64(*value),
            Cell::Text(value) => serializer.serialize_str(value),
            Cell::Double(value) => serializer.serialize_f64(*value),
        }
    }
}

/// The cells of one row, in the order of the columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(pub Box<[Cell]>);

impl Row {
    /// The row with its column names: serialises as `{"post_year":2018,"category":"art","category_count":27}`.
    #[must_use]
    pub fn named<'a>(&'a self, columns: &'a [Column]) -> Named<'a> {
        Named { row: self, columns }
    }
}

/// A [`Row`] that knows its columns.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    row: &'a Row,
    columns: &'a [Column],
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(&self.row.0) {
            map.serialize_entry(column.name, cell)?;
        }
        map.end()
    }
}

/// A change of an answer: a row that comes (`diff` 1) or goes (`diff` −1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Which answer, by its index among all questions.
    pub answer: usize,
    /// The row.
    pub row: Row,
    /// How many more of it there are.
    pub diff: i64,
}

/// A change that does not fit the table: somebody lost or repeated one, and the answers are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a change of {diff} does not fit an answer that holds {held} of row {row:?}")]
pub struct Misfit {
    /// The row.
    pub row: Row,
    /// Its change over the whole epoch.
    pub diff: i64,
    /// How many of it the table holds.
    pub held: i64,
}

/// The rows of one answer as of an epoch.
#[derive(Debug, Clone)]
pub struct Table {
    columns: &'static [Column],
    groups: usize,
    rows: BTreeSet<Listed>,
}

impl Table {
    /// An empty table whose first `groups` columns are grouping columns and whose last one is the ranked value.
    #[must_use]
    pub fn new(columns: &'static [Column], groups: usize) -> Table {
        Table { columns, groups, rows: BTreeSet::new() }
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// Applies all changes of one epoch to this answer, in any order.
    ///
    /// # Errors
    /// [`Misfit`] if a row would be there twice, or goes that is not there; the table is then as before.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = (&'a Row, i64)>) -> Result<(), Misfit> {
        let mut net: BTreeMap<&Row, i64> = BTreeMap::new();
        for (row, diff) in changes {
            *net.entry(row).or_default() += diff;
        }
        let net: Vec<(Listed, i64)> = net.into_iter().map(|(row, diff)| (self.list(row.clone()), diff)).collect();
        for (listed, diff) in &net {
            let held = i64::from(self.rows.contains(listed));
            if !(0..=1).contains(&(held + diff)) || listed.row.0.len() != self.columns.len() {
                return Err(Misfit { row: listed.row.clone(), diff: *diff, held });
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

    /// The rows: by grouping columns ascending, then by rank (value descending, label ascending).
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.rows.iter().map(|listed| &listed.row)
    }

    fn list(&self, row: Row) -> Listed {
        Listed { groups: self.groups, row }
    }
}

/// As `[{"post_year":2018,"category":"art","category_count":27},…]`.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in self.rows() {
            rows.serialize_element(&row.named(self.columns))?;
        }
        rows.end()
    }
}

/// A row in the order in which answers are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    groups: usize,
    row: Row,
}

impl Listed {
    fn key(&self) -> (&[Cell], Reverse<Option<&Cell>>, &[Cell]) {
        let (groups, rest) = self.row.0.split_at(self.groups.min(self.row.0.len()));
        match rest.split_last() {
            Some((value, labels)) => (groups, Reverse(Some(value)), labels),
            None => (groups, Reverse(None), &[]),
        }
    }
}

impl Ord for Listed {
    fn cmp(&self, other: &Listed) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Listed {
    fn partial_cmp(&self, other: &Listed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLUMNS: [Column; 3] = [long("post_year"), text("category"), long("category_count")];

    fn row(year: i64, category: &str, count: i64) -> Row {
        Row(Box::new([Cell::Long(year), Cell::text(category), Cell::Long(count)]))
    }

    #[test]
    fn rows_are_listed_by_group_then_value_descending_then_label() {
        let mut table = Table::new(&COLUMNS, 1);
        let rows = [row(2019, "b", 9), row(2018, "b", 2), row(2018, "a", 2), row(2018, "c", 30)];
        table.apply(rows.iter().map(|row| (row, 1))).expect("fits");
        let listed = serde_json::to_string(&table).expect("serialises");
        assert_eq!(
            listed,
            r#"[{"post_year":2018,"category":"c","category_count":30},{"post_year":2018,"category":"a","category_count":2},{"post_year":2018,"category":"b","category_count":2},{"post_year":2019,"category":"b","category_count":9}]"#
        );
    }

    #[test]
    fn doubles_stay_doubles_in_json() {
        static MEDIAN: [Column; 2] = [text("age_group"), double("median_follower_count")];
        let mut table = Table::new(&MEDIAN, 1);
        let row = Row(Box::new([Cell::text("50+"), Cell::Double(31_000.0)]));
        table.apply([(&row, 1)]).expect("fits");
        let listed = serde_json::to_string(&table).expect("serialises");
        assert_eq!(listed, r#"[{"age_group":"50+","median_follower_count":31000.0}]"#);
    }

    #[test]
    fn a_change_that_does_not_fit_is_an_error_and_changes_nothing() {
        let mut table = Table::new(&COLUMNS, 1);
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
