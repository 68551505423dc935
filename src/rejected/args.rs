//! Command-line arguments of `pinflow rejected`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use pinflow_dataflows::rejection::RejectionReason;

use super::error::RejectionCommandError;
use super::filter::RejectionFilter;

/// Look at the records that were rejected: list them, count them by reason, show the bytes of one, or replay them
#[derive(Debug, Clone, clap::Args)]
pub struct RejectionArgs {
    #[command(subcommand)]
    pub(super) command: RejectionSubcommand,
}

impl RejectionArgs {
    /// Whether the output is for programs.
    pub(crate) fn is_data(&self) -> bool {
        match &self.command {
            RejectionSubcommand::List(args) => args.output_format() != RejectionFormat::Table,
            RejectionSubcommand::Count(args) => args.output_format() != RejectionFormat::Table,
            RejectionSubcommand::Show(_) | RejectionSubcommand::Replay(_) => false,
        }
    }
}

/// The subcommand with its arguments.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum RejectionSubcommand {
    /// List rejections, the newest first. A run may be writing to the tables
    List(RejectionsArgs),
    /// Count rejections by reason, stream or source
    Count(CountArgs),
    /// Show one rejection with the bytes of its message, or write these bytes to a file
    Show(ShowArgs),
    /// Process rejections again that are accepted now, each exactly once: after a new version or a change of the
    /// configuration. Stop the run first
    Replay(ReplayArgs),
}

/// Arguments of `pinflow rejected replay`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReplayArgs {
    /// The configuration of the run, with [tables]. Its sources are not read
    #[arg(value_name = "CONFIG.toml")]
    pub(super) config: PathBuf,
    #[command(flatten)]
    pub(super) filter: RejectionFilterArgs,
    /// Count what would be replayed, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Which tables are read.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RejectionTables {
    /// The tables of a run: a folder with rejected, pin, geo and user, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "FOLDER|URL")]
    pub(super) tables: PathBuf,
    /// Connect to the bucket as `[objects]` of this configuration does. Without it, the environment and the AWS profile
    /// decide
    #[arg(long, value_name = "FILE.toml")]
    pub(super) connection: Option<PathBuf>,
}

/// Which rejections are taken.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RejectionFilterArgs {
    /// Only rejections for this reason. Can be repeated
    #[arg(long, value_name = "NAME", value_parser = rejection_reasons())]
    reason: Vec<String>,
    /// Only rows of this stream. `unknown` takes those of which the stream is not known
    #[arg(long, value_name = "NAME", value_parser = stream_names())]
    stream: Option<String>,
    /// Only messages of this source, as in the column `_source`, or of all sources whose names begin so
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only messages that arrived at this time or later: a time with its offset, a date (UTC), or an age such as 90m or
    /// 24h. A message without a time counts by the time at which its row was written
    #[arg(long, value_name = "TIME|AGE")]
    since: Option<String>,
}

impl RejectionFilterArgs {
    /// The filter.
    ///
    /// # Errors
    /// If `--since` is no time.
    pub(super) fn into_filter(self) -> Result<RejectionFilter, RejectionCommandError> {
        let RejectionFilterArgs { reason, stream, source, since } = self;
        let since = since.map(|text| parse_since(&text, Timestamp::now())).transpose()?;
        Ok(RejectionFilter { reasons: reason, stream, source, since })
    }
}

/// Parses a time, a date or an age, to microseconds since 1970.
fn parse_since(text: &str, now: Timestamp) -> Result<i64, RejectionCommandError> {
    let wrong = || RejectionCommandError::Since(text.to_owned());
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_microsecond());
    }
    if let Ok(date) = text.parse::<Date>() {
        let midnight = date.to_zoned_datetime(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
        return Ok(midnight.timestamp().as_microsecond());
    }
    let age: SignedDuration = text.parse().map_err(|_| wrong())?;
    now.checked_sub(age).map(Timestamp::as_microsecond).map_err(|_| wrong())
}

fn rejection_reasons() -> PossibleValuesParser {
    PossibleValuesParser::new(
        RejectionReason::ALL.map(|reason| PossibleValue::new(reason.name()).help(describe_reason(reason))),
    )
}

fn stream_names() -> PossibleValuesParser {
    let named = |name, help| PossibleValue::new(name).help(help);
    PossibleValuesParser::new([
        named("pin", "Rows of pin"),
        named("geo", "Rows of geo"),
        named("user", "Rows of user"),
        named("unknown", "Messages of which the stream is not known"),
    ])
}

