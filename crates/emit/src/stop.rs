//! Stop requests of an emit: SIGINT, SIGTERM and SIGHUP.
//!
//! A request starts two clocks: [`SETTLE_GRACE`], for messages that were sent to be acknowledged, and the deadline at
//! which the process ends whatever still waits.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use pinflow_terminal::shutdown::handle_signals;

/// How long messages that were sent may still be acknowledged after a stop request.
pub(crate) const SETTLE_GRACE: Duration = Duration::from_secs(5);
/// How long an emit may take to end after a stop request.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);
/// How often a sleeping thread checks for a stop request.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Whether, and when, an emit was asked to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StopRequest(watch::Receiver<Option<Instant>>);

impl StopRequest {
    /// A request that never comes: for tests.
    #[cfg(test)]
    pub(crate) fn never() -> StopRequest {
        StopRequest(watch::channel(None).1)
    }

    /// A request that comes once the sender sends a time.
    pub(crate) fn manual() -> (watch::Sender<Option<Instant>>, StopRequest) {
        let (requested, is_requested) = watch::channel(None);
        (requested, StopRequest(is_requested))
    }

    /// Listens for signals from now on. `on_request` gets the name of the first one. `on_abandon` runs just before the
    /// process ends: at a second request, or when [`SHUTDOWN_GRACE`] is over.
    ///
    /// # Errors
    /// If the process cannot listen for signals.
    pub(crate) fn listen(
        on_request: impl FnOnce(&'static str) + Send + 'static,
        on_abandon: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<StopRequest> {
        let (requested, is_requested) = watch::channel(None);
        let on_signal = move |signal| {
            let received_at = Instant::now();
            // Reported before the stop, so that the message is not lost when the process ends soon.
            on_request(signal);
            requested.send_replace(Some(received_at));
            requested
        };
        handle_signals(SHUTDOWN_GRACE, on_signal, move |_| on_abandon())?;
        Ok(StopRequest(is_requested))
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Whether messages that were sent need no longer be waited for.
    pub(crate) fn is_grace_over(&self) -> bool {
        self.0.borrow().is_some_and(|at| at.elapsed() >= SETTLE_GRACE)
    }

    /// Waits for a request.
    pub(crate) async fn requested(&self) {
        let mut requested = self.0.clone();
        if requested.wait_for(Option::is_some).await.is_err() {
            // Nothing listens for signals: there will be no request.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until messages that were sent need no longer be waited for.
    pub(crate) async fn grace_over(&self) {
        self.requested().await;
        let at = (*self.0.borrow()).unwrap_or_else(Instant::now);
        tokio::time::sleep_until((at + SETTLE_GRACE).into()).await;
    }

    /// Sleeps for `duration`, or until a request.
    pub(crate) fn sleep(&self, duration: Duration) {
        let end = Instant::now() + duration;
        while !self.is_requested() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(STOP_CHECK_INTERVAL));
        }
    }
}
