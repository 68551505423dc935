//! Limits a source to a number of records per second.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use pinflow_connect::source::SourceContext;

/// The most batches per second. Faster rates send larger batches.
const MAX_BATCHES_PER_SEC: u32 = 250;
/// The longest delay that is caught up on. Without this limit, a long pause would be followed by a burst.
const MAX_CATCH_UP: Duration = Duration::from_millis(100);
/// The longest sleep between checks for a stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Spaces the records of one source evenly, over all its files.
#[derive(Debug)]
pub(super) struct RateLimiter {
    per_sec: NonZeroU32,
    /// When the next records may be sent.
    next_slot: Mutex<Instant>,
}

impl RateLimiter {
    pub(super) fn new(per_sec: NonZeroU32, now: Instant) -> RateLimiter {
        RateLimiter { per_sec, next_slot: Mutex::new(now) }
    }

    /// The number of records to send together.
    pub(super) fn batch_records(&self) -> u64 {
        u64::from((self.per_sec.get() / MAX_BATCHES_PER_SEC).max(1))
    }

    /// Reserves time for `records`, and returns when they may be sent.
    pub(super) fn reserve(&self, now: Instant, records: u64) -> Instant {
        let nanos = u128::from(records) * 1_000_000_000 / u128::from(self.per_sec.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut next_slot = self.next_slot.lock();
        let leaves = now.checked_sub(MAX_CATCH_UP).map_or(*next_slot, |oldest| oldest.max(*next_slot));
        *next_slot = leaves + takes;
        leaves
    }

    /// Sleeps until the next `records` may be sent; `false` if the run is stopped before.
    pub(super) fn wait_for_slot(&self, context: &SourceContext, records: u64) -> bool {
        sleep_until(context, self.reserve(Instant::now(), records))
    }
}

/// Sleeps until `then`; `false` as soon as the run is stopped.
pub(super) fn sleep_until(context: &SourceContext, then: Instant) -> bool {
    loop {
        if context.is_stopping() {
            return false;
        }
        match then.checked_duration_since(Instant::now()) {
            None | Some(Duration::ZERO) => return true,
            Some(left) => std::thread::sleep(left.min(STOP_CHECK_INTERVAL)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rate_limiter(per_sec: u32, now: Instant) -> RateLimiter {
        RateLimiter::new(NonZeroU32::new(per_sec).unwrap(), now)
    }

    #[test]
    fn batches_are_at_least_four_milliseconds_apart() {
        assert_eq!(
            [1, 249, 1_000, 1_000_000].map(|rate| rate_limiter(rate, Instant::now()).batch_records()),
            [1, 1, 4, 4_000]
        );
    }

    #[test]
    fn records_are_evenly_spaced() {
        let start = Instant::now();
        let rate_limiter = rate_limiter(1_000, start);
        let times = (0..100).map(|_| rate_limiter.reserve(start, 4)).collect::<Vec<_>>();
        for (turn, time) in (0..).zip(times) {
            assert_eq!(time - start, Duration::from_millis(4 * turn));
        }
    }

    #[test]
    fn short_delay_is_caught_up_and_long_one_is_not() {
        let start = Instant::now();
        let short = rate_limiter(1_000, start);
        short.reserve(start, 1);
        assert_eq!(short.reserve(start + Duration::from_millis(50), 1), start + Duration::from_millis(1));
        let long = rate_limiter(1_000, start);
        long.reserve(start, 1);
        let late = start + Duration::from_secs(60);
        assert_eq!(long.reserve(late, 1), late - MAX_CATCH_UP);
    }
}
