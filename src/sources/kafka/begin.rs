//! Where each partition begins, and the proof that it is the partition that was read before.
//!
//! The tables' word goes before everything. A partition that they know is held against what the brokers hold: the
//! position must lie within it, and the last record read must stand where it stood. Of one that they do not know,
//! the beginning becomes durable before anything of it is read: so a crash before the first commit neither skips nor
//! repeats, whatever `start` means by then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinflow_dataflows::ingest::StreamHint;
use rdkafka::error::KafkaError;

use super::anchor::Anchor;
use super::cluster::{ANSWER, Reading, Stands};
use super::config::Start;
use super::lane::Lane;
use super::standing::{Range, Standing, standing};
use crate::position::Reached;
use crate::sources::thread::Halt;
use crate::sources::{AcceptedLoss, Event, Feed, Partition, SourceError};

/// How long brokers may be out of reach at the start. Later they may be for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before a question is asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// A topic that is read.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) carries: StreamHint,
    /// Partitions that were taken up.
    pub(super) partitions: i32,
}

/// What is read once all is proved.
pub(super) struct Begun {
    pub(super) cluster_id: String,
    pub(super) topics: Vec<Topic>,
    /// Partitions that can be read at once.
    pub(super) known: Vec<Lane>,
    /// Partitions whose beginning is not yet durable.
    pub(super) fresh: Vec<Lane>,
}

/// What it takes to begin.
pub(super) struct Beginning<'a> {
    pub(super) feed: &'a Feed,
    /// Sees what the reader will see.
    pub(super) reader: &'a Reading,
    /// Sees everything.
    pub(super) watcher: &'a Reading,
    pub(super) start: Start,
    pub(super) accepted: &'a [AcceptedLoss],
}

/// What a partition is called, and what its position is stored under: a cluster may be another one's namesake.
pub(super) fn names(cluster_id: &str, topic: &str, partition: i32) -> (String, String) {
    (format!("kafka/{topic}/{partition}"), format!("{}{partition}", key_prefix(cluster_id, topic)))
}

fn key_prefix(cluster_id: &str, topic: &str) -> String {
    format!("kafka/{cluster_id}/{topic}/")
}

