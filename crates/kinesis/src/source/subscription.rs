//! Reads one shard as a subscriber (enhanced fan-out); the records are handled like polled ones.
//!
//! A subscription starts at the last record that was read, as an iterator does, and the first record it pushes must be that
//! one. Renewals do the same instead of using the continuation number, because only a record can be verified.
//!
//! While the engine is busy an event may wait for as long as its subscription lasts. Its `behind_ms` is therefore only valid
//! as of the moment at which the subscription was requested.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::clock::now_ms;
use super::shard_reader::ShardReader;
use crate::{KinesisError, ShardBatch, ShardSubscription};
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;

/// Kinesis ends a subscription after five minutes. One that lasts longer is dead, and nobody has told us.
const MAX_SUBSCRIPTION_TIME: Duration = Duration::from_secs(330);
/// While nothing is pushed for this long, it is looked whether anything will be; and while a shard is polled, whether it
/// may be subscribed to.
const SUBSCRIBE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl ShardReader {
    /// Takes what is pushed, for as long as the shard can be subscribed to; whether it has ended.
    pub(super) async fn read_subscribed(&mut self) -> Result<bool, ReaderExit> {
        while let Some(consumer) = self.fan_out.consumer_for(&self.buffer.shard)
            && self.subscriptions.is_due(Instant::now())
        {
            let (begin, asked_ms) = (self.buffer.cursor.iterator_start(), now_ms());
            self.iterator = None;
            match self.common.api.subscribe(&consumer, &self.buffer.shard, &begin).await {
                Ok(subscription) => {
                    if self.read_subscription(subscription, asked_ms).await? {
                        return Ok(true);
                    }
                }
                Err(fault) => self.subscriptions.note_rejected(&self.fan_out, &fault, Instant::now()),
            }
        }
        Ok(false)
    }

    /// How long to poll before it is looked again whether the shard can be subscribed to.
    pub(super) fn subscribe_check_interval(&self) -> Duration {
        if self.fan_out.may_push(&self.buffer.shard) { SUBSCRIBE_CHECK_INTERVAL } else { Duration::MAX }
    }

    /// Takes what one subscription brings; whether the shard has ended.
    async fn read_subscription(
        &mut self,
        mut subscription: ShardSubscription,
        asked_ms: u64,
    ) -> Result<bool, ReaderExit> {
        let begun = Instant::now();
        while begun.elapsed() < MAX_SUBSCRIPTION_TIME && !self.buffer.cursor.is_stale(now_ms(), self.retention_ms()) {
            let answer = match self.next_event(&mut subscription, begun).await {
                Ok(Some(answer)) => answer,
                Ok(None) => break,
                Err(fault) => {
                    self.subscriptions.note_rejected(&self.fan_out, &fault, Instant::now());
                    return Ok(false);
                }
            };
            self.note_success(&answer);
            let is_ended = self.deliver_batch(answer, asked_ms).await?;
            // What stands there now leads to no iterator.
            self.iterator = None;
            if is_ended {
                return Ok(true);
            }
        }
        self.subscriptions.note_ended(&self.fan_out, begun, Instant::now());
        Ok(false)
    }

    /// The next event; `None` if the subscription is over, or nothing more is to be hoped of it.
    async fn next_event(
        &self,
        subscription: &mut ShardSubscription,
        begun: Instant,
    ) -> Result<Option<ShardBatch>, KinesisError> {
        let mut next = pin!(subscription.next_batch());
        loop {
            tokio::select! {
                event = &mut next => return event,
                () = sleep(SUBSCRIBE_CHECK_INTERVAL) => {
                    if begun.elapsed() >= MAX_SUBSCRIPTION_TIME || self.fan_out.consumer_for(&self.buffer.shard).is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
