//! Tables of results for expressions of one column that has few values.
//!
//! It is dictionary evaluation without a dictionary: a `CASE` or `LIKE` over an age or a category costs as much as
//! reading the column.

use std::cell::RefCell;

use crate::joins::JoinedRow;
use crate::symbol;

/// The value of the column as a number. The number of a text is that of its symbol.
pub(crate) type MemoKey = fn(&JoinedRow<'_>) -> u32;

/// The number of results in a table: a power of two.
const MEMO_RESULTS: usize = 512;

/// A direct-mapped table of results by key.
struct MemoTable<V> {
    /// Symbol numbers are used again after texts were freed, so results are of one generation of symbols.
    generation: u64,
    results: Box<[Option<MemoEntry<V>>]>,
}

/// A key with its result.
type MemoEntry<V> = (u32, Option<V>);

/// Evaluates an expression for a joined row. `None` is null.
pub(super) type RowFunction<V> = Box<dyn Fn(&JoinedRow<'_>) -> Option<V>>;

impl<V: Copy> MemoTable<V> {
    fn new() -> MemoTable<V> {
        MemoTable { generation: symbol::generation(), results: vec![None; MEMO_RESULTS].into_boxed_slice() }
    }

    fn find(&mut self, key: u32) -> Option<Option<V>> {
        let generation = symbol::generation();
        if generation != self.generation {
            self.generation = generation;
            self.results.fill(None);
        }
        self.results[key as usize % MEMO_RESULTS].filter(|(known, _)| *known == key).map(|(_, result)| result)
    }
}

/// Looks results up in a table, and calls `inner` only for values that are not in it.
pub(super) fn memoize<V: Copy + 'static>(key: MemoKey, inner: RowFunction<V>) -> RowFunction<V> {
    let table = RefCell::new(MemoTable::new());
    Box::new(move |row| {
        let key = key(row);
        let mut table = table.borrow_mut();
        if let Some(result) = table.find(key) {
            return result;
        }
        let result = inner(row);
        table.results[key as usize % MEMO_RESULTS] = Some((key, result));
        result
    })
}
