//! Interned texts: a [`Symbol`] has four bytes and compares like its text.
//!
//! Categories, countries, names and sources flow through the graph millions of times. As symbols they are small and are
//! compared for equality without reading the text. Symbols belong to one process. They serialise as text, so that
//! another process interns its own.
//!
//! [`Symbol::new`] makes symbols that are never freed, for example those of sources. The symbols of texts in rows are
//! freed once no row uses them: see [`SymbolSweep`].

mod sweep;
mod table;
mod text_hashes;

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::KeyedState;

pub(crate) use sweep::generation;
pub use sweep::{MarkRequest, SymbolHolder, SymbolSweep, WorkerMarks};
pub use table::{SymbolText, held_texts, keep_freed_places};
pub(crate) use text_hashes::TextHashes;

use sweep::LiveMarks;
use table::{SHARDS, SymbolShard, split_hash};

/// An interned text, by its number. Symbols are equal exactly if their texts are, and are ordered by text, byte by
/// byte.
///
/// Numbers start at 1, so that `Option<Symbol>` has four bytes as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol(NonZeroU32);

fn hash_text(text: &str) -> u64 {
    KeyedState.hash_one(text)
}

impl Symbol {
    /// Interns a text. The same text has the same symbol in all threads. The symbol is never freed.
    ///
    /// # Panics
    /// After about 2^32 distinct texts.
    #[must_use]
    pub fn new(text: &str) -> Symbol {
        let (shard, hash) = split_hash(hash_text(text));
        let table = SymbolShard::lock_read(shard);
        let found = table.find(hash, text).filter(|symbol| table.is_pinned(*symbol));
        drop(table);
        found.unwrap_or_else(|| {
            let mut table = SymbolShard::lock_write(shard);
            let symbol = table.find(hash, text).unwrap_or_else(|| table.insert_text(hash, text));
            table.pin(symbol);
            symbol
        })
    }

    /// The text.
    ///
    /// Reading it panics if the symbol was freed while it was in use, which would be a bug in the sweep.
    #[must_use]
    pub fn text(self) -> SymbolText {
        SymbolText::load(self)
    }

    /// The number: cheap to compare and to sort by. Its order has no meaning outside this process.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }
}

/// Texts that are interned together.
///
/// Among millions of texts each lookup has three cache misses: the table, its entry and the text. In a batch the misses
/// of different texts overlap, and a lock is taken once for many texts. It is the batched probe of hash joins (Chen et
/// al., *Improving hash join performance through prefetching*, ICDE 2004).
#[derive(Debug, Default)]
pub(crate) struct SymbolBatch {
    texts: String,
    lookups: Vec<SymbolLookup>,
}

#[derive(Debug)]
struct SymbolLookup {
    /// The end of its text in `texts`. It starts at the end of the previous one.
    end: usize,
    shard: usize,
    hash: u32,
    symbol: Option<Symbol>,
}

impl SymbolBatch {
    /// Adds a text.
    pub(crate) fn push(&mut self, text: &str) {
        let (shard, hash) = split_hash(hash_text(text));
        self.texts.push_str(text);
        self.lookups.push(SymbolLookup { end: self.texts.len(), shard, hash, symbol: None });
    }

    /// Removes all texts.
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.lookups.clear();
    }

    /// Returns the symbols of the texts, in their order, and empties the batch.
    pub(crate) fn resolve_all(&mut self) -> impl Iterator<Item = Symbol> {
        let marks = LiveMarks::active();
        self.look_up(marks.as_deref());
        let mut start = 0;
        for lookup in &mut self.lookups {
            let text = &self.texts[start..lookup.end];
            start = lookup.end;
            lookup.symbol = lookup.symbol.or_else(|| {
                let mut table = SymbolShard::lock_write(lookup.shard);
                let found = table.find(lookup.hash, text);
                let symbol = found.unwrap_or_else(|| table.insert_text(lookup.hash, text));
                marks.iter().for_each(|marks| marks.mark(symbol));
                Some(symbol)
            });
        }
        self.texts.clear();
        self.lookups.drain(..).filter_map(|lookup| lookup.symbol)
    }

    /// Finds the texts that are already interned. The lookups are independent of each other.
    fn look_up(&mut self, marks: Option<&LiveMarks>) {
        // Holding all read locks cannot deadlock: a writer holds one lock and waits for no other.
        let tables: [_; SHARDS] = std::array::from_fn(SymbolShard::lock_read);
        for lookup in &mut self.lookups {
            lookup.symbol = tables[lookup.shard].find_hash(lookup.hash);
        }
        let mut start = 0;
        for lookup in &mut self.lookups {
            let text = &self.texts[start..lookup.end];
            start = lookup.end;
            // Different texts can have the same half of a hash: compare the text.
            lookup.symbol = lookup.symbol.filter(|symbol| tables[lookup.shard].text(*symbol) == text);
            // Mark under the lock: a text that is marked here cannot have been freed just before.
            if let (Some(marks), Some(symbol)) = (marks, lookup.symbol) {
                marks.mark(symbol);
            }
        }
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Symbol) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.text().cmp(&other.text()) }
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
        f.pad(&self.text())
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Symbol, D::Error> {
        // An owned string: not every format can lend its bytes.
        String::deserialize(deserializer).map(|text| Symbol::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_equal_symbols_in_all_threads() {
        let texts: Vec<String> = (0..10_000).map(|n| format!("text {n}")).collect();
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| texts.iter().map(|t| Symbol::new(t)).collect::<Vec<_>>())).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(made.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(made[0].iter().zip(&texts).all(|(symbol, text)| *symbol.text() == **text));
    }

    #[test]
    fn batch_returns_symbols_in_order_of_texts_in_all_threads() {
        let texts: Vec<String> = (0..5_000).map(|n| format!("batch {}", n % 3_000)).collect();
        let made = std::thread::scope(|scope| {
            let in_batches = || {
                let mut batch = SymbolBatch::default();
                let parts = texts.chunks(100).flat_map(|part| {
                    part.iter().for_each(|text| batch.push(text));
                    batch.resolve_all().collect::<Vec<_>>()
                });
                parts.collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(in_batches)).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect::<Vec<_>>()
        });
        for symbols in made {
            assert_eq!(symbols, texts.iter().map(|text| Symbol::new(text)).collect::<Vec<_>>());
        }
        assert_eq!(SymbolBatch::default().resolve_all().count(), 0);
    }

    #[test]
    fn symbols_are_ordered_by_text() {
        let (b, a) = (Symbol::new("order b"), Symbol::new("order a"));
        assert_eq!(a.cmp(&b), Ordering::Less);
        assert_eq!(b.cmp(&a), Ordering::Greater);
        assert_eq!(a, Symbol::new("order a"));
    }
}
