//! Keys that collided under the former hash function: those of the test in `dataflows/src/hash.rs`.

/// Number of bits of the bucket index that the keys share.
const SHARED_BUCKET_BITS: u32 = 21;
/// Secret summand and factor of the tables before they were drawn for each process.
const OLD_SUMMAND: u64 = 0x082e_fa98_ec4e_6c89 ^ 0x0069_6e64;
const OLD_FACTOR: u64 = 0xc0ac_29b7_c97c_50dd;

fn old_hash(key: u64) -> u64 {
    let product = u128::from(key ^ OLD_SUMMAND) * u128::from(OLD_FACTOR);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Keys with the same bucket and tag: each solves `y × factor = bucket` in the low bits of both halves.
pub(super) fn colliding_keys(count: usize) -> Vec<u64> {
    let width = 1_u64 << (64 - SHARED_BUCKET_BITS);
    let least = |step: u64| (1_u64..).find(|q| q.wrapping_mul(step) < width).unwrap();
    let (up, down) = (least(OLD_FACTOR), least(OLD_FACTOR.wrapping_neg()));
    let mut keys = Vec::new();
    for residue in 0_u64.. {
        let low = residue.wrapping_mul(OLD_FACTOR) & ((1 << SHARED_BUCKET_BITS) - 1);
        let start = ((u128::from(residue) * u128::from(OLD_FACTOR)) >> SHARED_BUCKET_BITS) as u64;
        let at = |z: u64| start.wrapping_add(z.wrapping_mul(OLD_FACTOR)).wrapping_sub(low << (64 - SHARED_BUCKET_BITS));
        let mut z = (0_u64..).find(|z| at(*z) < width).unwrap();
        while z < 1 << (63 - SHARED_BUCKET_BITS) {
            let key = (residue | z << SHARED_BUCKET_BITS) ^ OLD_SUMMAND;
            let hash = old_hash(key);
            if hash & ((1 << SHARED_BUCKET_BITS) - 1) == 0 && hash >> 57 == 0x2a && key >> 63 == 0 {
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

#[test]
fn colliding_keys_share_a_bucket_and_a_tag() {
    let mut keys = colliding_keys(500);
    assert!(keys.iter().all(|key| old_hash(*key) & 0x1f_ffff == 0 && old_hash(*key) >> 57 == 0x2a));
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 500);
}
