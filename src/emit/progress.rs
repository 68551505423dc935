//! How far it is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// Shows progress until `ended`. `all` and `done` are draws, each counted once a stream.
pub(crate) fn watch(all: u64, done: &AtomicU64, ended: impl Fn() -> bool) {
    if std::io::stderr().is_terminal() {
        bar(all, done, ended);
    } else {
        lines(all, done, ended);
    }
}

/// Shows how many messages were sent until `ended`, where nobody knows how many there are.
pub(crate) fn watch_unknown(sent: &AtomicU64, ended: impl Fn() -> bool) {
    let (started, mut said) = (Instant::now(), Instant::now());
    while !ended() {
        std::thread::sleep(LOOK);
        if said.elapsed() >= LINE {
            said = Instant::now();
            let sent = sent.load(Ordering::Relaxed);
            say(&format!("{sent} messages, {:.0} a second", sent as f64 / started.elapsed().as_secs_f64()));
        }
    }
}

fn bar(all: u64, done: &AtomicU64, ended: impl Fn() -> bool) {
    let template = "{bar:40} {human_pos} of {human_len} messages, {per_sec}, {eta} left";
    let bar = ProgressBar::new(all)
        .with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    while !ended() {
        bar.set_position(done.load(Ordering::Relaxed));
        std::thread::sleep(LOOK);
    }
    bar.finish_and_clear();
}

fn lines(all: u64, done: &AtomicU64, ended: impl Fn() -> bool) {
    let (started, mut said) = (Instant::now(), Instant::now());
    while !ended() {
        std::thread::sleep(LOOK);
        if said.elapsed() >= LINE {
            said = Instant::now();
            let done = done.load(Ordering::Relaxed);
            let rate = done as f64 / started.elapsed().as_secs_f64();
            say(&format!("{done} of {all} messages, {rate:.0} a second"));
        }
    }
}

/// Says a line on standard error; nobody listening is no fault.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
