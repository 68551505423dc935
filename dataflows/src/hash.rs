//! Hashing of values that senders choose, with a secret seed drawn once per process or shared by a cluster.
//!
//! With a fixed seed a sender can compute thousands of keys that fall into one bucket of a table, and each lookup walks
//! all of them: 200,000 such keys took 77 s instead of 0.5 s. So the seed is secret: it comes from the operating
//! system, through the keys of the standard library's maps, or from the secret of the cluster.
//!
//! All workers share the seed, so that they agree to which worker a key is exchanged. If they are in several processes,
//! each process is given the same one with [`share_process_seed`]. It is also the seed of
//! [`row_hash`](pinflow_sql::hash::row_hash), by which groups of the general path are exchanged. Nothing that is stored
//! may depend on a hash.
//!
//! The hash function is that of `foldhash`: one multiplication per number, folded to 64 bits. Its `SharedSeed` makes the
//! factor secret as well as the summand, because the attack needs the factor.

use std::hash::BuildHasher;

use foldhash::fast::FoldHasher;
use pinflow_sql::hash::process_seed;

pub use pinflow_sql::hash::{SeedInUse, share_process_seed};

/// Builds hashers with the seed of this process. Zero-sized, so that small tables stay small.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyedState;

impl BuildHasher for KeyedState {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        process_seed().hasher()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_types, reason = "shows what the fixed seed does")]
mod tests {
    use std::hash::Hasher;

    use foldhash::fast::FixedState;
    use hashbrown::HashTable;
    use pinflow_sql::datum::Datum;
    use pinflow_sql::hash::{KeyedSeed, RowHashState};

    use super::*;

    /// The bits of the bucket index that the colliding keys share.
    const PLACE_BITS: u32 = 21;
    /// The fixed seed and factor of earlier versions.
    const OLD_SEED: u64 = 0x0069_6e64;
    const OLD_SUMMAND: u64 = 0x082e_fa98_ec4e_6c89 ^ OLD_SEED;
    const OLD_FACTOR: u64 = 0xc0ac_29b7_c97c_50dd;

    /// Keys with the same bucket and tag under the old seed: a sender could compute them in a moment.
    ///
    /// Such a key solves `y × factor = bucket` in the low bits of both halves. The solutions for one residue of `y` are
    /// found by walking the fractional part of `z × factor / 2^64`, which takes only three step lengths.
    fn colliding_keys(count: usize) -> Vec<u64> {
        let width = 1_u64 << (64 - PLACE_BITS);
        let least = |step: u64| (1_u64..).find(|q| q.wrapping_mul(step) < width).expect("some multiple is small");
        let (up, down) = (least(OLD_FACTOR), least(OLD_FACTOR.wrapping_neg()));
        let mut keys = Vec::new();
        for residue in 0_u64.. {
            let low = residue.wrapping_mul(OLD_FACTOR) & ((1 << PLACE_BITS) - 1);
            let start = ((u128::from(residue) * u128::from(OLD_FACTOR)) >> PLACE_BITS) as u64;
            let at = |z: u64| start.wrapping_add(z.wrapping_mul(OLD_FACTOR)).wrapping_sub(low << (64 - PLACE_BITS));
            let mut z = (0_u64..).find(|z| at(*z) < width).expect("some multiple hits");
            while z < 1 << (63 - PLACE_BITS) {
                let key = (residue | z << PLACE_BITS) ^ OLD_SUMMAND;
                let hash = FixedState::with_seed(OLD_SEED).hash_one(key);
                if hash & ((1 << PLACE_BITS) - 1) == 0 && hash >> 57 == 0x2a && key >> 63 == 0 {
                    keys.push(key);
                    if keys.len() == count {
                        return keys;
                    }
                }
                let steps = [up, down, up + down].into_iter().filter(|step| at(z + step) < width);
                z += steps.min().unwrap_or(1);
                while at(z) >= width {
                    z += 1;
                }
            }
        }
        unreachable!("there are residues enough")
    }

    /// The number of comparisons with other keys while all keys are looked up in a table of them.
    fn wasted_comparisons(keys: &[u64], hash: impl Fn(u64) -> u64) -> usize {
        let mut table = HashTable::new();
        for key in keys {
            table.insert_unique(hash(*key), *key, |key| hash(*key));
        }
        let mut comparisons = 0;
        for key in keys {
            let found = table.find(hash(*key), |other| {
                comparisons += 1;
                other == key
            });
            assert_eq!(found, Some(key));
        }
        comparisons - keys.len()
    }

    fn hash_with(seed: &KeyedSeed, key: u64) -> u64 {
        let mut hasher = seed.hasher();
        hasher.write_u64(key);
        hasher.finish()
    }

    #[test]
    fn colliding_keys_cost_no_more_than_random_keys_under_any_seed() {
        const KEYS: usize = 4_000;
        let colliding = colliding_keys(KEYS);
        let fixed = wasted_comparisons(&colliding, |key| FixedState::with_seed(OLD_SEED).hash_one(key));
        assert!(fixed > KEYS * KEYS / 4, "the keys collide under the old seed: {fixed}");
        // Families of keys that a sender may try without knowing the seed.
        let families: [Vec<u64>; 5] = [
            colliding,
            (0..KEYS as u64).collect(),
            (0..KEYS as u64).map(|n| n << 43).collect(),
            (0..KEYS as u64).map(|n| n << 21).collect(),
            (0..KEYS as u64).map(|n| n.wrapping_mul(OLD_FACTOR) >> 1).collect(),
        ];
        for seed in
            (1..=64_u64).map(|n| KeyedSeed::new(n.wrapping_mul(OLD_FACTOR), n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        {
            for (number, keys) in families.iter().enumerate() {
                let wasted = wasted_comparisons(keys, |key| hash_with(&seed, key));
                // Random keys cost about 40 comparisons: a tag has 7 bits, and few buckets are shared.
                assert!(wasted < KEYS / 2, "family {number}: {wasted} wasted comparisons under {seed:?}");
            }
        }
        let wasted = wasted_comparisons(&families[0], |key| KeyedState.hash_one(key));
        assert!(wasted < KEYS / 2, "{wasted} wasted comparisons under the seed of this process");
    }

    #[test]
    fn all_hashers_of_a_process_share_one_seed() {
        let here = KeyedState.hash_one("text");
        let there = KeyedState.hash_one(String::from("text"));
        assert_eq!(here, there);
        assert_ne!(hash_with(&KeyedSeed::new(1, 1), 7), hash_with(&KeyedSeed::new(1, 2), 7));
    }
    #[test]
    fn rows_and_keys_are_hashed_with_one_seed() {
        assert_eq!(KeyedState.hash_one("text"), RowHashState.hash_one("text"));
        let row = [Datum::text("text"), Datum::Long(7)];
        assert_eq!(pinflow_sql::hash::row_hash(&row), KeyedState.hash_one(&row[..]));
    }
}
