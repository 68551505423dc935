//! Which row each draw takes, of all three tables at once, as the original emulator does.

use super::dice::{Dice, Permutation, Purpose};

/// In which order rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Every row once, in the order of the tables; then all of them again.
    Once,
    /// Every row once, shuffled; then all of them again, shuffled anew.
    Shuffled,
    /// Any row at any draw, with replacement: what the original emulator does, so rows repeat early.
    Emulator,
}

/// The rows drawn, each a pure function of the number of its draw.
#[derive(Debug)]
pub(crate) struct Draws {
    order: Order,
    seed: u64,
    inds: u64,
    /// The first shuffle; later ones are rarely needed and made when they are.
    shuffle: Permutation,
}

impl Draws {
    /// Draws from tables of `inds` rows, at least one.
    pub(crate) fn new(order: Order, seed: u64, inds: u64) -> Draws {
        Draws { order, seed, inds, shuffle: Draws::shuffle(seed, inds, 0) }
    }

    fn shuffle(seed: u64, inds: u64, pass: u64) -> Permutation {
        Permutation::new(inds, Dice::new(seed, Purpose::Order, pass))
    }

    /// The ind that a draw takes.
    pub(crate) fn ind(&self, draw: u64) -> u64 {
        let (pass, at) = (draw / self.inds, draw % self.inds);
        match (self.order, pass) {
            (Order::Once, _) => at,
            (Order::Shuffled, 0) => self.shuffle.at(at),
            (Order::Shuffled, _) => Draws::shuffle(self.seed, self.inds, pass).at(at),
            (Order::Emulator, _) => Dice::new(self.seed, Purpose::Order, draw).below(self.inds),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_once_in_each_pass() {
        for order in [Order::Once, Order::Shuffled] {
            let draws = Draws::new(order, 5, 1000);
            for pass in 0..3 {
                let seen: HashSet<u64> = (0..1000).map(|at| draws.ind(pass * 1000 + at)).collect();
                assert_eq!(seen.len(), 1000, "{order:?}, pass {pass}");
                assert_eq!(seen.into_iter().max(), Some(999));
            }
        }
        let shuffled = Draws::new(Order::Shuffled, 5, 1000);
        assert!((0..1000).filter(|at| shuffled.ind(*at) == shuffled.ind(1000 + at)).count() < 20);
    }

    #[test]
    fn the_emulator_repeats_rows_as_often_as_drawing_with_replacement_does() {
        // 2,560 draws of 11,001: the original emulator repeats 272 of them; 276 are expected.
        let draws = Draws::new(Order::Emulator, 5, 11_001);
        let distinct: HashSet<u64> = (0..2560).map(|draw| draws.ind(draw)).collect();
        assert!((230..330).contains(&(2560 - distinct.len())), "{} repeats", 2560 - distinct.len());
        assert!(distinct.iter().all(|ind| *ind < 11_001));
    }
}
