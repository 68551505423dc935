//! Window functions: OVER, named windows and frames.

use sqlparser::ast::{self, NamedWindowExpr, WindowFrameBound, WindowFrameUnits, WindowType};
use sqlparser::tokenizer::Span;

use crate::datum::{Datum, SqlType};
use crate::expr::ScalarExpr;
use crate::places::LocatedNode;
use crate::plan::{FrameBound, SortKey, WindowCall, WindowFrame, WindowFunction};
use crate::rewrite::{literal_value, order_exprs_mut, window_exprs_mut};

use super::coerce::unify;
use super::collected::aggregate_name;
use super::functions::CallParts;
use super::{BindResult, ClauseKind, QuestionBinder, ReportedProblem, WINDOW_BASE};

/// A window function of a SELECT, over columns that may not exist yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WindowSite {
    pub(super) call: WindowCall,
    pub(super) partition: Vec<ScalarExpr>,
    pub(super) order: Vec<SortKey>,
    pub(super) span: Span,
    /// The first of the columns that it mentions.
    pub(super) first_mention: usize,
}

impl WindowSite {
    /// All expressions, to be changed.
    pub(super) fn exprs_mut(&mut self) -> Vec<&mut ScalarExpr> {
        let mut all: Vec<&mut ScalarExpr> = self.partition.iter_mut().collect();
        all.extend(order_exprs_mut(&mut self.order));
        all.extend(window_exprs_mut(&mut self.call));
        all
    }
}

/// The parts of OVER, with those of the window that it names.
struct WindowParts<'a> {
    partition: &'a [ast::Expr],
    order: &'a [ast::OrderByExpr],
    frame: Option<&'a ast::WindowFrame>,
}

/// The functions that need OVER.
pub(super) const WINDOW_NAMES: [&str; 12] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
    "rank_dense",
];

/// Whether a window function can leave out nulls.
fn takes_ignore_nulls(name: &str) -> bool {
    matches!(name, "lag" | "lead" | "first_value" | "last_value" | "nth_value" | "first" | "last")
}

