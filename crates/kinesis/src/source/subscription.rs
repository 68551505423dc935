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

/// Kinesis ends a subscription after five minutes. One that lasts longer is dead without an error.
const MAX_SUBSCRIPTION_TIME: Duration = Duration::from_secs(330);
/// Interval at which an idle subscription checks whether it is still useful, and at which a polled shard checks whether
/// it can be subscribed to.
const SUBSCRIBE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl ShardReader {
    /// Reads pushed records while the shard can be subscribed to. Returns whether the shard has ended.
    pub(super) async fn read_subscribed(&mut self) -> Result<bool, ReaderExit> {
        while let Some(consumer) = self.fan_out.consumer_for(&self.buffer.shard)
            && self.subscriptions.is_due(Instant::now())
        {
            let (begin, requested_ms) = (self.buffer.cursor.iterator_start(), now_ms());
            self.iterator = None;
            match self.common.api.subscribe(&consumer, &self.buffer.shard, &begin).await {
                Ok(subscription) => {
                    if self.read_subscription(subscription, requested_ms).await? {
                        return Ok(true);
                    }
                }
                Err(error) => self.subscriptions.note_rejected(&self.fan_out, &error, Instant::now()),
            }
        }
        Ok(false)
    }

    /// How long to poll before checking again whether the shard can be subscribed to.
    pub(super) fn subscribe_check_interval(&self) -> Duration {
        if self.fan_out.may_push(&self.buffer.shard) { SUBSCRIBE_CHECK_INTERVAL } else { Duration::MAX }
    }

    /// Reads the records of one subscription. Returns whether the shard has ended.
    async fn read_subscription(
        &mut self,
        mut subscription: ShardSubscription,
        requested_ms: u64,
    ) -> Result<bool, ReaderExit> {
        let started = Instant::now();
        while started.elapsed() < MAX_SUBSCRIPTION_TIME && !self.buffer.cursor.is_stale(now_ms(), self.retention_ms()) {
            let batch = match self.next_event(&mut subscription, started).await {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    self.subscriptions.note_failed(&self.fan_out, &error, started, Instant::now());
                    return Ok(false);
                }
            };
            self.note_success(&batch);
            let is_ended = self.deliver_batch(batch, requested_ms).await?;
            // The polling iterator is out of date.
            self.iterator = None;
            if is_ended {
                return Ok(true);
            }
        }
        self.subscriptions.note_ended(&self.fan_out, started, Instant::now());
        Ok(false)
    }

    /// The next event; `None` if the subscription has ended or is no longer useful.
    async fn next_event(
        &self,
        subscription: &mut ShardSubscription,
        started: Instant,
    ) -> Result<Option<ShardBatch>, KinesisError> {
        let mut next = pin!(subscription.next_batch());
        loop {
            tokio::select! {
                event = &mut next => return event,
                () = sleep(SUBSCRIBE_CHECK_INTERVAL) => {
                    if started.elapsed() >= MAX_SUBSCRIPTION_TIME || self.fan_out.consumer_for(&self.buffer.shard).is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
