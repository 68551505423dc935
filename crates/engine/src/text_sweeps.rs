//! Frees texts that no row refers to. A sweep starts at the end of an epoch once the texts have grown enough.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures::future::OptionFuture;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::symbol::SymbolSweep;
use tokio::task::JoinHandle;

use super::EngineMetrics;
use pinflow_core::position::Epoch;

/// How long the end of a run waits until all workers have marked their rows. Much longer than it takes.
const MARKING_TIMEOUT: Duration = Duration::from_secs(5);
const MARKING_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// The current sweep, if there is one.
pub(super) struct TextSweeps {
    workers: usize,
    /// With `duplicates = "keep"` every row counts forever, and nothing can be freed.
    is_possible: bool,
    marking: Option<(Epoch, Arc<SymbolSweep>)>,
    freeing: Option<JoinHandle<()>>,
    metrics: Arc<EngineMetrics>,
}

impl TextSweeps {
    pub(super) fn new(workers: usize, duplicates: DuplicatePolicy, metrics: Arc<EngineMetrics>) -> TextSweeps {
        let is_possible = duplicates == DuplicatePolicy::Latest;
        TextSweeps { workers, is_possible, marking: None, freeing: None, metrics }
    }

    /// The sweep that starts at the end of this epoch, if one is due or requested and none is running. It is sent to
    /// all workers with the end of the epoch.
    pub(super) fn begin_sweep(&mut self, epoch: Epoch, demanded: bool) -> Option<Arc<SymbolSweep>> {
        if !self.is_possible || self.is_under_way() || !(demanded || SymbolSweep::is_due()) {
            return None;
        }
        let sweep = SymbolSweep::begin(self.workers)?;
        self.marking = Some((epoch, Arc::clone(&sweep)));
        Some(sweep)
    }

    /// Whether a demanded sweep would begin now. If not, the demand waits: until another sweep has ended, which does not
    /// free what came after it began, or until the last worker has started.
    pub(super) fn can_begin(&self) -> bool {
        !self.is_under_way() && (!self.is_possible || SymbolSweep::can_begin(self.workers))
    }

    /// Ends the sweep that is under way, if its epoch has passed, at the end of a run: nothing would free the texts later.
    pub(super) async fn finish(&mut self, frontier: Epoch) {
        let start = Instant::now();
        self.on_frontier(frontier);
        // A worker may mark its rows shortly after their epoch has passed.
        while self.marking.is_some() && start.elapsed() < MARKING_TIMEOUT {
            tokio::time::sleep(MARKING_CHECK_INTERVAL).await;
            self.on_frontier(frontier);
        }
        if let Some(Err(error)) = OptionFuture::from(self.freeing.take()).await {
            tracing::warn!(%error, "texts that no row refers to could not be freed");
        }
    }

    fn is_under_way(&self) -> bool {
        self.marking.is_some() || self.freeing.as_ref().is_some_and(|freeing| !freeing.is_finished())
    }

    /// Frees what was not marked, in the background, once the sweep's epoch has passed on all workers.
    pub(super) fn on_frontier(&mut self, frontier: Epoch) {
        let passed = self.marking.take_if(|(epoch, sweep)| *epoch < frontier && sweep.is_marked());
        let Some((_, sweep)) = passed else { return };
        let metrics = Arc::clone(&self.metrics);
        self.freeing = Some(tokio::task::spawn_blocking(move || {
            let freed = sweep.free_unmarked();
            metrics.texts_freed.fetch_add(freed as u64, Relaxed);
            tracing::debug!(texts = freed, "texts that no row refers to are freed");
        }));
    }
}
