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

/// Bounds of the pause before a shard is subscribed to again. The service rejects a second subscription within five
/// seconds of the first, also if another process made that one.
const SUBSCRIBE_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A subscription that lasted this long was useful. Rejections are logged only after they have lasted this long.
const MIN_USEFUL_SUBSCRIPTION: Duration = Duration::from_secs(8);

/// The fan-out state of one stream, shared by its shards.
#[derive(Debug)]
pub(super) struct StreamFanOut {
    stream: Arc<str>,
    state: Mutex<FanOutState>,
}

#[derive(Debug, Default)]
struct FanOutState {
    /// The ARN of the consumer, once it is registered.
    consumer: Option<Arc<str>>,
    given_up: bool,
    is_reported: bool,
    /// Shards that accept no more records.
    closed: BTreeSet<String>,
}

impl StreamFanOut {
    /// Creates the state; `enabled`: whether fan-out is configured.
    pub(super) fn new(stream: Arc<str>, enabled: bool) -> StreamFanOut {
        StreamFanOut { stream, state: Mutex::new(FanOutState { given_up: !enabled, ..FanOutState::default() }) }
    }

    fn lock_state(&self) -> MutexGuard<'_, FanOutState> {
        self.state.lock()
    }

    /// Whether the consumer still has to be found or registered.
    pub(super) fn is_open(&self) -> bool {
        let state = self.lock_state();
        state.consumer.is_none() && !state.given_up
    }

    /// Whether this shard can be subscribed to, now or later.
    pub(super) fn may_push(&self, shard: &str) -> bool {
        let state = self.lock_state();
        !state.given_up && !state.closed.contains(shard)
    }

    /// Stores the ARN of the registered consumer.
    pub(super) fn set_consumer(&self, consumer: String) {
        self.lock_state().consumer = Some(consumer.into());
    }

    /// The consumer to use for this shard; `None` if it is polled.
    ///
    /// A closed shard is polled to its end, because not every server tells subscribers of the end.
    pub(super) fn consumer_for(&self, shard: &str) -> Option<Arc<str>> {
        let state = self.lock_state();
        state.consumer.clone().filter(|_| !state.closed.contains(shard))
    }

    /// Whether the shard was closed in the last listing.
    pub(super) fn is_closed(&self, shard: &str) -> bool {
        self.lock_state().closed.contains(shard)
    }

    /// Stores which shards of a listing are closed.
    pub(super) fn note_listed(&self, shards: &[ShardInfo]) {
        let closed = shards.iter().filter(|shard| shard.is_closed).map(|shard| shard.id.clone());
        self.lock_state().closed = closed.collect();
    }

    /// Records a rejection; the shards are polled. `lasting`: it has lasted too long to be temporary.
    pub(super) fn note_rejected(&self, error: &KinesisError, lasting: bool) {
        let mut state = self.lock_state();
        if !error.is_retryable() {
            (state.consumer, state.given_up) = (None, true);
        } else if !lasting {
            tracing::debug!("stream {}: no subscription at the moment: {error}", self.stream);
            return;
        }
        if !std::mem::replace(&mut state.is_reported, true) {
            let (stream, reason) = (&*self.stream, format!("{error}{}", error.hint()));
            tracing::warn!(stream, reason, "enhanced fan-out was rejected; polling the shards instead");
        }
    }

    /// Records that a subscription delivers records.
    fn note_working(&self) {
        if std::mem::take(&mut self.lock_state().is_reported) {
            tracing::info!(stream = &*self.stream, "enhanced fan-out delivers records again");
        }
    }
}

/// The successive subscriptions to one shard.
#[derive(Debug)]
pub(super) struct SubscriptionRetry {
    backoff: Backoff,
    /// The earliest time of the next attempt.
    retry_at: Option<Instant>,
    refused: Option<Instant>,
}

impl SubscriptionRetry {
    pub(super) fn new() -> SubscriptionRetry {
        SubscriptionRetry {
            backoff: Backoff::new(SUBSCRIBE_BACKOFF.0, SUBSCRIBE_BACKOFF.1),
            retry_at: None,
            refused: None,
        }
    }

