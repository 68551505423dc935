//! Frees the texts that no row refers to any more.
//!
//! Symbols that become of the texts of rows live inside the graph only: answers leave it as text, and all other symbols
//! (sources, age groups) are pinned. What the graph holds between two epochs is the rows that count; groups and labels
//! come of these. So a sweep marks the rows of one cut:
//!
//! 1. It begins before an epoch `e` is closed. From then on every text that becomes a symbol, a new one or an old one, is
//!    marked: so all rows of epochs after `e` are.
//! 2. Each worker, with `e` and all before applied and nothing after it, marks the symbols of the rows that it holds. What
//!    later epochs change is made of these rows and of rows that came later.
//! 3. When `e` has passed everywhere, nothing is under way that was made before. What is not marked is freed, one shard of
//!    the texts at a time.
//!
//! This is a snapshot in the manner of Chandy and Lamport (*Distributed snapshots*, TOCS 1985), with frontiers in the
//! place of markers: a worker's state at `e`, and no messages, as `e` has passed.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use super::Symbol;
use super::table::{SHARDS, SymbolShard, held_texts};

/// A sweep is due when the texts have grown by this, at least, since the last one, bytes.
const GROWTH_MIN: usize = 16 << 20;

/// The marks of the sweep that is under way, if one is.
static ACTIVE: ArcSwapOption<LiveMarks> = ArcSwapOption::const_empty();

static REGISTRY: Mutex<SweepRegistry> = Mutex::new(SweepRegistry { graphs: 0, is_active: false, bytes_after: 0 });

struct SweepRegistry {
    /// Workers' parts of graphs that may hold symbols.
    graphs: usize,
    is_active: bool,
    /// What the texts took after the last sweep.
    bytes_after: usize,
}

fn registry() -> MutexGuard<'static, SweepRegistry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One bit for each symbol that there was when the sweep began; later ones are live.
#[derive(Debug)]
pub(super) struct LiveMarks(Box<[AtomicU64]>);

impl LiveMarks {
    /// Those of the sweep that is under way.
    pub(super) fn active() -> Option<Arc<LiveMarks>> {
        ACTIVE.load_full()
    }

    /// For all symbols that there are.
    fn for_all() -> LiveMarks {
        let end = (0..SHARDS).map(|shard| SymbolShard::read(shard).numbers_end()).max().unwrap_or(0);
        LiveMarks((0..end.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn mark(&self, symbol: Symbol) {
        let number = symbol.number() as usize;
        if let Some(bits) = self.0.get(number / 64) {
            let bit = 1 << (number % 64);
            // Popular symbols are marked again and again: a read leaves the line with all workers.
            if bits.load(Relaxed) & bit == 0 {
                bits.fetch_or(bit, Relaxed);
            }
        }
    }

    fn is_live(&self, symbol: Symbol) -> bool {
        let number = symbol.number() as usize;
        self.0.get(number / 64).is_none_or(|bits| bits.load(Relaxed) & (1 << (number % 64)) != 0)
    }
}

/// Says that a part of a graph may hold symbols, until it is dropped.
#[derive(Debug)]
pub struct SymbolHolder(());

impl SymbolHolder {
    pub(crate) fn register() -> SymbolHolder {
        registry().graphs += 1;
        SymbolHolder(())
    }
}

impl Drop for SymbolHolder {
    fn drop(&mut self) {
        registry().graphs -= 1;
    }
}

/// A sweep under way; it ends, with nothing freed, when it is dropped.
#[derive(Debug)]
pub struct SymbolSweep {
    marks: Arc<LiveMarks>,
    /// Workers that have not marked what they hold.
    unmarked: AtomicUsize,
}

impl SymbolSweep {
    /// Whether the texts have grown by half and by 16 MiB since the last sweep.
    #[must_use]
    pub fn is_due() -> bool {
        let (_, bytes) = held_texts();
        let after = registry().bytes_after;
        bytes > (after + after / 2).max(after + GROWTH_MIN)
    }

    /// Begins a sweep over the graph of so many workers. `None` if one is under way, or if the process has other graphs:
    /// their rows would not be marked.
    #[must_use]
    pub fn begin(workers: usize) -> Option<Arc<SymbolSweep>> {
        let mut registry = registry();
        if registry.is_active || registry.graphs != workers {
            return None;
        }
        registry.is_active = true;
        let marks = Arc::new(LiveMarks::for_all());
        ACTIVE.store(Some(Arc::clone(&marks)));
        Some(Arc::new(SymbolSweep { marks, unmarked: AtomicUsize::new(workers) }))
    }

    /// Marks a symbol as one that stays.
    pub(crate) fn mark(&self, symbol: Symbol) {
        self.marks.mark(symbol);
    }

    /// Says that one more worker has marked what it holds.
    pub(crate) fn worker_marked(&self) {
        self.unmarked.fetch_sub(1, AcqRel);
    }

    /// Whether all workers have marked what they hold.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.unmarked.load(Acquire) == 0
    }

    /// Frees what is not marked, once the epoch of the sweep has passed everywhere. Returns how many texts that were.
    ///
    /// # Panics
    /// If a worker has not marked what it holds.
    pub fn free_unmarked(&self) -> usize {
        assert!(self.is_marked(), "nothing is freed before all workers have marked what they hold");
        let free = |shard| SymbolShard::write(shard).free_dead(|symbol| self.marks.is_live(symbol));
        let freed = (0..SHARDS).map(free).sum();
        registry().bytes_after = held_texts().1;
        freed
    }
}

impl Drop for SymbolSweep {
    fn drop(&mut self) {
        ACTIVE.store(None);
        registry().is_active = false;
    }
}
