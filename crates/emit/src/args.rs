//! The command line of `pinflow emit`.

use std::path::{Path, PathBuf};

use pinflow_dataflows::record::Stream;

use super::delivery::ResumeMode;
use super::destinations::gateway::GatewayProtocol;
use super::destinations::{IfFileExists, MessageKey, OutputCompression, gateway, kafka, kinesis};
use super::emulator::{DrawMethod, TimeFormat};
use super::generate::{DrawOrder, WrapMode};
use pinflow_core::secret::SecretFrom;
use pinflow_mysql as mysql;
use pinflow_storage::LocationSpec;

/// Replaced by the name of the stream in `--key`.
const STREAM_PLACEHOLDER: &str = "{stream}";

/// The default seed, which is that of the posting emulator.
const DEFAULT_SEED: u64 = 100;

/// Generate posts that look like real ones, send a recording again, or draw rows from a MySQL database
///
/// The same seed generates the same bytes. Progress counts acknowledged posts. SIGINT, SIGTERM and SIGHUP stop it within
/// 20 seconds: it waits for what was sent, reports what was acknowledged, and names the flags that continue.
#[derive(Debug, clap::Args)]
pub struct EmitArgs {
    /// Where posts go: a folder, standard output (-), Kafka, Kinesis or a gateway
    ///
    /// FOLDER: writes pin.jsonl, geo.jsonl and user.jsonl. kafka://HOST:PORT,…/PREFIX: sends to the topics PREFIX.pin,
    /// PREFIX.geo and PREFIX.user, or pin, geo and user without a prefix. kinesis://PREFIX: sends to the streams
    /// PREFIX-pin, PREFIX-geo and PREFIX-user. https://HOST/STAGE: sends to a gateway (see --prefix and --gateway).
    #[arg(long, value_name = "FOLDER|-|kafka://…|kinesis://…|https://…", required_unless_present = "init_mysql")]
    #[arg(help_heading = "Destination")]
    pub to: Option<PathBuf>,

    /// Send all streams to this one Kafka topic or Kinesis stream, instead of one each
    #[arg(long, value_name = "NAME", help_heading = "Destination")]
    pub topic: Option<String>,

    /// How the names of a gateway's topics or streams begin: PREFIX.pin, or PREFIX-pin for Kinesis
    #[arg(long, value_name = "TEXT", conflicts_with = "topic", help_heading = "Destination")]
    pub prefix: Option<String>,

    /// Key of Kafka and Kinesis messages: ind, none, or a fixed text in which {stream} stands for pin, geo or user
    ///
    /// The key chooses the partition or shard [default: ind].
    #[arg(long, value_name = "ind|none|TEXT", help_heading = "Destination")]
    pub key: Option<String>,

    /// Overwrite existing files
    #[arg(long, conflicts_with = "append", help_heading = "Destination")]
    pub force: bool,

    /// Continue existing files with the draw after their last message; --count says how many more
    #[arg(long, help_heading = "Destination")]
    pub append: bool,

