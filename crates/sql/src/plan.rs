//! The relational plan of a question.
//!
//! A plan is a tree of operators over bags of rows. Columns are known by position. Each operator's doc says which
//! columns its rows have. The binder makes plans; nothing else checks them again.

use crate::datum::{Datum, SqlType};
use crate::expr::ScalarExpr;

/// An operator with its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum QueryPlan {
    /// The rows that count of a relation of the catalog.
    Scan {
        /// The index of the relation in the catalog.
        relation: usize,
        /// What is read of each row: expressions over all columns of the relation, in catalog order. These are the
        /// columns of the operator.
        columns: Vec<ScalarExpr>,
    },
    /// The rows for which a condition is true. The columns are those of the input.
    Filter {
        /// The input.
        input: Box<QueryPlan>,
        /// The condition, over the input's columns.
        condition: ScalarExpr,
    },
    /// One row for each row. The columns are the expressions.
    Project {
        /// The input.
        input: Box<QueryPlan>,
        /// Expressions over the input's columns.
        columns: Vec<ScalarExpr>,
    },
    /// One row for each element of a list. The columns are those of the input, then the element.
    Unnest {
        /// The input.
        input: Box<QueryPlan>,
        /// The list, over the input's columns.
        list: ScalarExpr,
        /// Whether a row whose list is null or empty is kept once, with a null element.
        keep_empty: bool,
    },
    /// Pairs of rows whose keys are equal and not null, and for which a condition is true. The columns are those of
    /// the left input, then those of the right one; only those of the left one for semi and anti joins.
    ///
    /// The condition is part of what makes two rows partners: an outer join keeps a row whose keys match others, but
    /// for which the condition is true for none of them.
    Join {
        /// Which rows without a partner are kept.
        kind: JoinKind,
        /// The left input.
        left: Box<QueryPlan>,
        /// The right input.
        right: Box<QueryPlan>,
        /// Pairs of keys of the same type: over the left input's columns, and over the right input's columns. Without
        /// keys all pairs match.
        keys: Vec<(ScalarExpr, ScalarExpr)>,
        /// A further condition for a pair to match, over the columns of both inputs.
        condition: Option<ScalarExpr>,
    },
    /// One row for each group. The columns are the keys, then the aggregates.
    ///
    /// Without keys there is exactly one group, also if there are no rows. Nulls are equal to each other in keys.
    Aggregate {
        /// The input.
        input: Box<QueryPlan>,
        /// The grouping expressions, over the input's columns.
        keys: Vec<ScalarExpr>,
        /// The aggregates.
        aggregates: Vec<AggregateCall>,
    },
    /// Each distinct row once. The columns are those of the input.
    Distinct {
        /// The input.
        input: Box<QueryPlan>,
    },
    /// Window functions over the rows of each partition. The columns are those of the input, then the functions.
    ///
    /// Rows are put in an order that is total but for equal rows: by `order`, then by all columns of the input,
    /// ascending, nulls last. So `row_number` and the like do not depend on the order of arrival.
    Window {
        /// The input.
        input: Box<QueryPlan>,
        /// Partitions are rows with equal values of these, over the input's columns. Nulls are equal to each other.
        partition: Vec<ScalarExpr>,
        /// The order within a partition.
        order: Vec<SortKey>,
        /// The functions, all over the same partitions and order.
        functions: Vec<WindowCall>,
    },
    /// The first rows in an order, with ties settled by all columns, ascending, nulls last. The columns are those of the
    /// input.
    Limit {
        /// The input.
        input: Box<QueryPlan>,
        /// The order.
        order: Vec<SortKey>,
        /// How many rows are skipped.
        offset: u64,
        /// How many rows are kept after these. `None` for all.
        limit: Option<u64>,
    },
    /// The rows of all inputs, which have the same number of columns with the same types.
    UnionAll {
        /// The inputs: at least one.
        inputs: Vec<QueryPlan>,
    },
    /// One row, with constant columns: the input of a SELECT without FROM.
    OneRow {
        /// The values.
        columns: Vec<Datum>,
        /// Their types.
        types: Vec<SqlType>,
    },
}

/// Which rows without a partner a join keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left input, with nulls.
    Left,
    /// Those of the right input, with nulls.
    Right,
    /// Those of both inputs, with nulls.
    Full,
    /// Only left columns: the left rows with a partner, once each.
    Semi,
    /// Only left columns: the left rows without a partner.
    Anti,
}

