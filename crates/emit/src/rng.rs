//! Random numbers that are keyed instead of sequential: the same key always gives the same numbers.
//!
//! A [`SeededRng`] is made for one question: a seed, what the numbers are for ([`RngPurpose`]) and a number such as an
//! `ind`, a draw or a poster. Nothing is remembered between questions. So any part of a recording can be generated
//! alone, on any thread and any machine.

/// What random numbers are for. Keeps questions about the same number independent. The discriminants are part of the
/// key: do not reorder them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RngPurpose {
    PosterPattern = 1,
    Category,
    Stray,
    PinVariant,
    ProducerStyle,
    Pin,
    Geo,
    UserProfile,
    PosterLocation,
    FollowerLabel,
    PosterName,
    DrawOrder,
    MalformedPin,
    MalformedGeo,
    MalformedUser,
    MessageShape,
    Pause,
}

/// The random sequence of one question (`SplitMix64`: Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct SeededRng(u64);

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix_bits(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl SeededRng {
    pub(crate) fn new(seed: u64, purpose: RngPurpose, about: u64) -> SeededRng {
        let seed = mix_bits(seed.wrapping_add((purpose as u64).wrapping_mul(GOLDEN_GAMMA)));
        SeededRng(mix_bits(seed ^ about.wrapping_mul(GOLDEN_GAMMA)))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        mix_bits(self.0)
    }

    /// A number in 0…`limit`−1. `limit` must be at least 1.
    pub(crate) fn next_below(&mut self, limit: u64) -> u64 {
        scale_to(self.next_u64(), limit)
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.next_below(n) == 0
    }

    /// One of `these`, which must not be empty.
    pub(crate) fn pick_one<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.next_below(these.len() as u64) as usize]
    }
}

/// Scales 64 random bits to 0…`limit`−1.
fn scale_to(bits: u64, limit: u64) -> u64 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

/// Scales the low 32 bits of `parts` to 0…`limit`−1. `limit` must be below 2^32.
pub(crate) fn scale_32_bits_to(parts: u64, limit: u64) -> u64 {
    ((parts & 0xffff_ffff) * limit) >> 32
}

/// A permutation of 0…`len`−1 that needs no memory: a Feistel network over the next even power of two. Values outside
/// the range are permuted again until they are inside (cycle walking: Black and Rogaway, 2002).
#[derive(Debug, Clone)]
pub(crate) struct FeistelPermutation {
    len: u64,
    half: u32,
    keys: [u64; 4],
}

impl FeistelPermutation {
    pub(crate) fn new(len: u64, mut rng: SeededRng) -> FeistelPermutation {
        let bits = 64 - len.saturating_sub(1).leading_zeros();
        FeistelPermutation { len, half: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| rng.next_u64()) }
    }

    /// The number at index `at`, which must be below `len`.
    pub(crate) fn value_at(&self, at: u64) -> u64 {
        let mut value = at;
        loop {
            value = self.apply_rounds(value);
            if value < self.len {
                return value;
            }
        }
    }

    fn apply_rounds(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half) - 1;
        let (mut left, mut right) = (value >> self.half, value & mask);
        for key in self.keys {
            let folded = (right ^ key).wrapping_mul(GOLDEN_GAMMA);
            (left, right) = (right, left ^ ((folded ^ (folded >> 29)).wrapping_mul(GOLDEN_GAMMA) >> 32 & mask));
        }
        (left << self.half) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutation_visits_every_number_once() {
        for len in [1, 2, 3, 7, 64, 65, 1000, 4097] {
            let shuffle = FeistelPermutation::new(len, SeededRng::new(3, RngPurpose::DrawOrder, len));
            let mut seen = vec![false; len as usize];
            for at in 0..len {
                let value = shuffle.value_at(at) as usize;
                assert!(!seen[value], "{value} is there twice among {len}");
                seen[value] = true;
            }
        }
    }

    #[test]
    fn permutation_moves_numbers_and_separates_neighbours() {
        let shuffle = FeistelPermutation::new(10_000, SeededRng::new(3, RngPurpose::DrawOrder, 0));
        let fixed = (0..10_000).filter(|at| shuffle.value_at(*at) == *at).count();
        let neighbours = (0..9_999).filter(|at| shuffle.value_at(*at).abs_diff(shuffle.value_at(at + 1)) < 10).count();
        assert!(fixed < 10, "{fixed} numbers stay where they are");
        assert!(neighbours < 60, "{neighbours} neighbours stay together");
    }

    #[test]
    fn rng_is_uniform_and_repeats_for_the_same_key() {
        let mut counts = [0_u32; 6];
        for about in 0..60_000 {
            counts[SeededRng::new(1, RngPurpose::Pin, about).next_below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        let roll = |purpose, about| SeededRng::new(1, purpose, about).next_u64();
        assert_eq!(roll(RngPurpose::Geo, 5), roll(RngPurpose::Geo, 5));
        assert_ne!(roll(RngPurpose::Geo, 5), roll(RngPurpose::Pin, 5));
        assert_ne!(roll(RngPurpose::Geo, 5), roll(RngPurpose::Geo, 6));
    }
}
