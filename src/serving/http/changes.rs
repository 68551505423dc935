//! `/changes`: the answers, and then every change of them, as Server-Sent Events.
//!
//! ```text
//! id: 5f0c…-81
//! event: snapshot
//! data: {"answer":"users_joined_by_year","epoch":81,"as_of":"…","rows":[…]}
//!
//! id: 5f0c…-82
//! event: change
//! data: {"answer":"users_joined_by_year","epoch":82,"as_of":"…","insert":[…],"delete":[…]}
//! ```
//!
//! A reader that comes back with `Last-Event-ID` goes on there; where that cannot be, it starts anew with a snapshot,
//! whose `anew` says why. Several events may carry one id: those of one epoch, of which the last one ends the epoch.
//! The id therefore stands at the last event of an epoch only: who was cut off in the middle gets the epoch again.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::unfold;
use jiff::Timestamp;
use pinflow_dataflows::questions;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

use super::answers::{column_bodies, find_question, readable_view};
use super::reply::{self, ApiError};
use super::shared_replies::ReplyKey;
use super::{SharedServingState, params};
use crate::position::Epoch;
use crate::serving::answer_hub::{EpochChanges, ReadConsistency, SubscriptionStart};
use crate::serving::answer_view::AnswerView;
use crate::serving::render::{NamedRows, as_millis};

/// A sign of life where nothing changes, so that neither side takes the other for dead.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// What is written at once, about.
const TARGET_CHUNK_BYTES: usize = 64 << 10;
/// Events from this size on are shared by all readers; copying smaller ones together is cheaper.
const MIN_SHARED_EVENT_BYTES: usize = 8 << 10;
/// A comment.
const KEEP_ALIVE_COMMENT: Bytes = Bytes::from_static(b":\n\n");

#[derive(Serialize)]
struct SnapshotEvent<'a> {
    answer: &'a str,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anew: Option<&'static str>,
    columns: Vec<super::answers::ColumnBody>,
    rows: NamedRows<'a>,
}

/// `GET /changes`: of all answers.
pub(super) async fn stream_all_changes(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    stream_changes(shared, query.as_deref(), &headers, (0..questions::ALL.len()).collect()).await
}

/// `GET /answers/{name}/changes`
pub(super) async fn stream_answer_changes(
    State(shared): State<SharedServingState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (at, _) = find_question(&name)?;
    stream_changes(shared, query.as_deref(), &headers, vec![at]).await
}

async fn stream_changes(
    shared: SharedServingState,
    query: Option<&str>,
    headers: &HeaderMap,
    answers: Vec<usize>,
) -> Result<Response, ApiError> {
    let read = params::parse_change_params(query)?;
    readable_view(&shared.answer_hub, read)?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(parse_event_id);
    let following = shared.answer_hub.subscribe_from(read, seen).ok_or_else(super::answers::not_ready)?;
    let run = shared.answer_hub.run_id();
    let (first, missed) = match following.start {
        // A stream must begin with something: a reader waits for its first byte.
        SubscriptionStart::Resumed(missed) => (VecDeque::from([KEEP_ALIVE_COMMENT]), missed.into()),
        SubscriptionStart::Snapshot { view, why } => {
            (snapshot_events(&shared, read, &view, why, &answers).await?, VecDeque::new())
        }
    };
    let over = shared.over.clone();
    let reader = ChangeReader { run, answers, missed, next: following.next, over, dropped: false, shared };
    let stream = unfold((first, reader), |(mut ready, mut reader)| async {
        if ready.is_empty() {
            ready = reader.read_events().await?;
        }
        let chunk = ready.pop_front()?;
        Some((chunk, (ready, reader)))
    });
    Ok(reply::event_stream(stream))
}

/// One reader, in its place of the stream.
struct ChangeReader {
    run: u64,
    answers: Vec<usize>,
    /// Epochs that passed while the reader was away.
    missed: VecDeque<Arc<EpochChanges>>,
    next: broadcast::Receiver<Arc<EpochChanges>>,
    /// Turns `true` when serving ends.
    over: watch::Receiver<bool>,
    dropped: bool,
    shared: SharedServingState,
}

