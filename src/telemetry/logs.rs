//! Logs on stderr: for people on a terminal, JSON elsewhere.

use std::io::{IsTerminal, Write};
use std::path::Path;

use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::otlp::{Exporters, TelemetryConfig, TelemetryError};
use super::progress::BARS;

/// What is logged unless `RUST_LOG` says otherwise: the libraries narrate every file they open, and the Delta library warns
/// of each commit that came between when files are joined. The AWS SDK warns at length of each place where it finds no region
/// and no credentials; if it finds none at all, our error says so.
const FILTER: &str =
    "warn,deltalake_core::kernel::transaction=error,aws_config=error,pinflow=info,pinflow_dataflows=info";
/// The same where people look on: there the progress line says how far the tables are.
const FILTER_ON_TERMINAL: &str = "warn,deltalake_core::kernel::transaction=error,aws_config=error,pinflow=info,pinflow_dataflows=info,pinflow::commit=warn";

/// The target of the event that says why the process failed. It is not logged: the last line on stderr says it.
pub const FAILED: &str = "pinflow::failed";

/// Logging under way.
#[derive(Default)]
pub struct Telemetry(Option<Exporters>);

/// Starts logging to stderr; `RUST_LOG` filters. With a configuration, starts OpenTelemetry export too; `base` is what
/// its relative paths are relative to, `pipeline` how the process is told from others.
///
/// # Errors
/// If what is configured cannot be exported to. A collector that is out of reach is no error.
pub fn start(config: Option<&TelemetryConfig>, base: &Path, pipeline: &str) -> Result<Telemetry, TelemetryError> {
    let exporters = config.map(|config| Exporters::start(config, base, pipeline)).transpose()?;
    let on_terminal = std::io::stderr().is_terminal();
    let by_default = if on_terminal { FILTER_ON_TERMINAL } else { FILTER };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(by_default));
    let logs = tracing_subscriber::fmt::layer().with_writer(BesideBars);
    let logs =
        if on_terminal { logs.with_target(false).compact().boxed() } else { logs.json().flatten_event(true).boxed() };
    let not_failed = filter_fn(|about: &Metadata<'_>| about.target() != FAILED);
    // At TRACE it shows what it signs, session tokens among it: whatever RUST_LOG says, a secret is not logged.
    let discreet = filter_fn(|about: &Metadata<'_>| !about.target().starts_with("aws_sigv4"));
    let all = tracing_subscriber::registry()
        .with(exporters.as_ref().map(Exporters::layer))
        .with(logs.with_filter(filter.and(not_failed)))
        .with(discreet);
    // Logging that runs already (in a test, in a host program) is left as it is.
    let _ = all.try_init();
    Ok(Telemetry(exporters))
}

impl Telemetry {
    /// Exports what is left, for a few seconds at the most.
    pub async fn finish(self) {
        if let Some(exporters) = self.0 {
            exporters.finish().await;
        }
    }
}

/// Writes to stderr without tearing a bar.
struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| std::io::stderr().write(bytes))
    }
    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = BesideBars;
    fn make_writer(&'a self) -> BesideBars {
        BesideBars
    }
}
