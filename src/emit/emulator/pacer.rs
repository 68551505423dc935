//! When to draw: with the original's pauses, or at a rate.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::sequence::DrawSequence;
use crate::emit::senders::PACED_BATCH_INTERVAL;

/// Draws of one question at the most.
const MAX_DRAWS_PER_QUERY: u64 = 256;

/// The clock of the draws.
#[derive(Debug)]
pub(super) struct DrawPacer {
    /// Draws a second; `None`: the original's pauses.
    rate: Option<f64>,
    began: Instant,
    /// Draws since it began.
    done: u64,
}

impl DrawPacer {
    pub(super) fn new(rate: Option<f64>) -> DrawPacer {
        DrawPacer { rate, began: Instant::now(), done: 0 }
    }

    /// Counts from now on.
    pub(super) fn restart(&mut self) {
        (self.began, self.done) = (Instant::now(), 0);
    }

    /// Waits for the next draws, of tables with so many rows: at least one, and no more than `most`. At a rate as many
    /// as are due are drawn at once, so that a database that is far away keeps up.
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

/// How long it is until the next draw; the first one is due at once.
fn time_to_next(rate: f64, done: u64, elapsed: Duration) -> Duration {
    Duration::from_secs_f64(done as f64 / rate).saturating_sub(elapsed)
}

/// How many draws are due and not done.
fn draws_due(rate: f64, done: u64, elapsed: Duration) -> u64 {
    ((elapsed.as_secs_f64() * rate) as u64 + 1).saturating_sub(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_caught_up_with() {
        let secs = Duration::from_secs_f64;
        assert!(time_to_next(10.0, 0, secs(0.0)).is_zero(), "the first draw is due at once");
        assert_eq!(time_to_next(10.0, 1, secs(0.0)), secs(0.1));
        assert_eq!(draws_due(10.0, 1, secs(0.1)), 1);
        assert_eq!(draws_due(10.0, 11, secs(1.0)), 0);
        assert_eq!(draws_due(1000.0, 11, secs(1.0)), 990);
    }

    #[test]
    fn no_more_is_drawn_than_wanted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut sequence = DrawSequence::new(super::super::DrawMethod::Uniform, 1, 0);
        let mut pacer = DrawPacer { rate: Some(1e9), began: Instant::now() - Duration::from_secs(5), done: 0 };
        assert_eq!(runtime.block_on(pacer.next_draws(&mut sequence, 10, 7)).len(), 7);
        assert_eq!(runtime.block_on(pacer.next_draws(&mut sequence, 10, u64::MAX)).len() as u64, MAX_DRAWS_PER_QUERY);
    }
}
