//! The operators of groups and of upper plans.
//!
//! Both hold what arrives until its epoch is complete on all workers, apply it at once, and emit the differences. So an
//! answer at an epoch depends only on the rows up to that epoch.

use std::collections::BTreeMap;

use pinflow_sql::datum::Row;
use pinflow_sql::incremental::StateError;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::leaf_groups::LeafGroups;
use super::question_commands::QuestionCommand;
use super::updates::{LeafId, LeafUpdate, question_hash};
use super::upper_plans::UpperPlans;
use crate::answer::AnswerUpdate;

/// A change of a leaf's result: a row of the leaf or of its groups.
pub(crate) type LeafResult = (LeafId, Row, i64);

type ResultSession<'a, 'b, T> = OutputBuilderSession<'a, u64, CapacityContainerBuilder<Vec<T>>>;

/// Keeps the answers of the questions up to date, from the epochs in which they are added to those in which they are
/// dropped. Returns the changes of the answers.
///
/// # Panics
/// If more rows are removed than were added: no answer is better than a wrong one.
pub(crate) fn maintain_general<'s>(
    updates: StreamVec<'s, u64, LeafUpdate>,
    commands: &StreamVec<'s, u64, QuestionCommand>,
    share: WorkerShare,
) -> StreamVec<'s, u64, AnswerUpdate> {
    let groups = LeafGroups::new(share);
    let results = apply_epochs(updates, commands, ("Groups", LeafUpdate::exchange_hash), groups);
    let by_question = |(leaf, ..): &LeafResult| question_hash(leaf.question);
    apply_epochs(results, commands, ("Upper plans", by_question), UpperPlans::new(share))
}

/// A state that turns the input of whole epochs into output.
pub(super) trait EpochState {
    type Input: ExchangeData;
    type Output: Clone + 'static;

    /// Executes a command of an epoch, before its input is applied.
    fn execute(&mut self, epoch: u64, command: &QuestionCommand, output: &mut Vec<Self::Output>);

    /// Applies the whole input of an epoch, in any order.
    fn apply(&mut self, epoch: u64, input: Vec<Vec<Self::Input>>, output: &mut Vec<Self::Output>);
}

/// What belongs to an epoch that is not complete yet. Input is in the containers it arrived in.
struct PendingInput<T> {
    capability: Capability<u64>,
    commands: Vec<QuestionCommand>,
    input: Vec<Vec<T>>,
}

impl<T> PendingInput<T> {
    fn new(capability: Capability<u64>) -> PendingInput<T> {
        PendingInput { capability, commands: Vec::new(), input: Vec::new() }
    }
}

/// Installs an operator that holds its input until an epoch is complete on all workers, and then applies it to `state`.
fn apply_epochs<'s, S: EpochState + 'static>(
    input: StreamVec<'s, u64, S::Input>,
    commands: &StreamVec<'s, u64, QuestionCommand>,
    (name, route): (&str, impl Fn(&S::Input) -> u64 + 'static),
    mut state: S,
) -> StreamVec<'s, u64, S::Output> {
    input.binary_frontier(commands.clone(), Exchange::new(route), Pipeline, name, move |_, _| {
        let mut pending: BTreeMap<u64, PendingInput<S::Input>> = BTreeMap::new();
        move |(input, frontier), (commands, command_frontier), output: &mut ResultSession<'_, '_, S::Output>| {
            input.for_each(|time, data| {
                let waiting = pending.entry(*time.time()).or_insert_with(|| PendingInput::new(time.retain(0)));
                waiting.input.push(std::mem::take(data));
            });
            commands.for_each(|time, data| {
                let waiting = pending.entry(*time.time()).or_insert_with(|| PendingInput::new(time.retain(0)));
                waiting.commands.append(data);
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) || command_frontier.less_equal(&epoch) {
                    break;
                }
                let PendingInput { capability, commands, input } = entry.remove();
                let mut results = Vec::new();
                commands.iter().for_each(|command| state.execute(epoch, command, &mut results));
                state.apply(epoch, input, &mut results);
                output.session(&capability).give_container(&mut results);
            }
        }
    })
}

/// Which worker of how many this is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerShare {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
}

impl WorkerShare {
    /// Whether this is the worker to which a hash is exchanged.
    pub(super) fn owns(self, hash: u64) -> bool {
        hash % self.workers as u64 == self.worker as u64
    }
}

/// More was removed than was there, which is a bug: no answer is better than a wrong one.
pub(super) fn refuse_wrong_state(name: &str, epoch: u64, error: StateError) -> ! {
    panic!("question {name} at epoch {epoch}: {error}")
}