impl Beginning<'_> {
    /// Proves every known partition and finds the beginning of every other one.
    pub(super) fn begin(&self, topics: Vec<(Arc<str>, StreamHint)>) -> Result<Begun, Halt> {
        let id = || self.watcher.cluster_id().ok_or(KafkaError::Canceled);
        let cluster_id = self.patiently("reach the brokers", id)?;
        let mut begun = Begun { cluster_id, topics: Vec::new(), known: Vec::new(), fresh: Vec::new() };
        let mut beginnings = Vec::new();
        for (name, carries) in topics {
            let topic = self.topic(&begun.cluster_id, name, carries)?;
            self.lanes(&topic, &mut begun, &mut beginnings)?;
            begun.topics.push(topic);
        }
        if !beginnings.is_empty() {
            self.feed.send(Event::Begun(beginnings))?;
        }
        for loss in self
            .accepted
            .iter()
            .filter(|loss| !begun.known.iter().any(|lane| lane.held() > 0 && lane.name == loss.partition))
        {
            let AcceptedLoss { partition, from, to } = loss;
            tracing::warn!(source = partition, %from, %to, "nothing is missing where --accept-loss says so");
        }
        Ok(begun)
    }

    /// A topic as the cluster has it, held against what the tables say of it.
    fn topic(&self, cluster_id: &str, name: Arc<str>, carries: StreamHint) -> Result<Topic, Halt> {
        let counted = self.patiently(&format!("ask for topic {name}"), || self.watcher.partitions(&name))?;
        let prefix = key_prefix(cluster_id, &name);
        let read = self.feed.stored_under(&prefix).count();
        let Some(partitions) = counted else {
            return Err(Halt::Failed(match read {
                0 => SourceError::Unusable(format!(
                    "topic {name} is not in the cluster. Create it (`pinflow topics create`), or correct its name; \
                     without the right to describe it, it looks the same"
                )),
                read => gone(&name, read),
            }));
        };
        if usize::try_from(partitions).is_ok_and(|count| count < read) {
            return Err(Halt::Failed(fewer(&name, read, partitions)));
        }
        self.not_elsewhere(cluster_id, &name)?;
        Ok(Topic { name, carries, partitions })
    }

    /// Refuses a topic that was read before from another cluster: its rows would carry the same names.
    fn not_elsewhere(&self, cluster_id: &str, topic: &str) -> Result<(), Halt> {
        let elsewhere = self.feed.stored_under("kafka/").find_map(|(key, _)| {
            let mut parts = key.split('/').skip(1);
            let (cluster, of) = (parts.next()?, parts.next()?);
            (of == topic && cluster != cluster_id).then(|| cluster.to_owned())
        });
        match elsewhere {
            None => Ok(()),
            Some(other) => Err(Halt::Failed(SourceError::Changed {
                partition: format!("kafka/{topic}"),
                what: format!(
                    "the tables hold rows of this topic from cluster {other}, and these brokers are of cluster \
                     {cluster_id}. Correct `brokers`; or, if the cluster was replaced, write to other [tables]"
                ),
            })),
        }
    }

    fn lanes(&self, topic: &Topic, begun: &mut Begun, beginnings: &mut Vec<Partition>) -> Result<(), Halt> {
        // A topic that was read before begins nowhere anew: a partition that the tables do not know was added since.
        let is_new = self.feed.stored_under(&key_prefix(&begun.cluster_id, &topic.name)).next().is_none();
        let mut anchors = BTreeMap::new();
        for number in 0..topic.partitions {
            let (name, key) = names(&begun.cluster_id, &topic.name, number);
            let range = self.range(&topic.name, number)?;
            match self.feed.stored(&key) {
                Some(reached) => {
                    let next = reached.count();
                    let loss = self.judge(&name, next, range)?;
                    if let Some(anchor) = Anchor::of(reached).filter(|anchor| anchor.offset >= range.low) {
                        anchors.insert(number, anchor);
                    }
                    let id = self.feed.open(&name, &key, topic.carries)?.id;
                    let mut lane = Lane::new(&topic.name, number, name, id, next, Anchor::of(reached));
                    lane.there = self.there(&topic.name, number)?;
                    if let Some(loss) = loss {
                        lane.lose(loss);
                    }
                    begun.known.push(lane);
                }
                None => {
                    let next = if is_new { self.first(&topic.name, number, range)? } else { range.low };
                    let (mut lane, partition) = fresh(self.feed, topic, number, (name, key), next);
                    lane.there = self.there(&topic.name, number)?;
                    begun.fresh.push(lane);
                    beginnings.push(partition);
                }
            }
        }
        self.prove(&topic.name, &anchors)
    }

    /// Whether a known position lies within what is there; gives back what is missing, if that was accepted.
    fn judge(&self, name: &str, next: u64, range: Range) -> Result<Option<&AcceptedLoss>, Halt> {
        match standing(next, range) {
            Standing::Whole => Ok(None),
            Standing::Short => Err(Halt::Failed(short(name, next, range))),
            Standing::Lost { to } => {
                let accepted = |loss: &&AcceptedLoss| loss.is(name, next.into(), to.into());
                match self.accepted.iter().find(accepted) {
                    Some(loss) => {
                        loss.say();
                        Ok(Some(loss))
                    }
                    None => Err(Halt::Failed(lost(name, next, to))),
                }
            }
        }
    }

    /// Where an unknown partition of a new topic begins.
    fn first(&self, topic: &str, number: i32, range: Range) -> Result<u64, Halt> {
        // The end as readers of committed records have it: what is in an open transaction comes later.
        let end = || self.reader.range(topic, number).map(|range| range.high);
        match self.start {
            Start::Earliest => Ok(range.low),
            Start::Latest => self.patiently(&format!("find the end of {topic}"), end),
            Start::At(moment) => {
                let since = || self.reader.first_since(topic, number, moment);
                match self.patiently(&format!("find {moment} in {topic}"), since)? {
                    Some(offset) => Ok(offset),
                    None => self.patiently(&format!("find the end of {topic}"), end),
                }
            }
        }
    }

    /// Proves that the last records that were read stand where they stood.
    fn prove(&self, topic: &str, anchors: &BTreeMap<i32, Anchor>) -> Result<(), Halt> {
        let mut left = anchors.clone();
        let deadline = Instant::now() + PATIENCE;
        while !left.is_empty() {
            if Instant::now() >= deadline {
                return Err(Halt::Failed(self.unreachable(&format!("read the last known records of {topic}"))));
            }
            let at = left.iter().map(|(number, anchor)| (*number, anchor.offset)).collect();
            for (number, stands) in self.watcher.records(topic, &at, || self.feed.stopped())? {
                let Some(anchor) = left.remove(&number) else { continue };
                hold(&format!("kafka/{topic}/{number}"), anchor, stands)?;
            }
        }
        Ok(())
    }

    fn range(&self, topic: &str, number: i32) -> Result<Range, Halt> {
        self.patiently(&format!("ask what kafka/{topic}/{number} holds"), || self.watcher.range(topic, number))
    }

    /// Where what is there now ends, as readers of committed records see it. A run that ends with what is there goes so
    /// far.
    fn there(&self, topic: &str, number: i32) -> Result<u64, Halt> {
        let ask = || self.reader.range(topic, number);
        Ok(self.patiently(&format!("ask where kafka/{topic}/{number} ends"), ask)?.high)
    }

    /// Asks until there is an answer, the run is stopped, or patience ends.
    fn patiently<T>(&self, what: &str, ask: impl Fn() -> Result<T, KafkaError>) -> Result<T, Halt> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(_) if self.feed.stopped() => return Err(Halt::Stopped),
                Err(_) if self.watcher.listener.is_refused() || Instant::now() + ANSWER >= deadline => {
                    return Err(Halt::Failed(self.unreachable(what)));
                }
                Err(error) => {
                    tracing::debug!("{what}: {error}");
                    // What keeps the brokers out of reach is heard here, tokens are made here.
                    let _ = self.watcher.consumer.poll(AGAIN);
                    let _ = self.reader.consumer.poll(Duration::ZERO);
                }
            }
        }
    }

    fn unreachable(&self, what: &str) -> SourceError {
        let _ = self.watcher.consumer.poll(Duration::ZERO);
        let troubles = match self.watcher.listener.troubles() {
            none if none.is_empty() => "no broker answered".to_owned(),
            troubles => troubles,
        };
        SourceError::Unusable(format!(
            "{what}: {troubles}. Start the brokers, or correct `brokers`; `pinflow check` shows details"
        ))
    }
}

