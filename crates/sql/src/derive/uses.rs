//! How the columns of scans are read.

use super::{ColumnOrigins, joined_origins, projected_origins, scan_expr, scanned_origins};
use crate::catalog::RelationCatalog;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{AggregateCall, QueryPlan};

/// What is read of one scan.
#[derive(Debug, Default)]
pub(super) struct ScanUses {
    /// Of each column: whether it is one of the relation that the graph does not hold.
    not_held: Vec<bool>,
    /// Of each column: whether it is read by itself.
    read_alone: Vec<bool>,
    /// The expressions that read this scan alone, with the positions that they read.
    exprs: Vec<(ScalarExpr, Vec<usize>)>,
}

impl ScanUses {
    /// Whether a column is in the scan no longer.
    pub(super) fn is_removed(&self, position: usize) -> bool {
        self.not_held[position]
            && !self.read_alone[position]
            && self.exprs.iter().any(|(_, read)| read.contains(&position))
    }

    /// Whether an expression is a column of the scan.
    pub(super) fn is_derived(&self, positions: &[usize]) -> bool {
        positions.iter().any(|position| self.is_removed(*position))
    }

    /// The expressions that become columns.
    pub(super) fn derived(&self) -> impl Iterator<Item = &ScalarExpr> {
        self.exprs.iter().filter(|(_, read)| self.is_derived(read)).map(|(expr, _)| expr)
    }
}

/// What is read of all scans, by their numbers.
#[derive(Debug)]
pub(super) struct PlanUses {
    pub(super) scans: Vec<ScanUses>,
}

impl PlanUses {
    pub(super) fn has_derived(&self) -> bool {
        self.scans.iter().any(|scan| scan.derived().next().is_some())
    }
}

/// Finds out how the columns of all scans are read.
pub(super) fn find_uses(plan: &QueryPlan, catalog: &RelationCatalog) -> PlanUses {
    let mut finder = UseFinder { catalog, uses: PlanUses { scans: Vec::new() } };
    let origins = finder.visit(plan);
    finder.read_all(&origins);
    finder.uses
}

struct UseFinder<'a> {
    catalog: &'a RelationCatalog,
    uses: PlanUses,
}

impl UseFinder<'_> {
    /// Notes what an operator and its inputs read. Returns where its columns come from.
    fn visit(&mut self, plan: &QueryPlan) -> ColumnOrigins {
        match plan {
            QueryPlan::Scan { relation, columns } => {
                let is_not_held = |column: &ScalarExpr| match column.kind {
                    ExprKind::Column(index) => {
                        let relation = self.catalog.relations.get(*relation);
                        relation.and_then(|relation| relation.columns.get(index)).is_some_and(|column| !column.held)
                    }
                    _ => false,
                };
                let not_held = columns.iter().map(is_not_held).collect();
                let read_alone = vec![false; columns.len()];
                self.uses.scans.push(ScanUses { not_held, read_alone, exprs: Vec::new() });
                scanned_origins(self.uses.scans.len() - 1, columns)
            }
            QueryPlan::Filter { input, condition } => {
                let origins = self.visit(input);
                self.read_expr(condition, &origins);
                origins
            }
            QueryPlan::Project { input, columns } => {
                let origins = self.visit(input);
                let computed = columns.iter().filter(|column| !matches!(column.kind, ExprKind::Column(_)));
                computed.for_each(|column| self.read_expr(column, &origins));
                projected_origins(columns, &origins)
            }
            QueryPlan::Unnest { input, list, .. } => {
                let mut origins = self.visit(input);
                self.read_expr(list, &origins);
                origins.push(None);
                origins
            }
            QueryPlan::Join { kind, left, right, keys, condition } => {
                let (left, right) = (self.visit(left), self.visit(right));
                for (one, other) in keys {
                    self.read_expr(one, &left);
                    self.read_expr(other, &right);
                }
                if let Some(condition) = condition {
                    self.read_expr(condition, &[left.clone(), right.clone()].concat());
                }
                joined_origins(*kind, left, right)
            }
            QueryPlan::Aggregate { input, keys, aggregates } => {
                let origins = self.visit(input);
                keys.iter().for_each(|key| self.read_expr(key, &origins));
                aggregates.iter().flat_map(call_exprs).for_each(|expr| self.read_expr(expr, &origins));
                vec![None; keys.len() + aggregates.len()]
            }
            // Whether rows are equal, and their order, depends on all columns.
            QueryPlan::Distinct { .. }
            | QueryPlan::Window { .. }
            | QueryPlan::Limit { .. }
            | QueryPlan::UnionAll { .. }
            | QueryPlan::OneRow { .. } => {
                for input in plan.inputs() {
                    let origins = self.visit(input);
                    self.read_all(&origins);
                }
                vec![None; plan.types().len()]
            }
        }
    }

    fn read_all(&mut self, origins: &ColumnOrigins) {
        for origin in origins.iter().flatten() {
            self.uses.scans[origin.scan].read_alone[origin.position] = true;
        }
    }

    fn read_expr(&mut self, expr: &ScalarExpr, origins: &ColumnOrigins) {
        if let Some(found) = scan_expr(expr, origins) {
            let uses = &mut self.uses.scans[found.scan];
            let known = uses.exprs.iter().any(|(other, _)| *other == found.expr);
            if !known && found.positions.iter().any(|position| uses.not_held[*position]) {
                uses.exprs.push((found.expr, found.positions));
            }
            return;
        }
        if let ExprKind::Column(index) = expr.kind {
            self.read_all(&vec![origins.get(index).cloned().flatten()]);
        }
        expr.operands().into_iter().for_each(|operand| self.read_expr(operand, origins));
    }
}

/// The expressions of an aggregate call.
pub(super) fn call_exprs(call: &AggregateCall) -> impl Iterator<Item = &ScalarExpr> {
    call.arguments.iter().chain(&call.filter).chain(call.order.iter().map(|key| &key.expr))
}
