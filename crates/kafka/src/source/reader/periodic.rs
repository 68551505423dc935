//! What the reader does periodically besides reading.

use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::{KafkaReader, OPEN_TRANSACTION_WARN_AFTER, REPORT_INTERVAL};
use crate::source::stall::StallState;
use crate::source::topic_monitor::MonitorEvent;
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{SourceError, SourceEvent};

impl KafkaReader {
    /// Checks for a stop, new partitions and monitor events; reports offsets.
    pub(super) fn run_periodic_tasks(&mut self) -> Result<(), ReaderExit> {
        self.last_periodic = Instant::now();
        if self.context.is_stopping() {
            return Err(ReaderExit::Stopped);
        }
        self.assign_durable()?;
        match self.monitor_events.try_recv() {
            Ok(MonitorEvent::Added { partitions, fresh }) => {
                self.deliver(SourceEvent::Discovered(partitions))?;
                self.add_waiting(fresh);
            }
            Ok(MonitorEvent::Access { topic, cause }) => {
                self.deliver(SourceEvent::Blocked { source: format!("kafka/{topic}"), cause })?;
            }
            Ok(MonitorEvent::Failed(error)) => return Err(ReaderExit::Failed(error)),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                return Err(ReaderExit::Failed(SourceError::Unusable(
                    "the topic monitor ended unexpectedly; report this as a bug".to_owned(),
                )));
            }
        }
        if self.last_report.elapsed() >= REPORT_INTERVAL {
            self.last_report = Instant::now();
            self.report_ends()?;
            self.refetch_stalled()?;
            self.commit_offsets()?;
        }
        Ok(())
    }

    /// Starts reading the partitions whose start has become durable.
    pub(super) fn assign_durable(&mut self) -> Result<(), ReaderExit> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (durable, waiting): (Vec<usize>, _) = {
            let frontier = self.context.durable_frontier().positions();
            self.waiting.iter().copied().partition(|number| frontier.contains_key(&self.partitions[*number].id))
        };
        self.waiting = waiting;
        self.assign(&durable)
    }

    /// Reports end offsets to the engine, and logs partitions that wait for an open transaction.
    pub(super) fn report_ends(&mut self) -> Result<(), ReaderExit> {
        let ends = self.reading.listener.partition_ends();
        for at in 0..self.partitions.len() {
            let partition = &mut self.partitions[at];
            let Some(end) = ends.get(&(partition.topic.to_string(), partition.number)) else { continue };
            let is_blocked = partition.next == end.stable && end.stable < end.high;
            match &mut partition.open_transaction_wait {
                Some(_) if !is_blocked => partition.open_transaction_wait = None,
                None if is_blocked => partition.open_transaction_wait = Some((Instant::now(), false)),
                Some((since, is_logged)) if !*is_logged && since.elapsed() >= OPEN_TRANSACTION_WARN_AFTER => {
                    *is_logged = true;
                    tracing::warn!(
                        source = partition.name,
                        offset = partition.next,
                        waiting = end.high - partition.next,
                        hint =
                            "if its producer is gone, the broker aborts it after the producer's transaction.timeout.ms",
                        "a partition waits for an open transaction"
                    );
                }
                _ => {}
            }
            if partition.reported_end != Some(end.high) {
                partition.reported_end = Some(end.high);
                let partition = partition.id;
                self.deliver(SourceEvent::EndOffset { partition, end: end.high.into() })?;
            }
        }
        Ok(())
    }

    /// Fetches stalled partitions again.
    pub(super) fn refetch_stalled(&mut self) -> Result<(), ReaderExit> {
        let (now, listener) = (Instant::now(), self.reading.listener.clone());
        let (ends, is_unreachable) = (listener.partition_ends(), listener.is_unreachable());
        let mut stalled = Vec::new();
        for (at, partition) in self.partitions.iter_mut().enumerate() {
            let end = ends.get(&(partition.topic.to_string(), partition.number)).map_or(0, |end| end.high);
            let may_stall = is_unreachable || partition.next >= end || self.waiting.contains(&at);
            match partition.stall.update(partition.next, may_stall, now) {
                StallState::Ok => {}
                StallState::Stalled(stalled_for) => {
                    let (client, name, next) =
                        (listener.fetch_state(&partition.topic, partition.number), &partition.name, partition.next);
                    let seconds = stalled_for.as_secs();
                    if partition.open_transaction_wait.is_none() {
                        tracing::info!(
                            source = name,
                            next,
                            end,
                            seconds,
                            client,
                            "a partition does not move although it has records; fetching it again"
                        );
                    }
                    stalled.push(at);
                }
                StallState::Recovered(stalled_for) => tracing::warn!(
                    source = partition.name,
                    seconds = stalled_for.as_secs(),
                    "a partition was stalled although it had records; it was assigned again, and reading continues"
                ),
            }
        }
        self.reassign(&stalled)
    }

    /// Unassigns partitions and assigns them again at their next offsets.
    pub(super) fn reassign(&self, partitions: &[usize]) -> Result<(), ReaderExit> {
        if partitions.is_empty() {
            return Ok(());
        }
        let list = self.offset_list(partitions.iter().map(|partition| &self.partitions[*partition]))?;
        self.reading.consumer.incremental_unassign(&list).map_err(|error| self.client_error(&error))?;
        self.assign(partitions)
    }

    /// Commits durable offsets to the consumer group. Only tools that show lag read them.
    pub(super) fn commit_offsets(&mut self) -> Result<(), ReaderExit> {
        if self.reading.listener.commits_refused() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        let frontier = self.context.durable_frontier().positions();
        for partition in &mut self.partitions {
            let Some(next) =
                frontier.get(&partition.id).and_then(|next| next.narrow()).filter(|next| *next > partition.committed)
            else {
                continue;
            };
            partition.committed = next;
            let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
            // A topic name with a zero byte cannot exist.
            let _ = list.add_partition_offset(&partition.topic, partition.number, offset);
        }
        drop(frontier);
        if list.count() > 0
            && let Err(error) = self.reading.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!("offsets were not committed to the consumer group: {error}");
        }
        Ok(())
    }
}
