//! Looks after the topics while they are read: partitions that were added, topics that are gone or are others now.
//!
//! The client that reads says nothing when a topic is deleted and created again with more records than were read:
//! it fetches on at its offset, of the new topic (a FIXME in librdkafka 2.12.1, `rdkafka_topic.c`). The name stays, and
//! the topic's own id, which changes, is not to be had through rdkafka. What can be had is the records: at each
//! look some records that were read are read again, and must be the same. Each partition keeps the record that it had
//! at its look before, never a newer one, so that what is compared was read before the topic could change unseen.
//! A re-created topic is another one in all its partitions, so a few of each topic are enough for one look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::anchor::Anchor;
use super::begin::{Topic, fewer, fresh, gone, hold, names, short};
use super::cluster::Reading;
use super::lane::Lane;
use super::listener::Listener;
use super::standing::{Range, Standing, standing};
use crate::sources::thread::Halt;
use crate::sources::{Feed, Partition, SourceError};

/// Between two looks at whether to stop; tokens are renewed at each.
const NAP: Duration = Duration::from_millis(200);
/// A fault must be seen this often in a row: a broker that has just started, or a new leader, may not know better yet.
const STRIKES: u32 = 3;
/// Until the next look after one that saw a fault.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// Partitions of a topic whose record is read again at one look.
const PROVED_AT_ONCE: usize = 4;

/// How far each partition was handed over.
pub(super) type Progress = Arc<Mutex<BTreeMap<(Arc<str>, i32), Reached>>>;

/// How far one partition was handed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    pub(super) next: u64,
    /// The first record that was handed over, or the last one of the run before. A topic that is re-created before the
    /// first look at it shows in this one only.
    pub(super) first: Option<Anchor>,
    /// The newest record that was handed over.
    pub(super) last: Option<Anchor>,
}

impl Reached {
    /// Where a partition stands at first.
    pub(super) fn at(next: u64, anchor: Option<Anchor>) -> Reached {
        Reached { next, first: anchor, last: anchor }
    }

    /// Moves on.
    pub(super) fn move_on(&mut self, next: u64, anchor: Option<Anchor>) {
        *self = Reached { next, first: self.first.or(anchor), last: anchor };
    }
}

/// What the watch tells the reader.
pub(super) enum News {
    /// Partitions were added; they begin at their oldest record, as nothing of them was ever read.
    Added {
        /// As the engine learns of them.
        partitions: Vec<Partition>,
        /// The same, as they are read.
        fresh: Vec<Lane>,
    },
    /// A topic may no longer be read, or may be again.
    Access {
        /// Its name.
        topic: Arc<str>,
        /// Why not, and what to do; `None` if it may be read again.
        cause: Option<String>,
    },
    /// The run must end.
    Failed(SourceError),
}

/// The thread's own things.
pub(super) struct Watch {
    pub(super) feed: Feed,
    pub(super) reading: Reading,
    /// What the reader hears; ends that are asked for here are told there.
    pub(super) listener: Listener,
    pub(super) cluster_id: String,
    pub(super) topics: Vec<Topic>,
    pub(super) progress: Progress,
    pub(super) news: Sender<News>,
    /// Ends when the reader does.
    pub(super) asked: Receiver<()>,
    pub(super) every: Duration,
    /// Topics that may not be read at the moment.
    pub(super) denied: BTreeSet<Arc<str>>,
}

/// What one look saw.
enum Seen {
    /// Nothing that is wrong.
    Well,
    /// This, which may yet be a moment's confusion.
    Suspect(SourceError),
}

