//! Receives what librdkafka reports besides records: end offsets, errors, and the results of offset commits.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::KafkaContext;

/// Where a partition ends, as fetches tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartitionEnds {
    /// The offset that its next record will have.
    pub(super) high: u64,
    /// The end of what readers of committed records may see: before the first open transaction.
    pub(super) stable: u64,
}

/// Listens to one client; clones share what was heard.
#[derive(Clone)]
pub(super) struct SourceConsumerContext {
    client: KafkaContext,
    heard: Arc<ConsumerStatus>,
}

#[derive(Default)]
struct ConsumerStatus {
    ends: Mutex<HashMap<(String, i32), PartitionEnds>>,
    /// What the client does about a partition, in librdkafka's words.
    doing: Mutex<HashMap<(String, i32), String>>,
    /// What the last fault said: librdkafka names topic and offset only here.
    fault: Mutex<String>,
    unreachable: AtomicBool,
    access_denied: AtomicBool,
    commits_refused: AtomicBool,
}

impl SourceConsumerContext {
    pub(super) fn new(client: KafkaContext) -> SourceConsumerContext {
        SourceConsumerContext { client, heard: Arc::default() }
    }

    /// Where partitions end, where that is known.
    pub(super) fn partition_ends(&self) -> HashMap<(String, i32), PartitionEnds> {
        self.heard.ends.lock().clone()
    }

    /// What the client last did about a partition, in librdkafka's words: `active`, `validate-epoch-wait`, …
    pub(super) fn fetch_state(&self, topic: &str, partition: i32) -> String {
        let doing = self.heard.doing.lock();
        doing.get(&(topic.to_owned(), partition)).cloned().unwrap_or_default()
    }

    /// Whether brokers cannot be reached at the moment.
    pub(super) fn is_unreachable(&self) -> bool {
        self.heard.unreachable.load(Ordering::Relaxed)
    }

    /// Notes an end that was asked for: fetches tell nothing while they are paused.
    pub(super) fn note_end(&self, topic: &str, partition: i32, high: u64) {
        let mut ends = self.heard.ends.lock();
        let of = ends.entry((topic.to_owned(), partition)).or_insert(PartitionEnds { high, stable: high });
        of.high = of.high.max(high);
    }

    /// What the last fault said.
    pub(super) fn last_error(&self) -> String {
        self.heard.fault.lock().clone()
    }

    /// Faults of the connection, why a broker cannot be reached; empty if there is none.
    pub(super) fn connection_errors(&self) -> String {
        self.client.recent_errors().join("; ")
    }

    /// Whether a broker was reached that does not believe us, or that we do not believe: waiting does not help.
    pub(super) fn is_rejected(&self) -> bool {
        self.client.is_rejected()
    }

    /// Tells, once, that brokers could not be reached and now answer.
    pub(super) fn take_recovered(&self) -> bool {
        self.heard.unreachable.load(Ordering::Relaxed) && self.heard.unreachable.swap(false, Ordering::Relaxed)
    }

    /// Whether a broker refused to let a topic be read since this was last asked.
    pub(super) fn take_access_denied(&self) -> bool {
        self.heard.access_denied.swap(false, Ordering::Relaxed)
    }

    /// Whether the group's coordinator refuses to take offsets for good.
    pub(super) fn commits_refused(&self) -> bool {
        self.heard.commits_refused.load(Ordering::Relaxed)
    }
}

impl ClientContext for SourceConsumerContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = KafkaContext::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        // The callback says it, and once; here each partition is listed.
        if fac == "COMMITFAIL" {
            tracing::debug!(target: "librdkafka", fac, "{message}");
            return;
        }
        self.client.log(level, fac, message);
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.heard.ends.lock();
        let mut doing = self.heard.doing.lock();
        for (topic, of) in statistics.topics {
            for (number, partition) in of.partitions {
                doing.insert((topic.clone(), number), partition.fetch_state);
                let known = |offset: i64| u64::try_from(offset).ok();
                // Negative before the first fetch.
                if let (Some(high), Some(stable)) = (known(partition.hi_offset), known(partition.ls_offset)) {
                    ends.insert((topic.clone(), number), PartitionEnds { high, stable });
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // The end of a partition is no fault.
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        reason.clone_into(&mut self.heard.fault.lock());
        if code == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            self.heard.access_denied.store(true, Ordering::Relaxed);
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) && !self.heard.unreachable.swap(true, Ordering::Relaxed) {
            tracing::warn!("no broker answers; waiting until one does");
        }
        self.client.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.client.generate_oauth_token(config)
    }
}

impl ConsumerContext for SourceConsumerContext {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let Err(error) = result else { return };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            self.heard.commits_refused.store(true, Ordering::Relaxed);
            // Only tools that show lag miss them.
            tracing::warn!(%error, hint = "allow Read on the group", "offsets are not committed to the consumer group");
        } else {
            tracing::debug!("offsets were not committed to the consumer group: {error}");
        }
    }
}
