//! Strings that repeat, kept once: a [`Symbol`] is four bytes and compares like its text.
//!
//! Categories, countries, names and sources pass through the graph millions of times; as symbols they
//! cost four bytes each and are compared for equality without being read. They belong to one process; serialised they
//! are text, so that another process makes its own.
//!
//! [`Symbol::new`] makes symbols that stay as long as the process: those of sources, say. The graph's symbols of the
//! texts of rows are freed once no row refers to them: see [`SymbolSweep`].

mod sweep;
mod table;

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::KeyedState;

pub use sweep::{SymbolHolder, SymbolSweep};
pub use table::{SymbolText, held_texts, keep_freed_places};

use sweep::LiveMarks;
use table::{SHARDS, SymbolShard, split_hash};

/// A text that was seen before, by number. Ordered by text, byte by byte; equal exactly when the text is.
///
/// Numbers start at 1, so that an absent symbol costs nothing: `Option<Symbol>` is four bytes too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol(NonZeroU32);

fn hash_text(text: &str) -> u64 {
    KeyedState.hash_one(text)
}

impl Symbol {
    /// The symbol of a text: the same for the same text, from any thread. Never freed.
    ///
    /// # Panics
    /// After some 2^32 distinct texts.
    #[must_use]
    pub fn new(text: &str) -> Symbol {
        let (shard, hash) = split_hash(hash_text(text));
        let table = SymbolShard::read(shard);
        let found = table.find(hash, text).filter(|symbol| table.is_pinned(*symbol));
        drop(table);
        found.unwrap_or_else(|| {
            let mut table = SymbolShard::write(shard);
            let symbol = table.find(hash, text).unwrap_or_else(|| table.insert_text(hash, text));
            table.pin(symbol);
            symbol
        })
    }

    /// The text.
    ///
    /// Using what this returns panics if the symbol was freed while it was in use: a fault of pinflow's own.
    #[must_use]
    pub fn text(self) -> SymbolText {
        SymbolText::load(self)
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
pub(crate) struct SymbolBatch {
    texts: String,
    lookups: Vec<SymbolLookup>,
}

#[derive(Debug)]
struct SymbolLookup {
    /// Where its text ends in `texts`; it starts where the one before it ends.
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

    /// The symbols of the texts, in their order; the batch is empty then.
    pub(crate) fn resolve_all(&mut self) -> impl Iterator<Item = Symbol> {
        let marks = LiveMarks::active();
        self.look_up(marks.as_deref());
        let mut start = 0;
        for lookup in &mut self.lookups {
            let text = &self.texts[start..lookup.end];
            start = lookup.end;
            lookup.symbol = lookup.symbol.or_else(|| {
                let mut table = SymbolShard::write(lookup.shard);
                let found = table.find(lookup.hash, text);
                let symbol = found.unwrap_or_else(|| table.insert_text(lookup.hash, text));
                marks.iter().for_each(|marks| marks.mark(symbol));
                Some(symbol)
            });
        }
        self.texts.clear();
        self.lookups.drain(..).filter_map(|lookup| lookup.symbol)
    }

    /// Finds the texts that are there. No look-up here depends on the one before it.
    fn look_up(&mut self, marks: Option<&LiveMarks>) {
        // A writer holds one lock and waits for none, so that all may be held here.
        let tables: [_; SHARDS] = std::array::from_fn(SymbolShard::read);
        for lookup in &mut self.lookups {
            lookup.symbol = tables[lookup.shard].find_hash(lookup.hash);
        }
        let mut start = 0;
        for lookup in &mut self.lookups {
            let text = &self.texts[start..lookup.end];
            start = lookup.end;
            // Two texts may have the same half of a hash: found is what reads the same.
            lookup.symbol = lookup.symbol.filter(|symbol| tables[lookup.shard].text(*symbol) == text);
            // Under the lock: what is marked here cannot be freed a moment before.
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
        assert!(made[0].iter().zip(&texts).all(|(symbol, text)| *symbol.text() == **text));
    }

    #[test]
    fn a_batch_gives_the_symbols_of_its_texts_in_order_from_any_thread() {
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
    fn symbols_are_ordered_as_their_texts_are() {
        let (b, a) = (Symbol::new("order b"), Symbol::new("order a"));
        assert_eq!(a.cmp(&b), Ordering::Less);
        assert_eq!(b.cmp(&a), Ordering::Greater);
        assert_eq!(a, Symbol::new("order a"));
    }
}
