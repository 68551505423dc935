//! The values of extra columns, by key: those that questions read besides the projected rows.
//!
//! Columns come and go with the questions that read them. A column that is freed keeps its values for a while: a walk
//! removes those of some keys in each epoch, so that no epoch takes long.

use std::cell::Cell;
use std::rc::Rc;

use pinflow_sql::datum::Datum;
use pinflow_sql::eval::FaultCounter;

use crate::keys::KeyId;
use crate::slab::ChunkedVec;
use crate::version::ExtraValues;

/// What an extra column costs on one worker.
#[derive(Debug, Default)]
pub struct ColumnCosts {
    /// Operations without a result while its values were computed here.
    pub(crate) faults: FaultCounter,
    texts: Cell<usize>,
    bytes: Cell<usize>,
}

impl ColumnCosts {
    /// The number of text values that are held.
    pub(crate) fn texts(&self) -> usize {
        self.texts.get()
    }

    /// The size of the values that are held, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    fn add_value(&self, value: &Datum) {
        self.texts.set(self.texts.get() + text_count(value));
        self.bytes.set(self.bytes.get() + value_bytes(value));
    }

    fn remove_value(&self, value: &Datum) {
        self.texts.set(self.texts.get() - text_count(value));
        self.bytes.set(self.bytes.get() - value_bytes(value));
    }
}

/// The size of a value, bytes. Nulls count as nothing, so that a value that was removed can be replaced by null.
fn value_bytes(value: &Datum) -> usize {
    if value.is_null() { 0 } else { value.allocated_bytes() }
}

/// The number of text values in a value.
pub(crate) fn text_count(value: &Datum) -> usize {
    match value {
        Datum::Text(_) => 1,
        Datum::List(list) => list.iter().map(text_count).sum(),
        _ => 0,
    }
}

/// What a row without extra values has.
const NO_EXTRA: &ExtraValues = &None;

/// The extra values of the stored rows.
#[derive(Debug, Default)]
pub struct ExtraSlabs {
    /// By index of the relation in the catalog.
    relations: [RelationSlab; 3],
    freed: Vec<FreedColumn>,
}

/// The extra values of one relation's rows.
#[derive(Debug, Default)]
struct RelationSlab {
    values: ChunkedVec<ExtraValues>,
    /// By index of the column. `None` if no value of it is held any more.
    columns: Vec<Option<Rc<ColumnCosts>>>,
    /// The number of columns that questions read.
    read_columns: usize,
}

/// A column that no question reads any more, and whose values are removed from `next` on.
#[derive(Debug, Clone, Copy)]
struct FreedColumn {
    relation: usize,
    index: usize,
    next: KeyId,
}

impl ExtraSlabs {
    /// Adds a column. An index can be used again: what is left of the values of the column before is removed now.
    pub(crate) fn add_column(&mut self, relation: usize, index: usize, costs: Rc<ColumnCosts>) {
        while let Some(at) = self.freed.iter().position(|freed| (freed.relation, freed.index) == (relation, index)) {
            self.free_values(at, KeyId::MAX);
        }
        let slab = &mut self.relations[relation];
        if slab.columns.len() <= index {
            slab.columns.resize(index + 1, None);
        }
        slab.columns[index] = Some(costs);
        slab.read_columns += 1;
    }

    /// Frees a column: no question reads it any more. Its values are removed by [`walk_freed`](ExtraSlabs::walk_freed).
    pub(crate) fn free_column(&mut self, relation: usize, index: usize) {
        self.relations[relation].read_columns -= 1;
        self.freed.push(FreedColumn { relation, index, next: 0 });
    }

    /// Whether questions read extra columns of a relation.
    pub(super) fn has_columns(&self, relation: usize) -> bool {
        self.relations[relation].read_columns > 0
    }

    /// The values of the rows of a key.
    pub(super) fn of_key(&self, key: KeyId) -> [&ExtraValues; 3] {
        [0, 1, 2].map(|relation: usize| self.relations[relation].values.get(key).unwrap_or(NO_EXTRA))
    }

    /// Exchanges the values of a row with others.
    pub(super) fn swap_values(&mut self, relation: usize, key: KeyId, values: &mut ExtraValues) {
        let slab = &mut self.relations[relation];
        let held = slab.values.get_or_grow(key);
        for (costs, value) in slab.columns.iter().zip(held.iter().flatten()) {
            costs.iter().for_each(|costs| costs.remove_value(value));
        }
        for (costs, value) in slab.columns.iter().zip(values.iter().flatten()) {
            costs.iter().for_each(|costs| costs.add_value(value));
        }
        std::mem::swap(held, values);
    }

    /// Sets some values of a row.
    pub(super) fn set_values(&mut self, relation: usize, key: KeyId, values: impl Iterator<Item = (usize, Datum)>) {
        let slab = &mut self.relations[relation];
        let held = slab.values.get_or_grow(key);
        let mut all = held.take().map_or_else(Vec::new, <[Datum]>::into_vec);
        for (index, value) in values {
            if all.len() <= index {
                all.resize(index + 1, Datum::Null);
            }
            if let Some(Some(costs)) = slab.columns.get(index) {
                costs.remove_value(&all[index]);
                costs.add_value(&value);
            }
            all[index] = value;
        }
        *held = Some(all.into());
    }

    /// Removes values of freed columns, of at most this many keys. Returns whether some are left.
    pub(super) fn walk_freed(&mut self, mut keys: KeyId) -> bool {
        while keys > 0 && !self.freed.is_empty() {
            keys -= self.free_values(0, keys);
        }
        !self.freed.is_empty()
    }

    /// Removes the values of a freed column, of at most this many keys. Returns how many there were.
    fn free_values(&mut self, freed_at: usize, most: KeyId) -> KeyId {
        let FreedColumn { relation, index, next } = self.freed[freed_at];
        let slab = &mut self.relations[relation];
        let end = slab.values.capacity();
        let to = end.min(next.saturating_add(most));
        let costs = slab.columns[index].clone();
        for key in next..to {
            let held = slab.values.get_or_grow(key);
            let Some(value) = held.as_mut().and_then(|values| values.get_mut(index)) else { continue };
            costs.iter().for_each(|costs| costs.remove_value(value));
            *value = Datum::Null;
            if held.iter().flatten().all(Datum::is_null) {
                *held = None;
            }
        }
        self.freed[freed_at].next = to;
        if to == end {
            slab.columns[index] = None;
            self.freed.remove(freed_at);
            if slab.columns.iter().all(Option::is_none) {
                *slab = RelationSlab::default();
            }
        }
        (to - next).max(1)
    }

    /// The size of the slabs, bytes, without what values hold on the heap.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.relations.iter().map(|slab| slab.values.allocated_bytes()).sum()
    }
}
