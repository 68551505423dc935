//! A Kinesis client independent of pinflow: puts records, reshards streams, and lists records.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ConsumerStatus, PutRecordsRequestEntry, Shard, ShardIteratorType, StreamStatus};

/// Longer than any request takes, even on a slow machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The access key of all clients. kinesis-local also uses it as the account.
pub const ACCOUNT_ID: &str = "000000000000";

/// Blocks on a future.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let start = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    RUNTIME.get_or_init(start).block_on(work)
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRecord {
    /// Its sequence number.
    pub number: String,
    /// Its partition key.
    pub key: String,
    /// Its payload.
    pub data: Vec<u8>,
}

/// A client of one server.
#[derive(Clone)]
pub struct KinesisProbe(Client);

impl KinesisProbe {
    /// A client of the server at this address.
    pub fn new(endpoint: &str) -> KinesisProbe {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new(ACCOUNT_ID, "secret", None, None, "tests"))
            .build();
        KinesisProbe(Client::from_conf(config))
    }

    /// Creates a stream, and waits until it is active.
    pub fn create(&self, stream: &str, shards: i32) {
        block_on(self.0.create_stream().stream_name(stream).shard_count(shards).send()).unwrap();
        self.wait_until_active(stream);
    }

    /// Deletes a stream, and waits until it is gone.
    pub fn delete(&self, stream: &str) {
        block_on(self.0.delete_stream().stream_name(stream).enforce_consumer_deletion(true).send()).unwrap();
        crate::wait_until("the stream is gone", || {
            block_on(self.0.describe_stream_summary().stream_name(stream).send()).is_err()
        });
    }

    /// Registers a consumer, so that it exists before the run starts.
    pub fn register(&self, stream: &str, consumer: &str) {
        let summary = block_on(self.0.describe_stream_summary().stream_name(stream).send()).unwrap();
        let arn = summary.stream_description_summary.unwrap().stream_arn;
        block_on(self.0.register_stream_consumer().stream_arn(&arn).consumer_name(consumer).send()).unwrap();
        crate::wait_until("the consumer is active", || {
            let call = self.0.describe_stream_consumer().stream_arn(&arn).consumer_name(consumer);
            let described = block_on(call.send()).unwrap().consumer_description.unwrap();
            described.consumer_status == ConsumerStatus::Active
        });
    }

    fn wait_until_active(&self, stream: &str) {
        crate::wait_until("the stream is active", || {
            let answer = block_on(self.0.describe_stream_summary().stream_name(stream).send());
            answer.is_ok_and(|answer| {
                answer.stream_description_summary.is_some_and(|one| one.stream_status == StreamStatus::Active)
            })
        });
    }

    /// Puts records in one call. Panics if one is refused.
    pub fn put(&self, stream: &str, records: &[(String, Vec<u8>)]) {
        for some in records.chunks(500) {
            let entry = |(key, data): &(String, Vec<u8>)| {
                let data = Blob::new(data.clone());
                PutRecordsRequestEntry::builder().partition_key(key).data(data).build().unwrap()
            };
            let entries = some.iter().map(entry).collect();
            let answer = block_on(self.0.put_records().stream_name(stream).set_records(Some(entries)).send()).unwrap();
            assert_eq!(answer.failed_record_count.unwrap_or(0), 0, "every record was taken");
        }
    }

    /// All shards, open and closed.
    pub fn shards(&self, stream: &str) -> Vec<Shard> {
        block_on(self.0.list_shards().stream_name(stream).send()).unwrap().shards.unwrap()
    }

    /// The open shards.
    pub fn open(&self, stream: &str) -> Vec<Shard> {
        let is_open = |shard: &Shard| {
            shard.sequence_number_range.as_ref().is_none_or(|numbers| numbers.ending_sequence_number.is_none())
        };
        self.shards(stream).into_iter().filter(is_open).collect()
    }

    /// Splits an open shard in the middle.
    pub fn split(&self, stream: &str, shard: &Shard) {
        let (first, last) = keys(shard);
        let middle = (first + (last - first) / 2 + 1).to_string();
        let call = self.0.split_shard().stream_name(stream).shard_to_split(&shard.shard_id);
        block_on(call.new_starting_hash_key(middle).send()).unwrap();
        self.wait_until_active(stream);
    }

    /// Merges two open shards with adjacent keys.
    pub fn merge(&self, stream: &str, one: &Shard, other: &Shard) {
        let call = self.0.merge_shards().stream_name(stream).shard_to_merge(&one.shard_id);
        block_on(call.adjacent_shard_to_merge(&other.shard_id).send()).unwrap();
        self.wait_until_active(stream);
    }

    /// Every record of every shard.
    pub fn list_stored_records(&self, stream: &str) -> BTreeMap<String, Vec<HeldRecord>> {
        self.shards(stream)
            .into_iter()
            .map(|shard| (shard.shard_id.clone(), self.records(stream, &shard.shard_id)))
            .collect()
    }

    fn records(&self, stream: &str, shard: &str) -> Vec<HeldRecord> {
        let call = self.0.get_shard_iterator().stream_name(stream).shard_id(shard);
        let iterator = block_on(call.shard_iterator_type(ShardIteratorType::TrimHorizon).send()).unwrap();
        let (mut iterator, mut records, start) = (iterator.shard_iterator, Vec::new(), Instant::now());
        while let Some(now) = iterator {
            assert!(start.elapsed() < REQUEST_TIMEOUT, "{shard} is read to its end");
            let answer = block_on(self.0.get_records().shard_iterator(now).send()).unwrap();
            let is_end = answer.records.is_empty() && answer.millis_behind_latest.unwrap_or(0) == 0;
            records.extend(answer.records.into_iter().map(|record| HeldRecord {
                number: record.sequence_number,
                key: record.partition_key.unwrap_or_default(),
                data: record.data.into_inner(),
            }));
            iterator = answer.next_shard_iterator.filter(|_| !is_end);
        }
        records
    }
}

/// The range of hash keys of a shard.
pub fn keys(shard: &Shard) -> (u128, u128) {
    let keys = shard.hash_key_range.as_ref().unwrap();
    (keys.starting_hash_key.parse().unwrap(), keys.ending_hash_key.parse().unwrap())
}
