//! The operators of groups and of upper plans.
//!
//! Both hold what arrives until its epoch is complete on all workers, apply it at once, and emit the differences. So an
//! answer at an epoch depends only on the rows up to that epoch.

use std::collections::BTreeMap;
use std::rc::Rc;

use pinflow_sql::incremental::StateError;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::leaf_groups::LeafGroups;
use super::question_commands::CommandLog;
use super::updates::{LeafResult, LeafUpdate};
use super::upper_plans::UpperPlans;
use crate::answer::{AnswerUpdate, StateDisposal};
use crate::epoch::message_epoch;
use crate::joins::WalkStep;

type ResultSession<'a, 'b, T> = OutputBuilderSession<'a, u64, CapacityContainerBuilder<Vec<T>>>;

/// Keeps the answers of the questions up to date, from the epochs in which they are added to those in which they are
/// dropped. Returns the changes of the answers, and how far questions are filled. `step` is how many rows an operator emits
/// in one epoch of a question that is filled.
///
/// # Panics
/// If more rows are removed than were added: no answer is better than a wrong one.
pub(crate) fn maintain_general<'s>(
    updates: StreamVec<'s, u64, LeafUpdate>,
    (commands, disposal): (&CommandLog, &StateDisposal),
    share: WorkerShare,
    step: &WalkStep,
) -> StreamVec<'s, u64, AnswerUpdate> {
    let groups = LeafGroups::new((share, Rc::clone(step)), commands.clone(), disposal.clone());
    let results = apply_epochs(updates, ("Groups", LeafUpdate::exchange_hash), groups);
    apply_epochs(
        results,
        ("Upper plans", LeafResult::exchange_hash),
        UpperPlans::new((share, Rc::clone(step)), (commands.clone(), disposal.clone())),
    )
}

/// A state that turns the input of whole epochs into output.
pub(super) trait EpochState {
    type Input: ExchangeData;
    type Output: Clone + 'static;

    /// Executes the commands of an epoch, and applies its whole input, in any order.
    fn apply(&mut self, epoch: u64, input: Vec<Vec<Self::Input>>) -> Vec<Self::Output>;

    /// Whether it has something to do in the next epoch, even without input.
    fn needs_next_epoch(&self) -> bool;
}

/// The input of epochs that are not complete yet, in the containers it arrived in.
type PendingInput<T> = BTreeMap<u64, (Capability<u64>, Vec<Vec<T>>)>;

/// Installs an operator that holds its input until an epoch is complete on all workers, and then applies it to `state`.
fn apply_epochs<'s, S: EpochState + 'static>(
    input: StreamVec<'s, u64, S::Input>,
    (name, route): (&str, impl Fn(&S::Input) -> u64 + 'static),
    mut state: S,
) -> StreamVec<'s, u64, S::Output> {
    input.unary_frontier(Exchange::new(route), name, move |_, _| {
        let mut pending: PendingInput<S::Input> = BTreeMap::new();
        move |(input, frontier), output: &mut ResultSession<'_, '_, S::Output>| {
            input.for_each(|time, data| {
                let epoch = message_epoch(&time);
                let (_, waiting) = pending.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), Vec::new()));
                waiting.push(std::mem::take(data));
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                let (capability, waiting) = entry.remove();
                let mut results = state.apply(epoch, waiting);
                output.session(&capability).give_container(&mut results);
                if state.needs_next_epoch() {
                    let later = || (capability.delayed(&(epoch + 1)), Vec::new());
                    pending.entry(epoch + 1).or_insert_with(later);
                }
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
