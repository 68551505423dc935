//! Chance that can be asked again: the same question always gets the same answer.
//!
//! Nothing here keeps a position in a long random sequence. What is asked about (an ind, a draw, a poster) and
//! what for make the dice, so any part of a recording can be made alone, on any thread and any machine.

/// What dice are rolled for; keeps questions about the same number apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Layout = 1,
    Category,
    Stray,
    Combination,
    Producer,
    Pin,
    Geo,
    Person,
    Place,
    Followers,
    PosterName,
    Order,
    MalformedPin,
    MalformedGeo,
    MalformedUser,
    Shape,
    Pause,
}

/// A short random sequence that belongs to one question (`SplitMix64`: Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Dice {
    pub(crate) fn new(seed: u64, purpose: Purpose, about: u64) -> Dice {
        let seed = mix(seed.wrapping_add((purpose as u64).wrapping_mul(GOLDEN)));
        Dice(mix(seed ^ about.wrapping_mul(GOLDEN)))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in 0…`limit`−1. `limit` is at least 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        share(self.bits(), limit)
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `these`, which are not empty.
    pub(crate) fn pick<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len() as u64) as usize]
    }
}

/// The part of 0…`limit`−1 at which `bits` stand among all 64-bit numbers.
fn share(bits: u64, limit: u64) -> u64 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

/// Where a share of `parts` in 2^32 stands in 0…`limit`−1. `limit` is below 2^32.
pub(crate) fn share_of_32_bits(parts: u64, limit: u64) -> u64 {
    ((parts & 0xffff_ffff) * limit) >> 32
}

/// A shuffle of 0…`len`−1 that needs no memory: a Feistel network over the next even power of two,
/// walked until it falls inside (Black and Rogaway, 2002).
#[derive(Debug, Clone)]
pub(crate) struct Permutation {
    len: u64,
    half: u32,
    keys: [u64; 4],
}

impl Permutation {
    pub(crate) fn new(len: u64, mut dice: Dice) -> Permutation {
        let bits = 64 - len.saturating_sub(1).leading_zeros();
        Permutation { len, half: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| dice.bits()) }
    }

    /// The number that stands at `at`, which is below `len`.
    pub(crate) fn at(&self, at: u64) -> u64 {
        let mut value = at;
        loop {
            value = self.round_trip(value);
            if value < self.len {
                return value;
            }
        }
    }

    fn round_trip(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half) - 1;
        let (mut left, mut right) = (value >> self.half, value & mask);
        for key in self.keys {
            let folded = (right ^ key).wrapping_mul(GOLDEN);
            (left, right) = (right, left ^ ((folded ^ (folded >> 29)).wrapping_mul(GOLDEN) >> 32 & mask));
        }
        (left << self.half) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_visits_every_number_once() {
        for len in [1, 2, 3, 7, 64, 65, 1000, 4097] {
            let shuffle = Permutation::new(len, Dice::new(3, Purpose::Order, len));
            let mut seen = vec![false; len as usize];
            for at in 0..len {
                let value = shuffle.at(at) as usize;
                assert!(!seen[value], "{value} stands twice among {len}");
                seen[value] = true;
            }
        }
    }

    #[test]
    fn a_permutation_mixes() {
        let shuffle = Permutation::new(10_000, Dice::new(3, Purpose::Order, 0));
        let fixed = (0..10_000).filter(|at| shuffle.at(*at) == *at).count();
        let neighbours = (0..9_999).filter(|at| shuffle.at(*at).abs_diff(shuffle.at(at + 1)) < 10).count();
        assert!(fixed < 10, "{fixed} numbers stay where they are");
        assert!(neighbours < 60, "{neighbours} neighbours stay together");
    }

    #[test]
    fn dice_are_fair_and_say_the_same_again() {
        let mut counts = [0_u32; 6];
        for about in 0..60_000 {
            counts[Dice::new(1, Purpose::Pin, about).below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        let roll = |purpose, about| Dice::new(1, purpose, about).bits();
        assert_eq!(roll(Purpose::Geo, 5), roll(Purpose::Geo, 5));
        assert_ne!(roll(Purpose::Geo, 5), roll(Purpose::Pin, 5));
        assert_ne!(roll(Purpose::Geo, 5), roll(Purpose::Geo, 6));
    }
}
