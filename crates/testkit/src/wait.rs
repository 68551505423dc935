//! Waits for conditions that other processes cause.

use std::time::{Duration, Instant};

/// Longer than any condition takes, even on a slow machine. It only keeps a bug from hanging the tests.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(300);

/// Time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until a condition is true. Panics after five minutes.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < WAIT_TIMEOUT, "waited in vain until {what}");
        std::thread::sleep(CHECK_INTERVAL);
    }
}
