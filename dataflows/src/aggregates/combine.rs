//! Pre-aggregates counts on each worker before the exchange by group.
//!
//! Thirteen categories in two hundred countries give a few thousand partial counts per epoch, however many posts it
//! has. Only these cross between workers. It is the combiner of MapReduce (Dean and Ghemawat, OSDI 2004), with the
//! frontier instead of the end of a task.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::AggregateInput;
use crate::hash::KeyedState;

type PartialCounts = HashMap<AggregateInput, i64, KeyedState>;

/// An emptied map is kept for reuse if its capacity is at most this many entries (3 MB).
const SPARE_CAPACITY_MAX: usize = 65_536;

/// Forwards inputs, except those of count-only answers (`summed`, by answer index). These are held until the epoch is
/// complete on this worker, and then sent as one partial count per group and label.
pub(super) fn combine_counts<'s>(
    inputs: StreamVec<'s, u64, (AggregateInput, u64, i64)>,
    summed: Vec<bool>,
) -> StreamVec<'s, u64, (AggregateInput, u64, i64)> {
    inputs.unary_frontier(Pipeline, "Combine", move |_, _| {
        let mut waiting: BTreeMap<u64, (Capability<u64>, PartialCounts)> = BTreeMap::new();
        let mut spare = PartialCounts::default();
        move |(input, frontier), output| {
            input.for_each(|time, data| {
                for run in data.chunk_by(|one, next| one.1 == next.1) {
                    let epoch = run[0].1;
                    let counted =
                        run.iter().filter(|(aggregate_input, _, _)| summed[usize::from(aggregate_input.answer)]);
                    let mut counted = counted.peekable();
                    if counted.peek().is_none() {
                        continue;
                    }
                    let (_, sums) =
                        waiting.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), std::mem::take(&mut spare)));
                    for (aggregate_input, _, diff) in counted {
                        *sums.entry(aggregate_input.with_value(0)).or_default() += diff;
                    }
                }
                data.retain(|(aggregate_input, _, _)| !summed[usize::from(aggregate_input.answer)]);
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
