//! Random plans over random histories: after each epoch the answer is that of the naive evaluator.

mod estimates;
mod expressions;
mod histories;
mod operators;
mod plans;
mod questions;
mod random_texts;
mod runs;
mod texts;

/// Random choices from a seed.
pub(super) struct RandomDraws {
    state: u64,
}

impl RandomDraws {
    pub(super) fn new(seed: u64) -> RandomDraws {
        RandomDraws { state: seed }
    }

    /// The next 64 random bits (splitmix64).
    pub(super) fn next_bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next_bits() % bound as u64) as usize
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// How many random cases a test runs: `PINFLOW_SQL_CASES`, or 256.
pub(super) fn case_count() -> u64 {
    std::env::var("PINFLOW_SQL_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(256)
}
