//! Waits for conditions that other processes cause.

use std::time::{Duration, Instant};

/// Longer than any condition takes, even on a slow machine. It only keeps a bug from hanging the tests.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(300);

/// The shortest time between two checks.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The longest time between two checks.
const MAX_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Between two checks passes this many times the time that a check took: checks that read a log or all tables must not
/// take the processors from what they wait for.
const PAUSE_PER_CHECK: u32 = 4;

/// Waits until a condition is true. Panics after five minutes.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    loop {
        let check_start = Instant::now();
        if holds() {
            return;
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "waited in vain until {what}");
        let pause = check_start.elapsed() * PAUSE_PER_CHECK;
        std::thread::sleep(pause.clamp(MIN_CHECK_INTERVAL, MAX_CHECK_INTERVAL));
    }
}
