//! Recognises the questions that fit the fast path.

use std::num::NonZeroU32;

use pinflow_sql::catalog::RelationCatalog;
use pinflow_sql::datum::{Datum, SqlType};
use pinflow_sql::expr::{CompareOp, ExprKind, ScalarExpr};
use pinflow_sql::plan::{
    AggregateCall, AggregateFunction, BoundQuestion, QueryPlan, SortKey, WindowCall, WindowFunction,
};

use super::flat_join::{FlatJoin, substitute};
use super::row_functions::{InputFunction, InputParts, RowCompiler};
use crate::aggregates::{Aggregate, GROUP_COLUMNS_MAX, MedianMethod, QueryOptions, RankLimit, TieRule};

/// A question that fits the fast path.
#[derive(Debug, Clone)]
pub struct CompactQuestion {
    /// The relations whose rows are joined, by index in the catalog, ascending.
    pub relations: Vec<usize>,
    /// The conditions, all of which must be true. Expressions here are over the columns of all relations.
    conditions: Vec<ScalarExpr>,
    /// The grouping columns that come first in the rows of the aggregate.
    groups: Vec<ScalarExpr>,
    /// The label, if the aggregate has labels. Rows whose label is null do not count.
    label: Option<ScalarExpr>,
    /// The value, if the aggregate reads values. Rows whose value is null do not count.
    value: Option<ScalarExpr>,
    /// How the inputs of a group become rows of the answer.
    pub aggregate: Aggregate,
    /// How the aggregate ranks, and which median it takes.
    pub options: QueryOptions,
    /// For each column of the answer the column of the aggregate's rows: groups, then the label, then the value.
    output: Vec<usize>,
}

impl CompactQuestion {
    /// The question on the fast path. `None` if it does not fit.
    #[must_use]
    pub fn recognize(question: &BoundQuestion, catalog: &RelationCatalog) -> Option<CompactQuestion> {
        let ranked = RankedGroups::of_plan(&question.plan)?;
        let flat = FlatJoin::of_plan(ranked.input, catalog)?;
        let keys: Vec<ScalarExpr> = ranked.keys.iter().map(|key| substitute(key, &flat.columns)).collect();
        let mut found = ranked.aggregate(&keys, &flat)?;
        found.relations = flat.relations;
        found.relations.sort_unstable();
        // Where a null label or value makes the row not count, its condition needs no evaluation.
        let label = found.label.iter().filter(|_| found.aggregate.has_labels());
        let read = label.chain(&found.value).cloned().collect::<Vec<_>>();
        let is_implied = |condition: &ScalarExpr| not_null_operand(condition).is_some_and(|it| read.contains(it));
        found.conditions = flat.conditions.into_iter().filter(|condition| !is_implied(condition)).collect();
        found.compile(catalog, 0).is_some().then_some(found)
    }

    /// The number of leading columns of the answer that are its groups, in order.
    #[must_use]
    pub fn leading_groups(&self) -> usize {
        let groups = self.groups.len();
        if self.output.iter().copied().take(groups).eq(0..groups) { groups } else { 0 }
    }

    /// The columns of the answer among those of the aggregate, where they are in another order.
    #[must_use]
    pub fn output_order(&self) -> Option<Box<[usize]>> {
        let is_same = self.output.iter().copied().eq(0..self.output.len());
        (!is_same).then(|| self.output.clone().into())
    }

    /// Compiles the functions from joined rows to inputs of the aggregate, for one worker. `answer` is the index of the
    /// question among those of the aggregates. `None` if an expression reads columns that are not projected, or needs
    /// more than the fast path can do.
    #[must_use]
    pub fn compile(&self, catalog: &RelationCatalog, answer: u16) -> Option<InputFunction> {
        let parts = InputParts {
            conditions: &self.conditions,
            groups: &self.groups,
            label: self.label.as_ref(),
            value: self.value.as_ref(),
            needs_label: self.aggregate.has_labels(),
            answer,
        };
        parts.compile(&RowCompiler::new(catalog))
    }
}

/// A grouping with one aggregate, and the ranks that are kept of it.
struct RankedGroups<'p> {
    input: &'p QueryPlan,
    keys: &'p [ScalarExpr],
    call: &'p AggregateCall,
    ranks: Option<KeptRanks<'p>>,
    output: Vec<usize>,
}

/// A filter of ranks: the partition, the order, which rank is compared, and how many are kept.
struct KeptRanks<'p> {
    partition: &'p [ScalarExpr],
    order: &'p [SortKey],
    ties: TieRule,
    limit: NonZeroU32,
}

