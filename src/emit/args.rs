//! What can be typed, and what is meant.

use std::path::{Path, PathBuf};

use pinflow_dataflows::record::Stream;

use super::destinations::gateway::Bodies;
use super::destinations::{Compress, Exists, Key, gateway, kafka, kinesis};
use super::draws::Order;
use super::emulator::{Draws, Times};
use super::wrap::Wrap;
use crate::mysql;
use crate::objects::Target;
use crate::secret::SecretFrom;

/// What stands for a stream's name in a key.
const STREAM: &str = "{stream}";

/// The seed that is meant where none is typed: the original's.
const SEED: u64 = 100;

/// Make posts that look like real ones: recordings of any size, the same bytes for the same seed. Or post rows of a MySQL
/// database as the original emulator does.
#[derive(Debug, clap::Args)]
pub struct EmitArgs {
    /// Folder for pin.jsonl, geo.jsonl and user.jsonl (made if it is not there); - for standard output;
    /// kafka://HOST:PORT,…/PREFIX for the topics PREFIX.pin, PREFIX.geo and PREFIX.user (without a prefix pin, geo, user);
    /// kinesis://PREFIX for the streams PREFIX-pin, PREFIX-geo and PREFIX-user; http(s)://HOST/STAGE for a gateway, which
    /// posts to the topics --prefix.pin, … or, with --gateway kinesis, to the streams --prefix-pin, …
    #[arg(long, value_name = "FOLDER|-|kafka://…|kinesis://…|https://…", required_unless_present = "init_mysql")]
    pub to: Option<PathBuf>,

