//! Scalar expressions: names, operators and CASE.

use sqlparser::ast::{self, AccessExpr, BinaryOperator, Expr as Ast, Subscript, UnaryOperator};
use sqlparser::tokenizer::Span;

use crate::calls::coerce as cast_to;
use crate::datum::{Datum, SqlType};
use crate::expr::{ArithmeticOp, CompareOp, ExprKind, ScalarExpr};
use crate::places::LocatedNode;
use crate::rewrite::{make_and, make_case, make_is_not_null, make_is_null, make_not, make_or};

use super::coerce::{coerce_to, unify};
use super::functions::fold_constant;
use super::windows::span_or;
use super::{BindResult, ClauseKind, QuestionBinder, ReportedProblem, expr_text};

impl<'a> QuestionBinder<'a> {
    /// Binds an expression over the columns of the SELECT's input.
    pub(super) fn bind_expr(&mut self, ast: &'a Ast, clause: ClauseKind) -> BindResult<ScalarExpr> {
        self.count_expression(Span::empty())?;
        match ast {
            Ast::Nested(inner) => self.bind_expr(inner, clause),
            Ast::Identifier(name) => self.bind_name(None, name, clause),
            Ast::CompoundIdentifier(parts) => self.bind_compound(parts, clause),
            Ast::CompoundFieldAccess { root, access_chain } => self.bind_access(ast, root, access_chain, clause),
            Ast::Value(value) => self.bind_value(value),
            Ast::TypedString(typed) => self.bind_typed_string(typed),
            Ast::BinaryOp { left, op, right } => self.bind_binary(ast, left, op, right, clause),
            Ast::UnaryOp { op, expr } => self.bind_unary(ast, *op, expr, clause),
            Ast::Case { operand, conditions, else_result, .. } => {
                self.bind_case(operand.as_deref(), conditions, else_result.as_deref(), clause)
            }
            Ast::Function(function) => self.bind_function(function, clause),
            Ast::Exists { subquery, negated } => self.bind_exists(subquery, *negated, clause),
            Ast::Subquery(query) => self.bind_scalar_subquery(query, clause),
            Ast::InSubquery { expr, subquery, negated } => self.bind_in_subquery(expr, subquery, *negated, clause),
            _ => match self.bind_predicate(ast, clause) {
                Some(bound) => bound,
                None => self.bind_special_form(ast, clause),
            },
        }
    }

    /// Binds a condition.
    pub(super) fn bind_condition(&mut self, ast: &'a Ast, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let bound = self.bind_expr(ast, clause)?;
        self.require_condition(bound, ast.span(), clause.name())
    }

    fn require_condition(&mut self, bound: ScalarExpr, span: Span, place: &str) -> BindResult<ScalarExpr> {
        let ty = bound.ty;
        match coerce_to(bound, SqlType::Bool) {
            Some(condition) => Ok(condition),
            None => {
                let message = format!("{place} needs a condition, and this is {ty}; compare it with something");
                Err(self.report(span, message))
            }
        }
    }

    fn bind_access(
        &mut self,
        ast: &'a Ast,
        root: &'a Ast,
        chain: &'a [AccessExpr],
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let mut value = self.bind_expr(root, clause)?;
        for access in chain {
            let AccessExpr::Subscript(subscript) = access else {
                return Err(self.report_at(ast, "columns here have no fields; a column is written as table.column"));
            };
            let (name, mut arguments) = match subscript {
                Subscript::Index { index } => ("list_extract", vec![self.bind_expr(index, clause)?]),
                Subscript::Slice { lower_bound: Some(from), upper_bound: Some(to), stride: None } => {
                    ("list_slice", vec![self.bind_expr(from, clause)?, self.bind_expr(to, clause)?])
                }
                Subscript::Slice { .. } => {
                    return Err(self.report_at(ast, "a slice of a list needs both ends, from 1: list[1:3]"));
                }
            };
            arguments.insert(0, value);
            value = self.call_function(name, arguments, ast.span())?;
        }
        Ok(value)
    }

