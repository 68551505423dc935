//! The calls that reading and writing need, reduced to what pinflow needs of the responses.

use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{self, ShardIteratorType, StreamStatus};
use parking_lot::Mutex;

use super::connection::{KinesisConnection, KinesisConnectionError};
use super::error::{KinesisError, KinesisErrorKind};
use super::service_clock::ServiceClock;

/// A way to call the service. Nothing is tried twice here, but for credentials: after a fault of theirs the next call
/// looks for them anew.
#[derive(Debug)]
pub struct KinesisApi {
    connection: KinesisConnection,
    client: Mutex<Client>,
    clock: ServiceClock,
}

fn build_client(config: &SdkConfig, clock: &ServiceClock) -> Client {
    let config = aws_sdk_kinesis::config::Builder::from(config).interceptor(clock.clone()).build();
    Client::from_conf(config)
}

/// What a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// Names it among all streams of all accounts.
    pub arn: String,
    /// When it was created, Unix milliseconds: a stream that was deleted and created again has another.
    pub created_ms: u64,
    /// How long records are kept.
    pub retention_ms: u64,
    /// Whether it can be read and written; else it is being created, or deleted.
    pub is_ready: bool,
    /// Shards that take records.
    pub open_shards: u32,
}

/// A part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its name.
    pub id: String,
    /// The shards that it took the place of: none, one (split) or two (merge).
    pub parents: Vec<String>,
    /// The keys that it takes: hashes from the first to the last.
    pub hash_keys: (String, String),
    /// Whether it takes no more records.
    pub is_closed: bool,
}

/// Where an iterator begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IteratorStart {
    /// At the oldest record.
    TrimHorizon,
    /// At the first record that arrived at this moment or later, Unix milliseconds.
    AtTimestamp(u64),
    /// At this record.
    AtSequenceNumber(String),
}

/// A record, as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisRecord {
    /// Its number in the shard.
    pub sequence_number: String,
    /// When the service took it, Unix milliseconds.
    pub arrived_ms: Option<i64>,
    /// What decided on its shard.
    pub partition_key: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What a call for records brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardBatch {
    /// In their order.
    pub records: Vec<KinesisRecord>,
    /// Where to go on; `None` once a closed shard has no more.
    pub next: Option<String>,
    /// How far behind the shard's end the records are.
    pub behind_ms: Option<u64>,
}

impl KinesisApi {
    /// Connects. No call is made yet.
    ///
    /// # Errors
    /// [`KinesisConnectionError`]
    pub async fn connect(connection: KinesisConnection) -> Result<KinesisApi, KinesisConnectionError> {
        let clock = ServiceClock::default();
        let client = Mutex::new(build_client(&connection.load_sdk_config().await?, &clock));
        Ok(KinesisApi { connection, client, clock })
    }

    /// The service's time at the least, Unix milliseconds, and how far this machine's clock is ahead of it; as of the
    /// last answer.
    #[must_use]
    pub fn service_time(&self) -> (u64, u64) {
        (self.clock.now_ms(), self.clock.ahead_ms())
    }

    pub(crate) fn client(&self) -> Client {
        self.client.lock().clone()
    }

