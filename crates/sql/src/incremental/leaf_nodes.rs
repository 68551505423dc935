//! Operators of leaves, put together: projections that only rename columns cost nothing.

use super::leaf::LeafNode;
use crate::expr::{ExprKind, ScalarExpr};
use crate::rewrite::replace_columns;

/// A projection above an operator: one with a projection there, if nothing is computed twice by it.
pub(crate) fn project_node(input: LeafNode, columns: &[ScalarExpr]) -> LeafNode {
    match input {
        LeafNode::Project(below, inner) => match substitute_all(columns, &inner, 1) {
            Some(columns) => LeafNode::Project(below, columns),
            None => LeafNode::Project(Box::new(LeafNode::Project(below, inner)), columns.to_vec()),
        },
        other => LeafNode::Project(Box::new(other), columns.to_vec()),
    }
}

/// A filter above an operator: below a projection there, if the condition reads none of what that computes.
pub(crate) fn filter_node(input: LeafNode, condition: &ScalarExpr) -> LeafNode {
    match input {
        LeafNode::Project(below, inner) => {
            match substitute_all(std::slice::from_ref(condition), &inner, 0).as_deref() {
                Some([condition]) => LeafNode::Project(Box::new(filter_node(*below, condition)), inner),
                _ => LeafNode::Filter(Box::new(LeafNode::Project(below, inner)), condition.clone()),
            }
        }
        other => LeafNode::Filter(Box::new(other), condition.clone()),
    }
}

/// Expressions over the columns of a projection as ones over its input. `None` if one that is computed, and not just a
/// column or a constant, is read more than `uses` times.
fn substitute_all(columns: &[ScalarExpr], inner: &[ScalarExpr], uses: usize) -> Option<Vec<ScalarExpr>> {
    let mut used = vec![0; inner.len()];
    columns.iter().for_each(|column| column.for_each_column(&mut |index| used[index] += 1));
    let is_simple = |expr: &ScalarExpr| matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_));
    if inner.iter().zip(used).any(|(expr, used)| used > uses && !is_simple(expr)) {
        return None;
    }
    let mut substituted = columns.to_vec();
    let column_at = |index: usize, ty| inner.get(index).cloned().unwrap_or_else(|| ScalarExpr::null(ty));
    substituted.iter_mut().for_each(|column| replace_columns(column, &mut |index, ty| column_at(index, ty)));
    Some(substituted)
}
