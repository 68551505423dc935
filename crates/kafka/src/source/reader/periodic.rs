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
        self.looked = Instant::now();
        if self.context.is_stopping() {
            return Err(ReaderExit::Stopped);
        }
        self.assign_durable()?;
        match self.news.try_recv() {
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
                    "the watch over the topics has ended".to_owned(),
                )));
            }
        }
        if self.told.elapsed() >= REPORT_INTERVAL {
            self.told = Instant::now();
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
            let stands = partition.next == end.stable && end.stable < end.high;
            match &mut partition.waits {
                Some(_) if !stands => partition.waits = None,
                None if stands => partition.waits = Some((Instant::now(), false)),
                Some((since, said)) if !*said && since.elapsed() >= OPEN_TRANSACTION_WARN_AFTER => {
                    *said = true;
                    tracing::warn!(
                        source = partition.name,
                        offset = partition.next,
                        waiting = end.high - partition.next,
                        hint =
                            "if its producer is gone, the broker aborts it after the producer's transaction.timeout.ms",
                        "a partition stands before an open transaction"
                    );
                }
                _ => {}
            }
            if partition.told_end != Some(end.high) {
                partition.told_end = Some(end.high);
                let partition = partition.id;
                self.deliver(SourceEvent::EndOffset { partition, end: end.high.into() })?;
            }
        }
        Ok(())
    }

    /// Fetches stalled partitions again.
    pub(super) fn refetch_stalled(&mut self) -> Result<(), ReaderExit> {
        let (now, listener) = (Instant::now(), self.reading.listener.clone());
        let (ends, is_alone) = (listener.partition_ends(), listener.is_unreachable());
        let mut standing = Vec::new();
        for (at, partition) in self.partitions.iter_mut().enumerate() {
            let end = ends.get(&(partition.topic.to_string(), partition.number)).map_or(0, |end| end.high);
            let may_stand = is_alone || partition.next >= end || self.waiting.contains(&at);
            match partition.stall.update(partition.next, may_stand, now) {
                StallState::Ok => {}
                StallState::Stalled(stood) => {
                    let (client, name, next) =
                        (listener.fetch_state(&partition.topic, partition.number), &partition.name, partition.next);
                    let seconds = stood.as_secs();
                    if partition.waits.is_none() {
                        tracing::info!(
                            source = name,
                            next,
                            end,
                            seconds,
                            client,
                            "a partition stands still; fetching again"
                        );
                    }
                    standing.push(at);
                }
                StallState::Recovered(stood) => tracing::warn!(
                    source = partition.name,
                    seconds = stood.as_secs(),
                    "a partition was stalled although it had records; it was assigned again, and reading continues"
                ),
            }
        }
        self.reassign(&standing)
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
            // A name with a zero byte is no topic's.
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
