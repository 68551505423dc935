//! Hashing of values that senders choose, with a secret seed.
//!
//! With a fixed seed a sender could compute values that fall into one bucket of a table. So the seed is secret. It is
//! drawn once per process, or given by [`share_process_seed`] to all processes of a cluster.
//!
//! All workers, also those of other processes, share the seed, so that they agree to which worker a group belongs.
//! Nothing that is stored may depend on a hash. Hashes of two processes agree only if both run the same build on the
//! same kind of machine.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use crate::datum::Datum;

/// The seed of this process, once it is used or given.
static PROCESS_SEED: OnceLock<KeyedSeed> = OnceLock::new();

/// A seed. Equal seeds give equal hashes.
#[derive(Debug, Clone)]
pub struct KeyedSeed {
    own: u64,
    shared: SharedSeed,
}

impl KeyedSeed {
    /// The seed with this summand, and with factors made of the second number.
    #[must_use]
    pub fn new(summand: u64, factors: u64) -> KeyedSeed {
        KeyedSeed { own: summand, shared: SharedSeed::from_u64(factors) }
    }

    /// A hasher with this seed.
    #[must_use]
    #[inline]
    pub fn hasher(&self) -> FoldHasher<'_> {
        FoldHasher::with_seed(self.own, &self.shared)
    }
}

/// The seed of this process is in use already, so no other can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash seed of this process is in use already; share the seed of the cluster before anything is hashed")]
pub struct SeedInUse;

/// Gives this process the seed that all processes of its cluster have, so that they exchange equal keys to the same
/// worker. Call it before anything else of this crate or of `pinflow-dataflows` is used.
///
/// Keep the seed secret. Who knows it can compute keys that fall into one bucket of a table.
///
/// # Errors
/// [`SeedInUse`] if something was hashed already, or a seed was given before.
pub fn share_process_seed([summand, factors]: [u64; 2]) -> Result<(), SeedInUse> {
    PROCESS_SEED.set(KeyedSeed::new(summand, factors)).map_err(|_| SeedInUse)
}

/// The seed of this process: the one that was given, or one that the operating system drew.
#[inline]
pub fn process_seed() -> &'static KeyedSeed {
    PROCESS_SEED.get_or_init(|| {
        let secret = RandomState::new();
        KeyedSeed::new(secret.hash_one(0), secret.hash_one(1))
    })
}

/// Builds hashers of rows. Zero-sized.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowHashState;

impl BuildHasher for RowHashState {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        process_seed().hasher()
    }
}

/// The hash of a row: which worker a group belongs to.
#[must_use]
#[inline]
pub fn row_hash(row: &[Datum]) -> u64 {
    RowHashState.hash_one(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_cannot_be_shared_after_a_row_was_hashed() {
        let before = row_hash(&[Datum::text("text"), Datum::Long(7)]);
        assert_eq!(share_process_seed([1, 2]), Err(SeedInUse));
        assert_eq!(row_hash(&[Datum::text("text"), Datum::Long(7)]), before);
    }
}
