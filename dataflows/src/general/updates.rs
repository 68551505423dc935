//! What is sent between the operators of the general path.

use std::hash::BuildHasher;

use pinflow_sql::datum::Row;
use pinflow_sql::hash::row_hash;
use pinflow_sql::incremental::{GroupRows, PartialGroup};
use serde::{Deserialize, Serialize};

use crate::hash::KeyedState;

/// A leaf of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct LeafId {
    /// The number of the question's id.
    pub(crate) question: u32,
    /// The index of the leaf.
    pub(crate) leaf: u16,
}

/// What the changed rows of an epoch add to a leaf.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum LeafUpdate {
    /// A row of a leaf without groups is added or removed.
    Row {
        /// The leaf.
        leaf: LeafId,
        /// The row.
        row: Row,
        /// How often it is added, or removed if negative.
        diff: i64,
    },
    /// Rows are added to groups, or removed from them.
    Rows {
        /// The leaf.
        leaf: LeafId,
        /// The inputs of the groups.
        rows: GroupRows,
    },
    /// Counts and sums of a group.
    Partial {
        /// The leaf.
        leaf: LeafId,
        /// What is added to the group.
        group: PartialGroup,
    },
    /// The epoch has commands for this worker, by index.
    Notice {
        /// The index of the worker.
        worker: u64,
    },
    /// How far the leaves of a question are filled, for a worker.
    Fill(FillReport),
}

/// How far a question is filled in an operator at the end of an epoch.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct FillReport {
    /// The index of the worker to which it is sent.
    pub(super) to: u64,
    /// The index of the worker on which the operator is.
    pub(super) from: u64,
    /// The number of the question's id.
    pub(super) question: u32,
    /// How much is done, and of how much.
    pub(super) done: u64,
    pub(super) total: u64,
    /// Whether the operator has emitted all that there was before. From now on it emits changes only.
    pub(super) is_last: bool,
}

impl LeafUpdate {
    /// The hash by which updates are exchanged to workers: by group, or by question where there are no groups.
    pub(super) fn exchange_hash(&self) -> u64 {
        match self {
            LeafUpdate::Row { leaf, .. } => question_hash(leaf.question),
            LeafUpdate::Rows { rows, .. } => rows.exchange_hash(),
            LeafUpdate::Partial { group, .. } => row_hash(&group.key),
            LeafUpdate::Notice { worker } => *worker,
            LeafUpdate::Fill(report) => report.to,
        }
    }
}

/// A change of a leaf's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum LeafResult {
    /// A row of the leaf or of its groups is added, or removed.
    Row(LeafId, Row, i64),
    /// The epoch has commands for this worker, by index.
    Notice {
        /// The index of the worker.
        worker: u64,
    },
    /// How far the groups of a question are filled, for a worker.
    Fill(FillReport),
}

impl LeafResult {
    /// The hash by which results are exchanged to workers: by question.
    pub(super) fn exchange_hash(&self) -> u64 {
        match self {
            LeafResult::Row(leaf, ..) => question_hash(leaf.question),
            LeafResult::Notice { worker } => *worker,
            LeafResult::Fill(report) => report.to,
        }
    }
}

/// The hash by which everything above the groups of a question is exchanged to one worker.
pub(super) fn question_hash(question: u32) -> u64 {
    KeyedState.hash_one(question)
}

#[cfg(test)]
mod tests {
    use pinflow_sql::datum::Datum;
    use pinflow_sql::incremental::RowCollector;
    use timely::bytes::arc::BytesMut;
    use timely::dataflow::channels::ContainerBytes;

    use super::super::KeptInput;
    use super::*;
    use crate::joins::{FillInput, FillRow, GeoProjection, PinProjection, ProjectedRow, UserProjection};
    use crate::record::{Lineage, Position};
    use crate::symbol::Symbol;

    /// Sends records as timely does between processes, and compares their texts.
    #[allow(clippy::needless_pass_by_value, reason = "timely serialises vectors")]
    fn check_crossing<T: std::fmt::Debug>(sent: Vec<T>)
    where
        Vec<T>: ContainerBytes,
    {
        let mut bytes = Vec::new();
        sent.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), sent.length_in_bytes());
        let received = Vec::<T>::from_bytes(BytesMut::from(bytes).freeze());
        assert_eq!(format!("{received:?}"), format!("{sent:?}"));
    }

    fn all_values() -> Row {
        let list = Datum::List([Datum::text("x"), Datum::Null].into());
        let numbers = [Datum::Long(i64::MIN), Datum::Double(0.1), Datum::Double(f64::MIN_POSITIVE), Datum::Time(-1)];
        numbers.into_iter().chain([Datum::Bool(true), Datum::text("é"), list, Datum::Null]).collect()
    }

    #[test]
    fn records_of_the_general_path_survive_being_serialised() {
        let leaf = LeafId { question: u32::MAX, leaf: 3 };
        let report = FillReport { to: 1, from: 2, question: 3, done: 4, total: 5, is_last: true };
        for count in [1, 100] {
            let mut collector = RowCollector::new(2);
            (1..=count).for_each(|diff| collector.push(all_values(), diff));
            let mut updates = Vec::new();
            collector.take_rows(1, &mut |rows| updates.push(LeafUpdate::Rows { leaf, rows }));
            check_crossing(updates);
        }
        check_crossing(vec![
            LeafUpdate::Row { leaf, row: all_values(), diff: -3 },
            LeafUpdate::Row { leaf, row: Row::default(), diff: 1 },
            LeafUpdate::Notice { worker: 7 },
            LeafUpdate::Fill(report),
        ]);
        check_crossing(vec![
            LeafResult::Row(leaf, all_values(), -1),
            LeafResult::Notice { worker: 7 },
            LeafResult::Fill(report),
        ]);
    }

    #[test]
    fn rows_for_questions_survive_being_serialised() {
        let (source, text) = (Symbol::new("kafka/p/0"), Symbol::new("a text"));
        let fill = |position: Position| {
            let version = Lineage { arrived_at: None, source, position, sub: 3 }.into();
            FillInput::Row(FillRow { question: 1, relation: 2, ind: u64::MAX, version, values: all_values() })
        };
        let fills = || vec![fill(Position::END), fill(7_u64.into()), FillInput::Notice { worker: 2 }];
        check_crossing(fills());
        let pin = PinProjection::NULL.with_texts([Some(text), None]);
        let geo = GeoProjection::NULL.with_texts([Some(text), None]);
        let user = UserProjection::NULL.with_texts([Some(text), None]);
        let rows = [pin.into(), geo.into(), user.into()];
        let rows = rows.map(|row| KeptInput::Row { ind: 9, row, extra: Some(all_values()) });
        check_crossing(rows.into_iter().chain(fills().into_iter().map(KeptInput::Other)).collect());
    }
}
