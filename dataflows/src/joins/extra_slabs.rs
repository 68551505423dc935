//! The values of extra columns, by key: those that questions read besides the projected rows.
//!
//! Columns come and go with the questions that read them. A column that is freed keeps its values for a while: a walk
//! removes those of some keys in each epoch, so that no epoch takes long. Its index can be used again at once. Until the
//! walk comes by, a key may then have a value of the column before at that index: it is removed when the key is written,
//! and not read before that, because a column is read after a value of it was written for every row.

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
    /// By index of the column. `None` if no question reads it.
    columns: Vec<Option<Rc<ColumnCosts>>>,
    /// The number of columns that questions read.
    read_columns: usize,
    /// How many columns were freed so far.
    frees: u32,
    /// Of keys that were written while values of freed columns were left: `frees` at that time. They have no values of the
    /// columns that were freed until then.
    written_at: ChunkedVec<u32>,
}

impl RelationSlab {
    fn charge(&self, values: &ExtraValues) {
        for (costs, value) in self.columns.iter().zip(values.iter().flatten()) {
            costs.iter().for_each(|costs| costs.add_value(value));
        }
    }

    /// Removes a key's value of a freed column, if it has not been written since.
    fn remove_value(&mut self, freed: &FreedColumn, key: KeyId) {
        if self.written_at.get(key).is_some_and(|frees| *frees >= freed.number) {
            return;
        }
        let values = self.values.get_or_grow(key);
        let Some(value) = values.as_mut().and_then(|values| values.get_mut(freed.index)) else { return };
        freed.costs.remove_value(value);
        *value = Datum::Null;
        if values.iter().flatten().all(Datum::is_null) {
            *values = None;
        }
    }
}

/// A column that no question reads any more, and whose values are removed from `next` on.
#[derive(Debug, Clone)]
struct FreedColumn {
    relation: usize,
    index: usize,
    costs: Rc<ColumnCosts>,
    /// Which of the relation's freed columns it is, from 1.
    number: u32,
    next: KeyId,
}

impl ExtraSlabs {
    /// Adds a column. The index of one that was freed can be used again.
    pub(crate) fn add_column(&mut self, relation: usize, index: usize, costs: Rc<ColumnCosts>) {
        let slab = &mut self.relations[relation];
        if slab.columns.len() <= index {
            slab.columns.resize(index + 1, None);
        }
        slab.columns[index] = Some(costs);
        slab.read_columns += 1;
    }

    /// Frees a column: no question reads it any more. Its values are removed by [`walk_freed`](ExtraSlabs::walk_freed).
    pub(crate) fn free_column(&mut self, relation: usize, index: usize) {
        let slab = &mut self.relations[relation];
        slab.read_columns -= 1;
        let Some(costs) = slab.columns.get_mut(index).and_then(Option::take) else { return };
        slab.frees += 1;
        self.freed.push(FreedColumn { relation, index, costs, number: slab.frees, next: 0 });
    }

    /// Whether questions read extra columns of a relation.
    pub(super) fn has_columns(&self, relation: usize) -> bool {
        self.relations[relation].read_columns > 0
    }

    /// The values of the rows of a key.
    pub(super) fn of_key(&self, key: KeyId) -> [&ExtraValues; 3] {
        [0, 1, 2].map(|relation: usize| self.relations[relation].values.get(key).unwrap_or(NO_EXTRA))
    }

    /// Exchanges the values of a row with others. Those of columns that nobody reads any more are removed.
    pub(super) fn swap_values(&mut self, relation: usize, key: KeyId, values: &mut ExtraValues) {
        self.prepare_write(relation, key);
        let slab = &mut self.relations[relation];
        for (index, value) in values.iter_mut().flatten().enumerate() {
            if slab.columns.get(index).is_none_or(Option::is_none) {
                *value = Datum::Null;
            }
        }
        slab.charge(values);
        let held = slab.values.get_or_grow(key);
        for (costs, value) in slab.columns.iter().zip(held.iter().flatten()) {
            costs.iter().for_each(|costs| costs.remove_value(value));
        }
        std::mem::swap(held, values);
    }

