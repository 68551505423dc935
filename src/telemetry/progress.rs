//! The progress line beside the logs, and bars.

use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pinflow_dataflows::clean::FieldFault;
use pinflow_dataflows::ingest::Counts;
use pinflow_dataflows::rejection::Reason;

use crate::engine::Gauges;

/// All bars of the process; a log line is written between two drawings of them.
pub(super) static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));

/// The target of the lines that are logged.
pub(super) const TARGET: &str = "pinflow::progress";

/// A line this often where stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A bar that belongs to this process's stderr.
#[must_use]
pub fn bar(bar: ProgressBar) -> ProgressBar {
    BARS.add(bar)
}

/// The progress line of a run: redrawn on a terminal, logged every few seconds elsewhere. Ends when dropped.
pub struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts it. `quiet`: the terminal is taken by something else.
    #[must_use]
    pub fn start(gauges: Arc<Gauges>, quiet: bool) -> Progress {
        let (stop, stopped) = channel();
        let on_terminal = std::io::stderr().is_terminal();
        let every = if on_terminal { Duration::from_millis(250) } else { LINE_EVERY };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            let line = (on_terminal && !quiet).then(|| {
                let style = ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                bar(ProgressBar::new_spinner().with_style(style))
            });
            let mut meter = Meter::new(gauges);
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let text = meter.read();
                match &line {
                    Some(line) => {
                        line.set_message(text);
                        line.tick();
                    }
                    None if !on_terminal => tracing::info!(target: TARGET, "{text}"),
                    None => {}
                }
            }
            if let Some(line) = line {
                line.finish_and_clear();
            }
        });
        // Without a thread there is no line, and nothing else is lost.
        Progress { stop: Some(stop), thread: thread.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Turns gauges into a line.
pub struct Meter {
    gauges: Arc<Gauges>,
    rows: u64,
    at: Instant,
}

impl Meter {
    /// Starts counting now.
    #[must_use]
    pub fn new(gauges: Arc<Gauges>) -> Meter {
        Meter { gauges, rows: 0, at: Instant::now() }
    }

    /// What is going on since the last reading.
    pub fn read(&mut self) -> String {
        let gauges = &self.gauges;
        let paused = gauges.paused.get().and_then(|paused| paused.borrow().clone());
        if let Some(why) = paused {
            return format!("paused: {why}");
        }
        if !gauges.open.load(Relaxed) {
            let (rebuilt, total) = (gauges.rebuilt.load(Relaxed), gauges.rebuild_total.load(Relaxed));
            return format!("rebuilding the answers: {} of {} rows read back", HumanCount(rebuilt), HumanCount(total));
        }
        let rows = gauges.rows.load(Relaxed);
        let secs = self.at.elapsed().as_secs_f64().max(0.001);
        // A rate of people's size: fractions of a record say nothing.
        let rate = ((rows - self.rows) as f64 / secs).round() as u64;
        (self.rows, self.at) = (rows, Instant::now());
        let mut line =
            format!("{} records, {}/s, epoch {}", HumanCount(rows), HumanCount(rate), gauges.epoch.load(Relaxed));
        let durable = gauges.durable_epoch.load(Relaxed);
        if durable > 0 {
            line.push_str(&format!(", durable {durable}"));
        }
        line.push_str(&format!(", {} rejected", HumanCount(gauges.rejected.load(Relaxed))));
        let lag = gauges.lag.load(Relaxed);
        if lag > 0 {
            line.push_str(&format!(", {} behind", HumanCount(lag)));
        }
        let (read, left) = (gauges.bytes.load(Relaxed), gauges.bytes_remaining.load(Relaxed));
        if left > 0 {
            line.push_str(&format!(", {} % of the recordings", read * 100 / (read + left)));
        }
        line
    }
}

/// What was found in the messages read, in words: rejections by reason, field faults by column, unknown fields.
#[must_use]
pub fn findings(counts: &Counts) -> String {
    let rejections = Reason::ALL.into_iter().map(|reason| (format!("{reason} rejected"), counts.rejections(reason)));
    let faults = FieldFault::ALL.into_iter();
    let faults = faults.map(|fault| (format!("{}.{} unreadable", fault.table(), fault.column()), counts.faults(fault)));
    let unknown = [("unknown fields".to_owned(), counts.unknown_fields)];
    let found: Vec<String> = rejections
        .chain(faults)
        .chain(unknown)
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{} {what}", HumanCount(count)))
        .collect();
    if found.is_empty() { "nothing amiss".to_owned() } else { found.join(", ") }
}
