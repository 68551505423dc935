//! The calls for reading and writing, with responses reduced to what pinflow needs.

use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{self, ShardIteratorType, StreamStatus};
use parking_lot::Mutex;

use super::connection::{KinesisConnection, KinesisConnectionError};
use super::error::{KinesisError, KinesisErrorKind};
use super::service_clock::ServiceClock;

/// A client of the service. It retries nothing. After a credentials error the next call loads the credentials again.
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

/// Description of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// The ARN, which identifies the stream among all accounts.
    pub arn: String,
    /// Creation time in Unix milliseconds. A stream that was deleted and created again has a later one.
    pub created_ms: u64,
    /// Retention period in milliseconds.
    pub retention_ms: u64,
    /// Whether it can be read and written. Otherwise it is being created or deleted.
    pub is_ready: bool,
    /// Number of shards that accept records.
    pub open_shards: u32,
}

/// Description of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// The shard id.
    pub id: String,
    /// The shards that it replaced: none, one (after a split) or two (after a merge).
    pub parents: Vec<String>,
    /// The first and the last hash key that it accepts.
    pub hash_keys: (String, String),
    /// Whether it accepts no more records.
    pub is_closed: bool,
}

/// The start of a shard iterator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IteratorStart {
    /// At the oldest available record.
    TrimHorizon,
    /// At the first record that arrived at this time or later, in Unix milliseconds.
    AtTimestamp(u64),
    /// At the record with this sequence number.
    AtSequenceNumber(String),
}

/// A record as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisRecord {
    /// The sequence number within the shard.
    pub sequence_number: String,
    /// When the service received it, in Unix milliseconds.
    pub arrived_ms: Option<i64>,
    /// The partition key, whose hash determined the shard.
    pub partition_key: String,
    /// The payload.
    pub data: Vec<u8>,
}

/// The result of one call for records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardBatch {
    /// The records in order.
    pub records: Vec<KinesisRecord>,
    /// The iterator for the next call; `None` once a closed shard has no more records.
    pub next: Option<String>,
    /// How far the records are behind the tip of the shard, in milliseconds.
    pub behind_ms: Option<u64>,
}

impl KinesisApi {
    /// Creates a client. Sends no request yet.
    ///
    /// # Errors
    /// [`KinesisConnectionError`]
    pub async fn connect(connection: KinesisConnection) -> Result<KinesisApi, KinesisConnectionError> {
        let clock = ServiceClock::default();
        let client = Mutex::new(build_client(&connection.load_sdk_config().await?, &clock));
        Ok(KinesisApi { connection, client, clock })
    }

    /// A lower bound of the service's time in Unix milliseconds, and how far this machine's clock is ahead of it, in
    /// milliseconds. Both are as of the last response.
    #[must_use]
    pub fn service_time(&self) -> (u64, u64) {
        (self.clock.now_ms(), self.clock.ahead_ms())
    }

    pub(crate) fn client(&self) -> Client {
        self.client.lock().clone()
    }

