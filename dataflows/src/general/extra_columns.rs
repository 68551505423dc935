//! The columns that questions read besides those that are held of every row.
//!
//! They are computed where a row enters the graph, from the whole row, and travel with it. Only their values are held:
//! a question about `length(description)` holds a number of each row, not its description.

use std::rc::Rc;

use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::expr::ScalarExpr;

use crate::record::{CatalogRow, Lineage};
use crate::version::ExtraValues;

/// The extra columns of all relations, by index in the catalog.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExtraColumns {
    relations: [RelationColumns; POSTS.relations.len()],
}

impl ExtraColumns {
    /// Adds an expression over the columns of a relation. Returns its index among the extra columns of the relation.
    pub(crate) fn add(&mut self, relation: usize, expr: &ScalarExpr) -> usize {
        let columns = &mut self.relations[relation];
        let known = columns.expressions.iter().position(|it| it == expr);
        known.unwrap_or_else(|| {
            expr.for_each_column(&mut |column| {
                if !columns.read.contains(&column) {
                    columns.read.push(column);
                }
            });
            columns.expressions.push(expr.clone());
            columns.expressions.len() - 1
        })
    }

    /// Count the operations without a result, by relation.
    pub(crate) fn fault_counters(&self) -> impl Iterator<Item = Rc<FaultCounter>> {
        self.relations.iter().map(|columns| Rc::clone(&columns.faults))
    }

    /// The extra columns of a relation.
    pub(crate) fn of_relation(&self, relation: usize) -> RelationColumns {
        self.relations[relation].clone()
    }
}

/// The extra columns of one relation.
#[derive(Debug, Clone, Default)]
pub(crate) struct RelationColumns {
    /// Expressions over the columns of the relation.
    expressions: Vec<ScalarExpr>,
    /// The columns of the relation that they read.
    read: Vec<usize>,
    faults: Rc<FaultCounter>,
}

impl RelationColumns {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// The values of a row.
    pub(crate) fn evaluate(&self, row: &dyn CatalogRow, lineage: &Lineage) -> ExtraValues {
        if self.is_empty() {
            return None;
        }
        let width = self.read.iter().max().map_or(0, |last| last + 1);
        let mut values = vec![Datum::Null; width];
        for column in &self.read {
            values[*column] = row.value(lineage, *column);
        }
        Some(self.expressions.iter().map(|expr| expr.eval(&values, &self.faults).into_owned()).collect())
    }
}
