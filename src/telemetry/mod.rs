//! Telemetry of the process: logs and a progress line on stderr, and OpenTelemetry export if configured.
//!
//! Every step of a start, commit, pause and loss is one event with its figures as fields. A commit is also a span.

mod logs;
mod otlp;
mod progress;

pub use logs::{FAILED, TelemetryGuard, start};
pub use otlp::{TelemetryConfig, TelemetryError};
pub use progress::{ProgressMeter, ProgressReporter, ReadEstimate, RunProgress, log_findings};
