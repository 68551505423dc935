//! ORDER BY of a SELECT: columns, numbers, aliases and expressions that are not selected.

use sqlparser::ast::{self, OrderByKind};

use crate::expr::ScalarExpr;
use crate::plan::ListingKey;

use super::query::{NamedColumn, listing_key};
use super::resolve::DraftExpr;
use super::windows::span_or;
use super::{BindResult, ClauseKind, QuestionBinder};

/// A key of an order before the columns are in place.
#[derive(Debug)]
pub(super) enum OrderKey<'a> {
    /// An output column.
    Output(ListingKey),
    /// Something else, and the key that it was written in.
    Other(DraftExpr, &'a ast::OrderByExpr),
}

impl<'a> QuestionBinder<'a> {
    /// Binds the keys of ORDER BY.
    pub(super) fn bind_order(
        &mut self,
        order: Option<&'a ast::OrderBy>,
        columns: &[NamedColumn],
    ) -> BindResult<Vec<OrderKey<'a>>> {
        let Some(order) = order else { return Ok(Vec::new()) };
        let keys = match &order.kind {
            OrderByKind::Expressions(keys) => keys,
            OrderByKind::All(options) => {
                let key = |column| ListingKey {
                    column,
                    descending: options.asc == Some(false),
                    nulls_first: options.nulls_first.unwrap_or(false),
                };
                return Ok((0..columns.len()).map(|column| OrderKey::Output(key(column))).collect());
            }
        };
        let keys: Vec<BindResult<OrderKey<'a>>> = keys.iter().map(|key| self.bind_order_key(key, columns)).collect();
        keys.into_iter().collect()
    }

    fn bind_order_key(&mut self, key: &'a ast::OrderByExpr, columns: &[NamedColumn]) -> BindResult<OrderKey<'a>> {
        if let Some(column) = self.output_position(columns, &key.expr) {
            return Ok(OrderKey::Output(listing_key(column?, key)));
        }
        let draft = self.bind_draft(&key.expr, ClauseKind::OrderBy)?;
        Ok(OrderKey::Other(draft, key))
    }

    /// Binds an expression whose columns are put into place later.
    pub(super) fn bind_draft(&mut self, ast: &'a ast::Expr, clause: ClauseKind) -> BindResult<DraftExpr> {
        let first_mention = self.frame().mentions.len();
        let expr = self.bind_expr(ast, clause)?;
        Ok(DraftExpr { expr, first_mention, span: span_or(ast, sqlparser::tokenizer::Span::empty()) })
    }

    pub(super) fn bind_condition_draft(&mut self, ast: &'a ast::Expr, clause: ClauseKind) -> BindResult<DraftExpr> {
        let first_mention = self.frame().mentions.len();
        let expr = self.bind_condition(ast, clause)?;
        Ok(DraftExpr { expr, first_mention, span: span_or(ast, sqlparser::tokenizer::Span::empty()) })
    }
}

/// Finds or adds a column for a key of an order.
pub(super) fn order_column(columns: &mut Vec<ScalarExpr>, key: &ScalarExpr) -> usize {
    columns.iter().position(|column| column == key).unwrap_or_else(|| {
        columns.push(key.clone());
        columns.len() - 1
    })
}
