//! Waits for what another process does.

use std::time::{Duration, Instant};

/// Nothing that a test waits for takes this long on the slowest machine. It only keeps a fault from hanging the run.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(300);

/// Time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until something holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < WAIT_TIMEOUT, "waited in vain until {what}");
        std::thread::sleep(CHECK_INTERVAL);
    }
}
