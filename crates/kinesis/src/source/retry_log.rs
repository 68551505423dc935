//! Logs calls that keep failing: once at first, then at intervals, and once on recovery.

use std::time::{Duration, Instant};

use crate::{KinesisError, KinesisErrorKind};

/// A fault that lasts is said again after this long.
const LOG_REPEAT_INTERVAL: Duration = Duration::from_secs(30);
/// A service that refuses for its limits is doing what it should; it is said only when it lasts.
const THROTTLING_LOG_DELAY: Duration = Duration::from_secs(30);

/// What keeps one caller from going on.
#[derive(Debug, Default)]
pub(super) struct KinesisRetryLog {
    since: Option<Instant>,
    logged: Option<Instant>,
}

impl KinesisRetryLog {
    /// A call failed.
    pub(super) fn log_failure(&mut self, name: &str, fault: &KinesisError) {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let is_news = self.logged.is_none_or(|logged| now.duration_since(logged) >= LOG_REPEAT_INTERVAL);
        let is_normal = matches!(fault.kind, KinesisErrorKind::Throttled | KinesisErrorKind::ExpiredIterator);
        if is_normal && now.duration_since(since) < THROTTLING_LOG_DELAY {
            tracing::debug!("{name}: {fault}");
        } else if is_news {
            self.logged = Some(now);
            let reason = format!("{fault}{}", fault.hint());
            tracing::warn!(source = name, reason, "a source cannot be read at the moment; trying again");
        }
    }

    /// A call went well.
    pub(super) fn log_recovery(&mut self, name: &str) {
        if self.logged.take().is_some() {
            tracing::info!(source = name, "a source can be read again");
        }
        self.since = None;
    }
}
