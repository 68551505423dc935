//! The columns of an answer, and the order in which its rows are listed.

use std::cmp::Ordering;

use pinflow_sql::plan::{ListingKey, OutputColumn};

use super::{AnswerCell, AnswerRow, ColumnType};

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerColumn {
    /// The name: any text, unique in its answer.
    pub name: String,
    /// The type.
    pub kind: ColumnType,
    /// Whether values can be null.
    pub nullable: bool,
}

impl AnswerColumn {
    /// A column without nulls.
    #[must_use]
    pub fn new(name: &str, kind: ColumnType) -> AnswerColumn {
        AnswerColumn { name: name.to_owned(), kind, nullable: false }
    }

    /// The same column with nulls.
    #[must_use]
    pub fn or_null(self) -> AnswerColumn {
        AnswerColumn { nullable: true, ..self }
    }

    /// The column for an output column of a bound question. `None` if no answer can have its type.
    #[must_use]
    pub fn from_sql(column: &OutputColumn) -> Option<AnswerColumn> {
        let kind = ColumnType::from_sql(column.ty)?;
        Some(AnswerColumn { name: column.name.clone(), kind, nullable: column.nullable })
    }
}

/// A whole-number column without nulls.
#[must_use]
pub fn long_column(name: &str) -> AnswerColumn {
    AnswerColumn::new(name, ColumnType::Long)
}

/// A text column without nulls.
#[must_use]
pub fn text_column(name: &str) -> AnswerColumn {
    AnswerColumn::new(name, ColumnType::Text)
}

/// A floating-point column without nulls.
#[must_use]
pub fn double_column(name: &str) -> AnswerColumn {
    AnswerColumn::new(name, ColumnType::Double)
}

/// A column of true and false without nulls.
#[must_use]
pub fn bool_column(name: &str) -> AnswerColumn {
    AnswerColumn::new(name, ColumnType::Bool)
}

/// A column of moments without nulls.
#[must_use]
pub fn time_column(name: &str) -> AnswerColumn {
    AnswerColumn::new(name, ColumnType::Time)
}

/// Why columns and a listing order are no schema of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchema {
    /// There is no column.
    #[error("the answer has no column")]
    NoColumn,
    /// Two columns have the same name.
    #[error("two columns are named {0:?}; give one of them another name with AS")]
    DuplicateColumn(String),
    /// The listing order reads a cell that rows do not have.
    #[error("the listing order reads cell {cell} of rows with {width} cells")]
    UnknownListingCell {
        #[allow(missing_docs)]
        cell: usize,
        #[allow(missing_docs)]
        width: usize,
    },
}

/// The columns of an answer, and the order in which its rows are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerSchema {
    columns: Vec<AnswerColumn>,
    hidden: usize,
    listing: Vec<ListingKey>,
}

impl AnswerSchema {
    /// The schema of rows with these columns and this many hidden cells after them. The keys of `listing` are indices of
    /// columns or hidden cells. Ties are settled by all cells, ascending, nulls last.
    ///
    /// # Errors
    /// [`InvalidSchema`]
    pub fn new(
        columns: Vec<AnswerColumn>,
        hidden: usize,
        listing: Vec<ListingKey>,
    ) -> Result<AnswerSchema, InvalidSchema> {
        let width = columns.len() + hidden;
        if columns.is_empty() {
            return Err(InvalidSchema::NoColumn);
        }
        if let Some(key) = listing.iter().find(|key| key.column >= width) {
            return Err(InvalidSchema::UnknownListingCell { cell: key.column, width });
        }
        for (at, column) in columns.iter().enumerate() {
            if columns[..at].iter().any(|earlier| earlier.name == column.name) {
                return Err(InvalidSchema::DuplicateColumn(column.name.clone()));
            }
        }
        Ok(AnswerSchema { columns, hidden, listing })
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[AnswerColumn] {
        &self.columns
    }

    /// The keys of the listing order, the most significant one first.
    #[must_use]
    pub fn listing(&self) -> &[ListingKey] {
        &self.listing
    }

    /// The number of hidden cells after those of the columns.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The number of cells of a row, hidden ones included.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.len() + self.hidden
    }

    /// The order in which two rows are listed. Only equal rows are equal in it.
    #[must_use]
    pub fn compare_rows(&self, one: &AnswerRow, other: &AnswerRow) -> Ordering {
        for key in &self.listing {
            let order = compare_cells(key, one.0.get(key.column), other.0.get(key.column));
            if order.is_ne() {
                return order;
            }
        }
        one.cmp(other)
    }
}

/// The order of two cells by one key. A missing cell counts as null.
fn compare_cells(key: &ListingKey, one: Option<&AnswerCell>, other: Option<&AnswerCell>) -> Ordering {
    let value = |cell: Option<&AnswerCell>| cell.is_some_and(|cell| !cell.is_null());
    match (value(one), value(other)) {
        (true, true) if key.descending => other.cmp(&one),
        (true, true) => one.cmp(&other),
        // True is greater than false, so values come first unless nulls do.
        (one, other) if key.nulls_first => one.cmp(&other),
        (one, other) => other.cmp(&one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_with_duplicate_column_or_unknown_listing_cell_is_refused() {
        let columns = || vec![long_column("a"), text_column("b")];
        let by = |column| vec![ListingKey { column, descending: false, nulls_first: false }];
        assert!(AnswerSchema::new(columns(), 1, by(2)).is_ok());
        assert_eq!(
            AnswerSchema::new(columns(), 0, by(2)),
            Err(InvalidSchema::UnknownListingCell { cell: 2, width: 2 })
        );
        assert_eq!(AnswerSchema::new(Vec::new(), 1, Vec::new()), Err(InvalidSchema::NoColumn));
        let twice = vec![long_column("a"), text_column("a")];
        assert_eq!(AnswerSchema::new(twice, 0, Vec::new()), Err(InvalidSchema::DuplicateColumn("a".to_owned())));
    }

    #[test]
    fn listing_places_nulls_as_asked_in_both_directions() {
        let listed = |descending, nulls_first| {
            let key = ListingKey { column: 0, descending, nulls_first };
            let schema = AnswerSchema::new(vec![long_column("a").or_null()], 0, vec![key]).expect("is valid");
            let mut rows =
                [AnswerCell::Long(1), AnswerCell::Null, AnswerCell::Long(2)].map(|cell| AnswerRow::new([cell]));
            rows.sort_by(|one, other| schema.compare_rows(one, other));
            rows.map(|row| row.0[0].to_string())
        };
        assert_eq!(listed(false, false), ["1", "2", "null"]);
        assert_eq!(listed(false, true), ["null", "1", "2"]);
        assert_eq!(listed(true, false), ["2", "1", "null"]);
        assert_eq!(listed(true, true), ["null", "2", "1"]);
    }
}
