//! Reads Kafka topics, each partition from the offset that the tables store for it. No consumer group is needed.
//!
//! - A partition is named `kafka/‹topic›/‹partition›`; a record's position is its offset. Positions are stored under the
//!   cluster id as well, so a topic of the same name in another cluster is not mistaken for the one that was read.
//! - Partitions are assigned with explicit offsets and only committed records are read. The position after a record is
//!   taken from the client, because transaction markers use up offsets. Records that are delivered twice are dropped.
//! - `startup` verifies that each partition is the one that was read before; `topic_monitor` keeps verifying it.
//!   Expired records and topics that were deleted, re-created or shrunk end the run with an error that names the range.
//! - Where a partition starts is durable before any of it is read. A partition added later starts at its oldest record.
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

pub use config::{KafkaConfig, KafkaStart};

use consumer::KafkaCluster;
use pinflow_dataflows::ingest::StreamHint;
use reader::KafkaReader;
use startup::KafkaStartup;
use topic_monitor::TopicMonitor;

use pinflow_connect::source::backlog::BacklogReport;
pub use pinflow_connect::source::reader_thread::{ReaderExit, spawn_reader, spawn_thread};
use pinflow_connect::source::topic_map;
use pinflow_connect::source::{AcceptedLoss, SourceContext, SourceError};
use pinflow_core::key_problem::KeyProblem;

/// Topics of a cluster, ready to be read. No broker was asked yet.
#[derive(Debug)]
pub struct KafkaSource {
    cluster: KafkaCluster,
    config: KafkaConfig,
    accepted: Vec<AcceptedLoss>,
}

/// Takes a configuration. `base` is what relative paths are relative to; `pipeline` names the consumer group that
/// offsets are told to; `accepted` are ranges that may be missing.
///
/// # Errors
/// [`SourceError::Misconfigured`] with every fault, a line each.
pub fn plan(
    config: KafkaConfig,
    base: &Path,
    pipeline: &str,
    accepted: &[AcceptedLoss],
) -> Result<KafkaSource, SourceError> {
    let faults = config.validate(base);
    if !faults.is_empty() {
        return Err(SourceError::Misconfigured(KeyProblem::texts(&faults).join("\n")));
    }
    let group = config.consumer_group(pipeline);
    let cluster = KafkaCluster { connection: config.connection(), base: base.to_owned(), group };
    let names: Vec<String> = config.topics.list_names().iter().map(|(topic, _)| format!("kafka/{topic}/")).collect();
    let ours = |loss: &&AcceptedLoss| names.iter().any(|name| loss.partition.starts_with(name));
    let accepted = accepted.iter().filter(ours).cloned().collect();
    Ok(KafkaSource { cluster, config, accepted })
}

/// Checks that no two partitions of these sources have the same name.
///
/// # Errors
/// [`SourceError::Unusable`] with every topic that is read twice, a line each.
pub fn check_unique(sources: &[KafkaSource]) -> Result<(), SourceError> {
    topic_map::check_unique(sources.iter().map(|source| &source.config.topics), config::KIND)
}

impl KafkaSource {
    /// Starts reading into the feed; the threads end when the run is stopped, or on a failure, which they tell the feed.
    /// The source ends by itself only where the run ends with what is there.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let what = format!("kafka at {}", self.config.brokers);
        Ok(vec![spawn_reader("kafka".to_owned(), context, what, move |context, backlog| self.read(context, backlog))?])
    }

    fn read(self, context: &SourceContext, backlog: &mut BacklogReport) -> Result<(), ReaderExit> {
        let (reader, monitor) = (self.cluster.create_reader()?, self.cluster.create_monitor()?);
        let topics = self.config.topics.list_names().into_iter();
        let topics: Vec<(Arc<str>, StreamHint)> = topics.map(|(topic, carries)| (Arc::from(topic), carries)).collect();
        let start = self.config.start;
        let beginning = KafkaStartup { context, reader: &reader, monitor: &monitor, start, accepted: &self.accepted };
        let started = beginning.run(topics)?;
        let progress = reader::progress(&started.known);
        let (to_reader, news) = channel();
        let (look, asked) = channel();
        let watch = TopicMonitor {
            context: context.clone(),
            reading: monitor,
            listener: reader.listener.clone(),
            cluster_id: started.cluster_id,
            topics: started.topics,
            progress: Arc::clone(&progress),
            news: to_reader,
            asked,
            every: Duration::from_secs_f64(self.config.watch_secs),
            denied: BTreeSet::new(),
        };
        let what = format!("the topics at {}", self.config.brokers);
        let watching = spawn_thread("kafka-watch".to_owned(), context, what, move |_| watch.run())?;
        let read = KafkaReader::new(context, reader, progress, news, look).run(started.known, started.fresh, backlog);
        // The reader has hung up on it.
        let _ = watching.join();
        read
    }
}
