//! `GET /status`, `/rejected`, `/healthz` and `/readyz`: the state of the run.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use pinflow_dataflows::clean::FieldFault;
use pinflow_dataflows::graph::{self, GraphOptions, RankLimit};
use pinflow_dataflows::rejection::RejectionReason;
use serde::Serialize;

use super::cluster_status::{ProcessStatus, process_list};
use super::graph::total_state_sizes;
use super::questions::QuestionStatus;
use super::reply::{self, ApiError};
use super::verification::LastVerification;
use super::{SharedServingState, answers, params};
use crate::answer_hub::ReadConsistency;
use crate::history::{MAX_SAMPLES, SAMPLE_INTERVAL_MS, StatusSample};
use crate::latency::LatencySummary;
use crate::render::{as_millis, as_millis_if_any};
use pinflow_connect::database_status::DatabaseReport;
use pinflow_connect::sink::TableStatus;
use pinflow_core::position::Epoch;
use pinflow_engine::{EngineMetrics, LoggedRejection, SourceStatus};
use pinflow_http::resident_bytes;

/// Default `limit` of `/rejected`.
const DEFAULT_REJECTIONS: usize = 50;
/// Largest `limit` of `/rejected`: as many as the engine keeps.
const MAX_REJECTIONS: usize = 256;

#[derive(Serialize)]
struct StatusBody<'a> {
    pipeline: &'a str,
    version: &'static str,
    uptime_seconds: f64,
    #[serde(serialize_with = "as_millis")]
    started_at: Timestamp,
    /// Now by the server's clock. Clients measure ages against it, because their own clock may differ.
    #[serde(serialize_with = "as_millis")]
    server_time: Timestamp,
    state: RunPhase,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    options: OptionsStatus,
    latency: LatencySummary,
    commits: Option<CommitStatus>,
    this_run: RunCounts,
    all_time: AllTimeCounts,
    sources: Vec<PartitionStatus<'a>>,
    tables: Vec<TableStatus>,
    /// Where the tables are. `None` without tables.
    tables_url: Option<&'a str>,
    /// Longer texts of stored rows count as null in the answers.
    text_bytes_max: usize,
    /// The processes of the cluster. Empty if there is only one.
    processes: Vec<ProcessStatus>,
    /// The databases that answers are written to.
    databases: Vec<DatabaseReport>,
    answers: Vec<AnswerStatus<'a>>,
    /// Questions that have no answer to show.
    questions: Vec<QuestionStatus<'a>>,
    /// What `pinflow verify` found last. `None` before.
    verification: Option<LastVerification>,
    state_sizes: StateSizesBody,
    memory: MemoryStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<HistoryBody>,
}

/// The `[questions]` options of this run.
#[derive(Serialize)]
struct OptionsStatus {
    duplicates: String,
    ties: String,
    top: serde_json::Value,
    median: String,
}

impl From<GraphOptions> for OptionsStatus {
    fn from(GraphOptions { duplicates, ties, top, median }: GraphOptions) -> OptionsStatus {
        let top = match top {
            RankLimit::Ranks(ranks) => ranks.get().into(),
            RankLimit::All => "all".into(),
        };
        OptionsStatus { duplicates: duplicates.to_string(), ties: ties.to_string(), top, median: median.to_string() }
    }
}

/// The commits of this run.
#[derive(Serialize)]
struct CommitStatus {
    count: u64,
    /// When the last one became durable. `None` before the first.
    #[serde(serialize_with = "as_millis_if_any")]
    last_at: Option<Timestamp>,
    /// Duration of the last one, seconds.
    last_seconds: f64,
}

/// Counts since the start of this process.
#[derive(Serialize)]
struct RunCounts {
    read: u64,
    written: u64,
    rejected: u64,
    redelivered: u64,
    /// Rejected rows by reason. Reasons without rows are omitted.
    rejections: BTreeMap<&'static str, u64>,
    /// Fields that could not be read and became null. Columns without any are omitted.
    field_faults: Vec<FieldFaultCount>,
    unknown_fields: u64,
    /// Records whose time is too far in the future, and counts as unknown.
    times_ahead: u64,
    /// Operations of questions that had no result, such as a division by zero, and gave null.
    question_faults: u64,
}

#[derive(Serialize)]
struct FieldFaultCount {
    table: String,
    column: &'static str,
    count: u64,
}

