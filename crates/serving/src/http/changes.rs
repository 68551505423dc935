//! `GET /changes` and `GET /answers/{name}/changes`: a snapshot of the answers, then every change, as Server-Sent Events.
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
//! A question that is added or replaced meanwhile begins with a snapshot. `removed` says that one is gone. It is the last
//! event of a stream of that answer alone.
//!
//! A client that reconnects with `Last-Event-ID` gets the changes since that epoch. If they are no longer kept it gets a
//! new snapshot, whose field `anew` says why.
//!
//! An epoch may have several events. Only its last one carries the id, so a client that is disconnected in the middle of an
//! epoch gets the whole epoch again.

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
use pinflow_dataflows::questions::{QuestionId, QuestionName, QuestionSet};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

use super::answers::{ColumnBody, OrderKeyBody, column_bodies, find_question, order_bodies, readable_view};
use super::reply::{self, ApiError};
use super::shared_replies::ReplyKey;
use super::{SharedServingState, params};
use crate::answer_hub::{EpochChanges, ReadConsistency, SubscriptionStart};
use crate::answer_view::AnswerView;
use crate::render::{NamedRows, as_millis};
use pinflow_core::position::Epoch;

/// Time without changes after which a keep-alive comment is sent.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// About how many bytes are written at once.
const TARGET_CHUNK_BYTES: usize = 64 << 10;
/// Events of at least this size are shared by all subscribers. Copying smaller ones together is cheaper.
const MIN_SHARED_EVENT_BYTES: usize = 8 << 10;
/// A comment line of the event stream.
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
    columns: Vec<ColumnBody<'a>>,
    order: Vec<OrderKeyBody<'a>>,
    rows: NamedRows<'a>,
}

/// `GET /changes`
pub(super) async fn stream_all_changes(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    stream_changes(shared, query.as_deref(), &headers, None).await
}

/// `GET /answers/{name}/changes`
pub(super) async fn stream_answer_changes(
    State(shared): State<SharedServingState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    stream_changes(shared, query.as_deref(), &headers, Some(&name)).await
}

async fn stream_changes(
    shared: SharedServingState,
    query: Option<&str>,
    headers: &HeaderMap,
    name: Option<&str>,
) -> Result<Response, ApiError> {
    let read = params::parse_change_params(query)?;
    let view = readable_view(&shared.answer_hub, read)?;
    let answer = match name {
        Some(name) => Some(find_question(&view, name)?.0),
        None => None,
    };
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(parse_event_id);
    let following = shared.answer_hub.subscribe_from(read, seen).ok_or_else(super::answers::not_ready)?;
    let run = shared.answer_hub.run_id();
    let (first, missed) = match following.start {
        // Clients wait for a first byte, so never start with nothing.
        SubscriptionStart::Resumed(missed) => (VecDeque::from([KEEP_ALIVE_COMMENT]), missed.into()),
        SubscriptionStart::Snapshot { view, why } => {
            (snapshot_events(&shared, read, &view, why, answer).await?, VecDeque::new())
        }
    };
    let shutdown = shared.shutdown.clone();
    let reader = ChangeSubscriber {
        run,
        answer,
        missed,
        next: following.next,
        shutdown,
        dropped: false,
        is_over: false,
        shared,
    };
    let stream = unfold((first, reader), |(mut ready, mut reader)| async {
        if ready.is_empty() {
            ready = reader.read_events().await?;
        }
        let chunk = ready.pop_front()?;
        Some((chunk, (ready, reader)))
    });
    Ok(reply::event_stream(stream))
}

/// One subscriber's position in the stream.
struct ChangeSubscriber {
    run: u64,
    /// The only answer whose changes it gets. `None` for those of all questions, also of questions that are added later.
    /// A question that replaces it takes its place.
    answer: Option<QuestionId>,
    /// Epochs that completed while the client was disconnected.
    missed: VecDeque<Arc<EpochChanges>>,
    next: broadcast::Receiver<Arc<EpochChanges>>,
    /// Turns `true` at shutdown.
    shutdown: watch::Receiver<bool>,
    dropped: bool,
    /// Whether the only answer that it gets is gone.
    is_over: bool,
    shared: SharedServingState,
}

