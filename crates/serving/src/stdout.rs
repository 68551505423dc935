//! Writes the answers to stdout. Logs and progress go to stderr.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, Instant};

use pinflow_dataflows::answer::AnswerChange;
use pinflow_dataflows::questions::QuestionSet;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::screen::{ScreenSize, layout_screen};
use super::{AnswerView, render};
use pinflow_engine::EpochFrame;
use pinflow_terminal::{self as terminal, AlternateScreen, EscapeStyle, SafeWriter, WhenClosed, sanitize_line};

/// Longest wait of the first snapshot for the records that existed at the start of the run.
const FIRST_SNAPSHOT_DELAY: Duration = Duration::from_secs(1);

/// Interval between checks of the terminal's size.
const RESIZE_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Most log lines below the answers on a live screen.
const MAX_LOG_LINES: usize = 3;

/// The form of answers on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StdoutFormat {
    /// All answers as JSON Lines, every second while something changes, and at the end
    Snapshots,
    /// Each change of an answer as a JSON line, after its epoch has passed
    Changes,
    /// Tables, redrawn in place on a terminal
    Tables,
    /// Nothing
    None,
}

/// How stdout is written.
#[derive(Debug, Clone, Copy)]
pub struct StdoutSettings {
    /// Output format.
    pub format: StdoutFormat,
    /// Minimum time between two snapshots or two drawings.
    pub every: Duration,
    /// Whether the run serves over HTTP, so that `pinflow query` works.
    pub serves: bool,
}

/// The reader of stdout closed it. This ends the output and is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StdoutClosed;

/// Applies every complete epoch to its own view and writes it in the configured format.
pub struct StdoutWriter {
    settings: StdoutSettings,
    view: AnswerView,
    /// When the answers could first be shown.
    opened: Option<Instant>,
    written: Option<Instant>,
    /// Whether something changed since the last write.
    stale: bool,
    /// Whether tables are redrawn on a terminal instead of written once.
    redraw: bool,
    screen: Option<AlternateScreen>,
    drawn_size: Option<ScreenSize>,
}

impl StdoutWriter {
    /// Creates a writer with empty answers to these questions.
    #[must_use]
    pub fn new(settings: StdoutSettings, questions: QuestionSet) -> StdoutWriter {
        let redraw = settings.format == StdoutFormat::Tables && terminal::can_redraw();
        StdoutWriter {
            settings,
            view: AnswerView::new(questions),
            opened: None,
            written: None,
            stale: false,
            redraw,
            screen: None,
            drawn_size: None,
        }
    }