    /// Compression: files are named .jsonl.gz or .jsonl.zst, Kafka compresses batches
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = OutputCompression::None, help_heading = "Destination")]
    pub compress: OutputCompression,

    /// Send existing posts instead: a recording, Delta tables, or a MySQL database
    ///
    /// PATH: a folder with pin.jsonl, geo.jsonl and user.jsonl, or one such file, sent line by line; or a folder with the
    /// Delta tables pin, geo and user, or one of them, whose rows are sent as producers would write them.
    /// mysql://…: draws rows of the three tables, as the posting emulator does, until --count draws or a signal.
    #[arg(long, value_name = "PATH|mysql://USER@HOST:PORT/DATABASE", help_heading = "Source")]
    #[arg(conflicts_with_all = [
        "inds", "order", "malformed", "too_large", "too_many_rows", "wrap", "manifest",
    ])]
    pub from: Option<PathBuf>,

    /// Create the tables pinterest_data, geolocation_data and user_data in this database, with --inds posts each
    #[arg(long, value_name = "mysql://USER@HOST:PORT/DATABASE", help_heading = "Source")]
    #[arg(conflicts_with_all = [
        "to", "from", "count", "skip", "order", "malformed", "wrap", "manifest", "append", "force", "rate", "compress", "topic",
        "prefix", "key", "connection", "region", "endpoint", "gateway", "token", "ca", "draws", "times",
    ])]
    pub init_mysql: Option<String>,

    /// With --init-mysql: replace existing tables
    #[arg(long, requires = "init_mysql", help_heading = "Source")]
    pub replace: bool,

    /// How rows are drawn from a database
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = DrawMethod::Uniform, help_heading = "Source")]
    pub draws: DrawMethod,

    /// Rows in each of the three tables that posts are drawn from (the posting emulator has 11,149)
    #[arg(long, value_name = "N", default_value = "11149", value_parser = parse_number, help_heading = "Amount")]
    pub inds: u64,

    /// Number of draws: messages per stream [default: one per row, from a database until a signal]
    #[arg(long, alias = "limit", value_name = "N", value_parser = parse_number, help_heading = "Amount")]
    pub count: Option<u64>,

    /// Number of draws to leave out at the beginning [default: 0]
    #[arg(long, value_name = "N", value_parser = parse_number, help_heading = "Amount")]
    pub skip: Option<u64>,

    /// Messages per second over all streams
    ///
    /// Default: as fast as possible. From a database: the posting emulator's pace of zero or one second before each draw.
    #[arg(long, value_name = "N", value_parser = parse_rate, help_heading = "Amount")]
    pub rate: Option<f64>,

    /// Streams to send. On standard output several streams are mixed, message by message
    #[arg(long, alias = "stream", value_name = "STREAM,…", value_delimiter = ',', value_parser = parse_stream)]
    #[arg(default_value = "pin,geo,user", help_heading = "Amount")]
    pub streams: Vec<Stream>,

    /// Order in which rows are drawn. All streams take the same row in the same draw
    #[arg(long, value_enum, value_name = "DRAW_ORDER", default_value_t = DrawOrder::Once, help_heading = "Shape")]
    pub order: DrawOrder,

    /// Seed of the random numbers: another seed generates other posts, or draws other rows [default: 100]
    #[arg(long, value_name = "N", help_heading = "Shape")]
    pub seed: Option<u64>,

    /// Share of malformed messages, 0 to 1: rejected, or with a field that cannot be read
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share, help_heading = "Shape")]
    pub malformed: f64,

    /// Some malformed messages are longer than this: the reader's limit
    #[arg(long, value_name = "BYTES", value_parser = parse_number, requires = "malformed", help_heading = "Shape")]
    pub too_large: Option<u64>,

    /// Some malformed messages have more rows than this: the reader's limit
    #[arg(long, value_name = "ROWS", value_parser = parse_number, requires = "malformed", help_heading = "Shape")]
    pub too_many_rows: Option<u64>,

    /// What surrounds the rows in a message
    #[arg(long, value_enum, value_name = "ENVELOPE", default_value_t = WrapMode::None, help_heading = "Shape")]
    pub wrap: WrapMode,

    /// How times from a database are written
    #[arg(long, value_enum, value_name = "TIME_FORMAT", default_value_t = TimeFormat::T, help_heading = "Shape")]
    pub times: TimeFormat,

    /// Write what was generated to this JSON file: counts by stream, expected rejection and field fault
    #[arg(long, value_name = "FILE", help_heading = "Shape")]
    pub manifest: Option<PathBuf>,

    /// Connect as the kafka or kinesis source of this configuration does (TLS, SASL); --to is kafka:///PREFIX
    #[arg(long, value_name = "FILE.toml", help_heading = "Connection")]
    pub connection: Option<PathBuf>,

    /// AWS region of Kinesis [default: AWS_REGION, or the profile's]
    #[arg(long, value_name = "AWS_REGION", conflicts_with = "connection", help_heading = "Connection")]
    pub region: Option<String>,

    /// URL of Kinesis, if it is not Amazon's own
    #[arg(long, value_name = "URL", conflicts_with = "connection", help_heading = "Connection")]
    pub endpoint: Option<String>,

    /// Request format of the gateway: Kafka REST v2, or Kinesis behind Amazon API Gateway
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t = GatewayProtocol::Kafka, help_heading = "Connection")]
    pub gateway: GatewayProtocol,

    /// Where to read the gateway's token from [default: env:PINFLOW_TOKEN, if it is set]
    #[arg(long, value_name = "env:NAME|file:PATH", value_parser = parse_secret, help_heading = "Connection")]
    pub token: Option<SecretFrom>,

    /// PEM file with certificates to trust for the gateway, in addition to the system's
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ca: Option<PathBuf>,

    /// Database credentials: a db_creds.yaml with HOST, USER, PASSWORD, DATABASE and PORT
    ///
    /// Values are resolved in this order: URL, this file, MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_USER, MYSQL_PWD,
    /// MYSQL_DATABASE.
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub creds: Option<PathBuf>,
}

