//! The committer: makes windows durable, in their order, one at a time: first in the archive, if there is one, then in the
//! tables. So what the tables say is durable can be read back from the archive.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::worker::{Report, panic_message};
use super::{EngineError, Gauges};
use crate::archive::{Archive, ArchiveError, Moved, Raw};
use crate::sinks::{Encoder, Sink, Window};
use crate::sources::Records;

/// The target of what is said of commits.
const TARGET: &str = "pinflow::commit";

/// Whether a window is the last of its run.
pub(super) type IsLast = bool;

/// A window on its way to the disk.
pub(super) struct ToCommit<S: Sink> {
    pub(super) window: Window<Batches<S>>,
    /// Its messages as they were received; none if they are not archived.
    pub(super) raw: Vec<Received>,
    /// How each partition moves in it, by what rows' `_source` says.
    pub(super) moved: Vec<(String, Moved)>,
    pub(super) last: IsLast,
}

/// Messages of one partition.
pub(super) struct Received {
    /// What their rows' `_source` says.
    pub(super) source: String,
    pub(super) records: Records,
}

pub(super) type Batches<S> = <<S as Sink>::Encoder as Encoder>::Batches;

/// Commits windows, and reports a panic: the conductor would wait for a dead committer forever.
pub(super) async fn supervised_commits<S: Sink>(
    sink: S,
    archive: Option<Archive>,
    windows: mpsc::Receiver<ToCommit<S>>,
    reports: mpsc::UnboundedSender<Report<Batches<S>>>,
    gauges: Arc<Gauges>,
) {
    let work = commit_windows(sink, archive, windows, reports.clone(), &gauges);
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        let message = panic_message(panic.as_ref());
        let _ = reports.send(Report::Panicked { thread: "committer".to_owned(), message });
    }
}

/// Commits windows in their order, one at a time, until there are no more.
async fn commit_windows<S: Sink>(
    mut sink: S,
    mut archive: Option<Archive>,
    mut windows: mpsc::Receiver<ToCommit<S>>,
    reports: mpsc::UnboundedSender<Report<Batches<S>>>,
    gauges: &Gauges,
) {
    while let Some(to_commit) = windows.recv().await {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("engine::commit");
        let (epoch, rows, begun) = (to_commit.window.epoch, to_commit.window.rows, Instant::now());
        let span = tracing::info_span!(target: TARGET, "commit", epoch, rows);
        let done = commit(&mut sink, archive.as_mut(), to_commit).instrument(span).await;
        let failed = done.is_err();
        if !failed {
            let mut commits = gauges.commits.lock().unwrap_or_else(PoisonError::into_inner);
            commits.count += 1;
            let took = begun.elapsed();
            commits.last = took;
            commits.last_at = Some(Timestamp::now());
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

/// Makes one window durable, everywhere.
async fn commit<S: Sink>(
    sink: &mut S,
    archive: Option<&mut Archive>,
    ToCommit { window, raw, moved, last }: ToCommit<S>,
) -> Result<(), EngineError> {
    if let Some(archive) = archive {
        let written = tokio::task::spawn_blocking(move || written(&raw, &moved)).await;
        archive.store(written.map_err(|_| ArchiveError::Died)?).await?;
    }
    sink.commit(window).await?;
    if last {
        sink.finish().await?;
    }
    Ok(())
}

/// Messages as the archive has them.
fn written(raw: &[Received], moved: &[(String, Moved)]) -> Raw {
    let mut written = Raw::default();
    moved.iter().for_each(|(source, moved)| written.moves(source, *moved));
    for Received { source, records } in raw {
        records.each(|entry| written.add(source, entry.position, entry.payload));
    }
    written
}
