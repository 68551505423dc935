//! Joins of the rows of one key.

use super::leaf::{EmitRow, LeafContext, LeafNode, ScannedRows};
use crate::datum::Datum;
use crate::expr::ScalarExpr;
use crate::plan::JoinKind;

/// A join within a leaf.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LeafJoin {
    pub(crate) kind: JoinKind,
    pub(crate) left: LeafNode,
    pub(crate) right: LeafNode,
    /// The pairs of keys that must be compared: not those that are the key of the leaf and never null.
    pub(crate) keys: Vec<(ScalarExpr, ScalarExpr)>,
    pub(crate) condition: Option<ScalarExpr>,
    pub(crate) left_width: usize,
    pub(crate) right_width: usize,
}

impl LeafJoin {
    pub(super) fn is_inner(&self) -> bool {
        self.kind == JoinKind::Inner
    }

    pub(super) fn run(&self, context: LeafContext<'_>, emit: &mut EmitRow<'_>) {
        if let LeafNode::Scan(scan) = self.right {
            self.run_with(context, context.scans[scan], emit);
            return;
        }
        let mut right = context.scratch.take_rows();
        self.right.run(context, &mut |row, count| right.push(row.iter().cloned(), count));
        self.run_with(context, &right, emit);
        context.scratch.return_rows(right);
    }

    fn run_with(&self, context: LeafContext<'_>, right: &ScannedRows, emit: &mut EmitRow<'_>) {
        let needs_right = matches!(self.kind, JoinKind::Inner | JoinKind::Right | JoinKind::Semi);
        if !(needs_right && right.is_empty()) {
            self.run_pairs(context, right, emit);
        }
    }

    fn run_pairs(&self, context: LeafContext<'_>, right: &ScannedRows, emit: &mut EmitRow<'_>) {
        let keeps_right = matches!(self.kind, JoinKind::Right | JoinKind::Full);
        let mut matched = vec![false; if keeps_right { right.len() } else { 0 }];
        let mut pair = context.scratch.take_buffer();
        self.left.run(context, &mut |left, count| {
            self.join_left_row((left, count), right, context, (&mut pair, &mut matched), emit);
        });
        let alone = right.iter().zip(&matched).filter(|(_, matched)| !**matched);
        for ((row, count), _) in alone {
            pair.clear();
            pair.extend(std::iter::repeat_n(Datum::Null, self.left_width));
            pair.extend_from_slice(row);
            emit(&pair, count);
        }
        context.scratch.return_buffer(pair);
    }

    fn join_left_row(
        &self,
        (left, count): (&[Datum], i64),
        right: &ScannedRows,
        context: LeafContext<'_>,
        (pair, matched): (&mut Vec<Datum>, &mut [bool]),
        emit: &mut EmitRow<'_>,
    ) {
        pair.clear();
        pair.extend_from_slice(left);
        let mut found = false;
        for (index, (row, times)) in right.iter().enumerate() {
            if !self.keys_match(left, row, context) {
                continue;
            }
            pair.truncate(left.len());
            pair.extend_from_slice(row);
            if self.condition.as_ref().is_some_and(|condition| !condition.eval(pair, context.faults).is_true()) {
                continue;
            }
            found = true;
            if let Some(matched) = matched.get_mut(index) {
                *matched = true;
            }
            if matches!(self.kind, JoinKind::Semi | JoinKind::Anti) {
                break;
            }
            emit(pair, count.saturating_mul(times));
        }
        match self.kind {
            JoinKind::Left | JoinKind::Full if !found => {
                pair.truncate(left.len());
                pair.extend(std::iter::repeat_n(Datum::Null, self.right_width));
                emit(pair, count);
            }
            JoinKind::Semi if found => emit(left, count),
            JoinKind::Anti if !found => emit(left, count),
            _ => {}
        }
    }

    fn keys_match(&self, left: &[Datum], right: &[Datum], context: LeafContext<'_>) -> bool {
        self.keys.iter().all(|(one, other)| {
            let one = one.eval(left, context.faults);
            !one.is_null() && *one == *other.eval(right, context.faults)
        })
    }
}
