//! The committer: makes windows durable, in their order, one at a time.

use tokio::sync::mpsc;

use super::worker::Report;
use crate::sinks::{Encoder, Sink, Window};

/// Whether a window is the last of its run.
pub(super) type IsLast = bool;
pub(super) type Batches<S> = <<S as Sink>::Encoder as Encoder>::Batches;

/// Commits windows in their order, one at a time, until there are no more.
pub(super) async fn commit_windows<S: Sink>(
    mut sink: S,
    mut windows: mpsc::Receiver<(Window<Batches<S>>, IsLast)>,
    reports: mpsc::UnboundedSender<Report<Batches<S>>>,
) {
    while let Some((window, last)) = windows.recv().await {
        let epoch = window.epoch;
        let mut done = sink.commit(window).await;
        if done.is_ok() && last {
            done = sink.finish().await;
        }
        let failed = done.is_err();
        let _ = reports.send(match done {
            Ok(()) => Report::Durable { epoch },
            Err(error) => Report::CommitFailed(error),
        });
        if failed {
            return;
        }
    }
}
