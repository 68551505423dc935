//! Reads one shard as a subscriber: its records are pushed (enhanced fan-out), and go the way of polled ones.
//!
//! A subscription begins at the last record that was taken, as an iterator does, and the first record it brings must be
//! that one. It is renewed so, too, and not from the service's continuation number: only a record can prove itself.
//!
//! An event may wait on its way for as long as its subscription lasts, while the engine is busy. So of what it says about
//! the shard's end only this is certain: it was true when the subscription was asked for, or later.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::clock::now_ms;
use super::shard::Reader;
use crate::kinesis::{Answer, Fault, Subscription};
use crate::sources::thread::Halt;

/// Kinesis ends a subscription after five minutes. One that lasts longer is dead, and nobody has told us.
const LASTS_MAX: Duration = Duration::from_secs(330);
/// While nothing is pushed for this long, it is looked whether anything will be; and while a shard is polled, whether it
/// may be subscribed to.
const QUIET: Duration = Duration::from_secs(1);

impl Reader {
    /// Takes what is pushed, for as long as the shard can be subscribed to; whether it has ended.
    pub(super) async fn subscribed(&mut self) -> Result<bool, Halt> {
        while let Some(consumer) = self.fan_out.consumer(&self.lane.shard)
            && self.subscriptions.is_due(Instant::now())
        {
            let (begin, asked_ms) = (self.lane.cursor.begin(), now_ms());
            self.iterator = None;
            match self.common.api.subscribe(&consumer, &self.lane.shard, &begin).await {
                Ok(subscription) => {
                    if self.follow(subscription, asked_ms).await? {
                        return Ok(true);
                    }
                }
                Err(fault) => self.subscriptions.refused(&self.fan_out, &fault, Instant::now()),
            }
        }
        Ok(false)
    }

    /// How long to poll before it is looked again whether the shard can be subscribed to.
    pub(super) fn until_subscribed(&self) -> Duration {
        if self.fan_out.may_push(&self.lane.shard) { QUIET } else { Duration::MAX }
    }

    /// Takes what one subscription brings; whether the shard has ended.
    async fn follow(&mut self, mut subscription: Subscription, asked_ms: u64) -> Result<bool, Halt> {
        let begun = Instant::now();
        while begun.elapsed() < LASTS_MAX && !self.lane.cursor.is_stale(now_ms(), self.retention()) {
            let answer = match self.event(&mut subscription, begun).await {
                Ok(Some(answer)) => answer,
                Ok(None) => break,
                Err(fault) => {
                    self.subscriptions.refused(&self.fan_out, &fault, Instant::now());
                    return Ok(false);
                }
            };
            self.well(&answer);
            let has_ended = self.take(answer, asked_ms).await?;
            // What stands there now leads to no iterator.
            self.iterator = None;
            if has_ended {
                return Ok(true);
            }
        }
        self.subscriptions.ended(&self.fan_out, begun, Instant::now());
        Ok(false)
    }

    /// The next event; `None` if the subscription is over, or nothing more is to be hoped of it.
    async fn event(&self, subscription: &mut Subscription, begun: Instant) -> Result<Option<Answer>, Fault> {
        let mut next = pin!(subscription.next());
        loop {
            tokio::select! {
                event = &mut next => return event,
                () = sleep(QUIET) => {
                    if begun.elapsed() >= LASTS_MAX || self.fan_out.consumer(&self.lane.shard).is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
