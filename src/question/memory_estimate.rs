//! What a run holds in memory so that a question can be answered: of columns for each `ind`, and of groups and rows. An
//! estimate.

use std::collections::BTreeSet;

use serde::Serialize;

use pinflow_dataflows::answer::LiveAnswer;
use pinflow_sql::catalog::{CatalogRelation, RelationCatalog};
use pinflow_sql::datum::{Datum, SqlType};
use pinflow_sql::expr::{ExprKind, ScalarExpr};
use pinflow_sql::incremental::{PartEstimate, StateEstimate};
use pinflow_sql::split::{MaintainedPlan, ScanSpec};

/// The length of texts that a value holds itself, bytes. Longer ones are stored beside it.
const INLINE_TEXT_BYTES: u64 = 24;
/// The size of a value, bytes.
const VALUE_BYTES: u64 = size_of::<Datum>() as u64;

/// Usual lengths of texts in posts, bytes. Others are short enough to be within their value.
const USUAL_TEXT_BYTES: &[(&str, u64)] =
    &[("unique_id", 36), ("title", 51), ("description", 141), ("tag_list", 153), ("image_src", 78), ("_source", 32)];
/// The length that is assumed for a text that is computed.
const COMPUTED_TEXT_BYTES: u64 = 32;
/// The size of a usual list of texts, such as ten tags, without its own value.
const TEXTS_BYTES: u64 = 10 * VALUE_BYTES;
/// The size of a usual list of doubles, such as coordinates, without its own value.
const DOUBLES_BYTES: u64 = 2 * VALUE_BYTES;

/// The columns that a question reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct MemoryEstimate {
    /// Columns that every run holds, as `table.column`.
    pub(super) held_anyway: Vec<String>,
    /// Columns that are held for this question.
    pub(super) held_for_it: Vec<EstimatedColumn>,
    /// The estimated size of these, bytes for each `ind`.
    pub(super) bytes_per_ind: u64,
    /// What operators hold besides: for a question on the general path.
    pub(super) state: Vec<StatePart>,
    /// The estimated size of a row of the answer, bytes in all its lists.
    pub(super) bytes_per_answer_row: u64,
    /// What is held in all: over given tables, or for a given number of `ind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<MemoryTotal>,
}

/// In how many lists a run holds the rows of an answer: for readers, for durable reads if it has tables, and for stdout. They
/// share the cells of a row, and its place as long as no row near it changes.
const ANSWER_LISTS: u64 = 3;

/// What is held for a question in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MemoryTotal {
    /// Whether it was measured over rows. Otherwise it is estimated.
    pub(super) is_measured: bool,
    /// Different `ind`.
    pub(super) inds: u64,
    /// Groups, partitions and keys of joins.
    pub(super) groups: u64,
    /// Rows and values that are held.
    pub(super) rows: u64,
    /// The size of these, and of the columns that are held for the question, bytes.
    pub(super) held_bytes: u64,
    /// Rows of the answer.
    pub(super) answer_rows: u64,
    /// The size of the answer in all its lists, bytes. While it does not change, they share their rows, and it is smaller.
    pub(super) answer_bytes: u64,
}

impl MemoryTotal {
    /// What is held in a run with tables, bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.held_bytes + self.answer_bytes
    }
}

impl MemoryEstimate {
    /// Adds what the operators hold, and the size of the answer.
    pub(super) fn add_state(&mut self, estimate: &StateEstimate) {
        self.state = state_parts(estimate);
        self.bytes_per_answer_row = answer_bytes(estimate, MANY_ROWS) / MANY_ROWS as u64;
    }
}

/// The size of lists and trees is given for this many rows.
const MANY_ROWS: usize = 1_000;

fn answer_bytes(estimate: &StateEstimate, rows: usize) -> u64 {
    let one_list = LiveAnswer::bytes_of_rows(rows, rows.saturating_mul(estimate.answer.row_bytes)) as u64;
    bytes_in_all_lists(one_list, rows)
}

/// The size of an answer in all lists of its rows, if it has this size in one.
pub(super) fn bytes_in_all_lists(one_list: u64, rows: usize) -> u64 {
    one_list + (ANSWER_LISTS - 1) * LiveAnswer::bytes_of_rows(rows, 0) as u64
}

/// Estimates what is held in all for this many `ind`, each with a row of every relation, that make so many groups.
pub(super) fn estimate_total(memory: &MemoryEstimate, estimate: &StateEstimate, inds: u64, groups: u64) -> MemoryTotal {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let rows = estimate.answer.rows(count(groups), count(inds));
    MemoryTotal {
        is_measured: false,
        inds,
        groups,
        rows: inds,
        held_bytes: estimate.bytes(count(groups), count(inds)) as u64 + inds.saturating_mul(memory.bytes_per_ind),
        answer_rows: rows as u64,
        answer_bytes: answer_bytes(estimate, rows),
    }
}

