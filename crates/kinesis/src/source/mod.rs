//! Reads Kinesis streams, each shard from the sequence number that the tables store for it. No lease table is needed.
//!
//! - A shard is named `kinesis/‹stream›/‹shard›`; a record's position is its sequence number. The parts of an aggregated
//!   record share its position and are numbered by `_sub`. Positions are stored under the stream's ARN and creation time,
//!   so a re-created stream of the same name is not mistaken for the one that was read.
//! - Shards are listed periodically. A shard is read after its parents (`shard_graph`, `stream_reader`). A closed shard is
//!   read to its end, the end is stored, and the shard is never read again.
//! - Each iterator starts at the last record that was read, which must be unchanged. If that record has expired, elapsed
//!   time tells whether unread records may have expired too (`cursor`). A possible loss ends the run with an error that
//!   names the range.
//! - Records are polled, or pushed to a subscriber (`fan_out`, `subscription`) with the same checks. Shards that cannot be
//!   subscribed to are polled.
//! - Where a shard starts is durable before any of it is read. `latest` means the time of the first start, so shards that
//!   are created later are read from their beginning.
//!
//! One thread; one task for each stream and each shard being read. Memory is bounded by [`MAX_BATCHES_IN_MEMORY`] polled
//! batches of 10 MiB, or one event for each subscribed shard plus the HTTP/2 windows, and the blocks in the feed. Calls
//! stay within the limits of a shard (`rate_limit`). Retryable errors are logged and retried.

mod backlog;
mod clock;
mod config;
mod cursor;
mod deaggregation;
mod errors;
mod fan_out;
mod future_start;
mod partition_key_routing;
mod rate_limit;
mod retry_log;
mod shard_buffer;
mod shard_graph;
mod shard_reader;
mod shard_start;
#[cfg(test)]
mod simulation;
mod stream_reader;
mod subscription;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use tokio::sync::Semaphore;

pub use config::{FanOutConsumer, FanOutSetting, KinesisConfig, KinesisStart};
pub use partition_key_routing::PartitionKeys;

use shard_reader::KinesisContext;
use stream_reader::{StreamPlan, StreamReader};

use crate::KinesisApi;
use crate::check::check_streams;
pub use pinflow_connect::source::reader_thread::{ReaderExit, spawn_thread};
use pinflow_connect::source::source_kind::{PlanContext, PlannedSource, SourceConfig, SourceKind};
use pinflow_connect::source::topic_map;
use pinflow_connect::source::{AcceptedLoss, ReadShare, SourceContext, SourceError};
use pinflow_core::finding::Finding;
use pinflow_core::key_problem::KeyProblem;

/// Maximum number of polled batches that one source holds in memory.
pub const MAX_BATCHES_IN_MEMORY: usize = 8;

/// Kinesis streams as a source.
pub const SOURCE_KIND: SourceKind = SourceKind {
    name: "kinesis",
    keys: crate::config_keys::SOURCE_KEYS,
    identifying_keys: &["streams", "region"],
    read: SourceKind::read_as::<KinesisConfig>,
};

/// Streams of a region, ready to be read. No call was made yet.
#[derive(Debug)]
struct KinesisSource {
    config: KinesisConfig,
    /// The name of the enhanced fan-out consumer.
    consumer: Option<Arc<str>>,
    accepted: Vec<AcceptedLoss>,
}

#[async_trait]
impl SourceConfig for KinesisConfig {
    fn validate(&self, _: &Path) -> Vec<KeyProblem> {
        self.problems()
    }

    async fn check(&self, context: &PlanContext<'_>) -> Vec<Finding> {
        let streams: Vec<String> = self.streams.list_names().iter().map(|(name, _)| (*name).to_owned()).collect();
        check_streams(self.connection(), &streams, self.consumer_name(context.pipeline).as_deref()).await
    }

    /// Whole streams are shared: a child shard is read after its parents, and starts are durable before ends.
    fn is_read_by(&self, share: ReadShare) -> bool {
        !self.streams.share_of_whole_names(share).list_names().is_empty()
    }

    async fn plan(&self, context: &PlanContext<'_>) -> Result<Box<dyn PlannedSource>, SourceError> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(SourceError::Misconfigured(KeyProblem::texts(&problems).join("\n")));
        }
        let config = KinesisConfig { streams: self.streams.share_of_whole_names(context.share), ..self.clone() };
        let names: Vec<String> =
            config.streams.list_names().iter().map(|(stream, _)| format!("kinesis/{stream}/")).collect();
        let ours = |loss: &&AcceptedLoss| names.iter().any(|name| loss.partition.starts_with(name));
        let accepted = context.accepted.iter().filter(ours).cloned().collect();
        let consumer = self.consumer_name(context.pipeline).map(Arc::from);
        Ok(Box::new(KinesisSource { config, consumer, accepted }))
    }
}

impl PlannedSource for KinesisSource {
    fn name_conflicts(&self, other: &dyn PlannedSource) -> Vec<String> {
        let other = other.downcast_ref::<KinesisSource>();
        other.map_or_else(Vec::new, |other| {
            topic_map::shared_names(&self.config.streams, &other.config.streams, config::KIND)
        })
    }

    fn start(self: Box<Self>, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let what = self.config.connection().display_name();
        context.expect_backlog();
        Ok(vec![spawn_thread("kinesis".to_owned(), context, what, move |context| self.read(context))?])
    }
}

impl KinesisSource {
    fn read(self, context: &SourceContext) -> Result<(), ReaderExit> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|cause| SourceError::Read { partition: self.config.connection().display_name(), cause })?;
        runtime.block_on(async {
            tokio::select! {
                read = self.read_streams(context) => read,
                () = context.until_stopped() => Err(ReaderExit::Stopped),
            }
        })
    }

    async fn read_streams(&self, context: &SourceContext) -> Result<(), ReaderExit> {
        let connection = self.config.connection();
        let warnings = connection.warnings();
        warnings.iter().for_each(|warning| tracing::warn!(reason = warning, "the connection to Kinesis is not safe"));
        let api = KinesisApi::connect(connection).await.map_err(|error| SourceError::from_connection(&error))?;
        let common = KinesisContext {
            api: Arc::new(api),
            context: context.clone(),
            batch_permits: Arc::new(Semaphore::new(MAX_BATCHES_IN_MEMORY)),
            accepted: self.accepted.clone().into(),
            // A run that only reads the backlog is short, and a registered consumer costs money.
            consumer: self.consumer.clone().filter(|_| !context.stops_when_caught_up()),
            streams_behind: Arc::new(AtomicUsize::new(self.config.streams.list_names().len())),
            idle: Duration::from_millis(self.config.poll_ms),
            calls_per_sec_max: self.config.calls_per_sec_max,
        };
        let watch = Duration::from_secs_f64(self.config.watch_secs);
        let streams = self.config.streams.list_names().into_iter().map(|(stream, stream_hint)| {
            let is_routed = self.config.streams.routed.as_deref() == Some(stream);
            let routes = self.config.partition_keys.clone().filter(|_| is_routed).map(Arc::new);
            let plan = StreamPlan { stream: stream.into(), stream_hint, routes, start: self.config.start, watch };
            StreamReader::open(common.clone(), plan)
        });
        // All streams are verified before any is read.
        let streams = try_join_all(streams).await?;
        try_join_all(streams.into_iter().map(StreamReader::read)).await?;
        Ok(())
    }
}
