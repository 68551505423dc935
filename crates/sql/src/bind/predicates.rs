//! Conditions with words: IS, IN, BETWEEN, LIKE and their relatives.

use sqlparser::ast::{self, BinaryOperator, Expr as Ast};

use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, ExprKind, LikeExpr, ScalarExpr};
use crate::places::LocatedNode;
use crate::rewrite::{make_and, make_not, make_or};

use super::coerce::{coerce_to, unify};
use super::expr::null_check;
use super::functions::fold_constant;
use super::{BindResult, ClauseKind, QuestionBinder};

/// The parts of `text [NOT] LIKE pattern ESCAPE 'c'`.
struct LikeParts<'a> {
    text: &'a Ast,
    pattern: &'a Ast,
    escape: Option<&'a ast::ValueWithSpan>,
    ignore_case: bool,
    negated: bool,
    any: bool,
}

impl<'a> QuestionBinder<'a> {
    /// Binds a condition with words. `None` if it is something else.
    pub(super) fn bind_predicate(&mut self, ast: &'a Ast, clause: ClauseKind) -> Option<BindResult<ScalarExpr>> {
        Some(match ast {
            Ast::IsNull(operand) => self.bind_expr(operand, clause).map(|bound| null_check(&bound, false)),
            Ast::IsNotNull(operand) => self.bind_expr(operand, clause).map(|bound| null_check(&bound, true)),
            Ast::IsUnknown(operand) => self.bind_condition(operand, clause).map(|bound| null_check(&bound, false)),
            Ast::IsNotUnknown(operand) => self.bind_condition(operand, clause).map(|bound| null_check(&bound, true)),
            Ast::IsTrue(operand) => self.bind_truth(operand, true, false, clause),
            Ast::IsNotTrue(operand) => self.bind_truth(operand, true, true, clause),
            Ast::IsFalse(operand) => self.bind_truth(operand, false, false, clause),
            Ast::IsNotFalse(operand) => self.bind_truth(operand, false, true, clause),
            Ast::IsDistinctFrom(left, right) => self.bind_same_value(left, right, clause).map(make_not),
            Ast::IsNotDistinctFrom(left, right) => self.bind_same_value(left, right, clause),
            Ast::InList { expr, list, negated } => self.bind_in_list(expr, list, *negated, clause),
            Ast::InUnnest { expr, array_expr, negated } => {
                self.bind_list_contains(array_expr, expr, ast, clause).map(|bound| negate_if(bound, *negated))
            }
            Ast::Between { expr, negated, low, high } => self.bind_between(expr, low, high, *negated, clause),
            Ast::Like { negated, any, expr, pattern, escape_char } => {
                let escape = escape_char.as_ref();
                self.bind_like(
                    &LikeParts { text: expr, pattern, escape, ignore_case: false, negated: *negated, any: *any },
                    clause,
                )
            }
            Ast::ILike { negated, any, expr, pattern, escape_char } => {
                let escape = escape_char.as_ref();
                self.bind_like(
                    &LikeParts { text: expr, pattern, escape, ignore_case: true, negated: *negated, any: *any },
                    clause,
                )
            }
            Ast::RLike { negated, expr, pattern, .. } => {
                self.bind_regexp(expr, pattern, "regexp_matches", *negated, clause)
            }
            Ast::SimilarTo { .. } => {
                Err(self.report_at(ast, "SIMILAR TO is not possible; write LIKE, or regexp_matches(text, pattern)"))
            }
            Ast::AnyOp { left, compare_op, right, .. } => self.bind_any(ast, left, compare_op, right, clause),
            Ast::AllOp { left, compare_op, right } => self.bind_all_of(ast, left, compare_op, right, clause),
            _ => return None,
        })
    }

    fn bind_truth(
        &mut self,
        operand: &'a Ast,
        truth: bool,
        negated: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let bound = self.bind_condition(operand, clause)?;
        let tested = if truth { bound } else { make_not(bound) };
        let is_true = fold_constant(ScalarExpr::condition(ExprKind::IsTrue(Box::new(tested))));
        Ok(negate_if(is_true, negated))
    }

