//! Command-line arguments of `pinflow topics`.

use std::path::PathBuf;

use crate::config::{ConfigError, kafka_connection};
use pinflow_core::user_error::UsageError;
use pinflow_kafka::{KafkaConnection, TopicSpec};

/// The names of the topics of the three streams, without a prefix.
const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Create, list, describe and delete topics of a Kafka cluster
#[derive(Debug, Clone, clap::Args)]
pub struct TopicsArgs {
    #[command(subcommand)]
    pub(super) command: TopicsCommand,
}

impl TopicsArgs {
    /// Whether the output is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.command.clone().split().1.format == TopicsFormat::Json
    }
}

/// The subcommand with its arguments.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum TopicsCommand {
    /// Create topics. A topic that already exists with the wanted settings is a success
    Create {
        #[command(flatten)]
        cluster: TopicSelection,
        #[command(flatten)]
        shape: NewTopicOptions,
    },
    /// List the names of all visible topics, or only of those that are named or begin with a prefix
    List {
        #[command(flatten)]
        cluster: TopicSelection,
    },
    /// Show partitions with leader, replicas, in-sync replicas and offsets, and settings that differ from the default
    Describe {
        #[command(flatten)]
        cluster: TopicSelection,
    },
    /// Delete topics and all of their records. A topic that does not exist is a success
    Delete {
        #[command(flatten)]
        cluster: TopicSelection,
    },
}

/// The subcommand without the connection.
pub(super) enum TopicAction {
    Create(NewTopicOptions),
    List,
    Describe,
    Delete,
}

impl TopicsCommand {
    pub(super) fn split(self) -> (TopicAction, TopicSelection) {
        match self {
            TopicsCommand::Create { cluster, shape } => (TopicAction::Create(shape), cluster),
            TopicsCommand::List { cluster } => (TopicAction::List, cluster),
            TopicsCommand::Describe { cluster } => (TopicAction::Describe, cluster),
            TopicsCommand::Delete { cluster } => (TopicAction::Delete, cluster),
        }
    }
}

/// The cluster and the selected topics.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TopicSelection {
    /// Names of topics. With --prefix the default is pin, geo and user
    #[arg(value_name = "TOPIC")]
    names: Vec<String>,
    /// Brokers of a cluster without encryption
    #[arg(long, value_name = "HOST:PORT,…", required_unless_present = "connection", conflicts_with = "connection")]
    brokers: Option<String>,
    /// Connect as the kafka source of this configuration does: for TLS and SASL
    #[arg(long, value_name = "FILE.toml")]
    connection: Option<PathBuf>,
    /// Put this text and a dot before every name: 12ab makes pin to 12ab.pin
    #[arg(long, value_name = "ID")]
    pub(super) prefix: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: TopicsFormat,
}

/// Output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TopicsFormat {
    /// Text to read
    #[default]
    Table,
    /// One JSON object per topic, each on a line
    Json,
}

/// The settings of new topics.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NewTopicOptions {
    /// Number of partitions of each topic [default: the brokers' num.partitions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Number of replicas of each partition [default: the brokers' default.replication.factor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=32767))]
    replication: Option<i32>,
    /// A setting of each topic, such as retention.ms=604800000. Can be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

impl TopicSelection {
    /// The connection settings, and the folder that their relative paths are relative to.
    pub(super) fn connection(&self) -> Result<(KafkaConnection, PathBuf), ConfigError> {
        match (&self.connection, &self.brokers) {
            (Some(path), _) => kafka_connection(path),
            (None, brokers) => Ok((KafkaConnection::plaintext(brokers.as_deref().unwrap_or_default()), PathBuf::new())),
        }
    }

    /// Whether names or a prefix are given.
    pub(super) fn has_names(&self) -> bool {
        !self.names.is_empty() || self.prefix.is_some()
    }

    /// Whether a topic is one of those to list: a named one, one that begins with the prefix, or any.
    pub(super) fn includes_topic(&self, topic: &str) -> bool {
        let name = match &self.prefix {
            Some(id) => topic.strip_prefix(id.as_str()).and_then(|rest| rest.strip_prefix('.')),
            None => Some(topic),
        };
        name.is_some_and(|name| self.names.is_empty() || self.names.iter().any(|wanted| wanted == name))
    }

    /// The names of the selected topics.
    pub(super) fn names(&self) -> Result<Vec<String>, UsageError> {
        if !self.has_names() {
            let what = "no topic is named: give names, or --prefix ID for ID.pin, ID.geo and ID.user";
            return Err(UsageError::new(what));
        }
        let names = if self.names.is_empty() { STREAMS.map(str::to_owned).to_vec() } else { self.names.clone() };
        let whole = |name: String| match &self.prefix {
            Some(id) => format!("{id}.{name}"),
            None => name,
        };
        Ok(names.into_iter().map(whole).collect())
    }
}

impl NewTopicOptions {
    pub(super) fn spec_for(&self, name: &str) -> TopicSpec {
        TopicSpec {
            name: name.to_owned(),
            partitions: self.partitions,
            replication: self.replication,
            settings: self.settings.clone(),
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a setting is written KEY=VALUE, such as retention.ms=604800000".to_owned()),
    }
}
