//! Decides whether the shards of a stream are subscribed to (enhanced fan-out) or polled. No I/O.
//!
//! Permanent rejections (a permission, a deleted consumer) disable fan-out for the run. Others are retried. Shards are polled
//! in the meantime. A rejection is logged once for each stream.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::{KinesisError, KinesisErrorKind, ShardInfo};
use pinflow_core::backoff::Backoff;

/// Bounds of the wait before a shard is subscribed to again. The service refuses a second subscription within five
/// seconds of the first, also when that was another process's.
const SUBSCRIBE_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A subscription that lasted as long as this was a good one; and refusals are no news before they last so long.
const MIN_USEFUL_SUBSCRIPTION: Duration = Duration::from_secs(8);

/// What the shards of one stream know in common.
#[derive(Debug)]
pub(super) struct StreamFanOut {
    stream: Arc<str>,
    state: Mutex<FanOutState>,
}

#[derive(Debug, Default)]
struct FanOutState {
    /// The ARN of the consumer, once it is there.
    consumer: Option<Arc<str>>,
    given_up: bool,
    is_reported: bool,
    /// Shards that take no more records.
    closed: BTreeSet<String>,
}

impl StreamFanOut {
    /// `wanted`: whether records are to be pushed at all.
    pub(super) fn new(stream: Arc<str>, wanted: bool) -> StreamFanOut {
        StreamFanOut { stream, state: Mutex::new(FanOutState { given_up: !wanted, ..FanOutState::default() }) }
    }

    fn lock_state(&self) -> MutexGuard<'_, FanOutState> {
        self.state.lock()
    }

    /// Whether the consumer is still to be found.
    pub(super) fn is_open(&self) -> bool {
        let state = self.lock_state();
        state.consumer.is_none() && !state.given_up
    }

    /// Whether this shard's records may be pushed, now or later.
    pub(super) fn may_push(&self, shard: &str) -> bool {
        let state = self.lock_state();
        !state.given_up && !state.closed.contains(shard)
    }

    /// The consumer is there.
    pub(super) fn set_consumer(&self, consumer: String) {
        self.lock_state().consumer = Some(consumer.into());
    }

    /// The consumer to which this shard's records are to be pushed.
    ///
    /// A shard that takes no more is polled to its end: not every server tells subscribers of it.
    pub(super) fn consumer_for(&self, shard: &str) -> Option<Arc<str>> {
        let state = self.lock_state();
        state.consumer.clone().filter(|_| !state.closed.contains(shard))
    }

    /// Whether the last listing says that a shard takes no more.
    pub(super) fn is_closed(&self, shard: &str) -> bool {
        self.lock_state().closed.contains(shard)
    }

    /// What a listing says.
    pub(super) fn note_listed(&self, shards: &[ShardInfo]) {
        let closed = shards.iter().filter(|shard| shard.is_closed).map(|shard| shard.id.clone());
        self.lock_state().closed = closed.collect();
    }

    /// Something that it takes was refused, and shards are polled. `lasting`: it is no news of a moment.
    pub(super) fn note_rejected(&self, fault: &KinesisError, lasting: bool) {
        let mut state = self.lock_state();
        if !fault.is_retryable() {
            (state.consumer, state.given_up) = (None, true);
        } else if !lasting {
            tracing::debug!("stream {}: not pushed at the moment: {fault}", self.stream);
            return;
        }
        if !std::mem::replace(&mut state.is_reported, true) {
            let (stream, reason) = (&*self.stream, format!("{fault}{}", fault.hint()));
            tracing::warn!(stream, reason, "enhanced fan-out is refused; the shards are polled instead");
        }
    }

    /// A shard's records were pushed.
    fn note_working(&self) {
        if std::mem::take(&mut self.lock_state().is_reported) {
            tracing::info!(stream = &*self.stream, "enhanced fan-out delivers records again");
        }
    }
}

/// The subscriptions to one shard, one after the other.
#[derive(Debug)]
pub(super) struct SubscriptionRetry {
    backoff: Backoff,
    /// Not before then.
    again: Option<Instant>,
    refused: Option<Instant>,
}

