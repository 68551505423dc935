//! A real terminal for tests: a session of tmux.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinflow_testkit::{create_temp_dir, wait_until};

/// Whether the terminal tests are skipped.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
pub(super) fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_TERMINAL").is_some();
    if skipped {
        eprintln!("PINFLOW_SKIP_TERMINAL is set: live tables on a terminal are not tested");
    }
    skipped
}

/// A real terminal: a session of tmux. Ended when dropped.
pub(super) struct TmuxTerminal {
    socket: String,
    place: tempfile::TempDir,
}

impl TmuxTerminal {
    /// Runs a shell script on a terminal of this size.
    pub(super) fn start(script: &str, columns: u16, rows: u16) -> TmuxTerminal {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("pinflow-{}-{number}", std::process::id());
        let terminal = TmuxTerminal { socket, place: create_temp_dir() };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        // Without a status line, all rows are usable.
        let settings = terminal.place.path().join("tmux.conf");
        std::fs::write(&settings, "set -g status off\n").unwrap();
        let mut command = Command::new("tmux");
        command.args(["-L", &terminal.socket, "-f"]).arg(settings);
        let output = command.args(["new-session", "-d", "-x", &columns, "-y", &rows, script]).output();
        let output = output.expect("tmux is there: scripts/setup.sh tests installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    pub(super) fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.socket]).args(arguments).output();
        let output = output.expect("tmux is there: scripts/setup.sh tests installs it");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lines of the screen, without empty ones at its end.
    pub(super) fn screen(&self) -> Vec<String> {
        let text = self.tmux(&["capture-pane", "-p"]);
        text.trim_end().lines().map(str::to_owned).collect()
    }

    /// The screen with colour escapes.
    pub(super) fn coloured_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    pub(super) fn screen_contains(&self, text: &str) -> bool {
        self.screen().iter().any(|line| line.contains(text))
    }

    pub(super) fn wait_for_text(&self, text: &str) {
        wait_until(&format!("the terminal shows {text}"), || self.screen_contains(text));
    }

    pub(super) fn state(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", format]).trim().to_owned()
    }

    pub(super) fn is_alternate(&self) -> bool {
        self.state("#{alternate_on}") == "1"
    }

    /// Asserts that the normal screen and its cursor are restored.
    pub(super) fn assert_restored(&self) {
        assert!(!self.is_alternate(), "the alternate screen is left: {:?}", self.screen());
        assert_eq!(self.state("#{cursor_flag}"), "1", "the cursor is shown again");
    }
}

impl Drop for TmuxTerminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
