//! The storage of interned texts.
//!
//! A text is stored in a segment of 256 places, and its symbol is the number of its place. Readers get from the number
//! to the segment without a lock. Texts of up to 24 bytes are stored inline, which saves a cache miss.
//!
//! To free texts, their segment is replaced by a copy with the remaining ones. A reader of the old segment keeps it
//! alive through [`SymbolText`], so a text never changes while it is read. The place is then reused for another text.
//! Until then, reading the symbol of a freed text panics.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::{ArcSwapOption, Guard};
use compact_str::CompactString;
use hashbrown::HashTable;

use super::Symbol;

/// The number of shards, each with its own lock, so that workers rarely contend.
pub(super) const SHARDS: usize = 32;
/// The number of places in one segment.
pub(super) const SEGMENT_TEXTS: usize = 256;
/// The longest text that is stored inline, bytes.
const INLINE_BYTES: usize = 24;

/// The texts of one segment. A place without a text is free or about to be used.
#[derive(Debug)]
struct TextSegment {
    texts: [OnceLock<CompactString>; SEGMENT_TEXTS],
}

impl TextSegment {
    fn empty() -> Arc<TextSegment> {
        Arc::new(TextSegment { texts: [const { OnceLock::new() }; SEGMENT_TEXTS] })
    }
}

/// All segments, by shard and index in the shard. Readable without a lock.
static SEGMENTS: [boxcar::Vec<ArcSwapOption<TextSegment>>; SHARDS] = [const { boxcar::Vec::new() }; SHARDS];

static SYMBOL_SHARDS: LazyLock<[RwLock<SymbolShard>; SHARDS]> =
    LazyLock::new(|| std::array::from_fn(|number| RwLock::new(SymbolShard { number, ..SymbolShard::default() })));

/// The number of texts and of segments, and the bytes of texts that are not stored inline.
static TEXTS: AtomicUsize = AtomicUsize::new(0);
static HELD_SEGMENTS: AtomicUsize = AtomicUsize::new(0);
static LONG_TEXT_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Whether the places of freed texts are never reused, so that every use of a freed symbol panics.
static KEEPS_FREED_PLACES: AtomicBool = AtomicBool::new(false);

/// The number of texts and their approximate size in memory, bytes.
#[must_use]
pub fn held_texts() -> (usize, usize) {
    // A table entry takes 9 bytes, and the table is between half and seven eighths full.
    let texts = TEXTS.load(Relaxed);
    let places = HELD_SEGMENTS.load(Relaxed) * size_of::<TextSegment>();
    (texts, places + LONG_TEXT_BYTES.load(Relaxed) + texts * 13)
}

/// Sets whether the places of freed texts are never reused, so that every use of a freed symbol panics. For tests.
#[doc(hidden)]
pub fn keep_freed_places(keeps: bool) {
    KEEPS_FREED_PLACES.store(keeps, Relaxed);
}

/// A symbol with half of its text's hash. So most lookups of other texts, and the growth of a table, read no text and
/// save its cache miss.
#[derive(Debug, Clone, Copy)]
struct SymbolEntry {
    hash: u32,
    symbol: Symbol,
}

/// Splits a hash into the shard of its text and the half that the shard's table uses.
pub(super) fn split_hash(hash: u64) -> (usize, u32) {
    ((hash >> 32) as usize % SHARDS, hash as u32)
}

/// Spreads half of a hash to the 64 bits that the table expects.
fn table_hash(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The place of a symbol's text: shard, segment in the shard, place in the segment.
fn locate(symbol: Symbol) -> (usize, usize, usize) {
    let at = symbol.number() as usize - 1;
    let segment = at / SEGMENT_TEXTS;
    (segment % SHARDS, segment / SHARDS, at % SEGMENT_TEXTS)
}

/// A text, kept alive while it is read.
pub struct SymbolText {
    segment: Guard<Option<Arc<TextSegment>>>,
    place: usize,
    symbol: Symbol,
}

impl SymbolText {
    pub(super) fn load(symbol: Symbol) -> SymbolText {
        let (shard, segment, place) = locate(symbol);
        SymbolText { segment: SEGMENTS[shard][segment].load(), place, symbol }
    }
}

impl Deref for SymbolText {
    type Target = str;

    fn deref(&self) -> &str {
        let text = self.segment.as_ref().and_then(|segment| segment.texts[self.place].get());
        // A symbol in use is never freed. A bug in the sweep must not become a wrong answer.
        text.unwrap_or_else(|| panic!("symbol {} was freed while it was in use", self.symbol.number()))
    }
}

impl std::fmt::Debug for SymbolText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl std::fmt::Display for SymbolText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self)
    }
}

/// A part of the texts, by hash.
#[derive(Debug, Default)]
pub(super) struct SymbolShard {
    number: usize,
    table: HashTable<SymbolEntry>,
    /// The segments of this shard. `None` for a segment whose texts were all freed.
    segments: Vec<Option<Arc<TextSegment>>>,
    /// The free places of existing segments.
    free: Vec<Symbol>,
    /// The symbols that are never freed.
    pinned: HashSet<Symbol>,
}

