//! Replies that clients share: rendered once per epoch, kept in memory once, and counted against one budget until the last
//! client has read them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use pinflow_dataflows::questions::QuestionId;
use tokio::sync::{OnceCell, Semaphore};

use super::params::ReplyFormat;
use super::reply::ApiError;
use super::{MAX_INLINE_RENDER_ROWS, render_off_runtime};
use crate::answer_hub::ReadConsistency;
use crate::answer_view::AnswerView;
use pinflow_core::position::Epoch;
use pinflow_engine::SourceStatus;
use pinflow_http::{ByteBudget, hold_reply};

/// Most large replies that are rendered at the same time. Their size is known, and reserved, only afterwards.
const MAX_LARGE_RENDERS: usize = 2;

/// Replies up to this size are counted but never rejected: health, metrics and errors must always get through.
const UNLIMITED_REPLY_BYTES: usize = 64 << 10;

/// What a shared reply contains.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ReplyKey {
    /// All answers.
    AllAnswers(ReadConsistency, ReplyFormat),
    /// One answer without filters.
    SingleAnswer(ReadConsistency, QuestionId, ReplyFormat),
    /// An answer as the first event of a change stream, with why the stream could not be resumed.
    SnapshotEvent(ReadConsistency, QuestionId, Option<&'static str>),
}

impl ReplyKey {
    fn consistency(&self) -> ReadConsistency {
        match self {
            ReplyKey::AllAnswers(read, _) | ReplyKey::SingleAnswer(read, ..) | ReplyKey::SnapshotEvent(read, ..) => {
                *read
            }
        }
    }
}

/// The version of the answers that a reply was rendered from.
#[derive(Clone)]
struct ViewVersion {
    epoch: Epoch,
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    sources: Arc<[SourceStatus]>,
}

impl ViewVersion {
    fn from_view(view: &AnswerView) -> ViewVersion {
        let AnswerView { epoch, as_of, durable_epoch, .. } = *view;
        ViewVersion { epoch, as_of, durable_epoch, sources: Arc::clone(&view.sources) }
    }
}

impl PartialEq for ViewVersion {
    fn eq(&self, other: &ViewVersion) -> bool {
        let fields = |of: &ViewVersion| (of.epoch, of.as_of, of.durable_epoch);
        fields(self) == fields(other) && Arc::ptr_eq(&self.sources, &other.sources)
    }
}

/// Marks a response whose bytes are counted already, or static.
#[derive(Clone)]
pub(super) struct CountedReply;

/// A reply that its first reader renders.
struct SharedReply {
    version: ViewVersion,
    bytes: Arc<OnceCell<Bytes>>,
}

/// The shared replies of the current epoch and the memory budget of all replies.
pub(super) struct SharedReplies {
    budget: Arc<ByteBudget>,
    large_renders: Semaphore,
    current: Mutex<HashMap<ReplyKey, SharedReply>>,
}

impl SharedReplies {
    pub(super) fn new(reply_bytes_max: usize) -> SharedReplies {
        let large_renders = Semaphore::new(MAX_LARGE_RENDERS);
        SharedReplies { budget: ByteBudget::new(reply_bytes_max), large_renders, current: Mutex::default() }
    }

    /// Bytes of replies in memory now.
    pub(super) fn reserved_bytes(&self) -> usize {
        self.budget.reserved_bytes()
    }

