//! The committer: makes windows durable, in their order, one at a time.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::Gauges;
use super::worker::{Report, panic_message};
use crate::sinks::{Encoder, Sink, Window};

/// The target of what is said of commits.
const TARGET: &str = "pinflow::commit";

/// Whether a window is the last of its run.
pub(super) type IsLast = bool;
pub(super) type Batches<S> = <<S as Sink>::Encoder as Encoder>::Batches;

/// Commits windows, and reports a panic: the conductor would wait for a dead committer forever.
pub(super) async fn supervised_commits<S: Sink>(
    sink: S,
    windows: mpsc::Receiver<(Window<Batches<S>>, IsLast)>,
    reports: mpsc::UnboundedSender<Report<Batches<S>>>,
    gauges: Arc<Gauges>,
) {
    let work = commit_windows(sink, windows, reports.clone(), &gauges);
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        let message = panic_message(panic.as_ref());
        let _ = reports.send(Report::Panicked { thread: "committer".to_owned(), message });
    }
}

/// Commits windows in their order, one at a time, until there are no more.
async fn commit_windows<S: Sink>(
    mut sink: S,
    mut windows: mpsc::Receiver<(Window<Batches<S>>, IsLast)>,
    reports: mpsc::UnboundedSender<Report<Batches<S>>>,
    gauges: &Gauges,
) {
    while let Some((window, last)) = windows.recv().await {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("engine::commit");
        let (epoch, rows, begun) = (window.epoch, window.rows, Instant::now());
        let span = tracing::info_span!(target: TARGET, "commit", epoch, rows);
        let mut done = sink.commit(window).instrument(span).await;
        if done.is_ok() && last {
            done = sink.finish().await;
        }
        let failed = done.is_err();
        if !failed {
            let mut commits = gauges.commits.lock().unwrap_or_else(PoisonError::into_inner);
            commits.count += 1;
            let took = begun.elapsed();
            commits.last = took;
            commits.total += took;
            tracing::info!(target: TARGET, epoch, rows, seconds = took.as_secs_f64(), "committed");
        }
        let _ = reports.send(match done {
            Ok(()) => Report::Durable { epoch },
            Err(error) => Report::CommitFailed(error),
        });
        if failed {
            return;
        }
    }
}
