//! When records arrived, as their sources tell: times outside what can be true count as unknown.
//!
//! Of the deliveries of an `ind` the one with the greatest time counts. A Kafka producer may choose that time itself, so
//! one post stamped with the year 9999 would shadow all later ones. The decision is made once, where a record is read
//! from its source, and travels with the record: the tables hold the null, and a restart reads the same back.

use jiff::Timestamp;
use pinflow_dataflows::record::Micros;

/// How far ahead of this machine's clock a time may lie, milliseconds: an hour covers a clock that was set by local time
/// instead of UTC by one zone, or not set since the change to summer time.
pub(super) const AHEAD_MAX_MS: i64 = 3_600_000;
/// The last millisecond of the year 9999.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// When a record arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrivalTime {
    /// At this moment, microseconds since 1970.
    Known(Micros),
    /// Its source does not say.
    Unknown,
    /// Its source says a time that lies too far in the future to be true, so it is unknown.
    TooFarAhead,
}

impl ArrivalTime {
    /// The moment, if it is known.
    #[must_use]
    pub fn known(self) -> Option<Micros> {
        match self {
            ArrivalTime::Known(micros) => Some(micros),
            ArrivalTime::Unknown | ArrivalTime::TooFarAhead => None,
        }
    }

    /// Judges a time in milliseconds since 1970. `is_too_far` says whether it lies too far ahead of the clock.
    fn judge(millis: Option<i64>, is_too_far: impl FnOnce(i64) -> bool) -> ArrivalTime {
        match millis {
            Some(millis) if millis >= 0 && is_too_far(millis) => ArrivalTime::TooFarAhead,
            Some(millis) if (0..=MILLIS_MAX).contains(&millis) => ArrivalTime::Known(millis * 1_000),
            Some(_) | None => ArrivalTime::Unknown,
        }
    }
}

/// Judges the times of records that are read one after the other.
///
/// The clock is read only for a time that lies beyond the last limit, so that records of the past cost a comparison.
#[derive(Debug)]
pub(super) struct ArrivalClock {
    /// The greatest time that is believed without a look at the clock, milliseconds since 1970.
    limit_ms: i64,
}

impl ArrivalClock {
    pub(super) const fn new() -> ArrivalClock {
        ArrivalClock { limit_ms: i64::MIN }
    }

    /// When a record that is read now arrived, by the time that its source says.
    pub(super) fn judge(&mut self, millis: Option<i64>) -> ArrivalTime {
        self.judge_by(millis, || Timestamp::now().as_millisecond())
    }

    fn judge_by(&mut self, millis: Option<i64>, now_ms: impl FnOnce() -> i64) -> ArrivalTime {
        ArrivalTime::judge(millis, |millis| {
            if millis > self.limit_ms {
                self.limit_ms = now_ms().saturating_add(AHEAD_MAX_MS);
            }
            millis > self.limit_ms
        })
    }

    /// Looks at the clock again for the next time: it may have been set back.
    pub(super) fn forget(&mut self) {
        self.limit_ms = i64::MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn judged(millis: Option<i64>) -> ArrivalTime {
        ArrivalClock::new().judge_by(millis, || NOW_MS)
    }

    #[test]
    fn time_is_believed_up_to_an_hour_ahead_of_the_clock() {
        let limit = NOW_MS + 3_600_000;
        for millis in [0, NOW_MS - 1, NOW_MS, limit] {
            assert_eq!(judged(Some(millis)), ArrivalTime::Known(millis * 1_000));
        }
        for millis in [limit + 1, MILLIS_MAX, MILLIS_MAX + 1, i64::MAX] {
            assert_eq!(judged(Some(millis)), ArrivalTime::TooFarAhead, "{millis}");
        }
    }

    #[test]
    fn time_before_1970_or_none_at_all_is_unknown() {
        for millis in [None, Some(-1), Some(i64::MIN)] {
            assert_eq!(judged(millis), ArrivalTime::Unknown);
        }
    }

    #[test]
    fn clock_of_the_year_9999_does_not_make_a_time_of_another_millennium_known() {
        let mut clock = ArrivalClock::new();
        assert_eq!(clock.judge_by(Some(MILLIS_MAX + 1), || MILLIS_MAX), ArrivalTime::Unknown);
    }

    #[test]
    fn clock_is_read_for_times_beyond_the_last_limit_only() {
        let mut clock = ArrivalClock::new();
        let unread = || -> i64 { panic!("the clock need not be read") };
        let limit = NOW_MS + AHEAD_MAX_MS;
        clock.judge_by(Some(NOW_MS), || NOW_MS);
        assert_eq!(clock.judge_by(Some(limit), unread), ArrivalTime::Known(limit * 1_000));
        // Time has passed, so what was too far ahead a moment ago no longer is.
        assert_eq!(clock.judge_by(Some(limit + 5), || NOW_MS + 5), ArrivalTime::Known((limit + 5) * 1_000));
        // A clock that was set back since is noticed with the next block.
        clock.forget();
        assert_eq!(clock.judge_by(Some(limit), || NOW_MS - 1), ArrivalTime::TooFarAhead);
    }
}