/// What one operator holds: `groups · bytes_per_group + rows · bytes_per_row`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StatePart {
    /// What it holds.
    pub(super) holds: &'static str,
    /// The estimated size of a group, of a partition of a window, or of a key of a join, bytes.
    pub(super) bytes_per_group: u64,
    /// The estimated size of a row, or of the different values that aggregates such as `median` and `count(DISTINCT …)`
    /// hold of one, bytes. Zero if a group is all that is held.
    pub(super) bytes_per_row: u64,
}

/// Estimates what the operators of a question hold.
pub(super) fn estimate_state(plan: &MaintainedPlan, catalog: &RelationCatalog) -> StateEstimate {
    plan.estimate_state(&|relation: usize, expr: &ScalarExpr| {
        let columns = catalog.relations.get(relation).map_or(&[][..], |known| known.columns);
        let text = match &expr.kind {
            ExprKind::Column(index) => columns.get(*index).map_or(0, |column| usual_text_bytes(column.name)),
            _ => COMPUTED_TEXT_BYTES,
        };
        usize::try_from(value_bytes(expr.ty, text) - VALUE_BYTES).unwrap_or(usize::MAX)
    })
}

fn state_parts(estimate: &StateEstimate) -> Vec<StatePart> {
    let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let part = |part: &PartEstimate| StatePart {
        holds: part.operator,
        bytes_per_group: size(part.group_bytes),
        bytes_per_row: size(part.row_bytes()),
    };
    estimate.parts.iter().map(part).collect()
}

/// A column, or what is computed of columns, that is held for a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct EstimatedColumn {
    /// The column as `table.column`. If it is computed, the columns that it is computed of.
    pub(super) column: String,
    /// Whether the value is computed when a row arrives, and only the result is held.
    pub(super) is_computed: bool,
    /// The estimated size of a value, bytes.
    pub(super) bytes: u64,
}

/// Estimates what these scans need.
pub(super) fn estimate_memory(scans: &[ScanSpec], catalog: &RelationCatalog) -> MemoryEstimate {
    let mut estimate = MemoryEstimate::default();
    let mut counted = Vec::new();
    for (relation, expr) in scans.iter().flat_map(|scan| scan.columns.iter().map(|column| (scan.relation, column))) {
        // Two scans of a relation can read the same value.
        if let Some(known) = catalog.relations.get(relation)
            && !counted.contains(&(relation, expr))
        {
            counted.push((relation, expr));
            estimate.add(known, expr);
        }
    }
    estimate.held_anyway.sort();
    estimate.held_for_it.sort_by(|one, other| one.column.cmp(&other.column));
    estimate.bytes_per_ind = estimate.held_for_it.iter().map(|column| column.bytes).sum();
    estimate
}

impl MemoryEstimate {
    fn add(&mut self, relation: &CatalogRelation, expr: &ScalarExpr) {
        let named = |index: usize| {
            let name = relation.columns.get(index).map_or("?", |column| column.name);
            format!("{}.{name}", relation.name)
        };
        let is_held = |index: &usize| relation.columns.get(*index).is_some_and(|column| column.held);
        if let ExprKind::Column(index) = &expr.kind
            && is_held(index)
        {
            return self.held_anyway.push(named(*index));
        }
        let read = columns_read(expr);
        if read.is_empty() {
            return;
        }
        let is_computed = !matches!(expr.kind, ExprKind::Column(_));
        let column = read.iter().map(|index| named(*index)).collect::<Vec<_>>().join(", ");
        let usual = |index: usize| relation.columns.get(index).map_or(0, |column| usual_text_bytes(column.name));
        let text_bytes = match &expr.kind {
            ExprKind::Column(index) => usual(*index),
            _ => COMPUTED_TEXT_BYTES,
        };
        self.held_for_it.push(EstimatedColumn { column, is_computed, bytes: value_bytes(expr.ty, text_bytes) });
    }
}

/// The columns that an expression reads, in their order.
pub(super) fn columns_read(expr: &ScalarExpr) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    expr.for_each_column(&mut |index| {
        columns.insert(index);
    });
    columns
}

fn usual_text_bytes(column: &str) -> u64 {
    USUAL_TEXT_BYTES.iter().find(|(name, _)| *name == column).map_or(0, |(_, bytes)| *bytes)
}

/// The size of a value, bytes.
fn value_bytes(ty: SqlType, text_bytes: u64) -> u64 {
    match ty {
        SqlType::Text if text_bytes > INLINE_TEXT_BYTES => VALUE_BYTES + text_bytes,
        SqlType::Texts => VALUE_BYTES + TEXTS_BYTES,
        SqlType::Doubles => VALUE_BYTES + DOUBLES_BYTES,
        _ => VALUE_BYTES,
    }
}
