//! Simulates random histories of a stream and its reader: puts, splits, merges, trimming, failures, crashes.
//!
//! The service is a model of Kinesis that also trims, which no local server does. Shard graph, cursor and shard starts
//! are the real ones, called in the order of `stream_reader` and `shard_reader`. Deliveries become durable in prefixes,
//! like commits, and a crash discards the rest. Records are polled or pushed in turns. Pushed records may be delayed.
//!
//! In every history each record is durable exactly once, and parents before children. A missing record was reported as
//! a gap before any later record was read. Only records that the stream held when it was first opened may expire
//! unreported before the first record of their shard is read, because `trim_horizon` means the oldest record that still
//! exists.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::config::KinesisStart;
use super::cursor::{CheckedBatch, ContinuityError, ShardCursor};
use super::shard_graph::ShardGraph;
use super::shard_start::{self, ShardStart, StoredShards, start_of_shard};
use crate::{IteratorStart, KinesisRecord, ShardBatch, ShardInfo};
use pinflow_core::position::{PartitionProgress, Position};

const HISTORIES: u64 = 100_000;
const STEPS: u64 = 40;
const HOUR: u64 = 3_600_000;
const RETENTION: u64 = 24 * HOUR;
/// Duration of a subscription.
const SUBSCRIBED_MS: u64 = 5 * 60_000;

/// The splitmix64 generator.
struct SimulationRng(u64);

impl SimulationRng {
    fn pick_below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// The simulated service.
struct SimulatedService {
    now_ms: u64,
    shards: Vec<SimulatedShard>,
    number: u64,
    /// All records ever put, with shard and arrival time.
    every: BTreeMap<Position, (String, u64)>,
}

struct SimulatedShard {
    shard: ShardInfo,
    /// Records that were not trimmed.
    records: Vec<(Position, KinesisRecord)>,
    closed_ms: Option<u64>,
}

impl SimulatedService {
    fn new() -> SimulatedService {
        let mut service =
            SimulatedService { now_ms: 1_000 * HOUR, shards: Vec::new(), number: 7, every: BTreeMap::new() };
        service.add(Vec::new());
        service.add(Vec::new());
        service
    }

    fn add(&mut self, parents: Vec<String>) {
        let id = format!("shardId-{:012}", self.shards.len());
        let shard = ShardInfo { id, parents, hash_keys: Default::default(), is_closed: false };
        self.shards.push(SimulatedShard { shard, records: Vec::new(), closed_ms: None });
    }

    fn open(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|at| self.shards[*at].closed_ms.is_none()).collect()
    }

    fn put(&mut self, rng: &mut SimulationRng) {
        let open = self.open();
        let at = open[rng.pick_below(open.len() as u64) as usize];
        self.number += 1 + rng.pick_below(3);
        let record = KinesisRecord {
            // Wider than 64 bits, like those of Kinesis.
            sequence_number: format!("4959033827149025660855{:020}", self.number),
            arrived_ms: i64::try_from(self.now_ms).ok(),
            partition_key: "k".to_owned(),
            data: self.number.to_be_bytes().to_vec(),
        };
        let position = record.sequence_number.parse().expect("a number");
        self.every.insert(position, (self.shards[at].shard.id.clone(), self.now_ms));
        self.shards[at].records.push((position, record));
    }

    fn close(&mut self, at: usize) -> String {
        self.shards[at].closed_ms = Some(self.now_ms);
        self.shards[at].shard.is_closed = true;
        self.shards[at].shard.id.clone()
    }

    fn reshard(&mut self, rng: &mut SimulationRng) {
        let open = self.open();
        let at = rng.pick_below(open.len() as u64) as usize;
        let parent = self.close(open[at]);
        if open.len() > 3 || (open.len() > 1 && rng.pick_below(2) == 0) {
            let other = self.close(open[(at + 1) % open.len()]);
            self.add(vec![parent, other]);
        } else {
            self.add(vec![parent.clone()]);
            self.add(vec![parent]);
        }
    }

    fn advance_clock(&mut self, ms: u64) {
        self.now_ms += ms;
        let oldest = i64::try_from(self.now_ms - RETENTION).unwrap_or(0);
        for shard_state in &mut self.shards {
            shard_state.records.retain(|(_, record)| record.arrived_ms >= Some(oldest));
        }
    }

    fn list(&self) -> Vec<ShardInfo> {
        let lives = |shard_state: &&SimulatedShard| {
            shard_state.closed_ms.is_none_or(|closed| closed + RETENTION >= self.now_ms)
        };
        self.shards.iter().filter(lives).map(|shard_state| shard_state.shard.clone()).collect()
    }

    fn shard(&self, id: &str) -> &SimulatedShard {
        self.shards.iter().find(|shard_state| shard_state.shard.id == id).expect("a shard that was listed")
    }

