//! Reads Kafka topics, each partition from the offset that the tables store for it. No consumer group is needed.
//!
//! - A partition is named `kafka/‹topic›/‹partition›`; a record's position is its offset. Positions are stored under the
//!   cluster id as well, so a topic of the same name in another cluster is not mistaken for the one that was read.
//! - Partitions are assigned with explicit offsets and only committed records are read. The position after a record is
//!   taken from the client, because transaction markers use up offsets. Records that are delivered twice are dropped.
//! - `startup` verifies that each partition is the one that was read before; `topic_monitor` keeps verifying it.
//!   Expired records and topics that were deleted, re-created or shrunk end the run with an error that names the range.
//! - Where a partition starts is durable before any of it is read. A partition added later starts at its oldest record.
//! - In a cluster each process reads every n-th partition of each topic, and verifies only those.
//! - Headers are ignored. A null payload is a tombstone, an empty payload is an empty message.
//!
//! Two threads with one client each: one reads, one monitors. Memory is bounded by the reader's fetch queue
//! (`queued.max.messages.kbytes`, 16 MiB) plus one broker response, 4 MiB of blocks under construction, and the blocks in
//! the feed. If brokers are unreachable the source logs it and waits.

mod config;
mod consumer;
mod consumer_context;
mod fingerprint;
mod offset_check;
mod partition;
mod reader;
mod stall;
mod startup;
mod topic_monitor;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;

pub use config::{KafkaConfig, KafkaStart};

use consumer::KafkaCluster;
use pinflow_dataflows::ingest::StreamHint;
use reader::KafkaReader;
use startup::KafkaStartup;
use topic_monitor::TopicMonitor;

use pinflow_connect::source::backlog::BacklogReport;
pub use pinflow_connect::source::reader_thread::{ReaderExit, spawn_reader, spawn_thread};
use pinflow_connect::source::source_kind::{PlanContext, PlannedSource, SourceConfig, SourceKind};
use pinflow_connect::source::topic_map;
use pinflow_connect::source::{AcceptedLoss, ReadShare, SourceContext, SourceError};
use pinflow_core::key_problem::KeyProblem;

use crate::{Finding, KafkaConnection, TopicAdmin, check_cluster};

/// Kafka topics as a source.
pub const SOURCE_KIND: SourceKind = SourceKind {
    name: "kafka",
    keys: crate::config_keys::SOURCE_KEYS,
    identifying_keys: &["brokers", "topics"],
    read: SourceKind::read_as::<KafkaConfig>,
};

/// Topics of a cluster, ready to be read. No request was sent yet.
#[derive(Debug)]
struct KafkaSource {
    cluster: KafkaCluster,
    config: KafkaConfig,
    accepted: Vec<AcceptedLoss>,
    share: ReadShare,
}

#[async_trait]
impl SourceConfig for KafkaConfig {
    fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        self.problems(base)
    }

    async fn check(&self, context: &PlanContext<'_>) -> Vec<Finding> {
        let topics: Vec<String> = self.topics.list_names().iter().map(|(topic, _)| (*topic).to_owned()).collect();
        let group = self.consumer_group(context.pipeline);
        // Blocks while it waits for brokers.
        let mut findings =
            tokio::task::block_in_place(|| check_cluster(&self.connection(), context.base, &topics, &group));
        if !findings.iter().any(|finding| matches!(finding, Finding::Problem(_))) {
            findings.extend(topic_risks(self.connection(), &topics, context.base).await);
        }
        findings
    }

    /// Partitions are shared. How many there are is not known before the start.
    fn is_read_by(&self, _: ReadShare) -> bool {
        true
    }

    async fn plan(&self, context: &PlanContext<'_>) -> Result<Box<dyn PlannedSource>, SourceError> {
        let problems = self.problems(context.base);
        if !problems.is_empty() {
            return Err(SourceError::Misconfigured(KeyProblem::texts(&problems).join("\n")));
        }
        let group = self.consumer_group(context.pipeline);
        let cluster = KafkaCluster { connection: self.connection(), base: context.base.to_owned(), group };
        let names: Vec<String> = self.topics.list_names().iter().map(|(topic, _)| format!("kafka/{topic}/")).collect();
        let ours = |loss: &&AcceptedLoss| names.iter().any(|name| loss.partition.starts_with(name));
        let accepted = context.accepted.iter().filter(ours).cloned().collect();
        Ok(Box::new(KafkaSource { cluster, config: self.clone(), accepted, share: context.share }))
    }
}

/// The risks of topic settings. Settings without permission to read them are skipped.
async fn topic_risks(connection: KafkaConnection, names: &[String], base: &Path) -> Vec<Finding> {
    let Ok(topics) = TopicAdmin::connect(connection, base) else { return Vec::new() };
    let mut risks = Vec::new();
    for name in names {
        risks.extend(topics.risk(name).await.ok().flatten().map(Finding::Risk));
    }
    risks
}

impl PlannedSource for KafkaSource {
    fn name_conflicts(&self, other: &dyn PlannedSource) -> Vec<String> {
        let other = other.downcast_ref::<KafkaSource>();
        other.map_or_else(Vec::new, |other| {
            topic_map::shared_names(&self.config.topics, &other.config.topics, config::KIND)
        })
    }

    fn start(self: Box<Self>, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let what = format!("kafka at {}", self.config.brokers);
        context.expect_starts();
        Ok(vec![spawn_reader("kafka".to_owned(), context, what, move |context, backlog| self.read(context, backlog))?])
    }
}

impl KafkaSource {
    fn read(self, context: &SourceContext, backlog: &mut BacklogReport) -> Result<(), ReaderExit> {
        let (reader, monitor) = (self.cluster.create_reader()?, self.cluster.create_monitor()?);
        let topics = self.config.topics.list_names().into_iter();
        let topics: Vec<(Arc<str>, StreamHint)> =
            topics.map(|(topic, stream_hint)| (Arc::from(topic), stream_hint)).collect();
        let start = self.config.start;
        let (accepted, share) = (&self.accepted, self.share);
        let beginning = KafkaStartup { context, reader: &reader, monitor: &monitor, start, accepted, share };
        let started = beginning.run(topics)?;
        let progress = reader::progress(&started.known);
        let (event_sender, monitor_events) = channel();
        let (check_sender, check_requests) = channel();
        let topic_monitor = TopicMonitor {
            context: context.clone(),
            reading: monitor,
            listener: reader.listener.clone(),
            cluster_id: started.cluster_id,
            topics: started.topics,
            progress: Arc::clone(&progress),
            events: event_sender,
            check_requests,
            every: Duration::from_secs_f64(self.config.watch_secs),
            denied: BTreeSet::new(),
            share,
        };
        let what = format!("the topics at {}", self.config.brokers);
        let monitor_thread = spawn_thread("kafka-watch".to_owned(), context, what, move |_| topic_monitor.run())?;
        let read = KafkaReader::new(context, reader, progress, monitor_events, check_sender).run(
            started.known,
            started.fresh,
            backlog,
        );
        // The reader has dropped its end of the channel, so the monitor ends.
        let _ = monitor_thread.join();
        read
    }
}
