//! Command-line arguments of `pinflow streams`.

use std::path::PathBuf;

use super::error::StreamsCommandError;
use crate::config::kinesis_connection;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::user_error::UsageError;
use pinflow_kinesis::{KinesisConnection, KinesisConnectionError, StreamSpec};

/// The names of the three streams, without a prefix.
const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Create, list, describe, split, merge and delete streams of Amazon Kinesis
#[derive(Debug, Clone, clap::Args)]
pub struct StreamsArgs {
    #[command(subcommand)]
    pub(super) command: StreamsCommand,
}

impl StreamsArgs {
    /// Whether the output is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.command.clone().split().1.format == StreamsFormat::Json
    }
}

/// The subcommand with its arguments.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum StreamsCommand {
    /// Create streams. A stream that already exists with the wanted number of shards is a success
    Create {
        #[command(flatten)]
        named: StreamSelection,
        #[command(flatten)]
        shape: NewStreamOptions,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// List the names of all streams, or of those that begin with a prefix
    List {
        /// Only streams whose names begin with this text
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Show shards with their parents and hash keys, retention period and ARN
    Describe {
        #[command(flatten)]
        named: StreamSelection,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Split an open shard in two. Its records stay in it and are read before those of its children
    Split {
        /// The name of the stream
        stream: String,
        /// The id of the shard
        shard: String,
        /// The first hash key of the upper child [default: the middle of the shard's range]
        #[arg(long, value_name = "HASH_KEY")]
        at: Option<u128>,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Merge two open shards with adjacent hash keys into one
    Merge {
        /// The name of the stream
        stream: String,
        /// The id of one shard
        one: String,
        /// The id of the other shard
        other: String,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Split or merge shards until this many are open
    Scale {
        /// The name of the stream
        stream: String,
        /// The wanted number of open shards
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        shards: u32,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Delete streams and all of their records. A stream that does not exist is a success
    Delete {
        #[command(flatten)]
        named: StreamSelection,
        #[command(flatten)]
        region: KinesisTarget,
    },
}

/// The subcommand without the connection.
pub(super) enum StreamAction {
    Create(StreamSelection, NewStreamOptions),
    List(Option<String>),
    Describe(StreamSelection),
    Reshard(String, ReshardAction),
    Delete(StreamSelection),
}

/// A change of the shards.
pub(super) enum ReshardAction {
    Split { shard: String, at: Option<u128> },
    Merge { one: String, other: String },
    Scale(u32),
}

impl StreamsCommand {
    pub(super) fn split(self) -> (StreamAction, KinesisTarget) {
        match self {
            StreamsCommand::Create { named, shape, region } => (StreamAction::Create(named, shape), region),
            StreamsCommand::List { prefix, region } => (StreamAction::List(prefix), region),
            StreamsCommand::Describe { named, region } => (StreamAction::Describe(named), region),
            StreamsCommand::Split { stream, shard, at, region } => {
                (StreamAction::Reshard(stream, ReshardAction::Split { shard, at }), region)
            }
            StreamsCommand::Merge { stream, one, other, region } => {
                (StreamAction::Reshard(stream, ReshardAction::Merge { one, other }), region)
            }
            StreamsCommand::Scale { stream, shards, region } => {
                (StreamAction::Reshard(stream, ReshardAction::Scale(shards)), region)
            }
            StreamsCommand::Delete { named, region } => (StreamAction::Delete(named), region),
        }
    }
}

/// The connection to Kinesis. Credentials come from the AWS credential chain.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KinesisTarget {
    /// AWS region [default: AWS_REGION, or the profile's]
    #[arg(long, value_name = "AWS_REGION", conflicts_with = "connection")]
    region: Option<String>,
    /// URL of Kinesis, if it is not Amazon's own
    #[arg(long, value_name = "URL", conflicts_with = "connection")]
    endpoint: Option<String>,
    /// Connect as the kinesis source of this configuration does
    #[arg(long, value_name = "FILE.toml")]
    connection: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: StreamsFormat,
}

/// The selected streams.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StreamSelection {
    /// Names of streams. With --prefix the default is pin, geo and user
    #[arg(value_name = "STREAM")]
    names: Vec<String>,
    /// Put this text and a dash before every name: streaming-12ab makes pin to streaming-12ab-pin
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
}

/// Output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StreamsFormat {
    /// Text to read
    #[default]
    Table,
    /// One JSON object per stream, each on a line
    Json,
}

/// The settings of new streams.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NewStreamOptions {
    /// Number of shards of each stream [default: on-demand, Kinesis adds shards as the load grows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,
    /// How many hours records are kept, from 24 to 8760 [default: 24]
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(24..=8760))]
    retention_hours: Option<u32>,
}

impl KinesisTarget {
    /// The connection settings.
    pub(super) fn connection(&self) -> Result<KinesisConnection, StreamsCommandError> {
        if let Some(path) = &self.connection {
            return Ok(kinesis_connection(path)?);
        }
        let connection =
            KinesisConnection { region: self.region.clone(), profile: None, endpoint: self.endpoint.clone() };
        match connection.validate() {
            none if none.is_empty() => Ok(connection),
            problems => Err(KinesisConnectionError::Invalid(KeyProblem::texts(&problems)).into()),
        }
    }
}

impl StreamSelection {
    /// Whether names or a prefix are given.
    pub(super) fn has_names(&self) -> bool {
        !self.names.is_empty() || self.prefix.is_some()
    }

    /// The names of the selected streams.
    pub(super) fn names(&self) -> Result<Vec<String>, UsageError> {
        if !self.has_names() {
            let what = "no stream is named: give names, or --prefix TEXT for TEXT-pin, TEXT-geo and TEXT-user";
            return Err(UsageError::new(what));
        }
        let names = if self.names.is_empty() { STREAMS.map(str::to_owned).to_vec() } else { self.names.clone() };
        let whole = |name: String| match &self.prefix {
            Some(prefix) => format!("{prefix}-{name}"),
            None => name,
        };
        Ok(names.into_iter().map(whole).collect())
    }
}

impl NewStreamOptions {
    pub(super) fn spec_for(&self, name: &str) -> StreamSpec {
        StreamSpec { name: name.to_owned(), shards: self.shards, retention_hours: self.retention_hours }
    }
}