    /// Send posts again instead: a recording, every line as it stands (a folder with pin.jsonl, geo.jsonl, user.jsonl, or
    /// a file), or the rows of Delta tables (a folder with pin, geo, user, or one of them) as producers would write them.
    /// Or draw rows from the tables of a MySQL database, as the original emulator does, until --count draws or a signal.
    #[arg(long, value_name = "PATH|mysql://USER@HOST:PORT/DATABASE")]
    #[arg(conflicts_with_all = [
        "inds", "order", "malformed", "too_large", "too_many_rows", "wrap", "manifest",
    ])]
    pub from: Option<PathBuf>,

    /// Make the tables pinterest_data, geolocation_data and user_data in this MySQL database, and fill them with --inds
    /// made posts each.
    #[arg(long, value_name = "mysql://USER@HOST:PORT/DATABASE")]
    #[arg(conflicts_with_all = [
        "to", "from", "count", "skip", "order", "malformed", "wrap", "manifest", "append", "force", "rate", "compress", "topic",
        "prefix", "key", "connection", "region", "endpoint", "gateway", "token", "ca", "draws", "times",
    ])]
    pub init_mysql: Option<String>,

    /// With --init-mysql: take new tables in the place of those that are there.
    #[arg(long, requires = "init_mysql")]
    pub replace: bool,

    /// Credentials of the database, as the original's db_creds.yaml has them: HOST, USER, PASSWORD, DATABASE, PORT. What
    /// stands in the URL goes before them, MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_USER, MYSQL_PWD, MYSQL_DATABASE behind.
    #[arg(long, value_name = "FILE")]
    pub creds: Option<PathBuf>,

    /// How rows are drawn from a database.
    #[arg(long, value_enum, default_value_t = Draws::Uniform)]
    pub draws: Draws,

    /// How moments of a database are written.
    #[arg(long, value_enum, default_value_t = Times::T)]
    pub times: Times,

    /// One Kafka topic or Kinesis stream for all streams of posts, instead of one each.
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,

    /// What the names of a gateway's topics or streams begin with.
    #[arg(long, value_name = "NAME", conflicts_with = "topic")]
    pub prefix: Option<String>,

    /// What a gateway's requests look like: Kafka REST v2, or Kinesis as an API gateway takes it.
    #[arg(long, value_enum, default_value_t = Bodies::Kafka)]
    pub gateway: Bodies,

    /// Where a gateway's token comes from: env:NAME or file:PATH. Default: env:PINFLOW_TOKEN, if that is set
    #[arg(long, value_name = "FROM", value_parser = secret)]
    pub token: Option<SecretFrom>,

    /// Certificates (PEM) of a gateway to trust beside the system's own
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Key of Kafka and Kinesis messages, which decides on their partition or shard: ind, none, or a text that all get, in
    /// which {stream} stands for pin, geo or user.
    #[arg(long, value_name = "ind|none|TEXT")]
    pub key: Option<String>,

    /// A pinflow configuration whose kafka (or kinesis) source says how to connect: for TLS and SASL. --to is
    /// kafka:///PREFIX then.
    #[arg(long, value_name = "FILE.toml")]
    pub connection: Option<PathBuf>,

    /// AWS region of Kinesis streams. Default: as AWS_REGION or the profile says.
    #[arg(long, value_name = "REGION", conflicts_with = "connection")]
    pub region: Option<String>,

    /// Another address of Kinesis than Amazon's own.
    #[arg(long, value_name = "URL", conflicts_with = "connection")]
    pub endpoint: Option<String>,

    /// Rows in each of the three tables that posts are drawn from. The original ones have 11,149.
    #[arg(long, value_name = "N", default_value = "11149", value_parser = number)]
    pub inds: u64,

    /// Draws to make: so many messages a stream. Default: one draw for each row; from a database: until a signal comes.
    #[arg(long, alias = "limit", value_name = "N", value_parser = number)]
    pub count: Option<u64>,

    /// Draws to leave out at the beginning.
    #[arg(long, value_name = "N", value_parser = number)]
    pub skip: Option<u64>,

    /// In which order rows are drawn; all three streams take the same row at the same draw.
    #[arg(long, value_enum, default_value_t = Order::Once)]
    pub order: Order,

    /// Makes other posts, or draws other rows. The same seed makes the same bytes. Default: 100, the original's.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Streams to make. Several on standard output are mixed, message by message.
    #[arg(long, alias = "stream", value_name = "STREAM,…", value_delimiter = ',', value_parser = stream)]
    #[arg(default_value = "pin,geo,user")]
    pub streams: Vec<Stream>,

    /// Share of messages, 0 to 1, that are malformed in every way a reader must refuse, or have a field it cannot read.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub malformed: f64,

    /// Among the malformed messages, also make some longer than this: the reader's own limit.
    #[arg(long, value_name = "BYTES", value_parser = number, requires = "malformed")]
    pub too_large: Option<u64>,

    /// Among the malformed messages, also make some with more rows than this: the reader's own limit.
    #[arg(long, value_name = "ROWS", value_parser = number, requires = "malformed")]
    pub too_many_rows: Option<u64>,

    /// What messages look like around their rows.
    #[arg(long, value_enum, default_value_t = Wrap::None)]
    pub wrap: Wrap,

    /// How to compress; files are named .jsonl.gz or .jsonl.zst then, Kafka compresses batches.
    #[arg(long, value_enum, default_value_t = Compress::None)]
    pub compress: Compress,

    /// Messages a second over all streams. Default: as fast as possible; from a database: as the original, which waits no
    /// or one second before each draw.
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,

    /// Overwrite files that are there.
    #[arg(long, conflicts_with = "append")]
    pub force: bool,

    /// Continue files that are there, with the draw after their last message. --count says how many more.
    #[arg(long)]
    pub append: bool,

    /// Write what was made, by stream, expected rejection and field fault, to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

impl EmitArgs {
    pub(crate) fn exists(&self) -> Exists {
        match (self.force, self.append) {
            (true, _) => Exists::Overwrite,
            (_, true) => Exists::Append,
            _ => Exists::Refuse,
        }
    }

    /// Draws to make.
    pub(crate) fn draws(&self) -> u64 {
        self.count.unwrap_or(self.inds)
    }

    /// Draws to leave out.
    pub(crate) fn skip(&self) -> u64 {
        self.skip.unwrap_or(0)
    }

