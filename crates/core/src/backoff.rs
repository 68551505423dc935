//! Retry intervals with full jitter: a random time up to a bound that doubles with every attempt.
//!
//! See "Timeouts, retries, and backoff with jitter" in Amazon's Builders' Library.

use std::time::Duration;

/// The retry intervals of one caller.
#[derive(Debug, Clone)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// The bound starts at `least` and doubles up to `most`.
    #[must_use]
    pub fn new(least: Duration, most: Duration) -> Backoff {
        Backoff { least, most, tries: 0 }
    }

    /// The next interval, at least an eighth of the bound so that retries never become a busy loop.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.least.saturating_mul(1 << self.tries.min(16)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        bound / 8 + (bound - bound / 8).mul_f64(fastrand::f64())
    }

    /// Starts again from `least`. Call it after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_restart_after_reset() {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(least, most);
        let mut bound = least;
        for _ in 0..40 {
            let wait = backoff.next_wait();
            assert!(wait >= bound / 8 && wait <= bound, "{wait:?} of {bound:?}");
            bound = (bound * 2).min(most);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= least);
    }

    #[test]
    fn waits_are_spread_over_the_bound() {
        let mut waits: Vec<_> =
            (0..64).map(|_| Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).next_wait()).collect();
        waits.sort_unstable();
        waits.dedup();
        assert!(
            waits.len() > 60
                && waits[0] < Duration::from_millis(400)
                && waits[waits.len() - 1] > Duration::from_millis(700)
        );
    }
}
