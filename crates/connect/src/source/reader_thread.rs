//! Threads of sources. A thread that fails or panics reports that to the engine as [`SourceEvent::Failed`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use super::backlog::BacklogReport;
use super::{EngineGone, SourceContext, SourceError, SourceEvent};

/// Why a reader ends before its source does.
#[derive(Debug)]
pub enum ReaderExit {
    /// The run is stopping.
    Stopped,
    /// The run must end.
    Failed(SourceError),
}

impl From<EngineGone> for ReaderExit {
    fn from(_: EngineGone) -> ReaderExit {
        ReaderExit::Stopped
    }
}

impl From<SourceError> for ReaderExit {
    fn from(error: SourceError) -> ReaderExit {
        ReaderExit::Failed(error)
    }
}

/// As [`spawn_thread`], for a thread that reads a share of the backlog. The share is reported as read at the latest when
/// `read` returns.
///
/// # Errors
/// If the system cannot start a thread.
pub fn spawn_reader(
    name: String,
    context: &SourceContext,
    what: String,
    read: impl FnOnce(&SourceContext, &mut BacklogReport) -> Result<(), ReaderExit> + Send + 'static,
) -> Result<JoinHandle<()>, SourceError> {
    context.expect_backlog();
    spawn_thread(name, context, what, move |context| {
        let mut backlog = BacklogReport::default();
        read(context, &mut backlog)?;
        Ok(backlog.send(context)?)
    })
}

/// Starts a thread that reads `what`. Its failure or panic is sent to the engine.
///
/// # Errors
/// If the system cannot start a thread.
pub fn spawn_thread(
    name: String,
    context: &SourceContext,
    what: String,
    read: impl FnOnce(&SourceContext) -> Result<(), ReaderExit> + Send + 'static,
) -> Result<JoinHandle<()>, SourceError> {
    let (context, partition) = (context.clone(), what.clone());
    let body = move || {
        let failed = match catch_unwind(AssertUnwindSafe(|| read(&context))) {
            Ok(Ok(()) | Err(ReaderExit::Stopped)) => return,
            Ok(Err(ReaderExit::Failed(failed))) => failed,
            Err(panic) => SourceError::Panicked { partition, what: panic_message(&*panic) },
        };
        // If the engine is gone, the report is not needed.
        let _ = context.send(SourceEvent::Failed(failed));
    };
    thread::Builder::new().name(name).spawn(body).map_err(|cause| SourceError::Read { partition: what, cause })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
