//! Evaluates the questions of the general path where every delivery counts (`duplicates = "keep"`).
//!
//! The rows come on a stream of their own, to which they are sent only as long as there are such questions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::GeneralLeaves;
use super::updates::LeafUpdate;
use crate::epoch::message_epoch;
use crate::joins::{AnyProjection, FillInput};
use crate::keys::route_ind;
use crate::record::Ind;
use crate::version::ExtraValues;

/// A row that counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum KeptInput {
    /// A row that was delivered, for all questions.
    Row {
        /// The key.
        ind: Ind,
        /// The projected row.
        row: AnyProjection,
        /// The values of its extra columns.
        extra: ExtraValues,
    },
    /// A row of the tables, for a question that was added later, or a notice.
    Other(FillInput),
}

impl KeptInput {
    fn route(&self) -> u64 {
        match self {
            KeptInput::Row { ind, .. } => route_ind(*ind),
            KeptInput::Other(other) => other.route(),
        }
    }
}

/// The input of epochs that are not complete yet, in the containers it arrived in.
type PendingRows = BTreeMap<u64, (Capability<u64>, Vec<Vec<KeptInput>>)>;

/// Stores what the questions read of every row, and evaluates them for the `ind`s that get more rows.
pub(crate) fn evaluate_kept_rows<'s>(
    rows: StreamVec<'s, u64, KeptInput>,
    mut leaves: GeneralLeaves,
) -> StreamVec<'s, u64, LeafUpdate> {
    rows.unary_frontier(Exchange::new(KeptInput::route), "Kept rows", move |_, _| {
        let mut pending = PendingRows::new();
        move |(rows, frontier),
              output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<LeafUpdate>>>| {
            rows.for_each(|time, data| {
                let epoch = message_epoch(&time);
                let (_, waiting) = pending.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), Vec::new()));
                waiting.push(std::mem::take(data));
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                let (capability, rows) = entry.remove();
                leaves.begin_kept_epoch(epoch);
                rows.iter().flatten().for_each(|row| leaves.add_kept_row(row));
                let mut session = output.session(&capability);
                if leaves.finish_kept_epoch(epoch, &mut |update| session.give(update)) {
                    let later = || (capability.delayed(&(epoch + 1)), Vec::new());
                    pending.entry(epoch + 1).or_insert_with(later);
                }
            }
        }
    })
}
