//! Groups with their accumulators.

use std::sync::Arc;

use hashbrown::HashTable;

use super::aggregates::AggregateSet;
use super::cells::GroupCells;
use super::partial_groups::PartialGroup;
use super::row_block::{GroupRows, RowBlock};
use super::{RowUpdate, StateError, StateUsage};
use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::hash::row_hash;
use crate::plan::AggregateCall;

/// How rows are grouped and aggregated.
///
/// Rows are first *projected*: to the keys, and to what the aggregates read. Only projected rows are sent and updated.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSpec {
    /// The expressions of a projected row: the keys come first.
    inputs: Vec<ScalarExpr>,
    keys: usize,
    pub(super) set: AggregateSet,
}

impl GroupSpec {
    /// The spec of an aggregation with these keys and calls.
    #[must_use]
    pub fn new(keys: &[ScalarExpr], calls: &[AggregateCall]) -> GroupSpec {
        let mut inputs = keys.to_vec();
        let set = AggregateSet::new(calls, &mut inputs);
        GroupSpec { inputs, keys: keys.len(), set }
    }

    /// The expressions of a projected row.
    #[must_use]
    pub fn inputs(&self) -> &[ScalarExpr] {
        &self.inputs
    }

    /// How many of a projected row's values are the key.
    #[must_use]
    pub fn key_len(&self) -> usize {
        self.keys
    }

    /// The key of a projected row. All rows of one key must go to one table: send them by [`row_hash`] of it.
    #[must_use]
    pub fn key_of<'a>(&self, row: &'a [Datum]) -> &'a [Datum] {
        &row[..self.keys]
    }

    /// Whether all aggregates are counts and sums, so that [`PartialGroups`](super::PartialGroups) can add up the
    /// updates of an epoch before they are sent.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        self.set.is_linear()
    }

    /// How many accumulators a group has. Aggregates that need the same one share it.
    #[must_use]
    pub fn cell_count(&self) -> usize {
        self.set.cells.len()
    }

    /// Whether there is exactly one group, also over no rows. Its table is the one to which [`row_hash`] of an empty
    /// key sends rows, and only this one calls [`GroupTable::initial_rows`], once.
    #[must_use]
    pub fn has_single_group(&self) -> bool {
        self.keys == 0
    }
}

/// The groups of one aggregation: all of them, or those that are kept by one worker.
///
/// Updates are applied one by one. [`GroupTable::finish_epoch`] then gives the changes of the result rows: the keys,
/// then the aggregates. A group has a result row as long as it has rows; without keys there is always one.
///
/// A table that [is filled](GroupTable::hold_rows) takes updates without emitting changes. Its result rows are then emitted by
/// [`GroupTable::emit_rows`], some groups at a time.
///
/// An update costs a hash look-up and what its accumulators cost: a few additions for counts and sums, a logarithm of
/// the number of distinct values for the others. An epoch costs the results of the groups that were touched, which
/// `string_agg` makes anew. A group takes about 100 bytes, 24 for each value of its key, and 32 for each accumulator.
#[derive(Debug)]
pub struct GroupTable {
    spec: Arc<GroupSpec>,
    /// The groups by slot. `None` is a free slot.
    groups: Vec<Option<HeldGroup>>,
    free: Vec<u32>,
    /// The slots of groups, by the hash of their keys.
    slots: HashTable<HashedSlot>,
    /// The groups that were updated in this epoch.
    touched: Vec<TouchedGroup>,
    /// The groups, and what they own.
    held: StateUsage,
    /// The result rows of the groups in slots from `emitted_below` to before `emitted_from` are held back.
    emitted_below: u32,
    emitted_from: u32,
}

/// A slot with a part of its key's hash. When the table grows, it moves all slots in one epoch: hashing a million keys again
/// would take a tenth of a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct HashedSlot {
    hash: u32,
    slot: u32,
}

impl HashedSlot {
    /// The part of a hash that is kept. The lowest bits say on which worker a group is, so they are of no use there.
    fn key_hash(row_hash: u64) -> u32 {
        (row_hash >> 32) as u32
    }

