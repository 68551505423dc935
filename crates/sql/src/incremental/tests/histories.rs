//! Random histories of the rows of relations.

use std::collections::BTreeMap;

use super::RandomDraws;
use crate::catalog::{CatalogRelation, RelationCatalog};
use crate::datum::{Datum, Row, SqlType};

/// The rows of all relations, by relation and key, with their counts.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyedTables {
    pub(super) rows: Vec<BTreeMap<i64, BTreeMap<Row, i64>>>,
}

impl KeyedTables {
    pub(super) fn new(catalog: &RelationCatalog) -> KeyedTables {
        KeyedTables { rows: vec![BTreeMap::new(); catalog.relations.len()] }
    }

    /// The rows of a relation, repeated ones as often as they are there.
    pub(super) fn rows_of(&self, relation: usize) -> Vec<Row> {
        let rows = self.rows[relation].values().flatten();
        rows.flat_map(|(row, count)| (0..*count).map(|_| row.clone())).collect()
    }
}

/// Which rows of a key count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsPerKey {
    /// At most one: a new one takes the place of the one before.
    Latest,
    /// All of them.
    Keep,
}

/// The keys of all rows.
pub(super) const ALL_KEYS: [i64; 7] = [0, 1, 2, 3, 4, 5, 6];

/// Changes random rows. Returns the keys that were touched.
pub(super) fn random_epoch(
    draws: &mut RandomDraws,
    tables: &mut KeyedTables,
    catalog: &RelationCatalog,
    rows_per_key: RowsPerKey,
) -> Vec<i64> {
    // Every so often everything goes, so that groups empty and are filled again.
    let clear = draws.once_in(6);
    let mut touched: Vec<i64> = (0..1 + draws.below(6)).map(|_| *draws.pick(&ALL_KEYS)).collect();
    if clear {
        touched = ALL_KEYS.to_vec();
    }
    touched.sort_unstable();
    touched.dedup();
    for key in &touched {
        for (relation, definition) in catalog.relations.iter().enumerate() {
            let rows = tables.rows[relation].entry(*key).or_default();
            if clear || draws.once_in(4) {
                remove_rows(draws, rows, clear || rows_per_key == RowsPerKey::Latest);
            } else if draws.once_in(2) {
                if rows_per_key == RowsPerKey::Latest {
                    rows.clear();
                }
                *rows.entry(random_row(draws, definition, *key)).or_insert(0) += 1;
            }
        }
    }
    touched
}

fn remove_rows(draws: &mut RandomDraws, rows: &mut BTreeMap<Row, i64>, all: bool) {
    if all {
        rows.clear();
    } else if let Some(row) = rows.keys().nth(draws.below(3)).cloned() {
        rows.remove(&row);
    }
}

pub(super) fn random_row(draws: &mut RandomDraws, relation: &CatalogRelation, key: i64) -> Row {
    let column = |(index, column): (usize, &crate::catalog::CatalogColumn)| {
        if index == relation.key { Datum::Long(key) } else { random_value(draws, column.ty) }
    };
    relation.columns.iter().enumerate().map(column).collect()
}

/// A value of a type out of a few, so that equal ones are frequent. Null one time in five.
pub(super) fn random_value(draws: &mut RandomDraws, ty: SqlType) -> Datum {
    const TEXTS: [&str; 5] = ["", "a", "b", "a,b", "a text longer than what fits inline"];
    const DOUBLES: [f64; 9] = [0.0, 0.1, 0.2, 0.3, -0.1, 1.5, 1e17, 1e-300, -1e300];
    if draws.once_in(5) {
        return Datum::Null;
    }
    match ty {
        SqlType::Null => Datum::Null,
        SqlType::Bool => Datum::Bool(draws.once_in(2)),
        SqlType::Long => Datum::Long(if draws.once_in(20) { i64::MAX } else { draws.below(5) as i64 - 1 }),
        SqlType::Double => Datum::Double(*draws.pick(&DOUBLES)),
        SqlType::Text => Datum::text(TEXTS[draws.below(TEXTS.len())]),
        SqlType::Time => Datum::Time(draws.below(3) as i64 * 86_400_000_000),
        SqlType::Texts | SqlType::Doubles => {
            let element = ty.element().unwrap_or(SqlType::Null);
            Datum::List((0..draws.below(3)).map(|_| random_value(draws, element)).collect())
        }
    }
}
