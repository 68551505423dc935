//! Splits a plan into leaves, which are functions of the rows of one key, and the plan above them.
//!
//! All rows of a key are on one worker, side by side. So a join on the key, and all that is below and directly above it,
//! is a function of the rows of one key, and needs no state of its own. A *leaf* is a largest such part of a plan. An
//! aggregation directly above a leaf is its *group*: groups are distributed over the workers by their keys. What is above
//! these runs on one worker.

use std::sync::Arc;

use crate::catalog::RelationCatalog;
use crate::datum::Datum;
use crate::derive::derive_columns;
use crate::expr::{CompareOp, ExprKind, ScalarExpr};
use crate::incremental::{
    GroupSpec, JoinSpec, LeafJoin, LeafNode, LeafProgram, RowOrder, StateEstimate, TopSpec, UpperOperator, UpperPlan,
    WindowSpec, estimate_state, filter_node, project_node,
};
use crate::key_columns::{KeyColumn, key_columns, key_of_expr};
use crate::plan::QueryPlan;
use crate::prune::prune_columns;

/// A question as the graph maintains it.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintainedPlan {
    /// What is read of relations. Leaves refer to these by index.
    pub scans: Vec<ScanSpec>,
    /// The leaves.
    pub leaves: Vec<QuestionLeaf>,
    /// The plan above them.
    pub upper: UpperPlan,
}

impl MaintainedPlan {
    /// Estimates what the operators hold. `owned_bytes` says what a value that is read of a relation owns on the heap: of
    /// a text its length if it has more than 24 bytes.
    #[must_use]
    pub fn estimate_state(&self, owned_bytes: &dyn Fn(usize, &ScalarExpr) -> usize) -> StateEstimate {
        let scans = self.scans.iter().map(|scan| scan.columns.iter().map(|column| owned_bytes(scan.relation, column)));
        let scans: Vec<Vec<usize>> = scans.map(Iterator::collect).collect();
        estimate_state(&scans, self.leaves.iter().map(|leaf| (&leaf.program, leaf.group.as_deref())), &self.upper)
    }
}

/// What is read of the rows of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanSpec {
    /// The index of the relation in the catalog.
    pub relation: usize,
    /// Expressions over all columns of the relation, in catalog order: the values that the graph holds of a row, and
    /// that a [`ScannedRows`](crate::incremental::ScannedRows) gets.
    pub columns: Vec<ScalarExpr>,
}

/// A part of a question that is a function of the rows of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct QuestionLeaf {
    /// The function. With a group it gives projected rows of the group, see [`GroupSpec`].
    pub program: LeafProgram,
    /// The aggregation of the rows. The input of the upper plan are then its result rows.
    pub group: Option<Arc<GroupSpec>>,
}

/// Makes of the plan of a question what the graph maintains: with derived columns, and split.
#[must_use]
pub fn maintain_plan(plan: &QueryPlan, catalog: &RelationCatalog) -> MaintainedPlan {
    split_plan(&prune_columns(derive_columns(plan.clone(), catalog)), catalog)
}

/// Splits a plan. Equal scans, leaves and operators are there once.
#[must_use]
pub fn split_plan(plan: &QueryPlan, catalog: &RelationCatalog) -> MaintainedPlan {
    split_at_leaves(plan, catalog, |plan, catalog| key_columns(plan, catalog).is_some())
}

/// Splits a plan so that leaves are those parts for which `is_leaf` holds: functions of the rows of one key.
pub(crate) fn split_at_leaves(
    plan: &QueryPlan,
    catalog: &RelationCatalog,
    is_leaf: fn(&QueryPlan, &RelationCatalog) -> bool,
) -> MaintainedPlan {
    let (scans, leaves) = (Vec::new(), Vec::new());
    let mut splitter = PlanSplitter { catalog, is_leaf, scans, leaves, upper: UpperPlan::default() };
    let root = splitter.add_node(plan);
    splitter.upper.set_root(root);
    MaintainedPlan { scans: splitter.scans, leaves: splitter.leaves, upper: splitter.upper }
}

