//! The aggregates of a plan, compiled: which cells a group has, and what is read of them.

use compact_str::CompactString;

use super::sorted::SortDirection;
use crate::datum::{Datum, SqlType};
use crate::eval::FaultCounter;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{AggregateCall, AggregateFunction, SortKey};

/// What kind of accumulator a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellKind {
    /// The values that are not null.
    Count,
    /// The sum of longs, and their count.
    LongSum,
    /// The sum of doubles, and their count.
    DoubleSum,
    /// The sums of doubles and of their squares.
    Moments,
    /// Conditions by their values.
    Truth,
    /// A counted ordered map of values.
    Values,
    /// A counted ordered map of texts.
    Texts,
    /// A counted ordered map of pairs.
    Pairs,
    /// The sums of pairs of doubles, of their squares and of their products.
    PairMoments,
}

/// A cell. Aggregates that need the same one share it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CellSpec {
    pub(super) kind: CellKind,
    /// The column of the value.
    pub(super) argument: usize,
    /// The column of the second value, for pairs.
    pub(super) second: Option<usize>,
    /// Whether equal values count once.
    pub(super) distinct: bool,
    /// The sort keys of texts.
    pub(super) order: Vec<(usize, SortDirection)>,
    /// Percentiles that are read: a cursor each.
    pub(super) percentiles: Vec<PercentilePoint>,
    /// Whether the mode is read.
    pub(super) by_count: bool,
}

/// Which percentile is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PercentilePoint {
    /// The share of the values below, in 0…1.
    fraction: f64,
    /// Whether it is interpolated.
    continuous: bool,
}

impl PercentilePoint {
    /// The place among `count` sorted values, from 0, and the fraction of the way to the next one.
    pub(super) fn place_among(self, count: i64) -> (i64, f64) {
        if self.continuous {
            let place = self.fraction * (count - 1) as f64;
            let whole = (place.floor() as i64).clamp(0, (count - 1).max(0));
            return (whole, place - place.floor());
        }
        let place = (self.fraction * count as f64).ceil() as i64;
        (place.clamp(1, count.max(1)) - 1, 0.0)
    }
}

/// Where an aggregate reads its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderSource {
    /// The row count of the group.
    Rows,
    /// A cell.
    Cell(usize),
}

/// How the result of one aggregate is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AggregateReader {
    pub(super) function: AggregateFunction,
    /// Whether equal values count once.
    pub(super) distinct: bool,
    pub(super) source: ReaderSource,
    /// The percentile with its cursor.
    pub(super) percentile: Option<(usize, PercentilePoint)>,
    /// What is put between texts.
    pub(super) separator: CompactString,
}

/// A list of aggregates over the same rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AggregateSet {
    pub(super) cells: Vec<CellSpec>,
    pub(super) readers: Vec<AggregateReader>,
}

impl AggregateSet {
    /// Compiles calls. What they read of a row is appended to `inputs`, once each: the cells refer to its positions.
    pub(super) fn new(calls: &[AggregateCall], inputs: &mut Vec<ScalarExpr>) -> AggregateSet {
        let mut set = AggregateSet::default();
        // Counts come last: each sum has one already.
        let is_count = |call: &AggregateCall| call.function == AggregateFunction::Count && !call.distinct;
        let mut readers: Vec<Option<AggregateReader>> = vec![None; calls.len()];
        for counts in [false, true] {
            for (reader, call) in readers.iter_mut().zip(calls).filter(|(_, call)| is_count(call) == counts) {
                *reader = Some(set.add_call(call, inputs));
            }
        }
        set.readers = readers.into_iter().flatten().collect();
        set
    }

    /// Whether all cells are counts and sums, so that parts of a group can be added up.
    pub(super) fn is_linear(&self) -> bool {
        use CellKind::{Count, DoubleSum, LongSum, Moments, PairMoments, Truth};
        let linear = [Count, LongSum, DoubleSum, Moments, PairMoments, Truth];
        self.cells.iter().all(|cell| linear.contains(&cell.kind) && !cell.distinct)
    }

    fn add_call(&mut self, call: &AggregateCall, inputs: &mut Vec<ScalarExpr>) -> AggregateReader {
        let mut reader = AggregateReader {
            function: call.function,
            distinct: call.distinct,
            source: ReaderSource::Rows,
            percentile: None,
            separator: CompactString::default(),
        };
        if call.function == AggregateFunction::CountRows && call.filter.is_none() {
            return reader;
        }
        let mut cell = cell_for(call, inputs);
        match call.function {
            AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc => {
                let continuous = call.function == AggregateFunction::PercentileCont;
                let point = PercentilePoint { fraction: constant_fraction(call.arguments.get(1)), continuous };
                let index = self.cell_index(cell);
                reader.percentile = Some((self.cursor_index(index, point), point));
                reader.source = ReaderSource::Cell(index);
                return reader;
            }
            AggregateFunction::Mode => cell.by_count = true,
            AggregateFunction::StringAgg => reader.separator = constant_text(call.arguments.get(1)),
            _ => {}
        }
        reader.source = ReaderSource::Cell(self.cell_index(cell));
        reader
    }