    fn bind_binary(
        &mut self,
        ast: &'a Ast,
        left: &'a Ast,
        op: &'a BinaryOperator,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        match op {
            BinaryOperator::And | BinaryOperator::Or => self.bind_connective(ast, op, clause),
            BinaryOperator::Eq => self.bind_comparison(left, CompareOp::Equal, right, clause),
            BinaryOperator::NotEq => self.bind_comparison(left, CompareOp::NotEqual, right, clause),
            BinaryOperator::Lt => self.bind_comparison(left, CompareOp::Less, right, clause),
            BinaryOperator::LtEq => self.bind_comparison(left, CompareOp::LessOrEqual, right, clause),
            BinaryOperator::Gt => self.bind_comparison(left, CompareOp::Greater, right, clause),
            BinaryOperator::GtEq => self.bind_comparison(left, CompareOp::GreaterOrEqual, right, clause),
            BinaryOperator::Spaceship => self.bind_same_value(left, right, clause),
            BinaryOperator::Plus | BinaryOperator::Minus => self.bind_sum(ast, left, op, right, clause),
            BinaryOperator::Multiply => self.bind_arithmetic(left, ArithmeticOp::Multiply, right, clause),
            BinaryOperator::Divide => self.bind_arithmetic(left, ArithmeticOp::Divide, right, clause),
            BinaryOperator::Modulo => self.bind_arithmetic(left, ArithmeticOp::Remainder, right, clause),
            BinaryOperator::DuckIntegerDivide | BinaryOperator::MyIntegerDivide => {
                self.bind_arithmetic(left, ArithmeticOp::DivideWhole, right, clause)
            }
            BinaryOperator::StringConcat => {
                let (left, right) = self.bind_pair(left, right, clause)?;
                self.call_function("||", vec![left, right], ast.span())
            }
            _ => self.bind_pattern_operator(ast, left, op, right, clause),
        }
    }

    /// Binds both sides, so that the problems of both are found.
    pub(super) fn bind_pair(
        &mut self,
        left: &'a Ast,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<(ScalarExpr, ScalarExpr)> {
        let left = self.bind_expr(left, clause);
        let right = self.bind_expr(right, clause);
        Ok((left?, right?))
    }

    pub(super) fn bind_all(&mut self, all: &'a [Ast], clause: ClauseKind) -> BindResult<Vec<ScalarExpr>> {
        let bound: Vec<BindResult<ScalarExpr>> = all.iter().map(|ast| self.bind_expr(ast, clause)).collect();
        bound.into_iter().collect()
    }

    /// `a AND b AND …`: a chain that the parser makes a deep tree of.
    fn bind_connective(&mut self, ast: &'a Ast, op: &BinaryOperator, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let operands: Vec<BindResult<ScalarExpr>> = flatten_chain(ast, op)
            .into_iter()
            .map(|operand| {
                let bound = self.bind_expr(operand, clause)?;
                self.require_condition(bound, operand.span(), if *op == BinaryOperator::And { "AND" } else { "OR" })
            })
            .collect();
        let operands = operands.into_iter().collect::<BindResult<Vec<ScalarExpr>>>()?;
        Ok(if *op == BinaryOperator::And { make_and(operands) } else { make_or(operands) })
    }

    /// Compares two values, written as `left_ast` and `right_ast`.
    pub(super) fn compare_values(
        &mut self,
        (left, left_ast): (ScalarExpr, &Ast),
        op: CompareOp,
        (right, right_ast): (ScalarExpr, &Ast),
    ) -> BindResult<ScalarExpr> {
        let span = span_or(right_ast, left_ast.span()).union(&left_ast.span());
        let texts = [expr_text(left_ast), expr_text(right_ast)];
        let (left, right) = self.unify_pair(left, right, span, [&texts[0], &texts[1]])?;
        if [left.ty, right.ty].iter().any(|ty| ty.element().is_some())
            && !matches!(op, CompareOp::Equal | CompareOp::NotEqual)
        {
            return Err(self.report(span, "lists have no order; compare an element, or the length with len(list)"));
        }
        Ok(fold_constant(ScalarExpr::condition(ExprKind::Compare(op, Box::new(left), Box::new(right)))))
    }

    fn bind_comparison(
        &mut self,
        left: &'a Ast,
        op: CompareOp,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let span = left.span().union(&right.span());
        if let (Some(left), Some(right)) = (tuple_parts(left), tuple_parts(right)) {
            return self.compare_tuples(left, op, right, span, clause);
        }
        let (bound_left, bound_right) = self.bind_pair(left, right, clause)?;
        self.compare_values((bound_left, left), op, (bound_right, right))
    }

    fn compare_tuples(
        &mut self,
        left: &'a [Ast],
        op: CompareOp,
        right: &'a [Ast],
        span: Span,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        if left.len() != right.len() || !matches!(op, CompareOp::Equal | CompareOp::NotEqual) {
            return Err(
                self.report(span, "lists in parentheses can be compared with = and <> if they have the same length")
            );
        }
        let mut equal = Vec::new();
        for (left, right) in left.iter().zip(right) {
            equal.push(self.bind_comparison(left, CompareOp::Equal, right, clause)?);
        }
        let equal = make_and(equal);
        Ok(if op == CompareOp::Equal { equal } else { make_not(equal) })
    }

    pub(super) fn bind_same_value(
        &mut self,
        left: &'a Ast,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let span = left.span().union(&right.span());
        let texts = [expr_text(left), expr_text(right)];
        let (left, right) = self.bind_pair(left, right, clause)?;
        let (left, right) = self.unify_pair(left, right, span, [&texts[0], &texts[1]])?;
        Ok(fold_constant(ScalarExpr::condition(ExprKind::SameValue(Box::new(left), Box::new(right)))))
    }

    /// Gives both sides of a comparison one type. `texts` are what they are written as.
    pub(super) fn unify_pair(
        &mut self,
        left: ScalarExpr,
        right: ScalarExpr,
        span: Span,
        texts: [&str; 2],
    ) -> BindResult<(ScalarExpr, ScalarExpr)> {
        let message = mismatch_message(&left, &right, texts);
        match unify(vec![left, right]).map(<[ScalarExpr; 2]>::try_from) {
            Ok(Ok([left, right])) => Ok((left, right)),
            _ => Err(self.report(span, message)),
        }
    }

    /// `a + b` and `a − b`, of numbers or of a moment and an interval.
    fn bind_sum(
        &mut self,
        ast: &'a Ast,
        left: &'a Ast,
        op: &BinaryOperator,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let minus = *op == BinaryOperator::Minus;
        if let Some(interval) = interval_of(right) {
            let moment = self.bind_expr(left, clause)?;
            return self.add_interval(moment, interval, minus, ast.span(), clause);
        }
        if let Some(interval) = interval_of(left).filter(|_| !minus) {
            let moment = self.bind_expr(right, clause)?;
            return self.add_interval(moment, interval, false, ast.span(), clause);
        }
        self.bind_arithmetic(left, if minus { ArithmeticOp::Subtract } else { ArithmeticOp::Add }, right, clause)
    }

    fn bind_arithmetic(
        &mut self,
        left: &'a Ast,
        op: ArithmeticOp,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let span = left.span().union(&right.span());
        let (left, right) = self.bind_pair(left, right, clause)?;
        self.arithmetic(left, op, right, span)
    }

    pub(super) fn arithmetic(
        &mut self,
        left: ScalarExpr,
        op: ArithmeticOp,
        right: ScalarExpr,
        span: Span,
    ) -> BindResult<ScalarExpr> {
        let hint = arithmetic_hint(op, left.ty, right.ty);
        let numbers = [left, right].map(|operand| match operand.ty {
            SqlType::Long | SqlType::Double => Some(operand),
            _ => coerce_to(operand.clone(), SqlType::Long).or_else(|| coerce_to(operand, SqlType::Double)),
        });
        let [Some(left), Some(right)] = numbers else { return Err(self.report(span, hint)) };
        let ty = match op {
            ArithmeticOp::Divide => SqlType::Double,
            ArithmeticOp::DivideWhole if left.ty == SqlType::Double || right.ty == SqlType::Double => {
                return Err(self.report(span, "// divides whole numbers; for doubles write floor(a / b)"));
            }
            _ if left.ty == right.ty => left.ty,
            _ => SqlType::Double,
        };
        let (left, right) = (Box::new(cast_to(left, ty)), Box::new(cast_to(right, ty)));
        Ok(fold_constant(ScalarExpr { kind: ExprKind::Arithmetic(op, left, right), ty }))
    }

    fn bind_unary(
        &mut self,
        ast: &'a Ast,
        op: UnaryOperator,
        operand: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        if let (UnaryOperator::Minus, Some(number)) = (op, self.negative_number(operand)) {
            return Ok(number);
        }
        let bound = self.bind_expr(operand, clause)?;
        match op {
            UnaryOperator::Not | UnaryOperator::BangNot => {
                Ok(make_not(self.require_condition(bound, operand.span(), "NOT")?))
            }
            UnaryOperator::Plus | UnaryOperator::Minus if !bound.ty.is_number() && bound.ty != SqlType::Null => {
                let message = format!("{op} takes a number, and this is {}", bound.ty);
                Err(self.report_at(operand, message))
            }
            UnaryOperator::Plus => Ok(bound),
            UnaryOperator::Minus => {
                let ty = bound.ty;
                Ok(fold_constant(ScalarExpr { kind: ExprKind::Negate(Box::new(bound)), ty }))
            }
            other => Err(self.report_at(ast, format!("the operator {other} is not possible in a question"))),
        }
    }

    fn bind_case(
        &mut self,
        operand: Option<&'a Ast>,
        branches: &'a [ast::CaseWhen],
        otherwise: Option<&'a Ast>,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let subject = operand.map(|operand| Ok((self.bind_expr(operand, clause)?, operand))).transpose();
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for branch in branches {
            conditions.push(match &subject {
                Ok(None) => self.bind_condition(&branch.condition, clause),
                Ok(Some((subject, ast))) => {
                    let value = self.bind_expr(&branch.condition, clause);
                    value.and_then(|value| {
                        self.compare_values((subject.clone(), ast), CompareOp::Equal, (value, &branch.condition))
                    })
                }
                Err(reported) => Err(*reported),
            });
            results.push((self.bind_expr(&branch.result, clause), branch.result.span()));
        }
        if let Some(otherwise) = otherwise {
            results.push((self.bind_expr(otherwise, clause), otherwise.span()));
        } else {
            results.push((Ok(ScalarExpr::null(SqlType::Null)), Span::empty()));
        }
        let conditions = conditions.into_iter().collect::<BindResult<Vec<ScalarExpr>>>()?;
        let mut results = self.unify_results(results, "the results of CASE")?;
        let otherwise = results.pop().ok_or(ReportedProblem)?;
        Ok(make_case(conditions.into_iter().zip(results).collect(), otherwise))
    }

    /// Results of which one is taken: all have one type.
    pub(super) fn unify_results(
        &mut self,
        results: Vec<(BindResult<ScalarExpr>, Span)>,
        what: &str,
    ) -> BindResult<Vec<ScalarExpr>> {
        let spans: Vec<Span> = results.iter().map(|(_, span)| *span).collect();
        let results = results.into_iter().map(|(result, _)| result).collect::<BindResult<Vec<ScalarExpr>>>()?;
        let types: Vec<SqlType> = results.iter().map(|result| result.ty).collect();
        unify(results).map_err(|(first, second)| {
            let message = format!(
                "{what} have different types: {} and {}; convert one with cast(… AS {})",
                types[first],
                types[second],
                cast_name(types[first])
            );
            self.report(spans[second], message)
        })
    }
}

