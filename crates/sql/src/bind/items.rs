//! The SELECT list: expressions with their names, and `*`.

use std::collections::{HashMap, HashSet};

use sqlparser::ast::{self, Expr as Ast, Select, SelectItem as AstItem};
use sqlparser::tokenizer::Span;

use crate::expr::ScalarExpr;
use crate::rewrite::columns_read;

use super::resolve::DraftExpr;
use super::scope::snake_name;
use super::windows::span_or;
use super::{BindResult, ClauseKind, ColumnMention, QuestionBinder, ReportedProblem};

/// A column of the SELECT list.
#[derive(Debug)]
pub(super) struct SelectItem {
    pub(super) name: String,
    /// Whether the name is made of the expression's text, and not one that the question gives.
    pub(super) is_made_up: bool,
    pub(super) span: Span,
    pub(super) draft: BindResult<DraftExpr>,
}

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_items(&mut self, select: &'a Select) -> BindResult<Vec<SelectItem>> {
        let mut items = Vec::new();
        for item in &select.projection {
            match item {
                AstItem::UnnamedExpr(ast) => items.push(self.bind_item(ast, None)),
                AstItem::ExprWithAlias { expr, alias } => items.push(self.bind_item(expr, Some(alias))),
                AstItem::ExprWithAliases { aliases, .. } => {
                    let span = aliases.first().map_or(Span::empty(), |alias| alias.span);
                    return Err(self.report(span, "a column has one name; positions of posexplode are not kept"));
                }
                AstItem::Wildcard(options) => self.expand_star(None, options, &mut items)?,
                AstItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let relation = name.0.last().and_then(|part| part.as_ident());
                    self.expand_star(relation, options, &mut items)?;
                }
                AstItem::QualifiedWildcard(..) => {
                    return Err(self.report_at(item, "only a table can stand before .*"));
                }
            }
        }
        if select.projection.is_empty() {
            self.expand_star(None, &NO_OPTIONS, &mut items)?;
        }
        number_equal_names(&mut items);
        Ok(items)
    }

    fn bind_item(&mut self, ast: &'a Ast, alias: Option<&ast::Ident>) -> SelectItem {
        let draft = self.bind_draft(ast, ClauseKind::Select);
        let name = match (alias, ast) {
            (Some(alias), _) => alias.value.clone(),
            (None, Ast::Identifier(name)) => name.value.to_lowercase(),
            (None, Ast::CompoundIdentifier(parts)) => {
                parts.last().map_or_else(String::new, |name| name.value.to_lowercase())
            }
            (None, other) => snake_name(&other.to_string()),
        };
        let span = span_or(ast, alias.map_or(Span::empty(), |alias| alias.span));
        let is_made_up = alias.is_none() && !matches!(ast, Ast::Identifier(_) | Ast::CompoundIdentifier(_));
        SelectItem { name, is_made_up, span: alias.map_or(span, |alias| alias.span), draft }
    }

    fn expand_star(
        &mut self,
        relation: Option<&ast::Ident>,
        options: &'a ast::WildcardAdditionalOptions,
        items: &mut Vec<SelectItem>,
    ) -> BindResult<()> {
        let span = relation.map_or(options.wildcard_token.0.span, |relation| relation.span);
        if options.opt_ilike.is_some() || options.opt_alias.is_some() {
            return Err(self.report(span, "* takes EXCLUDE, REPLACE and RENAME only"));
        }
        let scope = self.frame().scope.clone();
        if scope.open {
            return Err(ReportedProblem);
        }
        if let Some(relation) = relation.filter(|relation| !scope.has_relation(&relation.value)) {
            let known: Vec<&str> = scope.relations.iter().map(String::as_str).collect();
            return Err(self.report_unknown(span, "table", &relation.value, &known));
        }
        if scope.columns.is_empty() {
            return Err(self.report(span, "* needs a FROM"));
        }
        let excluded = excluded_names(options);
        let replaced = options.opt_replace.as_ref().map_or(&[][..], |replace| &replace.items);
        for name in excluded.iter().chain(replaced.iter().map(|item| &item.column_name)) {
            if !scope.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&name.value)) {
                self.report(name.span, format!("there is no column `{}` to leave out or replace", name.value));
            }
        }
        for column in &scope.columns {
            let wanted = match relation {
                Some(relation) => column.relation.eq_ignore_ascii_case(&relation.value),
                None => !column.merged,
            };
            let out = excluded.iter().any(|name| name.value.eq_ignore_ascii_case(&column.name));
            if !wanted || out || column.hidden {
                continue;
            }
            let replacement = replaced.iter().find(|item| item.column_name.value.eq_ignore_ascii_case(&column.name));
            let draft = match replacement {
                Some(item) => self.bind_draft(&item.expr, ClauseKind::Select),
                None => self.star_column(column.expr.as_ref(), &column.name, span),
            };
            items.push(SelectItem { name: renamed(options, &column.name), is_made_up: false, span, draft });
        }
        Ok(())
    }

    fn star_column(&mut self, expr: Option<&ScalarExpr>, name: &str, span: Span) -> BindResult<DraftExpr> {
        let expr = expr.cloned().ok_or(ReportedProblem)?;
        let first_mention = self.frame().mentions.len();
        for position in columns_read(&expr) {
            self.frame().mentions.push(ColumnMention { position, name: name.to_owned(), span });
        }
        Ok(DraftExpr { expr, first_mention, span })
    }
}

/// Gives columns without a name of their own different names: `age_7`, `age_7_2`.
fn number_equal_names(items: &mut [SelectItem]) {
    let given = items.iter().filter(|item| !item.is_made_up);
    let mut used: HashSet<String> = given.map(|item| item.name.to_lowercase()).collect();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for item in items.iter_mut().filter(|item| item.is_made_up) {
        let first = item.name.clone();
        while !used.insert(item.name.to_lowercase()) {
            let number = numbers.entry(first.clone()).or_insert(1);
            *number += 1;
            item.name = format!("{first}_{number}");
        }
    }
}

static NO_OPTIONS: std::sync::LazyLock<ast::WildcardAdditionalOptions> = std::sync::LazyLock::new(Default::default);

/// The names given in a SELECT list.
pub(super) fn aliases(projection: &[AstItem]) -> Vec<(String, &Ast)> {
    let named = projection.iter().filter_map(|item| match item {
        AstItem::ExprWithAlias { expr, alias } => Some((alias.value.clone(), expr)),
        _ => None,
    });
    named.collect()
}

fn excluded_names(options: &ast::WildcardAdditionalOptions) -> Vec<ast::Ident> {
    let last = |name: &ast::ObjectName| name.0.last().and_then(|part| part.as_ident()).cloned();
    let mut names = match &options.opt_exclude {
        Some(ast::ExcludeSelectItem::Single(name)) => last(name).into_iter().collect(),
        Some(ast::ExcludeSelectItem::Multiple(names)) => names.iter().filter_map(last).collect(),
        None => Vec::new(),
    };
    if let Some(except) = &options.opt_except {
        names.push(except.first_element.clone());
        names.extend(except.additional_elements.iter().cloned());
    }
    names
}

fn renamed(options: &ast::WildcardAdditionalOptions, name: &str) -> String {
    let pairs = match &options.opt_rename {
        Some(ast::RenameSelectItem::Single(pair)) => std::slice::from_ref(pair),
        Some(ast::RenameSelectItem::Multiple(pairs)) => pairs,
        None => &[],
    };
    let pair = pairs.iter().find(|pair| pair.ident.value.eq_ignore_ascii_case(name));
    pair.map_or_else(|| name.to_owned(), |pair| pair.alias.value.clone())
}
