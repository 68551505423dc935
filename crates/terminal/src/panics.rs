//! A panic in any thread or task ends the process with exit code 1, instead of leaving it half alive.
//!
//! A panic in a thread that is joined ends the command normally, with its own message. Other panics are detected here:
//! the run is stopped, and the process ends after a grace period.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::{restore_screen, write_error_line};

/// How long the process may take to end normally after a panic.
const PANIC_GRACE: Duration = Duration::from_secs(20);

static PANICKED: AtomicBool = AtomicBool::new(false);
static RUNTIME_ENDS: AtomicBool = AtomicBool::new(false);
static STOP: OnceLock<watch::Sender<bool>> = OnceLock::new();

/// Detects panics from now on. A process that still runs after the grace period ends with `exit_code`.
pub fn watch(exit_code: u8) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        if RUNTIME_ENDS.load(Ordering::Acquire) && name != "main" {
            return;
        }
        restore_screen();
        write_error_line(&format!("thread '{name}' {panic}. This is a bug in pinflow"));
        if PANICKED.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(stop) = STOP.get() {
            stop.send_replace(true);
        }
        let end = move || {
            std::thread::sleep(PANIC_GRACE);
            std::process::exit(i32::from(exit_code));
        };
        if std::thread::Builder::new().name("panic".to_owned()).spawn(end).is_err() {
            std::process::exit(i32::from(exit_code));
        }
    }));
}

/// From now on a panic requests a stop through `stop`.
pub fn stop_through(stop: watch::Sender<bool>) {
    if PANICKED.load(Ordering::Acquire) {
        stop.send_replace(true);
    }
    // There is one run in a process.
    let _ = STOP.set(stop);
}

/// From now on only panics of the main thread count. Called when a command has its outcome and its runtime is about to be
/// shut down: work that nobody waits for any more can panic because of that. delta-rs does, if a table is being read.
pub fn ignore_background_threads() {
    RUNTIME_ENDS.store(true, Ordering::Release);
}

/// Whether there was a panic.
pub fn has_panicked() -> bool {
    PANICKED.load(Ordering::Acquire)
}
