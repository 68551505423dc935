//! Threads of sources: each tells the feed why it ended, be it a failure or a panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use super::backlog::BacklogReport;
use super::{Closed, Event, Feed, SourceError};

/// Why reading ends before the source does.
#[derive(Debug)]
pub(super) enum Halt {
    /// The run is stopping.
    Stopped,
    /// The run must end.
    Failed(SourceError),
}

impl From<Closed> for Halt {
    fn from(_: Closed) -> Halt {
        Halt::Stopped
    }
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Halt {
        Halt::Failed(error)
    }
}

/// As [`spawn`], for a thread that reads a share of what was there at the start. It reports that this is read, at the
/// latest when it ends.
///
/// # Errors
/// If the system gives no thread.
pub(super) fn spawn_reader(
    name: String,
    feed: &Feed,
    what: String,
    read: impl FnOnce(&Feed, &mut BacklogReport) -> Result<(), Halt> + Send + 'static,
) -> Result<JoinHandle<()>, SourceError> {
    feed.expect_backlog();
    spawn(name, feed, what, move |feed| {
        let mut backlog = BacklogReport::default();
        read(feed, &mut backlog)?;
        Ok(backlog.send(feed)?)
    })
}

/// Starts a thread that reads `what` and tells the feed of its failure, and of its panic.
///
/// # Errors
/// If the system gives no thread.
pub(super) fn spawn(
    name: String,
    feed: &Feed,
    what: String,
    read: impl FnOnce(&Feed) -> Result<(), Halt> + Send + 'static,
) -> Result<JoinHandle<()>, SourceError> {
    let (feed, partition) = (feed.clone(), what.clone());
    let body = move || {
        let failed = match catch_unwind(AssertUnwindSafe(|| read(&feed))) {
            Ok(Ok(()) | Err(Halt::Stopped)) => return,
            Ok(Err(Halt::Failed(failed))) => failed,
            Err(panic) => SourceError::Panicked { partition, what: message(&*panic) },
        };
        // An engine that has gone needs no telling.
        let _ = feed.send(Event::Failed(failed));
    };
    thread::Builder::new().name(name).spawn(body).map_err(|cause| SourceError::Read { partition: what, cause })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
