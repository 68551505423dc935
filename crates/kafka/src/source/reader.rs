//! Reads records and sends them to the engine: one thread and one client for all partitions.
//!
//! A record waits in its partition's block until the block is full or the client has nothing more at the moment. So blocks
//! are large under load, and a single record is sent at once.
//!
//! While the engine accepts nothing, short waits keep what was fetched. After [`PAUSE_AFTER`] the partitions are paused and
//! the client is still polled, so it answers brokers, renews tokens and reports errors.

mod errors;
mod periodic;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::KafkaConsumer;
use super::partition::PartitionReader;
use super::topic_monitor::{DeliveredPosition, DeliveredPositions, MonitorEvent};
use pinflow_connect::source::backlog::BacklogReport;
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{SourceContext, SourceEvent};

/// Approximate size of a block, in bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// All blocks are sent once they hold this many bytes together. With many partitions, none of them may fill up.
const MAX_COLLECTED_BYTES: usize = 4 << 20;
/// How long one poll waits for a record.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);
/// How often periodic tasks run under load.
const PERIODIC_INTERVAL: Duration = Duration::from_millis(50);
/// Under load the clock is read once in this many records.
const RECORDS_BETWEEN_CLOCK_CHECKS: u32 = 1_024;
/// How long to wait before a block is offered again to a busy engine.
const SEND_RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// If the engine accepts nothing for this long, the partitions are paused.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// How often end offsets are reported to the engine and durable offsets to the consumer group.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A partition that waits this long for an open transaction is logged.
const OPEN_TRANSACTION_WARN_AFTER: Duration = Duration::from_secs(30);

/// The state of the reading thread.
pub(super) struct KafkaReader {
    context: SourceContext,
    reading: Arc<KafkaConsumer>,
    partitions: Vec<PartitionReader>,
    /// Partitions whose start is not yet durable, as indices into `partitions`.
    waiting: Vec<usize>,
    /// The index of the last message's partition: the next message is most often of the same.
    last: usize,
    /// Bytes collected in all partitions.
    held: usize,
    /// A partition was read to its end: its position may have advanced over transaction markers.
    at_end: bool,
    progress: DeliveredPositions,
    monitor_events: Receiver<MonitorEvent>,
    /// Asks the topic monitor for an immediate check.
    check_requests: Sender<()>,
    last_periodic: Instant,
    last_report: Instant,
}

impl KafkaReader {
    pub(super) fn new(
        context: &SourceContext,
        reading: KafkaConsumer,
        progress: DeliveredPositions,
        monitor_events: Receiver<MonitorEvent>,
        check_requests: Sender<()>,
    ) -> KafkaReader {
        let now = Instant::now();
        KafkaReader {
            context: context.clone(),
            reading: Arc::new(reading),
            partitions: Vec::new(),
            waiting: Vec::new(),
            last: 0,
            held: 0,
            at_end: false,
            progress,
            monitor_events,
            check_requests,
            last_periodic: now,
            last_report: now,
        }
    }

    /// Reads until the run stops, fails, or has read the backlog if it ends there.
    pub(super) fn run(
        mut self,
        known: Vec<PartitionReader>,
        fresh: Vec<PartitionReader>,
        backlog: &mut BacklogReport,
    ) -> Result<(), ReaderExit> {
        self.held = known.iter().map(PartitionReader::collected_bytes).sum();
        self.partitions = known;
        self.assign(&(0..self.partitions.len()).collect::<Vec<_>>())?;
        self.add_waiting(fresh);
        let reading = Arc::clone(&self.reading);
        let mut records = 0;
        loop {
            let wait = if self.held > 0 { Duration::ZERO } else { POLL_TIMEOUT };
            match reading.consumer.poll(wait) {
                Some(Ok(message)) => {
                    self.add_message(&message)?;
                    records += 1;
                }
                Some(Err(error)) => self.handle_error(&error)?,
                None => {
                    self.send_all_blocks()?;
                    self.run_periodic_tasks()?;
                }
            }
            if !backlog.is_sent() && self.has_read_backlog() {
                self.send_all_blocks()?;
                backlog.send(&self.context)?;
            }
            if backlog.is_sent() && self.context.stops_when_caught_up() {
                return Ok(());
            }
            if records >= RECORDS_BETWEEN_CLOCK_CHECKS {
                records = 0;
                if self.last_periodic.elapsed() >= PERIODIC_INTERVAL {
                    self.run_periodic_tasks()?;
                }
            }
        }
    }

    /// Whether everything that was there when the run began has been collected.
    fn has_read_backlog(&self) -> bool {
        self.waiting.is_empty() && self.partitions.iter().all(|partition| partition.next >= partition.initial_end)
    }

    /// Starts fetching partitions at their own offsets.
    fn assign(&self, partitions: &[usize]) -> Result<(), ReaderExit> {
        if partitions.is_empty() {
            return Ok(());
        }
        let list = self.offset_list(partitions.iter().map(|partition| &self.partitions[*partition]))?;
        self.reading.consumer.incremental_assign(&list).map_err(|error| self.client_error(&error))
    }

