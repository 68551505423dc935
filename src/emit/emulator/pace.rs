//! When to draw: with the original's pauses, or at a rate.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::sequence::Sequence;
use crate::emit::lanes::BEAT;

/// Draws of one question at the most.
const DRAWS_MAX: u64 = 256;

/// The clock of the draws.
#[derive(Debug)]
pub(super) struct Pace {
    /// Draws a second; `None`: the original's pauses.
    rate: Option<f64>,
    began: Instant,
    /// Draws since it began.
    done: u64,
}

impl Pace {
    pub(super) fn new(rate: Option<f64>) -> Pace {
        Pace { rate, began: Instant::now(), done: 0 }
    }

    /// Counts from now on.
    pub(super) fn restart(&mut self) {
        (self.began, self.done) = (Instant::now(), 0);
    }

    /// Waits for the next draws, of tables with so many rows: at least one, and no more than `most`. At a rate as many
    /// as are due are drawn at once, so that a database that is far away keeps up.
    pub(super) async fn next(&mut self, sequence: &mut Sequence, rows: u64, most: u64) -> Vec<u64> {
        let Some(rate) = self.rate else {
            let draw = sequence.draw(rows);
            sleep(draw.pause).await;
            return vec![draw.offset];
        };
        let wait = wait(rate, self.done, self.began.elapsed());
        if !wait.is_zero() {
            sleep(wait.max(BEAT)).await;
        }
        let draws = due(rate, self.done, self.began.elapsed()).clamp(1, DRAWS_MAX).min(most);
        self.done += draws;
        (0..draws).map(|_| sequence.draw(rows).offset).collect()
    }
}

/// How long it is until the next draw; the first one is due at once.
fn wait(rate: f64, done: u64, elapsed: Duration) -> Duration {
    Duration::from_secs_f64(done as f64 / rate).saturating_sub(elapsed)
}

/// How many draws are due and not done.
fn due(rate: f64, done: u64, elapsed: Duration) -> u64 {
    ((elapsed.as_secs_f64() * rate) as u64 + 1).saturating_sub(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_caught_up_with() {
        let secs = Duration::from_secs_f64;
        assert!(wait(10.0, 0, secs(0.0)).is_zero(), "the first draw is due at once");
        assert_eq!(wait(10.0, 1, secs(0.0)), secs(0.1));
        assert_eq!(due(10.0, 1, secs(0.1)), 1);
        assert_eq!(due(10.0, 11, secs(1.0)), 0);
        assert_eq!(due(1000.0, 11, secs(1.0)), 990);
    }

    #[test]
    fn no_more_is_drawn_than_wanted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut sequence = Sequence::new(super::super::Draws::Uniform, 1, 0);
        let mut pace = Pace { rate: Some(1e9), began: Instant::now() - Duration::from_secs(5), done: 0 };
        assert_eq!(runtime.block_on(pace.next(&mut sequence, 10, 7)).len(), 7);
        assert_eq!(runtime.block_on(pace.next(&mut sequence, 10, u64::MAX)).len() as u64, DRAWS_MAX);
    }
}
