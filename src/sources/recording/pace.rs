//! Records per second.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sources::SourceContext;

/// How many times a second records leave, at most.
const TURNS_PER_SEC: u32 = 250;
/// How much of a delay is made up for; more than that is forgiven, so that a long stop is not followed by a flood.
const MADE_UP_MAX: Duration = Duration::from_millis(100);
/// The longest sleep without a look at whether to stop.
const NAP: Duration = Duration::from_millis(20);

/// Spaces out the records of one source over all its files.
#[derive(Debug)]
pub(super) struct Pacer {
    per_sec: NonZeroU32,
    /// When the next records may leave.
    free: Mutex<Instant>,
}

impl Pacer {
    pub(super) fn new(per_sec: NonZeroU32, now: Instant) -> Pacer {
        Pacer { per_sec, free: Mutex::new(now) }
    }

    /// How many records leave together.
    pub(super) fn together(&self) -> u64 {
        u64::from((self.per_sec.get() / TURNS_PER_SEC).max(1))
    }

    /// When the next `records` may leave. Their time is taken from then on.
    pub(super) fn reserve(&self, now: Instant, records: u64) -> Instant {
        let nanos = u128::from(records) * 1_000_000_000 / u128::from(self.per_sec.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let leaves = now.checked_sub(MADE_UP_MAX).map_or(*free, |oldest| oldest.max(*free));
        *free = leaves + takes;
        leaves
    }

    /// Sleeps until the next `records` may leave; `false` if the run is stopped before.
    pub(super) fn wait(&self, context: &SourceContext, records: u64) -> bool {
        sleep_until(context, self.reserve(Instant::now(), records))
    }
}

/// Sleeps until then; `false` as soon as the run is stopped.
pub(super) fn sleep_until(context: &SourceContext, then: Instant) -> bool {
    loop {
        if context.is_stopping() {
            return false;
        }
        match then.checked_duration_since(Instant::now()) {
            None | Some(Duration::ZERO) => return true,
            Some(left) => std::thread::sleep(left.min(NAP)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pacer(per_sec: u32, now: Instant) -> Pacer {
        Pacer::new(NonZeroU32::new(per_sec).unwrap(), now)
    }

    #[test]
    fn records_leave_every_few_milliseconds() {
        assert_eq!([1, 249, 1_000, 1_000_000].map(|rate| pacer(rate, Instant::now()).together()), [1, 1, 4, 4_000]);
    }

    #[test]
    fn records_are_evenly_spaced() {
        let start = Instant::now();
        let pacer = pacer(1_000, start);
        let times = (0..100).map(|_| pacer.reserve(start, 4)).collect::<Vec<_>>();
        for (turn, time) in (0..).zip(times) {
            assert_eq!(time - start, Duration::from_millis(4 * turn));
        }
    }

    #[test]
    fn a_short_delay_is_made_up_for_and_a_long_one_forgiven() {
        let start = Instant::now();
        let short = pacer(1_000, start);
        short.reserve(start, 1);
        assert_eq!(short.reserve(start + Duration::from_millis(50), 1), start + Duration::from_millis(1));
        let long = pacer(1_000, start);
        long.reserve(start, 1);
        let late = start + Duration::from_secs(60);
        assert_eq!(long.reserve(late, 1), late - MADE_UP_MAX);
    }
}
