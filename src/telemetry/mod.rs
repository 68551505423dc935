//! What the process says of itself: logs on stderr with the progress line beside them, and OpenTelemetry where that is
//! configured.
//!
//! Every step of a start, commit, pause and loss is one event with its figures as fields; a commit is a span besides.

mod logs;
mod otlp;
mod progress;

pub use logs::{FAILED, Telemetry, start};
pub use otlp::{TelemetryConfig, TelemetryError};
pub use progress::{Progress, ProgressMeter, ReadProgress, RunProgress, log_findings};
