//! Live tables on a terminal: size, colours, signals, and the screen that is left behind.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::tmux::{TmuxTerminal, skipped};
use pinflow_testkit::{create_temp_dir, emit, program, wait_until};

/// Writes a configuration with a slow recording. Returns the script that runs it and prints its exit code. The process
/// id is in the file `pid`.
fn live_script(place: &Path, environment: &str, more: &str) -> String {
    let recording = place.join("recording");
    emit(&recording, 2_000, 20_000, 3, &[]);
    let config = place.join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 500\n[output]\nevery_ms = 50\n";
    std::fs::write(&config, text).unwrap();
    let (config, pid, program) = (config.display(), place.join("pid").display().to_string(), program().display());
    format!(
        "echo BEFORE; {environment} {program} run {config} --output tables {more} & echo $! > {pid}; wait $!; \
         echo AFTER $?; sleep 1000"
    )
}

fn signal(place: &Path, signal: Signal) {
    let pid = std::fs::read_to_string(place.join("pid")).unwrap();
    // The process may already have ended.
    let _ = kill(Pid::from_raw(pid.trim().parse().unwrap()), signal);
}

fn assert_fits(terminal: &TmuxTerminal, columns: usize) {
    for line in terminal.screen() {
        assert!(line.chars().count() <= columns, "{line}");
    }
}

#[test]
fn live_tables_fit_the_screen_and_leave_a_short_summary() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "", ""), 80, 24);
    terminal.wait_for_text(" read, ");
    assert!(terminal.is_alternate());
    wait_until("every answer has a line", || terminal.screen_contains("median_followers_by_join_year"));
    assert!(terminal.screen().len() <= 24 && terminal.screen_contains("epoch "), "{:?}", terminal.screen());
    assert_fits(&terminal, 80);
    // Resize the terminal during the run: smaller, and larger again.
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    wait_until("it is redrawn", || terminal.screen_contains("more answers") && terminal.screen_contains(" read, "));
    assert_fits(&terminal, 40);
    terminal.tmux(&["resize-window", "-x", "120", "-y", "60"]);
    wait_until("there is room for more", || terminal.screen_contains(" of ") && terminal.screen().len() > 24);
    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    wait_until("it is drawn to fit again", || terminal.screen()[0].starts_with("country_with_most"));
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER 0");
    terminal.assert_restored();
    assert!(
        terminal.screen_contains("--output snapshots") && terminal.screen_contains("epoch "),
        "{:?}",
        terminal.screen()
    );
    // The scrollback has what was there before, at most one screen, and the summary.
    let history: usize = terminal.state("#{history_size}").parse().unwrap();
    assert!(history <= 24, "{history} lines went through the terminal");
    let all = terminal.tmux(&["capture-pane", "-p", "-S", "-"]);
    assert!(all.contains("BEFORE"), "{all}");
    assert_eq!(all.matches(" read, ").count(), 0, "nothing of the live screen stays: {all}");
}

#[test]
fn small_terminal_shows_fitting_rows_and_counts_the_rest() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "", ""), 40, 10);
    terminal.wait_for_text("more answers");
    assert!(terminal.is_alternate() && terminal.screen().len() <= 10);
    assert_fits(&terminal, 40);
    signal(place.path(), Signal::SIGINT);
    terminal.wait_for_text("AFTER 0");
    terminal.assert_restored();
}

#[test]
fn second_signal_restores_the_terminal() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let script = live_script(place.path(), "FAILPOINTS='engine::block=sleep(3000)'", "");
    let terminal = TmuxTerminal::start(&script, 80, 24);
    wait_until("it draws", || terminal.is_alternate());
    signal(place.path(), Signal::SIGTERM);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER");
    terminal.assert_restored();
}

#[test]
#[cfg(feature = "failpoints")]
fn panic_restores_the_terminal_and_prints_its_message() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let script = live_script(place.path(), "FAILPOINTS='engine::block=20*off->panic(a fault of ours)'", "");
    let terminal = TmuxTerminal::start(&script, 120, 24);
    terminal.wait_for_text("AFTER 1");
    terminal.assert_restored();
    assert!(terminal.screen_contains("a fault of ours"), "{:?}", terminal.screen());
}

#[test]
fn dumb_terminal_gets_the_summary_and_no_escapes() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "TERM=dumb", ""), 80, 24);
    terminal.wait_for_text("BEFORE");
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!terminal.is_alternate());
    }
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER 0");
    assert!(terminal.screen_contains("--output snapshots"), "{:?}", terminal.screen());
}

#[test]
fn no_color_is_respected() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "NO_COLOR=1", ""), 80, 24);
    wait_until("it draws", || terminal.is_alternate() && terminal.screen_contains(" read, "));
    assert!(!terminal.coloured_screen().contains("\u{1b}["), "{}", terminal.coloured_screen());
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER 0");
    assert!(!terminal.coloured_screen().contains("\u{1b}["), "{}", terminal.coloured_screen());
}
