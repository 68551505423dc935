//! Reads records into the feed: one thread, one client, all partitions.
//!
//! A record waits in its partition's block until the block is full or the client has nothing more at the moment: so
//! blocks are large in a flood, and a lone record leaves at once.
//!
//! While the engine takes nothing, short waits keep what was fetched; after [`PAUSE_AFTER`] the partitions are paused,
//! and the client is still polled: it answers brokers, renews tokens and tells its faults.

use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::KafkaConsumer;
use super::offset_check::{OffsetCheck, check_offset};
use super::partition::PartitionReader;
use super::stall::StallState;
use super::startup::{expired_error, past_end_error};
use super::topic_monitor::{DeliveredPosition, DeliveredPositions, MonitorEvent};
use crate::sources::backlog::BacklogReport;
use crate::sources::reader_thread::ReaderExit;
use crate::sources::{SourceContext, SourceError, SourceEvent};

/// About how many bytes of records a block has.
const BLOCK_BYTES: usize = 256 << 10;
/// All blocks together are sent when they hold this much: with many partitions none may become full.
const HELD_MAX: usize = 4 << 20;
/// The longest wait for a record without a look around.
const IDLE: Duration = Duration::from_millis(50);
/// Between two looks around, in a flood.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Records between two looks at the clock.
const LOOK_RECORDS: u32 = 1_024;
/// Between two tries to hand a block to a busy engine.
const TRY_AGAIN: Duration = Duration::from_millis(1);
/// How long the engine takes nothing before the partitions are paused.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// Between two words to the engine on where partitions end, and to the group on how far they are durable.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a partition stands before an open transaction before that is said, and said again.
const STALLED: Duration = Duration::from_secs(30);

/// The thread's own things.
pub(super) struct KafkaReader {
    context: SourceContext,
    reading: Arc<KafkaConsumer>,
    partitions: Vec<PartitionReader>,
    /// Partitions whose beginning is not yet durable: numbers of lanes.
    waiting: Vec<usize>,
    /// The lane of the last message: the next one is most often of the same.
    last: usize,
    /// Bytes in all lanes.
    held: usize,
    /// A partition came to its end: positions may have moved on over marks of transactions.
    at_end: bool,
    progress: DeliveredPositions,
    news: Receiver<MonitorEvent>,
    /// Asks the watch to look at once.
    look: Sender<()>,
    looked: Instant,
    told: Instant,
}

