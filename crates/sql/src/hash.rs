//! Hashing of rows, whose values senders choose, with a secret seed drawn once per process.
//!
//! With a fixed seed a sender could compute values that fall into one bucket of a table. All workers of a process share
//! the seed, so that they agree to which worker a group belongs. Nothing that is stored or sent to another process may
//! depend on a hash.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use crate::datum::Datum;

static ROW_SEED: LazyLock<(u64, SharedSeed)> = LazyLock::new(|| {
    let secret = RandomState::new();
    (secret.hash_one(0), SharedSeed::from_u64(secret.hash_one(1)))
});

/// Builds hashers of rows. Zero-sized.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowHashState;

impl BuildHasher for RowHashState {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        let (own, shared) = &*ROW_SEED;
        FoldHasher::with_seed(*own, shared)
    }
}

/// The hash of a row: which worker of this process a group belongs to.
#[must_use]
#[inline]
pub fn row_hash(row: &[Datum]) -> u64 {
    RowHashState.hash_one(row)
}