/// `a AND b AND c` as a list.
fn flatten_chain<'e>(ast: &'e Ast, op: &BinaryOperator) -> Vec<&'e Ast> {
    let mut operands = Vec::new();
    let mut rest = vec![ast];
    while let Some(next) = rest.pop() {
        match next {
            Ast::BinaryOp { left, op: inner, right } if inner == op => {
                rest.push(right);
                rest.push(left);
            }
            Ast::Nested(inner) if matches!(&**inner, Ast::BinaryOp { op: inner, .. } if inner == op) => {
                rest.push(inner);
            }
            operand => operands.push(operand),
        }
    }
    operands
}

fn tuple_parts(ast: &Ast) -> Option<&[Ast]> {
    match ast {
        Ast::Tuple(parts) => Some(parts),
        _ => None,
    }
}

fn interval_of(ast: &Ast) -> Option<&ast::Interval> {
    match ast {
        Ast::Interval(interval) => Some(interval),
        Ast::Nested(inner) => interval_of(inner),
        _ => None,
    }
}

/// The name of a type as `cast` takes it.
pub(super) fn cast_name(ty: SqlType) -> &'static str {
    match ty {
        SqlType::Texts | SqlType::Doubles | SqlType::Null => "text",
        ty => ty.name(),
    }
}

