//! Limits the calls to a shard. No I/O.
//!
//! Kinesis allows five reads of a shard per second, for all its readers together. A shard that is caught up is polled once a
//! second by default, one that is behind more often. After a throttled call the shard is polled once a second for a while,
//! because another reader shares its limit.

use std::time::{Duration, Instant};

/// How long a refusal is heeded.
const THROTTLED_PERIOD: Duration = Duration::from_secs(10);
/// While a refusal is heeded, and by default where nothing more is there.
const THROTTLED_CALL_INTERVAL: Duration = Duration::from_secs(1);

/// The calls for one shard.
#[derive(Debug, Clone)]
pub(super) struct ShardRateLimit {
    idle: Duration,
    fast: Duration,
    last: Option<Instant>,
    refused: Option<Instant>,
    is_behind: bool,
}

impl ShardRateLimit {
    /// `idle` is the time between two calls where nothing more is there, `fast` the least there may ever be.
    pub(super) fn new(idle: Duration, calls_per_sec_max: u64) -> ShardRateLimit {
        // A little more than the share of a second, so that clocks that run apart count no call too many.
        let fast = Duration::from_millis(1_050 / calls_per_sec_max.max(1));
        ShardRateLimit { idle: idle.max(fast), fast, last: None, refused: None, is_behind: true }
    }

    /// How long to wait before the next call.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        let heeds = self.refused.is_some_and(|refused| now.duration_since(refused) < THROTTLED_PERIOD);
        let between = match (self.is_behind, heeds) {
            (_, true) => self.idle.max(THROTTLED_CALL_INTERVAL),
            (true, false) => self.fast,
            (false, false) => self.idle,
        };
        self.last.map_or(Duration::ZERO, |last| (last + between).saturating_duration_since(now))
    }

    /// A call is made.
    pub(super) fn note_call(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// A call brought this many records, and the shard has more.
    pub(super) fn note_batch(&mut self, behind_ms: Option<u64>, records: usize) {
        // Without a word on its end, an answer with records may not be the last.
        self.is_behind = behind_ms.map_or(records > 0, |behind| behind > 0);
    }

    /// A call was refused: too many.
    pub(super) fn note_throttled(&mut self, now: Instant) {
        self.refused = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_is_behind_is_called_more_often_and_never_too_often() {
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
    fn a_refusal_is_heeded_for_a_while() {
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