impl Watch {
    /// Looks until the run is stopped or must end.
    pub(super) fn run(mut self) -> Result<(), Halt> {
        let mut kept = BTreeMap::new();
        let mut strikes = 0;
        let mut due = Instant::now() + self.every;
        let mut turn = 0;
        loop {
            if self.feed.stopped() {
                return Err(Halt::Stopped);
            }
            let nap = due.saturating_duration_since(Instant::now()).min(NAP);
            match self.asked.recv_timeout(nap) {
                Ok(()) => due = Instant::now(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // Nothing is assigned: this serves tokens and faults.
            let _ = self.reading.consumer.poll(Duration::ZERO);
            if Instant::now() < due {
                continue;
            }
            match self.look(&mut kept, turn) {
                Ok(Seen::Well) => {
                    strikes = 0;
                    due = Instant::now() + self.every;
                }
                Ok(Seen::Suspect(error)) => {
                    strikes += 1;
                    if strikes >= STRIKES {
                        return self.fail(error);
                    }
                    tracing::debug!("look {strikes} of {STRIKES}: {error}");
                    due = Instant::now() + SECOND_LOOK.min(self.every);
                }
                Err(Trouble::Unreachable(error)) => {
                    // The listener has said why.
                    tracing::debug!("the topics were not looked at: {error}");
                    due = Instant::now() + self.every;
                }
                Err(Trouble::Halt(Halt::Failed(error))) => return self.fail(error),
                Err(Trouble::Halt(halt)) => return Err(halt),
            }
            turn += 1;
        }
    }

    /// Through the reader, behind what it still has to deliver: nobody else may wait for the engine.
    fn fail(&self, error: SourceError) -> Result<(), Halt> {
        self.news.send(News::Failed(error)).map_err(|_| Halt::Stopped)
    }

    fn reached(&self) -> BTreeMap<(Arc<str>, i32), Reached> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&mut self, kept: &mut BTreeMap<(Arc<str>, i32), Anchor>, turn: usize) -> Result<Seen, Trouble> {
        let mut suspect = None;
        for at in 0..self.topics.len() {
            match self.look_at_topic(at, kept, turn) {
                Ok(fault) => {
                    self.note_access(at, None)?;
                    suspect = suspect.or(fault);
                }
                Err(Trouble::Unreachable(error)) if is_denied(&error) => self.note_access(at, Some(&error))?,
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(suspect.map_or(Seen::Well, Seen::Suspect))
    }

    /// Says once that a topic may not be read, and once that it may be again.
    fn note_access(&mut self, at: usize, denied: Option<&KafkaError>) -> Result<(), Trouble> {
        let topic = Arc::clone(&self.topics[at].name);
        let cause = denied.map(|error| {
            format!("access is denied ({error}). Grant Describe and Read on Topic {topic} to this client again")
        });
        match &cause {
            Some(cause) if self.denied.insert(Arc::clone(&topic)) => {
                tracing::warn!(topic = &*topic, cause, "a topic cannot be read; reading resumes where it stopped");
            }
            None if self.denied.remove(&topic) => tracing::info!(topic = &*topic, "a topic may be read again"),
            _ => return Ok(()),
        }
        self.news.send(News::Access { topic, cause }).map_err(|_| Trouble::Halt(Halt::Stopped))
    }

    /// What is wrong with a topic, if anything is.
    fn look_at_topic(
        &mut self,
        at: usize,
        kept: &mut BTreeMap<(Arc<str>, i32), Anchor>,
        turn: usize,
    ) -> Result<Option<SourceError>, Trouble> {
        if let Some(fault) = self.look_at_count(at)? {
            return Ok(Some(fault));
        }
        let (topic, mut suspect) = (self.topics[at].clone(), None);
        let mut provable = BTreeMap::new();
        // Before the ranges: a position that is read later may be behind a range that is older.
        let now = self.reached();
        for number in 0..topic.partitions {
            if self.feed.stopped() {
                return Err(Trouble::Halt(Halt::Stopped));
            }
            let place = (Arc::clone(&topic.name), number);
            let range = self.reading.range(&topic.name, number)?;
            self.listener.note_high(&topic.name, number, range.high);
            let Some(reached) = now.get(&place) else { continue };
            if standing(reached.next, range) == Standing::Short {
                suspect.get_or_insert(short(&names(&self.cluster_id, &topic.name, number).0, reached.next, range));
                continue;
            }
            let expired = |anchor: &Anchor| anchor.offset < range.low;
            let before = kept.get(&place).copied().or(reached.first);
            match before.filter(|anchor| !expired(anchor)).or(reached.last.filter(|anchor| !expired(anchor))) {
                Some(anchor) => {
                    kept.insert(place, anchor);
                    provable.insert(number, anchor);
                }
                None => drop(kept.remove(&place)),
            }
        }
        self.prove(&topic.name, &provable, turn, kept, &now)?;
        Ok(suspect)
    }

    /// Whether a topic still has its partitions; takes up those that were added.
    fn look_at_count(&mut self, at: usize) -> Result<Option<SourceError>, Trouble> {
        let topic = &self.topics[at];
        let read = usize::try_from(topic.partitions).unwrap_or(0);
        match self.reading.partitions(&topic.name)? {
            None => return Ok(Some(gone(&topic.name, read))),
            Some(now) if now < topic.partitions => return Ok(Some(fewer(&topic.name, read, now))),
            Some(now) if now > topic.partitions => self.take_up(at, now)?,
            Some(_) => {}
        }
        Ok(None)
    }

    fn take_up(&mut self, at: usize, count: i32) -> Result<(), Trouble> {
        let topic = &self.topics[at];
        let mut added = (Vec::new(), Vec::new());
        for number in topic.partitions..count {
            let Range { low, .. } = self.reading.range(&topic.name, number)?;
            let (lane, partition) = fresh(&self.feed, topic, number, names(&self.cluster_id, &topic.name, number), low);
            added.0.push(partition);
            added.1.push(lane);
        }
        let more = count - topic.partitions;
        tracing::info!(topic = &*topic.name, partitions = count, more, "a topic has more partitions");
        self.topics[at].partitions = count;
        let (partitions, fresh) = added;
        self.news.send(News::Added { partitions, fresh }).map_err(|_| Trouble::Halt(Halt::Stopped))
    }

    /// Reads some records again, and keeps newer ones in the place of those that are the same.
    fn prove(
        &self,
        topic: &Arc<str>,
        provable: &BTreeMap<i32, Anchor>,
        turn: usize,
        kept: &mut BTreeMap<(Arc<str>, i32), Anchor>,
        now: &BTreeMap<(Arc<str>, i32), Reached>,
    ) -> Result<(), Trouble> {
        if provable.is_empty() {
            return Ok(());
        }
        let chosen: BTreeMap<i32, Anchor> = provable
            .iter()
            .cycle()
            .skip((turn * PROVED_AT_ONCE) % provable.len())
            .take(PROVED_AT_ONCE.min(provable.len()))
            .map(|(number, anchor)| (*number, *anchor))
            .collect();
        let at = chosen.iter().map(|(number, anchor)| (*number, anchor.offset)).collect();
        // What was refused before is no word on this topic.
        let _ = self.reading.listener.take_access_denied();
        let records = self.reading.records(topic, &at, || self.feed.stopped()).map_err(Trouble::Halt)?;
        if self.reading.listener.take_access_denied() {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed).into());
        }
        for (number, stands) in records {
            let Some(anchor) = chosen.get(&number) else { continue };
            hold(&format!("kafka/{topic}/{number}"), *anchor, stands).map_err(|error| Trouble::Halt(error.into()))?;
            let place = (Arc::clone(topic), number);
            if let Some(last) = now.get(&place).and_then(|reached| reached.last) {
                kept.insert(place, last);
            }
        }
        Ok(())
    }
}

/// Whether a broker says that this client may not read, or not even see, a topic.
fn is_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// Why a look came to no end.
enum Trouble {
    /// Brokers do not answer.
    Unreachable(KafkaError),
    /// The run ends.
    Halt(Halt),
}

impl From<KafkaError> for Trouble {
    fn from(error: KafkaError) -> Trouble {
        Trouble::Unreachable(error)
    }
}
