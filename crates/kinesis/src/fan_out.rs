//! Enhanced fan-out: consumers that get a shard's records pushed, at 2 MiB/s each and apart from polling limits.

use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEventStream};

use super::api::{IteratorStart, KinesisApi, KinesisRecord, ShardBatch};
use super::error::{KinesisError, KinesisErrorKind};

const SUBSCRIBE: &str = "SubscribeToShard";

/// A subscription to one shard; the service ends it after five minutes.
pub struct ShardSubscription {
    // The type of its stream of events cannot be named outside of the SDK.
    answer: SubscribeToShardOutput,
}

impl KinesisApi {
    /// The ARN of a stream's consumer of this name; registers it if it is not there.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::InUse`] while it is being made, [`KinesisErrorKind::Throttled`] if the stream has as many as it may have.
    pub async fn find_or_register_consumer(&self, stream_arn: &str, name: &str) -> Result<String, KinesisError> {
        const REGISTER: &str = "RegisterStreamConsumer";
        match self.find_consumer(stream_arn, name).await {
            Err(fault) if fault.kind == KinesisErrorKind::Missing => {
                let call = self.client().register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
                self.check_response(REGISTER, call.send().await).await?;
                // Good once it is described as active.
                Err(consumer_not_ready(REGISTER))
            }
            found => found,
        }
    }

    /// The ARN of a stream's consumer of this name.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::Missing`] if there is none, [`KinesisErrorKind::InUse`] while it is being made.
    pub async fn find_consumer(&self, stream_arn: &str, name: &str) -> Result<String, KinesisError> {
        const DESCRIBE: &str = "DescribeStreamConsumer";
        let call = self.client().describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        match self.check_response(DESCRIBE, call.send().await).await?.consumer_description {
            Some(consumer) if consumer.consumer_status == ConsumerStatus::Active => Ok(consumer.consumer_arn),
            _ => Err(consumer_not_ready(DESCRIBE)),
        }
    }

    /// Subscribes a consumer to a shard.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::InUse`] if it was subscribed less than five seconds ago, by whomever.
    pub async fn subscribe(
        &self,
        consumer_arn: &str,
        shard: &str,
        begin: &IteratorStart,
    ) -> Result<ShardSubscription, KinesisError> {
        let position = StartingPosition::builder();
        let position = match begin {
            IteratorStart::TrimHorizon => position.r#type(ShardIteratorType::TrimHorizon),
            IteratorStart::AtTimestamp(ms) => position
                .r#type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(i64::try_from(*ms).unwrap_or(i64::MAX))),
            IteratorStart::AtSequenceNumber(number) => {
                position.r#type(ShardIteratorType::AtSequenceNumber).sequence_number(number)
            }
        };
        let refused = |error: &dyn std::error::Error| KinesisError {
            call: SUBSCRIBE,
            kind: KinesisErrorKind::Refused,
            what: error.to_string(),
        };
        let position = position.build().map_err(|error| refused(&error))?;
        let call = self.client().subscribe_to_shard().consumer_arn(consumer_arn).shard_id(shard);
        let answer = self.check_response(SUBSCRIBE, call.starting_position(position).send().await).await?;
        Ok(ShardSubscription { answer })
    }
}

/// Whether a consumer may subscribe, found out by subscribing to a shard that is not there. Nobody else's subscription is
/// ended by that, and the consumer need not be there either.
pub(super) async fn may_subscribe(
    api: &KinesisApi,
    stream_arn: &str,
    consumer_arn: Option<&str>,
) -> Result<(), KinesisError> {
    let made_up = format!("{stream_arn}/consumer/pinflow:0");
    match api.subscribe(consumer_arn.unwrap_or(&made_up), "shardId-999999999999", &IteratorStart::TrimHorizon).await {
        Err(fault) if fault.kind == KinesisErrorKind::Denied => Err(fault),
        _ => Ok(()),
    }
}

fn consumer_not_ready(call: &'static str) -> KinesisError {
    KinesisError { call, kind: KinesisErrorKind::InUse, what: "the consumer is being made".to_owned() }
}

impl ShardSubscription {
    /// The next records, perhaps none; `None` when the subscription is over.
    ///
    /// # Errors
    /// [`KinesisError`]
    pub async fn next_batch(&mut self) -> Result<Option<ShardBatch>, KinesisError> {
        loop {
            match self.answer.event_stream.recv().await {
                Ok(None) => return Ok(None),
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                    // Where a next subscription would begin; none at the end of a closed shard.
                    let has_more = !event.continuation_sequence_number.is_empty();
                    return Ok(Some(ShardBatch {
                        records: event.records.into_iter().map(KinesisRecord::from).collect(),
                        next: has_more.then_some(event.continuation_sequence_number),
                        behind_ms: u64::try_from(event.millis_behind_latest).ok(),
                    }));
                }
                // Kinds of events that nobody has told us of.
                Ok(Some(_)) => {}
                Err(error) => return Err(KinesisError::from_sdk(SUBSCRIBE, &error)),
            }
        }
    }
}
