//! What a question that is added needs of rows of the tables.

use std::rc::Rc;

use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::expr::ScalarExpr;

use super::extra_columns::{ExtraColumns, catalog_values, columns_read_by};
use super::scan_columns::{ColumnSource, QuestionScan};
use super::{ColumnLease, GeneralQuestion, QuestionCosts};
use crate::answer::QuestionId;
use crate::joins::{FillRow, HeldColumn, JoinedRow, ProjectedRow};
use crate::record::{CatalogRow, Ind, Lineage};

/// The values that a question needs of rows of the tables, by relation.
#[derive(Debug)]
pub(crate) struct FillPlan {
    question: QuestionId,
    costs: Rc<QuestionCosts>,
    /// `None` for relations whose rows it does not need.
    relations: [Option<RelationPlan>; POSTS.relations.len()],
}

#[derive(Debug)]
struct RelationPlan {
    values: Vec<FilledValue>,
    /// The columns of the relation that expressions read.
    read: Vec<usize>,
}

/// A value that a question needs.
#[derive(Debug)]
enum FilledValue {
    Key,
    /// A text column that is held, by its index in the catalog.
    Text(usize),
    /// Another column that is held. It is read from the projected row, as it is of every row.
    Number(HeldColumn),
    /// The value of an extra column.
    Extra(ScalarExpr),
    Constant(Datum),
}

impl FillPlan {
    /// What a question needs where only the latest row of an `ind` counts: the extra columns that were added for it.
    pub(crate) fn of_added_columns(question: &GeneralQuestion, lease: &ColumnLease, extra: &ExtraColumns) -> FillPlan {
        FillPlan::new(question, |relation| {
            let added = lease.added.iter().filter(|column| column.relation == relation);
            let values: Vec<_> = added.filter_map(|column| extra_value(extra, relation, column.index)).collect();
            (!values.is_empty()).then_some(values)
        })
    }

    /// What a question needs where every delivery counts: all columns of its scans, one scan after the other.
    pub(crate) fn of_scans(question: &GeneralQuestion, extra: &ExtraColumns) -> FillPlan {
        FillPlan::new(question, |relation| {
            let scans = || question.scans.iter().filter(|scan| scan.relation_index() == relation);
            let value = |source: &ColumnSource| match source {
                ColumnSource::Key => Some(FilledValue::Key),
                ColumnSource::Held(held) => Some(match held.text_column() {
                    Some(name) => FilledValue::Text(POSTS.relations[relation].column(name).unwrap_or_default()),
                    None => FilledValue::Number(*held),
                }),
                ColumnSource::Extra(index) => extra_value(extra, relation, *index),
                ColumnSource::Constant(value) => Some(FilledValue::Constant(value.clone())),
            };
            let values = scans().flat_map(QuestionScan::sources).filter_map(value).collect();
            (scans().count() > 0).then_some(values)
        })
    }

    fn new(question: &GeneralQuestion, values_of: impl Fn(usize) -> Option<Vec<FilledValue>>) -> FillPlan {
        let relations = [0, 1, 2].map(|relation: usize| {
            values_of(relation).map(|values| {
                let exprs = values.iter().filter_map(|value| match value {
                    FilledValue::Extra(expr) => Some(expr),
                    _ => None,
                });
                let read = columns_read_by(exprs);
                RelationPlan { values, read }
            })
        });
        FillPlan { question: question.id, costs: Rc::clone(&question.costs), relations }
    }

    /// What the question needs of a row. `None` if that is nothing.
    pub(crate) fn fill_row<R: ProjectedRow>(&self, ind: Ind, lineage: Lineage, row: &R::Row<'_>) -> Option<FillRow> {
        let relation = R::RELATION.only_index();
        let RelationPlan { values, read } = self.relations[relation].as_ref()?;
        let projected = R::without_texts(row);
        let (joined, catalog) = (projected.as_joined(), catalog_values(read, row, &lineage));
        let values = values.iter().map(|value| self.value((ind, row, &lineage), (&joined, &catalog), value)).collect();
        let question = self.question.number();
        Some(FillRow { question, relation: relation as u8, ind, version: lineage.into(), values })
    }

    fn value(
        &self,
        (ind, row, lineage): (Ind, &dyn CatalogRow, &Lineage),
        (projected, catalog): (&JoinedRow<'_>, &[Datum]),
        value: &FilledValue,
    ) -> Datum {
        match value {
            FilledValue::Key => Datum::Long(ind.cast_signed()),
            FilledValue::Text(column) => row.value(lineage, *column),
            FilledValue::Number(column) => {
                column.long().and_then(|long| long(projected)).map_or(Datum::Null, Datum::Long)
            }
            FilledValue::Extra(expr) => expr.eval(catalog, &self.costs.faults).into_owned(),
            FilledValue::Constant(value) => value.clone(),
        }
    }
}

fn extra_value(extra: &ExtraColumns, relation: usize, index: usize) -> Option<FilledValue> {
    extra.expr(relation, index).cloned().map(FilledValue::Extra)
}