    /// Returns the reply for this view. It is rendered at most once per epoch.
    pub(super) async fn render_shared(
        &self,
        key: ReplyKey,
        view: AnswerView,
        rows: usize,
        render: impl FnOnce(&AnswerView) -> anyhow::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Bytes, ApiError> {
        let shared = self.shared_reply(key, &view);
        shared.get_or_try_init(|| self.render_unshared(rows, move || render(&view))).await.cloned()
    }

    /// Renders a reply for one client.
    pub(super) async fn render_unshared(
        &self,
        rows: usize,
        render: impl FnOnce() -> anyhow::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Bytes, ApiError> {
        let is_large = rows > MAX_INLINE_RENDER_ROWS;
        // The semaphore is never closed.
        let _turn = if is_large { self.large_renders.acquire().await.ok() } else { None };
        let mut bytes = render_off_runtime(rows, render).await?;
        // So that the reservation equals the memory in use.
        bytes.shrink_to_fit();
        let mut reservation = self.budget.open_reservation();
        if reservation.grow_to(bytes.len()).is_err() {
            self.current.lock().clear();
            reservation.grow_to(bytes.len()).map_err(|_| budget_exhausted())?;
        }
        Ok(reservation.hold_with(Bytes::from(bytes)))
    }

    /// Counts a reply against the budget, unless it is counted already.
    pub(super) async fn reserve_reply(&self, response: Response) -> Result<Response, ApiError> {
        use axum::body::HttpBody as _;
        let bytes = usize::try_from(response.body().size_hint().exact().unwrap_or(0)).unwrap_or(usize::MAX);
        if bytes == 0 || response.extensions().get::<CountedReply>().is_some() {
            return Ok(response);
        }
        let mut reservation = self.budget.open_reservation();
        if bytes > UNLIMITED_REPLY_BYTES {
            reservation.grow_to(bytes).map_err(|_| budget_exhausted())?;
        }
        Ok(hold_reply(response, reservation).await)
    }

    fn shared_reply(&self, key: ReplyKey, view: &AnswerView) -> Arc<OnceCell<Bytes>> {
        let (version, read) = (ViewVersion::from_view(view), key.consistency());
        let mut current = self.current.lock();
        if let Some(reply) = current.get(&key).filter(|reply| reply.version == version) {
            return Arc::clone(&reply.bytes);
        }
        // Drop replies of older epochs. Clients that are reading one keep its bytes alive.
        current.retain(|key, reply| key.consistency() != read || reply.version == version);
        let bytes = Arc::new(OnceCell::new());
        current.insert(key, SharedReply { version, bytes: Arc::clone(&bytes) });
        bytes
    }
}

fn budget_exhausted() -> ApiError {
    let message = "replies that other clients have not read yet use all memory allowed for replies \
                   ([serve] reply_bytes_max); retry later";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;

    use pinflow_dataflows::questions::QuestionSet;

    use super::*;

    fn reply_key() -> ReplyKey {
        ReplyKey::AllAnswers(ReadConsistency::Live, ReplyFormat::Json)
    }

    fn next_epoch(view: &AnswerView) -> AnswerView {
        let mut next = view.clone();
        next.epoch += 1;
        next
    }

    async fn render_sized(replies: &SharedReplies, view: &AnswerView, bytes: usize) -> Result<Bytes, ApiError> {
        replies.render_shared(reply_key(), view.clone(), 0, move |_| Ok(vec![b'x'; bytes])).await
    }

    #[tokio::test]
    async fn reply_is_rendered_once_for_all_readers_of_an_epoch() {
        let (replies, view, renders) =
            (SharedReplies::new(1_000), AnswerView::new(QuestionSet::default()), Arc::new(AtomicUsize::new(0)));
        let mut held = Vec::new();
        for _ in 0..100 {
            let renders = Arc::clone(&renders);
            let render = move |_: &AnswerView| {
                renders.fetch_add(1, SeqCst);
                Ok(vec![b'x'; 600])
            };
            held.push(replies.render_shared(reply_key(), view.clone(), 0, render).await.unwrap());
        }
        assert_eq!((renders.load(SeqCst), replies.reserved_bytes()), (1, 600));
        assert!(held.iter().all(|bytes| bytes.as_ptr() == held[0].as_ptr()));
        // The next epoch is rendered again, and counts beside what is still being read.
        let next = next_epoch(&view);
        assert_eq!(render_sized(&replies, &next, 600).await.unwrap_err().status, 503);
        drop(held);
        assert!(render_sized(&replies, &next, 600).await.is_ok());
        assert_eq!(replies.reserved_bytes(), 600);
    }

    #[tokio::test]
    async fn reply_larger_than_the_budget_is_allowed_one_at_a_time() {
        let (replies, view) = (SharedReplies::new(100), AnswerView::new(QuestionSet::default()));
        let first = render_sized(&replies, &view, 500).await.unwrap();
        let next = next_epoch(&view);
        assert_eq!(render_sized(&replies, &next, 500).await.unwrap_err().status, 503);
        drop(first);
        assert!(render_sized(&replies, &next, 500).await.is_ok());
    }

    #[tokio::test]
    async fn unshared_replies_are_counted_and_shared_ones_are_not_counted_twice() {
        let (large, small) = (2 * UNLIMITED_REPLY_BYTES, UNLIMITED_REPLY_BYTES);
        let replies = SharedReplies::new(3 * UNLIMITED_REPLY_BYTES);
        let reply = |bytes: usize| Response::new("x".repeat(bytes).into());
        let counted = replies.reserve_reply(reply(large)).await.unwrap();
        assert_eq!(replies.reserved_bytes(), large);
        assert_eq!(replies.reserve_reply(reply(large)).await.unwrap_err().status, 503);
        let mut shared = reply(large);
        shared.extensions_mut().insert(CountedReply);
        assert!(replies.reserve_reply(shared).await.is_ok());
        let told: Vec<_> =
            [replies.reserve_reply(reply(small)).await.unwrap(), replies.reserve_reply(reply(small)).await.unwrap()]
                .into();
        assert_eq!(replies.reserved_bytes(), large + 2 * small);
        drop((counted, told));
        assert_eq!(replies.reserved_bytes(), 0);
    }
}
