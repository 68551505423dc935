//! The plan with derived columns in its scans.

use super::uses::PlanUses;
use super::{ColumnOrigins, joined_origins, projected_origins, scan_expr, scanned_origins};
use crate::datum::SqlType;
use crate::expr::{Expr, ExprKind};
use crate::plan::{JoinKind, Plan};

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
    plan: Plan,
    /// Which columns it has.
    ids: Vec<ColumnId>,
    /// Where its former columns come from.
    origins: ColumnOrigins,
}

/// Rewrites a plan. Its columns stay what they are.
pub(super) fn rewrite_plan(plan: Plan, uses: &PlanUses) -> Plan {
    PlanRewriter { uses, scans: 0 }.rewrite_whole(plan)
}

struct PlanRewriter<'a> {
    uses: &'a PlanUses,
    /// The scans met so far.
    scans: usize,
}

impl PlanRewriter<'_> {
    /// Rewrites an operator of which all columns are read: only these are given on.
    fn rewrite_whole(&mut self, plan: Plan) -> Plan {
        let rewritten = self.rewrite(plan);
        if !rewritten.ids.iter().any(|id| matches!(id, ColumnId::Derived(..))) {
            return rewritten.plan;
        }
        let types = rewritten.plan.types();
        let kept = rewritten.ids.iter().zip(types).enumerate();
        let kept = kept.filter(|(_, (id, _))| matches!(id, ColumnId::Kept(_)));
        let columns = kept.map(|(position, (_, ty))| Expr::column(position, ty)).collect();
        Plan::Project { input: Box::new(rewritten.plan), columns }
    }

    fn rewrite(&mut self, plan: Plan) -> RewrittenPlan {
        match plan {
            Plan::Scan { relation, columns } => self.rewrite_scan(relation, columns),
            Plan::Filter { input, condition } => {
                let mut input = self.rewrite(*input);
                let condition = self.rewrite_expr(condition, &input);
                input.plan = Plan::Filter { input: Box::new(input.plan), condition };
                input
            }
            Plan::Project { input, columns } => self.rewrite_project(*input, columns),
            Plan::Unnest { input, list, keep_empty } => {
                let mut input = self.rewrite(*input);
                let list = self.rewrite_expr(list, &input);
                input.ids.push(ColumnId::Kept(input.origins.len()));
                input.origins.push(None);
                input.plan = Plan::Unnest { input: Box::new(input.plan), list, keep_empty };
                input
            }
            Plan::Join { kind, left, right, keys, condition } => {
                self.rewrite_join(kind, *left, *right, keys, condition)
            }
            Plan::Aggregate { input, mut keys, mut aggregates } => {
                let input = self.rewrite(*input);
                self.rewrite_in_place(&mut keys, &input);
                for call in &mut aggregates {
                    self.rewrite_in_place(&mut call.arguments, &input);
                    self.rewrite_in_place(&mut call.filter, &input);
                    self.rewrite_in_place(call.order.iter_mut().map(|key| &mut key.expr), &input);
                }
                whole_plan(Plan::Aggregate { input: Box::new(input.plan), keys, aggregates })
            }
            Plan::Distinct { input } => whole_plan(Plan::Distinct { input: Box::new(self.rewrite_whole(*input)) }),
            Plan::Window { input, partition, order, functions } => {
                let input = Box::new(self.rewrite_whole(*input));
                whole_plan(Plan::Window { input, partition, order, functions })
            }
            Plan::Limit { input, order, offset, limit } => {
                let input = Box::new(self.rewrite_whole(*input));
                whole_plan(Plan::Limit { input, order, offset, limit })
            }
            Plan::UnionAll { inputs } => {
                let inputs = inputs.into_iter().map(|input| self.rewrite_whole(input)).collect();
                whole_plan(Plan::UnionAll { inputs })
            }
            one_row @ Plan::OneRow { .. } => whole_plan(one_row),
        }
    }

    fn rewrite_scan(&mut self, relation: usize, columns: Vec<Expr>) -> RewrittenPlan {
        let scan = self.scans;
        self.scans += 1;
        let uses = &self.uses.scans[scan];
        let origins = scanned_origins(scan, &columns);
        let kept = columns.into_iter().enumerate().filter(|(position, _)| !uses.is_removed(*position));
        let kept = kept.map(|(position, column)| (ColumnId::Kept(position), column));
        let derived = uses.derived().cloned().enumerate();
        let derived = derived.map(|(number, column)| (ColumnId::Derived(scan, number), column));
        let (ids, columns) = kept.chain(derived).unzip();
        RewrittenPlan { plan: Plan::Scan { relation, columns }, ids, origins }
    }

    fn rewrite_project(&mut self, input: Plan, columns: Vec<Expr>) -> RewrittenPlan {
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
                rewritten.push(Expr::column(position, ty));
            }
        }
        RewrittenPlan { plan: Plan::Project { input: Box::new(input.plan), columns: rewritten }, ids, origins }
    }

    fn rewrite_join(
        &mut self,
        kind: JoinKind,
        left: Plan,
        right: Plan,
        keys: Vec<(Expr, Expr)>,
        condition: Option<Expr>,
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
        RewrittenPlan { plan: Plan::Join { kind, left, right, keys, condition }, ids, origins }
    }

    fn rewrite_in_place<'e>(&self, exprs: impl IntoIterator<Item = &'e mut Expr>, input: &RewrittenPlan) {
        for expr in exprs {
            let former = std::mem::replace(expr, Expr::null(SqlType::Null));
            *expr = self.rewrite_expr(former, input);
        }
    }

    /// An expression over an operator's former columns as one over those that it has.
    fn rewrite_expr(&self, expr: Expr, input: &RewrittenPlan) -> Expr {
        self.rewrite_with(expr, &input.ids, &input.origins)
    }

    fn rewrite_with(&self, mut expr: Expr, ids: &[ColumnId], origins: &ColumnOrigins) -> Expr {
        let position_of = |wanted: ColumnId| ids.iter().position(|id| *id == wanted).unwrap_or_default();
        if let ExprKind::Column(index) = expr.kind {
            return Expr::column(position_of(ColumnId::Kept(index)), expr.ty);
        }
        if let Some(found) =
            scan_expr(&expr, origins).filter(|found| self.uses.scans[found.scan].is_derived(&found.positions))
        {
            let mut derived = self.uses.scans[found.scan].derived();
            let number = derived.position(|other| *other == found.expr).unwrap_or_default();
            let column = Expr::column(position_of(ColumnId::Derived(found.scan, number)), expr.ty);
            return match found.value_without_row {
                None => column,
                Some(value) => {
                    let kind = ExprKind::Coalesce(vec![column, Expr::literal(value)]);
                    Expr { kind, ty: expr.ty }
                }
            };
        }
        for operand in expr.operands_mut() {
            let former = std::mem::replace(operand, Expr::null(SqlType::Null));
            *operand = self.rewrite_with(former, ids, origins);
        }
        expr
    }
}

/// An operator whose columns are computed by itself, or are all read.
fn whole_plan(plan: Plan) -> RewrittenPlan {
    let width = plan.types().len();
    RewrittenPlan { plan, ids: (0..width).map(ColumnId::Kept).collect(), origins: vec![None; width] }
}
