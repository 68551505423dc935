//! Which row (`ind`) each draw takes. One draw takes the same row of all three tables, as in the posting emulator.

use crate::rng::{FeistelPermutation, RngPurpose, SeededRng};

/// The order in which rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawOrder {
    /// Every row once in ascending order, then again from the beginning
    Once,
    /// Every row once in random order, then again in another order
    Shuffled,
    /// Any row at any draw, with replacement, as the posting emulator draws: rows repeat early
    Emulator,
}

/// Maps draws to rows. A pure function of the number of the draw.
#[derive(Debug)]
pub(crate) struct RowSelector {
    order: DrawOrder,
    seed: u64,
    inds: u64,
    /// The permutation of the first pass. Later passes are rare, and are computed on demand.
    shuffle: FeistelPermutation,
}

impl RowSelector {
    /// Draws from tables of `inds` rows. There must be at least one.
    pub(crate) fn new(order: DrawOrder, seed: u64, inds: u64) -> RowSelector {
        RowSelector { order, seed, inds, shuffle: RowSelector::permutation_of_pass(seed, inds, 0) }
    }

    fn permutation_of_pass(seed: u64, inds: u64, pass: u64) -> FeistelPermutation {
        FeistelPermutation::new(inds, SeededRng::new(seed, RngPurpose::DrawOrder, pass))
    }

    /// The `ind` that a draw takes.
    pub(crate) fn ind_of_draw(&self, draw: u64) -> u64 {
        let (pass, at) = (draw / self.inds, draw % self.inds);
        match (self.order, pass) {
            (DrawOrder::Once, _) => at,
            (DrawOrder::Shuffled, 0) => self.shuffle.value_at(at),
            (DrawOrder::Shuffled, _) => RowSelector::permutation_of_pass(self.seed, self.inds, pass).value_at(at),
            (DrawOrder::Emulator, _) => SeededRng::new(self.seed, RngPurpose::DrawOrder, draw).next_below(self.inds),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_pass_draws_every_row_once() {
        for order in [DrawOrder::Once, DrawOrder::Shuffled] {
            let draws = RowSelector::new(order, 5, 1000);
            for pass in 0..3 {
                let seen: HashSet<u64> = (0..1000).map(|at| draws.ind_of_draw(pass * 1000 + at)).collect();
                assert_eq!(seen.len(), 1000, "{order:?}, pass {pass}");
                assert_eq!(seen.into_iter().max(), Some(999));
            }
        }
        let shuffled = RowSelector::new(DrawOrder::Shuffled, 5, 1000);
        assert!((0..1000).filter(|at| shuffled.ind_of_draw(*at) == shuffled.ind_of_draw(1000 + at)).count() < 20);
    }

    #[test]
    fn emulator_order_repeats_rows_as_drawing_with_replacement() {
        // Of 2,560 draws of 11,001 rows, 276 are expected to repeat a row. The posting emulator repeats 272.
        let draws = RowSelector::new(DrawOrder::Emulator, 5, 11_001);
        let distinct: HashSet<u64> = (0..2560).map(|draw| draws.ind_of_draw(draw)).collect();
        assert!((230..330).contains(&(2560 - distinct.len())), "{} repeats", 2560 - distinct.len());
        assert!(distinct.iter().all(|ind| *ind < 11_001));
    }
}
