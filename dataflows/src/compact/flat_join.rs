//! Inner joins on `ind`, as one list of columns and conditions over the joined rows.

use pinflow_sql::catalog::RelationCatalog;
use pinflow_sql::expr::{ExprKind, ScalarExpr};
use pinflow_sql::plan::{JoinKind, QueryPlan};

/// The columns of a relation have positions from its index times this.
const RELATION_STRIDE: usize = 64;

/// A column of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColumnPosition {
    /// The index of the relation in the catalog.
    pub(super) relation: usize,
    /// The index of the column in the relation.
    pub(super) column: usize,
}

impl ColumnPosition {
    /// The column at a position of a [`FlatJoin`].
    pub(super) fn at(position: usize) -> ColumnPosition {
        ColumnPosition { relation: position / RELATION_STRIDE, column: position % RELATION_STRIDE }
    }
}

/// An inner join on the key of distinct relations. Expressions are over the columns of all relations: see
/// [`ColumnPosition::at`].
#[derive(Debug, Clone)]
pub(super) struct FlatJoin {
    /// The joined relations, by index in the catalog.
    pub(super) relations: Vec<usize>,
    /// The conditions, all of which must be true.
    pub(super) conditions: Vec<ScalarExpr>,
    /// The columns of the plan.
    pub(super) columns: Vec<ScalarExpr>,
}

impl FlatJoin {
    /// The join that a plan computes. `None` if it computes more than that.
    pub(super) fn of_plan(plan: &QueryPlan, catalog: &RelationCatalog) -> Option<FlatJoin> {
        match plan {
            QueryPlan::Scan { relation, columns } => {
                let columns = columns.iter().cloned().map(|mut column| {
                    column.map_columns(&mut |index| relation * RELATION_STRIDE + index);
                    column
                });
                Some(FlatJoin { relations: vec![*relation], conditions: Vec::new(), columns: columns.collect() })
            }
            QueryPlan::Filter { input, condition } => {
                let mut flat = FlatJoin::of_plan(input, catalog)?;
                let condition = substitute(condition, &flat.columns);
                flat.push_conditions(condition);
                Some(flat)
            }
            QueryPlan::Project { input, columns } => {
                let mut flat = FlatJoin::of_plan(input, catalog)?;
                flat.columns = columns.iter().map(|column| substitute(column, &flat.columns)).collect();
                Some(flat)
            }
            QueryPlan::Join { kind: JoinKind::Inner, left, right, keys, condition } => {
                let mut flat = FlatJoin::of_plan(left, catalog)?;
                let right = FlatJoin::of_plan(right, catalog)?;
                if right.relations.iter().any(|relation| flat.relations.contains(relation)) {
                    return None;
                }
                let is_key = |(one, other): &(ScalarExpr, ScalarExpr)| {
                    is_relation_key(&substitute(one, &flat.columns), catalog)
                        && is_relation_key(&substitute(other, &right.columns), catalog)
                };
                if keys.is_empty() || !keys.iter().all(is_key) {
                    return None;
                }
                flat.relations.extend(right.relations);
                flat.conditions.extend(right.conditions);
                flat.columns.extend(right.columns);
                if let Some(condition) = condition {
                    let condition = substitute(condition, &flat.columns);
                    flat.push_conditions(condition);
                }
                Some(flat)
            }
            _ => None,
        }
    }

    fn push_conditions(&mut self, condition: ScalarExpr) {
        match condition.kind {
            ExprKind::And(all) => all.into_iter().for_each(|one| self.push_conditions(one)),
            _ => self.conditions.push(condition),
        }
    }
}

/// The expression with each column replaced by the expression that computes it.
pub(super) fn substitute(expr: &ScalarExpr, columns: &[ScalarExpr]) -> ScalarExpr {
    if let ExprKind::Column(index) = expr.kind {
        return columns[index].clone();
    }
    let mut replaced = expr.clone();
    for operand in replaced.operands_mut() {
        *operand = substitute(operand, columns);
    }
    replaced
}

fn is_relation_key(expr: &ScalarExpr, catalog: &RelationCatalog) -> bool {
    let ExprKind::Column(position) = expr.kind else { return false };
    let ColumnPosition { relation, column } = ColumnPosition::at(position);
    catalog.relations[relation].key == column
}