impl RunCounts {
    fn new(sources: &[SourceStatus], engine_metrics: &EngineMetrics) -> RunCounts {
        let counts = engine_metrics.counts.lock().clone();
        let rejections = RejectionReason::ALL.into_iter().map(|reason| (reason.name(), counts.rejections(reason)));
        let faults = FieldFault::ALL.into_iter().map(|fault| FieldFaultCount {
            table: fault.table().to_string(),
            column: fault.column(),
            count: counts.field_faults(fault),
        });
        let sum = |of: fn(&SourceStatus) -> u64| sources.iter().map(of).sum();
        RunCounts {
            read: sum(|source| source.read),
            written: sum(|source| source.written),
            rejected: sum(|source| source.rejected),
            redelivered: sum(|source| source.redelivered),
            rejections: rejections.filter(|(_, count)| *count > 0).collect(),
            field_faults: faults.filter(|fault| fault.count > 0).collect(),
            unknown_fields: counts.unknown_fields,
            times_ahead: counts.times_ahead,
            question_faults: engine_metrics.graph_sizes().faults,
        }
    }
}

/// Counts of all runs: what the tables contained at the start, plus this run. Without tables, this run only.
#[derive(Serialize)]
struct AllTimeCounts {
    read: u64,
    rejected: u64,
}

/// A partition with its measured rate.
#[derive(Serialize)]
struct PartitionStatus<'a> {
    #[serde(flatten)]
    status: &'a SourceStatus,
    read_all_time: u64,
    /// Average of the last few seconds. `None` until there are two samples.
    records_per_sec: Option<f64>,
}

impl PartitionStatus<'_> {
    fn new(status: &SourceStatus, records_per_sec: Option<f64>) -> PartitionStatus<'_> {
        PartitionStatus { status, read_all_time: status.read_all_time, records_per_sec }
    }
}

/// The samples of `?history=`.
#[derive(Serialize)]
struct HistoryBody {
    interval_ms: u64,
    samples: Vec<StatusSample>,
}

/// Sizes of the dataflow's state.
#[derive(Serialize)]
struct StateSizesBody {
    inds: graph::StateSize,
    rows: graph::StateSize,
    groups: graph::StateSize,
}

impl From<graph::StateSizes> for StateSizesBody {
    fn from(sizes: graph::StateSizes) -> StateSizesBody {
        StateSizesBody { inds: sizes.inds(), rows: sizes.rows(), groups: sizes.groups() }
    }
}

/// The phase of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RunPhase {
    Rebuilding,
    Paused,
    Running,
}

#[derive(Serialize)]
struct AnswerStatus<'a> {
    answer: &'a str,
    columns: Vec<answers::ColumnBody<'a>>,
    rows: usize,
}

#[derive(Serialize)]
struct MemoryStatus {
    resident_bytes: Option<u64>,
    /// Sources pause above it. Absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    /// Interned texts.
    symbols: usize,
    /// Approximate bytes of the interned texts.
    symbol_bytes: usize,
}

/// The phase of the run, and what it waits for.
pub(super) fn run_phase(shared: &SharedServingState) -> (RunPhase, Option<String>) {
    let engine_metrics = &shared.engine_metrics;
    let paused = engine_metrics.paused.get().and_then(|paused| paused.borrow().clone());
    let paused = paused.or_else(|| engine_metrics.peers.paused());
    // The engine knows a moment earlier that all is rebuilt, but a client that sees `running` may ask for answers at once.
    if !shared.answer_hub.is_open() {
        let (rebuilt, total) = (engine_metrics.rebuilt.load(Relaxed), engine_metrics.rebuild_total.load(Relaxed));
        return (RunPhase::Rebuilding, Some(format!("{rebuilt} of {total} rows are rebuilt")));
    }
    let over =
        engine_metrics.memory_is_over.load(Relaxed).then(|| "the memory to fall below [engine] memory_max".to_owned());
    match paused.or(over) {
        Some(why) => (RunPhase::Paused, Some(why)),
        None => (RunPhase::Running, engine_metrics.blocked_sources()),
    }
}

fn memory_status(shared: &SharedServingState) -> MemoryStatus {
    let max_bytes = Some(shared.engine_metrics.memory_max.load(Relaxed)).filter(|max| *max > 0);
    let (symbols, symbol_bytes) = pinflow_dataflows::symbol::held_texts();
    MemoryStatus { resident_bytes: resident_bytes(), max_bytes, symbols, symbol_bytes }
}

