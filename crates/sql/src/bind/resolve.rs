//! The steps of a SELECT after its rows: grouping, subqueries, HAVING, window functions, QUALIFY.
//!
//! Each step adds columns at the end of the rows, and the positions that stood for them until then are replaced.

use sqlparser::tokenizer::Span;

use crate::datum::SqlType;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{JoinKind, QueryPlan, SortKey, WindowCall};
use crate::rewrite::all_of;

use super::windows::WindowSite;
use super::{AGGREGATE_BASE, ATTACHED_BASE, BindResult, OUTER_BASE, QuestionBinder, ReportedProblem, WINDOW_BASE};

/// An expression with the first of the columns that it mentions.
#[derive(Debug, Clone)]
pub(super) struct DraftExpr {
    pub(super) expr: ScalarExpr,
    pub(super) first_mention: usize,
    pub(super) span: Span,
}

/// Where the columns of the later steps are.
#[derive(Debug, Default)]
pub(super) struct ColumnLayout {
    /// The grouping expressions; `None` without grouping.
    pub(super) keys: Option<Vec<ScalarExpr>>,
    /// The position of the first column of subqueries.
    pub(super) attached: usize,
    /// The positions of the window functions.
    pub(super) windows: Vec<usize>,
}

/// A column that is neither a grouping expression nor inside an aggregate.
struct UngroupedColumn(usize);

impl ColumnLayout {
    fn place(&self, expr: &mut ScalarExpr) -> Result<(), UngroupedColumn> {
        if let Some(keys) = &self.keys
            && let Some(key) = keys.iter().position(|key| key == expr)
        {
            *expr = ScalarExpr::column(key, expr.ty);
            return Ok(());
        }
        if let ExprKind::Column(column) = &mut expr.kind {
            *column = self.place_column(*column)?;
            return Ok(());
        }
        expr.operands_mut().into_iter().try_for_each(|operand| self.place(operand))
    }

    fn place_column(&self, column: usize) -> Result<usize, UngroupedColumn> {
        match column {
            OUTER_BASE.. => Ok(column),
            WINDOW_BASE.. => Ok(self.windows.get(column - WINDOW_BASE).copied().unwrap_or(column)),
            ATTACHED_BASE.. => Ok(self.attached + column - ATTACHED_BASE),
            AGGREGATE_BASE.. => Ok(self.keys.as_ref().map_or(0, Vec::len) + column - AGGREGATE_BASE),
            _ if self.keys.is_some() => Err(UngroupedColumn(column)),
            _ => Ok(column),
        }
    }
}

impl<'a> QuestionBinder<'a> {
    /// Puts the columns of an expression into place.
    pub(super) fn place(&mut self, draft: &DraftExpr, layout: &ColumnLayout) -> BindResult<ScalarExpr> {
        let mut expr = draft.expr.clone();
        match layout.place(&mut expr) {
            Ok(()) => Ok(expr),
            Err(UngroupedColumn(position)) => Err(self.report_ungrouped(position, draft.first_mention, draft.span)),
        }
    }

    fn report_ungrouped(&mut self, position: usize, first_mention: usize, span: Span) -> ReportedProblem {
        let mentions = &self.frame().mentions;
        let later = mentions.get(first_mention..).unwrap_or_default();
        let mention = later.iter().chain(mentions).find(|mention| mention.position == position).cloned();
        match mention {
            Some(mention) => {
                let name = mention.name;
                let message = format!(
                    "`{name}` has many values in a group; add it to GROUP BY, or take one of them, for example max({name})"
                );
                self.report(mention.span, message)
            }
            None => self.report(span, "this has many values in a group; add it to GROUP BY, or take one with max(…)"),
        }
    }

    /// Joins the subqueries that are read after grouping.
    pub(super) fn join_attached(&mut self, mut plan: QueryPlan, layout: &ColumnLayout) -> BindResult<QueryPlan> {
        let attached = std::mem::take(&mut self.frame().attached);
        for join in attached {
            let mut keys = Vec::new();
            for (outer, inner) in join.keys {
                let draft = DraftExpr { expr: outer, first_mention: 0, span: join.span };
                keys.push((self.place(&draft, layout)?, inner));
            }
            plan = QueryPlan::Join {
                kind: JoinKind::Left,
                left: Box::new(plan),
                right: Box::new(join.plan),
                keys,
                condition: None,
            };
        }
        Ok(plan)
    }

    /// Adds the window functions, those of equal windows in one operator. Fills in their positions.
    pub(super) fn add_windows(
        &mut self,
        mut plan: QueryPlan,
        width: usize,
        layout: &mut ColumnLayout,
    ) -> BindResult<QueryPlan> {
        let sites = self.frame().windows.clone();
        let mut placed = Vec::new();
        for site in sites {
            placed.push(self.place_window(site, layout));
        }
        let placed = placed.into_iter().collect::<BindResult<Vec<WindowSite>>>()?;
        layout.windows = vec![0; placed.len()];
        let mut position = width;
        let mut done = vec![false; placed.len()];
        for first in 0..placed.len() {
            if done[first] {
                continue;
            }
            let mut functions = Vec::new();
            for index in first..placed.len() {
                let (one, other) = (&placed[first], &placed[index]);
                if !done[index] && one.partition == other.partition && one.order == other.order {
                    done[index] = true;
                    layout.windows[index] = position;
                    position += 1;
                    functions.push(other.call.clone());
                }
            }
            let WindowSite { partition, order, .. } = placed[first].clone();
            plan = QueryPlan::Window { input: Box::new(plan), partition, order, functions };
        }
        Ok(plan)
    }

    fn place_window(&mut self, site: WindowSite, layout: &ColumnLayout) -> BindResult<WindowSite> {
        let mut site = site;
        let mut first_problem = None;
        for expr in site.exprs_mut() {
            if let Err(UngroupedColumn(position)) = layout.place(expr) {
                first_problem = first_problem.or(Some(position));
            }
        }
        match first_problem {
            Some(position) => Err(self.report_ungrouped(position, site.first_mention, site.span)),
            None => Ok(site),
        }
    }
}

/// Keeps the rows for which all conditions are true.
pub(super) fn filtered(plan: QueryPlan, conditions: Vec<ScalarExpr>) -> QueryPlan {
    match all_of(conditions) {
        Some(condition) => QueryPlan::Filter { input: Box::new(plan), condition },
        None => plan,
    }
}

/// The one window function of a partition.
pub(super) fn with_window(
    plan: QueryPlan,
    partition: Vec<ScalarExpr>,
    order: Vec<SortKey>,
    call: WindowCall,
) -> QueryPlan {
    QueryPlan::Window { input: Box::new(plan), partition, order, functions: vec![call] }
}

/// The columns of a plan as they are.
pub(super) fn identity_columns(types: &[SqlType]) -> Vec<ScalarExpr> {
    types.iter().enumerate().map(|(position, ty)| ScalarExpr::column(position, *ty)).collect()
}
