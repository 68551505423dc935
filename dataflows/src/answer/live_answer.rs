//! The current rows of an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::sorted_rows::{ROW_BYTES, SortedRows};
use super::{AnswerCell, AnswerColumn, AnswerRow, AnswerSchema};

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

/// The current rows of one answer, kept up to date by changes. A clone costs nothing, and shares the rows that do not change.
#[derive(Debug, Clone)]
pub struct LiveAnswer {
    schema: Arc<AnswerSchema>,
    /// How often each row is there: at least once.
    rows: SortedRows,
    /// The sum of `rows`.
    row_count: usize,
}

impl LiveAnswer {
    /// An empty answer.
    #[must_use]
    pub fn new(schema: Arc<AnswerSchema>) -> LiveAnswer {
        LiveAnswer { schema, rows: SortedRows::default(), row_count: 0 }
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[AnswerColumn] {
        self.schema.columns()
    }

    /// Applies all changes of one epoch, in any order.
    ///
    /// # Errors
    /// [`InconsistentChange`] if more of a row is removed than is there, or a row has too few or too many cells. The
    /// answer is unchanged then.
    pub fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a AnswerRow, i64)>,
    ) -> Result<(), InconsistentChange> {
        let net = self.net_changes(changes.into_iter().collect());
        let schema = Arc::clone(&self.schema);
        let order = |one: &AnswerRow, other: &AnswerRow| schema.compare_rows(one, other);
        for (row, diff) in &net {
            let held = self.rows.count(row, &order);
            if held + diff < 0 || row.0.len() != self.schema.width() {
                return Err(InconsistentChange { row: AnswerRow::clone(row), diff: *diff, held });
            }
        }
        for (row, diff) in net {
            self.rows.change(row, diff, &order);
            self.row_count = self.row_count.saturating_add_signed(isize::try_from(diff).unwrap_or_default());
        }
        Ok(())
    }

    /// The sums of the changes of equal rows that are not zero, in listing order: neighbours are near each other in memory.
    fn net_changes<'a>(&self, mut changes: Vec<(&'a AnswerRow, i64)>) -> Vec<(&'a AnswerRow, i64)> {
        changes.sort_unstable_by(|(one, _), (other, _)| self.schema.compare_rows(one, other));
        changes.dedup_by(|(row, diff), (kept, sum)| {
            let is_equal = row == kept;
            if is_equal {
                *sum += *diff;
            }
            is_equal
        });
        changes.retain(|(_, diff)| *diff != 0);
        changes
    }

    /// The number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// The size in memory, bytes: exact but for places of rows that are not used, and for what the allocator adds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let rows = self.rows.iter().map(|(row, _)| row.0.iter().map(AnswerCell::held_bytes).sum::<usize>());
        LiveAnswer::bytes_of_rows(self.rows.len(), rows.sum())
    }

    /// The size of an answer with this many different rows, whose cells have this many bytes in all.
    #[must_use]
    pub fn bytes_of_rows(rows: usize, cell_bytes: usize) -> usize {
        rows * ROW_BYTES + cell_bytes
    }

    /// The rows in listing order, each as often as it is there.
    pub fn rows(&self) -> impl Iterator<Item = &AnswerRow> {
        self.counted_rows()
            .flat_map(|(row, count)| std::iter::repeat_n(row, usize::try_from(count).unwrap_or_default()))
    }

    /// The distinct rows in listing order, each with how often it is there.
    pub fn counted_rows(&self) -> impl ExactSizeIterator<Item = (&AnswerRow, i64)> {
        self.rows.iter()
    }

    /// The distinct rows without their hidden cells, each with how often it is there.
    #[must_use]
    pub fn visible_counts(&self) -> BTreeMap<AnswerRow, i64> {
        let mut counts = BTreeMap::new();
        for (row, count) in self.counted_rows() {
            *counts.entry(AnswerRow::new(row.visible(self.columns()))).or_default() += count;
        }
        counts
    }
}

