//! Strings that repeat, kept once: a [`Symbol`] is four bytes and compares like its text.
//!
//! Categories, countries, names and sources pass through the graph millions of times; as symbols they
//! cost four bytes each and are compared for equality without being read. Symbols are never freed: what
//! they hold is bounded by the distinct texts ever seen. They belong to one process; serialised they
//! are text, so that another process makes its own.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::{LazyLock, Mutex, PoisonError, RwLock};

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
/// Text is laid into blocks of this many bytes: one allocation for thousands of names.
const BLOCK_BYTES: usize = 64 * 1024;

/// Every text by its number, readable without a lock.
static TEXTS: boxcar::Vec<&'static str> = boxcar::Vec::new();
static SHARD: LazyLock<[RwLock<HashTable<Entry>>; SHARDS]> =
    LazyLock::new(|| std::array::from_fn(|_| RwLock::new(HashTable::new())));

/// A symbol with half of its text's hash: most texts that differ are told apart without being read, and a table
/// that grows reads none of them. Both would cost a miss of every cache for each text.
#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    symbol: Symbol,
}

/// The place of a text in its shard's table, from half of its hash.
fn place(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
static FREE: Mutex<&'static mut [u8]> = Mutex::new(&mut []);

fn hash(text: &str) -> u64 {
    FixedState::with_seed(0x70_69_6e).hash_one(text)
}

/// Copies a text to where it stays for the life of the process.
fn keep(text: &str) -> &'static str {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < text.len() {
        *free = Box::leak(vec![0; BLOCK_BYTES.max(text.len())].into_boxed_slice());
    }
    let (here, rest) = std::mem::take(&mut *free).split_at_mut(text.len());
    *free = rest;
    here.copy_from_slice(text.as_bytes());
    std::str::from_utf8(here).expect("copied from a str")
}

impl Symbol {
    /// The symbol of a text: the same for the same text, from any thread.
    ///
    /// # Panics
    /// After 2^32 − 1 distinct texts.
    #[must_use]
    pub fn new(text: &str) -> Symbol {
        let full = hash(text);
        // One half picks the shard, the other the place in it.
        let (shard, hash) = (&SHARD[(full >> 32) as usize % SHARDS], full as u32);
        let same = |entry: &Entry| entry.hash == hash && entry.symbol.text() == text;
        let table = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.find(place(hash), same) {
            return entry.symbol;
        }
        drop(table);
        let mut table = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.find(place(hash), same) {
            return entry.symbol;
        }
        let number = u32::try_from(TEXTS.push(keep(text)) + 1).ok().and_then(NonZeroU32::new);
        let symbol = Symbol(number.expect("fewer than 2^32 distinct texts"));
        table.insert_unique(place(hash), Entry { hash, symbol }, |entry| place(entry.hash));
        symbol
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> &'static str {
        TEXTS[self.0.get() as usize - 1]
    }

    /// The number: cheap to compare and to sort by, in an order that means nothing outside this process.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
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
    fn symbols_are_ordered_as_their_texts_are() {
        let (b, a) = (Symbol::new("order b"), Symbol::new("order a"));
        assert_eq!(a.cmp(&b), Ordering::Less);
        assert_eq!(b.cmp(&a), Ordering::Greater);
        assert_eq!(a, Symbol::new("order a"));
    }
}
