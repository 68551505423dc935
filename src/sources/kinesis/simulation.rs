//! Random histories of a stream and its reader, without a server: puts, splits, merges, trimming, faults, crashes.
//!
//! The service is a model of Amazon's (it does what no local server does: it trims); tree, cursor and beginnings are the
//! real ones, in the order in which `stream` and `shard` call them. What was handed over becomes durable in prefixes,
//! as commits have it, and a crash takes back the rest. Records are polled or pushed, in turns; what is pushed may wait on
//! its way while time passes.
//!
//! In every history: what is durable is each record once, parents before children; a record that is missing was named
//! by a gap before anything behind it was taken. Only what a stream held when it was first opened may expire unnamed
//! before the first record of its shard is read: `trim_horizon` is the oldest record that there is, whichever that is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::begin::{self, Beginning, StoredShards, beginning};
use super::config::Start;
use super::cursor::{Admitted, Breach, Cursor};
use super::tree::Tree;
use crate::kinesis::{Answer, Begin, Record, Shard};
use crate::position::{Position, Reached};

const HISTORIES: u64 = 100_000;
const STEPS: u64 = 40;
const HOUR: u64 = 3_600_000;
const RETENTION: u64 = 24 * HOUR;
/// How long the service pushes to one subscription.
const SUBSCRIBED_MS: u64 = 5 * 60_000;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// The service.
struct World {
    now_ms: u64,
    shards: Vec<Held>,
    number: u64,
    /// Every record that ever was, with its shard and when it arrived.
    every: BTreeMap<Position, (String, u64)>,
}

struct Held {
    shard: Shard,
    /// Those that were trimmed are gone.
    records: Vec<(Position, Record)>,
    closed_ms: Option<u64>,
}

impl World {
    fn new() -> World {
        let mut world = World { now_ms: 1_000 * HOUR, shards: Vec::new(), number: 7, every: BTreeMap::new() };
        world.add(Vec::new());
        world.add(Vec::new());
        world
    }

    fn add(&mut self, parents: Vec<String>) {
        let id = format!("shardId-{:012}", self.shards.len());
        let shard = Shard { id, parents, hash_keys: Default::default(), is_closed: false };
        self.shards.push(Held { shard, records: Vec::new(), closed_ms: None });
    }

