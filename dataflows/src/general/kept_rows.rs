//! Evaluates the questions of the general path where every delivery counts (`duplicates = "keep"`).
//!
//! The rows come on a stream of their own, to which they are sent only as long as there are such questions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::GeneralLeaves;
use super::question_commands::QuestionCommand;
use super::updates::LeafUpdate;
use crate::joins::{AnyProjection, FillRow};
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
    /// A row of the tables, for a question that was added later.
    Fill(FillRow),
}

impl KeptInput {
    fn ind(&self) -> Ind {
        match self {
            KeptInput::Row { ind, .. } => *ind,
            KeptInput::Fill(fill) => fill.ind,
        }
    }
}

/// What belongs to an epoch that is not complete yet.
struct PendingRows {
    capability: Capability<u64>,
    rows: Vec<Vec<KeptInput>>,
    commands: Vec<QuestionCommand>,
}

impl PendingRows {
    fn new(capability: Capability<u64>) -> PendingRows {
        PendingRows { capability, rows: Vec::new(), commands: Vec::new() }
    }
}

/// Stores what the questions read of every row, and evaluates them for the `ind`s that get more rows.
pub(crate) fn evaluate_kept_rows<'s>(
    rows: StreamVec<'s, u64, KeptInput>,
    commands: StreamVec<'s, u64, QuestionCommand>,
    mut leaves: GeneralLeaves,
) -> StreamVec<'s, u64, LeafUpdate> {
    let by_ind = Exchange::new(|input: &KeptInput| route_ind(input.ind()));
    rows.binary_frontier(commands, by_ind, Pipeline, "Kept rows", move |_, _| {
        let mut pending: BTreeMap<u64, PendingRows> = BTreeMap::new();
        move |(rows, frontier),
              (commands, command_frontier),
              output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<LeafUpdate>>>| {
            rows.for_each(|time, data| {
                let waiting = pending.entry(*time.time()).or_insert_with(|| PendingRows::new(time.retain(0)));
                waiting.rows.push(std::mem::take(data));
            });
            commands.for_each(|time, data| {
                let waiting = pending.entry(*time.time()).or_insert_with(|| PendingRows::new(time.retain(0)));
                waiting.commands.append(data);
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) || command_frontier.less_equal(&epoch) {
                    break;
                }
                let PendingRows { capability, rows, commands } = entry.remove();
                commands.iter().for_each(|command| leaves.execute_for_kept(command));
                rows.iter().flatten().for_each(|row| leaves.add_kept_row(row));
                let mut session = output.session(&capability);
                leaves.finish_kept_epoch(epoch, &mut |update| session.give(update));
            }
        }
    })
}
