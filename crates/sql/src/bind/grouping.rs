//! GROUP BY: expressions, aliases, numbers, ALL, and sets of groupings.

use sqlparser::ast::{self, Expr as Ast, GroupByExpr, GroupByWithModifier};

use crate::datum::{Datum, SqlType};
use crate::expr::ScalarExpr;
use crate::plan::{AggregateCall, QueryPlan};

use super::aggregates::has_aggregate;
use super::functions::CallParts;
use super::items::SelectItem;
use super::scope::NameLookup;
use super::windows::has_window;
use super::{BindResult, ClauseKind, GROUPING_BASE, QuestionBinder, ReportedProblem};

/// How many groupings ROLLUP, CUBE and GROUPING SETS can have in all.
const MAX_GROUPINGS: usize = 32;

/// The grouping of a SELECT.
#[derive(Debug)]
pub(super) struct SelectGrouping {
    /// All grouping expressions.
    pub(super) keys: Vec<ScalarExpr>,
    /// The indices of the keys of each grouping: one with all keys, unless ROLLUP or the like is used.
    pub(super) sets: Vec<Vec<usize>>,
    /// Keys that are calls of `grouping`, by index, each with the keys that it reads.
    calls: Vec<(usize, Vec<usize>)>,
}

impl SelectGrouping {
    /// A grouping without calls of `grouping`.
    pub(super) fn new(keys: Vec<ScalarExpr>, sets: Vec<Vec<usize>>) -> SelectGrouping {
        SelectGrouping { keys, sets, calls: Vec::new() }
    }

    /// Adds calls of `grouping`: their values are columns like those of the keys.
    pub(super) fn add_calls(&mut self, calls: Vec<Vec<usize>>) {
        for (number, read) in calls.into_iter().enumerate() {
            self.calls.push((self.keys.len(), read));
            self.keys.push(ScalarExpr::column(GROUPING_BASE + number, SqlType::Long));
        }
    }

    /// The value of a key that is a call of `grouping` in the grouping by `set`: a bit for each key that it reads, the
    /// first one the highest, which is 1 if the grouping is not by this key.
    fn value_of_call(&self, key: usize, set: &[usize]) -> Option<i64> {
        let (_, read) = self.calls.iter().find(|(index, _)| *index == key)?;
        Some(read.iter().fold(0, |bits, key| bits << 1 | i64::from(!set.contains(key))))
    }
}

/// The most keys that one call of `grouping` reads: its value has a bit for each.
const MAX_GROUPING_KEYS: usize = 32;

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
        let mut grouping = SelectGrouping::new(Vec::new(), vec![Vec::new()]);
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
        self.frame().group_keys = Some(grouping.keys.clone());
        Ok(Some(grouping))
    }

    /// `grouping(x, …)` and `grouping_id(x, …)`: which of the expressions the row is not grouped by. Without arguments all
    /// grouping expressions are meant.
    pub(super) fn bind_grouping_call(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let Some(keys) = self.frame().group_keys.clone().filter(|_| clause.is_after_grouping()) else {
            let message = format!("{} belongs to a SELECT with GROUP BY ROLLUP, CUBE or GROUPING SETS", call.name);
            return Err(self.report(call.span, message));
        };
        let mut read = Vec::new();
        for argument in &call.arguments {
            let bound = self.bind_group_key(argument, &[])?;
            match keys.iter().position(|key| *key == bound) {
                Some(key) => read.push(key),
                None => {
                    let message = format!("{} takes expressions of GROUP BY", call.name);
                    return Err(self.report_at(*argument, message));
                }
            }
        }
        if call.arguments.is_empty() {
            read.extend(0..keys.len());
        }
        if read.len() > MAX_GROUPING_KEYS {
            return Err(self.report(call.span, format!("{} takes at most {MAX_GROUPING_KEYS} values", call.name)));
        }
        let calls = &mut self.frame().grouping_calls;
        let number = calls.iter().position(|known| *known == read).unwrap_or_else(|| {
            calls.push(read);
            calls.len() - 1
        });
        Ok(ScalarExpr::column(GROUPING_BASE + number, SqlType::Long))
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
        SelectGrouping::new(keys, sets)
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
            if let Some(value) = grouping.value_of_call(key, &set) {
                columns.push(ScalarExpr::literal(Datum::Long(value)));
                continue;
            }
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
