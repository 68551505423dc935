//! GROUP BY: expressions, aliases, numbers, ALL, and sets of groupings.

use sqlparser::ast::{self, Expr as Ast, GroupByExpr, GroupByWithModifier};

use crate::expr::ScalarExpr;
use crate::plan::{AggregateCall, QueryPlan};

use super::aggregates::has_aggregate;
use super::items::SelectItem;
use super::scope::NameLookup;
use super::windows::has_window;
use super::{BindResult, ClauseKind, QuestionBinder, ReportedProblem};

/// How many groupings ROLLUP, CUBE and GROUPING SETS can have in all.
const MAX_GROUPINGS: usize = 32;

/// The grouping of a SELECT.
#[derive(Debug)]
pub(super) struct SelectGrouping {
    /// All grouping expressions.
    pub(super) keys: Vec<ScalarExpr>,
    /// The indices of the keys of each grouping: one with all keys, unless ROLLUP or the like is used.
    pub(super) sets: Vec<Vec<usize>>,
}

impl<'a> QuestionBinder<'a> {
    /// Binds GROUP BY. `None` if there is none.
    pub(super) fn bind_group_by(
        &mut self,
        group_by: &'a GroupByExpr,
        projection: &'a [ast::SelectItem],
    ) -> BindResult<Option<SelectGrouping>> {
        let (expressions, modifiers) = match group_by {
            GroupByExpr::All(modifiers) => (&[][..], modifiers),
            GroupByExpr::Expressions(expressions, modifiers) => (&expressions[..], modifiers),
        };
        if expressions.is_empty() {
            return match modifiers.first() {
                Some(_) => Err(self.report_at(group_by, "GROUP BY ALL takes no ROLLUP or CUBE; name the columns")),
                None => Ok(None),
            };
        }
        let mut grouping = SelectGrouping { keys: Vec::new(), sets: vec![Vec::new()] };
        let mut result = Ok(());
        for expression in expressions {
            result = self.add_grouping(&mut grouping, expression, projection).and(result);
        }
        for modifier in modifiers {
            match modifier {
                GroupByWithModifier::Rollup => grouping.sets = rollup_sets(&grouping.keys),
                GroupByWithModifier::Cube => grouping.sets = cube_sets(grouping.keys.len()),
                other => {
                    let message = format!("{other} is not possible in GROUP BY; write GROUPING SETS (…)");
                    result = Err(self.report_at(group_by, message));
                }
            }
        }
        result?;
        if grouping.sets.len() > MAX_GROUPINGS {
            return Err(self.report_at(
                group_by,
                format!("this makes {} groupings, and at most {MAX_GROUPINGS} are possible", grouping.sets.len()),
            ));
        }
        Ok(Some(grouping))
    }

    fn add_grouping(
        &mut self,
        grouping: &mut SelectGrouping,
        expression: &'a Ast,
        projection: &'a [ast::SelectItem],
    ) -> BindResult<()> {
        let sets = match expression {
            Ast::Rollup(parts) => {
                let parts = self.key_sets(grouping, parts, projection)?;
                (0..=parts.len()).rev().map(|count| parts[..count].concat()).collect()
            }
            Ast::Cube(parts) => {
                let parts = self.key_sets(grouping, parts, projection)?;
                cube_sets(parts.len().min(16))
                    .into_iter()
                    .map(|set| set.into_iter().flat_map(|index| parts[index].clone()).collect())
                    .collect()
            }
            Ast::GroupingSets(parts) => self.key_sets(grouping, parts, projection)?,
            Ast::Tuple(parts) => vec![self.key_set(grouping, parts, projection)?],
            single => vec![self.key_set(grouping, std::slice::from_ref(single), projection)?],
        };
        if grouping.sets.len() * sets.len() > 4096 {
            return Err(self.report_at(expression, format!("at most {MAX_GROUPINGS} groupings are possible")));
        }
        let combine = |before: &Vec<usize>| -> Vec<Vec<usize>> {
            sets.iter().map(|set: &Vec<usize>| before.iter().chain(set).copied().collect()).collect()
        };
        grouping.sets = grouping.sets.iter().flat_map(combine).collect();
        Ok(())
    }

    fn key_sets(
        &mut self,
        grouping: &mut SelectGrouping,
        parts: &'a [Vec<Ast>],
        projection: &'a [ast::SelectItem],
    ) -> BindResult<Vec<Vec<usize>>> {
        let sets: Vec<BindResult<Vec<usize>>> =
            parts.iter().map(|part| self.key_set(grouping, part, projection)).collect();
        sets.into_iter().collect()
    }