struct PlanSplitter<'a> {
    catalog: &'a RelationCatalog,
    is_leaf: fn(&QueryPlan, &RelationCatalog) -> bool,
    scans: Vec<ScanSpec>,
    leaves: Vec<QuestionLeaf>,
    upper: UpperPlan,
}

impl PlanSplitter<'_> {
    /// Adds a part of the plan to the upper plan. Returns its position there.
    fn add_node(&mut self, plan: &QueryPlan) -> usize {
        if (self.is_leaf)(plan, self.catalog) {
            let root = self.leaf_node(plan);
            return self.add_leaf(root, None);
        }
        if let Some((input, spec)) = self.grouped_leaf(plan) {
            let root = project_node(self.leaf_node(input), spec.inputs());
            return self.add_leaf(root, Some(Arc::new(spec)));
        }
        if let QueryPlan::Filter { input, condition } = plan
            && let QueryPlan::Window { input: below, partition, order, functions } = &**input
        {
            let bounds = rank_bounds(condition, below.types().len());
            let window = WindowSpec::new(partition, order, functions).bounded_by(functions, &bounds);
            let below = self.add_node(below);
            let window = self.upper.add(UpperOperator::Window(window), vec![below]);
            return self.upper.add(UpperOperator::Filter(condition.clone()), vec![window]);
        }
        let inputs = plan.inputs().into_iter().map(|input| self.add_node(input)).collect();
        self.upper.add(upper_operator(plan), inputs)
    }

    /// The leaf below a grouping, if the plan is one.
    fn grouped_leaf<'p>(&self, plan: &'p QueryPlan) -> Option<(&'p QueryPlan, GroupSpec)> {
        let (input, spec) = match plan {
            QueryPlan::Aggregate { input, keys, aggregates } => (input, GroupSpec::new(keys, aggregates)),
            // Without columns there would be a group over no rows, too.
            QueryPlan::Distinct { input } if !input.types().is_empty() => {
                (input, GroupSpec::new(&all_columns(input), &[]))
            }
            _ => return None,
        };
        (self.is_leaf)(input, self.catalog).then_some((&**input, spec))
    }

    fn add_leaf(&mut self, root: LeafNode, group: Option<Arc<GroupSpec>>) -> usize {
        let leaf = QuestionLeaf { program: LeafProgram::new(root), group };
        let index = self.leaves.iter().position(|other| *other == leaf).unwrap_or_else(|| {
            self.leaves.push(leaf);
            self.leaves.len() - 1
        });
        self.upper.add(UpperOperator::Leaf(index), Vec::new())
    }

    fn scan_index(&mut self, relation: usize, columns: &[ScalarExpr]) -> usize {
        let scan = ScanSpec { relation, columns: columns.to_vec() };
        self.scans.iter().position(|other| *other == scan).unwrap_or_else(|| {
            self.scans.push(scan);
            self.scans.len() - 1
        })
    }

    /// A plan that is a leaf, compiled.
    fn leaf_node(&mut self, plan: &QueryPlan) -> LeafNode {
        match plan {
            QueryPlan::Scan { relation, columns } => LeafNode::Scan(self.scan_index(*relation, columns)),
            QueryPlan::Filter { input, condition } => filter_node(self.leaf_node(input), condition),
            QueryPlan::Project { input, columns } => project_node(self.leaf_node(input), columns),
            QueryPlan::Unnest { input, list, keep_empty } => {
                let input = Box::new(self.leaf_node(input));
                LeafNode::Unnest { input, list: list.clone(), keep_empty: *keep_empty }
            }
            QueryPlan::Join { kind, left, right, keys, condition } => {
                let key_is_given = |(one, other): &(ScalarExpr, ScalarExpr)| {
                    let is_key = |plan, expr| {
                        key_columns(plan, self.catalog).map(|columns| key_of_expr(expr, &columns))
                            == Some(KeyColumn::Key)
                    };
                    is_key(left, one) && is_key(right, other)
                };
                let keys = keys.iter().filter(|pair| !key_is_given(pair)).cloned().collect();
                let (left_width, right_width) = (left.types().len(), right.types().len());
                let (left, right) = (self.leaf_node(left), self.leaf_node(right));
                let condition = condition.clone();
                LeafNode::Join(Box::new(LeafJoin {
                    kind: *kind,
                    left,
                    right,
                    keys,
                    condition,
                    left_width,
                    right_width,
                }))
            }
            QueryPlan::UnionAll { inputs } => {
                LeafNode::UnionAll(inputs.iter().map(|input| self.leaf_node(input)).collect())
            }
            QueryPlan::Aggregate { .. }
            | QueryPlan::Distinct { .. }
            | QueryPlan::Window { .. }
            | QueryPlan::Limit { .. }
            | QueryPlan::OneRow { .. } => {
                unreachable!("only plans that have key columns are leaves")
            }
        }
    }
}

