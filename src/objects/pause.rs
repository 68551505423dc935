//! Waiting for a fault of storage to heal: a full disk, a read-only mount, too many open files.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::fault;

const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// While it lasts, a line this often.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// What each table, and the archive, waits for, shared with whoever shows it.
#[derive(Debug, Clone)]
pub struct Pauses {
    waiting: Arc<Mutex<BTreeMap<String, String>>>,
    shown: watch::Sender<Option<String>>,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses { waiting: Arc::default(), shown: watch::Sender::new(None) }
    }
}

impl Pauses {
    /// What is waited for first, in words; `None` while nothing is.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.shown.subscribe()
    }

    fn set(&self, place: &str, what: Option<String>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Some(what) => waiting.insert(place.to_owned(), what),
            None => waiting.remove(place),
        };
        let first = waiting.values().next().cloned();
        self.shown.send_if_modified(|shown| std::mem::replace(shown, first.clone()) != first);
    }
}

/// One step that is tried until it succeeds.
pub struct Trouble<'a> {
    pauses: &'a Pauses,
    place: String,
    wait: Duration,
    since: Option<(Instant, Instant)>,
}

impl<'a> Trouble<'a> {
    /// A step at a place, as people know it.
    #[must_use]
    pub fn new(pauses: &'a Pauses, place: String) -> Trouble<'a> {
        Trouble { pauses, place, wait: WAIT_MIN, since: None }
    }

    /// Says what failed, once and then now and again, and waits, each time longer.
    pub async fn wait(&mut self, what: &str, cause: &(dyn Error + Send + Sync + 'static)) {
        let text = format!("{what} {}: {}; {}", self.place, fault::plain(cause), mend(cause));
        let now = Instant::now();
        match self.since {
            None => {
                tracing::warn!(place = self.place, reason = text, "paused");
                self.since = Some((now, now));
            }
            Some((since, said)) if now - said >= SAID_AGAIN => {
                let secs = (now - since).as_secs();
                tracing::warn!(place = self.place, secs, reason = text, "still paused");
                self.since = Some((since, now));
            }
            Some(_) => {}
        }
        self.pauses.set(&self.place, Some(text));
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }
}

impl Drop for Trouble<'_> {
    /// Healed, or given up: either way nothing waits any more.
    fn drop(&mut self) {
        if let Some((since, _)) = self.since {
            let secs = since.elapsed().as_secs();
            tracing::info!(place = self.place, secs, "no longer paused");
            self.pauses.set(&self.place, None);
        }
    }
}

/// What a person can do.
fn mend(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    return "free some space on that file system; it goes on by itself";
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    return "mount that file system for writing; it goes on by itself";
                }
                io::ErrorKind::PermissionDenied => return "allow writing there; it goes on by itself",
                _ => {}
            }
            // EMFILE and ENFILE have no kind of their own.
            if error.to_string().contains("oo many open files") {
                return "raise the limit of open files (ulimit -n); it goes on by itself when some are closed";
            }
        }
        next = error.source();
    }
    fault::mend(error).unwrap_or("it is tried again until it succeeds")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_shown_until_it_heals() {
        let pauses = Pauses::default();
        let shown = pauses.subscribe();
        let mut one = Trouble::new(&pauses, "a".to_owned());
        let full = io::Error::from(io::ErrorKind::StorageFull);
        one.wait("write", &full).await;
        assert!(shown.borrow().as_ref().unwrap().contains("free some space"));
        {
            let mut other = Trouble::new(&pauses, "b".to_owned());
            other.wait("write", &io::Error::from_raw_os_error(24)).await;
        }
        assert!(shown.borrow().as_ref().unwrap().starts_with("write a: "));
        drop(one);
        assert_eq!(*shown.borrow(), None);
        let mut last = Trouble::new(&pauses, "c".to_owned());
        last.wait("write", &io::Error::from_raw_os_error(24)).await;
        assert!(shown.borrow().as_ref().unwrap().contains("ulimit"));
    }
}
