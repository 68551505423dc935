//! The columns that questions read besides those that are held of every row.
//!
//! They are computed where a row enters the graph, from the whole row, and travel with it. Only their values are held:
//! a question about `length(description)` holds a number of each row, not its description.
//!
//! Values are known by the index of their column. All workers give a column the same index, because they add and drop
//! questions in the same order. The index of a column that is dropped is used again by a later one, so that rows do not
//! get wider and wider. No value is taken for another: rows of an epoch are applied after the commands of that epoch and
//! before those of the next, and what a key holds of a dropped column is removed before it gets a value of the later one.

use std::rc::Rc;

use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::expr::ScalarExpr;
use pinflow_sql::split::MaintainedPlan;

use super::question_commands::NewColumn;
use super::scan_columns::{ColumnSource, QuestionScan};
use crate::joins::ColumnCosts;
use crate::record::{CatalogRow, Lineage};
use crate::version::ExtraValues;

/// The extra columns of all relations, by index in the catalog.
#[derive(Debug, Default)]
pub(crate) struct ExtraColumns {
    relations: [RelationColumns; POSTS.relations.len()],
}

/// The extra columns that a question reads.
#[derive(Debug, Default)]
pub(crate) struct ColumnLease {
    /// Relation, index and costs of each.
    columns: Vec<NewColumn>,
    /// Those that no other question reads whose values are all held.
    pub(crate) added: Vec<NewColumn>,
}

impl ColumnLease {
    /// The costs of the columns.
    pub(crate) fn costs(&self) -> impl Iterator<Item = &ColumnCosts> {
        self.columns.iter().map(|column| &*column.costs)
    }

    fn has(&self, relation: usize, index: usize) -> bool {
        self.columns.iter().any(|column| (column.relation, column.index) == (relation, index))
    }
}

impl ExtraColumns {
    /// Finds or adds the extra columns that the scans of a question read. Columns whose values are not held of all rows
    /// yet are not shared.
    pub(crate) fn lease_columns(&mut self, program: &MaintainedPlan) -> (Rc<[QuestionScan]>, ColumnLease) {
        let mut lease = ColumnLease::default();
        let scans = program.scans.iter().map(|scan| {
            let relation = scan.relation;
            let mut index_of = |expr: &ScalarExpr| self.relations[relation].lease_column(relation, expr, &mut lease);
            let sources = scan.columns.iter().map(|column| ColumnSource::of_column(relation, column, &mut index_of));
            QuestionScan::new(relation, sources.collect())
        });
        (scans.collect(), lease)
    }

    /// Says that the values of a question's columns are held of all rows.
    pub(crate) fn set_filled(&mut self, lease: &ColumnLease) {
        for NewColumn { relation, index, .. } in &lease.added {
            self.relations[*relation].columns.iter_mut().skip(*index).take(1).for_each(|column| column.filled = true);
        }
    }

    /// Ends the use of columns by a question. Returns those that no question reads any more, by relation and index.
    pub(crate) fn return_columns(&mut self, lease: &ColumnLease) -> Rc<[(usize, usize)]> {
        let returned = lease.columns.iter().filter(|it| self.relations[it.relation].return_column(it.index));
        returned.map(|it| (it.relation, it.index)).collect()
    }

    /// The expression of a column.
    pub(crate) fn expr(&self, relation: usize, index: usize) -> Option<&ScalarExpr> {
        self.relations[relation].columns.get(index).and_then(|column| column.expr.as_ref())
    }

    /// The costs of all columns that are read.
    pub(crate) fn costs(&self) -> impl Iterator<Item = &ColumnCosts> {
        let columns = self.relations.iter().flat_map(|relation| &relation.columns);
        columns.filter(|column| column.expr.is_some()).map(|column| &*column.costs)
    }

    /// The extra columns of a relation.
    pub(crate) fn of_relation(&self, relation: usize) -> RelationColumns {
        self.relations[relation].clone()
    }
}

/// The extra columns of one relation.
#[derive(Debug, Clone, Default)]
pub(crate) struct RelationColumns {
    columns: Vec<ExtraColumn>,
    /// The columns of the relation that they read.
    read: Vec<usize>,
}

/// An extra column.
#[derive(Debug, Clone, Default)]
struct ExtraColumn {
    /// An expression over the columns of the relation. `None` if no question reads it any more.
    expr: Option<ScalarExpr>,
    readers: usize,
    /// Whether its values are held of all rows.
    filled: bool,
    costs: Rc<ColumnCosts>,
}

impl RelationColumns {
    /// The index of the column with this expression, which is added if there is none that can be shared.
    fn lease_column(&mut self, relation: usize, expr: &ScalarExpr, lease: &mut ColumnLease) -> usize {
        let is_found = |index: usize, column: &ExtraColumn| {
            column.expr.as_ref() == Some(expr) && (column.filled || lease.has(relation, index))
        };
        let found = self.columns.iter().enumerate().find(|(index, column)| is_found(*index, column));
        let index = match found {
            Some((index, _)) if lease.has(relation, index) => return index,
            Some((index, _)) => index,
            None => {
                let index = self.add_column(expr);
                lease.added.push(NewColumn { relation, index, costs: Rc::clone(&self.columns[index].costs) });
                index
            }
        };
        self.columns[index].readers += 1;
        lease.columns.push(NewColumn { relation, index, costs: Rc::clone(&self.columns[index].costs) });
        index
    }

    fn add_column(&mut self, expr: &ScalarExpr) -> usize {
        let free = self.columns.iter().position(|column| column.expr.is_none());
        let index = free.unwrap_or_else(|| {
            self.columns.push(ExtraColumn::default());
            self.columns.len() - 1
        });
        self.columns[index] = ExtraColumn { expr: Some(expr.clone()), ..ExtraColumn::default() };
        self.find_read_columns();
        index
    }

    /// Returns whether the question was the last that reads the column.
    fn return_column(&mut self, index: usize) -> bool {
        let column = &mut self.columns[index];
        column.readers -= 1;
        let is_free = column.readers == 0;
        if is_free {
            *column = ExtraColumn::default();
            self.find_read_columns();
        }
        is_free
    }

    fn find_read_columns(&mut self) {
        self.read = columns_read_by(self.columns.iter().filter_map(|column| column.expr.as_ref()));
    }

    /// The values of a row.
    pub(crate) fn evaluate(&self, row: &dyn CatalogRow, lineage: &Lineage) -> ExtraValues {
        if self.columns.is_empty() {
            return None;
        }
        self.columns.iter().any(|column| column.expr.is_some()).then(|| {
            let values = catalog_values(&self.read, row, lineage);
            let value = |column: &ExtraColumn| match &column.expr {
                Some(expr) => expr.eval(&values, &column.costs.faults).into_owned(),
                None => Datum::Null,
            };
            self.columns.iter().map(value).collect()
        })
    }
}

/// The columns of a relation that expressions read.
pub(super) fn columns_read_by<'a>(exprs: impl Iterator<Item = &'a ScalarExpr>) -> Vec<usize> {
    let mut read = Vec::new();
    exprs.for_each(|expr| expr.for_each_column(&mut |column| read.push(column)));
    read.sort_unstable();
    read.dedup();
    read
}

/// The values of a row by column. Columns that are not `read` are null.
pub(super) fn catalog_values(read: &[usize], row: &dyn CatalogRow, lineage: &Lineage) -> Vec<Datum> {
    let width = read.last().map_or(0, |last| last + 1);
    let mut values = vec![Datum::Null; width];
    for column in read {
        values[*column] = row.value(lineage, *column);
    }
    values
}
