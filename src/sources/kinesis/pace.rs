//! How often a shard is called. No I/O here.
//!
//! Kinesis allows five calls for the records of a shard in a second, for all its readers together. A shard that has
//! nothing more is called once a second by default, one that is behind more often, and one where calls were refused
//! only once a second for a while: then another reader is there, too.

use std::time::{Duration, Instant};

/// How long a refusal is heeded.
const HEED: Duration = Duration::from_secs(10);
/// While a refusal is heeded, and by default where nothing more is there.
const SLOW: Duration = Duration::from_secs(1);

/// The calls for one shard.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    idle: Duration,
    fast: Duration,
    last: Option<Instant>,
    refused: Option<Instant>,
    is_behind: bool,
}

impl Pace {
    /// `idle` is the time between two calls where nothing more is there, `fast` the least there may ever be.
    pub(super) fn new(idle: Duration, calls_per_sec_max: u64) -> Pace {
        // A little more than the share of a second, so that clocks that run apart count no call too many.
        let fast = Duration::from_millis(1_050 / calls_per_sec_max.max(1));
        Pace { idle: idle.max(fast), fast, last: None, refused: None, is_behind: true }
    }

    /// How long to wait before the next call.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let heeds = self.refused.is_some_and(|refused| now.duration_since(refused) < HEED);
        let between = match (self.is_behind, heeds) {
            (_, true) => self.idle.max(SLOW),
            (true, false) => self.fast,
            (false, false) => self.idle,
        };
        self.last.map_or(Duration::ZERO, |last| (last + between).saturating_duration_since(now))
    }

    /// A call is made.
    pub(super) fn called(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// A call brought this many records, and the shard has more.
    pub(super) fn answered(&mut self, behind_ms: Option<u64>, records: usize) {
        // Without a word on its end, an answer with records may not be the last.
        self.is_behind = behind_ms.map_or(records > 0, |behind| behind > 0);
    }

    /// A call was refused: too many.
    pub(super) fn refused(&mut self, now: Instant) {
        self.refused = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_is_behind_is_called_more_often_and_never_too_often() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(1), 5);
        assert_eq!(pace.wait(start), Duration::ZERO);
        pace.called(start);
        pace.answered(Some(60_000), 10_000);
        assert!(pace.wait(start) > Duration::from_millis(200) && pace.wait(start) < Duration::from_millis(250));
        pace.answered(Some(0), 7);
        assert_eq!(pace.wait(start), Duration::from_secs(1));
        pace.answered(None, 7);
        assert!(pace.wait(start) < Duration::from_secs(1));
        pace.answered(None, 0);
        assert_eq!(pace.wait(start), Duration::from_secs(1));
    }

    #[test]
    fn a_refusal_is_heeded_for_a_while() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(200), 5);
        pace.called(start);
        pace.answered(Some(60_000), 1);
        pace.refused(start);
        assert_eq!(pace.wait(start), SLOW);
        assert_eq!(pace.wait(start + HEED), Duration::ZERO);
        pace.called(start + HEED);
        assert!(pace.wait(start + HEED) < Duration::from_millis(250));
    }
}
