//! Strings that repeat, kept once: a [`Symbol`] is four bytes and compares like its text.
//!
//! Categories, countries, names and sources pass through the graph millions of times; as symbols they
//! cost four bytes each and are compared for equality without being read. Symbols are never freed: what
//! they hold is bounded by the distinct texts ever seen. They belong to one process; serialised they
//! are text, so that another process makes its own.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::{LazyLock, PoisonError, RwLock};

use compact_str::CompactString;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that was seen before, by number. Ordered by text, byte by byte; equal exactly when the text is.
///
/// Numbers start at 1, so that an absent symbol costs nothing: `Option<Symbol>` is four bytes too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol(NonZeroU32);

/// Locks are per shard, so that workers rarely meet.
const SHARDS: usize = 32;
/// Every text by its number, readable without a lock. Up to 24 bytes stand in their place: no second miss of the cache.
static TEXTS: boxcar::Vec<CompactString> = boxcar::Vec::new();
static SHARD: LazyLock<[RwLock<HashTable<Entry>>; SHARDS]> =
    LazyLock::new(|| std::array::from_fn(|_| RwLock::new(HashTable::new())));

/// A symbol with half of its text's hash: most texts that differ are told apart without being read, and a table
/// that grows reads none of them. Both would cost a miss of every cache for each text.
#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    symbol: Symbol,
}

impl Entry {
    fn is(&self, hash: u32, text: &str) -> bool {
        self.hash == hash && self.symbol.text() == text
    }
}

/// The shard of a text, from one half of its hash, and the half that its table goes by.
fn split(hash: u64) -> (usize, u32) {
    ((hash >> 32) as usize % SHARDS, hash as u32)
}

/// The place of a text in its shard's table, from half of its hash.
fn place(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
fn hash(text: &str) -> u64 {
    FixedState::with_seed(0x70_69_6e).hash_one(text)
}

/// How many different texts are kept.
#[must_use]
pub fn count() -> usize {
    TEXTS.count()
}

impl Symbol {
    /// The symbol of a text: the same for the same text, from any thread.
    ///
    /// # Panics
    /// After 2^32 − 1 distinct texts.
    #[must_use]
    pub fn new(text: &str) -> Symbol {
        let (shard, hash) = split(hash(text));
        let table = SHARD[shard].read().unwrap_or_else(PoisonError::into_inner);
        let found = table.find(place(hash), |entry| entry.is(hash, text)).map(|entry| entry.symbol);
        drop(table);
        found.unwrap_or_else(|| Symbol::add(text, shard, hash))
    }

    /// The symbol of a text that was not there a moment ago.
    fn add(text: &str, shard: usize, hash: u32) -> Symbol {
        let mut table = SHARD[shard].write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.find(place(hash), |entry| entry.is(hash, text)) {
            return entry.symbol;
        }
        let number = u32::try_from(TEXTS.push(CompactString::new(text)) + 1).ok().and_then(NonZeroU32::new);
        let symbol = Symbol(number.expect("fewer than 2^32 distinct texts"));
        table.insert_unique(place(hash), Entry { hash, symbol }, |entry| place(entry.hash));
        symbol
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> &'static str {
        &TEXTS[self.0.get() as usize - 1]
    }

    /// The number: cheap to compare and to sort by, in an order that means nothing outside this process.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }
}

/// Texts that become symbols together.
///
/// Among millions of names, each look-up waits for memory three times: for the table, its entry, and the text. One after
/// the other, these waits add up; in a batch they overlap, as the processor goes on with the next text meanwhile, and a
/// lock is taken once for many texts. (The batched probes of hash joins: Chen et al., *Improving hash join performance
/// through prefetching*, ICDE 2004.)
#[derive(Debug, Default)]
pub(crate) struct Batch {
    texts: String,
    lookups: Vec<Lookup>,
}

#[derive(Debug)]
struct Lookup {
    /// Where its text ends in `texts`; it starts where the one before it ends.
    end: usize,
    shard: usize,
    hash: u32,
    symbol: Option<Symbol>,
}

impl Batch {
    /// Adds a text.
    pub(crate) fn push(&mut self, text: &str) {
        let (shard, hash) = split(hash(text));
        self.texts.push_str(text);
        self.lookups.push(Lookup { end: self.texts.len(), shard, hash, symbol: None });
    }

    /// The symbols of the texts, in their order; the batch is empty then.
    pub(crate) fn symbols(&mut self) -> impl Iterator<Item = Symbol> {
        self.look_up();
        let texts = std::mem::take(&mut self.texts);
        let mut start = 0;
        for lookup in &mut self.lookups {
            let text = &texts[start..lookup.end];
            start = lookup.end;
            // Two texts may have the same half of a hash: found is what reads the same.
            if lookup.symbol.is_none_or(|symbol| symbol.text() != text) {
                lookup.symbol = Some(Symbol::add(text, lookup.shard, lookup.hash));
            }
        }
        self.texts = texts;
        self.texts.clear();
        self.lookups.drain(..).filter_map(|lookup| lookup.symbol)
    }

    /// Finds what has the hashes of the texts. No look-up here depends on the one before it.
    fn look_up(&mut self) {
        // A writer holds one lock and waits for none, so that all may be held here.
        let tables: [_; SHARDS] = std::array::from_fn(|at| SHARD[at].read().unwrap_or_else(PoisonError::into_inner));
        for lookup in &mut self.lookups {
            let found = tables[lookup.shard].find(place(lookup.hash), |entry| entry.hash == lookup.hash);
            lookup.symbol = found.map(|entry| entry.symbol);
        }
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Symbol) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.text().cmp(other.text()) }
    }
}

impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Symbol) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Debug for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text().fmt(f)
    }
}

impl std::fmt::Display for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.text())
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Symbol, D::Error> {
        // Owned: not every format can lend its bytes.
        String::deserialize(deserializer).map(|text| Symbol::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_equal_symbols_from_any_thread() {
        let texts: Vec<String> = (0..10_000).map(|n| format!("text {n}")).collect();
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| texts.iter().map(|t| Symbol::new(t)).collect::<Vec<_>>())).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(made.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(made[0].iter().zip(&texts).all(|(symbol, text)| symbol.text() == text));
    }

    #[test]
    fn a_batch_gives_the_symbols_of_its_texts_in_order_from_any_thread() {
        let texts: Vec<String> = (0..5_000).map(|n| format!("batch {}", n % 3_000)).collect();
        let made = std::thread::scope(|scope| {
            let in_batches = || {
                let mut batch = Batch::default();
                let parts = texts.chunks(100).flat_map(|part| {
                    part.iter().for_each(|text| batch.push(text));
                    batch.symbols().collect::<Vec<_>>()
                });
                parts.collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(in_batches)).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect::<Vec<_>>()
        });
        for symbols in made {
            assert_eq!(symbols, texts.iter().map(|text| Symbol::new(text)).collect::<Vec<_>>());
        }
        assert_eq!(Batch::default().symbols().count(), 0);
    }

    #[test]
    fn symbols_are_ordered_as_their_texts_are() {
        let (b, a) = (Symbol::new("order b"), Symbol::new("order a"));
        assert_eq!(a.cmp(&b), Ordering::Less);
        assert_eq!(b.cmp(&a), Ordering::Greater);
        assert_eq!(a, Symbol::new("order a"));
    }
}