/// Whether a name is that of a function that needs OVER.
pub(super) fn is_window_name(name: &str) -> bool {
    WINDOW_NAMES.contains(&name)
}

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_window_call(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let Some(over) = call.over else {
            let message = format!("{} needs a window: {}(…) OVER (ORDER BY …)", call.name, call.name);
            return Err(self.report(call.span, message));
        };
        if !clause.allows_windows() {
            let hint = match clause {
                ClauseKind::WindowPart => "; compute the inner one in a subquery",
                _ => "; filter with QUALIFY, or in a query around this one",
            };
            let message = format!("a window function is not possible in {}{hint}", clause.name());
            return Err(self.report(call.span, message));
        }
        let first_mention = self.frame().mentions.len();
        let parts = self.window_parts(over, call.span);
        let parts = parts?;
        let partition = self.bind_all(parts.partition, ClauseKind::WindowPart);
        let order = self.bind_sort_keys(parts.order, ClauseKind::WindowPart);
        let frame = match &order {
            Ok(keys) => self.bind_frame(parts.frame, keys, call.span),
            Err(ReportedProblem) => Err(ReportedProblem),
        };
        let bound = self.bind_window_function(call, frame);
        let (partition, order, window) = (partition?, order?, bound?);
        if order.is_empty()
            && matches!(
                call.name.as_str(),
                "rank" | "dense_rank" | "lag" | "lead" | "ntile" | "percent_rank" | "cume_dist"
            )
        {
            let message = format!("{} needs an order: OVER (ORDER BY …)", call.name);
            return Err(self.report(call.span, message));
        }
        self.note_ties(call, &window);
        let ty = window.ty;
        let site = WindowSite { call: window, partition, order, span: call.span, first_mention };
        Ok(ScalarExpr::column(self.add_window(site), ty))
    }

    pub(super) fn add_window(&mut self, site: WindowSite) -> usize {
        let windows = &mut self.frame().windows;
        let same = |known: &WindowSite| {
            known.call == site.call && known.partition == site.partition && known.order == site.order
        };
        let index = windows.iter().position(same).unwrap_or_else(|| {
            windows.push(site);
            windows.len() - 1
        });
        WINDOW_BASE + index
    }

    fn note_ties(&mut self, call: &CallParts<'a>, window: &WindowCall) {
        let by_row = match &window.function {
            WindowFunction::RowNumber | WindowFunction::Ntile(_) | WindowFunction::Offset { .. } => true,
            WindowFunction::FirstValue(..) | WindowFunction::LastValue(..) | WindowFunction::NthValue(..) => true,
            WindowFunction::KnownOffset { .. } | WindowFunction::KnownValue { .. } => true,
            WindowFunction::Aggregate(_, frame) => frame.rows,
            _ => false,
        };
        if by_row {
            self.note(format!(
                "{}: rows that ORDER BY leaves equal are taken in the order of their other columns",
                call.name
            ));
        }
    }

    fn bind_window_function(&mut self, call: &CallParts<'a>, frame: BindResult<WindowFrame>) -> BindResult<WindowCall> {
        let numbering = match call.name.as_str() {
            "row_number" => Some((WindowFunction::RowNumber, SqlType::Long)),
            "rank" => Some((WindowFunction::Rank, SqlType::Long)),
            "dense_rank" | "rank_dense" => Some((WindowFunction::DenseRank, SqlType::Long)),
            "percent_rank" => Some((WindowFunction::PercentRank, SqlType::Double)),
            "cume_dist" => Some((WindowFunction::CumeDist, SqlType::Double)),
            _ => None,
        };
        if call.ignore_nulls && !takes_ignore_nulls(&call.name) {
            let message =
                format!("{} takes no IGNORE NULLS; lag, lead, first_value, last_value and nth_value do", call.name);
            return Err(self.report(call.span, message));
        }
        if let Some((function, ty)) = numbering {
            if !call.arguments.is_empty() {
                return Err(self.report(call.span, format!("{} takes no argument", call.name)));
            }
            if call.filter.is_some() || call.distinct {
                return Err(self.report(call.span, format!("{} takes no FILTER and no DISTINCT", call.name)));
            }
            return Ok(WindowCall { function, ty });
        }
        match call.name.as_str() {
            "ntile" => {
                let buckets = self.constant_count(call, 0, 1)?;
                Ok(WindowCall { function: WindowFunction::Ntile(buckets), ty: SqlType::Long })
            }
            "lag" | "lead" => self.bind_offset(call),
            "first_value" | "last_value" | "nth_value" | "first" | "last" => self.bind_frame_value(call, frame?),
            name => {
                let Some(canonical) = aggregate_name(name) else {
                    return Err(self.report(call.span, format!("there is no window function `{name}`")));
                };
                let bound = self.bind_aggregate(call, canonical, ClauseKind::WindowPart)?;
                let ty = bound.ty;
                Ok(WindowCall { function: WindowFunction::Aggregate(bound, frame?), ty })
            }
        }
    }

    /// A constant whole number of at least `least` as an argument.
    fn constant_count(&mut self, call: &CallParts<'a>, index: usize, least: i64) -> BindResult<u64> {
        let message = format!("{} takes a constant whole number from {least} here", call.name);
        let Some(argument) = call.arguments.get(index) else { return Err(self.report(call.span, message)) };
        let bound = self.bind_expr(argument, ClauseKind::WindowPart)?;
        match literal_value(&bound) {
            Some(Datum::Long(count)) if *count >= least => Ok(count.unsigned_abs()),
            _ => Err(self.report_at(*argument, message)),
        }
    }

    fn bind_offset(&mut self, call: &CallParts<'a>) -> BindResult<WindowCall> {
        let [value, rest @ ..] = &call.arguments[..] else {
            return Err(self.report(call.span, format!("{} takes a value: {}(x)", call.name, call.name)));
        };
        if rest.len() > 2 {
            return Err(self.report(call.span, format!("{} takes a value, a distance and a default", call.name)));
        }
        let bound = self.bind_expr(value, ClauseKind::WindowPart)?;
        let distance = if rest.is_empty() { 1 } else { self.constant_count(call, 1, 0)? };
        let distance = i64::try_from(distance).unwrap_or(i64::MAX);
        let default = match rest.get(1) {
            Some(default) => self.bind_expr(default, ClauseKind::WindowPart)?,
            None => ScalarExpr::null(bound.ty),
        };
        let types = (bound.ty, default.ty);
        let Ok(Ok([value, default])) = unify(vec![bound, default]).map(<[ScalarExpr; 2]>::try_from) else {
            return Err(self
                .report(call.span, format!("the default of {} is {}, and the value {}", call.name, types.1, types.0)));
        };
        let ty = value.ty;
        let distance = if call.name == "lag" { -distance } else { distance };
        let default = Box::new(default);
        let function = match call.ignore_nulls {
            true => WindowFunction::KnownOffset { value, distance, default },
            false => WindowFunction::Offset { value, distance, default },
        };
        Ok(WindowCall { function, ty })
    }

    fn bind_frame_value(&mut self, call: &CallParts<'a>, frame: WindowFrame) -> BindResult<WindowCall> {
        let Some(value) = call.arguments.first() else {
            return Err(self.report(call.span, format!("{} takes a value", call.name)));
        };
        let value = self.bind_expr(value, ClauseKind::WindowPart)?;
        let ty = value.ty;
        if call.ignore_nulls {
            let place = match call.name.as_str() {
                "first_value" | "first" => 1,
                "last_value" | "last" => -1,
                _ => i64::try_from(self.constant_count(call, 1, 1)?).unwrap_or(i64::MAX),
            };
            return Ok(WindowCall { function: WindowFunction::KnownValue { value, place, frame }, ty });
        }
        let function = match call.name.as_str() {
            "first_value" | "first" => WindowFunction::FirstValue(value, frame),
            "last_value" | "last" => WindowFunction::LastValue(value, frame),
            _ => WindowFunction::NthValue(value, self.constant_count(call, 1, 1)?, frame),
        };
        Ok(WindowCall { function, ty })
    }

    fn window_parts(&mut self, over: &'a WindowType, span: Span) -> BindResult<WindowParts<'a>> {
        match over {
            WindowType::NamedWindow(name) => self.named_window(name, 0),
            WindowType::WindowSpec(spec) => self.spec_parts(spec, span, 0),
        }
    }

    fn spec_parts(&mut self, spec: &'a ast::WindowSpec, span: Span, depth: usize) -> BindResult<WindowParts<'a>> {
        let own =
            WindowParts { partition: &spec.partition_by, order: &spec.order_by, frame: spec.window_frame.as_ref() };
        let Some(name) = &spec.window_name else { return Ok(own) };
        let base = self.named_window(name, depth + 1)?;
        if !own.partition.is_empty() || (!own.order.is_empty() && !base.order.is_empty()) {
            return Err(
                self.report(span, format!("the window `{name}` is fixed; it can get an order and a frame only"))
            );
        }
        Ok(WindowParts {
            partition: base.partition,
            order: if own.order.is_empty() { base.order } else { own.order },
            frame: own.frame.or(base.frame),
        })
    }

    fn named_window(&mut self, name: &ast::Ident, depth: usize) -> BindResult<WindowParts<'a>> {
        let windows = self.frame().named_windows;
        let found = windows.iter().find(|window| window.0.value.eq_ignore_ascii_case(&name.value));
        match found {
            Some(_) if depth > 8 => Err(self.report(name.span, format!("the window `{name}` is defined by itself"))),
            Some(ast::NamedWindowDefinition(_, NamedWindowExpr::WindowSpec(spec))) => {
                self.spec_parts(spec, name.span, depth)
            }
            Some(ast::NamedWindowDefinition(_, NamedWindowExpr::NamedWindow(other))) => {
                self.named_window(other, depth + 1)
            }
            None => {
                let known: Vec<&str> = windows.iter().map(|window| window.0.value.as_str()).collect();
                if known.is_empty() {
                    let message =
                        format!("there is no window `{name}`; define it with WINDOW {name} AS (…) after HAVING");
                    return Err(self.report(name.span, message));
                }
                Err(self.report_unknown(name.span, "window", &name.value, &known))
            }
        }
    }

    fn bind_frame(
        &mut self,
        frame: Option<&'a ast::WindowFrame>,
        order: &[SortKey],
        span: Span,
    ) -> BindResult<WindowFrame> {
        let ordered = !order.is_empty();
        let Some(frame) = frame else {
            return Ok(if ordered { WindowFrame::RUNNING } else { WindowFrame::WHOLE });
        };
        let rows = match frame.units {
            WindowFrameUnits::Rows => true,
            WindowFrameUnits::Range => false,
            WindowFrameUnits::Groups => {
                return Err(self.report(span, "GROUPS frames are not possible; write ROWS or RANGE"));
            }
        };
        let order = (!rows).then_some(order);
        let start = self.frame_bound(&frame.start_bound, true, order, span);
        let end = match &frame.end_bound {
            Some(bound) => self.frame_bound(bound, false, order, span),
            None => Ok(FrameBound::Current),
        };
        let (start, end) = (start?, end?);
        if !rows && !ordered && (start, end) != (FrameBound::Unbounded, FrameBound::Unbounded) {
            // Without an order all rows are peers.
            return Ok(WindowFrame::WHOLE);
        }
        Ok(WindowFrame { rows, start, end })
    }

    fn frame_bound(
        &mut self,
        bound: &'a WindowFrameBound,
        start: bool,
        range_over: Option<&[SortKey]>,
        span: Span,
    ) -> BindResult<FrameBound> {
        let (distance, preceding) = match bound {
            WindowFrameBound::CurrentRow => return Ok(FrameBound::Current),
            WindowFrameBound::Preceding(None) if start => return Ok(FrameBound::Unbounded),
            WindowFrameBound::Following(None) if !start => return Ok(FrameBound::Unbounded),
            WindowFrameBound::Preceding(None) => {
                return Err(self.report(span, "a frame cannot end at UNBOUNDED PRECEDING"));
            }
            WindowFrameBound::Following(None) => {
                return Err(self.report(span, "a frame cannot start at UNBOUNDED FOLLOWING"));
            }
            WindowFrameBound::Preceding(Some(distance)) => (distance, true),
            WindowFrameBound::Following(Some(distance)) => (distance, false),
        };
        let distance = match range_over {
            Some(order) => self.value_distance(distance, order)?,
            None => self.row_distance(distance, "the distance of a frame is a constant whole number")?,
        };
        Ok(if preceding { FrameBound::Preceding(distance) } else { FrameBound::Following(distance) })
    }

    fn row_distance(&mut self, distance: &'a ast::Expr, message: &str) -> BindResult<u64> {
        let bound = self.bind_expr(distance, ClauseKind::WindowPart)?;
        match literal_value(&bound) {
            Some(Datum::Long(rows)) if *rows >= 0 => Ok(rows.unsigned_abs()),
            _ => Err(self.report_at(distance, message)),
        }
    }

    /// The distance of a RANGE frame: between values of the only key of the order.
    fn value_distance(&mut self, distance: &'a ast::Expr, order: &[SortKey]) -> BindResult<u64> {
        const ONE_KEY: &str =
            "a RANGE frame with a distance needs ORDER BY one bigint or timestamp; for a number of rows write ROWS";
        let [key] = order else { return Err(self.report_at(distance, ONE_KEY)) };
        match (key.expr.ty, distance) {
            (SqlType::Long, ast::Expr::Interval(_)) => {
                Err(self.report_at(distance, "ORDER BY is by a number here, so the distance is a number, too"))
            }
            (SqlType::Long, _) => self.row_distance(distance, "the distance is a constant whole number from 0"),
            (SqlType::Time, ast::Expr::Interval(interval)) => {
                let length = self.bind_interval(interval, ClauseKind::WindowPart)?;
                match u64::try_from(length.micros) {
                    Ok(micros) if length.months == 0 => Ok(micros),
                    _ => Err(self.report_at(
                        distance,
                        "the distance is an INTERVAL of weeks, days or less, because months are not equally long",
                    )),
                }
            }
            (SqlType::Time, _) => {
                Err(self.report_at(distance, "ORDER BY is by a timestamp here; write INTERVAL 6 DAYS PRECEDING"))
            }
            _ => Err(self.report_at(distance, ONE_KEY)),
        }
    }
}

/// The window `row_number() OVER (PARTITION BY …)` of DISTINCT ON.
pub(super) fn row_number() -> WindowCall {
    WindowCall { function: WindowFunction::RowNumber, ty: SqlType::Long }
}

/// Whether an expression reads a window function.
pub(super) fn has_window(expr: &ScalarExpr) -> bool {
    let mut found = false;
    expr.for_each_column(&mut |column| found |= (WINDOW_BASE..super::OUTER_BASE).contains(&column));
    found
}

/// The span of a node, or another one if the parser did not keep it.
pub(super) fn span_or(node: &impl LocatedNode, other: Span) -> Span {
    let span = node.span();
    if span == Span::empty() { other } else { span }
}