impl KafkaReader {
    pub(super) fn new(
        context: &SourceContext,
        reading: KafkaConsumer,
        progress: DeliveredPositions,
        news: Receiver<MonitorEvent>,
        look: Sender<()>,
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
            news,
            look,
            looked: now,
            told: now,
        }
    }

    /// Reads until the run is stopped, must end, or is to end because all that was there is read.
    pub(super) fn run(
        mut self,
        known: Vec<PartitionReader>,
        fresh: Vec<PartitionReader>,
        backlog: &mut BacklogReport,
    ) -> Result<(), ReaderExit> {
        self.held = known.iter().map(PartitionReader::collected_bytes).sum();
        self.partitions = known;
        self.assign(&(0..self.partitions.len()).collect::<Vec<_>>())?;
        self.wait_for(fresh);
        let reading = Arc::clone(&self.reading);
        let mut records = 0;
        loop {
            let wait = if self.held > 0 { Duration::ZERO } else { IDLE };
            match reading.consumer.poll(wait) {
                Some(Ok(message)) => {
                    self.take(&message)?;
                    records += 1;
                }
                Some(Err(error)) => self.on_error(&error)?,
                None => {
                    self.send_all()?;
                    self.look_around()?;
                }
            }
            if !backlog.is_sent() && self.has_read_backlog() {
                self.send_all()?;
                backlog.send(&self.context)?;
            }
            if backlog.is_sent() && self.context.stops_when_caught_up() {
                return Ok(());
            }
            if records >= LOOK_RECORDS {
                records = 0;
                if self.looked.elapsed() >= LOOK_EVERY {
                    self.look_around()?;
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
        let list = self.list(partitions.iter().map(|partition| &self.partitions[*partition]))?;
        self.reading.consumer.incremental_assign(&list).map_err(|error| self.broken(&error))
    }

    fn list<'a>(
        &self,
        partitions: impl Iterator<Item = &'a PartitionReader>,
    ) -> Result<TopicPartitionList, ReaderExit> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let offset = Offset::Offset(i64::try_from(partition.next).unwrap_or(i64::MAX));
            list.add_partition_offset(&partition.topic, partition.number, offset)
                .map_err(|error| self.broken(&error))?;
        }
        Ok(list)
    }

    /// Takes up partitions that are read once the engine says that their beginning is durable.
    fn wait_for(&mut self, fresh: Vec<PartitionReader>) {
        for partition in fresh {
            self.waiting.push(self.partitions.len());
            self.partitions.push(partition);
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), ReaderExit> {
        if self.reading.listener.take_recovered() {
            tracing::info!("the brokers answer again");
        }
        let Some(at) = self.collect(message) else { return Ok(()) };
        if self.partitions[at].collected_bytes() >= BLOCK_BYTES {
            self.send(at)?;
        }
        if self.held >= HELD_MAX {
            self.send_all()?;
        }
        Ok(())
    }

    /// Puts a message into its lane.
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

    fn send_all(&mut self) -> Result<(), ReaderExit> {
        for at in 0..self.partitions.len() {
            self.send(at)?;
        }
        if std::mem::take(&mut self.at_end) {
            self.move_on()?;
        }
        Ok(())
    }

    fn send(&mut self, at: usize) -> Result<(), ReaderExit> {
        let held = self.partitions[at].collected_bytes();
        let Some(block) = self.partitions[at].take_block() else { return Ok(()) };
        self.held -= held;
        self.deliver(SourceEvent::Block(block))?;
        self.note_progress(at);
        Ok(())
    }

    /// Moves positions on over offsets at the end of partitions that hold no record for us.
    fn move_on(&mut self) -> Result<(), ReaderExit> {
        let positions = self.reading.consumer.position().map_err(|error| self.broken(&error))?;
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
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (Arc::clone(&partition.topic), partition.number);
        progress
            .entry(place)
            .or_insert(DeliveredPosition::starting_at(partition.next, partition.anchor))
            .move_on(partition.next, partition.anchor);
    }

    /// Hands an event to the engine, and keeps the client alive while it takes none.
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
                let all = self.reading.consumer.assignment().map_err(|error| self.broken(&error))?;
                self.reading.consumer.pause(&all).map_err(|error| self.broken(&error))?;
                tracing::debug!("the engine takes no records: {} partitions are paused", all.count());
                paused = Some(all);
            } else {
                std::thread::sleep(TRY_AGAIN);
            }
            left = self.context.try_send(event)?;
        }
        if let Some(all) = paused {
            self.reading.consumer.resume(&all).map_err(|error| self.broken(&error))?;
        }
        Ok(())
    }

    /// Keeps a paused client alive. What it still delivers is collected: it would not come again.
    fn poll_paused(&mut self) -> Result<(), ReaderExit> {
        let reading = Arc::clone(&self.reading);
        match reading.consumer.poll(IDLE) {
            Some(Ok(message)) => {
                self.collect(&message);
            }
            Some(Err(error)) => self.on_error(&error)?,
            None => {}
        }
        Ok(())
    }

    fn on_error(&mut self, error: &KafkaError) -> Result<(), ReaderExit> {
        match error {
            KafkaError::PartitionEOF(_) => {
                self.at_end = true;
                if self.reading.listener.take_recovered() {
                    tracing::info!("the brokers answer again");
                }
                Ok(())
            }
            error if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => self.on_out_of_range(),
            error => self.on_fault(error),
        }
    }

    /// Tells faults that the client mends by itself, and which the listener has logged, from those that it cannot.
    fn on_fault(&mut self, error: &KafkaError) -> Result<(), ReaderExit> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            // The client would go on behind what it cannot read.
            Some(
                Code::BadMessage
                | Code::BadCompression
                | Code::NotImplemented
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::MessageSizeTooLarge,
            ) => {
                let told = self.reading.listener.last_error();
                Err(ReaderExit::Failed(SourceError::Unusable(format!(
                    "a record cannot be read: {told}. Nothing behind it was read. If it is damaged, delete up to it \
                     (DeleteRecords) and accept its loss; if it is too large, raise properties receive.message.max.bytes"
                ))))
            }
            Some(
                Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicId
                | Code::TopicAuthorizationFailed,
            ) => {
                // A watch that has gone has said why.
                let _ = self.look.send(());
                Ok(())
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(self.broken(error)),
            _ => Ok(()),
        }
    }

    /// A broker no longer holds an offset, or does not yet: finds out which, and what that means.
    fn on_out_of_range(&mut self) -> Result<(), ReaderExit> {
        for partition in &self.partitions {
            let range = loop {
                match self.reading.offset_range(&partition.topic, partition.number) {
                    Ok(range) => break range,
                    Err(_) if self.context.is_stopping() => return Err(ReaderExit::Stopped),
                    Err(KafkaError::MetadataFetch(
                        RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownPartition
                        | RDKafkaErrorCode::UnknownTopic,
                    )) => {
                        let _ = self.look.send(());
                        return Ok(());
                    }
                    // The brokers are out of reach, which the listener has said.
                    Err(_) => std::thread::sleep(IDLE),
                }
            };
            match check_offset(partition.next, range) {
                OffsetCheck::InRange => {}
                OffsetCheck::Expired { to } => {
                    return Err(ReaderExit::Failed(expired_error(&partition.name, partition.next, to)));
                }
                OffsetCheck::PastEnd => {
                    return Err(ReaderExit::Failed(past_end_error(&partition.name, partition.next, range)));
                }
            }
        }
        // A replica that lags behind, or a topic that was re-created and has grown: the watch knows. The client has
        // given the partition up and must be told to fetch it again.
        let _ = self.look.send(());
        let read = (0..self.partitions.len()).filter(|partition| !self.waiting.contains(partition)).collect::<Vec<_>>();
        self.again(&read)
    }

    /// What has to be done now and then.
    fn look_around(&mut self) -> Result<(), ReaderExit> {
        self.looked = Instant::now();
        if self.context.is_stopping() {
            return Err(ReaderExit::Stopped);
        }
        self.begin_durable()?;
        match self.news.try_recv() {
            Ok(MonitorEvent::Added { partitions, fresh }) => {
                self.deliver(SourceEvent::Discovered(partitions))?;
                self.wait_for(fresh);
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
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            self.tell_ends()?;
            self.wake()?;
            self.tell_group()?;
        }
        Ok(())
    }

    /// Reads the partitions whose beginning has become durable.
    fn begin_durable(&mut self) -> Result<(), ReaderExit> {
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

    /// Tells the engine where partitions end, and people where one stands still.
    fn tell_ends(&mut self) -> Result<(), ReaderExit> {
        let ends = self.reading.listener.partition_ends();
        for at in 0..self.partitions.len() {
            let partition = &mut self.partitions[at];
            let Some(end) = ends.get(&(partition.topic.to_string(), partition.number)) else { continue };
            let stands = partition.next == end.stable && end.stable < end.high;
            match &mut partition.waits {
                Some(_) if !stands => partition.waits = None,
                None if stands => partition.waits = Some((Instant::now(), false)),
                Some((since, said)) if !*said && since.elapsed() >= STALLED => {
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

    /// Fetches partitions anew that stand still though records are there.
    fn wake(&mut self) -> Result<(), ReaderExit> {
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
                    "a partition stood still though records were there; fetched again, it moves"
                ),
            }
        }
        self.again(&standing)
    }

    /// Has the client give partitions up and fetch them anew, from their own next offsets.
    fn again(&self, partitions: &[usize]) -> Result<(), ReaderExit> {
        if partitions.is_empty() {
            return Ok(());
        }
        let list = self.list(partitions.iter().map(|partition| &self.partitions[*partition]))?;
        self.reading.consumer.incremental_unassign(&list).map_err(|error| self.broken(&error))?;
        self.assign(partitions)
    }

    /// Tells the consumer group how far partitions are durable. Only tools that show lag read that.
    fn tell_group(&mut self) -> Result<(), ReaderExit> {
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
            tracing::debug!("offsets were not told to the consumer group: {error}");
        }
        Ok(())
    }

    /// The client itself fails.
    fn broken(&self, error: &KafkaError) -> ReaderExit {
        let told = self.reading.listener.last_error();
        let told = if told.is_empty() { String::new() } else { format!(" ({told})") };
        ReaderExit::Failed(SourceError::Unusable(format!(
            "read from Kafka: {error}{told}. Start again; what is committed is safe"
        )))
    }
}

/// What the lanes have reached, as the watch reads it.
pub(super) fn progress(partitions: &[PartitionReader]) -> DeliveredPositions {
    let reached = partitions.iter().map(|partition| {
        (
            (Arc::clone(&partition.topic), partition.number),
            DeliveredPosition::starting_at(partition.next, partition.anchor),
        )
    });
    Arc::new(Mutex::new(reached.collect()))
}
