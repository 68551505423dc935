//! From the text of a question to its plan: names become positions, types agree, subqueries become joins.
//!
//! All problems of a text are found at once. A part with a problem is left out, and what depends on it is not
//! complained about again: that is what `ReportedProblem` stands for.
//!
//! A SELECT is bound in steps: FROM and WHERE give the rows that it reads; every other expression is bound over the
//! columns of these rows, with positions beyond `AGGREGATE_BASE` for what does not exist yet (aggregates, columns of
//! subqueries, window functions). Once all are known, `resolve` puts them into place.

mod aggregates;
mod coerce;
mod collected;
mod expr;
mod from;
mod functions;
mod grouping;
mod items;
mod joins;
mod literals;
mod names;
mod ordering;
mod pair_aggregates;
mod predicates;
mod quantified;
mod query;
mod resolve;
mod scope;
mod select;
mod subqueries;
mod windows;

use std::collections::{BTreeMap, HashSet};

use sqlparser::ast::{self};
use sqlparser::tokenizer::Span;

use crate::catalog::RelationCatalog;
use crate::check::is_consistent;
use crate::datum::{Datum, SqlType};
use crate::diagnostics::{QuestionError, QuestionProblem};
use crate::expr::ScalarExpr;
use crate::nullability::nullable_columns;
use crate::optimize::optimize_plan;
use crate::parse::{TextLines, parse_question};
use crate::places::LocatedNode;
use crate::plan::{AggregateCall, BoundQuestion, OutputColumn, QueryPlan};
use crate::prune::prune_columns;
use crate::rewrite::plan_size;

use query::{BoundQuery, QueryRole};
use scope::{NameScope, QueryColumn};
use subqueries::AttachedJoin;
use windows::WindowSite;

/// The values of a question's parameters, by their names without the `$`.
pub type QuestionParameters = BTreeMap<String, Datum>;

/// Positions from here on stand for aggregates of the SELECT.
const AGGREGATE_BASE: usize = 1 << 32;
/// Positions from here on stand for columns of subqueries that are joined after grouping.
const ATTACHED_BASE: usize = 2 << 32;
/// Positions from here on stand for window functions of the SELECT.
const WINDOW_BASE: usize = 3 << 32;
/// Positions from here on stand for columns of the query around a subquery.
const OUTER_BASE: usize = 4 << 32;
/// Calls of `grouping` from here on: like aggregates they come to be by grouping.
const GROUPING_BASE: usize = AGGREGATE_BASE + (1 << 24);

/// How many expressions a question can have, with those of the WITH queries counted as often as they are used.
const MAX_EXPRESSIONS: usize = 20_000;
/// How many operators a query that another one reads can have.
const MAX_OPERATORS: usize = 300;
/// How many operators the whole plan can have.
const MAX_PLAN_OPERATORS: usize = 1_000;

/// A problem has been recorded.
#[derive(Debug, Clone, Copy)]
struct ReportedProblem;

type BindResult<T> = Result<T, ReportedProblem>;

/// The part of a SELECT to which an expression belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClauseKind {
    On,
    Where,
    GroupBy,
    AggregateArgument,
    Select,
    Having,
    Qualify,
    OrderBy,
    WindowPart,
}

impl ClauseKind {
    fn name(self) -> &'static str {
        match self {
            ClauseKind::On => "ON",
            ClauseKind::Where => "WHERE",
            ClauseKind::GroupBy => "GROUP BY",
            ClauseKind::AggregateArgument => "the argument of an aggregate",
            ClauseKind::Select => "SELECT",
            ClauseKind::Having => "HAVING",
            ClauseKind::Qualify => "QUALIFY",
            ClauseKind::OrderBy => "ORDER BY",
            ClauseKind::WindowPart => "a window function",
        }
    }

    /// Whether the expression is over the groups of a SELECT that has any.
    fn is_after_grouping(self) -> bool {
        !matches!(self, ClauseKind::On | ClauseKind::Where | ClauseKind::GroupBy | ClauseKind::AggregateArgument)
    }

    fn allows_windows(self) -> bool {
        matches!(self, ClauseKind::Select | ClauseKind::Qualify | ClauseKind::OrderBy)
    }
}

/// A column of the input that an expression names.
#[derive(Debug, Clone)]
struct ColumnMention {
    position: usize,
    name: String,
    span: Span,
}

