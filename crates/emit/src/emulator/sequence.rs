//! Which row each draw takes, and the pause before it.

use std::time::Duration;

use crate::python_random::PythonRandom;
use crate::rng::{RngPurpose, SeededRng};

/// Rows that the posting emulator draws from: `randint(0, 11000)`.
const ORIGINAL_ROW_LIMIT: u32 = 11_001;
/// The pauses of the posting emulator, in seconds, are below this: `randrange(0, 2)`.
const PAUSE_LIMIT_SECS: u32 = 2;

/// How rows are drawn. The same seed draws the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DrawMethod {
    /// Any row of the whole table
    Uniform,
    /// As the posting emulator, draw by draw: Python's random numbers, and only the first 11,001 rows of longer tables
    Original,
}

/// The sequence of draws.
#[derive(Debug)]
pub(super) enum DrawSequence {
    Uniform { seed: u64, next: u64 },
    Original(PythonRandom),
}

/// A draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowDraw {
    /// The pause of the posting emulator before it.
    pub(super) pause: Duration,
    /// The offset of the row in each table, from 0.
    pub(super) offset: u64,
}

impl DrawSequence {
    /// The draws after the first `skip`.
    pub(super) fn new(draws: DrawMethod, seed: u64, skip: u64) -> DrawSequence {
        let mut sequence = match draws {
            DrawMethod::Uniform => return DrawSequence::Uniform { seed, next: skip },
            DrawMethod::Original => DrawSequence::Original(PythonRandom::new(seed)),
        };
        for _ in 0..skip {
            sequence.next_draw(1);
        }
        sequence
    }

    /// The next draw from tables with `rows` rows. There must be at least one.
    pub(super) fn next_draw(&mut self, rows: u64) -> RowDraw {
        let (pause, offset) = match self {
            DrawSequence::Uniform { seed, next } => {
                let pause = SeededRng::new(*seed, RngPurpose::Pause, *next).next_below(u64::from(PAUSE_LIMIT_SECS));
                let offset = SeededRng::new(*seed, RngPurpose::DrawOrder, *next).next_below(rows);
                *next += 1;
                (pause, offset)
            }
            DrawSequence::Original(python_random) => {
                // The pause first, then the row: both come from one sequence of random numbers.
                let pause = python_random.randrange(PAUSE_LIMIT_SECS);
                (u64::from(pause), u64::from(python_random.randrange(ORIGINAL_ROW_LIMIT)))
            }
        };
        RowDraw { pause: Duration::from_secs(pause), offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_draws(draws: DrawMethod, skip: u64, count: usize) -> Vec<RowDraw> {
        let mut sequence = DrawSequence::new(draws, 100, skip);
        (0..count).map(|_| sequence.next_draw(500)).collect()
    }

    #[test]
    fn skipped_draws_do_not_change_later_draws() {
        for draws in [DrawMethod::Uniform, DrawMethod::Original] {
            assert_eq!(first_draws(draws, 7, 20), first_draws(draws, 0, 27)[7..]);
        }
    }

    #[test]
    fn uniform_draws_cover_exactly_the_table() {
        let draws = first_draws(DrawMethod::Uniform, 0, 10_000);
        let mut offsets: Vec<u64> = draws.iter().map(|draw| draw.offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets, (0..500).collect::<Vec<_>>());
        let waits = draws.iter().filter(|draw| draw.pause == Duration::from_secs(1)).count();
        assert!((4500..5500).contains(&waits), "{waits} of 10,000 draws wait a second");
    }

    #[test]
    fn original_draws_ignore_the_size_of_the_table() {
        let draws = first_draws(DrawMethod::Original, 0, 3);
        assert_eq!(draws.iter().map(|draw| draw.offset).collect::<Vec<_>>(), [7528, 2863, 5730]);
        assert_eq!(draws.iter().map(|draw| draw.pause.as_secs()).collect::<Vec<_>>(), [0, 1, 1]);
    }
}
