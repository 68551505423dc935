//! Metrics of a running engine.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use pinflow_dataflows::graph::{QuestionUsage, StateSizes};
use pinflow_dataflows::ingest::IngestCounts;
use pinflow_dataflows::introspection::WorkerLog;
use pinflow_dataflows::questions::QuestionId;
use tokio::sync::watch;

use super::cluster::PeerTable;
use super::rejection_log::RejectionLog;
use pinflow_connect::sink::{PriorCounts, TableStatus};
use pinflow_core::duration_histogram::DurationHistogram;

/// Metrics of a running engine, for progress, `/status` and `/metrics`.
#[derive(Debug, Default)]
pub struct EngineMetrics {
    /// Rows read, rejections included.
    pub rows: AtomicU64,
    /// Rows rejected.
    pub rejected: AtomicU64,
    /// Rows read back from the tables.
    pub rebuilt: AtomicU64,
    /// Number of rows to read back.
    pub rebuild_total: AtomicU64,
    /// Texts read back from the tables that exceed the limit of new texts, and count as null.
    pub stored_texts_too_long: AtomicU64,
    /// The last epoch that passed.
    pub epoch: AtomicU64,
    /// The last durable epoch.
    pub durable_epoch: AtomicU64,
    /// Texts that no row referred to any more, freed in this run.
    pub texts_freed: AtomicU64,
    /// Limit of the resident memory, bytes; 0 without limit.
    pub memory_max: AtomicU64,
    /// Whether sources pause because the memory is above its limit.
    pub memory_is_over: AtomicBool,
    /// State sizes of each worker's part of the graph.
    sizes: Mutex<Vec<StateSizes>>,
    /// What each question costs on each worker.
    question_usage: Mutex<Vec<Vec<QuestionUsage>>>,
    /// Bytes given to workers.
    pub bytes: AtomicU64,
    /// Remaining bytes of the sources that know it.
    pub bytes_remaining: AtomicU64,
    /// Remaining records of the sources that know it.
    pub lag: AtomicU64,
    /// Whether answers may be shown.
    pub open: AtomicBool,
    /// What the commits wait for. `None` if they do not wait.
    pub paused: OnceLock<watch::Receiver<Option<String>>>,
    /// Sources that cannot be read at the moment, and why.
    blocked: Mutex<BTreeMap<String, String>>,
    /// The contents of the tables.
    pub tables: OnceLock<watch::Receiver<Vec<TableStatus>>>,
    /// Counts of parsed messages.
    pub counts: Mutex<IngestCounts>,
    /// The commits of this run.
    pub commits: Mutex<CommitStats>,
    /// How long the commits of this run took, waiting included.
    pub commit_times: DurationHistogram,
    /// From the close of an epoch until it has passed the graph on all workers.
    pub graph_times: DurationHistogram,
    /// Rows read by earlier runs. Set once, before the first record.
    pub prior: OnceLock<PriorCounts>,
    /// The last rejections of this run, if the run is inspected.
    pub rejection_log: OnceLock<RejectionLog>,
    /// The processes of the cluster.
    pub peers: PeerTable,
    /// Whether the run was stopped because another process of the cluster was asked to.
    pub stopped_by_peer: AtomicBool,
    /// Logs of the workers, if the run is inspected. Set before the run starts. Each worker adds its own.
    pub worker_logs: OnceLock<Mutex<Vec<WorkerLog>>>,
}

impl EngineMetrics {
    /// Keeps the last rejections and logs of the workers, so that the run can be inspected. Call this before the run starts.
    pub fn enable_inspection(&self) {
        self.enable_rejection_log();
        let _ = self.worker_logs.set(Mutex::default());
    }

    pub(super) fn enable_rejection_log(&self) {
        let _ = self.rejection_log.set(RejectionLog::default());
    }

    pub(super) fn record_graph_sizes(&self, worker: usize, sizes: StateSizes) {
        let mut all = self.sizes.lock();
        let workers = all.len().max(worker + 1);
        all.resize(workers, StateSizes::default());
        all[worker] = sizes;
    }

    /// State sizes of the graph on all workers.
    #[must_use]
    pub fn graph_sizes(&self) -> StateSizes {
        let mut held = StateSizes::default();
        self.sizes.lock().iter().for_each(|sizes| held += *sizes);
        held
    }

    /// State sizes of each worker of this process.
    pub(super) fn worker_sizes(&self) -> Vec<StateSizes> {
        self.sizes.lock().clone()
    }

    /// What each question costs on each worker of this process.
    pub(super) fn worker_question_usage(&self) -> Vec<Vec<QuestionUsage>> {
        self.question_usage.lock().clone()
    }

    pub(super) fn record_question_usage(&self, worker: usize, usage: Vec<QuestionUsage>) {
        let mut all = self.question_usage.lock();
        let workers = all.len().max(worker + 1);
        all.resize(workers, Vec::new());
        all[worker] = usage;
    }

    /// What each question costs on all workers, by id.
    #[must_use]
    pub fn question_usage(&self) -> Vec<QuestionUsage> {
        let mut sums: BTreeMap<QuestionId, QuestionUsage> = BTreeMap::new();
        for usage in self.question_usage.lock().iter().flatten() {
            *sums.entry(usage.question).or_insert_with(|| QuestionUsage::none(usage.question)) += *usage;
        }
        sums.into_values().collect()
    }

    /// Records that a source cannot be read and why, or (`None`) that it can be again.
    pub(crate) fn record_blocked_source(&self, source: String, cause: Option<String>) {
        let mut blocked = self.blocked.lock();
        match cause {
            Some(cause) => drop(blocked.insert(source, cause)),
            None => drop(blocked.remove(&source)),
        }
    }

    /// Sources that cannot be read at the moment, and why; `None` if all can.
    #[must_use]
    pub fn blocked_sources(&self) -> Option<String> {
        let blocked = self.blocked.lock();
        let causes: Vec<_> = blocked.iter().map(|(source, cause)| format!("{source}: {cause}")).collect();
        (!causes.is_empty()).then(|| causes.join("; "))
    }

    /// The logs of the workers. Empty if the run is not inspected.
    #[must_use]
    pub fn worker_logs(&self) -> Vec<WorkerLog> {
        let logs = self.worker_logs.get().map(|logs| logs.lock().clone());
        logs.unwrap_or_default()
    }
}

/// Windows that were committed, and how long that took, waiting included (a full disk, another writer).
#[derive(Debug, Default, Clone, Copy)]
pub struct CommitStats {
    /// How many.
    pub count: u64,
    /// The last one.
    pub last: Duration,
    /// When the last one was durable; `None` before the first.
    pub last_at: Option<Timestamp>,
}
