//! The plan with derived columns in its scans.

use super::uses::PlanUses;
use super::{ColumnOrigins, joined_origins, projected_origins, scan_expr, scanned_origins};
use crate::datum::SqlType;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{JoinKind, QueryPlan};

/// Which column a column of the rewritten plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnId {
    /// The column that was at this position.
    Kept(usize),
    /// A derived column, by its scan and its number among the scan's.
    Derived(usize, usize),
}

/// An operator, rewritten.
struct RewrittenPlan {
    plan: QueryPlan,
    /// Which columns it has.
    ids: Vec<ColumnId>,
    /// Where its former columns come from.
    origins: ColumnOrigins,
}

/// Rewrites a plan. Its columns stay what they are.
pub(super) fn rewrite_plan(plan: QueryPlan, uses: &PlanUses) -> QueryPlan {
    PlanRewriter { uses, scans: 0 }.rewrite_whole(plan)
}

struct PlanRewriter<'a> {
    uses: &'a PlanUses,
    /// The scans met so far.
    scans: usize,
}

impl PlanRewriter<'_> {
    /// Rewrites an operator of which all columns are read: only these are given on.
    fn rewrite_whole(&mut self, plan: QueryPlan) -> QueryPlan {
        let rewritten = self.rewrite(plan);
        if !rewritten.ids.iter().any(|id| matches!(id, ColumnId::Derived(..))) {
            return rewritten.plan;
        }
        let types = rewritten.plan.types();
        let kept = rewritten.ids.iter().zip(types).enumerate();
        let kept = kept.filter(|(_, (id, _))| matches!(id, ColumnId::Kept(_)));
        let columns = kept.map(|(position, (_, ty))| ScalarExpr::column(position, ty)).collect();
        QueryPlan::Project { input: Box::new(rewritten.plan), columns }
    }

    fn rewrite(&mut self, plan: QueryPlan) -> RewrittenPlan {
        match plan {
            QueryPlan::Scan { relation, columns } => self.rewrite_scan(relation, columns),
            QueryPlan::Filter { input, condition } => {
                let mut input = self.rewrite(*input);
                let condition = self.rewrite_expr(condition, &input);
                input.plan = QueryPlan::Filter { input: Box::new(input.plan), condition };
                input
            }
            QueryPlan::Project { input, columns } => self.rewrite_project(*input, columns),
            QueryPlan::Unnest { input, list, keep_empty } => {
                let mut input = self.rewrite(*input);
                let list = self.rewrite_expr(list, &input);
                input.ids.push(ColumnId::Kept(input.origins.len()));
                input.origins.push(None);
                input.plan = QueryPlan::Unnest { input: Box::new(input.plan), list, keep_empty };
                input
            }
            QueryPlan::Join { kind, left, right, keys, condition } => {
                self.rewrite_join(kind, *left, *right, keys, condition)
            }
            QueryPlan::Aggregate { input, mut keys, mut aggregates } => {
                let input = self.rewrite(*input);
                self.rewrite_in_place(&mut keys, &input);
                for call in &mut aggregates {
                    self.rewrite_in_place(&mut call.arguments, &input);
                    self.rewrite_in_place(&mut call.filter, &input);
                    self.rewrite_in_place(call.order.iter_mut().map(|key| &mut key.expr), &input);
                }
                whole_plan(QueryPlan::Aggregate { input: Box::new(input.plan), keys, aggregates })
            }
            QueryPlan::Distinct { input } => {
                whole_plan(QueryPlan::Distinct { input: Box::new(self.rewrite_whole(*input)) })
            }
            QueryPlan::Window { input, partition, order, functions } => {
                let input = Box::new(self.rewrite_whole(*input));
                whole_plan(QueryPlan::Window { input, partition, order, functions })
            }
            QueryPlan::Limit { input, order, offset, limit } => {
                let input = Box::new(self.rewrite_whole(*input));
                whole_plan(QueryPlan::Limit { input, order, offset, limit })
            }
            QueryPlan::UnionAll { inputs } => {
                let inputs = inputs.into_iter().map(|input| self.rewrite_whole(input)).collect();
                whole_plan(QueryPlan::UnionAll { inputs })
            }
            one_row @ QueryPlan::OneRow { .. } => whole_plan(one_row),
        }
    }

    fn rewrite_scan(&mut self, relation: usize, columns: Vec<ScalarExpr>) -> RewrittenPlan {
        let scan = self.scans;
        self.scans += 1;
        let uses = &self.uses.scans[scan];
        let origins = scanned_origins(scan, &columns);
        let kept = columns.into_iter().enumerate().filter(|(position, _)| !uses.is_removed(*position));
        let kept = kept.map(|(position, column)| (ColumnId::Kept(position), column));
        let derived = uses.derived().cloned().enumerate();
        let derived = derived.map(|(number, column)| (ColumnId::Derived(scan, number), column));
        let (ids, columns) = kept.chain(derived).unzip();
        RewrittenPlan { plan: QueryPlan::Scan { relation, columns }, ids, origins }
    }

    fn rewrite_project(&mut self, input: QueryPlan, columns: Vec<ScalarExpr>) -> RewrittenPlan {
        let input = self.rewrite(input);
        let origins = projected_origins(&columns, &input.origins);
        let (mut ids, mut rewritten) = (Vec::new(), Vec::new());
        for (position, column) in columns.into_iter().enumerate() {
            let is_removed = |origin: &super::ColumnOrigin| self.uses.scans[origin.scan].is_removed(origin.position);
            if !origins[position].as_ref().is_some_and(is_removed) {
                ids.push(ColumnId::Kept(position));
                rewritten.push(self.rewrite_expr(column, &input));
            }
        }
        let types = input.plan.types();
        for (position, (id, ty)) in input.ids.iter().zip(types).enumerate() {
            if matches!(id, ColumnId::Derived(..)) {
                ids.push(*id);
                rewritten.push(ScalarExpr::column(position, ty));
            }
        }
        RewrittenPlan { plan: QueryPlan::Project { input: Box::new(input.plan), columns: rewritten }, ids, origins }
    }

    fn rewrite_join(
        &mut self,
        kind: JoinKind,
        left: QueryPlan,
        right: QueryPlan,
        keys: Vec<(ScalarExpr, ScalarExpr)>,
        condition: Option<ScalarExpr>,
    ) -> RewrittenPlan {
        let (left, right) = (self.rewrite(left), self.rewrite(right));
        let keys =
            keys.into_iter().map(|(one, other)| (self.rewrite_expr(one, &left), self.rewrite_expr(other, &right)));
        let keys = keys.collect();
        let left_width = left.origins.len();
        let shifted = right.ids.iter().map(|id| match id {
            ColumnId::Kept(position) => ColumnId::Kept(position + left_width),
            derived => *derived,
        });
        let mut ids: Vec<ColumnId> = left.ids.iter().copied().chain(shifted).collect();
        let both = [left.origins.clone(), right.origins.clone()].concat();
        let condition = condition.map(|condition| self.rewrite_with(condition, &ids, &both));
        if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
            ids.truncate(left.ids.len());
        }
        let origins = joined_origins(kind, left.origins, right.origins);
        let (left, right) = (Box::new(left.plan), Box::new(right.plan));
        RewrittenPlan { plan: QueryPlan::Join { kind, left, right, keys, condition }, ids, origins }
    }

    fn rewrite_in_place<'e>(&self, exprs: impl IntoIterator<Item = &'e mut ScalarExpr>, input: &RewrittenPlan) {
        for expr in exprs {
            let former = std::mem::replace(expr, ScalarExpr::null(SqlType::Null));
            *expr = self.rewrite_expr(former, input);
        }
    }

    /// An expression over an operator's former columns as one over those that it has.
    fn rewrite_expr(&self, expr: ScalarExpr, input: &RewrittenPlan) -> ScalarExpr {
        self.rewrite_with(expr, &input.ids, &input.origins)
    }

    fn rewrite_with(&self, mut expr: ScalarExpr, ids: &[ColumnId], origins: &ColumnOrigins) -> ScalarExpr {
        let position_of = |wanted: ColumnId| ids.iter().position(|id| *id == wanted).unwrap_or_default();
        if let ExprKind::Column(index) = expr.kind {
            return ScalarExpr::column(position_of(ColumnId::Kept(index)), expr.ty);
        }
        if let Some(found) =
            scan_expr(&expr, origins).filter(|found| self.uses.scans[found.scan].is_derived(&found.positions))
        {
            let mut derived = self.uses.scans[found.scan].derived();
            let number = derived.position(|other| *other == found.expr).unwrap_or_default();
            let column = ScalarExpr::column(position_of(ColumnId::Derived(found.scan, number)), expr.ty);
            return match found.value_without_row {
                None => column,
                Some(value) => {
                    let kind = ExprKind::Coalesce(vec![column, ScalarExpr::literal(value)]);
                    ScalarExpr { kind, ty: expr.ty }
                }
            };
        }
        for operand in expr.operands_mut() {
            let former = std::mem::replace(operand, ScalarExpr::null(SqlType::Null));
            *operand = self.rewrite_with(former, ids, origins);
        }
        expr
    }
}

/// An operator whose columns are computed by itself, or are all read.
fn whole_plan(plan: QueryPlan) -> RewrittenPlan {
    let width = plan.types().len();
    RewrittenPlan { plan, ids: (0..width).map(ColumnId::Kept).collect(), origins: vec![None; width] }
}