    /// Updates the clock and the credentials from a response, and maps its error.
    pub(crate) async fn check_response<T, E, R>(
        &self,
        call: &'static str,
        response: Result<T, SdkError<E, R>>,
    ) -> Result<T, KinesisError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        match response {
            Ok(response) => Ok(response),
            Err(error) => {
                let error = KinesisError::from_sdk(call, &error);
                if error.kind == KinesisErrorKind::Credentials {
                    // A client caches credentials until their announced expiry, so they are loaded again here.
                    if let Ok(config) = self.connection.load_sdk_config().await {
                        *self.client.lock() = build_client(&config, &self.clock);
                    }
                }
                Err(error)
            }
        }
    }

    /// Describes a stream.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::Missing`] if the stream does not exist.
    pub async fn describe_summary(&self, stream: &str) -> Result<StreamSummary, KinesisError> {
        const CALL: &str = "DescribeStreamSummary";
        let response = self.client().describe_stream_summary().stream_name(stream).send().await;
        let response = self.check_response(CALL, response).await?;
        let described = response
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

    /// Lists all shards of a stream: open ones, and closed ones until their records have expired.
    ///
    /// # Errors
    /// [`KinesisError`]
    pub async fn list_shards(&self, stream: &str) -> Result<Vec<ShardInfo>, KinesisError> {
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let call = self.client().list_shards();
            // The token replaces the stream name.
            let call = match token.take() {
                Some(token) => call.next_token(token),
                None => call.stream_name(stream),
            };
            let response = self.check_response("ListShards", call.send().await).await?;
            token = response.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            shards.extend(response.shards.unwrap_or_default().into_iter().map(ShardInfo::from));
            if token.is_none() {
                return Ok(shards);
            }
        }
    }

    /// Requests an iterator, which is valid for five minutes.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::Refused`] if the shard never had such a record,
    /// [`KinesisErrorKind::NotYet`] if the time is in the future.
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
        let response = self.check_response(CALL, call.send().await).await;
        let response = response.map_err(|error| match begin {
            IteratorStart::AtTimestamp(ms) => error.at_timestamp(*ms, self.clock.now_ms()),
            IteratorStart::TrimHorizon | IteratorStart::AtSequenceNumber(_) => error,
        })?;
        response.shard_iterator.ok_or_else(|| KinesisError::incomplete_response(CALL, "no iterator"))
    }

    /// Puts up to 500 records, and returns the result of each.
    ///
    /// # Errors
    /// [`KinesisError`]: then none, some or all of the records may have been stored.
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
        let response = self.client().put_records().stream_name(stream).set_records(Some(entries)).send().await;
        let response = self.check_response(CALL, response).await?;
        if response.records.len() == records.len() {
            Ok(response.records.into_iter().map(PutResult::from).collect())
        } else {
            Err(KinesisError::incomplete_response(CALL, "another number of records than the call"))
        }
    }

    /// Reads up to `limit` records at an iterator.
    ///
    /// # Errors
    /// [`KinesisError`]
    pub async fn get_records(&self, iterator: &str, limit: i32) -> Result<ShardBatch, KinesisError> {
        let response = self.client().get_records().shard_iterator(iterator).limit(limit).send().await;
        let response = self.check_response("GetRecords", response).await?;
        Ok(ShardBatch {
            next: response.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
            behind_ms: response.millis_behind_latest.and_then(|ms| u64::try_from(ms).ok()),
            records: response.records.into_iter().map(KinesisRecord::from).collect(),
        })
    }
}

/// A record to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutEntry {
    /// The partition key: 1 to 256 characters.
    pub key: String,
    /// A hash key that overrides that of `key`: an integer below 2^128 in decimal digits.
    pub explicit_hash_key: Option<String>,
    /// The payload.
    pub data: Vec<u8>,
}

/// The result of putting one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutResult {
    /// The record was stored.
    Acknowledged {
        /// The shard that it is in.
        shard: String,
        /// The sequence number in the shard.
        sequence_number: String,
    },
    /// The record was not stored, for this reason. It can be put again.
    NotTaken(String),
    /// The record was rejected permanently, for example because it is too large.
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
        // Some servers send `null`, some omit the field, some send an empty text.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        match (given(entry.error_code), given(entry.sequence_number)) {
            (None, Some(sequence_number)) => {
                PutResult::Acknowledged { shard: entry.shard_id.unwrap_or_default(), sequence_number }
            }
            // The record may have been stored, but without a sequence number that is not confirmed.
            (None, None) => PutResult::NotTaken("NoSequenceNumber".to_owned()),
            // The message names shards and accounts, so it differs for every record: use the code instead.
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

/// Unix milliseconds; `None` if they do not fit.
fn unix_millis(time: &DateTime) -> Option<i64> {
    time.to_millis().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_without_sequence_number_is_not_acknowledged() {
        let entry = |number: Option<&str>, code: Option<&str>| {
            let entry = types::PutRecordsResultEntry::builder().shard_id("shardId-000000000000");
            let entry = entry.set_sequence_number(number.map(str::to_owned)).set_error_code(code.map(str::to_owned));
            PutResult::from(entry.build())
        };
        // Some servers omit the error code, some send an empty text.
        for code in [None, Some("")] {
            assert!(matches!(entry(Some("4959"), code), PutResult::Acknowledged { .. }));
            assert!(matches!(entry(None, code), PutResult::NotTaken(_)));
            assert!(matches!(entry(Some(""), code), PutResult::NotTaken(_)));
        }
        assert!(matches!(entry(None, Some("ProvisionedThroughputExceededException")), PutResult::NotTaken(_)));
    }
}
