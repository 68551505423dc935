//! An estimate of the service's clock from the `Date` header of its responses, independent of this machine's clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use parking_lot::Mutex;

/// `Date` is cut to seconds and a response takes time, so the service's clock can be ahead of `Date` by this much.
const DATE_TOLERANCE_MS: i64 = 1_500;

/// Updates the estimate from every response.
#[derive(Debug, Clone, Default)]
pub(super) struct ServiceClock(Arc<Mutex<Option<i64>>>);

impl ServiceClock {
    /// A lower bound of the service's time in Unix milliseconds, usually less than a second early. Without a response,
    /// or if both clocks may agree, it is this machine's time.
    pub(super) fn now_ms(&self) -> u64 {
        let offset_ms = self.offset_ms().filter(|offset| clocks_differ(*offset)).unwrap_or(0);
        u64::try_from(local_ms().saturating_add(offset_ms)).unwrap_or(0)
    }

    /// A lower bound of how far this machine's clock is ahead of the service's, in milliseconds; 0 if they may agree or
    /// it is behind.
    pub(super) fn ahead_ms(&self) -> u64 {
        let offset_ms = self.offset_ms().filter(|offset| clocks_differ(*offset)).unwrap_or(0);
        u64::try_from(-(offset_ms + DATE_TOLERANCE_MS)).unwrap_or(0)
    }

    fn offset_ms(&self) -> Option<i64> {
        *self.0.lock()
    }

    fn record_date(&self, date: &str) {
        let Ok(date) = DateTime::from_str(date, DateTimeFormat::HttpDate) else { return };
        let Ok(date_ms) = date.to_millis() else { return };
        *self.0.lock() = Some(date_ms.saturating_sub(local_ms()));
    }
}

/// Whether the clocks certainly differ. `offset_ms` is `Date`, which is cut to seconds, minus this machine's time.
fn clocks_differ(offset_ms: i64) -> bool {
    offset_ms > 0 || offset_ms + DATE_TOLERANCE_MS < 0
}

/// This machine's time in Unix milliseconds; negative before 1970.
fn local_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "ServiceClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.record_date(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_only_if_seconds_cannot_explain_it() {
        for (offset_ms, expected) in [(0, false), (-999, false), (-1_500, false), (-1_501, true), (1, true)] {
            assert_eq!(clocks_differ(offset_ms), expected, "{offset_ms}");
        }
    }

    #[test]
    fn service_time_is_used_if_local_clock_is_ahead() {
        let clock = ServiceClock::default();
        assert_eq!(clock.ahead_ms(), 0);
        clock.record_date("Thu, 01 Jan 2026 00:00:00 GMT");
        let service_ms = 1_767_225_600_000_u64;
        assert!((service_ms..service_ms + 60_000).contains(&clock.now_ms()), "{}", clock.now_ms());
        let offset_ms = clock.offset_ms().unwrap_or(0);
        assert_eq!(clock.ahead_ms(), u64::try_from(-(offset_ms + DATE_TOLERANCE_MS)).unwrap_or(0));
        clock.record_date("no date");
        assert_eq!(clock.offset_ms(), Some(offset_ms), "an invalid date changes nothing");
    }
}