    fn open(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|at| self.shards[*at].closed_ms.is_none()).collect()
    }

    fn put(&mut self, dice: &mut Dice) {
        let open = self.open();
        let at = open[dice.below(open.len() as u64) as usize];
        self.number += 1 + dice.below(3);
        let record = Record {
            // Wider than 64 bits, as Amazon's are.
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

    fn reshard(&mut self, dice: &mut Dice) {
        let open = self.open();
        let at = dice.below(open.len() as u64) as usize;
        let parent = self.close(open[at]);
        if open.len() > 3 || (open.len() > 1 && dice.below(2) == 0) {
            let other = self.close(open[(at + 1) % open.len()]);
            self.add(vec![parent, other]);
        } else {
            self.add(vec![parent.clone()]);
            self.add(vec![parent]);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        let oldest = i64::try_from(self.now_ms - RETENTION).unwrap_or(0);
        for held in &mut self.shards {
            held.records.retain(|(_, record)| record.arrived_ms >= Some(oldest));
        }
    }

    fn list(&self) -> Vec<Shard> {
        let lives = |held: &&Held| held.closed_ms.is_none_or(|closed| closed + RETENTION >= self.now_ms);
        self.shards.iter().filter(lives).map(|held| held.shard.clone()).collect()
    }

    fn held(&self, id: &str) -> &Held {
        self.shards.iter().find(|held| held.shard.id == id).expect("a shard that was listed")
    }

    /// The index of the first record of an iterator, as a place that trimming does not move.
    fn iterator(&self, id: &str, begin: &Begin) -> Position {
        let records = &self.held(id).records;
        match begin {
            Begin::Horizon => Position::START,
            Begin::At(number) => number.parse().expect("a number"),
            Begin::Moment(ms) => {
                let since = records.iter().find(|(_, record)| record.arrived_ms >= i64::try_from(*ms).ok());
                let end = || records.last().map_or(Position::START, |(last, _)| last.after());
                since.map_or_else(end, |(position, _)| *position)
            }
        }
    }

    /// An answer, and where the next iterator begins.
    fn read(&self, id: &str, from: Position, limit: usize) -> (Answer, Position) {
        let held = self.held(id);
        let rest = &held.records[held.records.partition_point(|(position, _)| *position < from)..];
        let (taken, rest) = rest.split_at(limit.min(rest.len()));
        let records: Vec<Record> = taken.iter().map(|(_, record)| record.clone()).collect();
        let left = rest.first().map(|(_, record)| record);
        let behind = left.and_then(|next| next.arrived_ms).and_then(|ms| u64::try_from(ms).ok());
        let next = taken.last().map_or(from, |(last, _)| last.after());
        let is_over = left.is_none() && held.closed_ms.is_some();
        let answer = Answer {
            records,
            next: (!is_over).then(String::new),
            behind_ms: Some(behind.map_or(0, |ms| self.now_ms - ms)),
        };
        (answer, next)
    }
}

/// What was handed over, in its order.
#[derive(Clone)]
enum Handed {
    /// All of them in one commit.
    Begun(Vec<(String, Reached)>),
    Taken {
        shard: String,
        positions: Vec<Position>,
        reached: Reached,
    },
}

/// A reader's life.
#[derive(Default)]
struct Life {
    tree: Tree,
    cursors: BTreeMap<String, Cursor>,
    iterators: BTreeMap<String, Position>,
    subscriptions: BTreeMap<String, Subscription>,
    /// Whether records are pushed, most of the time.
    is_pushed: bool,
    waiting: BTreeSet<String>,
    handed: Vec<Handed>,
    listed_ms: u64,
}

/// What a shard's records are pushed to.
struct Subscription {
    asked_ms: u64,
    /// Where the service stands.
    from: Position,
    /// Events that it has sent, and that were not taken.
    way: VecDeque<Answer>,
}

/// What is durable.
#[derive(Default)]
struct Tables {
    stored: StoredShards,
    rows: Vec<(String, Position)>,
}

impl Tables {
    fn commit(&mut self, handed: impl Iterator<Item = Handed>) {
        for one in handed {
            match one {
                Handed::Begun(shards) => self.stored.extend(shards),
                Handed::Taken { shard, positions, reached } => {
                    self.rows.extend(positions.into_iter().map(|position| (shard.clone(), position)));
                    self.stored.insert(shard, reached);
                }
            }
        }
    }
}

impl Life {
    fn start(world: &World, tables: &Tables, start: Start) -> Result<Life, Breach> {
        let mut life = Life { listed_ms: world.now_ms, ..Life::default() };
        let listed = world.list();
        let mut begun = Vec::new();
        for shard in &listed {
            let beginning = beginning(shard, &listed, &tables.stored, start, world.now_ms);
            life.tree.learn(shard, beginning == Beginning::Ended);
            match beginning {
                Beginning::Ended => {}
                Beginning::Resumed(reached) => drop(life.cursors.insert(shard.id.clone(), Cursor::resume(reached))),
                Beginning::Fresh(at) => begun.push(life.fresh(shard, at)),
            }
        }
        life.handed.extend((!begun.is_empty()).then_some(Handed::Begun(begun)));
        match begin::vanished(&listed, &tables.stored).into_iter().next() {
            Some((_, reached)) => Err(Breach::Gap { from: reached.next, to: Position::END }),
            None => Ok(life),
        }
    }

    fn fresh(&mut self, shard: &Shard, at: Reached) -> (String, Reached) {
        self.cursors.insert(shard.id.clone(), Cursor::fresh(at));
        self.waiting.insert(shard.id.clone());
        (shard.id.clone(), at)
    }

    fn look(&mut self, world: &World) -> Result<(), Breach> {
        let mut begun = Vec::new();
        let listed = world.list();
        let is_known = |id: &String| self.tree.knows(id) || listed.iter().any(|shard| shard.id == *id);
        let new = listed.iter().filter(|shard| !self.tree.knows(&shard.id));
        if !begin::unknown_parents(new, is_known).is_empty() {
            return Err(Breach::Gap { from: Position::START, to: Position::END });
        }
        for shard in listed {
            if self.tree.learn(&shard, false) {
                begun.push(self.fresh(&shard, begin::oldest(self.listed_ms)));
            }
        }
        self.handed.extend((!begun.is_empty()).then_some(Handed::Begun(begun)));
        self.listed_ms = world.now_ms;
        Ok(())
    }

    /// Reads some of one shard that may be read.
    fn read(&mut self, world: &World, tables: &Tables, dice: &mut Dice) -> Result<(), Breach> {
        self.waiting.retain(|shard| !tables.stored.contains_key(shard));
        let ready: Vec<String> = self.tree.ready().into_iter().filter(|id| !self.waiting.contains(id)).collect();
        let Some(id) = ready.get(dice.below(ready.len().max(1) as u64) as usize).cloned() else { return Ok(()) };
        let is_as_ever = dice.below(12) > 0;
        if self.is_pushed == is_as_ever { self.subscribed(&id, world, dice) } else { self.poll(&id, world, dice) }
    }

    /// Asks for records.
    fn poll(&mut self, id: &str, world: &World, dice: &mut Dice) -> Result<(), Breach> {
        self.subscriptions.remove(id);
        let cursor = self.cursors.get_mut(id).expect("a shard that is read has a cursor");
        if dice.below(4) == 0 || cursor.is_stale(world.now_ms, RETENTION) {
            self.iterators.remove(id);
        }
        let from = *self.iterators.entry(id.to_owned()).or_insert_with(|| world.iterator(id, &cursor.begin()));
        let (answer, next) = world.read(id, from, 1 + dice.below(3) as usize);
        self.iterators.insert(id.to_owned(), next);
        self.take(id, &answer, world.now_ms, world)
    }

    /// Takes one event of those that were pushed, or subscribes if there is none.
    fn subscribed(&mut self, id: &str, world: &World, dice: &mut Dice) -> Result<(), Breach> {
        self.iterators.remove(id);
        let cursor = self.cursors.get_mut(id).expect("a shard that is read has a cursor");
        if dice.below(12) == 0 || cursor.is_stale(world.now_ms, RETENTION) {
            self.subscriptions.remove(id);
        }
        let subscribe = || {
            let from = world.iterator(id, &cursor.begin());
            Subscription { asked_ms: world.now_ms, from, way: VecDeque::new() }
        };
        let subscription = self.subscriptions.entry(id.to_owned()).or_insert_with(subscribe);
        for _ in 0..=dice.below(4) {
            if world.now_ms - subscription.asked_ms < SUBSCRIBED_MS {
                let (event, next) = world.read(id, subscription.from, 1 + dice.below(3) as usize);
                subscription.from = next;
                subscription.way.push_back(event);
            }
        }
        match subscription.way.pop_front() {
            Some(event) => {
                let asked_ms = subscription.asked_ms;
                self.take(id, &event, asked_ms, world)
            }
            None => {
                self.subscriptions.remove(id);
                Ok(())
            }
        }
    }

    /// Hands an answer over.
    fn take(&mut self, id: &str, answer: &Answer, asked_ms: u64, world: &World) -> Result<(), Breach> {
        let cursor = self.cursors.get_mut(id).expect("a shard that is read has a cursor");
        let Admitted { old, positions } = cursor.admit(answer, asked_ms, RETENTION)?;
        let mut taken = Vec::new();
        for (record, position) in answer.records.iter().zip(positions).skip(old) {
            cursor.take(position, record);
            taken.push(position);
        }
        cursor.caught(answer, asked_ms);
        let (anchor, seek) = cursor.stored();
        let is_over = answer.next.is_none();
        let next_position = if is_over { Position::END } else { cursor.next() };
        if is_over {
            self.look(world)?;
            self.tree.end(id);
        }
        let reached = Reached { next: next_position, rows: 0, anchor, seek };
        self.handed.push(Handed::Taken { shard: id.to_owned(), positions: taken, reached });
        Ok(())
    }
}

/// One history: whether it ended with a gap.
fn history(seed: u64) -> bool {
    let mut dice = Dice(seed);
    let mut world = World::new();
    let mut tables = Tables::default();
    let mut opened_ms = world.now_ms;
    let mut life = Life::start(&world, &tables, Start::TrimHorizon).expect("nothing was read yet");
    // Most histories are quick; in some, records expire.
    let is_slow = dice.below(4) == 0;
    let is_pushed = dice.below(2) == 0;
    life.is_pushed = is_pushed;
    for _ in 0..STEPS {
        let went = match dice.below(12) {
            0..=2 => {
                (0..=dice.below(4)).for_each(|_| world.put(&mut dice));
                Ok(())
            }
            3 => {
                world.reshard(&mut dice);
                Ok(())
            }
            4 => life.look(&world),
            5 => {
                let hours = if is_slow { 1 + dice.below(14) } else { 0 };
                world.pass(hours * HOUR + dice.below(60_000));
                Ok(())
            }
            6 => {
                let count = dice.below(life.handed.len() as u64 + 1) as usize;
                tables.commit(life.handed.drain(..count));
                Ok(())
            }
            7 => {
                if tables.stored.is_empty() {
                    opened_ms = world.now_ms;
                }
                Life::start(&world, &tables, Start::TrimHorizon).map(|next| life = Life { is_pushed, ..next })
            }
            _ => life.read(&world, &tables, &mut dice),
        };
        match went {
            Ok(()) => {}
            Err(Breach::Gap { .. }) => {
                assert!(is_slow, "history {seed}: a gap where nothing has expired");
                assert_right(seed, &world, &tables);
                return true;
            }
            Err(breach) => panic!("history {seed}: {breach:?}"),
        }
    }
    // To the end, without disturbance.
    for _ in 0..1_000 {
        tables.commit(life.handed.drain(..));
        if tables.rows.len() == world.every.len() && life.waiting.is_empty() && dice.below(50) == 0 {
            break;
        }
        let looked = if dice.below(20) == 0 { life.look(&world) } else { Ok(()) };
        if let Err(breach) = looked.and_then(|()| life.read(&world, &tables, &mut dice)) {
            assert!(is_slow && matches!(breach, Breach::Gap { .. }), "history {seed}: {breach:?}");
            return true;
        }
    }
    tables.commit(life.handed.drain(..));
    assert_right(seed, &world, &tables);
    let mut first: BTreeMap<&str, Position> = BTreeMap::new();
    for (shard, position) in tables.rows.iter().rev() {
        first.insert(shard, *position);
    }
    let found: BTreeSet<Position> = tables.rows.iter().map(|(_, position)| *position).collect();
    for (position, (shard, arrived_ms)) in world.every.iter().filter(|(position, _)| !found.contains(position)) {
        let was_there_first = *arrived_ms < opened_ms && first.get(shard.as_str()).is_none_or(|first| position < first);
        assert!(is_slow && was_there_first, "history {seed}: {shard} at {position} was left out");
    }
    false
}

/// Each row once and in its place, children after their parents' ends.
fn assert_right(seed: u64, world: &World, tables: &Tables) {
    let mut last: BTreeMap<&str, Position> = BTreeMap::new();
    for (shard, position) in &tables.rows {
        let before = last.insert(shard, *position);
        assert!(before < Some(*position), "history {seed}: {shard} at {position} comes twice, or late");
    }
    for held in &world.shards {
        let began = last.contains_key(held.shard.id.as_str());
        for parent in held.shard.parents.iter().filter(|_| began) {
            let end = tables.stored.get(parent).map(|reached| reached.next);
            assert!(end.is_none_or(|next| next == Position::END), "history {seed}: {} before {parent}", held.shard.id);
        }
    }
}

#[test]
fn in_every_history_each_record_is_taken_once_and_what_is_lost_is_named() {
    let gaps = (0..HISTORIES).filter(|seed| history(*seed)).count();
    // Else nothing was proved of them.
    assert!(gaps > 100, "{gaps} histories had gaps");
}