/// One key of an order. Nulls are at the end where `nulls_first` is false, whichever the direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// The value.
    pub expr: ScalarExpr,
    /// Whether great values come first.
    pub descending: bool,
    /// Whether nulls come first.
    pub nulls_first: bool,
}

/// An aggregate of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AggregateCall {
    /// The function.
    pub function: AggregateFunction,
    /// The arguments, over the input's columns. The function says how many.
    pub arguments: Vec<ScalarExpr>,
    /// Whether rows with equal arguments count once. Duplicates are removed after `filter` is applied.
    pub distinct: bool,
    /// Only rows for which this is true count, and only for these the arguments are evaluated.
    pub filter: Option<ScalarExpr>,
    /// The order of the rows, for functions that depend on one: over the input's columns. Ties are settled by the
    /// arguments. With `distinct` the keys are functions of the arguments, so that equal arguments have one place.
    pub order: Vec<SortKey>,
    /// The type of the result.
    pub ty: SqlType,
}

/// An aggregate function. Rows whose (first) argument is null do not count, except where noted. A result over no rows
/// is null, except for the counts. A result that is too great for its type is null, and counted as a fault.
///
/// No result depends on the order in which rows came: what is computed of doubles is exact until it is rounded, to the
/// nearest double, of two equally near ones the even.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// `count(*)`: no argument, all rows count. Long.
    CountRows,
    /// `count(x)`. Long.
    Count,
    /// `sum(x)` of longs (null, and counted, if it does not fit) or doubles (exact, rounded once). The argument's type.
    Sum,
    /// `avg(x)` of longs or doubles: the exact sum divided by the count, rounded once. Double.
    Avg,
    /// `min(x)` of any type.
    Min,
    /// `max(x)` of any type.
    Max,
    /// `percentile_cont(p)`: `arguments` are x (double) and the constant p (double) in 0…1. Interpolated as SQL has it:
    /// at `place = p·(n−1)` of the n sorted values. With `a` the value at the whole part of `place`, `b` the next one
    /// and `f` the fraction, it is `a + (b − a)·f`, and `a` if `f` is zero; all in doubles, as Postgres does it.
    /// `median(x)` is this with 0.5. Double.
    PercentileCont,
    /// `percentile_disc(p)`: `arguments` are x (any type) and the constant p (double) in 0…1. The least value whose
    /// cumulative share is at least p: of the n sorted values that at `⌈p·n⌉`, from 1, at least the first; the product
    /// is one of doubles, as in Postgres. Also Spark's `percentile_approx`, which is exact here. The argument's type.
    PercentileDisc,
    /// `mode(x)`: the most frequent value, the least of those equally frequent. The argument's type.
    Mode,
    /// `stddev_samp(x)` of doubles: the square root of [`AggregateFunction::VarianceSample`]. Double.
    StddevSample,
    /// `stddev_pop(x)` of doubles: the square root of [`AggregateFunction::VariancePopulation`]. Double.
    StddevPopulation,
    /// `var_samp(x)` of doubles; null for fewer than two rows: the exact `(n·Σx² − (Σx)²) / (n·(n − 1))`, rounded once.
    /// Double.
    VarianceSample,
    /// `var_pop(x)` of doubles: the exact `(n·Σx² − (Σx)²) / n²`, rounded once. Double.
    VariancePopulation,
    /// `bool_and(x)`. Bool.
    BoolAnd,
    /// `bool_or(x)`. Bool.
    BoolOr,
    /// `string_agg(x, separator ORDER BY …)`: `arguments` are x (text) and the constant separator, which is empty if it
    /// is null. Ordered by `order`, then by x; also over a window, whose order it does not take. Text.
    StringAgg,
    /// `arg_max(x, y)`, `max_by(x, y)`: the x of the row with the greatest y; of several, the least x that is not
    /// null, else null. Rows whose y is null do not count; a null x does. The type of x.
    ArgMax,
    /// `arg_min(x, y)`, `min_by(x, y)`, likewise with the least y.
    ArgMin,
    /// An aggregate of pairs of doubles `(y, x)`. Rows of which one is null do not count. Double.
    OfPairs(PairFunction),
}

