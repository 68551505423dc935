//! The progress line and the progress bars.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use pinflow_dataflows::clean::FieldFault;
use pinflow_dataflows::ingest::IngestCounts;
use pinflow_dataflows::rejection::RejectionReason;

use pinflow_engine::EngineMetrics;
use pinflow_terminal::{add_progress_bar, sanitize};

/// The target of the logged progress lines.
pub(super) const TARGET: &str = "pinflow::progress";

/// Interval of progress lines if stderr is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress line of a run: redrawn on a terminal, logged every few seconds elsewhere. Stops when dropped.
pub struct ProgressReporter {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressReporter {
    /// Starts the line. `quiet`: something else uses the terminal.
    #[must_use]
    pub fn start(metrics: Arc<EngineMetrics>, quiet: bool) -> ProgressReporter {
        let (stop, stopped) = channel();
        let on_terminal = std::io::stderr().is_terminal();
        let every = if on_terminal { Duration::from_millis(250) } else { LINE_EVERY };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            let line = (on_terminal && !quiet).then(|| {
                let style = ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                add_progress_bar(ProgressBar::new_spinner().with_style(style))
            });
            let mut meter = ProgressMeter::new(metrics);
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let progress = meter.read();
                match &line {
                    Some(line) => {
                        line.set_message(sanitize(&progress.to_string()).into_owned());
                        line.tick();
                    }
                    None if !on_terminal => progress.log(),
                    None => {}
                }
            }
            if let Some(line) = line {
                line.finish_and_clear();
            }
        });
        // Without a thread there is only no progress line.
        ProgressReporter { stop: Some(stop), thread: thread.ok() }
    }
}

impl Drop for ProgressReporter {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The current activity of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunProgress {
    /// The tables cannot be written at the moment, for this reason.
    Paused(String),
    /// Rows are being read back from the tables.
    Rebuilding {
        /// Rows read back so far.
        rows: u64,
        /// Rows to read back.
        total: u64,
    },
    /// Records are being read.
    Reading(ReadEstimate),
}

/// How far a run has read, and how fast.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadEstimate {
    /// Rows read in this run, including rejections.
    pub rows: u64,
    /// Rows per second since the previous reading.
    pub rows_per_sec: u64,
    /// Rows rejected in this run.
    pub rejected: u64,
    /// The last completed epoch.
    pub epoch: u64,
    /// The last durable epoch; 0 if nothing is committed.
    pub durable_epoch: u64,
    /// Remaining records, as far as the sources know.
    pub lag: u64,
    /// Bytes of recordings read in this run.
    pub bytes: u64,
    /// Remaining bytes of recordings, as far as known.
    pub bytes_remaining: u64,
}

impl RunProgress {
    /// Logs the progress as one event, with its numbers as fields.
    fn log(&self) {
        match self {
            RunProgress::Paused(reason) => tracing::info!(target: TARGET, reason, "paused"),
            RunProgress::Rebuilding { rows, total } => {
                tracing::info!(target: TARGET, rows, total, "rebuilding the answers");
            }
            RunProgress::Reading(read) => tracing::info!(
                target: TARGET,
                rows = read.rows,
                rows_per_sec = read.rows_per_sec,
                rejected = read.rejected,
                epoch = read.epoch,
                durable_epoch = read.durable_epoch,
                lag = read.lag,
                bytes = read.bytes,
                bytes_remaining = read.bytes_remaining,
                "progress"
            ),
        }
    }
}

impl fmt::Display for RunProgress {
    /// Formats the progress as one line of text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunProgress::Paused(reason) => write!(f, "paused: {reason}"),
            RunProgress::Rebuilding { rows, total } => {
                write!(f, "rebuilding the answers: {} of {} rows read back", HumanCount(*rows), HumanCount(*total))
            }
            RunProgress::Reading(read) => read.fmt(f),
        }
    }
}

impl fmt::Display for ReadEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, rate) = (HumanCount(self.rows), HumanCount(self.rows_per_sec));
        write!(f, "{rows} records, {rate}/s, epoch {}", self.epoch)?;
        if self.durable_epoch > 0 {
            write!(f, ", durable {}", self.durable_epoch)?;
        }
        write!(f, ", {} rejected", HumanCount(self.rejected))?;
        if self.lag > 0 {
            write!(f, ", {} behind", HumanCount(self.lag))?;
        }
        if self.bytes_remaining > 0 {
            let percent = self.bytes * 100 / (self.bytes + self.bytes_remaining);
            write!(f, ", {percent} % of the recordings")?;
        }
        Ok(())
    }
}

/// Reads the metrics of a run at intervals.
pub struct ProgressMeter {
    metrics: Arc<EngineMetrics>,
    rows: u64,
    at: Instant,
}

impl ProgressMeter {
    /// Starts measuring now.
    #[must_use]
    pub fn new(metrics: Arc<EngineMetrics>) -> ProgressMeter {
        ProgressMeter { metrics, rows: 0, at: Instant::now() }
    }

    /// The progress since the previous reading.
    pub fn read(&mut self) -> RunProgress {
        let metrics = &self.metrics;
        if let Some(reason) = metrics.paused.get().and_then(|paused| paused.borrow().clone()) {
            return RunProgress::Paused(reason);
        }
        if !metrics.open.load(Relaxed) {
            let (rows, total) = (metrics.rebuilt.load(Relaxed), metrics.rebuild_total.load(Relaxed));
            return RunProgress::Rebuilding { rows, total };
        }
        let rows = metrics.rows.load(Relaxed);
        let secs = self.at.elapsed().as_secs_f64().max(0.001);
        let since_last = rows - self.rows;
        (self.rows, self.at) = (rows, Instant::now());
        RunProgress::Reading(ReadEstimate {
            rows,
            // Fractions of a record are meaningless.
            rows_per_sec: (since_last as f64 / secs).round() as u64,
            rejected: metrics.rejected.load(Relaxed),
            epoch: metrics.epoch.load(Relaxed),
            durable_epoch: metrics.durable_epoch.load(Relaxed),
            lag: metrics.lag.load(Relaxed),
            bytes: metrics.bytes.load(Relaxed),
            bytes_remaining: metrics.bytes_remaining.load(Relaxed),
        })
    }
}

/// Logs the problems found in messages, one event each: rejections by reason, field faults by column, unknown fields,
/// and times that count as unknown.
pub fn log_findings(counts: &IngestCounts) {
    for reason in RejectionReason::ALL {
        let rows = counts.rejections(reason);
        if rows > 0 {
            tracing::info!(%reason, rows, "rows were rejected");
        }
    }
    for fault in FieldFault::ALL {
        let rows = counts.field_faults(fault);
        if rows > 0 {
            tracing::info!(table = %fault.table(), column = fault.column(), problem = fault.problem(), rows, "fields were unreadable");
        }
    }
    if counts.unknown_fields > 0 {
        tracing::info!(fields = counts.unknown_fields, "unknown fields were left out");
    }
    if counts.times_ahead > 0 {
        tracing::info!(records = counts.times_ahead, "times were more than an hour ahead and count as unknown");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_line_omits_unknown_values() {
        let mut read = ReadEstimate { rows: 12_345, rows_per_sec: 200, epoch: 7, ..ReadEstimate::default() };
        assert_eq!(read.to_string(), "12,345 records, 200/s, epoch 7, 0 rejected");
        read = ReadEstimate { durable_epoch: 5, lag: 9, bytes: 30, bytes_remaining: 70, ..read };
        let whole = "12,345 records, 200/s, epoch 7, durable 5, 0 rejected, 9 behind, 30 % of the recordings";
        assert_eq!(read.to_string(), whole);
    }
}