    /// What became of a call.
    pub(crate) async fn check_response<T, E, R>(
        &self,
        call: &'static str,
        answer: Result<T, SdkError<E, R>>,
    ) -> Result<T, KinesisError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let fault = KinesisError::from_sdk(call, &error);
                if fault.kind == KinesisErrorKind::Credentials {
                    // A client keeps its credentials until the moment at which they said they would end.
                    if let Ok(config) = self.connection.load_sdk_config().await {
                        *self.client.lock() = build_client(&config, &self.clock);
                    }
                }
                Err(fault)
            }
        }
    }

    /// What a stream is.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::Missing`] if there is no such stream.
    pub async fn describe_summary(&self, stream: &str) -> Result<StreamSummary, KinesisError> {
        const CALL: &str = "DescribeStreamSummary";
        let answer = self.client().describe_stream_summary().stream_name(stream).send().await;
        let answer = self.check_response(CALL, answer).await?;
        let described = answer
            .stream_description_summary
            .ok_or_else(|| KinesisError::incomplete_response(CALL, "no description of the stream"))?;
        let hours = u64::try_from(described.retention_period_hours).unwrap_or(0);
        Ok(StreamSummary {
            created_ms: unix_millis(described.stream_creation_timestamp())
                .and_then(|ms| u64::try_from(ms).ok())
                .unwrap_or(0),
            retention_ms: hours * 3_600_000,
            is_ready: matches!(described.stream_status, StreamStatus::Active | StreamStatus::Updating),
            open_shards: u32::try_from(described.open_shard_count).unwrap_or(0),
            arn: described.stream_arn,
        })
    }

    /// All shards that a stream still has: open ones, and closed ones until their records have expired.
    ///
    /// # Errors
    /// [`KinesisError`]
    pub async fn list_shards(&self, stream: &str) -> Result<Vec<ShardInfo>, KinesisError> {
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let call = self.client().list_shards();
            // A token stands for the stream's name.
            let call = match token.take() {
                Some(token) => call.next_token(token),
                None => call.stream_name(stream),
            };
            let answer = self.check_response("ListShards", call.send().await).await?;
            token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            shards.extend(answer.shards.unwrap_or_default().into_iter().map(ShardInfo::from));
            if token.is_none() {
                return Ok(shards);
            }
        }
    }

    /// An iterator, good for five minutes.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::Refused`] if the shard never had such a record, [`KinesisErrorKind::NotYet`] if the moment has not come.
    pub async fn shard_iterator(
        &self,
        stream: &str,
        shard: &str,
        begin: &IteratorStart,
    ) -> Result<String, KinesisError> {
        const CALL: &str = "GetShardIterator";
        let call = self.client().get_shard_iterator().stream_name(stream).shard_id(shard);
        let call = match begin {
            IteratorStart::TrimHorizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            IteratorStart::AtTimestamp(ms) => call
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(i64::try_from(*ms).unwrap_or(i64::MAX))),
            IteratorStart::AtSequenceNumber(number) => {
                call.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(number)
            }
        };
        let answer = self.check_response(CALL, call.send().await).await;
        let answer = answer.map_err(|fault| match begin {
            IteratorStart::AtTimestamp(ms) => fault.at_timestamp(*ms, self.clock.now_ms()),
            IteratorStart::TrimHorizon | IteratorStart::AtSequenceNumber(_) => fault,
        })?;
        answer.shard_iterator.ok_or_else(|| KinesisError::incomplete_response(CALL, "no iterator"))
    }

    /// Puts records, 500 of them at the most; what became of each.
    ///
    /// # Errors
    /// [`KinesisError`]: then none, some or all of them may have been taken.
    pub async fn put_records(&self, stream: &str, records: &[PutEntry]) -> Result<Vec<PutResult>, KinesisError> {
        const CALL: &str = "PutRecords";
        let entry = |put: &PutEntry| {
            let data = Blob::new(put.data.clone());
            types::PutRecordsRequestEntry::builder()
                .data(data)
                .partition_key(&put.key)
                .set_explicit_hash_key(put.explicit_hash_key.clone())
                .build()
        };
        let entries = records.iter().map(entry).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| KinesisError {
            call: CALL,
            kind: KinesisErrorKind::Refused,
            what: error.to_string(),
        })?;
        let answer = self.client().put_records().stream_name(stream).set_records(Some(entries)).send().await;
        let answer = self.check_response(CALL, answer).await?;
        if answer.records.len() == records.len() {
            Ok(answer.records.into_iter().map(PutResult::from).collect())
        } else {
            Err(KinesisError::incomplete_response(CALL, "another number of records than the call"))
        }
    }

    /// The records behind an iterator, `limit` of them at the most.
    ///
    /// # Errors
    /// [`KinesisError`]
    pub async fn get_records(&self, iterator: &str, limit: i32) -> Result<ShardBatch, KinesisError> {
        let answer = self.client().get_records().shard_iterator(iterator).limit(limit).send().await;
        let answer = self.check_response("GetRecords", answer).await?;
        Ok(ShardBatch {
            next: answer.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
            behind_ms: answer.millis_behind_latest.and_then(|ms| u64::try_from(ms).ok()),
            records: answer.records.into_iter().map(KinesisRecord::from).collect(),
        })
    }
}

