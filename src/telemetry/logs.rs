//! Logs on stderr: for people on a terminal, JSON elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::Path;

use tracing::Metadata;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::otlp::{OtlpExporters, TelemetryConfig, TelemetryError};
use pinflow_terminal::{hold_log, sanitize, sanitize_json};

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
pub struct TelemetryGuard(Option<OtlpExporters>);

/// Starts logging to stderr; `RUST_LOG` filters. With a configuration, starts OpenTelemetry export too; `base` is what
/// its relative paths are relative to, `pipeline` how the process is told from others.
///
/// # Errors
/// If what is configured cannot be exported to. A collector that is out of reach is no error.
pub fn start(config: Option<&TelemetryConfig>, base: &Path, pipeline: &str) -> Result<TelemetryGuard, TelemetryError> {
    let exporters = config.map(|config| OtlpExporters::start(config, base, pipeline)).transpose()?;
    let on_terminal = std::io::stderr().is_terminal();
    let by_default = if on_terminal { FILTER_ON_TERMINAL } else { FILTER };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(by_default));
    let logs = tracing_subscriber::fmt::layer().with_writer(BesideBars);
    let logs = match on_terminal {
        true => logs.with_target(false).compact().fmt_fields(SafeFields).boxed(),
        false => logs.json().flatten_event(true).boxed(),
    };
    let not_failed = filter_fn(|about: &Metadata<'_>| about.target() != FAILED);
    // At TRACE it shows what it signs, session tokens among it: whatever RUST_LOG says, a secret is not logged.
    let discreet = filter_fn(|about: &Metadata<'_>| !about.target().starts_with("aws_sigv4"));
    let all = tracing_subscriber::registry()
        .with(exporters.as_ref().map(OtlpExporters::layer))
        .with(logs.with_filter(filter.and(not_failed)))
        .with(discreet);
    // Logging that runs already (in a test, in a host program) is left as it is.
    let _ = all.try_init();
    Ok(TelemetryGuard(exporters))
}

impl TelemetryGuard {
    /// Exports what is left, for a few seconds at the most.
    pub async fn finish(self) {
        if let Some(exporters) = self.0 {
            exporters.finish().await;
        }
    }
}

/// The fields of an event on a terminal: `message key=value`, sanitized, for they hold text from outside.
struct SafeFields;

impl<'writer> FormatFields<'writer> for SafeFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> std::fmt::Result {
        let mut text = FieldText(String::new());
        fields.record(&mut text);
        writer.write_str(&sanitize(&text.0))
    }
}

struct FieldText(String);

impl Visit for FieldText {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
    }
}

/// Writes to stderr without tearing a bar. That nobody can read it is no fault: the logging library would say so on
/// stderr, and panic.
struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !hold_log(bytes) {
            let text = String::from_utf8_lossy(bytes);
            // Fields on a terminal are safe already, and colours are to reach it.
            let safe = if std::io::stderr().is_terminal() { text } else { sanitize_json(&text).into_owned().into() };
            let _ = pinflow_terminal::PROGRESS_BARS.suspend(|| std::io::stderr().write_all(safe.as_bytes()));
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = BesideBars;
    fn make_writer(&'a self) -> BesideBars {
        BesideBars
    }
}
