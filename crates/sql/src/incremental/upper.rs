//! The upper plan: the operators above the leaves, on one worker.

use std::sync::Arc;

use super::distinct_rows::DistinctRows;
use super::group_table::{GroupSpec, GroupTable};
use super::join_state::{JoinSpec, JoinState};
use super::leaf::unnest_row;
use super::top_rows::{TopRows, TopSpec};
use super::window_partitions::{WindowPartitions, WindowSpec};
use super::{RowUpdate, StateError, StateUsage, consolidate_rows};
use crate::datum::Row;
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;

/// An operator above the leaves.
#[derive(Debug, Clone, PartialEq)]
pub enum UpperOperator {
    /// The rows of a leaf, or the result rows of its groups.
    Leaf(usize),
    /// One constant row.
    OneRow(Row),
    /// Rows for which a condition is true.
    Filter(ScalarExpr),
    /// One row for each row.
    Project(Vec<ScalarExpr>),
    /// One row for each element of a list.
    Unnest {
        /// The list.
        list: ScalarExpr,
        /// Whether a row without elements is kept once.
        keep_empty: bool,
    },
    /// The rows of all inputs.
    UnionAll,
    /// Pairs of rows of two inputs.
    Join(JoinSpec),
    /// Groups.
    Aggregate(Arc<GroupSpec>),
    /// Each distinct row once.
    Distinct,
    /// Window functions.
    Window(WindowSpec),
    /// The first rows in an order.
    Limit(TopSpec),
}

/// The operators above the leaves, each after its inputs. Equal parts are there once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpperPlan {
    nodes: Vec<UpperNode>,
    /// The operator whose rows are the answer.
    root: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct UpperNode {
    operator: UpperOperator,
    inputs: Vec<usize>,
}