/// A SELECT while it is bound.
#[derive(Debug)]
struct SelectFrame<'a> {
    /// The columns of its FROM.
    scope: NameScope,
    /// The rows that it reads: FROM and WHERE, with the columns of subqueries and of unnested lists at the end.
    plan: QueryPlan,
    /// The number of the plan's columns.
    width: usize,
    /// Lists that have become rows, with the columns of their elements.
    unnested: Vec<(ScalarExpr, ScalarExpr)>,
    aggregates: Vec<AggregateCall>,
    windows: Vec<WindowSite>,
    /// Subqueries that are joined after grouping, and the number of their columns.
    attached: Vec<AttachedJoin>,
    attached_width: usize,
    /// How many subqueries its expressions have.
    subqueries: usize,
    /// The grouping expressions. `None` before GROUP BY is bound, and without it.
    group_keys: Option<Vec<ScalarExpr>>,
    /// Calls of `grouping`, each with the indices of the grouping expressions that it reads.
    grouping_calls: Vec<Vec<usize>>,
    /// Columns of the query around this one, over that query's columns.
    outer: Vec<ScalarExpr>,
    /// Whether names can be those of the query around this one.
    correlates: bool,
    /// Names given in the SELECT list.
    aliases: Vec<(String, &'a ast::Expr)>,
    /// Which of them are being bound.
    open_aliases: Vec<usize>,
    named_windows: &'a [ast::NamedWindowDefinition],
    mentions: Vec<ColumnMention>,
    /// FROM items that have no key so far.
    unkeyed: Vec<Span>,
    /// Whether a problem of FROM has been recorded.
    broken_join: bool,
}

impl SelectFrame<'_> {
    fn new(correlates: bool) -> Self {
        SelectFrame {
            scope: NameScope::default(),
            plan: QueryPlan::OneRow { columns: Vec::new(), types: Vec::new() },
            width: 0,
            unnested: Vec::new(),
            aggregates: Vec::new(),
            windows: Vec::new(),
            attached: Vec::new(),
            attached_width: 0,
            subqueries: 0,
            group_keys: None,
            grouping_calls: Vec::new(),
            outer: Vec::new(),
            correlates,
            aliases: Vec::new(),
            open_aliases: Vec::new(),
            named_windows: &[],
            mentions: Vec::new(),
            unkeyed: Vec::new(),
            broken_join: false,
        }
    }
}

/// A query of a WITH.
#[derive(Debug)]
struct CteBinding {
    name: String,
    /// `None` if it has a problem.
    relation: Option<(QueryPlan, Vec<QueryColumn>)>,
}

#[derive(Debug)]
struct QuestionBinder<'a> {
    catalog: &'a RelationCatalog,
    parameters: &'a QuestionParameters,
    lines: TextLines,
    problems: Vec<QuestionProblem>,
    notes: Vec<String>,
    ctes: Vec<CteBinding>,
    frames: Vec<SelectFrame<'a>>,
    /// Expressions bound so far.
    expressions: usize,
    too_large: bool,
}

/// Binds the text of a question.
///
/// `name` is the question's name, for messages. `parameters` are the values of `$name` in the text: constants.
///
/// # Errors
///
/// All problems of the text.
pub fn bind_question(
    name: &str,
    text: &str,
    catalog: &RelationCatalog,
    parameters: &QuestionParameters,
) -> Result<BoundQuestion, QuestionError> {
    let lines = TextLines::new(text);
    let query = match parse_question(text, &lines) {
        Ok(query) => query,
        Err(problem) => return Err(QuestionError::new(name, text, vec![problem])),
    };
    let mut binder = QuestionBinder {
        catalog,
        parameters,
        lines,
        problems: Vec::new(),
        notes: Vec::new(),
        ctes: Vec::new(),
        frames: Vec::new(),
        expressions: 0,
        too_large: false,
    };
    let bound = binder.bind_query(&query, QueryRole::Question);
    let question = bound.and_then(|bound| binder.finish_question(bound, &query));
    match question {
        Ok(question) if binder.problems.is_empty() => Ok(question),
        _ => {
            if binder.problems.is_empty() {
                binder
                    .problems
                    .push(QuestionProblem { span: None, message: "this question is not possible".to_owned() });
            }
            Err(QuestionError::new(name, text, binder.problems))
        }
    }
}

