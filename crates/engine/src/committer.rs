//! The committer: makes windows durable in order, one at a time. A window goes to the archive first, if there is one, then
//! to the tables. So whatever the tables hold can be read back from the archive.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::cluster::FileCollector;
use super::protocol::{CommitRequest, EngineEvent, WindowBatches};
use super::questions::SnapshotOrder;
use super::worker::panic_message;
use super::{EngineError, EngineMetrics};
use pinflow_connect::sink::{RawArchive, WindowSink};

/// The target of log lines about commits.
const COMMIT_LOG_TARGET: &str = "pinflow::commit";

/// Where the committer puts windows, and where the files of other processes come from.
pub(super) struct CommitTargets<S> {
    pub(super) sink: S,
    pub(super) archive: Option<Box<dyn RawArchive>>,
    /// `None` in a run of one process.
    pub(super) files: Option<FileCollector>,
}

/// Commits windows, and reports a panic: the driver would wait for a dead committer forever.
pub(super) async fn run_committer<S: WindowSink>(
    targets: CommitTargets<S>,
    requests: mpsc::Receiver<CommitRequest<S>>,
    events: mpsc::UnboundedSender<EngineEvent<WindowBatches<S>>>,
    metrics: Arc<EngineMetrics>,
) {
    let work = commit_windows(targets, requests, events.clone(), &metrics);
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        let message = panic_message(panic.as_ref());
        let _ = events.send(EngineEvent::ThreadPanicked { thread: "committer".to_owned(), message });
    }
}

/// Commits windows in order, one at a time, until there are no more.
async fn commit_windows<S: WindowSink>(
    mut targets: CommitTargets<S>,
    mut requests: mpsc::Receiver<CommitRequest<S>>,
    events: mpsc::UnboundedSender<EngineEvent<WindowBatches<S>>>,
    metrics: &EngineMetrics,
) {
    while let Some(request) = requests.recv().await {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("engine::commit");
        let (epoch, rows, begun) = (request.window.epoch, request.window.rows, Instant::now());
        let span = tracing::info_span!(target: COMMIT_LOG_TARGET, "commit", epoch, rows);
        let (order, is_last) = (request.snapshot.clone(), request.is_last);
        let done = commit_window(&mut targets, request).instrument(span).await;
        let failed = done.is_err();
        if !failed {
            let mut commits = metrics.commits.lock();
            commits.count += 1;
            let took = begun.elapsed();
            commits.last = took;
            commits.last_at = Some(Timestamp::now());
            metrics.commit_times.observe(took);
            tracing::info!(target: COMMIT_LOG_TARGET, epoch, rows, seconds = took.as_secs_f64(), "committed");
        }
        if let Some(SnapshotOrder { question, duplicates, columns }) = order.filter(|_| !failed && !is_last) {
            // Before any later window, so that it has the rows of this one and the earlier ones, and no others.
            let snapshot = targets.sink.snapshot(duplicates, &columns);
            let _ = events.send(EngineEvent::SnapshotTaken { question, snapshot });
        }
        let _ = events.send(match done {
            Ok(()) => EngineEvent::WindowDurable { epoch },
            Err(error) => EngineEvent::CommitFailed(error),
        });
        if failed {
            return;
        }
    }
}

/// Makes one window durable in the archive and the tables.
async fn commit_window<S: WindowSink>(
    targets: &mut CommitTargets<S>,
    CommitRequest { mut window, raw, is_last, .. }: CommitRequest<S>,
) -> Result<(), EngineError> {
    if let Some(archive) = &mut targets.archive {
        archive.store_window(raw).await.map_err(EngineError::Archive)?;
    }
    if let Some(files) = &mut targets.files {
        window.files = files.collect_files(window.epoch).await;
    }
    targets.sink.commit(window).await?;
    if is_last {
        targets.sink.finish().await?;
    }
    Ok(())
}
