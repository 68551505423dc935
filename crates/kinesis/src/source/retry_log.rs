//! Logs calls that keep failing: once at first, then at intervals, and once on recovery.

use std::time::{Duration, Instant};

use crate::{KinesisError, KinesisErrorKind};

/// A lasting error is logged again at this interval.
const LOG_REPEAT_INTERVAL: Duration = Duration::from_secs(30);
/// Throttling and expired iterators are normal; they are only logged if they last this long.
const THROTTLING_LOG_DELAY: Duration = Duration::from_secs(30);

/// The ongoing failure of one caller, if there is one.
#[derive(Debug, Default)]
pub(super) struct KinesisRetryLog {
    since: Option<Instant>,
    logged: Option<Instant>,
}

impl KinesisRetryLog {
    /// Logs a failed call if it is new or due again.
    pub(super) fn log_failure(&mut self, name: &str, error: &KinesisError) {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let is_news = self.logged.is_none_or(|logged| now.duration_since(logged) >= LOG_REPEAT_INTERVAL);
        let is_normal = matches!(error.kind, KinesisErrorKind::Throttled | KinesisErrorKind::ExpiredIterator);
        if is_normal && now.duration_since(since) < THROTTLING_LOG_DELAY {
            tracing::debug!("{name}: {error}");
        } else if is_news {
            self.logged = Some(now);
            let reason = format!("{error}{}", error.hint());
            tracing::warn!(source = name, reason, "a source cannot be read at the moment; retrying");
        }
    }

    /// Logs the recovery if a failure was logged.
    pub(super) fn log_recovery(&mut self, name: &str) {
        if self.logged.take().is_some() {
            tracing::info!(source = name, "a source can be read again");
        }
        self.since = None;
    }
}
