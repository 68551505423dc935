//! The state of an emit that its threads share: acknowledgements, the current retry, and the stop request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use parking_lot::{Mutex, MutexGuard};

use super::acks::{AckCounts, DestinationAcks};
use super::progress::write_line;
use super::stop::StopRequest;
use pinflow_terminal::shutdown::write_briefly;

/// The minimum time between two log lines about retries for the same reason,
const SAME_REASON_INTERVAL: Duration = Duration::from_secs(10);
/// and for different reasons.
const OTHER_REASON_INTERVAL: Duration = Duration::from_secs(1);

/// How an emit that was stopped can be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeMode {
    /// Not at all: a recording or Delta tables are always sent from the beginning.
    None,
    Skip,
    /// With `--append`, file by file.
    Append,
}

/// Tracks the delivery of an emit. Shared by its threads.
#[derive(Debug)]
pub(crate) struct DeliveryTracker {
    pub(crate) stop: StopRequest,
    continuation: ResumeMode,
    state: Arc<DeliveryState>,
}

#[derive(Debug, Default)]
struct DeliveryState {
    destinations: Mutex<Vec<Arc<DestinationAcks>>>,
    retry: Mutex<RetryLog>,
}

/// The current retry, and when a retry was last logged.
#[derive(Debug, Default)]
struct RetryLog {
    current: Option<CurrentRetry>,
    logged: Option<(String, Instant)>,
}

#[derive(Debug)]
struct CurrentRetry {
    reason: String,
    attempt: u32,
    next: Instant,
    since: Instant,
    is_logged: bool,
}

impl DeliveryTracker {
    /// Starts to listen for signals.
    ///
    /// # Errors
    /// If the process cannot listen for signals.
    pub(crate) fn start(continuation: ResumeMode) -> std::io::Result<DeliveryTracker> {
        let state = Arc::<DeliveryState>::default();
        let (at_request, at_end) = (Arc::clone(&state), Arc::clone(&state));
        let request = move |signal: &str| {
            let waiting = at_request.counts().unsettled();
            let line = format!(
                "stopping: {signal}: {} messages wait for an acknowledgement; a signal more than a second from now stops at once",
                HumanCount(waiting)
            );
            write_briefly(move || write_line(&line));
        };
        let abandon = move || {
            let report = at_end.report_acks(continuation);
            write_briefly(move || write_line(&format!("pinflow: stopped before all was acknowledged\n{report}")));
        };
        Ok(DeliveryTracker { stop: StopRequest::listen(request, abandon)?, continuation, state })
    }

    /// Without signal handling: another part of the process requests the stop.
    pub(crate) fn without_signals(stop: StopRequest) -> DeliveryTracker {
        DeliveryTracker { stop, continuation: ResumeMode::None, state: Arc::default() }
    }

    /// Adds a destination for the draws from `first_draw` to `end_draw`.
    pub(crate) fn add_destination(&self, name: String, first_draw: u64, end_draw: Option<u64>) -> Arc<DestinationAcks> {
        let acks = Arc::new(DestinationAcks::new(name, first_draw, end_draw));
        self.state.lock_destinations().push(Arc::clone(&acks));
        acks
    }

    pub(crate) fn counts(&self) -> AckCounts {
        self.state.counts()
    }

    /// The report of a stopped emit: what was acknowledged, what was not, and how to continue.
    pub(crate) fn report_acks(&self) -> String {
        self.state.report_acks(self.continuation)
    }

    /// The flags that continue the emit. `None` if nothing is left, or it cannot be continued.
    pub(crate) fn continue_hint(&self) -> Option<String> {
        self.state.continue_hint(self.continuation)
    }

    /// Records that a call failed and is retried after `wait`. Logs it, at most once a second.
    pub(crate) fn report_retry(&self, place: &str, reason: &str, attempt: u32, wait: Duration) {
        let mut retry = self.state.lock_retry();
        let now = Instant::now();
        let is_due = retry.is_due(reason, now);
        retry.record_retry(reason, attempt, now + wait, is_due);
        if is_due {
            retry.logged = Some((reason.to_owned(), now));
            let (waiting, next_retry_secs) = (self.counts().unsettled(), wait.as_secs_f64());
            tracing::warn!(place, attempt, next_retry_secs, waiting, "retrying: {reason}");
        }
    }

    /// Records that a call failed and is retried after `wait`. The caller logs it.
    pub(crate) fn note_retry(&self, reason: &str, attempt: u32, wait: Duration) {
        self.state.lock_retry().record_retry(reason, attempt, Instant::now() + wait, false);
    }

    /// Records that a call succeeded, which ends the current retry.
    pub(crate) fn report_success(&self, place: &str) {
        let Some(retry) = self.state.lock_retry().current.take() else { return };
        if retry.is_logged {
            let seconds = retry.since.elapsed().as_secs_f64();
            tracing::info!(place, seconds, attempts = retry.attempt, "messages are acknowledged again");
        }
    }

