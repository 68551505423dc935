//! The calls that reading and writing take, with what pinflow needs of the answers.

use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{self, ShardIteratorType, StreamStatus};

use super::clock::ServiceClock;
use super::connection::{Connection, ConnectionError};
use super::fault::{Fault, Kind};

/// A way to call the service. Nothing is tried twice here, but for credentials: after a fault of theirs the next call
/// looks for them anew.
#[derive(Debug)]
pub struct Api {
    connection: Connection,
    client: Mutex<Client>,
    clock: ServiceClock,
}

fn client(config: &SdkConfig, clock: &ServiceClock) -> Client {
    let config = aws_sdk_kinesis::config::Builder::from(config).interceptor(clock.clone()).build();
    Client::from_conf(config)
}

/// What a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
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
pub struct Shard {
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
pub enum Begin {
    /// At the oldest record.
    Horizon,
    /// At the first record that arrived at this moment or later, Unix milliseconds.
    Moment(u64),
    /// At this record.
    At(String),
}

/// A record, as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
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
pub struct Answer {
    /// In their order.
    pub records: Vec<Record>,
    /// Where to go on; `None` once a closed shard has no more.
    pub next: Option<String>,
    /// How far behind the shard's end the records are.
    pub behind_ms: Option<u64>,
}

impl Api {
    /// Connects. No call is made yet.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn connect(connection: Connection) -> Result<Api, ConnectionError> {
        let clock = ServiceClock::default();
        let client = Mutex::new(client(&connection.load().await?, &clock));
        Ok(Api { connection, client, clock })
    }

    /// The service's time at the least, Unix milliseconds, and how far this machine's clock is ahead of it; as of the
    /// last answer.
    #[must_use]
    pub fn service_time(&self) -> (u64, u64) {
        (self.clock.now_ms(), self.clock.ahead_ms())
    }

    pub(crate) fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What became of a call.
    pub(crate) async fn settle<T, E, R>(
        &self,
        call: &'static str,
        answer: Result<T, SdkError<E, R>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let fault = Fault::of(call, &error);
                if fault.kind == Kind::Credentials {
                    // A client keeps its credentials until the moment at which they said they would end.
                    if let Ok(config) = self.connection.load().await {
                        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client(&config, &self.clock);
                    }
                }
                Err(fault)
            }
        }
    }

    /// What a stream is.
    ///
    /// # Errors
    /// [`Fault`]; [`Kind::Missing`] if there is no such stream.
    pub async fn summary(&self, stream: &str) -> Result<Summary, Fault> {
        const CALL: &str = "DescribeStreamSummary";
        let answer = self.client().describe_stream_summary().stream_name(stream).send().await;
        let answer = self.settle(CALL, answer).await?;
        let described =
            answer.stream_description_summary.ok_or_else(|| Fault::unreadable(CALL, "no description of the stream"))?;
        let hours = u64::try_from(described.retention_period_hours).unwrap_or(0);
        Ok(Summary {
            created_ms: millis(described.stream_creation_timestamp())
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
    /// [`Fault`]
    pub async fn shards(&self, stream: &str) -> Result<Vec<Shard>, Fault> {
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let call = self.client().list_shards();
            // A token stands for the stream's name.
            let call = match token.take() {
                Some(token) => call.next_token(token),
                None => call.stream_name(stream),
            };
            let answer = self.settle("ListShards", call.send().await).await?;
            token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            shards.extend(answer.shards.unwrap_or_default().into_iter().map(Shard::from));
            if token.is_none() {
                return Ok(shards);
            }
        }
    }

    /// An iterator, good for five minutes.
    ///
    /// # Errors
    /// [`Fault`]; [`Kind::Refused`] if the shard never had such a record, [`Kind::NotYet`] if the moment has not come.
    pub async fn iterator(&self, stream: &str, shard: &str, begin: &Begin) -> Result<String, Fault> {
        const CALL: &str = "GetShardIterator";
        let call = self.client().get_shard_iterator().stream_name(stream).shard_id(shard);
        let call = match begin {
            Begin::Horizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Begin::Moment(ms) => call
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(i64::try_from(*ms).unwrap_or(i64::MAX))),
            Begin::At(number) => {
                call.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(number)
            }
        };
        let answer = self.settle(CALL, call.send().await).await;
        let answer = answer.map_err(|fault| match begin {
            Begin::Moment(ms) => fault.of_moment(*ms, self.clock.now_ms()),
            Begin::Horizon | Begin::At(_) => fault,
        })?;
        answer.shard_iterator.ok_or_else(|| Fault::unreadable(CALL, "no iterator"))
    }

    /// Puts records, 500 of them at the most; what became of each.
    ///
    /// # Errors
    /// [`Fault`]: then none, some or all of them may have been taken.
    pub async fn put(&self, stream: &str, records: &[Put]) -> Result<Vec<Written>, Fault> {
        const CALL: &str = "PutRecords";
        let entry = |put: &Put| {
            let data = Blob::new(put.data.clone());
            types::PutRecordsRequestEntry::builder()
                .data(data)
                .partition_key(&put.key)
                .set_explicit_hash_key(put.explicit_hash_key.clone())
                .build()
        };
        let entries = records.iter().map(entry).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| Fault { call: CALL, kind: Kind::Refused, what: error.to_string() })?;
        let answer = self.client().put_records().stream_name(stream).set_records(Some(entries)).send().await;
        let answer = self.settle(CALL, answer).await?;
        if answer.records.len() == records.len() {
            Ok(answer.records.into_iter().map(Written::from).collect())
        } else {
            Err(Fault::unreadable(CALL, "another number of records than the call"))
        }
    }

    /// The records behind an iterator, `limit` of them at the most.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn records(&self, iterator: &str, limit: i32) -> Result<Answer, Fault> {
        let answer = self.client().get_records().shard_iterator(iterator).limit(limit).send().await;
        let answer = self.settle("GetRecords", answer).await?;
        Ok(Answer {
            next: answer.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
            behind_ms: answer.millis_behind_latest.and_then(|ms| u64::try_from(ms).ok()),
            records: answer.records.into_iter().map(Record::from).collect(),
        })
    }
}

