//! Sweeps: freeing the texts that no row uses.
//!
//! Symbols of texts in rows live only inside the graph. Answers hold texts, and all other symbols (sources, age groups)
//! are pinned. Between two epochs the graph holds only the rows that count, and groups and labels are made from these.
//! So a sweep marks the rows of one cut:
//!
//! 1. It begins before an epoch `e` is closed. From then on every text that is interned is marked, whether it is new or
//!    not: so all rows of epochs after `e` are marked.
//! 2. Each worker marks the symbols of its rows once `e`, and nothing after it, has been applied. What later epochs
//!    change is made from these rows and from rows that came later.
//! 3. Once `e` is complete on all workers, nothing older is in flight. All unmarked texts are freed, one shard at a
//!    time.
//!
//! With several processes, each sweeps its own texts, at epochs of its own. Rows and inputs of groups that come from other
//! processes are interned when they arrive. So two more things hold symbols that no row of this process has:
//!
//! - Rows of epochs after `e` can arrive before the sweep begins here, because their worker has closed `e`. They wait
//!   in the operator of the joins, which marks them together with its rows.
//! - Groups whose rows are in another process. The operator of the groups marks what it holds once `e`, and nothing after
//!   it, has been applied to it. Inputs of epochs after `e` are made once that epoch is complete on all workers, so they
//!   arrive after the sweep has begun.
//!
//! What is in flight between processes are texts, not symbols.
//!
//! It is a snapshot as by Chandy and Lamport (*Distributed snapshots*, TOCS 1985), with frontiers instead of markers:
//! the state of each worker at `e`, and no messages, because `e` is complete.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use super::Symbol;
use super::table::{SHARDS, SymbolShard, held_texts};

/// A sweep is due when the texts have grown by at least this many bytes since the last one.
const GROWTH_MIN: usize = 16 << 20;

/// The marks of the current sweep, if there is one.
static ACTIVE: ArcSwapOption<LiveMarks> = ArcSwapOption::const_empty();

/// The number of times that texts were freed. Incremented before the first text is freed.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The number of times that texts were freed. As long as it is the same, a symbol's number stands for the same text.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Acquire)
}

static REGISTRY: Mutex<SweepRegistry> = Mutex::new(SweepRegistry { graphs: 0, is_active: false, bytes_after: 0 });

struct SweepRegistry {
    /// The graphs, one per worker, that may hold symbols.
    graphs: usize,
    is_active: bool,
    /// The size of the texts after the last sweep, bytes.
    bytes_after: usize,
}

impl SweepRegistry {
    fn allows_sweep(&self, workers: usize) -> bool {
        !self.is_active && self.graphs == workers
    }
}

fn registry() -> MutexGuard<'static, SweepRegistry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One bit per symbol that existed when the sweep began. Symbols with a greater number are live.
#[derive(Debug)]
pub(super) struct LiveMarks(Box<[AtomicU64]>);

impl LiveMarks {
    /// The marks of the current sweep.
    pub(super) fn active() -> Option<Arc<LiveMarks>> {
        ACTIVE.load_full()
    }

    /// Marks for all existing symbols.
    fn for_all() -> LiveMarks {
        let end = (0..SHARDS).map(|shard| SymbolShard::lock_read(shard).numbers_end()).max().unwrap_or(0);
        LiveMarks((0..end.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn mark(&self, symbol: Symbol) {
        let number = symbol.number() as usize;
        if let Some(bits) = self.0.get(number / 64) {
            let bit = 1 << (number % 64);
            // Popular symbols are marked again and again. Reading first keeps the cache line shared by all workers.
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

/// Registers a graph that may hold symbols, until it is dropped.
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

/// The current sweep. Dropping it ends it without freeing anything.
#[derive(Debug)]
pub struct SymbolSweep {
    marks: Arc<LiveMarks>,
    /// The number of workers that have not marked their rows yet.
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

    /// Whether [`SymbolSweep::begin`] would begin a sweep now.
    #[must_use]
    pub fn can_begin(workers: usize) -> bool {
        registry().allows_sweep(workers)
    }

    /// Begins a sweep over the graph of this many workers of this process.
    ///
    /// `None` if another sweep is running, or if the process has other graphs, whose rows would not be marked.
    #[must_use]
    pub fn begin(workers: usize) -> Option<Arc<SymbolSweep>> {
        let mut registry = registry();
        if !registry.allows_sweep(workers) {
            return None;
        }
        registry.is_active = true;
        let marks = Arc::new(LiveMarks::for_all());
        ACTIVE.store(Some(Arc::clone(&marks)));
        Some(Arc::new(SymbolSweep { marks, unmarked: AtomicUsize::new(workers) }))
    }

    /// Whether all workers of this process have marked their rows.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.unmarked.load(Acquire) == 0
    }

    /// Frees the texts that are not marked and returns their number. Call it once the epoch of the sweep is complete on
    /// all workers, also those of other processes.
    ///
    /// # Panics
    /// If a worker has not marked its rows.
    pub fn free_unmarked(&self) -> usize {
        assert!(self.is_marked(), "nothing is freed before all workers have marked what they hold");
        GENERATION.fetch_add(1, AcqRel);
        let free = |shard| SymbolShard::lock_write(shard).free_dead(|symbol| self.marks.is_live(symbol));
        let freed = (0..SHARDS).map(free).sum();
        registry().bytes_after = held_texts().1;
        freed
    }
}

/// A sweep that waits until an operator of a worker has applied an epoch, and nothing after it.
pub type MarkRequest = Rc<RefCell<Option<(u64, WorkerMarks)>>>;

/// The part of one worker in a sweep: each of its operators that holds symbols marks them once.
#[derive(Debug, Clone)]
pub struct WorkerMarks {
    sweep: Arc<SymbolSweep>,
    /// The number of operators that have not marked their symbols yet.
    unmarked: Rc<Cell<usize>>,
}

impl WorkerMarks {
    /// The part of a worker on which this many operators mark symbols.
    pub(crate) fn new(sweep: Arc<SymbolSweep>, operators: usize) -> WorkerMarks {
        WorkerMarks { sweep, unmarked: Rc::new(Cell::new(operators)) }
    }

    /// Marks a symbol as live.
    pub(crate) fn mark(&self, symbol: Symbol) {
        self.sweep.marks.mark(symbol);
    }

    /// Records that one more operator has marked its symbols.
    pub(crate) fn operator_marked(&self) {
        self.unmarked.set(self.unmarked.get() - 1);
        if self.unmarked.get() == 0 {
            self.sweep.unmarked.fetch_sub(1, AcqRel);
        }
    }
}

impl Drop for SymbolSweep {
    fn drop(&mut self) {
        ACTIVE.store(None);
        registry().is_active = false;
    }
}