impl<'a> QuestionBinder<'a> {
    /// Records a problem at a place.
    fn report(&mut self, span: Span, message: impl Into<String>) -> ReportedProblem {
        let span = self.lines.text_span(span);
        self.problems.push(QuestionProblem { span, message: message.into() });
        ReportedProblem
    }

    fn report_at(&mut self, node: &impl LocatedNode, message: impl Into<String>) -> ReportedProblem {
        self.report(node.span(), message)
    }

    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The SELECT that is being bound. Frames are pushed before and popped after all that is bound in them.
    fn frame(&mut self) -> &mut SelectFrame<'a> {
        if self.frames.is_empty() {
            self.frames.push(SelectFrame::new(false));
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// Counts an expression or an operator against the limit of a question.
    fn count_expression(&mut self, span: Span) -> BindResult<()> {
        self.expressions += 1;
        if self.expressions <= MAX_EXPRESSIONS {
            return Ok(());
        }
        if !self.too_large {
            self.too_large = true;
            self.report(span, format!("the question is too large: it has more than {MAX_EXPRESSIONS} expressions"));
        }
        Err(ReportedProblem)
    }

    fn finish_question(&mut self, bound: BoundQuery, query: &ast::Query) -> BindResult<BoundQuestion> {
        self.check_output_names(&bound, query);
        let mut columns = Vec::new();
        let mut casts = Vec::new();
        for (position, column) in bound.columns.iter().enumerate() {
            let ty = self.output_type(column.ty, &column.name, column.span);
            casts.push(ScalarExpr::column(position, column.ty));
            if ty != column.ty {
                casts[position] = ScalarExpr::null(ty);
            }
            columns.push(OutputColumn { name: column.name.clone(), ty, nullable: true });
        }
        if !self.problems.is_empty() {
            return Err(ReportedProblem);
        }
        let types = bound.plan.types();
        casts.extend((columns.len()..types.len()).map(|position| ScalarExpr::column(position, types[position])));
        let plan = QueryPlan::Project { input: Box::new(bound.plan), columns: casts };
        let plan = prune_columns(optimize_plan(plan));
        self.check_whole_size(&plan, query)?;
        if !is_consistent(&plan) {
            let message =
                "the parts of this question do not fit together; name what subqueries read with WITH, and join it";
            return Err(self.report_at(query, message));
        }
        let nullable = nullable_columns(&plan, self.catalog);
        for (column, nullable) in columns.iter_mut().zip(nullable) {
            column.nullable = nullable;
        }
        let notes = std::mem::take(&mut self.notes);
        Ok(BoundQuestion { plan, columns, listing: bound.listing, notes })
    }

    /// Groupings and subqueries repeat what they read.
    fn check_whole_size(&mut self, plan: &QueryPlan, query: &ast::Query) -> BindResult<()> {
        let operators = plan_size(plan);
        if operators <= MAX_PLAN_OPERATORS {
            return Ok(());
        }
        let message = format!(
            "the question is too large: its plan has {operators} operators, with those of the WITH queries as often as \
             they are read, and at most {MAX_PLAN_OPERATORS} are possible"
        );
        Err(self.report_at(query, message))
    }

    fn output_type(&mut self, ty: SqlType, name: &str, span: Span) -> SqlType {
        match ty {
            SqlType::Null => SqlType::Text,
            SqlType::Texts | SqlType::Doubles => {
                let message = format!(
                    "`{name}` is a {ty}, and an answer has single values; take an element (`{name}[1]`), join them with \
                     array_to_string, or make rows of them with unnest"
                );
                self.report(span, message);
                ty
            }
            ty => ty,
        }
    }

    /// Answers have columns with different names.
    fn check_output_names(&mut self, bound: &BoundQuery, query: &ast::Query) {
        let mut seen: HashSet<String> = HashSet::new();
        for column in &bound.columns {
            if seen.insert(column.name.to_lowercase()) {
                continue;
            }
            let message = format!(
                "two columns of the answer are named `{}`; give one another name with AS, or leave one out (a join with \
                 USING has the column once, `* EXCLUDE` leaves some out)",
                column.name
            );
            let span = if column.span == Span::empty() { query.span() } else { column.span };
            self.report(span, message);
        }
    }
}

/// The text of an expression for messages, not too long.
fn expr_text(ast: &ast::Expr) -> String {
    let text = ast.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
