//! Key ids: each worker replaces an `ind` by a [`KeyId`], a dense number of its own.
//!
//! All rows of an `ind` are exchanged to the same worker ([`route_by_ind`]). The id takes four bytes where the `ind`
//! takes eight, and it is an index into a slab, so no stream needs a hash table of its own.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::hash::KeyedState;
use crate::record::Ind;
use crate::slab::ChunkedVec;
use crate::version::VersionedRow;

/// A worker's number for an `ind`: 0, 1, 2, … in the order of first arrival.
pub(crate) type KeyId = u32;

/// A change of arranged rows: ((key, row), epoch, change of multiplicity).
pub(crate) type KeyedUpdate<R> = ((KeyId, R), u64, i64);

/// The distinct `ind`s on a worker, each with its key id.
#[derive(Debug, Default)]
pub struct KeyInterner {
    ids: HashTable<KeyId>,
    inds: ChunkedVec<Ind>,
    /// A buffer for the lookups of one call, kept for reuse.
    found: Vec<Option<KeyId>>,
}

impl KeyInterner {
    /// Returns the key ids of `inds`, in their order. Unknown ones get new ids.
    ///
    /// All keys are looked up first: the lookups are independent, so their cache misses overlap.
    pub(crate) fn intern_all(
        &mut self,
        inds: impl Iterator<Item = Ind> + Clone,
    ) -> std::iter::Flatten<std::vec::Drain<'_, Option<KeyId>>> {
        let mut found = std::mem::take(&mut self.found);
        found.extend(inds.clone().map(|ind| self.find_id(ind)));
        for (ind, id) in inds.zip(&mut found) {
            *id = id.or_else(|| Some(self.insert_new(ind)));
        }
        self.found = found;
        self.found.drain(..).flatten()
    }

    /// The key id of an `ind`, if it has one.
    pub(crate) fn find_id(&self, ind: Ind) -> Option<KeyId> {
        self.ids.find(hash_ind(ind), |id| self.inds.get(*id) == Some(&ind)).copied()
    }

    /// The id of an `ind` that was not found before. It is looked up again, because a batch may contain it twice.
    fn insert_new(&mut self, ind: Ind) -> KeyId {
        if let Some(id) = self.find_id(ind) {
            return id;
        }
        let id = KeyId::try_from(self.ids.len()).expect("a worker holds fewer than 2^32 distinct inds");
        *self.inds.get_or_grow(id) = ind;
        self.ids.insert_unique(hash_ind(ind), id, |id| self.inds.get(*id).map_or(0, |ind| hash_ind(*ind)));
        id
    }

    /// The `ind` with this key id.
    pub(crate) fn ind(&self, id: KeyId) -> Option<Ind> {
        self.inds.get(id).copied()
    }

    /// The number of distinct `ind`s.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The size in memory, bytes.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.ids.allocation_size() + self.inds.allocated_bytes()
    }

    /// Whether there is no `ind`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

fn hash_ind(ind: Ind) -> u64 {
    KeyedState.hash_one(ind)
}

/// The hash by which an `ind` is exchanged to a worker. It uses bits that the worker's hash table does not use.
pub(crate) fn route_ind(ind: Ind) -> u64 {
    hash_ind(ind) >> 24
}

/// The hash by which a delivery is exchanged to the worker of its `ind`.
pub(crate) fn route_by_ind<R>(delivery: &VersionedRow<R>) -> u64 {
    route_ind(delivery.0)
}