    /// The position of an iterator's first record, which trimming does not change.
    fn shard_iterator(&self, id: &str, begin: &IteratorStart) -> Position {
        let records = &self.shard(id).records;
        match begin {
            IteratorStart::TrimHorizon => Position::START,
            IteratorStart::AtSequenceNumber(number) => number.parse().expect("a number"),
            IteratorStart::AtTimestamp(ms) => {
                let since = records.iter().find(|(_, record)| record.arrived_ms >= i64::try_from(*ms).ok());
                let end = || records.last().map_or(Position::START, |(last, _)| last.after());
                since.map_or_else(end, |(position, _)| *position)
            }
        }
    }

    /// A batch, and where the next iterator starts.
    fn read(&self, id: &str, from: Position, limit: usize) -> (ShardBatch, Position) {
        let shard_state = self.shard(id);
        let rest = &shard_state.records[shard_state.records.partition_point(|(position, _)| *position < from)..];
        let (taken, rest) = rest.split_at(limit.min(rest.len()));
        let records: Vec<KinesisRecord> = taken.iter().map(|(_, record)| record.clone()).collect();
        let left = rest.first().map(|(_, record)| record);
        let behind = left.and_then(|next| next.arrived_ms).and_then(|ms| u64::try_from(ms).ok());
        let next = taken.last().map_or(from, |(last, _)| last.after());
        let is_over = left.is_none() && shard_state.closed_ms.is_some();
        let answer = ShardBatch {
            records,
            next: (!is_over).then(String::new),
            behind_ms: Some(behind.map_or(0, |ms| self.now_ms - ms)),
        };
        (answer, next)
    }
}

/// Deliveries in order.
#[derive(Clone)]
enum DeliveredEvent {
    /// New shards, all in one commit.
    Begun(Vec<(String, PartitionProgress)>),
    Taken {
        shard: String,
        positions: Vec<Position>,
        reached: PartitionProgress,
    },
}

/// One run of a reader.
#[derive(Default)]
struct SimulatedReader {
    graph: ShardGraph,
    cursors: BTreeMap<String, ShardCursor>,
    iterators: BTreeMap<String, Position>,
    subscriptions: BTreeMap<String, SimulatedSubscription>,
    /// Whether records are pushed most of the time.
    is_pushed: bool,
    waiting: BTreeSet<String>,
    handed: Vec<DeliveredEvent>,
    listed_ms: u64,
}

/// A simulated subscription of one shard.
struct SimulatedSubscription {
    requested_ms: u64,
    /// The position of the next event.
    from: Position,
    /// Events that were sent but not received.
    way: VecDeque<ShardBatch>,
}

/// The durable state.
#[derive(Default)]
struct SimulatedTables {
    stored: StoredShards,
    rows: Vec<(String, Position)>,
}

impl SimulatedTables {
    fn commit(&mut self, handed: impl Iterator<Item = DeliveredEvent>) {
        for one in handed {
            match one {
                DeliveredEvent::Begun(shards) => self.stored.extend(shards),
                DeliveredEvent::Taken { shard, positions, reached } => {
                    self.rows.extend(positions.into_iter().map(|position| (shard.clone(), position)));
                    self.stored.insert(shard, reached);
                }
            }
        }
    }
}

impl SimulatedReader {
    fn start(
        service: &SimulatedService,
        tables: &SimulatedTables,
        start: KinesisStart,
    ) -> Result<SimulatedReader, ContinuityError> {
        let mut reader = SimulatedReader { listed_ms: service.now_ms, ..SimulatedReader::default() };
        let listed = service.list();
        let mut begun = Vec::new();
        for shard in &listed {
            let beginning = start_of_shard(shard, &listed, &tables.stored, start, service.now_ms);
            reader.graph.add(shard, beginning == ShardStart::Ended);
            match beginning {
                ShardStart::Ended => {}
                ShardStart::Resumed(reached) => {
                    drop(reader.cursors.insert(shard.id.clone(), ShardCursor::resume(reached)));
                }
                ShardStart::Fresh(at) => begun.push(reader.add_new_shard(shard, at)),
            }
        }
        reader.handed.extend((!begun.is_empty()).then_some(DeliveredEvent::Begun(begun)));
        match shard_start::missing_shards(&listed, &tables.stored).into_iter().next() {
            Some((_, reached)) => Err(ContinuityError::Gap { from: reached.next, to: Position::END }),
            None => Ok(reader),
        }
    }

    fn add_new_shard(&mut self, shard: &ShardInfo, at: PartitionProgress) -> (String, PartitionProgress) {
        self.cursors.insert(shard.id.clone(), ShardCursor::start(at));
        self.waiting.insert(shard.id.clone());
        (shard.id.clone(), at)
    }

