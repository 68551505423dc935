//! Retries storage operations until they succeed, and shows meanwhile what they are stalled on.
//!
//! A full disk, a read-only mount, too many open files or an unreachable bucket stall a run; they do not end it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{self, error_summary};

const RETRY_BACKOFF_MIN: Duration = Duration::from_millis(100);
const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Time between log lines while one stall lasts.
const STALL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What the tables and the archive are stalled on. Clones share the state.
#[derive(Debug, Clone)]
pub struct StallStatus {
    stalls: Arc<Mutex<BTreeMap<String, String>>>,
    shown: watch::Sender<Option<String>>,
}

impl Default for StallStatus {
    fn default() -> StallStatus {
        StallStatus { stalls: Arc::default(), shown: watch::Sender::new(None) }
    }
}

impl StallStatus {
    /// The first stall as text; `None` while nothing is stalled.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.shown.subscribe()
    }

    fn set_stall(&self, target: &str, reason: Option<String>) {
        let mut stalls = self.stalls.lock();
        match reason {
            Some(reason) => stalls.insert(target.to_owned(), reason),
            None => stalls.remove(target),
        };
        let first = stalls.values().next().cloned();
        self.shown.send_if_modified(|shown| std::mem::replace(shown, first.clone()) != first);
    }
}

/// The retries of one operation. Dropping it ends the stall.
pub struct RetryLoop<'a> {
    status: &'a StallStatus,
    target: String,
    /// The wait before the next attempt.
    backoff: Duration,
    /// When the first attempt failed, and when that was last logged.
    since: Option<(Instant, Instant)>,
}

impl<'a> RetryLoop<'a> {
    /// Retries for an operation on `target`, a file or folder as shown to users.
    #[must_use]
    pub fn new(status: &'a StallStatus, target: String) -> RetryLoop<'a> {
        RetryLoop { status, target, backoff: RETRY_BACKOFF_MIN, since: None }
    }

    /// Waits before the next attempt, each time longer. Logs the failure when the stall begins, and again every
    /// minute. `what` is the operation, as a verb.
    pub async fn back_off(&mut self, what: &str, cause: &(dyn Error + Send + Sync + 'static)) {
        let text = format!("{what} {}: {}; {}", self.target, error_summary(cause), stall_hint(cause));
        let now = Instant::now();
        match self.since {
            None => {
                tracing::warn!(place = self.target, reason = text, "paused");
                self.since = Some((now, now));
            }
            Some((since, logged)) if now - logged >= STALL_LOG_INTERVAL => {
                let secs = (now - since).as_secs();
                tracing::warn!(place = self.target, secs, reason = text, "still paused");
                self.since = Some((since, now));
            }
            Some(_) => {}
        }
        self.status.set_stall(&self.target, Some(text));
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(RETRY_BACKOFF_MAX);
    }
}

impl Drop for RetryLoop<'_> {
    // The operation succeeded or was given up. Either way it no longer stalls.
    fn drop(&mut self) {
        if let Some((since, _)) = self.since {
            let secs = since.elapsed().as_secs();
            tracing::info!(place = self.target, secs, "no longer paused");
            self.status.set_stall(&self.target, None);
        }
    }
}

/// What the user can do to end the stall.
fn stall_hint(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    return "free some space on that file system; it continues by itself";
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    return "mount that file system for writing; it continues by itself";
                }
                io::ErrorKind::PermissionDenied => return "allow writing there; it continues by itself",
                _ => {}
            }
            // EMFILE and ENFILE have no kind of their own.
            if error.to_string().contains("oo many open files") {
                return "raise the limit of open files (ulimit -n); it continues by itself once some are closed";
            }
        }
        next = error.source();
    }
    error::hint(error).unwrap_or("it is retried until it succeeds")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stall_is_shown_until_its_retry_loop_ends() {
        let status = StallStatus::default();
        let shown = status.subscribe();
        let mut one = RetryLoop::new(&status, "a".to_owned());
        let full = io::Error::from(io::ErrorKind::StorageFull);
        one.back_off("write", &full).await;
        assert!(shown.borrow().as_ref().unwrap().contains("free some space"));
        {
            let mut other = RetryLoop::new(&status, "b".to_owned());
            other.back_off("write", &io::Error::from_raw_os_error(24)).await;
        }
        assert!(shown.borrow().as_ref().unwrap().starts_with("write a: "));
        drop(one);
        assert_eq!(*shown.borrow(), None);
        let mut last = RetryLoop::new(&status, "c".to_owned());
        last.back_off("write", &io::Error::from_raw_os_error(24)).await;
        assert!(shown.borrow().as_ref().unwrap().contains("ulimit"));
    }
}
