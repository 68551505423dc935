//! Command-line arguments of `pinflow streams`.

use std::path::PathBuf;

use super::error::StreamsCommandError;
use crate::config::kinesis_connection;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::user_error::UsageError;
use pinflow_kinesis::{KinesisConnection, KinesisConnectionError, StreamSpec};

/// The names of the three streams, behind the prefix.
const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Make, list, describe, split, merge and delete streams of Amazon Kinesis
#[derive(Debug, Clone, clap::Args)]
pub struct StreamsArgs {
    #[command(subcommand)]
    pub(super) command: StreamsCommand,
}

impl StreamsArgs {
    /// Whether programs may read what is printed.
    pub(crate) fn is_json(&self) -> bool {
        self.command.clone().split().1.format == StreamsFormat::Json
    }
}

/// What to do, as it is typed.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum StreamsCommand {
    /// See to it that streams are there; one that is there already must have as many shards
    Create {
        #[command(flatten)]
        named: StreamSelection,
        #[command(flatten)]
        shape: NewStreamOptions,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Names of the streams that may be seen, or of those that begin with the prefix
    List {
        /// How the names begin
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Shards with their parents and keys, retention, ARN
    Describe {
        #[command(flatten)]
        named: StreamSelection,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Split an open shard in two; its records stay in it, and are read before those of its children
    Split {
        /// The stream
        stream: String,
        /// The shard
        shard: String,
        /// The first hash key of the upper one; by default the middle
        #[arg(long, value_name = "KEY")]
        at: Option<u128>,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Merge two open shards with adjacent keys into one
    Merge {
        /// The stream
        stream: String,
        /// One shard
        one: String,
        /// The other
        other: String,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// Split or merge shards until there are so many
    Scale {
        /// The stream
        stream: String,
        /// Open shards
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        shards: u32,
        #[command(flatten)]
        region: KinesisTarget,
    },
    /// See to it that streams are not there: their records are gone for good
    Delete {
        #[command(flatten)]
        named: StreamSelection,
        #[command(flatten)]
        region: KinesisTarget,
    },
}

/// What to do.
pub(super) enum StreamAction {
    Create(StreamSelection, NewStreamOptions),
    List(Option<String>),
    Describe(StreamSelection),
    Reshard(String, ReshardAction),
    Delete(StreamSelection),
}

/// What to do with shards.
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

/// How Kinesis is reached. Credentials come from the AWS credential chain.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KinesisTarget {
    /// AWS region; by default as AWS_REGION or the profile says
    #[arg(long, value_name = "REGION", conflicts_with = "connection")]
    region: Option<String>,
    /// Another address than Amazon's own
    #[arg(long, value_name = "URL", conflicts_with = "connection")]
    endpoint: Option<String>,
    /// A pinflow configuration whose kinesis source says how to connect
    #[arg(long, value_name = "FILE.toml")]
    connection: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: StreamsFormat,
}

/// Which streams.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StreamSelection {
    /// Streams; with --prefix and no name: pin, geo and user
    #[arg(value_name = "STREAM")]
    names: Vec<String>,
    /// Stands with a dash before every name: streaming-12e255fc4fcd for streaming-12e255fc4fcd-pin
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
}

/// How to print it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StreamsFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON object a stream, a line each.
    Json,
}

/// What streams are to be like.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NewStreamOptions {
    /// Shards of each stream; by default as many as its load asks for (on-demand)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,
    /// How long records are kept, hours; by default 24
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(24..=8760))]
    retention_hours: Option<u32>,
}

impl KinesisTarget {
    /// How to connect.
    pub(super) fn connection(&self) -> Result<KinesisConnection, StreamsCommandError> {
        if let Some(path) = &self.connection {
            return Ok(kinesis_connection(path)?);
        }
        let connection =
            KinesisConnection { region: self.region.clone(), profile: None, endpoint: self.endpoint.clone() };
        match connection.validate() {
            none if none.is_empty() => Ok(connection),
            faults => Err(KinesisConnectionError::Faulty(KeyProblem::texts(&faults)).into()),
        }
    }
}

impl StreamSelection {
    /// Whether streams are named, in whatever way.
    pub(super) fn any(&self) -> bool {
        !self.names.is_empty() || self.prefix.is_some()
    }

    /// The streams that are meant.
    pub(super) fn names(&self) -> Result<Vec<String>, UsageError> {
        if !self.any() {
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
    pub(super) fn wanted(&self, name: &str) -> StreamSpec {
        StreamSpec { name: name.to_owned(), shards: self.shards, retention_hours: self.retention_hours }
    }
}