    /// Sets some values of a row.
    pub(super) fn set_values(&mut self, relation: usize, key: KeyId, values: impl Iterator<Item = (usize, Datum)>) {
        self.prepare_write(relation, key);
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

    /// Removes the values of freed columns that a key still has, before it gets others.
    fn prepare_write(&mut self, relation: usize, key: KeyId) {
        let slab = &mut self.relations[relation];
        let mut is_walked = false;
        for freed in self.freed.iter().filter(|freed| freed.relation == relation) {
            is_walked = true;
            if freed.next <= key {
                slab.remove_value(freed, key);
            }
        }
        if is_walked {
            *slab.written_at.get_or_grow(key) = slab.frees;
        }
    }

    /// Removes values of freed columns, of at most this many keys. Returns whether some are left.
    pub(super) fn walk_freed(&mut self, mut keys: KeyId) -> bool {
        while keys > 0 && !self.freed.is_empty() {
            keys -= self.free_values(keys);
        }
        !self.freed.is_empty()
    }

    /// Removes the values of the first freed column, of at most this many keys. Returns how many there were: at least one.
    fn free_values(&mut self, most: KeyId) -> KeyId {
        let freed = &mut self.freed[0];
        let slab = &mut self.relations[freed.relation];
        let end = slab.values.capacity();
        let from = freed.next;
        freed.next = end.min(from.saturating_add(most));
        (from..freed.next).for_each(|key| slab.remove_value(freed, key));
        let walked = freed.next.saturating_sub(from).max(1);
        if freed.next == end {
            self.end_walk();
        }
        walked
    }

    /// The first freed column has no values any more.
    fn end_walk(&mut self) {
        let relation = self.freed.remove(0).relation;
        let is_free = self.freed.iter().all(|freed| freed.relation != relation);
        let slab = &mut self.relations[relation];
        if is_free && slab.columns.iter().all(Option::is_none) {
            *slab = RelationSlab::default();
        }
    }

    /// The size of the slabs, bytes, without what values hold on the heap.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.relations.iter().map(|slab| slab.values.allocated_bytes() + slab.written_at.allocated_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: KeyId = 10_000;

    fn text(number: u32) -> Datum {
        Datum::text(&format!("a text that is not stored inline: {number}"))
    }

    fn column() -> Rc<ColumnCosts> {
        Rc::default()
    }

    #[test]
    fn index_is_used_again_while_its_old_values_are_removed_step_by_step() {
        const STEP: KeyId = 100;
        let mut slabs = ExtraSlabs::default();
        let (old, new) = (column(), column());
        slabs.add_column(0, 0, Rc::clone(&old));
        (0..KEYS).for_each(|key| slabs.set_values(0, key, [(0, text(key))].into_iter()));
        assert_eq!(old.texts(), KEYS as usize);
        slabs.free_column(0, 0);
        slabs.add_column(0, 0, Rc::clone(&new));
        assert_eq!((old.texts(), new.texts()), (KEYS as usize, 0), "adding a column removes nothing");
        // The new column is filled in between.
        let mut filled = 0;
        let mut steps = 0;
        while slabs.walk_freed(STEP) {
            steps += 1;
            let before = old.texts();
            (filled..KEYS.min(filled + 10)).for_each(|key| slabs.set_values(0, key, [(0, text(key + 1))].into_iter()));
            filled = KEYS.min(filled + 10);
            assert!(before - old.texts() <= 10, "a write removes the values of its key only");
            assert!(
                old.texts() >= KEYS.saturating_sub((steps + 1) * STEP) as usize,
                "a step removes those of {STEP} keys"
            );
        }
        assert!(steps >= KEYS / STEP - 1, "{steps} steps");
        (filled..KEYS).for_each(|key| slabs.set_values(0, key, [(0, text(key + 1))].into_iter()));
        assert_eq!((old.texts(), old.bytes(), new.texts()), (0, 0, KEYS as usize));
        assert_eq!(slabs.of_key(7)[0].as_deref(), Some(&[text(8)][..]));
    }

    #[derive(Debug, Clone)]
    enum SlabStep {
        Toggle(usize),
        Swap(KeyId, Vec<Option<u32>>),
        Fill(KeyId, u32),
        Walk(KeyId),
    }

    fn any_step() -> impl Strategy<Value = SlabStep> {
        let key = 0..40_u32;
        prop_oneof![
            2 => (0..3_usize).prop_map(SlabStep::Toggle),
            4 => (key.clone(), prop::collection::vec(prop::option::of(0..9_u32), 3)).prop_map(|(key, values)| SlabStep::Swap(key, values)),
            4 => (key, 0..9_u32).prop_map(|(key, value)| SlabStep::Fill(key, value)),
            1 => (1..4_000_u32).prop_map(SlabStep::Walk),
        ]
    }

    proptest! {
        /// Columns come and go at three indexes. Each is charged for what is held of it, and nothing of it is left.
        #[test]
        fn costs_are_those_of_the_values_that_are_held(steps in prop::collection::vec(any_step(), 0..120)) {
            let mut slabs = ExtraSlabs::default();
            let mut live: [Option<Rc<ColumnCosts>>; 3] = Default::default();
            let mut all = Vec::new();
            // What was written of each column that is read.
            let mut written = vec![[None::<u32>; 3]; 40];
            for step in steps {
                match step {
                    SlabStep::Toggle(index) => match live[index].take() {
                        Some(_) => slabs.free_column(1, index),
                        None => {
                            let costs = column();
                            all.push(Rc::clone(&costs));
                            slabs.add_column(1, index, Rc::clone(&costs));
                            live[index] = Some(costs);
                            written.iter_mut().for_each(|values| values[index] = None);
                        }
                    },
                    SlabStep::Swap(..) | SlabStep::Fill(..) if !slabs.has_columns(1) => {}
                    SlabStep::Swap(key, values) => {
                        let datums = values.iter().map(|value| value.map_or(Datum::Null, text));
                        slabs.swap_values(1, key, &mut Some(datums.collect()));
                        written[key as usize] = [values[0], values[1], values[2]];
                    }
                    SlabStep::Fill(key, value) => {
                        let read = (0..3).filter(|index| live[*index].is_some()).collect::<Vec<_>>();
                        slabs.set_values(1, key, read.iter().map(|index| (*index, text(value))));
                        read.iter().for_each(|index| written[key as usize][*index] = Some(value));
                    }
                    SlabStep::Walk(keys) => drop(slabs.walk_freed(keys)),
                }
                for (index, costs) in live.iter().enumerate().filter_map(|(index, costs)| Some((index, costs.as_ref()?))) {
                    let expected = written.iter().filter(|values| values[index].is_some()).count();
                    prop_assert_eq!(costs.texts(), expected);
                }
            }
            (0..3).for_each(|index| if live[index].take().is_some() { slabs.free_column(1, index) });
            while slabs.walk_freed(1_000) {}
            prop_assert!(all.iter().all(|costs| costs.texts() == 0 && costs.bytes() == 0));
            prop_assert_eq!(slabs.allocated_bytes(), 0);
        }
    }
}