    /// What the dice begin with.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(SEED)
    }

    /// The place that messages go to; of files the folder.
    pub(crate) fn to(&self) -> &Path {
        self.to.as_deref().unwrap_or(Path::new(""))
    }

    /// The URL of the database that rows are drawn from, if they are.
    pub(crate) fn database(&self) -> Option<&str> {
        self.from.as_deref()?.to_str().filter(|from| mysql::is_url(from))
    }

    /// The brokers and the prefix of the topics, if messages go to Kafka.
    pub(crate) fn to_kafka(&self) -> Option<(&str, &str)> {
        self.to().to_str().and_then(kafka::parse)
    }

    /// The prefix of the streams, if messages go to Kinesis.
    pub(crate) fn to_kinesis(&self) -> Option<&str> {
        self.to().to_str().and_then(kinesis::parse)
    }

    /// The URL of the gateway, if messages go to one.
    pub(crate) fn to_gateway(&self) -> Option<&str> {
        self.to().to_str().filter(|to| gateway::is_url(to))
    }

    /// The topics or streams behind the gateway, and the streams of posts that go to each.
    pub(crate) fn gateway_places(&self) -> Vec<(String, Vec<Stream>)> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        match self.gateway {
            Bodies::Kafka => self.topics(prefix),
            Bodies::Kinesis => self.kinesis_streams(prefix),
        }
    }

    /// The streams of Kinesis, and the streams of posts that go to each.
    pub(crate) fn kinesis_streams(&self, prefix: &str) -> Vec<(String, Vec<Stream>)> {
        if let Some(stream) = &self.topic {
            return self.all_to(stream);
        }
        self.chosen().into_iter().map(|stream| (format!("{prefix}-{stream}"), vec![stream])).collect()
    }

    /// One place for all streams; several lanes lead there if each has a key of its own.
    fn all_to(&self, place: &str) -> Vec<(String, Vec<Stream>)> {
        if !self.has_key_of_stream() {
            return vec![(place.to_owned(), self.chosen())];
        }
        self.chosen().into_iter().map(|stream| (place.to_owned(), vec![stream])).collect()
    }

    /// The topics, and the streams that go to each.
    pub(crate) fn topics(&self, prefix: &str) -> Vec<(String, Vec<Stream>)> {
        if let Some(topic) = &self.topic {
            return self.all_to(topic);
        }
        let name = |stream: Stream| if prefix.is_empty() { stream.to_string() } else { format!("{prefix}.{stream}") };
        self.chosen().into_iter().map(|stream| (name(stream), vec![stream])).collect()
    }

    /// The key of the messages of these streams, which go to one place together.
    pub(crate) fn key(&self, streams: &[Stream]) -> Key {
        match (self.key.as_deref(), streams) {
            (None | Some("ind"), _) => Key::Ind,
            (Some("none"), _) => Key::None,
            (Some(text), [stream]) => Key::Fixed(text.replace(STREAM, stream.name()).into_bytes()),
            (Some(text), _) => Key::Fixed(text.as_bytes().to_vec()),
        }
    }

    fn has_key_of_stream(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.contains(STREAM))
    }

    /// Whether messages of several streams go to one place.
    pub(crate) fn mixed(&self) -> bool {
        (self.to_stdout() || (self.topic.is_some() && !self.has_key_of_stream())) && self.chosen().len() > 1
    }

    /// Reads `--to` and `--from` as locations where they are neither brokers, streams, a gateway nor a database.
    pub(crate) fn resolve_folders(&mut self) -> Result<(), String> {
        let is_folder = self.to.is_some()
            && !self.to_stdout()
            && self.to_kafka().is_none()
            && self.to_kinesis().is_none()
            && self.to_gateway().is_none();
        if is_folder && let Some(to) = self.to.as_ref().and_then(|to| to.to_str()) {
            self.to = Some(Target::parse_folder(to, Path::new(""), "--to")?);
        }
        if self.database().is_none()
            && let Some(from) = self.from.as_ref().and_then(|from| from.to_str())
        {
            self.from = Some(Target::parse_folder(from, Path::new(""), "--from")?);
        }
        Ok(())
    }

    pub(crate) fn to_stdout(&self) -> bool {
        self.to().as_os_str() == "-"
    }

    /// The streams, each once, in the order of the contract.
    pub(crate) fn chosen(&self) -> Vec<Stream> {
        Stream::ALL.into_iter().filter(|stream| self.streams.contains(stream)).collect()
    }
}

/// A whole number, as `1500`, `1_500`, `10k` or `2M`.
fn number(text: &str) -> Result<u64, String> {
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

fn secret(text: &str) -> Result<SecretFrom, &'static str> {
    SecretFrom::try_from(text.to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share from 0 to 1 is wanted, such as 0.01".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().or_else(|| number(text).ok().map(|rate| rate as f64));
    rate.filter(|rate: &f64| *rate >= 0.001 && rate.is_finite()).ok_or_else(|| "a number above 0 is wanted".to_owned())
}

fn stream(text: &str) -> Result<Stream, String> {
    let named = Stream::ALL.into_iter().find(|stream| stream.name() == text);
    named.ok_or_else(|| "pin, geo or user is wanted".to_owned())
}