    /// The cell that serves a need: one that is there, or a new one.
    fn cell_index(&mut self, wanted: CellSpec) -> usize {
        let serves = |cell: &CellSpec| {
            let same = cell.argument == wanted.argument
                && cell.second == wanted.second
                && cell.distinct == wanted.distinct
                && cell.order == wanted.order;
            let counts = wanted.kind == CellKind::Count && !matches!(cell.kind, CellKind::Pairs | CellKind::Texts);
            same && (cell.kind == wanted.kind || counts)
        };
        let index = self.cells.iter().position(serves).unwrap_or(self.cells.len());
        match self.cells.get_mut(index) {
            Some(cell) => cell.by_count |= wanted.by_count,
            None => self.cells.push(wanted),
        }
        index
    }

    fn cursor_index(&mut self, cell: usize, point: PercentilePoint) -> usize {
        let points = &mut self.cells[cell].percentiles;
        points.iter().position(|other| *other == point).unwrap_or_else(|| {
            points.push(point);
            points.len() - 1
        })
    }
}

fn cell_for(call: &AggregateCall, inputs: &mut Vec<ScalarExpr>) -> CellSpec {
    let argument = match call.arguments.first() {
        Some(argument) if call.function != AggregateFunction::CountRows => argument.clone(),
        _ => ScalarExpr::literal(Datum::Bool(true)),
    };
    let kind = cell_kind(call.function, argument.ty, call.distinct);
    let second = matches!(kind, CellKind::Pairs | CellKind::PairMoments).then(|| call.arguments.get(1)).flatten();
    // Pairs with a place are filtered by their y: a null x counts.
    let (first_filter, second_filter) =
        if kind == CellKind::Pairs { (None, call.filter.as_ref()) } else { (call.filter.as_ref(), None) };
    let argument = intern_input(inputs, filtered(argument, first_filter));
    let second = second.map(|second| intern_input(inputs, filtered(second.clone(), second_filter)));
    let order = if kind == CellKind::Texts { intern_order(inputs, &call.order) } else { Vec::new() };
    let distinct = call.distinct && counts_repeated_values(call.function);
    CellSpec { kind, argument, second, distinct, order, percentiles: Vec::new(), by_count: false }
}

/// Whether the result over distinct values is another, and is not read from the map of the values itself.
fn counts_repeated_values(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    let once = [F::CountRows, F::Count, F::Min, F::Max, F::BoolAnd, F::BoolOr, F::ArgMax, F::ArgMin];
    !once.contains(&function) && !matches!(function, F::OfPairs(_))
}

/// The argument where the filter is true, and null elsewhere: nulls do not count.
fn filtered(argument: ScalarExpr, filter: Option<&ScalarExpr>) -> ScalarExpr {
    let Some(filter) = filter else { return argument };
    let ty = argument.ty;
    let branches = vec![(filter.clone(), argument)];
    ScalarExpr { kind: ExprKind::Case { branches, otherwise: Box::new(ScalarExpr::null(ty)) }, ty }
}

fn intern_order(inputs: &mut Vec<ScalarExpr>, order: &[SortKey]) -> Vec<(usize, SortDirection)> {
    let keys = order.iter().map(|key| (intern_input(inputs, key.expr.clone()), SortDirection::of_key(key)));
    keys.collect()
}

/// The position of an expression among the inputs, at the end if it is new.
pub(super) fn intern_input(inputs: &mut Vec<ScalarExpr>, expr: ScalarExpr) -> usize {
    inputs.iter().position(|input| *input == expr).unwrap_or_else(|| {
        inputs.push(expr);
        inputs.len() - 1
    })
}

fn constant_fraction(argument: Option<&ScalarExpr>) -> f64 {
    match constant_value(argument) {
        Datum::Double(fraction) => fraction.clamp(0.0, 1.0),
        Datum::Long(fraction) => (fraction as f64).clamp(0.0, 1.0),
        _ => 0.0,
    }
}

fn constant_text(argument: Option<&ScalarExpr>) -> CompactString {
    match constant_value(argument) {
        Datum::Text(text) => text,
        _ => CompactString::default(),
    }
}

fn constant_value(argument: Option<&ScalarExpr>) -> Datum {
    argument.map_or(Datum::Null, |argument| argument.eval(&[], &FaultCounter::default()).into_owned())
}

fn cell_kind(function: AggregateFunction, ty: SqlType, distinct: bool) -> CellKind {
    match function {
        AggregateFunction::Count if distinct => CellKind::Values,
        AggregateFunction::CountRows | AggregateFunction::Count => CellKind::Count,
        AggregateFunction::Sum | AggregateFunction::Avg if ty == SqlType::Double => CellKind::DoubleSum,
        AggregateFunction::Sum | AggregateFunction::Avg => CellKind::LongSum,
        AggregateFunction::Min
        | AggregateFunction::Max
        | AggregateFunction::Mode
        | AggregateFunction::PercentileCont
        | AggregateFunction::PercentileDisc => CellKind::Values,
        AggregateFunction::StddevSample
        | AggregateFunction::StddevPopulation
        | AggregateFunction::VarianceSample
        | AggregateFunction::VariancePopulation => CellKind::Moments,
        AggregateFunction::BoolAnd | AggregateFunction::BoolOr => CellKind::Truth,
        AggregateFunction::StringAgg => CellKind::Texts,
        AggregateFunction::ArgMax | AggregateFunction::ArgMin => CellKind::Pairs,
        AggregateFunction::OfPairs(_) => CellKind::PairMoments,
    }
}
