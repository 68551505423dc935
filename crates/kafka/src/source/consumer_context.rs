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

/// The end of a partition, according to librdkafka's statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartitionEnds {
    /// The offset that its next record will have.
    pub(super) high: u64,
    /// The end of what readers of committed records may see: before the first open transaction.
    pub(super) stable: u64,
}

/// The callbacks of one client. Clones share what was reported.
#[derive(Clone)]
pub(super) struct SourceConsumerContext {
    client: KafkaContext,
    shared: Arc<ConsumerStatus>,
}

#[derive(Default)]
struct ConsumerStatus {
    ends: Mutex<HashMap<(String, i32), PartitionEnds>>,
    /// The fetch state of each partition, in librdkafka's words.
    fetch_states: Mutex<HashMap<(String, i32), String>>,
    /// The text of the last error. Only there does librdkafka name topic and offset.
    last_error: Mutex<String>,
    unreachable: AtomicBool,
    access_denied: AtomicBool,
    commits_refused: AtomicBool,
}

impl SourceConsumerContext {
    pub(super) fn new(client: KafkaContext) -> SourceConsumerContext {
        SourceConsumerContext { client, shared: Arc::default() }
    }

    /// The ends of the partitions whose end is known.
    pub(super) fn partition_ends(&self) -> HashMap<(String, i32), PartitionEnds> {
        self.shared.ends.lock().clone()
    }

    /// The last reported fetch state of a partition, in librdkafka's words: `active`, `validate-epoch-wait`, …
    pub(super) fn fetch_state(&self, topic: &str, partition: i32) -> String {
        let fetch_states = self.shared.fetch_states.lock();
        fetch_states.get(&(topic.to_owned(), partition)).cloned().unwrap_or_default()
    }

    /// Whether the brokers cannot be reached at the moment.
    pub(super) fn is_unreachable(&self) -> bool {
        self.shared.unreachable.load(Ordering::Relaxed)
    }

    /// Stores an end offset that was requested explicitly, because a paused partition has no fetch statistics.
    pub(super) fn note_end(&self, topic: &str, partition: i32, high: u64) {
        let mut ends = self.shared.ends.lock();
        let of = ends.entry((topic.to_owned(), partition)).or_insert(PartitionEnds { high, stable: high });
        of.high = of.high.max(high);
    }

    /// The text of the last error.
    pub(super) fn last_error(&self) -> String {
        self.shared.last_error.lock().clone()
    }

    /// The recent connection errors as one text; empty if there are none.
    pub(super) fn connection_errors(&self) -> String {
        self.client.recent_errors().join("; ")
    }

    /// Whether a broker rejected the client, or the client the broker. Retrying does not help.
    pub(super) fn is_rejected(&self) -> bool {
        self.client.is_rejected()
    }

    /// Returns once that the brokers respond again after an outage.
    pub(super) fn take_recovered(&self) -> bool {
        self.shared.unreachable.load(Ordering::Relaxed) && self.shared.unreachable.swap(false, Ordering::Relaxed)
    }

    /// Whether a broker denied access to a topic since the last call.
    pub(super) fn take_access_denied(&self) -> bool {
        self.shared.access_denied.swap(false, Ordering::Relaxed)
    }

    /// Whether the group coordinator rejects offset commits permanently.
    pub(super) fn commits_refused(&self) -> bool {
        self.shared.commits_refused.load(Ordering::Relaxed)
    }
}

impl ClientContext for SourceConsumerContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = KafkaContext::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        // The commit callback reports the same failure once; this log lists every partition.
        if fac == "COMMITFAIL" {
            tracing::debug!(target: "librdkafka", fac, "{message}");
            return;
        }
        self.client.log(level, fac, message);
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.shared.ends.lock();
        let mut fetch_states = self.shared.fetch_states.lock();
        for (topic, of) in statistics.topics {
            for (number, partition) in of.partitions {
                fetch_states.insert((topic.clone(), number), partition.fetch_state);
                let known = |offset: i64| u64::try_from(offset).ok();
                // The value is negative before the first fetch.
                if let (Some(high), Some(stable)) = (known(partition.hi_offset), known(partition.ls_offset)) {
                    ends.insert((topic.clone(), number), PartitionEnds { high, stable });
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // The end of a partition is not an error.
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        reason.clone_into(&mut self.shared.last_error.lock());
        if code == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            self.shared.access_denied.store(true, Ordering::Relaxed);
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) && !self.shared.unreachable.swap(true, Ordering::Relaxed) {
            tracing::warn!("no broker responds; retrying");
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
            self.shared.commits_refused.store(true, Ordering::Relaxed);
            // The offsets are only used by tools that show lag, so the run continues.
            tracing::warn!(%error, hint = "grant Read on the group", "offsets are not committed to the consumer group");
        } else {
            tracing::debug!("offsets were not committed to the consumer group: {error}");
        }
    }
}