fn all_columns(plan: &QueryPlan) -> Vec<ScalarExpr> {
    plan.types().into_iter().enumerate().map(|(index, ty)| ScalarExpr::column(index, ty)).collect()
}

/// The columns from `width` on, by their numbers, that a condition says to be at most some number.
fn rank_bounds(condition: &ScalarExpr, width: usize) -> Vec<(usize, i64)> {
    let bound_of = |condition: &ScalarExpr| {
        let ExprKind::Compare(op, one, other) = &condition.kind else { return None };
        let (ExprKind::Column(column), ExprKind::Literal(Datum::Long(number))) = (&one.kind, &other.kind) else {
            return None;
        };
        let most = match op {
            CompareOp::LessOrEqual | CompareOp::Equal => *number,
            CompareOp::Less => number.checked_sub(1)?,
            CompareOp::NotEqual | CompareOp::Greater | CompareOp::GreaterOrEqual => return None,
        };
        Some((column.checked_sub(width)?, most))
    };
    match &condition.kind {
        ExprKind::And(conditions) => conditions.iter().filter_map(bound_of).collect(),
        _ => bound_of(condition).into_iter().collect(),
    }
}

/// The operator of a plan whose inputs are added already.
fn upper_operator(plan: &QueryPlan) -> UpperOperator {
    match plan {
        QueryPlan::OneRow { columns, .. } => UpperOperator::OneRow(columns.clone().into()),
        QueryPlan::Filter { condition, .. } => UpperOperator::Filter(condition.clone()),
        QueryPlan::Project { columns, .. } => UpperOperator::Project(columns.clone()),
        QueryPlan::Unnest { list, keep_empty, .. } => {
            UpperOperator::Unnest { list: list.clone(), keep_empty: *keep_empty }
        }
        QueryPlan::Join { kind, left, right, keys, condition } => UpperOperator::Join(JoinSpec {
            kind: *kind,
            keys: keys.clone(),
            condition: condition.clone(),
            left_width: left.types().len(),
            right_width: right.types().len(),
        }),
        QueryPlan::Aggregate { keys, aggregates, .. } => {
            UpperOperator::Aggregate(Arc::new(GroupSpec::new(keys, aggregates)))
        }
        QueryPlan::Distinct { .. } => UpperOperator::Distinct,
        QueryPlan::Window { partition, order, functions, .. } => {
            UpperOperator::Window(WindowSpec::new(partition, order, functions))
        }
        QueryPlan::Limit { order, offset, limit, .. } => {
            UpperOperator::Limit(TopSpec { order: RowOrder::new(order), offset: *offset, limit: *limit })
        }
        // A scan is a leaf, and never comes here.
        QueryPlan::UnionAll { .. } | QueryPlan::Scan { .. } => UpperOperator::UnionAll,
    }
}