    fn offset_list<'a>(
        &self,
        partitions: impl Iterator<Item = &'a PartitionReader>,
    ) -> Result<TopicPartitionList, ReaderExit> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let offset = Offset::Offset(i64::try_from(partition.next).unwrap_or(i64::MAX));
            list.add_partition_offset(&partition.topic, partition.number, offset)
                .map_err(|error| self.client_error(&error))?;
        }
        Ok(list)
    }

    /// Adds partitions that are read once their start is durable.
    fn add_waiting(&mut self, fresh: Vec<PartitionReader>) {
        for partition in fresh {
            self.waiting.push(self.partitions.len());
            self.partitions.push(partition);
        }
    }

    /// Collects a message and sends blocks that are full.
    fn add_message(&mut self, message: &BorrowedMessage<'_>) -> Result<(), ReaderExit> {
        if self.reading.listener.take_recovered() {
            tracing::info!("Kafka can be reached again");
        }
        let Some(at) = self.collect(message) else { return Ok(()) };
        if self.partitions[at].collected_bytes() >= BLOCK_BYTES {
            self.send_block(at)?;
        }
        if self.held >= MAX_COLLECTED_BYTES {
            self.send_all_blocks()?;
        }
        Ok(())
    }

    /// Adds a message to its partition; returns the partition's index.
    fn collect(&mut self, message: &BorrowedMessage<'_>) -> Option<usize> {
        let is_of = |partition: &PartitionReader| {
            partition.number == message.partition() && *partition.topic == *message.topic()
        };
        if !self.partitions.get(self.last).is_some_and(is_of) {
            self.last = self.partitions.iter().position(is_of)?;
        }
        self.held += self.partitions[self.last].collect(message);
        Some(self.last)
    }

    fn send_all_blocks(&mut self) -> Result<(), ReaderExit> {
        for at in 0..self.partitions.len() {
            self.send_block(at)?;
        }
        if std::mem::take(&mut self.at_end) {
            self.skip_offset_gaps()?;
        }
        Ok(())
    }

    fn send_block(&mut self, at: usize) -> Result<(), ReaderExit> {
        let held = self.partitions[at].collected_bytes();
        let Some(block) = self.partitions[at].take_block() else { return Ok(()) };
        self.held -= held;
        self.deliver(SourceEvent::Block(block))?;
        self.note_progress(at);
        Ok(())
    }

    /// Advances positions over offsets without records at the end of partitions.
    fn skip_offset_gaps(&mut self) -> Result<(), ReaderExit> {
        let positions = self.reading.consumer.position().map_err(|error| self.client_error(&error))?;
        for position in positions.elements() {
            let Offset::Offset(offset) = position.offset() else { continue };
            let is_of = |partition: &PartitionReader| {
                partition.number == position.partition() && *partition.topic == *position.topic()
            };
            let Some(at) = self.partitions.iter().position(is_of) else { continue };
            if let Some(block) = u64::try_from(offset).ok().and_then(|offset| self.partitions[at].skip_to(offset)) {
                self.deliver(SourceEvent::Block(block))?;
                self.note_progress(at);
            }
        }
        Ok(())
    }

    fn note_progress(&self, at: usize) {
        let partition = &self.partitions[at];
        let mut progress = self.progress.lock();
        let place = (Arc::clone(&partition.topic), partition.number);
        progress
            .entry(place)
            .or_insert(DeliveredPosition::starting_at(partition.next, partition.anchor))
            .move_on(partition.next, partition.anchor);
    }

    /// Sends an event to the engine, and keeps the client alive while the engine is busy.
    fn deliver(&mut self, event: SourceEvent) -> Result<(), ReaderExit> {
        let mut left = self.context.try_send(event)?;
        let since = Instant::now();
        let mut paused = None;
        while let Some(event) = left {
            if self.context.is_stopping() {
                return Err(ReaderExit::Stopped);
            }
            if paused.is_some() {
                self.poll_paused()?;
            } else if since.elapsed() >= PAUSE_AFTER {
                let all = self.reading.consumer.assignment().map_err(|error| self.client_error(&error))?;
                self.reading.consumer.pause(&all).map_err(|error| self.client_error(&error))?;
                tracing::debug!("the engine accepts no records; {} partitions are paused", all.count());
                paused = Some(all);
            } else {
                std::thread::sleep(SEND_RETRY_INTERVAL);
            }
            left = self.context.try_send(event)?;
        }
        if let Some(all) = paused {
            self.reading.consumer.resume(&all).map_err(|error| self.client_error(&error))?;
        }
        Ok(())
    }

    /// Polls a paused client. Messages that it still returns are collected, because they would not be returned again.
    fn poll_paused(&mut self) -> Result<(), ReaderExit> {
        let reading = Arc::clone(&self.reading);
        match reading.consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                self.collect(&message);
            }
            Some(Err(error)) => self.handle_error(&error)?,
            None => {}
        }
        Ok(())
    }
}

/// The delivered positions of the partitions, shared with the topic monitor.
pub(super) fn progress(partitions: &[PartitionReader]) -> DeliveredPositions {
    let reached = partitions.iter().map(|partition| {
        (
            (Arc::clone(&partition.topic), partition.number),
            DeliveredPosition::starting_at(partition.next, partition.anchor),
        )
    });
    Arc::new(Mutex::new(reached.collect()))
}
