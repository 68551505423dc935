//! Signals that stop the process: SIGINT, SIGTERM and SIGHUP.
//!
//! The first signal requests a graceful stop. One request often arrives as several signals, microseconds apart: GNU
//! `timeout` and some supervisors signal the process and then its group, and wrappers forward Ctrl-C (SIGINT) as SIGTERM.
//! So every signal within `REPEAT_WINDOW` of the first one, whatever its name, is the same request. A signal after that
//! stops the process at once, and so does the end of [`ShutdownPolicy::deadline`].
//!
//! Signals are handled on a thread of their own, so that they are obeyed while every other thread is blocked (on a full
//! pipe, say).

use std::io;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::{restore_screen, write_error_line};

/// How long an orderly stop may take before the process ends without it.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(20);

/// Signals within this time of the first one are the same request.
const REPEAT_WINDOW: Duration = Duration::from_secs(1);
/// How long a message about a signal may take to be written.
const MESSAGE_TIMEOUT: Duration = Duration::from_millis(300);
/// The exit code of a process that ends before its orderly stop is complete.
const EXIT_UNFINISHED: i32 = 1;

/// What a stop means for a command.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownPolicy {
    /// What an orderly stop still does, as in `finishing the window`.
    pub orderly: &'static str,
    /// What is safe if the process ends early, as a sentence without a full stop.
    pub unfinished: &'static str,
    /// How long the orderly stop may take.
    pub deadline: Duration,
    /// Where the first signal is reported.
    pub report: fn(&str),
}

/// Sets `stop` at the first signal, and ends the process at a later one or when the policy's deadline has passed.
///
/// # Errors
/// If the system refuses a thread or a signal handler.
pub fn stop_on_signals(policy: ShutdownPolicy, stop: watch::Sender<bool>) -> io::Result<()> {
    let on_request = move |signal: &str| {
        let what = format!("{signal}: {}; a signal more than a second from now stops at once", policy.orderly);
        write_briefly(move || (policy.report)(&what));
        stop.send_replace(true);
        stop
    };
    let on_abandon = move |cause: AbandonCause| {
        let unfinished = policy.unfinished;
        let line = match cause {
            AbandonCause::Deadline => format!("pinflow: not stopped after {:?}; {unfinished}", policy.deadline),
            AbandonCause::Signal(signal) => format!("pinflow: stopped at once by {signal}; {unfinished}"),
        };
        write_briefly(move || {
            restore_screen();
            write_error_line(&line);
        });
    };
    handle_signals(policy.deadline, on_request, on_abandon)
}

/// Why a process ends before its orderly stop is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbandonCause {
    /// A second request, by this signal.
    Signal(&'static str),
    /// The deadline has passed.
    Deadline,
}

/// Calls `on_request` with the name of the first signal. Calls `on_abandon`, and then ends the process with exit code 1,
/// at a later one or when `deadline` has passed since the first. Both run on the thread for signals, which keeps what
/// `on_request` returns until the process ends.
///
/// # Errors
/// If the system refuses a thread or a signal handler.
pub fn handle_signals<T>(
    deadline: Duration,
    on_request: impl FnOnce(&'static str) -> T + Send + 'static,
    on_abandon: impl FnOnce(AbandonCause) + Send + 'static,
) -> io::Result<()> {
    let (started, has_started) = sync_channel(1);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let listening = runtime.and_then(|runtime| {
            let signals = {
                let _entered = runtime.enter();
                StopSignals::listen()?
            };
            Ok((runtime, signals))
        });
        match listening {
            Ok((runtime, signals)) => {
                let _ = started.send(Ok(()));
                runtime.block_on(stop_or_abandon(signals, deadline, on_request, on_abandon));
                std::process::exit(EXIT_UNFINISHED)
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    has_started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread for signals ended")))
}

/// The signals that request a stop.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where the process was started to ignore it, as `nohup` does.
    hangup: Option<Signal>,
}

impl StopSignals {
    fn listen() -> io::Result<StopSignals> {
        let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }
}

/// Whether SIGHUP was ignored when the process was started. Only detected on Linux. Elsewhere the result is `false`.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // Bit 0 is signal 1, which is SIGHUP.
    mask & 1 == 1
}

/// Reports the first signal, and then that the process must end: at a later signal, or at the deadline.
async fn stop_or_abandon<T>(
    mut signals: StopSignals,
    deadline: Duration,
    on_request: impl FnOnce(&'static str) -> T,
    on_abandon: impl FnOnce(AbandonCause),
) {
    let mut request = SignalRequest::default();
    let (first, received_at) = (signals.next().await, Instant::now());
    request.on_signal(received_at);
    // Readers of a stop request must not see its sender dropped: it lives until the process ends.
    let _kept = on_request(first);
    let cause = loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            () = sleep_until(received_at + deadline) => break AbandonCause::Deadline,
        };
        if request.on_signal(Instant::now()) == SignalAction::StopAtOnce {
            break AbandonCause::Signal(signal);
        }
    };
    on_abandon(cause);
}

/// Writes on a separate thread, and waits only briefly: if stderr is a pipe that nothing reads, signals are
/// obeyed all the same.
pub fn write_briefly(write: impl FnOnce() + Send + 'static) {
    let (written, is_written) = sync_channel(1);
    std::thread::spawn(move || {
        write();
        let _ = written.send(());
    });
    let _ = is_written.recv_timeout(MESSAGE_TIMEOUT);
}

/// The meaning of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignalAction {
    StopInOrder,
    /// It repeats the request before it.
    SameRequest,
    StopAtOnce,
}

/// The request to stop, once there was one.
#[derive(Debug, Default)]
struct SignalRequest {
    first_at: Option<Instant>,
}

impl SignalRequest {
    fn on_signal(&mut self, at: Instant) -> SignalAction {
        match self.first_at {
            None => {
                self.first_at = Some(at);
                SignalAction::StopInOrder
            }
            // Measured from the first signal, so that repeated Ctrl-C does not extend the window.
            Some(first) if at.duration_since(first) < REPEAT_WINDOW => SignalAction::SameRequest,
            Some(_) => SignalAction::StopAtOnce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_within_a_second_are_one_request_and_a_later_one_stops_at_once() {
        let start = Instant::now();
        let after = |micros: u64| start + Duration::from_micros(micros);
        let mut request = SignalRequest::default();
        assert_eq!(request.on_signal(after(0)), SignalAction::StopInOrder);
        for micros in [0, 3, 500_000, 999_999] {
            assert_eq!(request.on_signal(after(micros)), SignalAction::SameRequest, "{micros} µs later");
        }
        for micros in [1_000_000, 1_500_000, 60_000_000] {
            assert_eq!(request.on_signal(after(micros)), SignalAction::StopAtOnce, "{micros} µs later");
        }
    }
}