impl EmitArgs {
    pub(crate) fn if_file_exists(&self) -> IfFileExists {
        match (self.force, self.append) {
            (true, _) => IfFileExists::Overwrite,
            (_, true) => IfFileExists::Append,
            _ => IfFileExists::Refuse,
        }
    }

    /// How the emit can be continued after a stop.
    pub(crate) fn resume_mode(&self) -> ResumeMode {
        match &self.from {
            Some(_) if self.database_url().is_none() => ResumeMode::None,
            None if self.is_folder() && self.wrap.has_one_row_per_message() => ResumeMode::Append,
            _ => ResumeMode::Skip,
        }
    }

    pub(crate) fn draw_count(&self) -> u64 {
        self.count.unwrap_or(self.inds)
    }

    pub(crate) fn skipped_draws(&self) -> u64 {
        self.skip.unwrap_or(0)
    }

    pub(crate) fn rng_seed(&self) -> u64 {
        self.seed.unwrap_or(DEFAULT_SEED)
    }

    /// The value of `--to`. Empty without one.
    pub(crate) fn target_path(&self) -> &Path {
        self.to.as_deref().unwrap_or(Path::new(""))
    }

    /// The URL of `--from`, if it is a database.
    pub(crate) fn database_url(&self) -> Option<&str> {
        self.from.as_deref()?.to_str().filter(|from| mysql::is_url(from))
    }

    /// Brokers and topic prefix, if messages go to Kafka.
    pub(crate) fn kafka_target(&self) -> Option<(&str, &str)> {
        self.target_path().to_str().and_then(kafka::parse_destination)
    }

    /// The stream prefix, if messages go to Kinesis.
    pub(crate) fn kinesis_prefix(&self) -> Option<&str> {
        self.target_path().to_str().and_then(kinesis::parse_destination)
    }

    /// The URL of the gateway, if messages go to one.
    pub(crate) fn gateway_url(&self) -> Option<&str> {
        self.target_path().to_str().filter(|to| gateway::is_url(to))
    }

