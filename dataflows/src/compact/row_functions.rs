//! Compiles expressions to closures over projected rows.
//!
//! Each expression becomes one closure of its type: texts are symbols, so that they are compared without being read.
//! Two things make closures as fast as code that the compiler sees whole: a comparison of a column with a constant is
//! one closure, and an expression of one column with few values is looked up in a table of results (`memo`). A row
//! costs 10 to 25 ns per question.

use std::cmp::Ordering;

use pinflow_sql::catalog::RelationCatalog;
use pinflow_sql::datum::{Datum, SqlType};
use pinflow_sql::expr::{ArithmeticOp, CompareOp, ExprKind, ScalarExpr};

use super::flat_join::ColumnPosition;
use super::memo::{MemoKey, RowFunction, memoize};
use crate::aggregates::{AggregateInput, GroupKeyPart};
use crate::joins::{HeldColumn, JoinedRow, column_or_year};
use crate::symbol::Symbol;

/// Makes an input of an aggregate from a joined row. `None` if the row does not count.
pub type InputFunction = Box<dyn Fn(&JoinedRow<'_>) -> Option<AggregateInput>>;

type TextFunction = RowFunction<Symbol>;
type LongFunction = RowFunction<i64>;
type ConditionFunction = RowFunction<bool>;
type PartFunction = Box<dyn Fn(&JoinedRow<'_>) -> GroupKeyPart>;

/// The expressions of a question on the fast path.
pub(super) struct InputParts<'q> {
    pub(super) conditions: &'q [ScalarExpr],
    pub(super) groups: &'q [ScalarExpr],
    pub(super) label: Option<&'q ScalarExpr>,
    pub(super) value: Option<&'q ScalarExpr>,
    /// Whether rows without a label do not count.
    pub(super) needs_label: bool,
    /// The index of the question among those of the aggregates.
    pub(super) answer: u16,
}

impl InputParts<'_> {
    /// The function that evaluates all parts. `None` if one is not supported.
    pub(super) fn compile(&self, compiler: &RowCompiler<'_>) -> Option<InputFunction> {
        let conditions = self.conditions.iter().map(|it| compiler.condition(it)).collect::<Option<Vec<_>>>()?;
        let label = optional(self.label, |label| compiler.text(label))?;
        let value = optional(self.value, |value| compiler.long(value))?;
        let (needs_label, answer) = (self.needs_label, self.answer);
        let rest = move |row: &JoinedRow<'_>| {
            let label = label.as_ref().and_then(|label| label(row));
            if needs_label && label.is_none() {
                return None;
            }
            let value = match &value {
                Some(value) => value(row)?,
                None => 0,
            };
            Some((label, value))
        };
        let counts = move |row: &JoinedRow<'_>| conditions.iter().all(|condition| condition(row) == Some(true));
        let mut groups = self.groups.iter().map(|it| compiler.part(it)).collect::<Option<Vec<_>>>()?.into_iter();
        Some(match (groups.next(), groups.next()) {
            (None, _) => Box::new(move |row| {
                let (label, value) = counts(row).then(|| rest(row))??;
                Some(AggregateInput::new([], label, value, answer))
            }),
            (Some(group), None) => Box::new(move |row| {
                let (label, value) = counts(row).then(|| rest(row))??;
                Some(AggregateInput::new([group(row)], label, value, answer))
            }),
            (Some(one), Some(other)) => Box::new(move |row| {
                let (label, value) = counts(row).then(|| rest(row))??;
                Some(AggregateInput::new([one(row), other(row)], label, value, answer))
            }),
        })
    }
}

/// `Some(None)` if there is no expression, `None` if it does not compile.
fn optional<T>(expr: Option<&ScalarExpr>, compile: impl Fn(&ScalarExpr) -> Option<T>) -> Option<Option<T>> {
    match expr {
        Some(expr) => compile(expr).map(Some),
        None => Some(None),
    }
}

/// Compiles expressions over the columns of a catalog's relations.
pub(super) struct RowCompiler<'c> {
    catalog: &'c RelationCatalog,
}