fn describe_reason(reason: RejectionReason) -> &'static str {
    match reason {
        RejectionReason::NotUtf8 => "The message is not UTF-8",
        RejectionReason::NotJson => "It is not JSON",
        RejectionReason::TrailingBytes => "Something follows the JSON value",
        RejectionReason::NotAnObject => "The row is not a JSON object",
        RejectionReason::TooLarge => "It is longer than `[engine] message_bytes_max`",
        RejectionReason::TooDeep => "It is nested too deeply",
        RejectionReason::TooManyRows => "The message has more rows than allowed",
        RejectionReason::NoKey => "It has neither `ind` nor `index`, or it is an accepted loss",
        RejectionReason::BadKey => "The key is not a whole number from 0",
        RejectionReason::WrongStream => "It is a row of another stream, or does not tell which",
        RejectionReason::WrongType => "A field has a JSON type that cannot be read",
        RejectionReason::DuplicateField => "A field is there twice with different values",
        RejectionReason::Tombstone => "The payload is null",
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct RejectionsArgs {
    #[command(flatten)]
    pub(super) tables: RejectionTables,
    #[command(flatten)]
    pub(super) filter: RejectionFilterArgs,
    /// List at most this many rejections, the newest ones
    #[arg(long, value_name = "ROWS", default_value_t = 50)]
    pub(super) limit: usize,
    /// Output format [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    format: Option<RejectionFormat>,
}

impl RejectionsArgs {
    /// The given format, or the default.
    pub(super) fn output_format(&self) -> RejectionFormat {
        self.format.unwrap_or_else(default_format)
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct CountArgs {
    #[command(flatten)]
    pub(super) tables: RejectionTables,
    #[command(flatten)]
    pub(super) filter: RejectionFilterArgs,
    /// Count by these properties, separated by commas
    #[arg(long, value_enum, value_name = "PROPERTY", value_delimiter = ',', default_value = "reason")]
    pub(super) by: Vec<RejectionProperty>,
    /// Output format [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    format: Option<RejectionFormat>,
}

impl CountArgs {
    /// The given format, or the default.
    pub(super) fn output_format(&self) -> RejectionFormat {
        self.format.unwrap_or_else(default_format)
    }
}

/// A property by which rejections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RejectionProperty {
    /// The reason
    Reason,
    /// The stream
    Stream,
    /// The source
    Source,
    /// Whether a replay has chosen it: yes or no
    Replayed,
}

impl RejectionProperty {
    /// The name of its column.
    pub(super) fn name(self) -> &'static str {
        match self {
            RejectionProperty::Reason => "reason",
            RejectionProperty::Stream => "stream",
            RejectionProperty::Source => "_source",
            RejectionProperty::Replayed => "replayed",
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ShowArgs {
    /// The source of the message, as in the column `_source`
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// Its position in the source, as in the column `_position`; leading zeros can be left out
    #[arg(value_name = "POSITION")]
    pub(super) position: String,
    /// The number of the row in the message. Needed if several rows of the message were rejected [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    pub(super) sub: Option<u32>,
    /// Write the bytes of the message, and nothing else, to a new file; - is stdout
    #[arg(long, value_name = "FILE|-")]
    pub(super) raw: Option<PathBuf>,
    #[command(flatten)]
    pub(super) tables: RejectionTables,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RejectionFormat {
    /// A table to read
    Table,
    /// One JSON document
    Json,
    /// Comma-separated values
    Csv,
}

fn default_format() -> RejectionFormat {
    if std::io::stdout().is_terminal() { RejectionFormat::Table } else { RejectionFormat::Json }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_a_date_or_an_age() {
        let now: Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
        let since = |text: &str| parse_since(text, now).map(|at| Timestamp::from_microsecond(at).unwrap().to_string());
        assert_eq!(since("2026-03-04T10:00:00+02:00").unwrap(), "2026-03-04T08:00:00Z");
        assert_eq!(since("2026-03-01").unwrap(), "2026-03-01T00:00:00Z");
        assert_eq!(since("90m").unwrap(), "2026-03-04T10:30:00Z");
        assert_eq!(since("24h").unwrap(), "2026-03-03T12:00:00Z");
        for text in ["", "yesterday", "2026-13-01", "24"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