    fn bind_in_list(
        &mut self,
        subject: &'a Ast,
        list: &'a [Ast],
        negated: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        if let Ast::Tuple(parts) = subject {
            return self.bind_tuple_in_list(parts, subject, list, negated, clause);
        }
        let bound_subject = self.bind_expr(subject, clause);
        let mut values = Vec::new();
        for item in list {
            values.push((self.bind_expr(item, clause), item.span()));
        }
        let subject_span = subject.span();
        let subject = bound_subject?;
        let mut bound = vec![subject];
        let mut spans = vec![subject_span];
        for (value, span) in values {
            bound.push(value?);
            spans.push(span);
        }
        if bound.len() == 1 {
            return Ok(ScalarExpr::literal(Datum::Bool(negated)));
        }
        let types: Vec<SqlType> = bound.iter().map(|expr| expr.ty).collect();
        let mut bound = unify(bound).map_err(|(_, second)| {
            let message = format!("IN compares {} with {}; convert one with cast(… AS …)", types[0], types[second]);
            self.report(spans[second], message)
        })?;
        let subject = bound.remove(0);
        let found = fold_constant(ScalarExpr::condition(ExprKind::In(Box::new(subject), bound)));
        Ok(negate_if(found, negated))
    }

    /// `(a, b) IN ((1, 2), (3, 4))`.
    fn bind_tuple_in_list(
        &mut self,
        parts: &'a [Ast],
        subject: &'a Ast,
        list: &'a [Ast],
        negated: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let subjects = self.bind_all(parts, clause)?;
        let mut any = Vec::new();
        for item in list {
            let Ast::Tuple(values) = item else {
                return Err(self.report_at(item, "every item of this IN needs parentheses: (a, b) IN ((1, 2), (3, 4))"));
            };
            if values.len() != subjects.len() {
                return Err(self.report_at(subject, "both sides of IN need the same number of values"));
            }
            let mut all = Vec::new();
            for ((one, part), other) in subjects.iter().zip(parts).zip(values) {
                let value = self.bind_expr(other, clause)?;
                all.push(self.compare_values((one.clone(), part), CompareOp::Equal, (value, other))?);
            }
            any.push(make_and(all));
        }
        Ok(negate_if(make_or(any), negated))
    }

    fn bind_between(
        &mut self,
        subject: &'a Ast,
        low: &'a Ast,
        high: &'a Ast,
        negated: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let bound_subject = self.bind_expr(subject, clause);
        let bound_low = self.bind_expr(low, clause);
        let bound_high = self.bind_expr(high, clause);
        let (value, from, to) = (bound_subject?, bound_low?, bound_high?);
        let from = self.compare_values((value.clone(), subject), CompareOp::GreaterOrEqual, (from, low))?;
        let to = self.compare_values((value, subject), CompareOp::LessOrEqual, (to, high))?;
        Ok(if negated { make_or(vec![make_not(from), make_not(to)]) } else { make_and(vec![from, to]) })
    }

    fn bind_like(&mut self, like: &LikeParts<'a>, clause: ClauseKind) -> BindResult<ScalarExpr> {
        if like.any {
            return Err(self.report_at(like.pattern, "LIKE ANY is not possible; write one LIKE after another with OR"));
        }
        let (text, pattern) = self.bind_pair(like.text, like.pattern, clause)?;
        let text = self.require_text(text, like.text, "LIKE")?;
        let pattern = self.require_text(pattern, like.pattern, "LIKE")?;
        let escape = self.escape_character(like.escape)?;
        let like_expr = LikeExpr { text, pattern, escape, ignore_case: like.ignore_case };
        let found = fold_constant(ScalarExpr::condition(ExprKind::Like(Box::new(like_expr))));
        Ok(negate_if(found, like.negated))
    }

