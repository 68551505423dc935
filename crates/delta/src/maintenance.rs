//! Keeping a table small beside a run: checkpoints of its log and the cleaning of what they replace, the joining of its
//! files, and the removal of files that nobody needs.
//!
//! All of it runs on threads of its own, which stand behind the run's wherever both want a processor: the library makes
//! a checkpoint without awaiting anything, and a commit that shared its thread would wait as long.

use std::num::NonZeroU64;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};

use deltalake::{DeltaTableError, checkpoints};
use futures::FutureExt;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::compact::{self, CompactionPolicy, CompactionStats, VacuumRetention};
use super::failpoints;
use super::file::Compression;
use super::log::TableLog;
use super::open;
use super::schema::Table;

/// Unless set otherwise, a checkpoint is made after so many commits: reading a log then costs one file and fewer
/// commits than this.
pub(crate) const CHECKPOINT_COMMITS: NonZeroU64 = NonZeroU64::new(100).expect("100 is not zero");

/// New files of one going-over of a table: what they came to is then taken up, and it begins again.
const MAX_JOINS_PER_ROUND: usize = 8;

/// How far behind the run's its threads stand: they get a quarter of a processor that both want.
const THREAD_NICENESS: i32 = 5;
/// Never ended: connections that were opened on it serve others, too. `None` if the system gave no threads.
static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.enable_all().worker_threads(2).thread_name("upkeep").on_thread_start(|| {
        if let Err(cause) = rustix::process::nice(THREAD_NICENESS) {
            tracing::debug!("upkeep runs with the priority of the run: {cause}");
        }
    });
    threads.build().inspect_err(|cause| tracing::warn!(%cause, "table maintenance runs on the run's own threads")).ok()
});

/// Begins something that is not waited for.
pub(crate) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    match &*THREADS {
        Some(threads) => threads.spawn(work),
        None => tokio::spawn(work),
    }
}

/// Makes a checkpoint of a version, and removes commits that it replaces once they are older than the table's
/// retention (30 days unless set), one table at a time. It reads the table into a handle of its own, which is dropped
/// afterwards: a handle that lives grows with every commit. A failure is told and costs nothing but time.
pub(crate) async fn checkpoint(log: TableLog, table: Table, version: u64, one: Arc<Semaphore>) {
    // Never closed.
    let Ok(_turn) = one.acquire().await else { return };
    // The library may panic where storage fails.
    let made = tokio::spawn(create_checkpoint(log.clone(), table, version)).await;
    match made {
        Ok(Ok(())) => tracing::debug!("checkpoint of {} at version {version}", log.folder.display()),
        Ok(Err(error)) => tracing::warn!(table = %log.folder.display(), version, %error, "no checkpoint was written"),
        Err(error) => tracing::warn!(table = %log.folder.display(), version, %error, "no checkpoint was written"),
    }
}

async fn create_checkpoint(log: TableLog, table: Table, version: u64) -> Result<(), DeltaTableError> {
    let point = |step| failpoints::hit(table.name(), step).map_err(|cause| DeltaTableError::generic(cause.to_string()));
    let builder = open::table_builder(&log).map_err(|error| DeltaTableError::generic(error.to_string()))?;
    point("before_checkpoint")?;
    let handle = builder.with_version(version).load().await?;
    checkpoints::create_checkpoint(&handle, None).await?;
    point("after_checkpoint")?;
    checkpoints::cleanup_metadata(&handle, None).await?;
    Ok(())
}

/// Joins the small files of a table, one table at a time; after each new file the next table has its turn, for where
/// commits come quickly there is always something to be joined. A failure is told and costs nothing but time.
pub(crate) async fn compact(
    log: TableLog,
    table: Table,
    compression: Compression,
    how: CompactionPolicy,
    one: Arc<Semaphore>,
) -> CompactionStats {
    let mut done = CompactionStats::default();
    for _ in 0..MAX_JOINS_PER_ROUND {
        // Never closed.
        let Ok(_turn) = one.acquire().await else { return done };
        let of = log.clone();
        let joining = async move { compact::join_next_files(&of, table, compression, how).await };
        // The library may panic where storage fails.
        match AssertUnwindSafe(joining).catch_unwind().await {
            Ok(Ok(Some(joined))) => done += joined,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                tracing::warn!(table = %log.folder.display(), %error, "small files are not compacted");
                break;
            }
            Err(_) => {
                tracing::warn!(table = %log.folder.display(), error = "the library panicked", "small files are not compacted");
                break;
            }
        }
    }
    let CompactionStats { files_before, files_after, rows } = done;
    tracing::debug!(table = table.name(), files_before, files_after, rows, "files are joined");
    done
}

/// Removes files to which no version of the last hours refers, one table at a time. A failure is told and costs nothing
/// but room.
pub(crate) async fn vacuum(log: TableLog, table: Table, keep: VacuumRetention, one: Arc<Semaphore>) {
    // Never closed.
    let Ok(_turn) = one.acquire().await else { return };
    let of = log.clone();
    // The library may panic where storage fails.
    let sweeping = AssertUnwindSafe(async move { compact::remove_unreferenced(&of, keep).await }).catch_unwind();
    match sweeping.await {
        Ok(Ok(removed)) if removed.is_empty() => {}
        Ok(Ok(removed)) => {
            let (table, hours) = (table.name(), keep.hours);
            tracing::info!(table, files = removed.len(), hours, "files that no version needs any more are removed");
        }
        Ok(Err(error)) => {
            tracing::warn!(table = %log.folder.display(), %error, "files that no version needs are not removed");
        }
        Err(_) => {
            tracing::warn!(table = %log.folder.display(), error = "the library panicked", "files that no version needs are not removed");
        }
    }
}