/// A record to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Decides on its shard; 1 to 256 characters.
    pub key: String,
    /// Decides on its shard instead of the key: a whole number below 2^128, in decimal digits.
    pub explicit_hash_key: Option<String>,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What became of a record that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
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

impl From<types::Shard> for Shard {
    fn from(shard: types::Shard) -> Shard {
        let ends = |numbers: &types::SequenceNumberRange| numbers.ending_sequence_number.is_some();
        let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
        Shard {
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

impl From<types::PutRecordsResultEntry> for Written {
    fn from(entry: types::PutRecordsResultEntry) -> Written {
        // Some servers say `null`, some nothing, some an empty text.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        match (given(entry.error_code), given(entry.sequence_number)) {
            (None, Some(sequence_number)) => {
                Written::Acknowledged { shard: entry.shard_id.unwrap_or_default(), sequence_number }
            }
            // It may be there; only its place would show that it is.
            (None, None) => Written::NotTaken("NoSequenceNumber".to_owned()),
            // The message names shards and accounts, and so is another for every record.
            (Some(code), _) if Kind::of(&code) == Kind::Refused => Written::Refused(code),
            (Some(code), _) => Written::NotTaken(code),
        }
    }
}

impl From<types::Record> for Record {
    fn from(record: types::Record) -> Record {
        Record {
            arrived_ms: record.approximate_arrival_timestamp.as_ref().and_then(millis),
            sequence_number: record.sequence_number,
            partition_key: record.partition_key.unwrap_or_default(),
            data: record.data.into_inner(),
        }
    }
}

/// Unix milliseconds.
fn millis(time: &DateTime) -> Option<i64> {
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
            Written::from(entry.build())
        };
        // Some servers say nothing of an error, some an empty text.
        for code in [None, Some("")] {
            assert!(matches!(entry(Some("4959"), code), Written::Acknowledged { .. }));
            assert!(matches!(entry(None, code), Written::NotTaken(_)));
            assert!(matches!(entry(Some(""), code), Written::NotTaken(_)));
        }
        assert!(matches!(entry(None, Some("ProvisionedThroughputExceededException")), Written::NotTaken(_)));
    }
}