/// Why two values cannot be compared. `texts` are what they are written as.
fn mismatch_message(left: &ScalarExpr, right: &ScalarExpr, texts: [&str; 2]) -> String {
    let is_constant = |expr: &ScalarExpr| matches!(expr.kind, ExprKind::Literal(Datum::Text(_)));
    let [one, other] = texts;
    match (is_constant(left), is_constant(right)) {
        (false, true) => format!("{one} is {}, and {other} is none", left.ty),
        (true, false) => format!("{other} is {}, and {one} is none", right.ty),
        _ => format!(
            "{one} is {}, and {other} is {}; convert one to compare them: cast({other} AS {})",
            left.ty,
            right.ty,
            cast_name(left.ty)
        ),
    }
}

fn arithmetic_hint(op: ArithmeticOp, left: SqlType, right: SqlType) -> String {
    match (op, left, right) {
        (ArithmeticOp::Subtract, SqlType::Time, SqlType::Time) => {
            "the difference of two timestamps needs a unit: date_diff('day', earlier, later)".to_owned()
        }
        (ArithmeticOp::Add | ArithmeticOp::Subtract, SqlType::Time, _) | (ArithmeticOp::Add, _, SqlType::Time) => {
            "only an interval can be added to a timestamp: t + INTERVAL '7' DAY".to_owned()
        }
        (ArithmeticOp::Add, SqlType::Text, SqlType::Text) => "texts are joined with ||, not with +".to_owned(),
        (_, SqlType::Long | SqlType::Double, other) | (_, other, _) => {
            format!("{other} is no number; convert it with cast(… AS bigint) or cast(… AS double)")
        }
    }
}

/// `value` where `present` is not null, else `otherwise`.
pub(super) fn if_present(present: &ScalarExpr, value: ScalarExpr, otherwise: ScalarExpr) -> ScalarExpr {
    make_case(vec![(make_is_null(present.clone()), otherwise)], value)
}

/// Whether `IS NULL` of this can be anything but false.
pub(super) fn null_check(expr: &ScalarExpr, negated: bool) -> ScalarExpr {
    if negated { make_is_not_null(expr.clone()) } else { make_is_null(expr.clone()) }
}
