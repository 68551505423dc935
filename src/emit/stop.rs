//! Stop requests of an emit: SIGINT, SIGTERM and SIGHUP.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals within this time are one request, whatever their names, as in `crate::shutdown`: GNU `timeout` and some
/// supervisors signal a process and its group.
const SAME_REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long messages that were sent may still be acknowledged after a stop request.
pub(crate) const SETTLE_GRACE: Duration = Duration::from_secs(5);
/// How long an emit may take to end after a stop request.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);
/// How often a thread that sleeps looks for a stop request.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Whether, and when, an emit was asked to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StopRequest(watch::Receiver<Option<Instant>>);

impl StopRequest {
    /// Never requested: for tests.
    #[cfg(test)]
    pub(crate) fn never() -> StopRequest {
        StopRequest(watch::channel(None).1)
    }

    /// Listens for signals from now on. `request` hears the name of the first one; `abandon` runs, and has to end the
    /// process, at a second one or when the time is over.
    pub(crate) fn listen(
        request: impl FnOnce(&'static str) + Send + 'static,
        abandon: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<StopRequest> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = runtime.block_on(async { Signals::listen() })?;
        let (requested, is_requested) = watch::channel(None);
        let listen = async move {
            let mut signals = signals;
            let first = signals.next().await;
            let at = Instant::now();
            // Before the stop, so that its message is not lost when the process ends soon.
            request(first);
            requested.send_replace(Some(at));
            // Nobody waits for this longer than the grace.
            let _ = tokio::time::timeout(SHUTDOWN_GRACE, signals.next_request(at)).await;
            abandon();
            // Readers of the request must not see it withdrawn.
            std::future::pending::<()>().await;
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
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
            // Nobody listens for signals: there will be no request.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until messages that were sent need no longer be waited for.
    pub(crate) async fn grace_over(&self) {
        self.requested().await;
        let at = (*self.0.borrow()).unwrap_or_else(Instant::now);
        tokio::time::sleep_until((at + SETTLE_GRACE).into()).await;
    }

    /// Sleeps, but not beyond a request.
    pub(crate) fn sleep(&self, duration: Duration) {
        let end = Instant::now() + duration;
        while !self.is_requested() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(CHECK_INTERVAL));
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it is ignored, as under `nohup`.
    hang_up: Option<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        let hang_up = (!is_hang_up_ignored()).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    async fn next(&mut self) -> &'static str {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hang_up => "SIGHUP",
        }
    }

    /// The next signal that is not the same request as the one at `first_at`.
    async fn next_request(&mut self, first_at: Instant) {
        loop {
            self.next().await;
            if first_at.elapsed() >= SAME_REQUEST_INTERVAL {
                return;
            }
        }
    }
}

/// Whether the process was started with SIGHUP ignored. A handler would undo that.
fn is_hang_up_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
