//! Sums up what only its number counts of, before it is exchanged.
//!
//! Thirteen categories in two hundred countries make a few thousand sums, however many posts an epoch has: the sums
//! travel to the worker of their group, not the posts. The combiner of MapReduce (Dean and Ghemawat, OSDI 2004), with
//! frontiers in the place of the end of a task.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::AggregateInput;
use crate::hash::KeyedState;

type PartialCounts = HashMap<AggregateInput, i64, KeyedState>;

/// Sums that are kept for use again have room for this many: 3 MB at the most.
const SPARE_CAPACITY_MAX: usize = 65_536;

/// Passes contributions on; those of the answers that are `summed`, by index, wait on their worker until it has seen
/// all of their epoch, and go on as one for each group and label.
pub(super) fn combine_counts<'s>(
    contributions: StreamVec<'s, u64, (AggregateInput, u64, i64)>,
    summed: Vec<bool>,
) -> StreamVec<'s, u64, (AggregateInput, u64, i64)> {
    contributions.unary_frontier(Pipeline, "Combine", move |_, _| {
        let mut waiting: BTreeMap<u64, (Capability<u64>, PartialCounts)> = BTreeMap::new();
        let mut spare = PartialCounts::default();
        move |(input, frontier), output| {
            input.for_each(|time, data| {
                for run in data.chunk_by(|one, next| one.1 == next.1) {
                    let epoch = run[0].1;
                    let counted = run.iter().filter(|(contribution, _, _)| summed[usize::from(contribution.answer)]);
                    let mut counted = counted.peekable();
                    if counted.peek().is_none() {
                        continue;
                    }
                    let (_, sums) =
                        waiting.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), std::mem::take(&mut spare)));
                    for (contribution, _, diff) in counted {
                        *sums.entry(contribution.with_value(0)).or_default() += diff;
                    }
                }
                data.retain(|(contribution, _, _)| !summed[usize::from(contribution.answer)]);
                if !data.is_empty() {
                    output.session(&time).give_container(data);
                }
            });
            while let Some(entry) = waiting.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                let (capability, mut sums) = entry.remove();
                let changes = sums.drain().filter(|(_, diff)| *diff != 0);
                output.session(&capability).give_iterator(changes.map(|(sum, diff)| (sum, epoch, diff)));
                if sums.capacity() <= SPARE_CAPACITY_MAX {
                    spare = sums;
                }
            }
        }
    })
}