/// An aggregate of pairs of numbers. With n pairs, `Sxy = n·Σxy − Σx·Σy`, `Sxx = n·Σx² − (Σx)²`, and `Syy` likewise: all are
/// exact, and each result is rounded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PairFunction {
    /// `covar_pop(y, x)`: `Sxy / n²`.
    CovariancePopulation,
    /// `covar_samp(y, x)`: `Sxy / (n·(n − 1))`; null for fewer than two pairs.
    CovarianceSample,
    /// `corr(y, x)`: the square root of `regr_r2`, with the sign of `Sxy`; null if all `x` or all `y` are equal.
    Correlation,
    /// `regr_slope(y, x)`: `Sxy / Sxx`; null if all `x` are equal.
    Slope,
    /// `regr_intercept(y, x)`: `(Σy·Σx² − Σx·Σxy) / Sxx`; null if all `x` are equal.
    Intercept,
    /// `regr_r2(y, x)`: `Sxy² / (Sxx·Syy)`; null if all `x` are equal, else 1 if all `y` are.
    Determination,
    /// `regr_sxx(y, x)`: `Sxx / n`, the squared deviations of `x` from its mean.
    SpreadOfX,
    /// `regr_syy(y, x)`: `Syy / n`.
    SpreadOfY,
    /// `regr_sxy(y, x)`: `Sxy / n`.
    SpreadOfBoth,
}

impl PairFunction {
    /// All of them, with their names.
    pub(crate) const ALL: [(&'static str, PairFunction); 9] = [
        ("covar_pop", PairFunction::CovariancePopulation),
        ("covar_samp", PairFunction::CovarianceSample),
        ("corr", PairFunction::Correlation),
        ("regr_slope", PairFunction::Slope),
        ("regr_intercept", PairFunction::Intercept),
        ("regr_r2", PairFunction::Determination),
        ("regr_sxx", PairFunction::SpreadOfX),
        ("regr_syy", PairFunction::SpreadOfY),
        ("regr_sxy", PairFunction::SpreadOfBoth),
    ];

    /// The function of this name, in lower case.
    pub(crate) fn of_name(name: &str) -> Option<PairFunction> {
        PairFunction::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, function)| function)
    }

    /// The name.
    pub(crate) fn name(self) -> &'static str {
        PairFunction::ALL.into_iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// A window function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowCall {
    /// The function.
    pub function: WindowFunction,
    /// The type of the result.
    pub ty: SqlType,
}

/// A window function, over the ordered rows of a partition.
///
/// The rows of a window are ordered by the keys and then by all columns; *peers* are rows with equal keys. Without keys
/// all rows of a partition are peers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WindowFunction {
    /// The number of the row, from 1. Long.
    RowNumber,
    /// The number of the first peer. Long.
    Rank,
    /// The number of distinct keys up to this row. Long.
    DenseRank,
    /// `(rank − 1) / (rows − 1)`; 0 for a single row. Double.
    PercentRank,
    /// The share of rows up to the last peer, and with it. Double.
    CumeDist,
    /// The number of the row's bucket among this many (at least 1), from 1. The buckets differ by at most one row, and
    /// the greater ones come first. Long.
    Ntile(u64),
    /// The value of the row at this distance (negative: before), or the default where there is none.
    Offset {
        /// The value.
        value: ScalarExpr,
        /// The distance in rows.
        distance: i64,
        /// The value where there is no such row: constant or an expression over the current row.
        default: Box<ScalarExpr>,
    },
    /// The value in the first row of the frame, which can be null; null if the frame has no rows.
    FirstValue(ScalarExpr, WindowFrame),
    /// The value in the last row of the frame, which can be null; null if the frame has no rows.
    LastValue(ScalarExpr, WindowFrame),
    /// The value in the n-th row of the frame, from 1; null if it has fewer.
    NthValue(ScalarExpr, u64, WindowFrame),
    /// The value of the row at this distance (negative: before) among those whose value is not null, or the default where
    /// there is none: `lag(x) IGNORE NULLS`. The row itself does not count, but for the distance 0.
    KnownOffset {
        /// The value.
        value: ScalarExpr,
        /// The distance in rows whose value is not null.
        distance: i64,
        /// The value where there is no such row.
        default: Box<ScalarExpr>,
    },
    /// A value in the frame that is not null: the first one is 1, the last one -1; null if there are fewer.
    /// `first_value(x) IGNORE NULLS` and the like.
    KnownValue {
        /// The value.
        value: ScalarExpr,
        /// Its place among the values that are not null: from 1, or from the end if it is negative. Not 0.
        place: i64,
        /// The frame.
        frame: WindowFrame,
    },
    /// An aggregate over the rows of the frame.
    Aggregate(AggregateCall, WindowFrame),
}

