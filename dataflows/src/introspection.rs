//! Statistics of the running dataflow: its operators and channels, the records sent along each channel, and the state
//! of each operator.
//!
//! They come from the logs of timely and differential. Logging costs a clock reading per scheduling of an operator, so
//! it is only enabled where the statistics are read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use serde::Serialize;
use timely::logging::{ChannelsEvent, MessagesEvent, OperatesEvent, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use crate::graph::StateSizes;
use crate::record::Stream;

/// An operator, or a scope of operators, summed over all workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorStats {
    /// Its id, the same on all workers.
    pub id: usize,
    /// Its name in the dataflow.
    pub name: String,
    /// The id of the scope that contains it.
    pub scope: Option<usize>,
    /// Records received. For an operator without inputs: records sent.
    pub records: u64,
    /// Records held between two epochs. `None` if the operator has no state.
    pub state_records: Option<u64>,
    /// Bytes of this state. `None` if they are not measured.
    pub state_bytes: Option<u64>,
}

/// A channel between two operators, summed over all workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelStats {
    /// The id of the operator or scope that sends.
    pub from: usize,
    /// The id of the operator or scope that receives.
    pub to: usize,
    /// Records sent.
    pub records: u64,
}

/// The operators and channels of the running dataflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OperatorGraph {
    /// All operators. A scope comes before its contents.
    pub operators: Vec<OperatorStats>,
    /// All channels, in no particular order.
    pub channels: Vec<ChannelStats>,
}

/// The log of one worker. Clones share the same log.
#[derive(Debug, Clone, Default)]
pub struct WorkerLog(Arc<Mutex<LogCounts>>);

/// Indices from the outermost scope to an operator.
type OperatorAddress = Vec<usize>;

#[derive(Debug, Default)]
struct LogCounts {
    operators: BTreeMap<OperatorAddress, OperatesEvent>,
    channels: HashMap<usize, (ChannelsEvent, u64)>,
    /// Records in arrangements, by operator id.
    arranged: HashMap<usize, i64>,
    sizes: StateSizes,
}

impl WorkerLog {
    /// Starts logging on a worker. Only dataflows installed afterwards are logged.
    pub fn start(worker: &Worker) -> WorkerLog {
        let watch = WorkerLog::default();
        if let Some(mut logs) = worker.log_register() {
            let seen = Arc::clone(&watch.0);
            logs.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                events
                    .iter_mut()
                    .flat_map(|events| events.drain(..))
                    .for_each(|(_, event)| seen.record_timely_event(event));
            });
            let seen = Arc::clone(&watch.0);
            logs.insert::<DifferentialEventBuilder, _>("differential/arrange", move |_, events| {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                events
                    .iter_mut()
                    .flat_map(|events| events.drain(..))
                    .for_each(|(_, event)| seen.record_differential_event(event));
            });
        }
        watch
    }

    /// Stores the size of this worker's graph state.
    pub fn record_sizes(&self, sizes: StateSizes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sizes = sizes;
    }

    /// The last stored size of this worker's graph state.
    #[must_use]
    pub fn sizes(&self) -> StateSizes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sizes
    }
}

impl LogCounts {
    fn record_timely_event(&mut self, event: TimelyEvent) {
        match event {
            TimelyEvent::Operates(operator) => drop(self.operators.insert(operator.addr.clone(), operator)),
            TimelyEvent::Channels(channel) => drop(self.channels.insert(channel.id, (channel, 0))),
            TimelyEvent::Messages(MessagesEvent { is_send: true, channel, record_count, .. }) => {
                if let Some((_, records)) = self.channels.get_mut(&channel) {
                    *records += u64::try_from(record_count).unwrap_or(0);
                }
            }
            _ => {}
        }
    }

    fn record_differential_event(&mut self, event: DifferentialEvent) {
        let records = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let (operator, change) = match event {
            DifferentialEvent::Batch(batch) => (batch.operator, records(batch.length)),
            DifferentialEvent::Drop(batch) => (batch.operator, -records(batch.length)),
            DifferentialEvent::Merge(merge) => match merge.complete {
                Some(length) => (merge.operator, records(length) - records(merge.length1) - records(merge.length2)),
                None => return,
            },
            _ => return,
        };
        *self.arranged.entry(operator).or_default() += change;
    }

    /// The records and bytes that an operator holds.
    fn operator_state(&self, operator: &OperatesEvent) -> Option<(u64, Option<u64>)> {
        if let Some(records) = self.arranged.get(&operator.id) {
            return Some((u64::try_from(*records).unwrap_or(0), None));
        }
        let state = match operator.name.as_str() {
            crate::joins::LATEST_OPERATOR => self.sizes.rows(),
            crate::aggregates::AGGREGATES_OPERATOR => self.sizes.groups(),
            _ => return None,
        };
        Some((state.records as u64, Some(state.bytes as u64)))
    }
}

