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

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
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

use super::answers::{columns, question, view};
use super::reply::{self, Fault};
use super::{Shared, blocking, params};
use crate::position::Epoch;
use crate::serving::board::{Passed, Start};
use crate::serving::render::{NamedRows, as_millis};
use crate::serving::view::View;

/// A sign of life where nothing changes, so that neither side takes the other for dead.
const ALIVE: Duration = Duration::from_secs(15);
/// What is written at once, about.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Serialize)]
struct Snapshot<'a> {
    answer: &'a str,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anew: Option<&'static str>,
    columns: Vec<super::answers::Named>,
    rows: NamedRows<'a>,
}

/// `GET /changes`: of all answers.
pub(super) async fn all(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    follow(shared, query.as_deref(), &headers, (0..questions::ALL.len()).collect()).await
}

/// `GET /answers/{name}/changes`
pub(super) async fn one(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let (at, _) = question(&name)?;
    follow(shared, query.as_deref(), &headers, vec![at]).await
}

async fn follow(
    shared: Shared,
    query: Option<&str>,
    headers: &HeaderMap,
    answers: Vec<usize>,
) -> Result<Response, Fault> {
    let read = params::followed(query)?;
    view(&shared.board, read)?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(parse_id);
    let following = shared.board.follow(read, seen).ok_or_else(super::answers::not_open)?;
    let run = shared.board.run();
    let first = match following.start {
        Start::Resumed(missed) => {
            let mut text = String::new();
            for passed in &missed {
                write(&mut text, run, passed, &answers);
            }
            text
        }
        Start::Anew { view, why } => {
            let rows = answers.iter().map(|answer| view.answer(*answer).rows().len()).sum();
            let of = answers.clone();
            blocking(rows, move || snapshot(run, &view, why, &of)).await?
        }
    };
    let reader = Reader { run, answers, next: following.next, over: shared.over.clone(), dropped: false, shared };
    // An empty chunk would end the body.
    let first = if first.is_empty() { ":\n\n".to_owned() } else { first };
    let stream = unfold((Some(Bytes::from(first)), reader), |(first, mut reader)| async {
        let chunk = match first {
            Some(first) => first,
            None => reader.chunk().await?,
        };
        Some((Ok::<_, std::convert::Infallible>(chunk), (None, reader)))
    });
    Ok(reply::body(reply::EVENTS, reply::NO_STORE, Body::from_stream(stream)))
}

/// One reader, in its place of the stream.
struct Reader {
    run: u64,
    answers: Vec<usize>,
    next: broadcast::Receiver<Arc<Passed>>,
    /// Turns `true` when serving ends.
    over: watch::Receiver<bool>,
    dropped: bool,
    shared: Shared,
}

impl Reader {
    /// What is to be written next; `None` at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        if self.dropped {
            return None;
        }
        let mut text = String::new();
        while text.is_empty() {
            let passed = tokio::select! {
                passed = self.next.recv() => passed,
                () = tokio::time::sleep(ALIVE) => return Some(Bytes::from_static(b":\n\n")),
                _ = self.over.wait_for(|over| *over) => return None,
            };
            match passed {
                Ok(passed) => write(&mut text, self.run, &passed, &self.answers),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(epochs)) => text = self.drop_it(epochs),
            }
        }
        while text.len() < CHUNK_BYTES && !self.dropped {
            match self.next.try_recv() {
                Ok(passed) => write(&mut text, self.run, &passed, &self.answers),
                // The next call meets it again.
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(epochs)) => {
                    text.push_str(&self.drop_it(epochs));
                    break;
                }
            }
        }
        Some(Bytes::from(text))
    }

    /// The last word to a reader that is too slow.
    fn drop_it(&mut self, epochs: u64) -> String {
        self.dropped = true;
        self.shared.tallies.reader_dropped();
        tracing::info!(epochs, "a reader of changes was too slow and is dropped");
        let why = format!("more than {} changed epochs behind", crate::serving::board::BEHIND_MAX);
        format!("event: dropped\ndata: {{\"why\":\"{why}; start anew\"}}\n\n")
    }
}

/// The id that a reader saw last: this epoch, of that run.
fn parse_id(id: &str) -> Option<(u64, Epoch)> {
    let (run, epoch) = id.split_once('-')?;
    Some((u64::from_str_radix(run, 16).ok()?, epoch.parse().ok()?))
}

fn write(text: &mut String, run: u64, passed: &Passed, answers: &[usize]) {
    let mut events = answers.iter().filter_map(|answer| passed.json(*answer)).peekable();
    while let Some(json) = events.next() {
        event(text, events.peek().is_none().then_some((run, passed.epoch)), "change", json);
    }
}

fn event(text: &mut String, id: Option<(u64, Epoch)>, name: &str, data: &str) {
    if let Some((run, epoch)) = id {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "id: {run:x}-{epoch}");
    }
    let _ = write!(text, "event: {name}\ndata: {data}\n\n");
}

fn snapshot(run: u64, view: &View, anew: Option<&'static str>, answers: &[usize]) -> anyhow::Result<String> {
    let mut text = String::new();
    for (at, answer) in answers.iter().enumerate() {
        let question = &questions::ALL[*answer];
        let rows = NamedRows { columns: question.columns, rows: view.answer(*answer).rows().collect() };
        let View { epoch, as_of, durable_epoch, .. } = *view;
        let columns = columns(question);
        let json = Snapshot { answer: question.name, epoch, as_of, durable_epoch, anew, columns, rows };
        let id = (at + 1 == answers.len()).then_some((run, epoch));
        event(&mut text, id, "snapshot", &serde_json::to_string(&json)?);
    }
    Ok(text)
}
