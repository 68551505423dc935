//! Limits the calls to a shard. No I/O.
//!
//! Kinesis allows five reads of a shard per second, for all its readers together. A shard that is caught up is polled once a
//! second by default, one that is behind more often. After a throttled call the shard is polled once a second for a while,
//! because another reader shares its limit.

use std::time::{Duration, Instant};

/// How long the rate is reduced after a throttled call.
const THROTTLED_PERIOD: Duration = Duration::from_secs(10);
/// Interval between calls after a throttled call.
const THROTTLED_CALL_INTERVAL: Duration = Duration::from_secs(1);

/// The rate limit of one shard.
#[derive(Debug, Clone)]
pub(super) struct ShardRateLimit {
    idle: Duration,
    fast: Duration,
    last: Option<Instant>,
    refused: Option<Instant>,
    is_behind: bool,
}

impl ShardRateLimit {
    /// `idle` is the interval between calls while the shard is caught up, `fast` the minimum interval.
    pub(super) fn new(idle: Duration, calls_per_sec_max: u64) -> ShardRateLimit {
        // Slightly longer than the exact share of a second, so that clock drift never adds a call.
        let fast = Duration::from_millis(1_050 / calls_per_sec_max.max(1));
        ShardRateLimit { idle: idle.max(fast), fast, last: None, refused: None, is_behind: true }
    }

    /// The time to wait before the next call.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        let heeds = self.refused.is_some_and(|refused| now.duration_since(refused) < THROTTLED_PERIOD);
        let between = match (self.is_behind, heeds) {
            (_, true) => self.idle.max(THROTTLED_CALL_INTERVAL),
            (true, false) => self.fast,
            (false, false) => self.idle,
        };
        self.last.map_or(Duration::ZERO, |last| (last + between).saturating_duration_since(now))
    }

    /// Records that a call is made.
    pub(super) fn note_call(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Records the result of a call, which says whether the shard has more records.
    pub(super) fn note_batch(&mut self, behind_ms: Option<u64>, records: usize) {
        // If the server reports no lag, a batch with records may not be the last.
        self.is_behind = behind_ms.map_or(records > 0, |behind| behind > 0);
    }

    /// Records a throttled call.
    pub(super) fn note_throttled(&mut self, now: Instant) {
        self.refused = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lagging_shard_is_polled_faster_within_limit() {
        let start = Instant::now();
        let mut rate_limit = ShardRateLimit::new(Duration::from_secs(1), 5);
        assert_eq!(rate_limit.delay(start), Duration::ZERO);
        rate_limit.note_call(start);
        rate_limit.note_batch(Some(60_000), 10_000);
        assert!(
            rate_limit.delay(start) > Duration::from_millis(200)
                && rate_limit.delay(start) < Duration::from_millis(250)
        );
        rate_limit.note_batch(Some(0), 7);
        assert_eq!(rate_limit.delay(start), Duration::from_secs(1));
        rate_limit.note_batch(None, 7);
        assert!(rate_limit.delay(start) < Duration::from_secs(1));
        rate_limit.note_batch(None, 0);
        assert_eq!(rate_limit.delay(start), Duration::from_secs(1));
    }

    #[test]
    fn throttled_call_slows_polling_for_a_while() {
        let start = Instant::now();
        let mut rate_limit = ShardRateLimit::new(Duration::from_millis(200), 5);
        rate_limit.note_call(start);
        rate_limit.note_batch(Some(60_000), 1);
        rate_limit.note_throttled(start);
        assert_eq!(rate_limit.delay(start), THROTTLED_CALL_INTERVAL);
        assert_eq!(rate_limit.delay(start + THROTTLED_PERIOD), Duration::ZERO);
        rate_limit.note_call(start + THROTTLED_PERIOD);
        assert!(rate_limit.delay(start + THROTTLED_PERIOD) < Duration::from_millis(250));
    }
}