/// Which rows of a partition a window function reads for a row. Rows beyond the ends of the partition do not exist, and a
/// frame whose end is before its start has no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowFrame {
    /// Whether bounds count rows. Otherwise the current row stands for all its peers, and other bounds are distances
    /// between values of the order's only key, which is of longs or times: `RANGE`. Rows whose key is null are at no
    /// distance from others: these bounds are then the first and the last of them.
    pub rows: bool,
    /// The first row.
    pub start: FrameBound,
    /// The last row.
    pub end: FrameBound,
}

impl WindowFrame {
    /// The whole partition: the default without ORDER BY.
    pub const WHOLE: WindowFrame =
        WindowFrame { rows: false, start: FrameBound::Unbounded, end: FrameBound::Unbounded };
    /// From the first row to the last peer: the default with ORDER BY.
    pub const RUNNING: WindowFrame =
        WindowFrame { rows: false, start: FrameBound::Unbounded, end: FrameBound::Current };
}

/// A bound of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameBound {
    /// The end of the partition in the direction of this bound.
    Unbounded,
    /// The current row.
    Current,
    /// This many rows before the current one, or rows at most so far before it, with values of the key.
    Preceding(u64),
    /// This many rows after the current one, or rows at most so far after it, with values of the key.
    Following(u64),
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// The name.
    pub name: String,
    /// The type: not a list, and not [`SqlType::Null`].
    pub ty: SqlType,
    /// Whether values can be null.
    pub nullable: bool,
}

/// One key of the order in which an answer is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingKey {
    /// The index of a column of the plan: an output column or a hidden one.
    pub column: usize,
    /// Whether great values come first.
    pub descending: bool,
    /// Whether nulls come first.
    pub nulls_first: bool,
}

/// A question, bound: its answer is the bag of rows of `plan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundQuestion {
    /// The plan. Its columns are the `columns`, then hidden ones that only the listing order reads.
    pub plan: QueryPlan,
    /// The columns of the answer.
    pub columns: Vec<OutputColumn>,
    /// The order in which rows are listed. Ties are settled by all columns, ascending.
    pub listing: Vec<ListingKey>,
    /// What a reader should know: how ties are settled, what is interpreted in one of several ways.
    pub notes: Vec<String>,
}

impl QueryPlan {
    /// The inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<&QueryPlan> {
        match self {
            QueryPlan::Scan { .. } | QueryPlan::OneRow { .. } => Vec::new(),
            QueryPlan::Filter { input, .. }
            | QueryPlan::Project { input, .. }
            | QueryPlan::Unnest { input, .. }
            | QueryPlan::Aggregate { input, .. }
            | QueryPlan::Distinct { input }
            | QueryPlan::Window { input, .. }
            | QueryPlan::Limit { input, .. } => vec![input],
            QueryPlan::Join { left, right, .. } => vec![left, right],
            QueryPlan::UnionAll { inputs } => inputs.iter().collect(),
        }
    }

    /// The types of the columns.
    #[must_use]
    pub fn types(&self) -> Vec<SqlType> {
        let of = |columns: &[ScalarExpr]| columns.iter().map(|column| column.ty).collect();
        match self {
            QueryPlan::Scan { columns, .. } | QueryPlan::Project { columns, .. } => of(columns),
            QueryPlan::OneRow { types, .. } => types.clone(),
            QueryPlan::Filter { input, .. } | QueryPlan::Distinct { input } | QueryPlan::Limit { input, .. } => {
                input.types()
            }
            QueryPlan::Unnest { input, list, .. } => {
                let mut types = input.types();
                types.push(list.ty.element().unwrap_or(SqlType::Null));
                types
            }
            QueryPlan::Join { kind: JoinKind::Semi | JoinKind::Anti, left, .. } => left.types(),
            QueryPlan::Join { left, right, .. } => {
                let mut types = left.types();
                types.extend(right.types());
                types
            }
            QueryPlan::Aggregate { keys, aggregates, .. } => {
                let mut types: Vec<SqlType> = of(keys);
                types.extend(aggregates.iter().map(|call| call.ty));
                types
            }
            QueryPlan::Window { input, functions, .. } => {
                let mut types = input.types();
                types.extend(functions.iter().map(|call| call.ty));
                types
            }
            QueryPlan::UnionAll { inputs } => inputs.first().map(QueryPlan::types).unwrap_or_default(),
        }
    }
}