    fn refresh_shards(&mut self, service: &SimulatedService) -> Result<(), ContinuityError> {
        let mut begun = Vec::new();
        let listed = service.list();
        let is_known = |id: &String| self.graph.contains(id) || listed.iter().any(|shard| shard.id == *id);
        let new = listed.iter().filter(|shard| !self.graph.contains(&shard.id));
        if !shard_start::unknown_parents(new, is_known).is_empty() {
            return Err(ContinuityError::Gap { from: Position::START, to: Position::END });
        }
        for shard in listed {
            if self.graph.add(&shard, false) {
                begun.push(self.add_new_shard(&shard, shard_start::oldest_record(self.listed_ms)));
            }
        }
        self.handed.extend((!begun.is_empty()).then_some(DeliveredEvent::Begun(begun)));
        self.listed_ms = service.now_ms;
        Ok(())
    }

    /// Reads some records of one shard that can be read.
    fn read(
        &mut self,
        service: &SimulatedService,
        tables: &SimulatedTables,
        rng: &mut SimulationRng,
    ) -> Result<(), ContinuityError> {
        self.waiting.retain(|shard| !tables.stored.contains_key(shard));
        let ready: Vec<String> =
            self.graph.ready_shards().into_iter().filter(|id| !self.waiting.contains(id)).collect();
        let Some(id) = ready.get(rng.pick_below(ready.len().max(1) as u64) as usize).cloned() else { return Ok(()) };
        let is_as_ever = rng.pick_below(12) > 0;
        if self.is_pushed == is_as_ever { self.read_pushed(&id, service, rng) } else { self.poll(&id, service, rng) }
    }

    /// Polls for records.
    fn poll(&mut self, id: &str, service: &SimulatedService, rng: &mut SimulationRng) -> Result<(), ContinuityError> {
        self.subscriptions.remove(id);
        let cursor = self.cursors.get_mut(id).expect("a shard that is read has a cursor");
        if rng.pick_below(4) == 0 || cursor.is_stale(service.now_ms, RETENTION) {
            self.iterators.remove(id);
        }
        let from = *self
            .iterators
            .entry(id.to_owned())
            .or_insert_with(|| service.shard_iterator(id, &cursor.iterator_start()));
        let (answer, next) = service.read(id, from, 1 + rng.pick_below(3) as usize);
        self.iterators.insert(id.to_owned(), next);
        self.deliver_batch(id, &answer, service.now_ms, service)
    }

    /// Receives one pushed event, or subscribes if there is none.
    fn read_pushed(
        &mut self,
        id: &str,
        service: &SimulatedService,
        rng: &mut SimulationRng,
    ) -> Result<(), ContinuityError> {
        self.iterators.remove(id);
        let cursor = self.cursors.get_mut(id).expect("a shard that is read has a cursor");
        if rng.pick_below(12) == 0 || cursor.is_stale(service.now_ms, RETENTION) {
            self.subscriptions.remove(id);
        }
        let subscribe = || {
            let from = service.shard_iterator(id, &cursor.iterator_start());
            SimulatedSubscription { requested_ms: service.now_ms, from, way: VecDeque::new() }
        };
        let subscription = self.subscriptions.entry(id.to_owned()).or_insert_with(subscribe);
        for _ in 0..=rng.pick_below(4) {
            if service.now_ms - subscription.requested_ms < SUBSCRIBED_MS {
                let (event, next) = service.read(id, subscription.from, 1 + rng.pick_below(3) as usize);
                subscription.from = next;
                subscription.way.push_back(event);
            }
        }
        match subscription.way.pop_front() {
            Some(event) => {
                let requested_ms = subscription.requested_ms;
                self.deliver_batch(id, &event, requested_ms, service)
            }
            None => {
                self.subscriptions.remove(id);
                Ok(())
            }
        }
    }

    /// Delivers a batch.
    fn deliver_batch(
        &mut self,
        id: &str,
        answer: &ShardBatch,
        requested_ms: u64,
        service: &SimulatedService,
    ) -> Result<(), ContinuityError> {
        let cursor = self.cursors.get_mut(id).expect("a shard that is read has a cursor");
        let CheckedBatch { old, positions } = cursor.check_batch(answer, requested_ms, RETENTION)?;
        let mut taken = Vec::new();
        for (record, position) in answer.records.iter().zip(positions).skip(old) {
            cursor.advance(position, record);
            taken.push(position);
        }
        cursor.note_caught_up(answer, requested_ms);
        let (fingerprint, hint) = cursor.stored_state();
        let is_over = answer.next.is_none();
        let next_position = if is_over { Position::END } else { cursor.next_position() };
        if is_over {
            self.refresh_shards(service)?;
            self.graph.mark_ended(id);
        }
        let reached = PartitionProgress { next: next_position, rows: 0, fingerprint, hint };
        self.handed.push(DeliveredEvent::Taken { shard: id.to_owned(), positions: taken, reached });
        Ok(())
    }
}