    /// The topics or streams of the gateway, with the streams of posts that go to each.
    pub(crate) fn gateway_targets(&self) -> Vec<(String, Vec<Stream>)> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        match self.gateway {
            GatewayProtocol::Kafka => self.kafka_topics(prefix),
            GatewayProtocol::Kinesis => self.kinesis_streams(prefix),
        }
    }

    /// The Kinesis streams, with the streams of posts that go to each.
    pub(crate) fn kinesis_streams(&self, prefix: &str) -> Vec<(String, Vec<Stream>)> {
        if let Some(stream) = &self.topic {
            return self.route_all_to(stream);
        }
        self.selected_streams().into_iter().map(|stream| (format!("{prefix}-{stream}"), vec![stream])).collect()
    }

    /// One topic or stream for all streams of posts. It is listed several times if each stream has a key of its own.
    fn route_all_to(&self, place: &str) -> Vec<(String, Vec<Stream>)> {
        if !self.has_key_of_stream() {
            return vec![(place.to_owned(), self.selected_streams())];
        }
        self.selected_streams().into_iter().map(|stream| (place.to_owned(), vec![stream])).collect()
    }

    /// The Kafka topics, with the streams of posts that go to each.
    pub(crate) fn kafka_topics(&self, prefix: &str) -> Vec<(String, Vec<Stream>)> {
        if let Some(topic) = &self.topic {
            return self.route_all_to(topic);
        }
        let name = |stream: Stream| if prefix.is_empty() { stream.to_string() } else { format!("{prefix}.{stream}") };
        self.selected_streams().into_iter().map(|stream| (name(stream), vec![stream])).collect()
    }

    /// The key of messages that go to one destination together.
    pub(crate) fn message_key(&self, streams: &[Stream]) -> MessageKey {
        match (self.key.as_deref(), streams) {
            (None | Some("ind"), _) => MessageKey::Ind,
            (Some("none"), _) => MessageKey::None,
            (Some(text), [stream]) => MessageKey::Fixed(text.replace(STREAM_PLACEHOLDER, stream.name()).into_bytes()),
            (Some(text), _) => MessageKey::Fixed(text.as_bytes().to_vec()),
        }
    }

    fn has_key_of_stream(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.contains(STREAM_PLACEHOLDER))
    }

    /// Whether one destination gets several streams.
    pub(crate) fn is_mixed(&self) -> bool {
        (self.is_stdout() || (self.topic.is_some() && !self.has_key_of_stream())) && self.selected_streams().len() > 1
    }

    /// Resolves `--to` and `--from` to folders, unless they are brokers, streams, a gateway or a database.
    ///
    /// # Errors
    /// If one of them is a URL that is not a folder.
    pub(crate) fn resolve_folders(&mut self) -> Result<(), String> {
        if self.to.is_some()
            && self.is_folder()
            && let Some(to) = self.to.as_ref().and_then(|to| to.to_str())
        {
            self.to = Some(LocationSpec::parse_folder(to, Path::new(""), "--to")?);
        }
        if self.database_url().is_none()
            && let Some(from) = self.from.as_ref().and_then(|from| from.to_str())
        {
            self.from = Some(LocationSpec::parse_folder(from, Path::new(""), "--from")?);
        }
        Ok(())
    }

    /// Whether messages go to files in a folder.
    pub(crate) fn is_folder(&self) -> bool {
        !self.is_stdout()
            && self.kafka_target().is_none()
            && self.kinesis_prefix().is_none()
            && self.gateway_url().is_none()
    }

    pub(crate) fn is_stdout(&self) -> bool {
        self.target_path().as_os_str() == "-"
    }

    /// The selected streams, each once, as pin, geo, user.
    pub(crate) fn selected_streams(&self) -> Vec<Stream> {
        Stream::ALL.into_iter().filter(|stream| self.streams.contains(stream)).collect()
    }
}

/// Parses a whole number, such as `1500`, `1_500`, `10k` or `2M`.
///
/// # Errors
/// What to write instead.
pub fn parse_number(text: &str) -> Result<u64, String> {
    let plain = text.replace('_', "");
    let (digits, unit) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => plain.strip_suffix('M').map_or((plain.as_str(), 1), |digits| (digits, 1_000_000)),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "a whole number such as 1500, 10k or 2M is wanted".to_owned())
}

fn parse_secret(text: &str) -> Result<SecretFrom, &'static str> {
    SecretFrom::try_from(text.to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share from 0 to 1 is wanted, such as 0.01".to_owned())
}

/// Parses messages per second: a number above 0, such as `200`, `0.5` or `10k`.
///
/// # Errors
/// What to write instead.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().or_else(|| parse_number(text).ok().map(|rate| rate as f64));
    rate.filter(|rate: &f64| *rate >= 0.001 && rate.is_finite()).ok_or_else(|| "a number above 0 is wanted".to_owned())
}

fn parse_stream(text: &str) -> Result<Stream, String> {
    let named = Stream::ALL.into_iter().find(|stream| stream.name() == text);
    named.ok_or_else(|| "pin, geo or user is wanted".to_owned())
}
