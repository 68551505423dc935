//! Names of columns: those of the input, of the SELECT list, and of the query around a subquery.

use sqlparser::ast;
use sqlparser::tokenizer::Span;

use crate::expr::ScalarExpr;

use super::scope::{NameLookup, join_words};
use super::{BindResult, ClauseKind, ColumnMention, OUTER_BASE, QuestionBinder, ReportedProblem, SelectFrame};

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_compound(&mut self, parts: &'a [ast::Ident], clause: ClauseKind) -> BindResult<ScalarExpr> {
        match parts {
            [name] => self.bind_name(None, name, clause),
            [relation, name] => self.bind_name(Some(relation), name, clause),
            // A schema before the table means nothing here: there is one of each.
            [.., relation, name] if self.frame().scope.has_relation(&relation.value) => {
                self.bind_name(Some(relation), name, clause)
            }
            [first, ..] => {
                let message = format!("`{first}` has no fields; a column is written as table.column");
                Err(self.report(first.span, message))
            }
            [] => Err(ReportedProblem),
        }
    }

    pub(super) fn bind_name(
        &mut self,
        relation: Option<&'a ast::Ident>,
        name: &'a ast::Ident,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let span = relation.map_or(name.span, |relation| relation.span.union(&name.span));
        let relation_name = relation.map(|relation| relation.value.as_str());
        if relation.is_none()
            && clause == ClauseKind::OrderBy
            && let Some(bound) = self.bind_alias(name, clause)
        {
            return bound;
        }
        match self.frame().scope.look_up(relation_name, &name.value) {
            NameLookup::Found(expr) => {
                self.mention_columns(&expr, name, clause);
                Ok(expr)
            }
            NameLookup::Broken => Err(ReportedProblem),
            NameLookup::Ambiguous(_) if self.frame().scope.open => Err(ReportedProblem),
            NameLookup::Ambiguous(relations) => {
                let owners: Vec<&str> = relations.iter().map(String::as_str).collect();
                let first = relations.first().map_or("", String::as_str);
                let message = format!(
                    "`{}` is a column of {}; write which one is meant, for example {first}.{}",
                    name.value,
                    join_words(&owners),
                    name.value
                );
                Err(self.report(span, message))
            }
            NameLookup::Missing => {
                if relation.is_none()
                    && let Some(bound) = self.bind_alias(name, clause)
                {
                    return bound;
                }
                self.bind_outer_name(relation, name, span)
            }
        }
    }

    fn mention_columns(&mut self, expr: &ScalarExpr, name: &ast::Ident, clause: ClauseKind) {
        if !clause.is_after_grouping() {
            return;
        }
        let mut positions = Vec::new();
        expr.for_each_column(&mut |position| positions.push(position));
        for position in positions {
            let mention = ColumnMention { position, name: name.value.clone(), span: name.span };
            self.frame().mentions.push(mention);
        }
    }

    /// A name given in the SELECT list: `SELECT a + 1 AS b … ORDER BY b`.
    fn bind_alias(&mut self, name: &ast::Ident, clause: ClauseKind) -> Option<BindResult<ScalarExpr>> {
        if clause == ClauseKind::On || clause == ClauseKind::AggregateArgument {
            return None;
        }
        let frame = self.frame();
        let index = frame.aliases.iter().rposition(|(alias, _)| alias.eq_ignore_ascii_case(&name.value))?;
        if frame.open_aliases.contains(&index) {
            return None;
        }
        let ast = frame.aliases[index].1;
        frame.open_aliases.push(index);
        let bound = self.bind_expr(ast, clause);
        self.frame().open_aliases.pop();
        Some(bound)
    }

    /// A column of the query around this one.
    fn bind_outer_name(
        &mut self,
        relation: Option<&ast::Ident>,
        name: &ast::Ident,
        span: Span,
    ) -> BindResult<ScalarExpr> {
        let inner = self.frames.len() - 1;
        let relation_name = relation.map(|relation| relation.value.as_str());
        if inner > 0 && self.frames[inner].correlates {
            match self.frames[inner - 1].scope.look_up(relation_name, &name.value) {
                NameLookup::Found(expr) => {
                    let ty = expr.ty;
                    let outer = &mut self.frames[inner].outer;
                    let index = outer.iter().position(|known| *known == expr).unwrap_or_else(|| {
                        outer.push(expr);
                        outer.len() - 1
                    });
                    return Ok(ScalarExpr::column(OUTER_BASE + index, ty));
                }
                NameLookup::Broken => return Err(ReportedProblem),
                NameLookup::Missing | NameLookup::Ambiguous(_) => {}
            }
        }
        let is_further_out =
            |frame: &SelectFrame<'_>| matches!(frame.scope.look_up(relation_name, &name.value), NameLookup::Found(_));
        if self.frames[..inner].iter().any(is_further_out) {
            let message = format!(
                "`{}` belongs to a query around this one, and cannot be used here; only EXISTS, IN and subqueries that are \
                 values can use the columns of the query right around them",
                relation_name.map_or(name.value.clone(), |relation| format!("{relation}.{}", name.value))
            );
            return Err(self.report(span, message));
        }
        let message = self.missing_name_message(relation_name, name);
        Err(self.report(span, message))
    }

    fn missing_name_message(&mut self, relation: Option<&str>, name: &ast::Ident) -> String {
        let scope = &self.frame().scope;
        let full = relation.map_or(name.value.clone(), |relation| format!("{relation}.{}", name.value));
        if let Some(relation) = relation.filter(|relation| !scope.has_relation(relation)) {
            let known: Vec<&str> = scope.relations.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            return match known[..] {
                [] => format!("there is no table `{relation}` in this FROM"),
                _ => format!("there is no table `{relation}` in this FROM; it has {}", join_words(&known)),
            };
        }
        let mut message = format!("there is no column `{full}`{}", scope.hint_for(relation, &name.value));
        if name.quote_style == Some('"') {
            message.push_str(&format!("; a text is written in single quotes: '{}'", name.value));
        }
        message
    }
}