impl ChangeReader {
    /// What is to be written next, never nothing; `None` at the end.
    async fn read_events(&mut self) -> Option<VecDeque<Bytes>> {
        let mut events = EventBuffer::default();
        self.take_missed(&mut events);
        while events.is_empty() {
            if self.dropped {
                return None;
            }
            let passed = tokio::select! {
                passed = self.next.recv() => passed,
                () = tokio::time::sleep(KEEP_ALIVE_INTERVAL) => return Some(VecDeque::from([KEEP_ALIVE_COMMENT])),
                _ = self.over.wait_for(|over| *over) => return None,
            };
            match passed {
                Ok(passed) => self.add_changes(&mut events, &passed),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(epochs)) => self.drop_reader(&mut events, epochs),
            }
        }
        self.take_waiting(&mut events);
        Some(events.into_chunks())
    }

    fn take_missed(&mut self, events: &mut EventBuffer) {
        while events.bytes < TARGET_CHUNK_BYTES
            && let Some(passed) = self.missed.pop_front()
        {
            self.add_changes(events, &passed);
        }
    }

    /// Adds what has come meanwhile.
    fn take_waiting(&mut self, events: &mut EventBuffer) {
        while events.bytes < TARGET_CHUNK_BYTES && self.missed.is_empty() && !self.dropped {
            match self.next.try_recv() {
                Ok(passed) => self.add_changes(events, &passed),
                // The next call meets it again.
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(epochs)) => self.drop_reader(events, epochs),
            }
        }
    }

    fn add_changes(&self, events: &mut EventBuffer, passed: &EpochChanges) {
        let mut changes = self.answers.iter().filter_map(|answer| passed.answer_json(*answer)).peekable();
        while let Some(json) = changes.next() {
            events.add_event(changes.peek().is_none().then_some((self.run, passed.epoch)), "change", json);
        }
    }

    /// The last word to a reader that is too slow.
    fn drop_reader(&mut self, events: &mut EventBuffer, epochs: u64) {
        self.dropped = true;
        self.shared.metrics.count_dropped_subscriber();
        tracing::info!(epochs, "a reader of changes was too slow and is dropped");
        let why = format!("more than {} changed epochs behind", crate::serving::answer_hub::MAX_EPOCHS_BEHIND);
        events.add_event(None, "dropped", &Bytes::from(format!("{{\"why\":\"{why}; start anew\"}}")));
    }
}

/// The id that a reader saw last: this epoch, of that run.
fn parse_event_id(id: &str) -> Option<(u64, Epoch)> {
    let (run, epoch) = id.split_once('-')?;
    Some((u64::from_str_radix(run, 16).ok()?, epoch.parse().ok()?))
}

/// Events under way to one reader. Large ones are the same bytes for all readers; small ones are copied together.
#[derive(Default)]
struct EventBuffer {
    ready: VecDeque<Bytes>,
    text: String,
    bytes: usize,
}

impl EventBuffer {
    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds an event with its JSON.
    fn add_event(&mut self, id: Option<(u64, Epoch)>, name: &str, json: &Bytes) {
        let before = self.text.len();
        if let Some((run, epoch)) = id {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "id: {run:x}-{epoch}");
        }
        let _ = write!(self.text, "event: {name}\ndata: ");
        match std::str::from_utf8(json).ok().filter(|json| json.len() < MIN_SHARED_EVENT_BYTES) {
            Some(json) => self.text.push_str(json),
            None => {
                self.ready.push_back(Bytes::from(std::mem::take(&mut self.text)));
                self.ready.push_back(json.clone());
            }
        }
        self.text.push_str("\n\n");
        self.bytes += self.text.len().saturating_sub(before) + json.len();
    }

    fn into_chunks(mut self) -> VecDeque<Bytes> {
        if !self.text.is_empty() {
            self.ready.push_back(Bytes::from(self.text));
        }
        self.ready
    }
}

/// The answers as the first events of a stream. Readers that come in the same epoch share what is rendered.
async fn snapshot_events(
    shared: &SharedServingState,
    read: ReadConsistency,
    view: &AnswerView,
    anew: Option<&'static str>,
    answers: &[usize],
) -> Result<VecDeque<Bytes>, ApiError> {
    let mut events = EventBuffer::default();
    for (at, answer) in answers.iter().copied().enumerate() {
        let (key, rows) = (ReplyKey::SnapshotEvent(read, answer, anew), view.answer(answer).rows().len());
        let render = move |view: &AnswerView| render_snapshot(view, answer, anew);
        let json = shared.shared_replies.render_shared(key, view.clone(), rows, render).await?;
        let id = (at + 1 == answers.len()).then_some((shared.answer_hub.run_id(), view.epoch));
        events.add_event(id, "snapshot", &json);
    }
    Ok(events.into_chunks())
}

fn render_snapshot(view: &AnswerView, answer: usize, anew: Option<&'static str>) -> anyhow::Result<Vec<u8>> {
    let question = &questions::ALL[answer];
    let rows = NamedRows { columns: question.columns, rows: view.answer(answer).rows().collect() };
    let AnswerView { epoch, as_of, durable_epoch, .. } = *view;
    let columns = column_bodies(question);
    Ok(serde_json::to_vec(&SnapshotEvent { answer: question.name, epoch, as_of, durable_epoch, anew, columns, rows })?)
}