impl UpperPlan {
    /// The position of an operator over these inputs: a new one only if there is no equal one.
    pub(crate) fn add(&mut self, operator: UpperOperator, inputs: Vec<usize>) -> usize {
        let node = UpperNode { operator, inputs };
        self.nodes.iter().position(|other| *other == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// Makes an operator the one whose rows are the answer.
    pub(crate) fn set_root(&mut self, root: usize) {
        self.root = root;
    }

    /// The position of the operator whose rows are the answer.
    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// The operators with the positions of their inputs.
    pub fn operators(&self) -> impl Iterator<Item = (&UpperOperator, &[usize])> {
        self.nodes.iter().map(|node| (&node.operator, &*node.inputs))
    }

    /// Whether the answer is what the leaves give, without any operator above them.
    #[must_use]
    pub fn is_single_leaf(&self) -> bool {
        matches!(&*self.nodes, [UpperNode { operator: UpperOperator::Leaf(_), .. }])
    }
}

/// The state of an upper plan.
///
/// [`UpperState::start`] is called once, then [`UpperState::apply`] for each epoch with updates. The costs of an epoch
/// are those of its operators, for the updates that reach them: see [`GroupTable`], and in short
///
/// | operator | an epoch costs |
/// | --- | --- |
/// | Filter, Project, Unnest, UnionAll | its updates |
/// | Distinct, Aggregate | its updates, and the touched groups |
/// | Join | its updates times their partners |
/// | Limit | a logarithm for each update, and `offset + limit` rows if one of them changes |
/// | Window | all rows of the touched partitions |
///
/// # Filling
///
/// While the leaves of a question are filled, the result of a group, a rank or a limit changes with every step. After
/// [`UpperState::hold_rows`], operators that hold rows take their input without emitting changes. Once all rows of the leaves have
/// come, [`UpperState::emit_rows`] makes one operator after the other emit its result, once, some rows at a time:
///
/// | operator | a part that is emitted at once |
/// | --- | --- |
/// | Aggregate | a group |
/// | Join | 256 updates of its inputs, with their partners; all of them for an outer join with a further condition |
/// | Limit | a row |
/// | Window | a partition |
///
/// The others have results that grow with their input, and are not held back.
#[derive(Debug)]
pub struct UpperState {
    nodes: Vec<StatefulNode>,
    /// How many operators read the result of each. The answer is read once more.
    readers: Vec<usize>,
    root: usize,
}

#[derive(Debug)]
struct StatefulNode {
    node: UpperNode,
    state: NodeState,
}

#[derive(Debug)]
enum NodeState {
    Stateless,
    Distinct(DistinctRows),
    Groups(GroupTable),
    Join(JoinState),
    Top(TopRows),
    Window(WindowPartitions),
}

impl NodeState {
    fn new(operator: &UpperOperator) -> NodeState {
        match operator {
            UpperOperator::Join(spec) => NodeState::Join(JoinState::new(spec.clone())),
            UpperOperator::Aggregate(spec) => NodeState::Groups(GroupTable::new(Arc::clone(spec))),
            UpperOperator::Distinct => NodeState::Distinct(DistinctRows::default()),
            UpperOperator::Window(spec) => NodeState::Window(WindowPartitions::new(spec.clone())),
            UpperOperator::Limit(spec) => NodeState::Top(TopRows::new(spec.clone())),
            UpperOperator::Leaf(_)
            | UpperOperator::OneRow(_)
            | UpperOperator::Filter(_)
            | UpperOperator::Project(_)
            | UpperOperator::Unnest { .. }
            | UpperOperator::UnionAll => NodeState::Stateless,
        }
    }

    fn usage(&self) -> StateUsage {
        match self {
            NodeState::Stateless => StateUsage::default(),
            NodeState::Distinct(state) => state.usage(),
            NodeState::Groups(state) => state.usage(),
            NodeState::Join(state) => state.usage(),
            NodeState::Top(state) => state.usage(),
            NodeState::Window(state) => state.usage(),
        }
    }

    /// Emits nothing from now on. To be called before any update.
    fn hold_rows(&mut self) {
        match self {
            NodeState::Stateless | NodeState::Distinct(_) => {}
            NodeState::Groups(state) => state.hold_rows(),
            NodeState::Join(state) => state.hold_rows(),
            NodeState::Top(state) => state.hold_rows(),
            NodeState::Window(state) => state.hold_rows(),
        }
    }

    fn holds_rows(&self) -> bool {
        match self {
            NodeState::Stateless | NodeState::Distinct(_) => false,
            NodeState::Groups(state) => state.holds_rows(),
            NodeState::Join(state) => state.holds_rows(),
            NodeState::Top(state) => state.holds_rows(),
            NodeState::Window(state) => state.holds_rows(),
        }
    }

    /// Emits some of the rows that are held back, and reduces the budget by their number.
    fn emit_rows(
        &mut self,
        budget: &mut usize,
        faults: &FaultCounter,
        changes: &mut Vec<RowUpdate>,
    ) -> Result<(), StateError> {
        match self {
            NodeState::Stateless | NodeState::Distinct(_) => {}
            NodeState::Groups(state) => state.emit_rows(budget, faults, &mut |row, diff| changes.push((row, diff))),
            NodeState::Join(state) => state.emit_rows(budget, faults, changes)?,
            NodeState::Top(state) => state.emit_rows(budget, changes),
            NodeState::Window(state) => state.emit_rows(budget, faults, changes),
        }
        Ok(())
    }
}

impl UpperState {
    /// The state over no rows.
    #[must_use]
    pub fn new(plan: &UpperPlan) -> UpperState {
        let mut readers = vec![0; plan.nodes.len()];
        plan.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| readers[*input] += 1);
        let nodes =
            plan.nodes.iter().map(|node| StatefulNode { node: node.clone(), state: NodeState::new(&node.operator) });
        if let Some(root) = readers.get_mut(plan.root) {
            *root += 1;
        }
        UpperState { nodes: nodes.collect(), readers, root: plan.root }
    }

    /// The answer over no rows of the leaves. To be called once, before [`UpperState::apply`]: a question without
    /// grouping keys has a row from the start.
    ///
    /// # Errors
    /// See [`UpperState::apply`].
    pub fn start(&mut self, faults: &FaultCounter) -> Result<Vec<RowUpdate>, StateError> {
        self.run_epoch((Vec::new(), true), None, faults)
    }

    /// Makes the operators hold their results back. To be called before [`UpperState::start`].
    pub fn hold_rows(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.state.hold_rows());
    }

    /// Whether an operator holds rows back.
    #[must_use]
    pub fn holds_rows(&self) -> bool {
        self.nodes.iter().any(|node| node.state.holds_rows())
    }

    /// As [`UpperState::apply`] once all rows of the leaves have come: the operators emit what they held back, one after
    /// the other, and about as many rows as the budget says, which is reduced by their number.
    ///
    /// # Errors
    /// See [`UpperState::apply`].
    pub fn emit_rows(
        &mut self,
        leaf_updates: Vec<(usize, Row, i64)>,
        budget: &mut usize,
        faults: &FaultCounter,
    ) -> Result<Vec<RowUpdate>, StateError> {
        self.run_epoch((leaf_updates, false), Some(budget), faults)
    }

    /// Applies the updates of one epoch, each with the index of its leaf, and gives those of the answer: sorted, each
    /// row once.
    ///
    /// # Errors
    /// If more was removed than was there. The state must then not be used any more.
    pub fn apply(
        &mut self,
        leaf_updates: Vec<(usize, Row, i64)>,
        faults: &FaultCounter,
    ) -> Result<Vec<RowUpdate>, StateError> {
        self.run_epoch((leaf_updates, false), None, faults)
    }

    /// The size of the state. This adds up a few numbers of each operator: it can be called after each epoch.
    #[must_use]
    pub fn usage(&self) -> StateUsage {
        let mut usage = StateUsage::default();
        self.nodes.iter().for_each(|node| usage.add(node.state.usage()));
        usage
    }

