//! How a run ends, and how long it may take to.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Totals;
use crate::position::Epoch;

/// How long an orderly stop may take before it is given up: finish the window, commit it, end. A little less than the
/// process as a whole has, so that it can still say why it failed.
pub const STOP_DEADLINE: Duration = Duration::from_secs(18);
/// How long a stopping run waits for whoever takes passed epochs, each time.
pub(super) const SERVING_GRACE: Duration = Duration::from_secs(5);

/// Waits until a stop is asked for and [`STOP_DEADLINE`] has passed since; for ever if none is asked for.
pub async fn stop_deadline(stop: watch::Receiver<bool>) {
    sleep_after_stop(stop, STOP_DEADLINE).await;
}

pub(super) async fn sleep_after_stop(mut stop: watch::Receiver<bool>, time: Duration) {
    // A sender that has gone asks for nothing any more.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(time).await;
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was read.
    pub totals: Totals,
    /// Whether a signal ended it before its sources did.
    pub stopped: bool,
    /// The last epoch that passed.
    pub epoch: Epoch,
}

impl Outcome {
    /// A run that was stopped before it read anything.
    #[must_use]
    pub fn stopped_early() -> Outcome {
        Outcome { totals: Totals::default(), stopped: true, epoch: 0 }
    }
}