    /// Writes until the last frame. Blocks the calling thread.
    ///
    /// # Errors
    /// `Ok(Err(StdoutClosed))` if stdout was closed by its reader, `Err` for any other I/O error.
    pub fn serve(mut self, mut frames: mpsc::Receiver<EpochFrame>) -> io::Result<Result<(), StdoutClosed>> {
        // On a terminal, JSON must not contain control sequences. Tables are sanitised cell by cell.
        let is_shown = self.settings.format != StdoutFormat::Tables && io::stdout().is_terminal();
        let escapes = if is_shown { EscapeStyle::Json } else { EscapeStyle::None };
        let out = SafeWriter::new(io::stdout(), escapes, WhenClosed::Fail);
        let mut out = BufWriter::with_capacity(1 << 16, out);
        loop {
            let frame = match self.next_frame(&mut frames) {
                FrameWait::Frame(frame) => Some(frame),
                FrameWait::Late => None,
                FrameWait::Ended => return Ok(Ok(())),
            };
            let last = frame.as_ref().is_some_and(|frame| frame.last);
            match self.handle_frame(frame, &mut out).and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Err(StdoutClosed)),
                Err(error) => return Err(error),
                Ok(()) if last => return Ok(Ok(())),
                Ok(()) => {}
            }
        }
    }

    /// Waits for a frame, at most until the next snapshot is due.
    fn next_frame(&self, frames: &mut mpsc::Receiver<EpochFrame>) -> FrameWait {
        let periodic = matches!(self.settings.format, StdoutFormat::Snapshots | StdoutFormat::Tables);
        let owed = (periodic && self.stale && self.view.open).then(|| self.time_until_due());
        let wait = match owed {
            Some(wait) => wait,
            None if self.screen.is_some() => RESIZE_CHECK_INTERVAL,
            None => return frames.blocking_recv().map_or(FrameWait::Ended, FrameWait::Frame),
        };
        if let Ok(frame) = frames.try_recv() {
            return FrameWait::Frame(frame);
        }
        if wait.is_zero() || self.is_resized() {
            return FrameWait::Late;
        }
        // The receiver has no blocking receive with a timeout, so poll. Frames come every few milliseconds while there is
        // input, and sleeping costs little otherwise.
        std::thread::sleep(wait.min(Duration::from_millis(20)));
        match frames.try_recv() {
            Ok(frame) => FrameWait::Frame(frame),
            Err(mpsc::error::TryRecvError::Disconnected) => FrameWait::Ended,
            Err(mpsc::error::TryRecvError::Empty) => FrameWait::Late,
        }
    }

    /// Time until the next snapshot is due. The first one waits up to [`FIRST_SNAPSHOT_DELAY`] for the records that existed
    /// at the start, so that a reader of only one snapshot does not get empty answers.
    fn time_until_due(&self) -> Duration {
        match (self.written, self.opened) {
            (Some(written), _) => self.settings.every.saturating_sub(written.elapsed()),
            (None, Some(opened)) if !self.view.complete => FIRST_SNAPSHOT_DELAY.saturating_sub(opened.elapsed()),
            (None, _) => Duration::ZERO,
        }
    }

    fn handle_frame(&mut self, frame: Option<EpochFrame>, out: &mut impl Write) -> io::Result<()> {
        let mut last = false;
        if let Some(frame) = frame {
            last = frame.last;
            let was_open = self.view.open;
            let epoch = frame.epoch;
            // Positions and the durable epoch are part of a snapshot, even if no answer changed.
            let moved = frame.sources != self.view.sources || frame.durable_epoch != self.view.durable_epoch;
            let has_changes = !frame.changes.is_empty() || !frame.first_answers.is_empty();
            let moved = moved || frame.complete != self.view.complete;
            self.view.apply(&frame);
            self.opened = self.opened.or_else(|| self.view.open.then(Instant::now));
            self.stale |= has_changes || moved || !was_open;
            if self.settings.format == StdoutFormat::Changes && self.view.open {
                self.write_changes(was_open, epoch, &frame.all_changes(), out)?;
            }
        }
        if !self.view.open {
            return Ok(());
        }
        let due = self.time_until_due().is_zero();
        match self.settings.format {
            StdoutFormat::Snapshots if last || (due && self.stale) => render::write_snapshot(&self.view, out)?,
            StdoutFormat::Tables if last => self.write_final_tables(out)?,
            StdoutFormat::Tables if self.redraw && ((due && self.stale) || self.is_resized()) => {
                self.draw_screen(out)?;
            }
            _ => return Ok(()),
        }
        self.written = Some(Instant::now());
        self.stale = false;
        Ok(())
    }

    /// A reader of changes starts from empty answers: rows rebuilt from the tables are written as inserts first.
    fn write_changes(
        &self,
        was_open: bool,
        epoch: u64,
        changes: &[AnswerChange],
        out: &mut impl Write,
    ) -> io::Result<()> {
        if was_open {
            return render::write_changes(epoch, self.view.questions(), changes, out);
        }
        render::write_changes(epoch, self.view.questions(), &self.view.as_changes(), out)
    }

    fn is_resized(&self) -> bool {
        self.drawn_size.is_some_and(|size| size != screen_size())
    }

    /// Redraws the screen.
    fn draw_screen(&mut self, out: &mut impl Write) -> io::Result<()> {
        let size = screen_size();
        self.screen.get_or_insert_with(AlternateScreen::enter);
        let mut footer: Vec<_> = terminal::held_logs(MAX_LOG_LINES).iter().map(|line| sanitize_line(line)).collect();
        let read: u64 = self.view.sources.iter().map(|source| source.read).sum();
        let rejected: u64 = self.view.sources.iter().map(|source| source.rejected).sum();
        footer.extend(render::question_lines(&self.view));
        footer.push(format!("{read} read, {rejected} rejected, {}", render::position_line(&self.view)));
        let lines = layout_screen(&self.view, &footer, size);
        // Cursor home, overwrite each line to its end, clear what is below.
        out.write_all(b"\x1b[H")?;
        out.write_all(lines.join("\x1b[K\r\n").as_bytes())?;
        out.write_all(b"\x1b[K\x1b[J")?;
        self.drawn_size = Some(size);
        Ok(())
    }

    /// Writes the final tables: on a terminal at most one screen, otherwise all rows.
    fn write_final_tables(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.screen = None;
        if !io::stdout().is_terminal() {
            return render::write_tables(&self.view, out);
        }
        let more = match self.settings.serves {
            true => "all rows: pinflow query NAME, while a run serves; or --output snapshots",
            false => "all rows: --output snapshots; or --listen ADDRESS, and pinflow query NAME",
        };
        let ScreenSize { rows, columns } = screen_size();
        // Leave a line for the shell prompt.
        let size = ScreenSize { rows: rows.saturating_sub(1), columns };
        let lines = layout_screen(&self.view, &[render::position_line(&self.view), more.to_owned()], size);
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

fn screen_size() -> ScreenSize {
    let (rows, columns) = terminal::size();
    ScreenSize { rows, columns }
}

enum FrameWait {
    Frame(EpochFrame),
    /// No frame came. A snapshot may be due.
    Late,
    Ended,
}