    fn run_epoch(
        &mut self,
        (leaf_updates, start): (Vec<(usize, Row, i64)>, bool),
        mut budget: Option<&mut usize>,
        faults: &FaultCounter,
    ) -> Result<Vec<RowUpdate>, StateError> {
        let mut results: Vec<Vec<RowUpdate>> = Vec::with_capacity(self.nodes.len());
        // Which operators have emitted all that they held back.
        let mut emitted: Vec<bool> = Vec::with_capacity(self.nodes.len());
        let mut readers = self.readers.clone();
        let mut leaf_updates = updates_by_leaf(leaf_updates);
        for StatefulNode { node, state } in &mut self.nodes {
            let inputs = node.inputs.iter().map(|input| take_updates(&mut results[*input], &mut readers[*input]));
            let inputs: Vec<Vec<RowUpdate>> = inputs.collect();
            let mut result = match &node.operator {
                UpperOperator::Leaf(leaf) => leaf_updates.get_mut(*leaf).map(std::mem::take).unwrap_or_default(),
                UpperOperator::OneRow(row) if start => vec![(row.clone(), 1)],
                operator => apply_operator(operator, state, inputs, start, faults)?,
            };
            if let Some(budget) = &mut budget {
                let is_next = node.inputs.iter().all(|input| emitted[*input]);
                if is_next {
                    state.emit_rows(budget, faults, &mut result)?;
                }
                emitted.push(is_next && !state.holds_rows());
            }
            results.push(result);
        }
        let mut answer = results.get_mut(self.root).map(std::mem::take).unwrap_or_default();
        consolidate_rows(&mut answer);
        Ok(answer)
    }
}

fn updates_by_leaf(updates: Vec<(usize, Row, i64)>) -> Vec<Vec<RowUpdate>> {
    let mut by_leaf: Vec<Vec<RowUpdate>> = Vec::new();
    for (leaf, row, diff) in updates {
        if by_leaf.len() <= leaf {
            by_leaf.resize_with(leaf + 1, Vec::new);
        }
        by_leaf[leaf].push((row, diff));
    }
    by_leaf
}

/// The result of an operator for one of its readers: the last one gets it without a copy.
fn take_updates(result: &mut Vec<RowUpdate>, readers: &mut usize) -> Vec<RowUpdate> {
    *readers -= 1;
    if *readers == 0 { std::mem::take(result) } else { result.clone() }
}

fn apply_operator(
    operator: &UpperOperator,
    state: &mut NodeState,
    inputs: Vec<Vec<RowUpdate>>,
    start: bool,
    faults: &FaultCounter,
) -> Result<Vec<RowUpdate>, StateError> {
    if let NodeState::Groups(table) = state {
        let mut changes = if start { table.initial_rows(faults) } else { Vec::new() };
        apply_groups(table, inputs, faults, &mut changes)?;
        return Ok(changes);
    }
    if !start && inputs.iter().all(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let mut inputs = inputs.into_iter();
    let mut next = || inputs.next().unwrap_or_default();
    match state {
        NodeState::Join(join) => join.apply(next(), next(), faults),
        NodeState::Distinct(distinct) => distinct.apply(next()),
        NodeState::Top(top) => top.apply(next(), faults),
        NodeState::Window(window) => window.apply(next(), faults),
        NodeState::Stateless | NodeState::Groups(_) => {
            Ok(apply_stateless(operator, inputs.flatten().collect(), faults))
        }
    }
}

fn apply_groups(
    table: &mut GroupTable,
    inputs: Vec<Vec<RowUpdate>>,
    faults: &FaultCounter,
    changes: &mut Vec<RowUpdate>,
) -> Result<(), StateError> {
    let spec = Arc::clone(table.shared_spec());
    let mut projected = Vec::with_capacity(spec.inputs().len());
    for (row, diff) in inputs.into_iter().flatten() {
        projected.clear();
        projected.extend(spec.inputs().iter().map(|input| input.eval(&row, faults).into_owned()));
        table.update(&projected, diff);
    }
    table.finish_epoch(faults, &mut |row, diff| changes.push((row, diff)))
}

fn apply_stateless(operator: &UpperOperator, updates: Vec<RowUpdate>, faults: &FaultCounter) -> Vec<RowUpdate> {
    match operator {
        UpperOperator::Filter(condition) => {
            updates.into_iter().filter(|(row, _)| condition.eval(row, faults).is_true()).collect()
        }
        UpperOperator::Project(columns) => {
            let project = |row: Row| columns.iter().map(|column| column.eval(&row, faults).into_owned()).collect();
            updates.into_iter().map(|(row, diff)| (project(row), diff)).collect()
        }
        UpperOperator::Unnest { list, keep_empty } => {
            let (mut unnested, mut buffer) = (Vec::new(), Vec::new());
            for (row, diff) in updates {
                unnest_row(&row, list, *keep_empty, faults, &mut buffer, &mut |row| unnested.push((row.into(), diff)));
            }
            unnested
        }
        _ => updates,
    }
}
