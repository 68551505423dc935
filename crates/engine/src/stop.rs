//! How a run ends, and how long that may take.

use std::time::Duration;

use pinflow_dataflows::ingest::IngestCounts;
use tokio::sync::watch;
use tokio::time::sleep;

use pinflow_core::position::Epoch;

/// How long an orderly stop may take before it is given up: finish the window, commit it, end. A little less than the
/// whole process has, so that the error can still be reported.
pub const STOP_DEADLINE: Duration = Duration::from_secs(18);
/// How long a stopping run waits for a reader to take a frame, each time.
pub(super) const SERVING_GRACE: Duration = Duration::from_secs(5);

/// Waits until [`STOP_DEADLINE`] after a stop was requested; for ever if none is.
pub async fn wait_for_stop_deadline(stop: watch::Receiver<bool>) {
    sleep_after_stop(stop, STOP_DEADLINE).await;
}

pub(super) async fn sleep_after_stop(mut stop: watch::Receiver<bool>, time: Duration) {
    // If the sender is gone, no stop can be requested any more.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(time).await;
}

/// What a run has read, by kind of finding.
#[derive(Debug, Default, Clone)]
pub struct RunTotals {
    /// Rows read in this run.
    pub rows: u64,
    /// Rows rejected in this run.
    pub rejected: u64,
    /// Rejections by reason, field faults by column, unknown fields.
    pub counts: IngestCounts,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// What was read.
    pub totals: RunTotals,
    /// Whether a signal ended it before its sources did.
    pub stopped: bool,
    /// The last epoch that passed.
    pub epoch: Epoch,
    /// Whether the run ended before its sources did because another process of the cluster was asked to stop.
    pub stopped_by_peer: bool,
}

impl RunOutcome {
    /// A run that was stopped before it read a record.
    #[must_use]
    pub fn stopped_early() -> RunOutcome {
        RunOutcome { totals: RunTotals::default(), stopped: true, epoch: 0, stopped_by_peer: false }
    }

    /// A run that ended before it read a record, because another process of the cluster was asked to stop.
    #[must_use]
    pub fn stopped_early_by_peer() -> RunOutcome {
        RunOutcome { stopped_by_peer: true, ..RunOutcome::stopped_early() }
    }
}
