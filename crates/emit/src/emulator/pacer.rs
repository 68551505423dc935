//! When to draw: at a rate, or with the pauses of the posting emulator.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::sequence::DrawSequence;
use crate::senders::PACED_BATCH_INTERVAL;

/// The most draws in one query.
const MAX_DRAWS_PER_QUERY: u64 = 256;

/// Paces the draws.
#[derive(Debug)]
pub(super) struct DrawPacer {
    /// Draws per second. `None`: the pauses of the posting emulator.
    rate: Option<f64>,
    began: Instant,
    /// Draws since `began`.
    done: u64,
}

impl DrawPacer {
    pub(super) fn new(rate: Option<f64>) -> DrawPacer {
        DrawPacer { rate, began: Instant::now(), done: 0 }
    }

    /// Starts again from now: draws that are overdue are not made up for.
    pub(super) fn restart(&mut self) {
        (self.began, self.done) = (Instant::now(), 0);
    }

    /// Waits for the next draws from tables with `rows` rows, and returns their offsets: at least one, and at most
    /// `most`.
    ///
    /// At a rate, all draws that are due are made at once, so that the rate is kept with a distant database, too.
    pub(super) async fn next_draws(&mut self, sequence: &mut DrawSequence, rows: u64, most: u64) -> Vec<u64> {
        let Some(rate) = self.rate else {
            let draw = sequence.next_draw(rows);
            sleep(draw.pause).await;
            return vec![draw.offset];
        };
        let wait = time_to_next(rate, self.done, self.began.elapsed());
        if !wait.is_zero() {
            sleep(wait.max(PACED_BATCH_INTERVAL)).await;
        }
        let draws = draws_due(rate, self.done, self.began.elapsed()).clamp(1, MAX_DRAWS_PER_QUERY).min(most);
        self.done += draws;
        (0..draws).map(|_| sequence.next_draw(rows).offset).collect()
    }
}

/// The time until the next draw. The first one is due at once.
fn time_to_next(rate: f64, done: u64, elapsed: Duration) -> Duration {
    Duration::from_secs_f64(done as f64 / rate).saturating_sub(elapsed)
}

/// The number of draws that are due and not made.
fn draws_due(rate: f64, done: u64, elapsed: Duration) -> u64 {
    ((elapsed.as_secs_f64() * rate) as u64 + 1).saturating_sub(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_due_follow_the_rate_and_catch_up() {
        let secs = Duration::from_secs_f64;
        assert!(time_to_next(10.0, 0, secs(0.0)).is_zero(), "the first draw is due at once");
        assert_eq!(time_to_next(10.0, 1, secs(0.0)), secs(0.1));
        assert_eq!(draws_due(10.0, 1, secs(0.1)), 1);
        assert_eq!(draws_due(10.0, 11, secs(1.0)), 0);
        assert_eq!(draws_due(1000.0, 11, secs(1.0)), 990);
    }

    #[test]
    fn next_draws_never_exceed_the_requested_number() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut sequence = DrawSequence::new(super::super::DrawMethod::Uniform, 1, 0);
        let mut pacer = DrawPacer { rate: Some(1e9), began: Instant::now() - Duration::from_secs(5), done: 0 };
        assert_eq!(runtime.block_on(pacer.next_draws(&mut sequence, 10, 7)).len(), 7);
        assert_eq!(runtime.block_on(pacer.next_draws(&mut sequence, 10, u64::MAX)).len() as u64, MAX_DRAWS_PER_QUERY);
    }
}
