//! Maintains tables in the background of a run: checkpoints and log cleanup, compaction, and vacuum.
//!
//! Maintenance has its own threads with a lower priority than the run: the library creates a checkpoint without
//! yielding, and would block a commit on the same thread.

use std::error::Error;
use std::num::NonZeroU64;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deltalake::{DeltaTableError, checkpoints};
use futures::FutureExt;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::compact::{self, CompactionPolicy, CompactionStats, VacuumRetention};
use super::failpoints;
use super::file::Compression;
use super::log::TableLog;
use super::open;
use super::schema::Table;
use pinflow_core::error_text::error_text;

/// The default number of commits between two checkpoints. Opening a table reads a checkpoint and fewer commits than
/// this.
pub(crate) const CHECKPOINT_COMMITS: NonZeroU64 = NonZeroU64::new(100).expect("100 is not zero");

/// The most files that one background compaction of a table creates before its result is applied.
const MAX_JOINS_PER_ROUND: usize = 8;

/// The niceness of maintenance threads. With 5 they get a quarter of a CPU core that the run also wants.
const THREAD_NICENESS: i32 = 5;
/// The maintenance runtime. It is never shut down, because connections opened on it are shared. `None` if its threads
/// could not be started.
static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.enable_all().worker_threads(2).thread_name("upkeep").on_thread_start(|| {
        if let Err(cause) = rustix::process::nice(THREAD_NICENESS) {
            tracing::debug!("upkeep runs with the priority of the run: {cause}");
        }
    });
    threads.build().inspect_err(|cause| tracing::warn!(%cause, "cannot start maintenance threads, so maintenance uses the threads of the run")).ok()
});

/// Starts a task in the background.
pub(crate) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    match &*THREADS {
        Some(threads) => threads.spawn(work),
        None => tokio::spawn(work),
    }
}

/// How long the end of a run waits for maintenance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaintenanceGrace {
    /// For all vacuums together.
    pub(crate) vacuums: Duration,
    /// For vacuums and checkpoints.
    pub(crate) all: Duration,
}