/// A partition that begins now, and how the engine learns of it.
pub(super) fn fresh(
    feed: &Feed,
    topic: &Topic,
    number: i32,
    (name, key): (String, String),
    next: u64,
) -> (Lane, Partition) {
    let at = Reached { next: next.into(), ..Reached::NOTHING };
    let partition = feed.number(&name, &key, topic.carries, Some(at));
    (Lane::new(&topic.name, number, name, partition.id, next, None), partition)
}

/// Whether an anchor stands.
pub(super) fn hold(name: &str, anchor: Anchor, stands: Stands) -> Result<(), SourceError> {
    match stands {
        Stands::Record(hash) if hash == anchor.hash => Ok(()),
        Stands::Record(hash) => Err(SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "offset {} held a record with anchor {:016x} when it was read, and now holds one with {hash:016x}: the \
                 topic was re-created, or its end was cut off and written anew. Rows from offset {} on may be of the \
                 new one. {MEND}",
                anchor.offset,
                anchor.hash,
                anchor.offset + 1
            ),
        }),
        Stands::Nothing => {
            // As in a compacted topic: older records are there.
            let offset = anchor.offset;
            tracing::warn!(
                source = name,
                offset,
                "the last record read is gone; whether this is the same partition is unproved"
            );
            Ok(())
        }
    }
}

/// What can be done about a topic that is not the one that was read.
const MEND: &str = "Restore the topic, or read the new one into other [tables]";

/// The partition dropped records before they were read.
pub(super) fn lost(name: &str, from: u64, to: u64) -> SourceError {
    SourceError::Lost {
        partition: name.to_owned(),
        from: from.into(),
        to: to.into(),
        what: format!(
            "retention, or DeleteRecords, went past the position. Let the topic keep records for longer; to go on \
             without these, start once with --accept-loss {name}:{from}-{to}"
        ),
    }
}

/// The partition ends before the position.
pub(super) fn short(name: &str, next: u64, range: Range) -> SourceError {
    SourceError::Changed {
        partition: name.to_owned(),
        what: format!(
            "it was read up to offset {next}, and holds only {} to {} now, so {} to {} are gone: the topic was \
             re-created, or its end was cut off. {MEND}",
            range.low,
            range.high,
            range.high,
            next - 1
        ),
    }
}

/// The topic is gone.
pub(super) fn gone(topic: &str, partitions: usize) -> SourceError {
    SourceError::Changed {
        partition: format!("kafka/{topic}"),
        what: format!("the topic, of which {partitions} partitions were read, was deleted. {MEND}"),
    }
}

/// The topic has fewer partitions than were read.
pub(super) fn fewer(topic: &str, read: usize, now: i32) -> SourceError {
    SourceError::Changed {
        partition: format!("kafka/{topic}"),
        what: format!(
            "{read} partitions of it were read, and it has {now} now, so {now} to {} are gone: it was re-created. {MEND}",
            read - 1
        ),
    }
}