impl SymbolShard {
    pub(super) fn lock_read(shard: usize) -> RwLockReadGuard<'static, SymbolShard> {
        SYMBOL_SHARDS[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_write(shard: usize) -> RwLockWriteGuard<'static, SymbolShard> {
        SYMBOL_SHARDS[shard].write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The symbol of a text.
    pub(super) fn find(&self, hash: u32, text: &str) -> Option<Symbol> {
        let found = self.table.find(table_hash(hash), |entry| entry.hash == hash && self.text(entry.symbol) == text);
        found.map(|entry| entry.symbol)
    }

    /// A symbol whose text has this hash, but may be a different text. Reads no text.
    pub(super) fn find_hash(&self, hash: u32) -> Option<Symbol> {
        self.table.find(table_hash(hash), |entry| entry.hash == hash).map(|entry| entry.symbol)
    }

    /// The text of a symbol of this shard. Empty if there is none.
    pub(super) fn text(&self, symbol: Symbol) -> &str {
        let (_, segment, place) = locate(symbol);
        let segment = self.segments.get(segment).and_then(Option::as_ref);
        segment.and_then(|segment| segment.texts[place].get()).map_or("", |text| text)
    }

    /// Interns a text that is not in the table.
    ///
    /// # Panics
    /// If about 2^32 texts are held at once.
    pub(super) fn insert_text(&mut self, hash: u32, text: &str) -> Symbol {
        if self.free.is_empty() {
            self.add_segment();
        }
        let symbol = self.free.pop().expect("a new segment has free places");
        let (_, segment, at) = locate(symbol);
        let text = CompactString::new(text);
        LONG_TEXT_BYTES.fetch_add(long_bytes(&text), Relaxed);
        let set = self.segments[segment].as_ref().map(|segment| segment.texts[at].set(text));
        assert_eq!(set, Some(Ok(())), "a free place has no text");
        self.table.insert_unique(table_hash(hash), SymbolEntry { hash, symbol }, |entry| table_hash(entry.hash));
        TEXTS.fetch_add(1, Relaxed);
        symbol
    }

    fn add_segment(&mut self) {
        let there = self.segments.iter().position(Option::is_none);
        let segment = there.unwrap_or_else(|| {
            self.segments.push(None);
            SEGMENTS[self.number].push(ArcSwapOption::empty())
        });
        self.put_segment(segment, Some(TextSegment::empty()));
        // The last free place is used first.
        let places: Vec<Symbol> = (0..SEGMENT_TEXTS).rev().map(|place| self.symbol_at(segment, place)).collect();
        self.free.extend(places);
    }

    /// Stores a segment here and where readers find it.
    fn put_segment(&mut self, at: usize, segment: Option<Arc<TextSegment>>) {
        match (self.segments[at].is_some(), segment.is_some()) {
            (false, true) => drop(HELD_SEGMENTS.fetch_add(1, Relaxed)),
            (true, false) => drop(HELD_SEGMENTS.fetch_sub(1, Relaxed)),
            _ => {}
        }
        SEGMENTS[self.number][at].store(segment.clone());
        self.segments[at] = segment;
    }

    fn symbol_at(&self, segment: usize, place: usize) -> Symbol {
        let at = (segment * SHARDS + self.number) * SEGMENT_TEXTS + place;
        let number = u32::try_from(at + 1).ok().and_then(std::num::NonZeroU32::new);
        Symbol(number.expect("fewer than 2^32 texts are held at once"))
    }

    /// Pins a symbol: it is never freed.
    pub(super) fn pin(&mut self, symbol: Symbol) {
        self.pinned.insert(symbol);
    }

    pub(super) fn is_pinned(&self, symbol: Symbol) -> bool {
        self.pinned.contains(&symbol)
    }

    /// The number after the last one of this shard.
    pub(super) fn numbers_end(&self) -> usize {
        (self.segments.len() * SHARDS + self.number) * SEGMENT_TEXTS + 1
    }

    /// Frees the texts that are neither pinned nor live, and returns their number.
    pub(super) fn free_dead(&mut self, is_live: impl Fn(Symbol) -> bool) -> usize {
        let SymbolShard { table, pinned, .. } = self;
        let mut dead = HashSet::new();
        table.retain(|entry| {
            let stays = is_live(entry.symbol) || pinned.contains(&entry.symbol);
            if !stays {
                dead.insert(entry.symbol);
            }
            stays
        });
        if dead.is_empty() {
            return 0;
        }
        self.table.shrink_to(2 * self.table.len(), |entry| table_hash(entry.hash));
        let segments: HashSet<usize> = dead.iter().map(|symbol| locate(*symbol).1).collect();
        for segment in segments {
            self.rebuild_segment(segment, &dead);
        }
        TEXTS.fetch_sub(dead.len(), Relaxed);
        let keeps = KEEPS_FREED_PLACES.load(Relaxed);
        self.free.retain(|symbol| self.segments[locate(*symbol).1].is_some());
        if !keeps {
            let segments = &self.segments;
            self.free.extend(dead.iter().filter(|symbol| segments[locate(**symbol).1].is_some()));
        }
        dead.len()
    }

    /// Replaces a segment by a copy without its dead texts, or by `None` if no text remains.
    fn rebuild_segment(&mut self, at: usize, dead: &HashSet<Symbol>) {
        let Some(old) = self.segments[at].clone() else { return };
        let fresh = TextSegment::empty();
        let mut kept = 0;
        for (place, text) in old.texts.iter().enumerate() {
            let Some(text) = text.get() else { continue };
            if dead.contains(&self.symbol_at(at, place)) {
                LONG_TEXT_BYTES.fetch_sub(long_bytes(text), Relaxed);
            } else {
                kept += 1;
                // The segment is new and not shared yet, so the place is empty.
                let _ = fresh.texts[place].set(text.clone());
            }
        }
        // If freed places are never reused, keep the segment: a new one at this index would reuse them.
        let goes = kept == 0 && !KEEPS_FREED_PLACES.load(Relaxed);
        self.put_segment(at, (!goes).then_some(fresh));
    }
}

/// The bytes of a text that is not stored inline, or 0.
fn long_bytes(text: &str) -> usize {
    if text.len() > INLINE_BYTES { text.len() } else { 0 }
}