impl ChangeSubscriber {
    /// Waits for the next chunks to write, at least one. `None` at the end of the stream.
    async fn read_events(&mut self) -> Option<VecDeque<Bytes>> {
        let mut events = EventBuffer::default();
        self.add_missed(&mut events);
        while events.is_empty() {
            if self.dropped || self.is_over {
                return None;
            }
            let passed = tokio::select! {
                passed = self.next.recv() => passed,
                () = tokio::time::sleep(KEEP_ALIVE_INTERVAL) => return Some(VecDeque::from([KEEP_ALIVE_COMMENT])),
                _ = self.shutdown.wait_for(|shutdown| *shutdown) => return None,
            };
            match passed {
                Ok(passed) => self.add_changes(&mut events, &passed),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(epochs)) => self.drop_subscriber(&mut events, epochs),
            }
        }
        self.add_ready(&mut events);
        Some(events.into_chunks())
    }

    fn add_missed(&mut self, events: &mut EventBuffer) {
        while events.bytes < TARGET_CHUNK_BYTES
            && !self.is_over
            && let Some(passed) = self.missed.pop_front()
        {
            self.add_changes(events, &passed);
        }
    }

    /// Adds epochs that are ready, without waiting.
    fn add_ready(&mut self, events: &mut EventBuffer) {
        while events.bytes < TARGET_CHUNK_BYTES && self.missed.is_empty() && !self.dropped && !self.is_over {
            match self.next.try_recv() {
                Ok(passed) => self.add_changes(events, &passed),
                // If closed, the next `recv` ends the stream.
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(epochs)) => self.drop_subscriber(events, epochs),
            }
        }
    }

    fn add_changes(&mut self, events: &mut EventBuffer, passed: &EpochChanges) {
        let mut changes = Vec::new();
        let names = |id: QuestionId| passed.questions.get(id).map(|question| &question.name);
        let is_replaced = |name: &QuestionName| passed.added.iter().any(|id| names(*id) == Some(name));
        for (id, name) in &passed.removed {
            if self.answer == Some(*id) {
                // It goes on with the question that takes the name over, if there is one.
                let replacing = passed.added.iter().copied().find(|added| names(*added) == Some(name));
                self.is_over = replacing.is_none();
                self.answer = Some(replacing.unwrap_or(*id));
            }
            if !is_replaced(name) && self.answer.is_none_or(|answer| answer == *id) {
                changes.push(("removed", removed_json(name, passed.epoch)));
            }
        }
        for id in asked_ids(&passed.questions, self.answer) {
            changes.extend(answer_event(passed, id));
        }
        let count = changes.len();
        for (at, (kind, json)) in changes.into_iter().enumerate() {
            events.add_event((at + 1 == count).then_some((self.run, passed.epoch)), kind, &json);
        }
    }

    /// Sends `dropped`, the last event of a subscriber that is too slow.
    fn drop_subscriber(&mut self, events: &mut EventBuffer, epochs: u64) {
        self.dropped = true;
        self.shared.metrics.count_dropped_subscriber();
        tracing::info!(epochs, "a subscriber of changes was too slow and is dropped");
        let why = format!("more than {} changed epochs behind", crate::answer_hub::MAX_EPOCHS_BEHIND);
        events.add_event(
            None,
            "dropped",
            &Bytes::from(format!("{{\"why\":\"{why}; reconnect to start from a snapshot\"}}")),
        );
    }
}

/// What an epoch has of an answer: all rows of a new one, or the changes.
fn answer_event(passed: &EpochChanges, id: QuestionId) -> Option<(&'static str, Bytes)> {
    if !passed.added.contains(&id) {
        return Some(("change", passed.answer_json(id)?.clone()));
    }
    let json = passed.render_once(id, || {
        let (question, table, durable_epoch) = passed.first_answer(id)?;
        let rows = NamedRows { columns: question.columns(), rows: table.rows().collect() };
        let event = SnapshotEvent {
            answer: &question.name,
            epoch: passed.epoch,
            as_of: passed.as_of,
            durable_epoch,
            anew: None,
            columns: column_bodies(question),
            order: order_bodies(question),
            rows,
        };
        serde_json::to_vec(&event).ok().map(Bytes::from)
    });
    Some(("snapshot", json?.clone()))
}

/// Data of the event that says that an answer is gone. Names need no escaping.
fn removed_json(name: &QuestionName, epoch: Epoch) -> Bytes {
    Bytes::from(format!("{{\"answer\":\"{name}\",\"epoch\":{epoch}}}"))
}

/// The questions that a subscriber asked for.
fn asked_ids(questions: &QuestionSet, answer: Option<QuestionId>) -> Vec<QuestionId> {
    match answer {
        Some(id) => vec![id],
        None => questions.iter().map(|(id, _)| id).collect(),
    }
}

/// Parses an event id into run and epoch.
fn parse_event_id(id: &str) -> Option<(u64, Epoch)> {
    let (run, epoch) = id.split_once('-')?;
    Some((u64::from_str_radix(run, 16).ok()?, epoch.parse().ok()?))
}

/// Events to be written to one subscriber. Large events share their bytes with other subscribers, small ones are copied
/// together.
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

    /// Appends an event. Only the last event of an epoch gets an `id`.
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

/// The answers as the first events of a stream. Clients that connect in the same epoch share the rendered bytes.
async fn snapshot_events(
    shared: &SharedServingState,
    read: ReadConsistency,
    view: &AnswerView,
    anew: Option<&'static str>,
    answer: Option<QuestionId>,
) -> Result<VecDeque<Bytes>, ApiError> {
    let mut events = EventBuffer::default();
    let mut answers = asked_ids(view.questions(), answer);
    // The question can have been removed since it was found.
    answers.retain(|id| view.answer(*id).is_some());
    for (at, answer) in answers.iter().copied().enumerate() {
        let (key, rows) = (ReplyKey::SnapshotEvent(read, answer, anew), view.row_count(Some(answer)));
        let render = move |view: &AnswerView| render_snapshot(view, answer, anew);
        let json = shared.shared_replies.render_shared(key, view.clone(), rows, render).await?;
        let id = (at + 1 == answers.len()).then_some((shared.answer_hub.run_id(), view.epoch));
        events.add_event(id, "snapshot", &json);
    }
    Ok(events.into_chunks())
}

fn render_snapshot(view: &AnswerView, answer: QuestionId, anew: Option<&'static str>) -> anyhow::Result<Vec<u8>> {
    let (question, table) = view.answer(answer).ok_or_else(|| anyhow::anyhow!("the view has no answer {answer}"))?;
    let rows = NamedRows { columns: question.columns(), rows: table.rows().collect() };
    let AnswerView { epoch, as_of, durable_epoch, .. } = *view;
    let (columns, order) = (column_bodies(question), order_bodies(question));
    let event = SnapshotEvent { answer: &question.name, epoch, as_of, durable_epoch, anew, columns, order, rows };
    Ok(serde_json::to_vec(&event)?)
}
