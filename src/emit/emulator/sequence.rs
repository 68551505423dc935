//! Which rows are drawn, and how long is waited before each draw.

use std::time::Duration;

use crate::emit::dice::{Dice, Purpose};
use crate::emit::python::Python;

/// The limit of the original's draws: `randint(0, 11000)`.
const ORIGINAL_ROWS: u32 = 11_001;
/// The limit of its pauses, seconds: `randrange(0, 2)`.
const PAUSES: u32 = 2;

/// How rows are drawn. The same seed draws the same rows again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Draws {
    /// Any row of the whole table.
    Uniform,
    /// As the original emulator does, draw by draw: Python's random numbers, and of longer tables the first 11,001 rows.
    Original,
}

/// The draws, one after the other.
#[derive(Debug)]
pub(super) enum Sequence {
    Uniform { seed: u64, next: u64 },
    Original(Python),
}

/// One draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Draw {
    /// How long the original waits before it.
    pub(super) pause: Duration,
    /// Which row of each table, counted from 0.
    pub(super) offset: u64,
}

impl Sequence {
    /// The draws behind the first `skip`.
    pub(super) fn new(draws: Draws, seed: u64, skip: u64) -> Sequence {
        let mut sequence = match draws {
            Draws::Uniform => return Sequence::Uniform { seed, next: skip },
            Draws::Original => Sequence::Original(Python::new(seed)),
        };
        for _ in 0..skip {
            sequence.draw(1);
        }
        sequence
    }

    /// The next draw of tables with so many rows, at least one.
    pub(super) fn draw(&mut self, rows: u64) -> Draw {
        let (pause, offset) = match self {
            Sequence::Uniform { seed, next } => {
                let pause = Dice::new(*seed, Purpose::Pause, *next).below(u64::from(PAUSES));
                let offset = Dice::new(*seed, Purpose::Order, *next).below(rows);
                *next += 1;
                (pause, offset)
            }
            Sequence::Original(python) => {
                // First the pause, then the row: they share one sequence of numbers.
                let pause = python.randrange(PAUSES);
                (u64::from(pause), u64::from(python.randrange(ORIGINAL_ROWS)))
            }
        };
        Draw { pause: Duration::from_secs(pause), offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(draws: Draws, skip: u64, count: usize) -> Vec<Draw> {
        let mut sequence = Sequence::new(draws, 100, skip);
        (0..count).map(|_| sequence.draw(500)).collect()
    }

    #[test]
    fn what_is_skipped_is_drawn_by_nobody_and_the_rest_stays_as_it_is() {
        for draws in [Draws::Uniform, Draws::Original] {
            assert_eq!(first(draws, 7, 20), first(draws, 0, 27)[7..]);
        }
    }

    #[test]
    fn uniform_draws_stay_in_the_table_and_reach_all_of_it() {
        let draws = first(Draws::Uniform, 0, 10_000);
        let mut offsets: Vec<u64> = draws.iter().map(|draw| draw.offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets, (0..500).collect::<Vec<_>>());
        let waits = draws.iter().filter(|draw| draw.pause == Duration::from_secs(1)).count();
        assert!((4500..5500).contains(&waits), "{waits} of 10,000 draws wait a second");
    }

    #[test]
    fn the_originals_draws_look_at_no_table() {
        let draws = first(Draws::Original, 0, 3);
        assert_eq!(draws.iter().map(|draw| draw.offset).collect::<Vec<_>>(), [7528, 2863, 5730]);
        assert_eq!(draws.iter().map(|draw| draw.pause.as_secs()).collect::<Vec<_>>(), [0, 1, 1]);
    }
}
