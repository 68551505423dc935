//! Tables of results for expressions of one column that has few values.
//!
//! It is dictionary evaluation without a dictionary: a `CASE` or `LIKE` over an age or a category costs as much as
//! reading the column.

use std::cell::Cell;

use crate::joins::JoinedRow;
use crate::symbol;

/// The value of the column as a number. The number of a text is that of its symbol.
pub(crate) type MemoKey = fn(&JoinedRow<'_>) -> u32;

/// The number of results in a table: a power of two.
const MEMO_RESULTS: usize = 512;

/// A direct-mapped table of results by key. Entries are cells, so that a look-up borrows nothing.
struct MemoTable<V> {
    /// Symbol numbers are used again after texts were freed, so results are of one generation of symbols.
    generation: Cell<u64>,
    results: Box<[Cell<MemoEntry<V>>; MEMO_RESULTS]>,
}

/// A key with its result. `None` if there is none yet.
type MemoEntry<V> = Option<(u32, Option<V>)>;

/// Evaluates an expression for a joined row. `None` is null.
pub(super) type RowFunction<V> = Box<dyn Fn(&JoinedRow<'_>) -> Option<V>>;

impl<V: Copy> MemoTable<V> {
    fn new() -> MemoTable<V> {
        MemoTable {
            generation: Cell::new(symbol::generation()),
            results: Box::new([const { Cell::new(None) }; MEMO_RESULTS]),
        }
    }

    /// The entry to which a key belongs.
    #[inline]
    fn entry(&self, key: u32) -> &Cell<MemoEntry<V>> {
        let generation = symbol::generation();
        if generation != self.generation.get() {
            self.generation.set(generation);
            self.results.iter().for_each(|entry| entry.set(None));
        }
        &self.results[key as usize % MEMO_RESULTS]
    }
}

/// Looks results up in a table, and calls `inner` only for values that are not in it.
pub(super) fn memoize<V: Copy + 'static>(key: MemoKey, inner: RowFunction<V>) -> RowFunction<V> {
    let table = MemoTable::new();
    Box::new(move |row| {
        let key = key(row);
        let entry = table.entry(key);
        match entry.get() {
            Some((known, result)) if known == key => result,
            _ => {
                let result = inner(row);
                entry.set(Some((key, result)));
                result
            }
        }
    })
}