/// `GET /status`
pub(super) async fn get_status(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let samples = params::parse_number(query.as_deref(), "history", MAX_SAMPLES)?;
    let Some(view) = shared.answer_hub.current_view(ReadConsistency::Live) else { return Err(answers::not_ready()) };
    let (state, waits_for) = run_phase(&shared);
    let of = view.answers().map(|(question, table)| AnswerStatus {
        answer: &question.name,
        columns: answers::column_bodies(question),
        rows: table.row_count(),
    });
    let engine_metrics = &shared.engine_metrics;
    let this_run = RunCounts::new(&view.sources, engine_metrics);
    let prior = engine_metrics.prior.get().copied().unwrap_or_default();
    let all_time = AllTimeCounts { read: prior.read + this_run.read, rejected: prior.rejected + this_run.rejected };
    let rates = shared.history.partition_rates(&view.sources);
    let partition = |(status, records_per_sec)| PartitionStatus::new(status, records_per_sec);
    Ok(reply::json_response(&StatusBody {
        pipeline: &shared.pipeline,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: shared.started.elapsed().as_secs_f64(),
        started_at: shared.started_at,
        server_time: Timestamp::now(),
        state,
        waits_for,
        epoch: view.epoch,
        as_of: view.as_of,
        durable_epoch: view.durable_epoch,
        options: shared.options.into(),
        latency: shared.answer_hub.recent_latency(),
        commits: view.durable_epoch.map(|_| commit_status(engine_metrics)),
        this_run,
        all_time,
        sources: view.sources.iter().zip(rates).map(partition).collect(),
        tables: engine_metrics.tables.get().map(|tables| tables.borrow().clone()).unwrap_or_default(),
        tables_url: shared.tables_url.as_deref(),
        text_bytes_max: shared.text_bytes_max,
        processes: process_list(&shared.engine_metrics),
        databases: shared.databases.iter().map(|database| database.borrow().report()).collect(),
        answers: of.collect(),
        questions: view.question_states.iter().map(QuestionStatus::new).collect(),
        verification: shared.verification.lock().clone(),
        state_sizes: total_state_sizes(&shared.engine_metrics).into(),
        memory: memory_status(&shared),
        history: samples.map(|limit| HistoryBody {
            interval_ms: SAMPLE_INTERVAL_MS,
            samples: shared.history.newest_samples(limit),
        }),
    }))
}

fn commit_status(engine_metrics: &EngineMetrics) -> CommitStatus {
    let commits = *engine_metrics.commits.lock();
    CommitStatus { count: commits.count, last_at: commits.last_at, last_seconds: commits.last.as_secs_f64() }
}

#[derive(Serialize)]
struct RejectedRow {
    #[serde(serialize_with = "as_millis")]
    rejected_at: Timestamp,
    #[serde(rename = "_source")]
    source: String,
    #[serde(rename = "_position")]
    position: String,
    #[serde(rename = "_sub")]
    sub: u32,
    stream: Option<String>,
    reason: &'static str,
    detail: String,
    /// The start of the message, if it is UTF-8.
    payload: Option<String>,
    /// The start of the message, if it is not.
    payload_base64: Option<String>,
    payload_bytes: usize,
}

impl From<LoggedRejection> for RejectedRow {
    fn from(rejected: LoggedRejection) -> RejectedRow {
        let LoggedRejection { at, lineage, stream, reason, detail, payload, payload_bytes } = rejected;
        let (payload, payload_base64) = match payload_text(payload) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        RejectedRow {
            rejected_at: at,
            source: lineage.source.text().to_owned(),
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

/// The payload as text, without a character that was cut off at its end. `Err` if it is not UTF-8.
fn payload_text(payload: Vec<u8>) -> Result<String, Vec<u8>> {
    String::from_utf8(payload).or_else(|error| {
        let whole = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let cut =
            bytes.len() - whole < 4 && std::str::from_utf8(&bytes[whole..]).is_err_and(|e| e.error_len().is_none());
        if cut { Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned()) } else { Err(bytes) }
    })
}

/// `GET /rejected`
pub(super) async fn get_rejected(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let limit = params::parse_limit(query.as_deref(), DEFAULT_REJECTIONS, MAX_REJECTIONS)?;
    let newest = shared.engine_metrics.rejection_log.get().map(|log| log.newest_rejections(limit)).unwrap_or_default();
    Ok(reply::json_response(&newest.into_iter().map(RejectedRow::from).collect::<Vec<_>>()))
}

/// `GET /healthz`: the process is alive.
pub(super) async fn get_health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the answers can be read and rows can be written.
pub(super) async fn get_readiness(State(shared): State<SharedServingState>) -> Result<&'static str, ApiError> {
    match run_phase(&shared) {
        (RunPhase::Running, None) => Ok("ready\n"),
        (RunPhase::Running, Some(blocked)) => Err(ApiError::not_ready(format!("a source cannot be read: {blocked}"))),
        (RunPhase::Rebuilding, why) => {
            Err(ApiError::not_ready(format!("rebuilding the answers: {}", why.unwrap_or_default())))
        }
        // The reason may name files of this machine. `/status`, which needs a token, has it.
        (RunPhase::Paused, _) => Err(ApiError::not_ready("paused; /status has the reason")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_text_if_valid_utf8_up_to_a_cut_off_character() {
        assert_eq!(payload_text(b"{}".to_vec()).unwrap(), "{}");
        assert_eq!(payload_text("aé".as_bytes()[..2].to_vec()).unwrap(), "a");
        assert_eq!(payload_text(vec![b'a', 0xff, b'b']).unwrap_err(), [b'a', 0xff, b'b']);
        assert_eq!(payload_text(vec![b'a', 0xff]).unwrap_err(), [b'a', 0xff]);
    }
}
