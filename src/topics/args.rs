//! Command-line arguments of `pinflow topics`.

use std::path::PathBuf;

use crate::config::{ConfigError, kafka_connection};
use pinflow_core::user_error::UsageError;
use pinflow_kafka::{KafkaConnection, TopicSpec};

/// The names of the three streams' topics, behind the prefix.
const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Make, list, describe and delete topics of a Kafka cluster
#[derive(Debug, Clone, clap::Args)]
pub struct TopicsArgs {
    #[command(subcommand)]
    pub(super) command: TopicsCommand,
}

impl TopicsArgs {
    /// Whether programs may read what is printed.
    pub(crate) fn is_json(&self) -> bool {
        self.command.clone().split().1.format == TopicsFormat::Json
    }
}

/// What to do, as it is typed.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum TopicsCommand {
    /// See to it that topics are there; one that is there already must be as it is wanted
    Create {
        #[command(flatten)]
        cluster: TopicSelection,
        #[command(flatten)]
        shape: NewTopicOptions,
    },
    /// Names of the topics that may be seen, or of those that begin with the prefix
    List {
        #[command(flatten)]
        cluster: TopicSelection,
    },
    /// Partitions with leader, replicas, in-sync replicas and offsets, and settings that are not the default
    Describe {
        #[command(flatten)]
        cluster: TopicSelection,
    },
    /// See to it that topics are not there: their records are gone for good
    Delete {
        #[command(flatten)]
        cluster: TopicSelection,
    },
}

/// What to do.
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

/// Which cluster, and which of its topics.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TopicSelection {
    /// Topics; with --prefix and no name: pin, geo and user
    #[arg(value_name = "TOPIC")]
    names: Vec<String>,
    /// Brokers of an unencrypted cluster
    #[arg(long, value_name = "HOST:PORT,…", required_unless_present = "connection", conflicts_with = "connection")]
    brokers: Option<String>,
    /// A pinflow configuration whose kafka source says how to connect: for TLS and SASL
    #[arg(long, value_name = "FILE.toml")]
    connection: Option<PathBuf>,
    /// Stands with a dot before every name: 12e255fc4fcd for 12e255fc4fcd.pin
    #[arg(long, value_name = "ID")]
    pub(super) prefix: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: TopicsFormat,
}

/// How to print it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TopicsFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON object a topic, a line each.
    Json,
}

/// What topics are to be like.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NewTopicOptions {
    /// Partitions of each topic; by default as the brokers say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each partition; by default as the brokers say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=32767))]
    replication: Option<i32>,
    /// A setting of each topic, such as retention.ms=604800000; may be given several times
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

impl TopicSelection {
    /// How to connect, and what its relative paths are relative to.
    pub(super) fn connection(&self) -> Result<(KafkaConnection, PathBuf), ConfigError> {
        match (&self.connection, &self.brokers) {
            (Some(path), _) => kafka_connection(path),
            (None, brokers) => Ok((KafkaConnection::plaintext(brokers.as_deref().unwrap_or_default()), PathBuf::new())),
        }
    }

    /// Whether topics are named, in whatever way.
    pub(super) fn names_any(&self) -> bool {
        !self.names.is_empty() || self.prefix.is_some()
    }

    /// The topics that are meant.
    pub(super) fn names(&self) -> Result<Vec<String>, UsageError> {
        if !self.names_any() {
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
    pub(super) fn wanted(&self, name: &str) -> TopicSpec {
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
