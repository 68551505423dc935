//! How the run is doing: `/status`, `/rejected`, `/healthz`, `/readyz`.

use std::sync::atomic::Ordering::Relaxed;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use pinflow_dataflows::{graph, questions};
use serde::Serialize;

use super::graph::held;
use super::reply::{self, Fault};
use super::{Shared, answers, params};
use crate::engine::{Rejected, SourceStatus};
use crate::http::resident_bytes;
use crate::position::Epoch;
use crate::serving::board::Read;
use crate::serving::render::as_millis;
use crate::sinks::TableStatus;

/// Rejections that are shown unless more are asked for.
const REJECTED: usize = 50;
/// As many as are kept.
const REJECTED_MAX: usize = 256;

#[derive(Serialize)]
struct Status<'a> {
    pipeline: &'a str,
    version: &'static str,
    uptime_seconds: f64,
    state: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    sources: &'a [SourceStatus],
    tables: Vec<TableStatus>,
    answers: Vec<AnswerStatus>,
    state_sizes: Held,
    memory: Memory,
}

/// What the graph holds.
#[derive(Serialize)]
struct Held {
    inds: graph::State,
    rows: graph::State,
    groups: graph::State,
}

impl From<graph::Sizes> for Held {
    fn from(sizes: graph::Sizes) -> Held {
        Held { inds: sizes.inds(), rows: sizes.rows(), groups: sizes.groups() }
    }
}

/// What the run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    Rebuilding,
    Paused,
    Running,
}

#[derive(Serialize)]
struct AnswerStatus {
    answer: &'static str,
    columns: Vec<answers::Named>,
    rows: usize,
}

#[derive(Serialize)]
struct Memory {
    resident_bytes: Option<u64>,
    /// Different texts that are kept.
    symbols: usize,
}

/// What the run is at, and what it waits for.
pub(super) fn state(shared: &Shared) -> (Phase, Option<String>) {
    let gauges = &shared.gauges;
    let paused = gauges.paused.get().and_then(|paused| paused.borrow().clone());
    if !gauges.open.load(Relaxed) {
        let (rebuilt, total) = (gauges.rebuilt.load(Relaxed), gauges.rebuild_total.load(Relaxed));
        return (Phase::Rebuilding, Some(format!("{rebuilt} of {total} rows are read back")));
    }
    match paused {
        Some(why) => (Phase::Paused, Some(why)),
        None => (Phase::Running, None),
    }
}

/// `GET /status`
pub(super) async fn status(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    params::none(query.as_deref())?;
    let Some(view) = shared.board.view(Read::Live) else { return Err(answers::not_open()) };
    let (state, waits_for) = state(&shared);
    let of = questions::ALL.iter().enumerate().map(|(at, question)| AnswerStatus {
        answer: question.name,
        columns: answers::columns(question),
        rows: view.answer(at).rows().len(),
    });
    Ok(reply::json(&Status {
        pipeline: &shared.pipeline,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: shared.started.elapsed().as_secs_f64(),
        state,
        waits_for,
        epoch: view.epoch,
        as_of: view.as_of,
        durable_epoch: view.durable_epoch,
        sources: &view.sources,
        tables: shared.gauges.tables.get().map(|tables| tables.borrow().clone()).unwrap_or_default(),
        answers: of.collect(),
        state_sizes: held(&shared.gauges).into(),
        memory: Memory { resident_bytes: resident_bytes(), symbols: pinflow_dataflows::symbol::count() },
    }))
}

#[derive(Serialize)]
struct RejectedRow {
    #[serde(serialize_with = "as_millis")]
    rejected_at: Timestamp,
    #[serde(rename = "_source")]
    source: &'static str,
    #[serde(rename = "_position")]
    position: String,
    #[serde(rename = "_sub")]
    sub: u32,
    stream: Option<String>,
    reason: &'static str,
    detail: String,
    /// The head of the message, if it is text.
    payload: Option<String>,
    /// The head of the message, if it is not.
    payload_base64: Option<String>,
    payload_bytes: usize,
}

impl From<Rejected> for RejectedRow {
    fn from(rejected: Rejected) -> RejectedRow {
        let Rejected { at, lineage, stream, reason, detail, payload, payload_bytes } = rejected;
        let (payload, payload_base64) = match readable(payload) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        RejectedRow {
            rejected_at: at,
            source: lineage.source.text(),
            position: lineage.position.to_string(),
            sub: lineage.sub,
            stream: stream.map(|stream| stream.to_string()),
            reason: reason.name(),
            detail,
            payload,
            payload_base64,
            payload_bytes,
        }
    }
}

/// The text; a character that was cut in two at the end is left out.
fn readable(payload: Vec<u8>) -> Result<String, Vec<u8>> {
    String::from_utf8(payload).or_else(|error| {
        let whole = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let cut =
            bytes.len() - whole < 4 && std::str::from_utf8(&bytes[whole..]).is_err_and(|e| e.error_len().is_none());
        if cut { Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned()) } else { Err(bytes) }
    })
}

/// `GET /rejected`
pub(super) async fn rejected(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let limit = params::limit(query.as_deref(), REJECTED, REJECTED_MAX)?;
    let newest = shared.gauges.recent.get().map(|recent| recent.newest(limit)).unwrap_or_default();
    Ok(reply::json(&newest.into_iter().map(RejectedRow::from).collect::<Vec<_>>()))
}

/// `GET /healthz`: the process lives and answers.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the answers can be read, and rows can be written.
pub(super) async fn ready(State(shared): State<Shared>) -> Result<&'static str, Fault> {
    match state(&shared) {
        (Phase::Running, _) => Ok("ready\n"),
        (Phase::Rebuilding, why) => Err(Fault::not_yet(format!("rebuilding the answers: {}", why.unwrap_or_default()))),
        // What it waits for names files of this machine: /status says it to those who may know.
        (Phase::Paused, _) => Err(Fault::not_yet("paused: the tables cannot be written; /status says why")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_text_where_it_can_be() {
        assert_eq!(readable(b"{}".to_vec()).unwrap(), "{}");
        assert_eq!(readable("aé".as_bytes()[..2].to_vec()).unwrap(), "a");
        assert_eq!(readable(vec![b'a', 0xff, b'b']).unwrap_err(), [b'a', 0xff, b'b']);
        assert_eq!(readable(vec![b'a', 0xff]).unwrap_err(), [b'a', 0xff]);
    }
}