impl SubscriptionRetry {
    pub(super) fn new() -> SubscriptionRetry {
        SubscriptionRetry {
            backoff: Backoff::new(SUBSCRIBE_BACKOFF.0, SUBSCRIBE_BACKOFF.1),
            again: None,
            refused: None,
        }
    }

    /// Whether the shard may be subscribed to.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.again.is_none_or(|again| now >= again)
    }

    /// One began, and came to its end.
    pub(super) fn note_ended(&mut self, fan_out: &StreamFanOut, begun: Instant, now: Instant) {
        if now.duration_since(begun) >= MIN_USEFUL_SUBSCRIPTION {
            (self.again, self.refused) = (None, None);
            self.backoff.reset();
            fan_out.note_working();
        } else {
            self.again = Some(now + self.backoff.next_wait());
        }
    }

    /// One was refused, or broke.
    pub(super) fn note_rejected(&mut self, fan_out: &StreamFanOut, fault: &KinesisError, now: Instant) {
        let since = *self.refused.get_or_insert(now);
        // The way to the service is broken for everybody, and said where it is polled.
        let lasting = fault.kind != KinesisErrorKind::Broken && now.duration_since(since) >= MIN_USEFUL_SUBSCRIPTION;
        self.again = Some(now + self.backoff.next_wait());
        fan_out.note_rejected(fault, lasting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fan_out() -> StreamFanOut {
        let fan_out = StreamFanOut::new("posts".into(), true);
        assert!(fan_out.is_open());
        fan_out.set_consumer("consumer".to_owned());
        fan_out
    }

    fn fault(kind: KinesisErrorKind) -> KinesisError {
        KinesisError { call: "SubscribeToShard", kind, what: String::new() }
    }

    #[test]
    fn what_is_refused_for_good_is_given_up_and_what_may_pass_is_tried_again() {
        let (fan_out, start) = (fan_out(), Instant::now());
        let mut shard = SubscriptionRetry::new();
        assert!(shard.is_due(start) && !fan_out.is_open());
        shard.note_rejected(&fan_out, &fault(KinesisErrorKind::InUse), start);
        assert!(!shard.is_due(start) && shard.is_due(start + SUBSCRIBE_BACKOFF.0));
        assert!(!fan_out.lock_state().is_reported, "it may have been another process's a moment ago");
        shard.note_rejected(&fan_out, &fault(KinesisErrorKind::Broken), start + MIN_USEFUL_SUBSCRIPTION);
        assert!(!fan_out.lock_state().is_reported);
        shard.note_rejected(&fan_out, &fault(KinesisErrorKind::InUse), start + MIN_USEFUL_SUBSCRIPTION);
        assert!(fan_out.lock_state().is_reported && fan_out.consumer_for("a").is_some());
        shard.note_ended(&fan_out, start, start + MIN_USEFUL_SUBSCRIPTION);
        assert!(shard.is_due(start) && !fan_out.lock_state().is_reported);
        shard.note_rejected(&fan_out, &fault(KinesisErrorKind::Denied), start);
        assert!(fan_out.lock_state().is_reported && fan_out.consumer_for("a").is_none() && !fan_out.is_open());
    }

    #[test]
    fn subscriptions_that_end_at_once_are_no_busy_loop() {
        let (fan_out, start) = (fan_out(), Instant::now());
        let mut shard = SubscriptionRetry::new();
        shard.note_ended(&fan_out, start, start);
        assert!(!shard.is_due(start));
    }

    #[test]
    fn a_closed_shard_is_polled() {
        let fan_out = fan_out();
        let shard = |id: &str, is_closed| ShardInfo {
            id: id.to_owned(),
            parents: Vec::new(),
            hash_keys: Default::default(),
            is_closed,
        };
        fan_out.note_listed(&[shard("a", true), shard("b", false)]);
        assert_eq!((fan_out.consumer_for("a"), fan_out.may_push("a")), (None, false));
        assert!(!StreamFanOut::new("posts".into(), false).may_push("b"));
        assert_eq!(fan_out.consumer_for("b").as_deref(), Some("consumer"));
    }
}
