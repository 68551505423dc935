//! Places of syntax nodes.
//!
//! The parser can tell the span of a node, too, but walks over everything in it to do so. This finds the first and the
//! last word only, without recursion, so that it can be asked for each node.

use sqlparser::ast::{self, Expr, GroupByExpr, ObjectName, Query, SelectItem, SetExpr, TableFactor};
use sqlparser::tokenizer::Span;

/// A node with a place.
pub(crate) trait LocatedNode {
    /// Where it is. [`Span::empty`] if the parser did not keep it.
    fn span(&self) -> Span;
}

impl LocatedNode for Expr {
    fn span(&self) -> Span {
        let end = last_word(self);
        let start = first_word(self);
        if start == Span::empty() { end } else { start.union(&end) }
    }
}

fn first_word(expr: &Expr) -> Span {
    let mut current = expr;
    loop {
        current = match current {
            Expr::BinaryOp { left, .. } | Expr::IsDistinctFrom(left, _) | Expr::IsNotDistinctFrom(left, _) => left,
            Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => left,
            Expr::CompoundFieldAccess { root, .. } => root,
            Expr::Tuple(all) if !all.is_empty() => &all[0],
            other => match only_operand(other) {
                Some(operand) => operand,
                None => return word_span(other),
            },
        };
    }
}

fn last_word(expr: &Expr) -> Span {
    let mut current = expr;
    loop {
        current = match current {
            Expr::BinaryOp { right, .. } | Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => right,
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => right,
            Expr::CompoundFieldAccess { root, .. } => root,
            Expr::InList { list, .. } if !list.is_empty() => &list[list.len() - 1],
            Expr::InSubquery { subquery, .. } => return subquery.span(),
            Expr::InUnnest { array_expr, .. } => array_expr,
            Expr::Between { high, .. } => high,
            Expr::Like { pattern, .. }
            | Expr::ILike { pattern, .. }
            | Expr::SimilarTo { pattern, .. }
            | Expr::RLike { pattern, .. } => pattern,
            Expr::Tuple(all) if !all.is_empty() => &all[all.len() - 1],
            Expr::Case { end_token, .. } => return end_token.0.span,
            other => match only_operand(other) {
                Some(operand) => operand,
                None => return word_span(other),
            },
        };
    }
}

/// The operand that an expression starts with, or consists of.
fn only_operand(expr: &Expr) -> Option<&Expr> {
    Some(match expr {
        Expr::Nested(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner) => inner,
        Expr::InList { expr, .. }
        | Expr::InSubquery { expr, .. }
        | Expr::InUnnest { expr, .. }
        | Expr::Between { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::ILike { expr, .. }
        | Expr::SimilarTo { expr, .. }
        | Expr::RLike { expr, .. }
        | Expr::UnaryOp { expr, .. }
        | Expr::Cast { expr, .. }
        | Expr::Convert { expr, .. }
        | Expr::Extract { expr, .. }
        | Expr::Ceil { expr, .. }
        | Expr::Floor { expr, .. }
        | Expr::Position { expr, .. }
        | Expr::Substring { expr, .. }
        | Expr::Trim { expr, .. }
        | Expr::Overlay { expr, .. }
        | Expr::Collate { expr, .. } => expr,
        Expr::AtTimeZone { timestamp, .. } => timestamp,
        Expr::JsonAccess { value, .. } => value,
        Expr::Interval(interval) => &interval.value,
        Expr::Array(array) => array.elem.first()?,
        Expr::Struct { values, .. } => values.first()?,
        Expr::Dictionary(fields) => return fields.first().map(|field| &*field.value),
        Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => sets.first()?.first()?,
        _ => return None,
    })
}

/// The span of a node without operands, or of the word that stands for it.
fn word_span(expr: &Expr) -> Span {
    match expr {
        Expr::Identifier(name) => name.span,
        Expr::CompoundIdentifier(parts) => Span::union_iter(parts.iter().map(|part| part.span)),
        Expr::Value(value) => value.span,
        Expr::TypedString(typed) => typed.value.span,
        Expr::Function(function) => function.name.span(),
        Expr::Case { case_token, .. } => case_token.0.span,
        Expr::Subquery(query) | Expr::Exists { subquery: query, .. } => query.span(),
        Expr::Lambda(lambda) => lambda.params.first().map_or(Span::empty(), |parameter| parameter.name.span),
        Expr::Wildcard(token) | Expr::QualifiedWildcard(_, token) => token.0.span,
        _ => Span::empty(),
    }
}

/// The word SELECT, or what a query starts with instead.
impl LocatedNode for Query {
    fn span(&self) -> Span {
        self.body.span()
    }
}

impl LocatedNode for SetExpr {
    fn span(&self) -> Span {
        let mut current = self;
        loop {
            current = match current {
                SetExpr::Select(select) => return select.select_token.0.span,
                SetExpr::Query(query) => &query.body,
                SetExpr::SetOperation { left, .. } => left,
                SetExpr::Values(values) => {
                    let first = values.rows.first().and_then(|row| row.content.first());
                    return first.map_or(Span::empty(), LocatedNode::span);
                }
                _ => return Span::empty(),
            };
        }
    }
}

impl LocatedNode for ObjectName {
    fn span(&self) -> Span {
        Span::union_iter(self.0.iter().filter_map(|part| part.as_ident()).map(|part| part.span))
    }
}

impl LocatedNode for ast::With {
    fn span(&self) -> Span {
        self.with_token.0.span
    }
}

impl LocatedNode for GroupByExpr {
    fn span(&self) -> Span {
        match self {
            GroupByExpr::Expressions(expressions, _) => expressions.first().map_or(Span::empty(), LocatedNode::span),
            GroupByExpr::All(_) => Span::empty(),
        }
    }
}

impl LocatedNode for SelectItem {
    fn span(&self) -> Span {
        match self {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr.span(),
            SelectItem::ExprWithAliases { aliases, .. } => Span::union_iter(aliases.iter().map(|alias| alias.span)),
            SelectItem::QualifiedWildcard(_, options) | SelectItem::Wildcard(options) => options.wildcard_token.0.span,
        }
    }
}

/// The name of the table, or what stands instead of it.
impl LocatedNode for TableFactor {
    fn span(&self) -> Span {
        let mut current = self;
        loop {
            current = match current {
                TableFactor::Table { name, .. }
                | TableFactor::Function { name, .. }
                | TableFactor::SemanticView { name, .. } => return name.span(),
                TableFactor::Derived { subquery, .. } => return subquery.span(),
                TableFactor::TableFunction { expr, .. } => return expr.span(),
                TableFactor::UNNEST { array_exprs, .. } => {
                    return Span::union_iter(array_exprs.iter().map(LocatedNode::span));
                }
                TableFactor::NestedJoin { table_with_joins, .. } => &table_with_joins.relation,
                TableFactor::Pivot { table, .. }
                | TableFactor::Unpivot { table, .. }
                | TableFactor::MatchRecognize { table, .. } => table,
                TableFactor::JsonTable { json_expr, .. } | TableFactor::OpenJsonTable { json_expr, .. } => {
                    return json_expr.span();
                }
                TableFactor::XmlTable { row_expression, .. } => return row_expression.span(),
            };
        }
    }
}