/// A record to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutEntry {
    /// Decides on its shard; 1 to 256 characters.
    pub key: String,
    /// Decides on its shard instead of the key: a whole number below 2^128, in decimal digits.
    pub explicit_hash_key: Option<String>,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What became of a record that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutResult {
    /// It is in the stream, in this shard, under this number.
    Acknowledged {
        /// The shard.
        shard: String,
        /// Its number there.
        sequence_number: String,
    },
    /// It is not, for this reason; it may be put again.
    NotTaken(String),
    /// It is not, and never will be: it is too large, say.
    Refused(String),
}

impl From<types::Shard> for ShardInfo {
    fn from(shard: types::Shard) -> ShardInfo {
        let ends = |numbers: &types::SequenceNumberRange| numbers.ending_sequence_number.is_some();
        let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
        ShardInfo {
            id: shard.shard_id,
            parents: parents.into_iter().flatten().filter(|parent| !parent.is_empty()).collect(),
            hash_keys: shard
                .hash_key_range
                .map(|keys| (keys.starting_hash_key, keys.ending_hash_key))
                .unwrap_or_default(),
            is_closed: shard.sequence_number_range.as_ref().is_some_and(ends),
        }
    }
}

impl From<types::PutRecordsResultEntry> for PutResult {
    fn from(entry: types::PutRecordsResultEntry) -> PutResult {
        // Some servers say `null`, some nothing, some an empty text.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        match (given(entry.error_code), given(entry.sequence_number)) {
            (None, Some(sequence_number)) => {
                PutResult::Acknowledged { shard: entry.shard_id.unwrap_or_default(), sequence_number }
            }
            // It may be there; only its place would show that it is.
            (None, None) => PutResult::NotTaken("NoSequenceNumber".to_owned()),
            // The message names shards and accounts, and so is another for every record.
            (Some(code), _) if KinesisErrorKind::from_code(&code) == KinesisErrorKind::Refused => {
                PutResult::Refused(code)
            }
            (Some(code), _) => PutResult::NotTaken(code),
        }
    }
}

impl From<types::Record> for KinesisRecord {
    fn from(record: types::Record) -> KinesisRecord {
        KinesisRecord {
            arrived_ms: record.approximate_arrival_timestamp.as_ref().and_then(unix_millis),
            sequence_number: record.sequence_number,
            partition_key: record.partition_key.unwrap_or_default(),
            data: record.data.into_inner(),
        }
    }
}

/// Unix milliseconds.
fn unix_millis(time: &DateTime) -> Option<i64> {
    time.to_millis().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_record_with_its_number_is_acknowledged() {
        let entry = |number: Option<&str>, code: Option<&str>| {
            let entry = types::PutRecordsResultEntry::builder().shard_id("shardId-000000000000");
            let entry = entry.set_sequence_number(number.map(str::to_owned)).set_error_code(code.map(str::to_owned));
            PutResult::from(entry.build())
        };
        // Some servers say nothing of an error, some an empty text.
        for code in [None, Some("")] {
            assert!(matches!(entry(Some("4959"), code), PutResult::Acknowledged { .. }));
            assert!(matches!(entry(None, code), PutResult::NotTaken(_)));
            assert!(matches!(entry(Some(""), code), PutResult::NotTaken(_)));
        }
        assert!(matches!(entry(None, Some("ProvisionedThroughputExceededException")), PutResult::NotTaken(_)));
    }
}