    /// Whether the next attempt is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|retry_at| now >= retry_at)
    }

    /// Records that a subscription ended normally. It was accepted at `started`.
    pub(super) fn note_ended(&mut self, fan_out: &StreamFanOut, started: Instant, now: Instant) {
        if now.duration_since(started) >= MIN_USEFUL_SUBSCRIPTION {
            (self.retry_at, self.refused) = (None, None);
            self.backoff.reset();
            fan_out.note_working();
        } else {
            self.retry_at = Some(now + self.backoff.next_wait());
        }
    }

    /// Records that a subscription failed that was accepted at `started`.
    pub(super) fn note_failed(&mut self, fan_out: &StreamFanOut, error: &KinesisError, started: Instant, now: Instant) {
        if now.duration_since(started) >= MIN_USEFUL_SUBSCRIPTION {
            self.note_ended(fan_out, started, now);
        }
        self.note_rejected(fan_out, error, now);
    }

    /// Records that a subscription was rejected.
    pub(super) fn note_rejected(&mut self, fan_out: &StreamFanOut, error: &KinesisError, now: Instant) {
        // A failure of the network or the service affects all calls, and is logged by polling. It is no rejection.
        let is_rejection = error.kind != KinesisErrorKind::Broken;
        let lasting = is_rejection && now.duration_since(*self.refused.get_or_insert(now)) >= MIN_USEFUL_SUBSCRIPTION;
        self.retry_at = Some(now + self.backoff.next_wait());
        fan_out.note_rejected(error, lasting);
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

    fn error(kind: KinesisErrorKind) -> KinesisError {
        KinesisError { call: "SubscribeToShard", kind, what: String::new() }
    }

    #[test]
    fn permanent_rejection_disables_fan_out_and_temporary_one_is_retried() {
        let (fan_out, start) = (fan_out(), Instant::now());
        let mut shard = SubscriptionRetry::new();
        assert!(shard.is_due(start) && !fan_out.is_open());
        shard.note_rejected(&fan_out, &error(KinesisErrorKind::InUse), start);
        assert!(!shard.is_due(start) && shard.is_due(start + SUBSCRIBE_BACKOFF.0));
        assert!(!fan_out.lock_state().is_reported, "another process may have subscribed a moment ago");
        shard.note_rejected(&fan_out, &error(KinesisErrorKind::Broken), start + MIN_USEFUL_SUBSCRIPTION);
        assert!(!fan_out.lock_state().is_reported);
        shard.note_rejected(&fan_out, &error(KinesisErrorKind::InUse), start + MIN_USEFUL_SUBSCRIPTION);
        assert!(fan_out.lock_state().is_reported && fan_out.consumer_for("a").is_some());
        shard.note_ended(&fan_out, start, start + MIN_USEFUL_SUBSCRIPTION);
        assert!(shard.is_due(start) && !fan_out.lock_state().is_reported);
        shard.note_rejected(&fan_out, &error(KinesisErrorKind::Denied), start);
        assert!(fan_out.lock_state().is_reported && fan_out.consumer_for("a").is_none() && !fan_out.is_open());
    }

    #[test]
    fn failure_before_a_rejection_does_not_make_it_lasting() {
        let (fan_out, start) = (fan_out(), Instant::now());
        let mut shard = SubscriptionRetry::new();
        shard.note_rejected(&fan_out, &error(KinesisErrorKind::Broken), start);
        shard.note_rejected(&fan_out, &error(KinesisErrorKind::InUse), start + MIN_USEFUL_SUBSCRIPTION);
        assert!(!fan_out.lock_state().is_reported, "it was rejected once");
        // A useful subscription that fails in the end is evidence as well.
        let (accepted, failed) = (start + MIN_USEFUL_SUBSCRIPTION, start + 3 * MIN_USEFUL_SUBSCRIPTION);
        shard.note_failed(&fan_out, &error(KinesisErrorKind::InUse), accepted, failed);
        assert!(!fan_out.lock_state().is_reported, "the first rejection was followed by a useful subscription");
        shard.note_rejected(&fan_out, &error(KinesisErrorKind::InUse), failed + MIN_USEFUL_SUBSCRIPTION);
        assert!(fan_out.lock_state().is_reported);
    }

    #[test]
    fn short_subscriptions_back_off() {
        let (fan_out, start) = (fan_out(), Instant::now());
        let mut shard = SubscriptionRetry::new();
        shard.note_ended(&fan_out, start, start);
        assert!(!shard.is_due(start));
    }

    #[test]
    fn closed_shard_is_polled() {
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