impl<'p> RankedGroups<'p> {
    fn of_plan(plan: &'p QueryPlan) -> Option<RankedGroups<'p>> {
        let (mut columns, plan) = match plan {
            QueryPlan::Project { input, columns } => (column_indices(columns)?, &**input),
            _ => ((0..plan.types().len()).collect(), plan),
        };
        let (ranks, plan) = match plan {
            QueryPlan::Filter { input, condition } => {
                let (ranks, below) = KeptRanks::of_filter(condition, input)?;
                (Some(ranks), below)
            }
            _ => (None, plan),
        };
        let (renamed, plan) = match plan {
            QueryPlan::Project { input, columns } if ranks.is_none() => (Some(column_indices(columns)?), &**input),
            _ => (None, plan),
        };
        if let Some(renamed) = renamed {
            columns = columns.into_iter().map(|column| renamed.get(column).copied()).collect::<Option<_>>()?;
        }
        let QueryPlan::Aggregate { input, keys, aggregates } = plan else { return None };
        let [call] = &aggregates[..] else { return None };
        // The answer has every column of the grouping once, or a group would be listed twice.
        let mut sorted = columns.clone();
        sorted.sort_unstable();
        let is_whole = sorted.iter().copied().eq(0..=keys.len()) && !keys.is_empty();
        (is_whole && call.filter.is_none()).then_some(RankedGroups { input, keys, call, ranks, output: columns })
    }

    /// The aggregate of the fast path, with keys, label and value over all relations.
    fn aggregate(&self, keys: &[ScalarExpr], flat: &FlatJoin) -> Option<CompactQuestion> {
        let argument = |index: usize| Some(substitute(self.call.arguments.get(index)?, &flat.columns));
        let is_never_null = |expr: &ScalarExpr| flat.conditions.iter().any(|it| not_null_operand(it) == Some(expr));
        let plain = |aggregate, value| self.unranked(keys, aggregate, value);
        match (self.call.function, self.call.distinct) {
            (AggregateFunction::CountRows, false) => match &self.ranks {
                Some(ranks) => self.ranked(ranks, keys, &is_never_null, Aggregate::TopByCount, None),
                None => plain(Aggregate::Count, None),
            },
            (AggregateFunction::Count, true) if self.ranks.is_none() => {
                let label = argument(0).filter(|it| it.ty == SqlType::Text)?;
                let found = plain(Aggregate::CountDistinct, None)?;
                // A row without a label still makes its group exist.
                Some(CompactQuestion { label: Some(label), ..found })
            }
            (AggregateFunction::Max, _) => {
                let value = argument(0).filter(|it| it.ty == SqlType::Long && is_never_null(it))?;
                match &self.ranks {
                    Some(ranks) => self.ranked(ranks, keys, &is_never_null, Aggregate::TopByMax, Some(value)),
                    None => self.all_ranked(keys, &is_never_null, value),
                }
            }
            (AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc, false) if self.ranks.is_none() => {
                let is_half = matches!(&self.call.arguments.get(1)?.kind, ExprKind::Literal(Datum::Double(0.5)));
                let exact = self.call.function == AggregateFunction::PercentileCont;
                let value = without_cast(argument(0)?);
                let fits = is_half && value.ty == SqlType::Long && is_never_null(&value);
                // The discrete percentile has the type of its argument; only the one converted to double fits.
                let median = if exact { MedianMethod::Exact } else { MedianMethod::Lower };
                let found = plain(Aggregate::Median, Some(value))?;
                (fits && self.call.ty == SqlType::Double)
                    .then_some(CompactQuestion { options: QueryOptions { median, ..found.options }, ..found })
            }
            _ => None,
        }
    }

    fn unranked(
        &self,
        keys: &[ScalarExpr],
        aggregate: Aggregate,
        value: Option<ScalarExpr>,
    ) -> Option<CompactQuestion> {
        (keys.len() <= GROUP_COLUMNS_MAX).then(|| CompactQuestion {
            relations: Vec::new(),
            conditions: Vec::new(),
            groups: keys.to_vec(),
            label: None,
            value,
            aggregate,
            options: QueryOptions::default(),
            output: self.output.clone(),
        })
    }

    /// A ranking that keeps the first ranks: the one key that is not in the partition is the label.
    fn ranked(
        &self,
        ranks: &KeptRanks<'_>,
        keys: &[ScalarExpr],
        is_never_null: &dyn Fn(&ScalarExpr) -> bool,
        aggregate: Aggregate,
        value: Option<ScalarExpr>,
    ) -> Option<CompactQuestion> {
        let partition = column_indices(ranks.partition)?;
        let label = (0..keys.len()).find(|key| !partition.contains(key))?;
        let ranking = RankingColumns { label, value: keys.len() };
        if partition.len() + 1 != keys.len() || !ranking.is_order(ranks.order, ranks.ties) {
            return None;
        }
        let options = QueryOptions { ties: ranks.ties, top: RankLimit::Ranks(ranks.limit), ..QueryOptions::default() };
        self.with_label(&partition, label, keys, is_never_null, aggregate, value, options)
    }

    /// The greatest value of each group, which is a ranking of which all ranks are kept.
    fn all_ranked(
        &self,
        keys: &[ScalarExpr],
        is_never_null: &dyn Fn(&ScalarExpr) -> bool,
        value: ScalarExpr,
    ) -> Option<CompactQuestion> {
        let is_label = |key: &usize| keys[*key].ty == SqlType::Text && is_never_null(&keys[*key]);
        let label = (0..keys.len()).rev().find(is_label)?;
        let partition: Vec<usize> = (0..keys.len()).filter(|key| *key != label).collect();
        let options = QueryOptions { top: RankLimit::All, ..QueryOptions::default() };
        self.with_label(&partition, label, keys, is_never_null, Aggregate::TopByMax, Some(value), options)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one question, each named")]
    fn with_label(
        &self,
        partition: &[usize],
        label: usize,
        keys: &[ScalarExpr],
        is_never_null: &dyn Fn(&ScalarExpr) -> bool,
        aggregate: Aggregate,
        value: Option<ScalarExpr>,
        options: QueryOptions,
    ) -> Option<CompactQuestion> {
        let fits =
            partition.len() <= GROUP_COLUMNS_MAX && keys[label].ty == SqlType::Text && is_never_null(&keys[label]);
        // The rows of the aggregate have the partition, then the label, then the value.
        let place = |key: usize| match partition.iter().position(|it| *it == key) {
            Some(place) => place,
            None if key == label => partition.len(),
            None => partition.len() + 1,
        };
        fits.then(|| CompactQuestion {
            relations: Vec::new(),
            conditions: Vec::new(),
            groups: partition.iter().map(|key| keys[*key].clone()).collect(),
            label: Some(keys[label].clone()),
            value,
            aggregate,
            options,
            output: self.output.iter().map(|column| place(*column)).collect(),
        })
    }
}

/// The columns of a grouping that a ranking orders by.
struct RankingColumns {
    label: usize,
    value: usize,
}

impl RankingColumns {
    /// Whether the order is that of the aggregate: the value descending, then the label ascending. Where all ties are
    /// listed the label does not matter, and must not be in the order.
    fn is_order(&self, order: &[SortKey], ties: TieRule) -> bool {
        let is_key = |key: &SortKey, column: usize, descending: bool| {
            key.expr.kind == ExprKind::Column(column) && key.descending == descending
        };
        match (order, ties) {
            ([value], TieRule::All) => is_key(value, self.value, true),
            // Without the label in the order, ties are settled by all columns: within a partition, by the label.
            ([value], TieRule::First) => is_key(value, self.value, true),
            ([value, label], TieRule::First) => is_key(value, self.value, true) && is_key(label, self.label, false),
            _ => false,
        }
    }
}

impl<'p> KeptRanks<'p> {
    /// The ranks that a filter `rank <= n` directly above a window keeps, and the plan below the window.
    fn of_filter(condition: &'p ScalarExpr, input: &'p QueryPlan) -> Option<(KeptRanks<'p>, &'p QueryPlan)> {
        let QueryPlan::Window { input: below, partition, order, functions } = input else { return None };
        let [WindowCall { function, .. }] = &functions[..] else { return None };
        let ties = match function {
            WindowFunction::RowNumber => TieRule::First,
            WindowFunction::DenseRank => TieRule::All,
            _ => return None,
        };
        let rank = below.types().len();
        let ExprKind::Compare(op, left, right) = &condition.kind else { return None };
        let ExprKind::Literal(Datum::Long(bound)) = right.kind else { return None };
        let limit = match op {
            CompareOp::LessOrEqual => bound,
            CompareOp::Less => bound.checked_sub(1)?,
            CompareOp::Equal if bound == 1 => 1,
            _ => return None,
        };
        let limit = NonZeroU32::new(u32::try_from(limit).ok()?)?;
        let is_rank = left.kind == ExprKind::Column(rank);
        is_rank.then_some((KeptRanks { partition, order, ties, limit }, &**below))
    }
}

/// The positions, if all expressions are columns.
fn column_indices(columns: &[ScalarExpr]) -> Option<Vec<usize>> {
    let index = |column: &ScalarExpr| if let ExprKind::Column(index) = column.kind { Some(index) } else { None };
    columns.iter().map(index).collect()
}

/// The operand of `x IS NOT NULL`.
fn not_null_operand(condition: &ScalarExpr) -> Option<&ScalarExpr> {
    let ExprKind::Not(inner) = &condition.kind else { return None };
    if let ExprKind::IsNull(operand) = &inner.kind { Some(&**operand) } else { None }
}

/// The operand of a cast from long to double, which changes no order.
fn without_cast(expr: ScalarExpr) -> ScalarExpr {
    match expr.kind {
        ExprKind::Cast(inner) if expr.ty == SqlType::Double && inner.ty == SqlType::Long => *inner,
        _ => expr,
    }
}
