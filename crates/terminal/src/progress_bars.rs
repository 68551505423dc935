//! The progress bars of the process, on stderr.
//!
//! All bars are drawn together, so that a log line can be written between two drawings of them.

use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// All bars of the process, redrawn at most ten times a second.
pub static PROGRESS_BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));

/// Adds a bar to those that are drawn on stderr.
#[must_use]
pub fn add_progress_bar(bar: ProgressBar) -> ProgressBar {
    PROGRESS_BARS.add(bar)
}
