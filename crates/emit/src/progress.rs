//! Progress on standard error: a bar on a terminal, a line every five seconds elsewhere. It counts acknowledged posts.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use super::acks::AckCounts;
use super::delivery::DeliveryTracker;
use pinflow_terminal::{add_progress_bar, sanitize};

/// How often the end is checked for.
const END_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// How often a line is written without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How long messages may wait without any acknowledgement before a warning.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the warning is repeated.
const STALL_REPEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of a delivery until `ended`. `all` is the number of posts, if known.
pub(crate) fn watch_delivery(delivery: &DeliveryTracker, all: Option<u64>, ended: impl Fn() -> bool) {
    let bar = std::io::stderr().is_terminal().then(|| new_bar(all));
    let (started, mut line_at, mut stall) = (Instant::now(), Instant::now(), AckStallDetector::new());
    while !ended() {
        std::thread::sleep(END_CHECK_INTERVAL);
        let counts = delivery.counts();
        let retry = delivery.retry_status();
        if let Some(secs) = stall.check(counts, retry.is_some(), Instant::now()) {
            let waiting = counts.unsettled();
            tracing::warn!(waiting, "no message was acknowledged for {secs} s; still trying");
        }
        if let Some(bar) = &bar {
            bar.set_position(counts.posts);
            let left = match retry {
                // The end of the retries is unknown, and so is the time left.
                None if counts.posts > 0 && all.is_some() => format!(", {} left", HumanDuration(bar.eta())),
                _ => String::new(),
            };
            let of = all.map(|all| format!(" of {}", HumanCount(all))).unwrap_or_default();
            let (posts, rate) = (HumanCount(counts.posts), HumanCount(bar.per_sec() as u64));
            let state = pending_text(counts, retry.as_deref());
            let text = format!("{posts}{of} posts acknowledged, {rate} a second{left}{state}");
            bar.set_message(sanitize(&text).into_owned());
        } else if line_at.elapsed() >= LINE_INTERVAL {
            line_at = Instant::now();
            let rate = counts.posts as f64 / started.elapsed().as_secs_f64();
            let of = all.map(|all| format!(" of {all}")).unwrap_or_default();
            let state = pending_text(counts, retry.as_deref());
            write_line(&format!("{}{of} posts acknowledged, {rate:.0} a second{state}", counts.posts));
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// The messages that wait, and the current retry, as text.
fn pending_text(counts: AckCounts, retry: Option<&str>) -> String {
    let waiting = match counts.unsettled() {
        0 => String::new(),
        waiting => format!(", {} messages wait", HumanCount(waiting)),
    };
    waiting + &retry.map(|retry| format!(", {retry}")).unwrap_or_default()
}

fn new_bar(all: Option<u64>) -> ProgressBar {
    // `wide_msg` is truncated to the width of the terminal.
    let (bar, template) = match all {
        Some(all) => (ProgressBar::new(all), "{bar:20} {wide_msg}"),
        None => (ProgressBar::no_length(), "{wide_msg}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    add_progress_bar(bar.with_style(style))
}

/// Detects that messages wait and none is acknowledged.
struct AckStallDetector {
    acknowledged: u64,
    since: Instant,
    warned: Option<Instant>,
}

impl AckStallDetector {
    fn new() -> AckStallDetector {
        AckStallDetector { acknowledged: 0, since: Instant::now(), warned: None }
    }

    /// Seconds without an acknowledgement, if a warning is due. Retries have warnings of their own.
    fn check(&mut self, counts: AckCounts, is_retrying: bool, now: Instant) -> Option<u64> {
        if counts.acknowledged != self.acknowledged || counts.unsettled() == 0 {
            (self.acknowledged, self.since, self.warned) = (counts.acknowledged, now, None);
            return None;
        }
        let waited = now.duration_since(self.since);
        let is_repeat_due = self.warned.is_none_or(|at| now.duration_since(at) >= STALL_REPEAT_INTERVAL);
        if is_retrying || waited < STALL_TIMEOUT || !is_repeat_due {
            return None;
        }
        self.warned = Some(now);
        Some(waited.as_secs())
    }
}

/// Shows the progress of `done` of `all` rows until `ended`.
pub(crate) fn watch_rows(all: u64, done: impl Fn() -> u64, ended: impl Fn() -> bool) {
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} rows, {per_sec}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = std::io::stderr().is_terminal().then(|| add_progress_bar(ProgressBar::new(all).with_style(style)));
    let (started, mut line_at) = (Instant::now(), Instant::now());
    while !ended() {
        std::thread::sleep(END_CHECK_INTERVAL);
        if let Some(bar) = &bar {
            bar.set_position(done());
        } else if line_at.elapsed() >= LINE_INTERVAL {
            line_at = Instant::now();
            let rate = done() as f64 / started.elapsed().as_secs_f64();
            write_line(&format!("{} of {all} rows, {rate:.0} a second", done()));
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

pub(crate) use pinflow_terminal::write_error_line as write_line;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stall_is_reported_after_timeout_and_then_seldom() {
        let counts = |acknowledged| AckCounts { sent: 9, acknowledged, ..AckCounts::default() };
        let mut stall = AckStallDetector::new();
        let at = |secs| stall_start() + Duration::from_secs(secs);
        stall.since = stall_start();
        assert_eq!(stall.check(counts(0), false, at(4)), None);
        assert_eq!(stall.check(counts(0), false, at(5)), Some(5));
        assert_eq!(stall.check(counts(0), false, at(14)), None);
        assert_eq!(stall.check(counts(0), false, at(15)), Some(15));
        assert_eq!(stall.check(counts(1), false, at(16)), None);
        assert_eq!(stall.check(counts(1), true, at(30)), None, "a retry has its own warning");
        assert_eq!(stall.check(counts(9), false, at(40)), None, "nothing waits");
    }

    fn stall_start() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    #[test]
    fn pending_text_names_waiting_messages_and_retry() {
        let counts = AckCounts { sent: 9, ..AckCounts::default() };
        assert_eq!(
            pending_text(counts, Some("retry 3 in 1.0 s: refused")),
            ", 9 messages wait, retry 3 in 1.0 s: refused"
        );
        assert_eq!(pending_text(AckCounts::default(), None), "");
    }
}