impl OperatorGraph {
    /// Sums up the logs of all workers, which must have installed the same dataflow.
    #[must_use]
    pub fn from_logs(workers: &[WorkerLog]) -> OperatorGraph {
        let mut operators: BTreeMap<OperatorAddress, OperatorStats> = BTreeMap::new();
        let mut channels: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for worker in workers {
            let seen = worker.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (address, operator) in &seen.operators {
                let scope = address.split_last().and_then(|(_, scope)| seen.operators.get(scope)).map(|it| it.id);
                let OperatesEvent { id, name, .. } = operator;
                let one = operators.entry(address.clone()).or_insert_with(|| OperatorStats {
                    id: *id,
                    name: name.clone(),
                    scope,
                    records: 0,
                    state_records: None,
                    state_bytes: None,
                });
                if let Some((records, bytes)) = seen.operator_state(operator) {
                    *one.state_records.get_or_insert(0) += records;
                    if let Some(bytes) = bytes {
                        *one.state_bytes.get_or_insert(0) += bytes;
                    }
                }
            }
            for (channel, records) in seen.channels.values() {
                // Index 0 is the scope itself, seen from inside.
                let end = |index: usize| {
                    let inside = (index > 0).then_some(index);
                    let address: OperatorAddress = channel.scope_addr.iter().copied().chain(inside).collect();
                    seen.operators.get(&address).map(|operator| operator.id)
                };
                if let (Some(from), Some(to)) = (end(channel.source.0), end(channel.target.0)) {
                    *channels.entry((from, to)).or_default() += records;
                }
            }
        }
        let mut operators: Vec<OperatorStats> = operators.into_values().collect();
        // Timely names each input `Input`. The graph makes them in this order.
        let inputs = operators.iter_mut().filter(|operator| operator.name == "Input");
        let names = Stream::ALL.map(|stream| format!("{stream} input")).into_iter();
        let names = names.chain(["Rows to fill answers".to_owned()]);
        for (input, name) in inputs.zip(names) {
            input.name = name;
        }
        for operator in &mut operators {
            let sum = |end: fn(&(usize, usize)) -> usize| {
                let ours = channels.iter().filter(|(ends, _)| end(ends) == operator.id);
                ours.fold(None, |sum: Option<u64>, (_, records)| Some(sum.unwrap_or(0) + records))
            };
            operator.records = sum(|(_, to)| *to).or_else(|| sum(|(from, _)| *from)).unwrap_or(0);
        }
        let channels = channels.into_iter().map(|((from, to), records)| ChannelStats { from, to, records }).collect();
        OperatorGraph { operators, channels }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::graph::{DuplicatePolicy, GraphOptions, QuestionSet, WorkerGraph, WorkerPlacement};
    use crate::record::{Lineage, User};
    use crate::symbol::Symbol;

    /// The statistics of two workers, each of which was sent this number of users.
    fn watched(duplicates: DuplicatePolicy, users: u64) -> OperatorGraph {
        let (give, watches) = channel();
        let give = Mutex::new(give);
        let looked = Arc::new(Barrier::new(3));
        let look = Arc::clone(&looked);
        let guards = timely::execute(timely::Config::process(2), move |worker| {
            let watch = WorkerLog::start(worker);
            let options = GraphOptions { duplicates, ..GraphOptions::default() };
            let mut graph = WorkerGraph::install(
                worker,
                WorkerPlacement::OneProcess,
                0,
                options,
                &QuestionSet::built_in(GraphOptions::default()),
                |_, _| {},
                |_, _, _| {},
            );
            let source = Symbol::new("test");
            let first = worker.index() as u64 * users;
            for ind in first..first + users {
                let user = User {
                    ind,
                    user_name: Some("A B".into()),
                    age: Some(20),
                    date_joined: Some(1_500_000_000_000_000),
                };
                graph.user(Lineage { arrived_at: None, source, position: ind.into(), sub: 0 }, &user);
            }
            graph.advance_to(1);
            while graph.frontier() < 1 {
                worker.step();
            }
            watch.record_sizes(graph.sizes());
            // A step flushes the logs. Closing the graph removes its arrangements from them.
            worker.step();
            give.lock().unwrap().send(watch).unwrap();
            look.wait();
            graph.close();
            while worker.has_dataflows() {
                worker.step();
            }
        })
        .unwrap();
        let operators = OperatorGraph::from_logs(&watches.iter().take(2).collect::<Vec<_>>());
        looked.wait();
        for guard in guards.join() {
            guard.unwrap();
        }
        operators
    }

    #[test]
    fn log_counts_records_of_channels_and_of_state() {
        for (duplicates, holder) in [(DuplicatePolicy::Latest, "Latest"), (DuplicatePolicy::Keep, "Keep")] {
            let watched = watched(duplicates, 500);
            let named = |name: &str| watched.operators.iter().filter(|it| it.name == name).collect::<Vec<_>>();
            assert_eq!(named(holder).iter().map(|it| it.records).sum::<u64>(), 1_000, "{watched:#?}");
            assert!(
                ["pin input", "geo input", "user input"].iter().all(|input| named(input).len() == 1),
                "{watched:#?}"
            );
            assert_eq!(named("user input")[0].records, 1_000, "{watched:#?}");
            let [measures] = named("Measures")[..] else { panic!("{watched:#?}") };
            assert!(measures.records > 0 && measures.state_records > Some(0), "{measures:?}");
            let held: u64 = watched.operators.iter().filter_map(|it| it.state_records).sum();
            assert!(held - measures.state_records.unwrap() >= 1_000, "{watched:#?}");
            // Every end of a channel is an operator, and there is a single dataflow.
            for ChannelStats { from, to, .. } in &watched.channels {
                assert!([from, to].iter().all(|end| watched.operators.iter().any(|it| it.id == **end)));
            }
            assert_eq!(watched.operators.iter().filter(|it| it.scope.is_none()).count(), 1, "{watched:#?}");
        }
    }
}