/// Runs one history. Returns whether it ended with a gap.
fn run_history(seed: u64) -> bool {
    let mut rng = SimulationRng(seed);
    let mut service = SimulatedService::new();
    let mut tables = SimulatedTables::default();
    let mut opened_ms = service.now_ms;
    let mut reader =
        SimulatedReader::start(&service, &tables, KinesisStart::TrimHorizon).expect("nothing was read yet");
    // Most histories are fast; in slow ones records expire.
    let is_slow = rng.pick_below(4) == 0;
    let is_pushed = rng.pick_below(2) == 0;
    reader.is_pushed = is_pushed;
    for _ in 0..STEPS {
        let went = match rng.pick_below(12) {
            0..=2 => {
                (0..=rng.pick_below(4)).for_each(|_| service.put(&mut rng));
                Ok(())
            }
            3 => {
                service.reshard(&mut rng);
                Ok(())
            }
            4 => reader.refresh_shards(&service),
            5 => {
                let hours = if is_slow { 1 + rng.pick_below(14) } else { 0 };
                service.advance_clock(hours * HOUR + rng.pick_below(60_000));
                Ok(())
            }
            6 => {
                let count = rng.pick_below(reader.handed.len() as u64 + 1) as usize;
                tables.commit(reader.handed.drain(..count));
                Ok(())
            }
            7 => {
                if tables.stored.is_empty() {
                    opened_ms = service.now_ms;
                }
                SimulatedReader::start(&service, &tables, KinesisStart::TrimHorizon)
                    .map(|next| reader = SimulatedReader { is_pushed, ..next })
            }
            _ => reader.read(&service, &tables, &mut rng),
        };
        match went {
            Ok(()) => {}
            Err(ContinuityError::Gap { .. }) => {
                assert!(is_slow, "history {seed}: a gap where nothing has expired");
                assert_consistent(seed, &service, &tables);
                return true;
            }
            Err(error) => panic!("history {seed}: {error:?}"),
        }
    }
    // Continues to the end without failures.
    for _ in 0..1_000 {
        tables.commit(reader.handed.drain(..));
        if tables.rows.len() == service.every.len() && reader.waiting.is_empty() && rng.pick_below(50) == 0 {
            break;
        }
        let looked = if rng.pick_below(20) == 0 { reader.refresh_shards(&service) } else { Ok(()) };
        if let Err(error) = looked.and_then(|()| reader.read(&service, &tables, &mut rng)) {
            assert!(is_slow && matches!(error, ContinuityError::Gap { .. }), "history {seed}: {error:?}");
            return true;
        }
    }
    tables.commit(reader.handed.drain(..));
    assert_consistent(seed, &service, &tables);
    let mut first: BTreeMap<&str, Position> = BTreeMap::new();
    for (shard, position) in tables.rows.iter().rev() {
        first.insert(shard, *position);
    }
    let found: BTreeSet<Position> = tables.rows.iter().map(|(_, position)| *position).collect();
    for (position, (shard, arrived_ms)) in service.every.iter().filter(|(position, _)| !found.contains(position)) {
        let was_there_first = *arrived_ms < opened_ms && first.get(shard.as_str()).is_none_or(|first| position < first);
        assert!(is_slow && was_there_first, "history {seed}: {shard} at {position} was left out");
    }
    false
}

/// Checks that each record is durable once and in order, and children after their parents' ends.
fn assert_consistent(seed: u64, service: &SimulatedService, tables: &SimulatedTables) {
    let mut last: BTreeMap<&str, Position> = BTreeMap::new();
    for (shard, position) in &tables.rows {
        let before = last.insert(shard, *position);
        assert!(before < Some(*position), "history {seed}: {shard} at {position} comes twice, or late");
    }
    for shard_state in &service.shards {
        let began = last.contains_key(shard_state.shard.id.as_str());
        for parent in shard_state.shard.parents.iter().filter(|_| began) {
            let end = tables.stored.get(parent).map(|reached| reached.next);
            assert!(
                end.is_none_or(|next| next == Position::END),
                "history {seed}: {} before {parent}",
                shard_state.shard.id
            );
        }
    }
}

#[test]
fn every_record_is_delivered_once_or_reported_as_lost() {
    let gaps = (0..HISTORIES).filter(|seed| run_history(*seed)).count();
    // Otherwise gaps would not have been tested.
    assert!(gaps > 100, "{gaps} histories had gaps");
}
