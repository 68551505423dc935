//! Logs on stderr: text on a terminal, JSON elsewhere.

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

/// The default filter; `RUST_LOG` overrides it. The libraries log every file that they open. The Delta library warns of
/// each commit made during a compaction. The AWS SDK warns of each place without a region or credentials; if it finds
/// none at all, our error says so.
const FILTER: &str =
    "warn,deltalake_core::kernel::transaction=error,aws_config=error,pinflow=info,pinflow_dataflows=info";
/// The default filter on a terminal, where the progress line shows commits.
const FILTER_ON_TERMINAL: &str = "warn,deltalake_core::kernel::transaction=error,aws_config=error,pinflow=info,pinflow_dataflows=info,pinflow::commit=warn";

/// The target of the event that reports why the process failed. It is exported but not logged, because the last line on
/// stderr reports it.
pub const FAILED: &str = "pinflow::failed";

/// Logging and export, until the process ends.
#[derive(Default)]
pub struct TelemetryGuard(Option<OtlpExporters>);

/// Starts logging to stderr, filtered by `RUST_LOG`. With a configuration it also starts the OpenTelemetry export.
/// `base` resolves relative paths; `pipeline` identifies the process.
///
/// # Errors
/// If the export is misconfigured. An unreachable collector is no error.
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
    // At TRACE level it logs what it signs, including session tokens. Secrets are never logged, whatever `RUST_LOG`
    // says.
    let discreet = filter_fn(|about: &Metadata<'_>| !about.target().starts_with("aws_sigv4"));
    let all = tracing_subscriber::registry()
        .with(exporters.as_ref().map(OtlpExporters::layer))
        .with(logs.with_filter(filter.and(not_failed)))
        .with(discreet);
    // A logger that was already installed, as in a test or a host program, is kept.
    let _ = all.try_init();
    Ok(TelemetryGuard(exporters))
}

impl TelemetryGuard {
    /// Exports the remaining events, for a few seconds at most.
    pub async fn finish(self) {
        if let Some(exporters) = self.0 {
            exporters.finish().await;
        }
    }
}

/// Formats the fields of an event on a terminal: `message key=value`. The values are sanitized, because they contain
/// text from outside.
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
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
    }
}

/// Writes to stderr without breaking progress bars. Errors are ignored: the logging library would print them to stderr
/// and panic.
struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !hold_log(bytes) {
            let text = String::from_utf8_lossy(bytes);
            // Fields on a terminal are sanitized already, and colour codes must be kept.
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