    fn key_set(
        &mut self,
        grouping: &mut SelectGrouping,
        parts: &'a [Ast],
        projection: &'a [ast::SelectItem],
    ) -> BindResult<Vec<usize>> {
        let keys: Vec<BindResult<usize>> = parts
            .iter()
            .map(|part| {
                let key = self.bind_group_key(part, projection)?;
                Ok(grouping.keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                    grouping.keys.push(key);
                    grouping.keys.len() - 1
                }))
            })
            .collect();
        keys.into_iter().collect()
    }

    fn bind_group_key(&mut self, key: &'a Ast, projection: &'a [ast::SelectItem]) -> BindResult<ScalarExpr> {
        match key {
            Ast::Value(ast::ValueWithSpan { value: ast::Value::Number(number, _), span }) => {
                let item = number.parse::<usize>().ok().and_then(|position| projection.get(position.checked_sub(1)?));
                match item {
                    Some(ast::SelectItem::UnnamedExpr(item) | ast::SelectItem::ExprWithAlias { expr: item, .. }) => {
                        self.bind_expr(item, ClauseKind::GroupBy)
                    }
                    Some(_) => Err(self.report(*span, "a number in GROUP BY cannot stand for *; name the columns")),
                    None => {
                        let message =
                            format!("there is no column number {number}; the SELECT has {}", projection.len());
                        Err(self.report(*span, message))
                    }
                }
            }
            // A column of the input comes before an alias of the SELECT list.
            Ast::Identifier(name) => match self.frame().scope.look_up(None, &name.value) {
                NameLookup::Found(expr) => Ok(expr),
                NameLookup::Broken => Err(ReportedProblem),
                _ => self.bind_expr(key, ClauseKind::GroupBy),
            },
            _ => self.bind_expr(key, ClauseKind::GroupBy),
        }
    }

    /// GROUP BY ALL: everything selected that is no aggregate.
    pub(super) fn group_by_all(&self, items: &[SelectItem]) -> SelectGrouping {
        let mut keys: Vec<ScalarExpr> = Vec::new();
        for item in items {
            let Ok(draft) = &item.draft else { continue };
            if !has_aggregate(&draft.expr) && !has_window(&draft.expr) && !keys.contains(&draft.expr) {
                keys.push(draft.expr.clone());
            }
        }
        let sets = vec![(0..keys.len()).collect()];
        SelectGrouping { keys, sets }
    }
}

fn rollup_sets(keys: &[ScalarExpr]) -> Vec<Vec<usize>> {
    (0..=keys.len()).rev().map(|count| (0..count).collect()).collect()
}

fn cube_sets(keys: usize) -> Vec<Vec<usize>> {
    let keys = keys.min(16);
    let set = |bits: usize| (0..keys).filter(|key| bits & (1 << key) != 0).collect();
    (0..1usize << keys).rev().map(set).collect()
}

/// Groups rows: the columns are all keys, then the aggregates. A grouping without a key has null in its column.
pub(super) fn group_rows(input: QueryPlan, grouping: &SelectGrouping, aggregates: &[AggregateCall]) -> QueryPlan {
    let whole: Vec<usize> = (0..grouping.keys.len()).collect();
    if grouping.sets.len() == 1 && sorted_set(&grouping.sets[0]) == whole {
        return QueryPlan::Aggregate {
            input: Box::new(input),
            keys: grouping.keys.clone(),
            aggregates: aggregates.to_vec(),
        };
    }
    let one = |set: &Vec<usize>| {
        let set = sorted_set(set);
        let keys: Vec<ScalarExpr> = set.iter().map(|key| grouping.keys[*key].clone()).collect();
        let mut columns: Vec<ScalarExpr> = Vec::new();
        for (key, expr) in grouping.keys.iter().enumerate() {
            let position = set.iter().position(|known| *known == key);
            columns.push(
                position.map_or_else(|| ScalarExpr::null(expr.ty), |position| ScalarExpr::column(position, expr.ty)),
            );
        }
        let calls = aggregates.iter().enumerate().map(|(index, call)| ScalarExpr::column(keys.len() + index, call.ty));
        columns.extend(calls);
        let grouped = QueryPlan::Aggregate { input: Box::new(input.clone()), keys, aggregates: aggregates.to_vec() };
        QueryPlan::Project { input: Box::new(grouped), columns }
    };
    QueryPlan::UnionAll { inputs: grouping.sets.iter().map(one).collect() }
}

fn sorted_set(set: &[usize]) -> Vec<usize> {
    let mut set = set.to_vec();
    set.sort_unstable();
    set.dedup();
    set
}