/// Serialises as `[{"post_year":2018,"category":"art","category_count":27},…]`.
impl Serialize for LiveAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.row_count))?;
        for row in self.rows() {
            rows.serialize_element(&row.with_columns(self.columns()))?;
        }
        rows.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnswerCell, ListingKey, bool_column, double_column, long_column, text_column, time_column};
    use super::*;

    fn key(column: usize, descending: bool) -> ListingKey {
        ListingKey { column, descending, nulls_first: false }
    }

    fn answer(columns: &[AnswerColumn], hidden: usize, listing: &[ListingKey]) -> LiveAnswer {
        let schema = AnswerSchema::new(columns.to_vec(), hidden, listing.to_vec()).expect("is valid");
        LiveAnswer::new(Arc::new(schema))
    }

    fn category_counts() -> LiveAnswer {
        let columns = [long_column("post_year"), text_column("category"), long_column("category_count")];
        answer(&columns, 0, &[key(0, false), key(2, true), key(1, false)])
    }

    fn row(year: i64, category: &str, count: i64) -> AnswerRow {
        AnswerRow::new([AnswerCell::Long(year), AnswerCell::text(category), AnswerCell::Long(count)])
    }

    fn json(answer: &LiveAnswer) -> String {
        serde_json::to_string(answer).expect("serialises")
    }

    #[test]
    fn rows_are_listed_by_the_listing_keys() {
        let mut table = category_counts();
        let rows = [row(2019, "b", 9), row(2018, "b", 2), row(2018, "a", 2), row(2018, "c", 30)];
        table.apply(rows.iter().map(|row| (row, 1))).expect("fits");
        assert_eq!(
            json(&table),
            r#"[{"post_year":2018,"category":"c","category_count":30},{"post_year":2018,"category":"a","category_count":2},{"post_year":2018,"category":"b","category_count":2},{"post_year":2019,"category":"b","category_count":9}]"#
        );
    }

    #[test]
    fn whole_double_serialises_with_fraction() {
        let mut table =
            answer(&[text_column("age_group"), double_column("median_follower_count")], 0, &[key(0, false)]);
        let row = AnswerRow::new([AnswerCell::text("50+"), AnswerCell::Double(31_000.0)]);
        table.apply([(&row, 1)]).expect("fits");
        assert_eq!(json(&table), r#"[{"age_group":"50+","median_follower_count":31000.0}]"#);
    }

    #[test]
    fn bools_times_and_nulls_are_listed_nulls_last() {
        let columns = [bool_column("is_video").or_null(), time_column("first").or_null()];
        let mut table = answer(&columns, 0, &[key(0, true)]);
        let rows = [
            AnswerRow::new([AnswerCell::Null, AnswerCell::time(0)]),
            AnswerRow::new([AnswerCell::Bool(false), AnswerCell::Null]),
            AnswerRow::new([AnswerCell::Bool(true), AnswerCell::time(1_500_000)]),
        ];
        table.apply(rows.iter().map(|row| (row, 1))).expect("fits");
        assert_eq!(
            json(&table),
            r#"[{"is_video":true,"first":"1970-01-01T00:00:01.5Z"},{"is_video":false,"first":null},{"is_video":null,"first":"1970-01-01T00:00:00Z"}]"#
        );
    }

    #[test]
    fn equal_rows_are_listed_as_often_as_they_are_there() {
        let mut table = category_counts();
        let (art, tea) = (row(2018, "art", 1), row(2018, "tea", 1));
        table.apply([(&tea, 1), (&art, 2), (&tea, 2)]).expect("fits");
        assert_eq!(table.rows().collect::<Vec<_>>(), [&art, &art, &tea, &tea, &tea]);
        table.apply([(&art, -1), (&tea, -3)]).expect("fits");
        assert_eq!((table.rows().collect::<Vec<_>>(), table.row_count()), (vec![&art], 1));
        table.apply([(&art, -1)]).expect("fits");
        assert_eq!((table.rows().count(), table.counted_rows().len(), table.row_count()), (0, 0, 0));
    }

    #[test]
    fn hidden_cells_order_rows_and_are_never_shown() {
        let mut table = answer(&[text_column("name")], 1, &[key(1, true)]);
        let row = |name: &str, rank| AnswerRow::new([AnswerCell::text(name), AnswerCell::Long(rank)]);
        let rows = [row("a", 1), row("b", 3), row("a", 2)];
        table.apply(rows.iter().map(|row| (row, 1))).expect("fits");
        assert_eq!(json(&table), r#"[{"name":"b"},{"name":"a"},{"name":"a"}]"#);
        let named = |name: &str| AnswerRow::new([AnswerCell::text(name)]);
        assert_eq!(table.visible_counts(), BTreeMap::from([(named("a"), 2), (named("b"), 1)]));
        assert!(table.apply([(&named("c"), 1)]).is_err(), "the hidden cell is missing");
    }

    #[test]
    fn inconsistent_change_is_an_error_and_changes_nothing() {
        let mut table = category_counts();
        let (here, other) = (row(2018, "art", 1), row(2018, "art", 2));
        table.apply([(&here, 1)]).expect("fits");
        let gone = table.apply([(&here, -1), (&other, -1)]).expect_err("was never there");
        assert_eq!((gone.row, gone.diff, gone.held), (other.clone(), -1, 0));
        assert!(table.apply([(&here, -2)]).is_err(), "is there once");
        assert!(table.apply([(&here, 1), (&here, -1), (&here, 0)]).is_ok(), "nothing in the end");
        assert_eq!(table.rows().collect::<Vec<_>>(), [&here]);
    }
}