    fn escape_character(&mut self, escape: Option<&ast::ValueWithSpan>) -> BindResult<Option<char>> {
        let Some(escape) = escape else { return Ok(None) };
        let text = escape.value.clone().into_string().unwrap_or_default();
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (only, None) => Ok(only),
            _ => Err(self.report(escape.span, "ESCAPE takes one character, in quotes")),
        }
    }

    pub(super) fn require_text(&mut self, bound: ScalarExpr, ast: &'a Ast, what: &str) -> BindResult<ScalarExpr> {
        let ty = bound.ty;
        coerce_to(bound, SqlType::Text).ok_or_else(|| {
            let message = format!("{what} takes text, and this is {ty}; convert it with cast(… AS text)");
            self.report_at(ast, message)
        })
    }

    fn bind_regexp(
        &mut self,
        text: &'a Ast,
        pattern: &'a Ast,
        function: &str,
        negated: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let span = text.span().union(&pattern.span());
        let (text, pattern) = self.bind_pair(text, pattern, clause)?;
        let found = self.call_function(function, vec![text, pattern], span)?;
        Ok(negate_if(found, negated))
    }

    /// `x = ANY(list)`, `x > ANY (SELECT …)`.
    fn bind_any(
        &mut self,
        ast: &'a Ast,
        left: &'a Ast,
        op: &BinaryOperator,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        match (op, right) {
            (BinaryOperator::Eq, Ast::Subquery(query)) => self.bind_in_subquery(left, query, false, clause),
            (BinaryOperator::Eq, list) => self.bind_list_contains(list, left, ast, clause),
            (op, Ast::Subquery(query)) => self.bind_any_of(ast, left, op, query, clause),
            _ => {
                Err(self.report_at(ast, "ANY takes a list after = only; compare with list_min(list) or list_max(list)"))
            }
        }
    }

    fn bind_list_contains(
        &mut self,
        list: &'a Ast,
        item: &'a Ast,
        ast: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let (list, item) = self.bind_pair(list, item, clause)?;
        self.call_function("list_contains", vec![list, item], ast.span())
    }

    /// Postgres' operators for patterns: `~`, `~*`, `~~`, ….
    pub(super) fn bind_pattern_operator(
        &mut self,
        ast: &'a Ast,
        left: &'a Ast,
        op: &BinaryOperator,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        use BinaryOperator as Op;
        let like = |ignore_case, negated| LikeParts {
            text: left,
            pattern: right,
            escape: None,
            ignore_case,
            negated,
            any: false,
        };
        match op {
            Op::PGRegexMatch | Op::Regexp => self.bind_regexp(left, right, "regexp_matches", false, clause),
            Op::PGRegexNotMatch => self.bind_regexp(left, right, "regexp_matches", true, clause),
            Op::PGLikeMatch => self.bind_like(&like(false, false), clause),
            Op::PGNotLikeMatch => self.bind_like(&like(false, true), clause),
            Op::PGILikeMatch => self.bind_like(&like(true, false), clause),
            Op::PGNotILikeMatch => self.bind_like(&like(true, true), clause),
            Op::PGStartsWith => self.bind_regexp(left, right, "starts_with", false, clause),
            Op::BitwiseXor | Op::PGExp => Err(self.report_at(ast, "^ has two meanings; write power(a, b) for a power")),
            Op::Xor => Err(self.report_at(ast, "XOR is not possible; compare two conditions with <>")),
            Op::Arrow | Op::LongArrow | Op::HashArrow | Op::HashLongArrow => {
                Err(self.report_at(ast, "the cleaned tables have no JSON, so -> and ->> are not possible"))
            }
            other => Err(self.report_at(ast, format!("the operator {other} is not possible in a question"))),
        }
    }
}

pub(super) fn negate_if(condition: ScalarExpr, negated: bool) -> ScalarExpr {
    if negated { make_not(condition) } else { condition }
}
