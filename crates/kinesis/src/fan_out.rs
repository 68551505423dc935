//! Enhanced fan-out: registered consumers with their own 2 MiB/s per shard, independent of the polling limits.

use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEventStream};

use super::api::{IteratorStart, KinesisApi, KinesisRecord, ShardBatch};
use super::error::{KinesisError, KinesisErrorKind};

const SUBSCRIBE: &str = "SubscribeToShard";

/// A subscription to one shard. The service ends it after five minutes.
pub struct ShardSubscription {
    // The type of its event stream cannot be named outside of the SDK.
    response: SubscribeToShardOutput,
}

impl KinesisApi {
    /// Returns the ARN of a stream's consumer with this name. Registers the consumer if it does not exist.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::InUse`] while it is being created, [`KinesisErrorKind::Throttled`] if the
    /// stream has the maximum number of consumers.
    pub async fn find_or_register_consumer(&self, stream_arn: &str, name: &str) -> Result<String, KinesisError> {
        const REGISTER: &str = "RegisterStreamConsumer";
        match self.find_consumer(stream_arn, name).await {
            Err(error) if error.kind == KinesisErrorKind::Missing => {
                let call = self.client().register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
                self.check_response(REGISTER, call.send().await).await?;
                // It can be used once its status is active.
                Err(consumer_not_ready(REGISTER))
            }
            found => found,
        }
    }

    /// Returns the ARN of a stream's consumer with this name.
    ///
    /// # Errors
    /// [`KinesisError`]; [`KinesisErrorKind::Missing`] if it does not exist, [`KinesisErrorKind::InUse`] while it is
    /// being created.
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
    /// [`KinesisError`]; [`KinesisErrorKind::InUse`] if any process subscribed this consumer less than five seconds
    /// ago.
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
        let response = self.check_response(SUBSCRIBE, call.starting_position(position).send().await).await?;
        Ok(ShardSubscription { response })
    }
}

/// Checks the permission to subscribe by subscribing to a shard that does not exist. This ends no other subscription,
/// and the consumer need not exist.
pub(super) async fn may_subscribe(
    api: &KinesisApi,
    stream_arn: &str,
    consumer_arn: Option<&str>,
) -> Result<(), KinesisError> {
    let made_up = format!("{stream_arn}/consumer/pinflow:0");
    match api.subscribe(consumer_arn.unwrap_or(&made_up), "shardId-999999999999", &IteratorStart::TrimHorizon).await {
        Err(error) if error.kind == KinesisErrorKind::Denied => Err(error),
        _ => Ok(()),
    }
}

fn consumer_not_ready(call: &'static str) -> KinesisError {
    KinesisError { call, kind: KinesisErrorKind::InUse, what: "the consumer is being made".to_owned() }
}

impl ShardSubscription {
    /// The next records, possibly none; `None` when the subscription has ended.
    ///
    /// # Errors
    /// [`KinesisError`]
    pub async fn next_batch(&mut self) -> Result<Option<ShardBatch>, KinesisError> {
        loop {
            match self.response.event_stream.recv().await {
                Ok(None) => return Ok(None),
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                    // The start of the next subscription; empty at the end of a closed shard.
                    let has_more = !event.continuation_sequence_number.is_empty();
                    return Ok(Some(ShardBatch {
                        records: event.records.into_iter().map(KinesisRecord::from).collect(),
                        next: has_more.then_some(event.continuation_sequence_number),
                        behind_ms: u64::try_from(event.millis_behind_latest).ok(),
                    }));
                }
                // Unknown kinds of events.
                Ok(Some(_)) => {}
                Err(error) => return Err(KinesisError::from_sdk(SUBSCRIBE, &error)),
            }
        }
    }
}