/// Ends maintenance at the end of a run, and aborts what takes longer than that, as if the process had died.
///
/// Maintenance has a low priority. On a busy machine all of it can take longer than a run has for its end.
pub(crate) async fn end_tasks(vacuums: Vec<JoinHandle<()>>, checkpoints: Vec<JoinHandle<()>>, grace: MaintenanceGrace) {
    let begun = Instant::now();
    // Runs of a minute vacuum, too. What one does not finish, the next one does. Checkpoints log their failures.
    let vacuums = vacuums.into_iter().map(|task| (begun + grace.vacuums, task));
    let checkpoints = checkpoints.into_iter().map(|task| (begun + grace.all, task));
    for (until, mut task) in vacuums.chain(checkpoints) {
        if timeout_at(until, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Creates a checkpoint of a version, and removes older commits after the table's log retention (default 30 days).
/// `one` allows one table at a time.
///
/// The table is loaded for this and dropped afterwards, because a handle grows with every commit. A failure is logged.
/// It only makes the next start slower.
pub(crate) async fn checkpoint(log: TableLog, table: Table, version: u64, one: Arc<Semaphore>) {
    // The semaphore is never closed.
    let Ok(_turn) = one.acquire().await else { return };
    // The library may panic where storage fails.
    let made = tokio::spawn(create_checkpoint(log.clone(), table, version)).await;
    match made {
        Ok(Ok(())) => tracing::debug!("checkpoint of {} at version {version}", log.folder.display()),
        Ok(Err(error)) => warn_of_no_checkpoint(&log, version, &error),
        Err(error) => warn_of_no_checkpoint(&log, version, &error),
    }
}

fn warn_of_no_checkpoint(log: &TableLog, version: u64, error: &(dyn Error + 'static)) {
    tracing::warn!(table = %log.folder.display(), version, error = error_text(error), "no checkpoint was written");
}

async fn create_checkpoint(log: TableLog, table: Table, version: u64) -> Result<(), DeltaTableError> {
    let point = |step| failpoints::hit(table.name(), step).map_err(|cause| DeltaTableError::generic(cause.to_string()));
    let builder = open::table_builder(&log).map_err(|error| DeltaTableError::generic(error_text(&error)))?;
    point("before_checkpoint")?;
    let handle = builder.with_version(version).load().await?;
    checkpoints::create_checkpoint(&handle, None).await?;
    point("after_checkpoint")?;
    checkpoints::cleanup_metadata(&handle, None).await?;
    Ok(())
}

/// Compacts a table. `one` allows one table at a time, and is released after each new file, because a table with
/// frequent commits always has files to join. A failure is logged. It only makes readers slower.
pub(crate) async fn compact(
    log: TableLog,
    table: Table,
    compression: Compression,
    how: CompactionPolicy,
    one: Arc<Semaphore>,
) -> CompactionStats {
    let mut done = CompactionStats::default();
    for _ in 0..MAX_JOINS_PER_ROUND {
        // The semaphore is never closed.
        let Ok(_turn) = one.acquire().await else { return done };
        let of = log.clone();
        let joining = async move { compact::join_next_files(&of, table, compression, how).await };
        // The library may panic where storage fails.
        match AssertUnwindSafe(joining).catch_unwind().await {
            Ok(Ok(Some(joined))) => done += joined,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                tracing::warn!(table = %log.folder.display(), error = error_text(&error), "cannot compact small files");
                break;
            }
            Err(_) => {
                tracing::warn!(table = %log.folder.display(), error = "the library panicked", "cannot compact small files");
                break;
            }
        }
    }
    let CompactionStats { files_before, files_after, rows } = done;
    tracing::debug!(table = table.name(), files_before, files_after, rows, "compacted files");
    done
}

/// Removes files to which no version of the retention refers. `one` allows one table at a time. A failure is logged. It
/// only costs space.
pub(crate) async fn vacuum(log: TableLog, table: Table, keep: VacuumRetention, one: Arc<Semaphore>) {
    // The semaphore is never closed.
    let Ok(_turn) = one.acquire().await else { return };
    let of = log.clone();
    // The library may panic where storage fails.
    let vacuuming = AssertUnwindSafe(async move { compact::remove_unreferenced(&of, keep).await }).catch_unwind();
    match vacuuming.await {
        Ok(Ok(removed)) if removed.is_empty() => {}
        Ok(Ok(removed)) => {
            let (table, hours) = (table.name(), keep.hours);
            tracing::info!(table, files = removed.len(), hours, "vacuumed files that no version needs");
        }
        Ok(Err(error)) => {
            let error = error_text(&error);
            tracing::warn!(table = %log.folder.display(), error, "cannot vacuum files that no version needs");
        }
        Err(_) => {
            tracing::warn!(table = %log.folder.display(), error = "the library panicked", "cannot vacuum files that no version needs");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts the tasks that were dropped before they ended.
    struct DropCounter(Arc<AtomicUsize>);

    impl Drop for DropCounter {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn maintenance_that_does_not_end_is_aborted_and_the_rest_ends_before() {
        let (aborted, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let endless = || {
            let counter = DropCounter(Arc::clone(&aborted));
            tokio::spawn(async move {
                let _counter = counter;
                std::future::pending::<()>().await;
            })
        };
        let short = || {
            let ended = Arc::clone(&ended);
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                ended.fetch_add(1, Ordering::SeqCst);
            })
        };
        let grace = MaintenanceGrace { vacuums: Duration::from_millis(30), all: Duration::from_millis(60) };
        let ending = end_tasks(vec![short(), endless(), endless(), short()], vec![endless(), short()], grace);
        tokio::time::timeout(Duration::from_secs(60), ending).await.expect("it does not wait for endless tasks");
        while aborted.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ended.load(Ordering::SeqCst), 3);
    }
}