    /// The hash for the table, which reads the highest and the lowest bits.
    fn table_hash(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// All groups: there is no slot with this number.
const ALL_SLOTS: u32 = u32::MAX;

/// The most touched groups for which the allocation is kept from epoch to epoch.
const KEPT_TOUCHED: usize = 1024;

#[derive(Debug)]
pub(super) struct HeldGroup {
    key: Row,
    cells: GroupCells,
    touched: bool,
}

#[derive(Debug)]
struct TouchedGroup {
    slot: u32,
    /// The result row before the epoch.
    before: Option<Row>,
    /// What the group owned before the epoch.
    held: StateUsage,
}

impl HeldGroup {
    /// The group, and what it owns.
    fn usage(&self) -> StateUsage {
        let mut usage = StateUsage::of_row(&self.key).as_group();
        usage.add(self.cells.usage());
        usage
    }

    fn result_row(&self, spec: &GroupSpec, faults: &FaultCounter) -> Option<Row> {
        let exists = spec.keys == 0 || self.cells.rows() > 0;
        exists.then(|| {
            let mut row = Vec::with_capacity(spec.keys + spec.set.readers.len());
            row.extend(self.key.iter().cloned());
            row.extend(self.cells.results(&spec.set, faults));
            row.into_boxed_slice()
        })
    }
}

impl GroupTable {
    /// A table without rows.
    #[must_use]
    pub fn new(spec: Arc<GroupSpec>) -> GroupTable {
        GroupTable {
            spec,
            groups: Vec::new(),
            free: Vec::new(),
            slots: HashTable::new(),
            touched: Vec::new(),
            held: StateUsage::default(),
            emitted_below: ALL_SLOTS,
            emitted_from: ALL_SLOTS,
        }
    }

    /// Emits no result rows until [`GroupTable::emit_rows`] does. To be called before any update.
    pub fn hold_rows(&mut self) {
        self.emitted_below = 0;
    }

    /// Whether result rows are held back.
    #[must_use]
    pub fn holds_rows(&self) -> bool {
        self.emitted_below != ALL_SLOTS
    }

    /// Emits the result rows of the next groups, `budget` at most, which is reduced by their number. From then on
    /// their changes are emitted, too, and those of groups in new slots. So it ends, however many groups come. To be called
    /// after [`GroupTable::finish_epoch`], until no rows are held back.
    pub fn emit_rows(&mut self, budget: &mut usize, faults: &FaultCounter, emit: &mut dyn FnMut(Row, i64)) {
        if !self.holds_rows() {
            return;
        }
        self.emitted_from = self.emitted_from.min(self.groups.len() as u32);
        let last = self.held_slots();
        let start = (self.emitted_below as usize).min(last);
        let end = last.min(start.saturating_add(*budget));
        for group in self.groups[start..end].iter().flatten() {
            group.result_row(&self.spec, faults).into_iter().for_each(|row| emit(row, 1));
        }
        *budget -= end - start;
        self.emitted_below = if end == last { ALL_SLOTS } else { end as u32 };
    }

    /// The slot before which those end whose rows were or are held back.
    fn held_slots(&self) -> usize {
        self.groups.len().min(self.emitted_from as usize)
    }

    fn is_emitted(&self, slot: u32) -> bool {
        slot < self.emitted_below || slot >= self.emitted_from
    }

    /// How many groups have been emitted, of how many there are: places of groups that are gone count, too.
    #[must_use]
    pub fn emitted_groups(&self) -> (usize, usize) {
        let groups = self.held_slots();
        (groups.min(self.emitted_below as usize), groups)
    }

    /// How rows are grouped.
    #[must_use]
    pub fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    pub(super) fn shared_spec(&self) -> &Arc<GroupSpec> {
        &self.spec
    }

    /// The result rows over no rows: one without keys, else none, and none if rows are held back. To be called once, before
    /// any update, and only by the owner of the single group: see [`GroupSpec::has_single_group`].
    pub fn initial_rows(&mut self, faults: &FaultCounter) -> Vec<RowUpdate> {
        if !self.spec.has_single_group() {
            return Vec::new();
        }
        let slot = self.find_or_insert(row_hash(&[]), &[]);
        let group = self.groups[slot as usize].as_ref().filter(|_| self.is_emitted(slot));
        group.and_then(|group| group.result_row(&self.spec, faults)).map(|row| (row, 1)).into_iter().collect()
    }

    /// Adds a projected row `diff` times.
    pub fn update(&mut self, row: &[Datum], diff: i64) {
        self.update_hashed(row_hash(self.spec.key_of(row)), row, diff);
    }

    /// Adds rows that were collected.
    pub fn update_rows(&mut self, rows: &GroupRows) {
        match rows {
            GroupRows::One { hash, row, diff } => self.update_hashed(*hash, row, *diff),
            GroupRows::Block(block) => self.update_block(block),
        }
    }

    fn update_hashed(&mut self, hash: u64, row: &[Datum], diff: i64) {
        let spec = Arc::clone(&self.spec);
        let slot = self.find_or_insert(hash, spec.key_of(row));
        if let Some(group) = self.touch_group(slot) {
            group.cells.update(&spec.set, row, diff);
        }
    }

    /// Adds all rows of a block. Those of one group that stand next to each other cost one look-up.
    fn update_block(&mut self, block: &RowBlock) {
        let spec = Arc::clone(&self.spec);
        let mut rows = block.rows().peekable();
        while let Some((hash, row, diff)) = rows.next() {
            let key = spec.key_of(row);
            let slot = self.find_or_insert(hash, key);
            let Some(group) = self.touch_group(slot) else { continue };
            group.cells.update(&spec.set, row, diff);
            while let Some((_, row, diff)) = rows.next_if(|(other, row, _)| *other == hash && spec.key_of(row) == key) {
                group.cells.update(&spec.set, row, diff);
            }
        }
    }

    /// Adds what another worker has added up.
    pub fn merge(&mut self, partial: &PartialGroup) {
        let slot = self.find_or_insert(row_hash(&partial.key), &partial.key);
        if let Some(group) = self.touch_group(slot) {
            group.cells.merge(partial.rows, &partial.cells);
        }
    }

    /// Ends an epoch: gives the changes of the result rows to `emit`.
    ///
    /// # Errors
    /// If more was removed than was there. The table must then not be used any more.
    pub fn finish_epoch(&mut self, faults: &FaultCounter, emit: &mut dyn FnMut(Row, i64)) -> Result<(), StateError> {
        let mut touched = std::mem::take(&mut self.touched);
        for touch in touched.drain(..) {
            self.finish_group(touch, faults, emit)?;
        }
        // Keeps the allocation for the next epoch, if it is not one of the first.
        if touched.capacity() <= KEPT_TOUCHED {
            self.touched = touched;
        }
        if self.slots.is_empty() {
            (self.groups, self.free, self.slots) = (Vec::new(), Vec::new(), HashTable::new());
        }
        Ok(())
    }

    /// The size of the state. Groups count, not what they hold.
    #[must_use]
    pub fn usage(&self) -> StateUsage {
        let mut usage = self.held;
        usage.bytes += self.groups.capacity() * size_of::<Option<HeldGroup>>();
        usage.bytes += self.free.capacity() * size_of::<u32>() + self.slots.allocation_size();
        usage
    }

    fn finish_group(
        &mut self,
        touch: TouchedGroup,
        faults: &FaultCounter,
        emit: &mut dyn FnMut(Row, i64),
    ) -> Result<(), StateError> {
        let is_emitted = self.is_emitted(touch.slot);
        let Some(group) = self.groups[touch.slot as usize].as_mut() else { return Ok(()) };
        group.touched = false;
        if group.cells.settle(&self.spec.set) {
            return Err(StateError::NegativeCount { operator: "a group" });
        }
        let after = if is_emitted { group.result_row(&self.spec, faults) } else { None };
        self.held.subtract(touch.held);
        if group.cells.rows() == 0 && self.spec.keys > 0 {
            self.remove_group(touch.slot);
        } else {
            self.held.add(group.usage());
        }
        if touch.before != after {
            touch.before.into_iter().for_each(|row| emit(row, -1));
            after.into_iter().for_each(|row| emit(row, 1));
        }
        Ok(())
    }

    /// The group of a slot. Its result is noted at the first update of an epoch.
    fn touch_group(&mut self, slot: u32) -> Option<&mut HeldGroup> {
        let is_emitted = self.is_emitted(slot);
        let group = self.groups[slot as usize].as_mut()?;
        if !group.touched {
            group.touched = true;
            let exists = group.cells.rows() != 0 || self.spec.keys == 0;
            let held = if exists { group.usage() } else { StateUsage::default() };
            // What does not fit was counted when the row was made.
            let shown = exists && is_emitted;
            let before = if shown { group.result_row(&self.spec, &FaultCounter::default()) } else { None };
            self.touched.push(TouchedGroup { slot, before, held });
        }
        Some(group)
    }

    /// The slot of the group of a key, with the key's hash. The group is made if it is not there.
    fn find_or_insert(&mut self, row_hash: u64, key: &[Datum]) -> u32 {
        let hash = HashedSlot::key_hash(row_hash);
        let has_key = |other: &HashedSlot| {
            let group = || self.groups[other.slot as usize].as_ref();
            other.hash == hash && group().is_some_and(|group| *group.key == *key)
        };
        if let Some(found) = self.slots.find(HashedSlot::table_hash(hash), has_key) {
            return found.slot;
        }
        let group = HeldGroup { key: key.into(), cells: GroupCells::new(&self.spec.set), touched: false };
        if self.spec.keys == 0 {
            self.held.add(group.usage());
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.groups.len() == self.groups.capacity() {
                // Doubling would leave up to half of a large table unused.
                self.groups.reserve_exact((self.groups.len() / 8).max(4));
            }
            self.groups.push(None);
            (self.groups.len() - 1) as u32
        });
        self.groups[slot as usize] = Some(group);
        let rehash = |other: &HashedSlot| HashedSlot::table_hash(other.hash);
        self.slots.insert_unique(HashedSlot::table_hash(hash), HashedSlot { hash, slot }, rehash);
        slot
    }

    fn remove_group(&mut self, slot: u32) {
        let Some(group) = self.groups[slot as usize].take() else { return };
        let hash = HashedSlot::table_hash(HashedSlot::key_hash(row_hash(&group.key)));
        if let Ok(entry) = self.slots.find_entry(hash, |other| other.slot == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }
}
