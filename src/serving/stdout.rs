//! Answers on stdout. Data only: logs and progress go to stderr.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinflow_dataflows::answer::Change;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{View, render};
use crate::engine::Frame;

/// How long the first snapshot waits for everything to be read that was there at the start.
const FIRST_SNAPSHOT_DELAY: Duration = Duration::from_secs(1);

/// Rows of an answer that a live table shows.
const LIVE_ROWS_MAX: usize = 6;

/// The form of answers on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// All answers as JSON Lines now and then, and at the end.
    Snapshots,
    /// Each change of an answer as a JSON line, once its epoch has passed.
    Changes,
    /// Tables, redrawn on a terminal.
    Tables,
    /// Nothing.
    None,
}

/// How stdout is written.
#[derive(Debug, Clone, Copy)]
pub struct StdoutSettings {
    /// In which form.
    pub format: Format,
    /// Least time between two snapshots, or two drawings.
    pub every: Duration,
}

/// The reader of stdout has gone: to a writer of lines that is an end, not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// The writer of stdout: applies every passed epoch, and writes what its format asks for.
pub struct Stdout {
    settings: StdoutSettings,
    view: View,
    /// When answers were open for the first time.
    opened: Option<Instant>,
    written: Option<Instant>,
    /// Whether something changed since the last writing.
    stale: bool,
    redraw: bool,
}

impl Stdout {
    /// A writer with answers as empty as a run that has read nothing.
    #[must_use]
    pub fn new(settings: StdoutSettings) -> Stdout {
        let redraw = settings.format == Format::Tables && io::stdout().is_terminal();
        Stdout { settings, view: View::default(), opened: None, written: None, stale: false, redraw }
    }

    /// Serves until the last frame; blocks its thread.
    ///
    /// # Errors
    /// `Ok(Err(Closed))` if the reader has gone, an I/O error if writing failed otherwise.
    pub fn serve(mut self, mut frames: mpsc::Receiver<Frame>) -> io::Result<Result<(), Closed>> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        loop {
            let frame = match self.next(&mut frames) {
                Next::Frame(frame) => Some(frame),
                Next::Late => None,
                Next::Ended => return Ok(Ok(())),
            };
            let last = frame.as_ref().is_some_and(|frame| frame.last);
            match self.step(frame, &mut out).and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Err(Closed)),
                Err(error) => return Err(error),
                Ok(()) if last => return Ok(Ok(())),
                Ok(()) => {}
            }
        }
    }

    /// Waits for a frame, but not beyond the moment at which a snapshot is owed.
    fn next(&self, frames: &mut mpsc::Receiver<Frame>) -> Next {
        let periodic = matches!(self.settings.format, Format::Snapshots | Format::Tables);
        let owed = (periodic && self.stale && self.view.open).then(|| self.until_due());
        let Some(wait) = owed else { return frames.blocking_recv().map_or(Next::Ended, Next::Frame) };
        if let Ok(frame) = frames.try_recv() {
            return Next::Frame(frame);
        }
        if wait.is_zero() {
            return Next::Late;
        }
        // Frames come every few milliseconds while anything happens; when none does, a nap is cheap.
        std::thread::sleep(wait.min(Duration::from_millis(20)));
        match frames.try_recv() {
            Ok(frame) => Next::Frame(frame),
            Err(mpsc::error::TryRecvError::Disconnected) => Next::Ended,
            Err(mpsc::error::TryRecvError::Empty) => Next::Late,
        }
    }

    /// How long the next snapshot has to wait. The first one is of everything that was there at the start, if that can be
    /// read soon: whoever takes only one must not get empty answers.
    fn until_due(&self) -> Duration {
        match (self.written, self.opened) {
            (Some(written), _) => self.settings.every.saturating_sub(written.elapsed()),
            (None, Some(opened)) if !self.view.complete => FIRST_SNAPSHOT_DELAY.saturating_sub(opened.elapsed()),
            (None, _) => Duration::ZERO,
        }
    }

    fn step(&mut self, frame: Option<Frame>, out: &mut impl Write) -> io::Result<()> {
        let mut last = false;
        if let Some(frame) = frame {
            last = frame.last;
            let was_open = self.view.open;
            let epoch = frame.epoch;
            // How far sources are read and durable is part of a snapshot, also where no answer follows from it.
            let moved = frame.sources != self.view.sources || frame.durable_epoch != self.view.durable_epoch;
            let changes = Arc::clone(&frame.changes);
            let moved = moved || frame.complete != self.view.complete;
            self.view.apply(&frame);
            self.opened = self.opened.or_else(|| self.view.open.then(Instant::now));
            self.stale |= !changes.is_empty() || moved || !was_open;
            if self.settings.format == Format::Changes && self.view.open {
                self.write_changes(was_open, epoch, &changes, out)?;
            }
        }
        if !self.view.open {
            return Ok(());
        }
        let due = self.until_due().is_zero();
        match self.settings.format {
            Format::Snapshots if last || (due && self.stale) => render::snapshot(&self.view, out)?,
            Format::Tables if last => self.draw(usize::MAX, out)?,
            Format::Tables if due && self.stale && self.redraw => self.draw(LIVE_ROWS_MAX, out)?,
            _ => return Ok(()),
        }
        self.written = Some(Instant::now());
        self.stale = false;
        Ok(())
    }

    /// Readers of changes begin from nothing: what was rebuilt from the tables comes as inserts of its epoch.
    fn write_changes(&self, was_open: bool, epoch: u64, changes: &[Change], out: &mut impl Write) -> io::Result<()> {
        if was_open {
            return render::changes(epoch, changes, out);
        }
        render::changes(epoch, &self.view.as_changes(), out)
    }

    fn draw(&self, rows_max: usize, out: &mut impl Write) -> io::Result<()> {
        if self.redraw {
            // Home, and clear what is below: the drawing stays in place.
            out.write_all(b"\x1b[H\x1b[J")?;
        }
        render::tables(&self.view, rows_max, out)
    }
}

enum Next {
    Frame(Frame),
    /// A snapshot is owed and nothing has come.
    Late,
    Ended,
}
