//! Arrival times of records as reported by their sources. Implausible times count as unknown.
//!
//! Of several deliveries with the same `ind`, the one with the latest time counts. A Kafka producer can choose that
//! time itself, so one post stamped with the year 9999 would hide all later ones. The decision is made once, when a
//! record is read from its source, and is stored with the record: the tables hold the null, and a restart reads it back
//! unchanged.

use jiff::Timestamp;
use pinflow_dataflows::record::Micros;
use serde::{Deserialize, Serialize};

/// How far a time may be ahead of this machine's clock, in milliseconds. One hour covers a clock that was set to local
/// time one zone away from UTC, or that missed a change to summer time.
pub(super) const AHEAD_MAX_MS: i64 = 3_600_000;
/// The last millisecond of the year 9999.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// When a record arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArrivalTime {
    /// At this time, in microseconds since 1970.
    Known(Micros),
    /// The source reports no time.
    Unknown,
    /// The source reports a time that is too far in the future to be true.
    TooFarAhead,
}

impl ArrivalTime {
    /// The time, if it is known.
    #[must_use]
    pub fn known(self) -> Option<Micros> {
        match self {
            ArrivalTime::Known(micros) => Some(micros),
            ArrivalTime::Unknown | ArrivalTime::TooFarAhead => None,
        }
    }

    /// Classifies a time in milliseconds since 1970. `is_too_far` returns whether it is too far ahead of the clock.
    fn from_millis(millis: Option<i64>, is_too_far: impl FnOnce(i64) -> bool) -> ArrivalTime {
        match millis {
            Some(millis) if millis >= 0 && is_too_far(millis) => ArrivalTime::TooFarAhead,
            Some(millis) if (0..=MILLIS_MAX).contains(&millis) => ArrivalTime::Known(millis * 1_000),
            Some(_) | None => ArrivalTime::Unknown,
        }
    }
}

/// Classifies the times of consecutive records.
///
/// The clock is only read for a time beyond the last limit, so records from the past cost one comparison.
#[derive(Debug)]
pub(super) struct ArrivalClock {
    /// The latest time that is accepted without reading the clock, in milliseconds since 1970.
    limit_ms: i64,
}

impl ArrivalClock {
    pub(super) const fn new() -> ArrivalClock {
        ArrivalClock { limit_ms: i64::MIN }
    }

    /// Classifies the time that the source reports for a record read now.
    pub(super) fn classify_millis(&mut self, millis: Option<i64>) -> ArrivalTime {
        self.classify_with(millis, || Timestamp::now().as_millisecond())
    }

    fn classify_with(&mut self, millis: Option<i64>, now_ms: impl FnOnce() -> i64) -> ArrivalTime {
        ArrivalTime::from_millis(millis, |millis| {
            if millis > self.limit_ms {
                self.limit_ms = now_ms().saturating_add(AHEAD_MAX_MS);
            }
            millis > self.limit_ms
        })
    }

    /// Reads the clock again for the next time, because it may have been set back.
    pub(super) fn forget(&mut self) {
        self.limit_ms = i64::MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn classified(millis: Option<i64>) -> ArrivalTime {
        ArrivalClock::new().classify_with(millis, || NOW_MS)
    }

    #[test]
    fn time_is_believed_up_to_an_hour_ahead_of_the_clock() {
        let limit = NOW_MS + 3_600_000;
        for millis in [0, NOW_MS - 1, NOW_MS, limit] {
            assert_eq!(classified(Some(millis)), ArrivalTime::Known(millis * 1_000));
        }
        for millis in [limit + 1, MILLIS_MAX, MILLIS_MAX + 1, i64::MAX] {
            assert_eq!(classified(Some(millis)), ArrivalTime::TooFarAhead, "{millis}");
        }
    }

    #[test]
    fn time_before_1970_or_none_at_all_is_unknown() {
        for millis in [None, Some(-1), Some(i64::MIN)] {
            assert_eq!(classified(millis), ArrivalTime::Unknown);
        }
    }

    #[test]
    fn clock_of_the_year_9999_does_not_make_a_time_of_another_millennium_known() {
        let mut clock = ArrivalClock::new();
        assert_eq!(clock.classify_with(Some(MILLIS_MAX + 1), || MILLIS_MAX), ArrivalTime::Unknown);
    }

    #[test]
    fn clock_is_read_for_times_beyond_the_last_limit_only() {
        let mut clock = ArrivalClock::new();
        let unread = || -> i64 { panic!("the clock need not be read") };
        let limit = NOW_MS + AHEAD_MAX_MS;
        clock.classify_with(Some(NOW_MS), || NOW_MS);
        assert_eq!(clock.classify_with(Some(limit), unread), ArrivalTime::Known(limit * 1_000));
        // Time has passed, so the same timestamp is no longer too far ahead.
        assert_eq!(clock.classify_with(Some(limit + 5), || NOW_MS + 5), ArrivalTime::Known((limit + 5) * 1_000));
        // A clock that was set back is noticed with the next block.
        clock.forget();
        assert_eq!(clock.classify_with(Some(limit), || NOW_MS - 1), ArrivalTime::TooFarAhead);
    }
}