impl<'c> RowCompiler<'c> {
    pub(super) fn new(catalog: &'c RelationCatalog) -> RowCompiler<'c> {
        RowCompiler { catalog }
    }

    /// The projected column that an expression reads as a whole.
    pub(super) fn held_column(&self, expr: &ScalarExpr) -> Option<HeldColumn> {
        let (position, is_year) = column_or_year(expr)?;
        let ColumnPosition { relation, column } = ColumnPosition::at(position);
        let name = self.catalog.relations.get(relation)?.columns.get(column)?.name;
        HeldColumn::find(relation, name, is_year)
    }

    fn part(&self, expr: &ScalarExpr) -> Option<PartFunction> {
        if expr.ty == SqlType::Text {
            let text = self.text(expr)?;
            return Some(Box::new(move |row| text(row).map_or(GroupKeyPart::Null, GroupKeyPart::Text)));
        }
        if expr.ty != SqlType::Long || !self.is_small(expr) {
            return None;
        }
        let long = self.long(expr)?;
        // Small: the conversion never fails.
        Some(Box::new(move |row| {
            long(row).and_then(|it| i32::try_from(it).ok()).map_or(GroupKeyPart::Null, GroupKeyPart::Long)
        }))
    }

    /// Whether all values are within 32 bits.
    fn is_small(&self, expr: &ScalarExpr) -> bool {
        match &expr.kind {
            ExprKind::Literal(Datum::Long(value)) => i32::try_from(*value).is_ok(),
            ExprKind::Literal(Datum::Null) => true,
            ExprKind::Case { branches, otherwise } => {
                branches.iter().all(|(_, result)| self.is_small(result)) && self.is_small(otherwise)
            }
            ExprKind::Coalesce(all) => all.iter().all(|it| self.is_small(it)),
            _ => matches!(self.held_column(expr), Some(HeldColumn::PostYear | HeldColumn::Age | HeldColumn::JoinYear)),
        }
    }

    /// A text, without making a new one: only texts of rows and constants are symbols.
    fn text(&self, expr: &ScalarExpr) -> Option<TextFunction> {
        if let Some(column) = self.held_column(expr) {
            let read = column.text()?;
            return Some(Box::new(read));
        }
        let made: TextFunction = match &expr.kind {
            ExprKind::Literal(Datum::Text(text)) => {
                let symbol = Symbol::new(text);
                return Some(Box::new(move |_| Some(symbol)));
            }
            ExprKind::Literal(Datum::Null) => return Some(Box::new(|_| None)),
            ExprKind::Case { branches, otherwise } => {
                let branches = branches
                    .iter()
                    .map(|(condition, result)| Some((self.condition(condition)?, self.text(result)?)))
                    .collect::<Option<Vec<_>>>()?;
                let otherwise = self.text(otherwise)?;
                Box::new(move |row| first_true(&branches, row).map_or_else(|| otherwise(row), |result| result(row)))
            }
            ExprKind::Coalesce(all) => {
                let all = all.iter().map(|it| self.text(it)).collect::<Option<Vec<_>>>()?;
                Box::new(move |row| all.iter().find_map(|it| it(row)))
            }
            _ => return None,
        };
        Some(match self.memo_key(expr) {
            Some(key) => memoize(key, made),
            None => made,
        })
    }

    fn long(&self, expr: &ScalarExpr) -> Option<LongFunction> {
        if let Some(column) = self.held_column(expr) {
            let read = column.long()?;
            return Some(Box::new(read));
        }
        let made: LongFunction = match &expr.kind {
            ExprKind::Literal(Datum::Long(value)) => {
                let value = *value;
                return Some(Box::new(move |_| Some(value)));
            }
            ExprKind::Literal(Datum::Null) => return Some(Box::new(|_| None)),
            ExprKind::Case { branches, otherwise } => {
                let branches = branches
                    .iter()
                    .map(|(condition, result)| Some((self.condition(condition)?, self.long(result)?)))
                    .collect::<Option<Vec<_>>>()?;
                let otherwise = self.long(otherwise)?;
                Box::new(move |row| first_true(&branches, row).map_or_else(|| otherwise(row), |result| result(row)))
            }
            ExprKind::Coalesce(all) => {
                let all = all.iter().map(|it| self.long(it)).collect::<Option<Vec<_>>>()?;
                Box::new(move |row| all.iter().find_map(|it| it(row)))
            }
            // Other operations can fail, which is counted: the general path does that.
            ExprKind::Arithmetic(op, one, other) => {
                let ExprKind::Literal(Datum::Long(divisor)) = other.kind else { return None };
                let one = self.long(one)?;
                match op {
                    ArithmeticOp::DivideWhole if divisor > 0 => Box::new(move |row| Some(one(row)? / divisor)),
                    ArithmeticOp::Remainder if divisor > 0 => Box::new(move |row| Some(one(row)? % divisor)),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(match self.memo_key(expr) {
            Some(key) => memoize(key, made),
            None => made,
        })
    }

    fn condition(&self, expr: &ScalarExpr) -> Option<ConditionFunction> {
        let made: ConditionFunction = match &expr.kind {
            ExprKind::Literal(Datum::Bool(value)) => {
                let value = *value;
                return Some(Box::new(move |_| Some(value)));
            }
            ExprKind::Literal(Datum::Null) => return Some(Box::new(|_| None)),
            ExprKind::Compare(op, one, other) => self.comparison(*op, one, other)?,
            ExprKind::And(all) => {
                let all = all.iter().map(|it| self.condition(it)).collect::<Option<Vec<_>>>()?;
                Box::new(move |row| decide(&all, row, false))
            }
            ExprKind::Or(all) => {
                let all = all.iter().map(|it| self.condition(it)).collect::<Option<Vec<_>>>()?;
                Box::new(move |row| decide(&all, row, true))
            }
            ExprKind::Not(inner) => {
                let inner = self.condition(inner)?;
                Box::new(move |row| inner(row).map(|it| !it))
            }
            ExprKind::IsTrue(inner) => {
                let inner = self.condition(inner)?;
                Box::new(move |row| Some(inner(row) == Some(true)))
            }
            ExprKind::IsNull(inner) => self.null_test(inner)?,
            ExprKind::In(one, list) => self.membership(one, list)?,
            _ => return None,
        };
        Some(match self.memo_key(expr) {
            Some(key) => memoize(key, made),
            None => made,
        })
    }

    fn null_test(&self, inner: &ScalarExpr) -> Option<ConditionFunction> {
        Some(match inner.ty {
            SqlType::Text => {
                let inner = self.text(inner)?;
                Box::new(move |row| Some(inner(row).is_none()))
            }
            SqlType::Long => {
                let inner = self.long(inner)?;
                Box::new(move |row| Some(inner(row).is_none()))
            }
            SqlType::Bool => {
                let inner = self.condition(inner)?;
                Box::new(move |row| Some(inner(row).is_none()))
            }
            _ => return None,
        })
    }

    fn comparison(&self, op: CompareOp, one: &ScalarExpr, other: &ScalarExpr) -> Option<ConditionFunction> {
        if one.ty == SqlType::Text {
            let (one, other) = (self.text(one)?, self.text(other)?);
            return Some(match op {
                CompareOp::Equal => Box::new(move |row| Some(one(row)? == other(row)?)),
                CompareOp::NotEqual => Box::new(move |row| Some(one(row)? != other(row)?)),
                op => Box::new(move |row| Some(holds(op, one(row)?.cmp(&other(row)?)))),
            });
        }
        if one.ty != SqlType::Long {
            return None;
        }
        if let (Some(column), ExprKind::Literal(Datum::Long(constant))) = (self.held_column(one), &other.kind) {
            let (read, constant) = (column.long()?, *constant);
            return Some(match op {
                CompareOp::Equal => Box::new(move |row| Some(read(row)? == constant)),
                CompareOp::NotEqual => Box::new(move |row| Some(read(row)? != constant)),
                CompareOp::Less => Box::new(move |row| Some(read(row)? < constant)),
                CompareOp::LessOrEqual => Box::new(move |row| Some(read(row)? <= constant)),
                CompareOp::Greater => Box::new(move |row| Some(read(row)? > constant)),
                CompareOp::GreaterOrEqual => Box::new(move |row| Some(read(row)? >= constant)),
            });
        }
        let (one, other) = (self.long(one)?, self.long(other)?);
        Some(Box::new(move |row| Some(holds(op, one(row)?.cmp(&other(row)?)))))
    }

    /// `x IN (…)` with constants that are not null.
    fn membership(&self, one: &ScalarExpr, list: &[ScalarExpr]) -> Option<ConditionFunction> {
        if one.ty == SqlType::Text {
            let symbol = |it: &ScalarExpr| {
                if let ExprKind::Literal(Datum::Text(text)) = &it.kind { Some(Symbol::new(text)) } else { None }
            };
            let list = list.iter().map(symbol).collect::<Option<Vec<_>>>()?;
            let one = self.text(one)?;
            return Some(Box::new(move |row| Some(list.contains(&one(row)?))));
        }
        let long =
            |it: &ScalarExpr| if let ExprKind::Literal(Datum::Long(value)) = it.kind { Some(value) } else { None };
        let list = list.iter().map(long).collect::<Option<Vec<_>>>()?;
        let one = self.long(one)?;
        Some(Box::new(move |row| Some(list.contains(&one(row)?))))
    }

    /// The one column of an expression that is more than a column, if its values are few.
    fn memo_key(&self, expr: &ScalarExpr) -> Option<MemoKey> {
        if matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_)) {
            return None;
        }
        let mut columns = Vec::new();
        self.collect_columns(expr, &mut columns)?;
        columns.dedup();
        if let [column] = columns[..] { column.memo_key() } else { None }
    }

    /// Collects the projected columns that an expression reads.
    fn collect_columns(&self, expr: &ScalarExpr, into: &mut Vec<HeldColumn>) -> Option<()> {
        if let Some(column) = self.held_column(expr) {
            into.push(column);
            return Some(());
        }
        expr.operands().into_iter().try_for_each(|operand| self.collect_columns(operand, into))
    }
}

/// The result of the first branch whose condition is true.
fn first_true<'b, R>(branches: &'b [(ConditionFunction, R)], row: &JoinedRow<'_>) -> Option<&'b R> {
    branches.iter().find(|(condition, _)| condition(row) == Some(true)).map(|(_, result)| result)
}

/// `decided` if one condition has that value, else null if one is null, else the opposite.
fn decide(conditions: &[ConditionFunction], row: &JoinedRow<'_>, decided: bool) -> Option<bool> {
    let mut result = Some(!decided);
    for condition in conditions {
        match condition(row) {
            Some(value) if value == decided => return Some(decided),
            None => result = None,
            Some(_) => {}
        }
    }
    result
}

fn holds(op: CompareOp, ordering: Ordering) -> bool {
    match op {
        CompareOp::Equal => ordering.is_eq(),
        CompareOp::NotEqual => ordering.is_ne(),
        CompareOp::Less => ordering.is_lt(),
        CompareOp::LessOrEqual => ordering.is_le(),
        CompareOp::Greater => ordering.is_gt(),
        CompareOp::GreaterOrEqual => ordering.is_ge(),
    }
}