    /// The current retry, for the progress line.
    pub(crate) fn retry_status(&self) -> Option<String> {
        let retry = self.state.lock_retry();
        let current = retry.current.as_ref()?;
        let next = current.next.saturating_duration_since(Instant::now()).as_secs_f64();
        Some(format!("retry {} in {next:.1} s: {}", current.attempt, current.reason))
    }
}

impl RetryLog {
    fn record_retry(&mut self, reason: &str, attempt: u32, next: Instant, is_logged: bool) {
        let before = self.current.take();
        let (since, was_logged) = before.map_or((Instant::now(), false), |before| (before.since, before.is_logged));
        let is_logged = was_logged || is_logged;
        self.current = Some(CurrentRetry { reason: reason.to_owned(), attempt, next, since, is_logged });
    }

    fn is_due(&self, reason: &str, now: Instant) -> bool {
        let Some((logged, at)) = &self.logged else { return true };
        let interval = if logged == reason { SAME_REASON_INTERVAL } else { OTHER_REASON_INTERVAL };
        now.duration_since(*at) >= interval
    }
}

impl DeliveryState {
    fn lock_destinations(&self) -> MutexGuard<'_, Vec<Arc<DestinationAcks>>> {
        self.destinations.lock()
    }

    fn lock_retry(&self) -> MutexGuard<'_, RetryLog> {
        self.retry.lock()
    }

    fn counts(&self) -> AckCounts {
        let mut sum = AckCounts::default();
        self.lock_destinations().iter().for_each(|acks| sum.add_counts(acks.counts()));
        sum
    }

    fn report_acks(&self, continuation: ResumeMode) -> String {
        let counts = self.counts();
        let mut lines = vec![format!("{} messages were acknowledged", HumanCount(counts.acknowledged))];
        if counts.unsettled() > 0 {
            let waiting = HumanCount(counts.unsettled());
            lines.push(format!("{waiting} messages were sent and not acknowledged; some of them may have arrived"));
        }
        if counts.refused > 0 {
            lines.push(format!("{} messages were refused", HumanCount(counts.refused)));
        }
        lines.extend(self.continue_hint(continuation));
        lines.join("\n")
    }

    fn continue_hint(&self, continuation: ResumeMode) -> Option<String> {
        let destinations = self.lock_destinations();
        match continuation {
            ResumeMode::None => None,
            ResumeMode::Skip => {
                let next = destinations.iter().map(|acks| acks.resume_draw()).min()?;
                match destinations.iter().filter_map(|acks| acks.end_draw).max() {
                    Some(end) if next >= end => None,
                    Some(end) => Some(format!("--skip {next} --count {} continues", end - next)),
                    None => Some(format!("--skip {next} continues with the next draw")),
                }
            }
            ResumeMode::Append => {
                let left =
                    |acks: &Arc<DestinationAcks>| acks.end_draw.map_or(0, |end| end.saturating_sub(acks.resume_draw()));
                let unfinished = destinations.iter().filter(|acks| left(acks) > 0);
                let line =
                    |acks: &Arc<DestinationAcks>| format!("{}: --append --count {} continues", acks.name, left(acks));
                let lines: Vec<_> = unfinished.map(line).collect();
                (!lines.is_empty()).then(|| lines.join("\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_is_logged_at_once_and_then_at_intervals() {
        let now = Instant::now();
        let mut log = RetryLog::default();
        assert!(log.is_due("refused", now));
        log.logged = Some(("refused".to_owned(), now));
        assert!(
            !log.is_due("refused", now + Duration::from_secs(9))
                && log.is_due("refused", now + Duration::from_secs(10))
        );
        assert!(!log.is_due("busy", now) && log.is_due("busy", now + Duration::from_secs(1)));
    }

    #[test]
    fn continue_hint_names_lowest_draw_of_all_destinations() {
        let hint = |how, ends: [Option<u64>; 2]| {
            let state = DeliveryState::default();
            for ((name, acknowledged), end) in [("pin", 7), ("geo", 4)].into_iter().zip(ends) {
                let acks = Arc::new(DestinationAcks::new(name.to_owned(), 0, end));
                acks.end_draws(acknowledged);
                state.lock_destinations().push(acks);
            }
            state.continue_hint(how).unwrap_or_default()
        };
        assert_eq!(hint(ResumeMode::Skip, [Some(10); 2]), "--skip 4 --count 6 continues");
        assert_eq!(hint(ResumeMode::Skip, [None; 2]), "--skip 4 continues with the next draw");
        assert_eq!(hint(ResumeMode::Skip, [Some(4); 2]), "");
        let append = "pin: --append --count 3 continues\ngeo: --append --count 6 continues";
        assert_eq!(hint(ResumeMode::Append, [Some(10); 2]), append);
        assert_eq!(hint(ResumeMode::Append, [Some(7), Some(5)]), "geo: --append --count 1 continues");
        assert_eq!(hint(ResumeMode::None, [Some(10); 2]), "");
    }
}
