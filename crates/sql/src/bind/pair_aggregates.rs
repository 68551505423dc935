//! Aggregates of pairs of numbers: covariance, correlation and linear regression.

use sqlparser::ast::Expr as Ast;

use crate::datum::SqlType;
use crate::expr::ScalarExpr;
use crate::plan::{AggregateCall, AggregateFunction as Function, PairFunction};
use crate::rewrite::{make_and, make_is_not_null};

use super::aggregates::argument_message;
use super::coerce::coerce_to;
use super::functions::CallParts;
use super::{BindResult, ClauseKind, QuestionBinder};

impl<'a> QuestionBinder<'a> {
    /// `corr(y, x)`, `regr_slope(y, x)` and the like.
    pub(super) fn bind_pair_aggregate(
        &mut self,
        call: &CallParts<'a>,
        function: PairFunction,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let pair = self.bind_number_pair(call, clause)?;
        Ok(Self::make_call(Function::OfPairs(function), pair.into(), SqlType::Double))
    }

    /// `regr_count(y, x)`: the pairs without a null.
    pub(super) fn bind_regression_count(
        &mut self,
        call: &CallParts<'a>,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let pair = self.bind_number_pair(call, clause)?;
        let filter = Some(make_and(pair.into_iter().map(make_is_not_null).collect()));
        Ok(AggregateCall { filter, ..Self::make_call(Function::CountRows, Vec::new(), SqlType::Long) })
    }

    /// `regr_avgx(y, x)` and `regr_avgy(y, x)`: the mean of one of the two in the pairs without a null.
    pub(super) fn bind_regression_mean(
        &mut self,
        call: &CallParts<'a>,
        index: usize,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let mut pair = self.bind_number_pair(call, clause)?;
        let other = pair[1 - index].clone();
        let argument = std::mem::replace(&mut pair[index], ScalarExpr::null(SqlType::Double));
        let filter = Some(make_and(vec![make_is_not_null(other)]));
        Ok(AggregateCall { filter, ..Self::make_call(Function::Avg, vec![argument], SqlType::Double) })
    }

    fn bind_number_pair(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<[ScalarExpr; 2]> {
        let [one, other] = call.arguments[..] else {
            let message = format!("{} takes two numbers: {}(y, x)", call.name, call.name);
            return Err(self.report(call.span, message));
        };
        if call.distinct {
            let message = format!("{} takes no DISTINCT; take distinct pairs in a subquery", call.name);
            return Err(self.report(call.span, message));
        }
        let (y, x) = self.bind_pair(one, other, clause)?;
        let mut number = |bound: ScalarExpr, argument: &'a Ast| {
            let found = bound.ty;
            coerce_to(bound, SqlType::Double)
                .ok_or_else(|| self.report_at(argument, argument_message(&call.name, SqlType::Double, found, argument)))
        };
        Ok([number(y, one)?, number(x, other)?])
    }
}
