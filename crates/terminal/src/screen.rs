//! The alternate screen, which leaves nothing in the scrollback.
//!
//! The normal screen is restored at any end of the process except SIGKILL: [`restore_screen`] may be called from any
//! thread and any number of times. Log lines are buffered while the alternate screen is shown, because it would discard them.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};

use parking_lot::{Mutex, MutexGuard};

/// Enter the alternate screen, and hide the cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// Show the cursor, and leave the alternate screen.
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// The newest buffered log lines.
const HELD_LINES_MAX: usize = 200;

static STATE: Mutex<ScreenState> = Mutex::new(ScreenState { is_shown: false, held: VecDeque::new(), dropped: 0 });

struct ScreenState {
    is_shown: bool,
    held: VecDeque<String>,
    /// Number of buffered lines that were dropped for newer ones.
    dropped: u64,
}

fn state() -> MutexGuard<'static, ScreenState> {
    STATE.lock()
}

/// Whether standard output is a terminal that can be drawn on.
#[must_use]
pub fn can_redraw() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && !is_dumb
}

/// Rows and columns of the terminal. 24 and 80 if they are unknown.
#[must_use]
pub fn size() -> (usize, usize) {
    let (rows, columns) = console::Term::stdout().size();
    if rows == 0 || columns == 0 { (24, 80) } else { (usize::from(rows), usize::from(columns)) }
}

/// Writes without the lock and the buffer of `Stdout`: the thread that draws may hold them.
fn write_raw(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match nix::unistd::write(io::stdout(), bytes) {
            Ok(0) => return,
            Ok(written) => bytes = &bytes[written..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// The alternate screen, until it is dropped.
#[derive(Debug)]
pub struct AlternateScreen(());

impl AlternateScreen {
    /// Shows it.
    #[must_use]
    pub fn enter() -> AlternateScreen {
        let mut state = state();
        if !std::mem::replace(&mut state.is_shown, true) {
            write_raw(ENTER);
        }
        AlternateScreen(())
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        restore_screen();
    }
}

/// Shows the normal screen again, if the alternate one is shown, and writes the buffered log lines.
pub fn restore_screen() {
    let mut state = state();
    if !std::mem::replace(&mut state.is_shown, false) {
        return;
    }
    write_raw(LEAVE);
    let mut stderr = io::stderr();
    if state.dropped > 0 {
        let _ = writeln!(stderr, "{} older log lines are not shown", state.dropped);
    }
    for line in state.held.drain(..) {
        let _ = stderr.write_all(line.as_bytes());
    }
}

/// Buffers a log line while the alternate screen hides stderr. `false` if the caller must write it.
#[must_use]
pub fn hold_log(line: &[u8]) -> bool {
    let mut state = state();
    if !state.is_shown || !io::stderr().is_terminal() {
        return false;
    }
    if state.held.len() == HELD_LINES_MAX {
        state.held.pop_front();
        state.dropped += 1;
    }
    state.held.push_back(String::from_utf8_lossy(line).into_owned());
    true
}

/// The buffered log lines, oldest first.
#[must_use]
pub fn held_logs(lines_max: usize) -> Vec<String> {
    let state = state();
    let skipped = state.held.len().saturating_sub(lines_max);
    state.held.iter().skip(skipped).map(|line| without_colours(line)).collect()
}

/// The first line of a log line, without the escapes that colour it.
fn without_colours(line: &str) -> String {
    console::strip_ansi_codes(line.lines().next().unwrap_or_default()).into_owned()
}
