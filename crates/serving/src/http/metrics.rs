//! `GET /metrics` of a run, in the Prometheus text format.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use parking_lot::Mutex;
use pinflow_dataflows::clean::FieldFault;
use pinflow_dataflows::record::Stream;
use pinflow_dataflows::rejection::RejectionReason;

use super::cluster_status::write_cluster_metrics;
use super::question_metrics::write_question_metrics;
use super::status::{self, RunPhase};
use super::{SharedServingState, graph, reply};
use crate::answer_hub::ReadConsistency;
use pinflow_connect::database_status::DatabaseState;
use pinflow_http::{ConnectionCounts, MetricsPage, write_process_metrics};

/// Counters of the HTTP server itself.
#[derive(Debug, Default)]
pub(super) struct ServingMetrics {
    pub(super) connections: Arc<ConnectionCounts>,
    dropped: AtomicU64,
    /// Requests by route and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
}

impl ServingMetrics {
    pub(super) fn count_dropped_subscriber(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Counts a request. `route` is a route pattern, never the path of the request: otherwise a client could create any
    /// number of label values.
    pub(super) fn count_request(&self, route: &str, status: u16) {
        let mut requests = self.requests.lock();
        *requests.entry((route.to_owned(), status)).or_default() += 1;
    }
}

/// `GET /metrics`
pub(super) async fn get_metrics(State(shared): State<SharedServingState>) -> Response {
    let mut page = MetricsPage::default();
    write_run_metrics(&mut page, &shared);
    write_source_metrics(&mut page, &shared);
    write_question_metrics(&mut page, &shared);
    write_table_metrics(&mut page, &shared);
    write_verification_metrics(&mut page, &shared);
    write_database_metrics(&mut page, &shared);
    write_cluster_metrics(&mut page, &shared.engine_metrics);
    write_serving_metrics(&mut page, &shared);
    reply::typed_response(reply::PROMETHEUS_TYPE, reply::NO_STORE, page.into_text())
}

fn flag_value(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

fn write_run_metrics(page: &mut MetricsPage, shared: &SharedServingState) {
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("pipeline", shared.pipeline.as_str())];
    page.start_metric("pinflow_info", "gauge", "What runs.").write_value(&labels, 1.0);
    let uptime = shared.started.elapsed().as_secs_f64();
    page.start_metric("pinflow_uptime_seconds", "gauge", "Since the start.").write_single(uptime);
    let (state, _) = status::run_phase(shared);
    let mut metric = page.start_metric("pinflow_state", "gauge", "1 for the state that the run is in.");
    for (name, of) in
        [("rebuilding", RunPhase::Rebuilding), ("paused", RunPhase::Paused), ("running", RunPhase::Running)]
    {
        metric.write_value(&[("state", name)], flag_value(state == of));
    }
    write_process_metrics(page);
    let held = graph::total_state_sizes(&shared.engine_metrics);
    let states = [("inds", held.inds()), ("rows", held.rows()), ("groups", held.groups())];
    let mut metric = page.start_metric("pinflow_state_records", "gauge", "What the graph holds, by kind.");
    for (kind, state) in states {
        metric.write_value(&[("state", kind)], state.records as f64);
    }
    let (texts, text_bytes) = pinflow_dataflows::symbol::held_texts();
    metric.write_value(&[("state", "texts")], texts as f64);
    let mut metric = page.start_metric("pinflow_state_bytes", "gauge", "What that takes, about, where it is counted.");
    for (kind, state) in states.into_iter().filter(|(_, state)| state.bytes > 0 || state.records == 0) {
        metric.write_value(&[("state", kind)], state.bytes as f64);
    }
    metric.write_value(&[("state", "texts")], text_bytes as f64);
    let freed = shared.engine_metrics.texts_freed.load(Relaxed) as f64;
    page.start_metric("pinflow_texts_freed_total", "counter", "Texts freed because no row referred to them.")
        .write_single(freed);
    let max = shared.engine_metrics.memory_max.load(Relaxed);
    if max > 0 {
        page.start_metric("pinflow_memory_max_bytes", "gauge", "Resident memory above which sources pause.")
            .write_single(max as f64);
    }
}

fn write_source_metrics(page: &mut MetricsPage, shared: &SharedServingState) {
    let engine_metrics = &shared.engine_metrics;
    let total = engine_metrics.rows.load(Relaxed) as f64;
    page.start_metric("pinflow_records_total", "counter", "Rows read in this run, rejections included.")
        .write_single(total);
    let bytes = engine_metrics.bytes.load(Relaxed) as f64;
    page.start_metric("pinflow_read_bytes_total", "counter", "Bytes of messages read in this run.").write_single(bytes);
    let counts = engine_metrics.counts.lock().clone();
    let mut metric = page.start_metric("pinflow_cleaned_rows_total", "counter", "Cleaned rows, by stream.");
    for stream in Stream::ALL {
        metric.write_value(&[("stream", &stream.to_string())], counts.rows(stream) as f64);
    }
    let mut metric = page.start_metric("pinflow_rejections_total", "counter", "Rejected rows, by reason.");
    for reason in RejectionReason::ALL {
        metric.write_value(&[("reason", reason.name())], counts.rejections(reason) as f64);
    }
    let mut metric = page.start_metric(
        "pinflow_field_faults_total",
        "counter",
        "Fields that were null or unreadable and became null.",
    );
    for fault in FieldFault::ALL {
        metric.write_value(
            &[("table", &fault.table().to_string()), ("column", fault.column())],
            counts.field_faults(fault) as f64,
        );
    }
    let unknown = counts.unknown_fields as f64;
    page.start_metric("pinflow_unknown_fields_total", "counter", "Fields that no stream has.").write_single(unknown);
    let what = "Records whose time was more than an hour ahead, and became unknown.";
    page.start_metric("pinflow_times_ahead_total", "counter", what).write_single(counts.times_ahead as f64);
    let faults = engine_metrics.graph_sizes().faults as f64;
    let what = "Operations of questions that had no result, such as a division by zero, and gave null.";
    page.start_metric("pinflow_question_faults_total", "counter", what).write_single(faults);
    let Some(view) = shared.answer_hub.current_view(ReadConsistency::Live) else { return };
    let mut metric = page.start_metric("pinflow_source_read_total", "counter", "Rows read, by partition.");
    for source in view.sources.iter() {
        metric.write_value(&[("source", &source.source)], source.read as f64);
    }
    let mut metric = page.start_metric("pinflow_source_lag_records", "gauge", "Records still to be read, where known.");
    for source in view.sources.iter() {
        if let Some(lag) = source.lag {
            metric.write_value(&[("source", &source.source)], lag as f64);
        }
    }
    let mut metric =
        page.start_metric("pinflow_source_lag_seconds", "gauge", "Age of the last record read, where behind.");
    for source in view.sources.iter() {
        if let Some(lag_ms) = source.lag_ms {
            metric.write_value(&[("source", &source.source)], lag_ms as f64 / 1e3);
        }
    }
    page.start_metric("pinflow_epoch", "gauge", "The last epoch that passed.").write_single(view.epoch as f64);
    let age = (Timestamp::now().as_millisecond() - view.as_of.as_millisecond()) as f64 / 1e3;
    page.start_metric("pinflow_epoch_age_seconds", "gauge", "Since the last epoch was closed.")
        .write_single(age.max(0.0));
    let what = "From an epoch's first record to its answers.";
    page.start_metric("pinflow_epoch_seconds", "histogram", what).write_histogram(&shared.answer_hub.epoch_times());
    let what = "From the close of an epoch until it has passed the graph on all workers.";
    page.start_metric("pinflow_graph_seconds", "histogram", what)
        .write_histogram(&shared.engine_metrics.graph_times.counts());
    let mut metric = page.start_metric("pinflow_answer_rows", "gauge", "Rows, by answer.");
    for (question, table) in view.answers() {
        metric.write_value(&[("answer", question.name.as_str())], table.row_count() as f64);
    }
}

fn write_table_metrics(page: &mut MetricsPage, shared: &SharedServingState) {
    let engine_metrics = &shared.engine_metrics;
    let tables = engine_metrics.tables.get().map(|tables| tables.borrow().clone()).unwrap_or_default();
    if tables.is_empty() {
        return;
    }
    let durable = engine_metrics.durable_epoch.load(Relaxed);
    page.start_metric("pinflow_durable_epoch", "gauge", "The last epoch that is committed.")
        .write_single(durable as f64);
    let behind = engine_metrics.epoch.load(Relaxed).saturating_sub(durable);
    page.start_metric("pinflow_epoch_lag", "gauge", "Epochs that passed and are not committed.")
        .write_single(behind as f64);
    let commits = *engine_metrics.commits.lock();
    page.start_metric("pinflow_commit_seconds", "histogram", "What making a window durable took.")
        .write_histogram(&engine_metrics.commit_times.counts());
    let last = commits.last.as_secs_f64();
    page.start_metric("pinflow_commit_last_seconds", "gauge", "What it took the last time.").write_single(last);
    let mut metric = page.start_metric("pinflow_table_rows", "gauge", "Rows, by table.");
    for table in &tables {
        metric.write_value(&[("table", table.table)], table.rows as f64);
    }
    let mut metric = page.start_metric("pinflow_table_files", "gauge", "Data files, by table.");
    for table in &tables {
        metric.write_value(&[("table", table.table)], table.files as f64);
    }
    let mut metric = page.start_metric("pinflow_table_version", "gauge", "The last version, by table.");
    for table in &tables {
        metric.write_value(&[("table", table.table)], table.version as f64);
    }
}

/// What `pinflow verify` found last. Without a result there are no such metrics: 0 different answers would be a claim.
fn write_verification_metrics(page: &mut MetricsPage, shared: &SharedServingState) {
    let Some(last) = shared.verification.lock().clone() else { return };
    let mut metric = page.start_metric("pinflow_verification_answers", "gauge", "Answers verified last, by result.");
    for (result, count) in [("equal", last.equal), ("different", last.different), ("skipped", last.skipped)] {
        metric.write_value(&[("result", result)], count as f64);
    }
    let age = (Timestamp::now().as_millisecond() - last.verified_at.as_millisecond()) as f64 / 1e3;
    page.start_metric("pinflow_verification_age_seconds", "gauge", "Since the last verification.")
        .write_single(age.max(0.0));
    let what = "What the last verification took.";
    page.start_metric("pinflow_verification_last_seconds", "gauge", what).write_single(last.seconds);
}

fn write_database_metrics(page: &mut MetricsPage, shared: &SharedServingState) {
    let states: Vec<DatabaseState> = shared.databases.iter().map(|database| database.borrow().clone()).collect();
    if states.is_empty() {
        return;
    }
    let mut write = |name: &'static str, kind: &'static str, what: &'static str, value: fn(&DatabaseState) -> f64| {
        let mut metric = page.start_metric(name, kind, what);
        for state in &states {
            metric.write_value(&[("database", state.database)], value(state));
        }
    };
    let what = "1 if the last attempt to write answers to the database succeeded.";
    write("pinflow_database_connected", "gauge", what, |state| flag_value(state.is_connected));
    let what = "The epoch that the tables in the database have. 0 before the first write.";
    write("pinflow_database_epoch", "gauge", what, |state| state.epoch.unwrap_or_default() as f64);
    let what = "For how long there have been answers that are not in the database.";
    write("pinflow_database_lag_seconds", "gauge", what, DatabaseState::lag_seconds);
    let what = "Transactions that wrote answers.";
    write("pinflow_database_writes_total", "counter", what, |state| state.writes as f64);
    let what = "Writes of answers that failed.";
    write("pinflow_database_failures_total", "counter", what, |state| state.failures as f64);
    let what = "Rows inserted into tables of answers and of their changes.";
    write("pinflow_database_rows_inserted_total", "counter", what, |state| state.rows_inserted as f64);
    let what = "Rows deleted from tables of answers.";
    write("pinflow_database_rows_deleted_total", "counter", what, |state| state.rows_deleted as f64);
    let what = "Values that the database cannot hold, and that were replaced.";
    write("pinflow_database_values_replaced_total", "counter", what, |state| state.values_replaced as f64);
    let what = "Tables of answers that cannot be written.";
    write("pinflow_database_tables_refused", "gauge", what, |state| state.refused.len() as f64);
}

fn write_serving_metrics(page: &mut MetricsPage, shared: &SharedServingState) {
    let metrics = &shared.metrics;
    write_connection_metrics(page, metrics);
    let held = shared.shared_replies.reserved_bytes() as f64;
    page.start_metric("pinflow_http_reply_bytes", "gauge", "Bytes of replies that are held for their readers now.")
        .write_single(held);
    let dropped = metrics.dropped.load(Relaxed) as f64;
    page.start_metric("pinflow_http_readers_dropped_total", "counter", "Readers of changes that were too slow.")
        .write_single(dropped);
}

/// Writes the metrics of connections and requests.
pub(super) fn write_connection_metrics(page: &mut MetricsPage, metrics: &ServingMetrics) {
    let connections = metrics.connections.open.load(Relaxed) as f64;
    page.start_metric("pinflow_http_connections", "gauge", "Connections now.").write_single(connections);
    let refused = metrics.connections.refused.load(Relaxed) as f64;
    page.start_metric("pinflow_http_connections_refused_total", "counter", "Connections rejected over the limits.")
        .write_single(refused);
    let mut metric = page.start_metric("pinflow_http_requests_total", "counter", "Requests, by route and status.");
    for ((route, status), count) in metrics.requests.lock().iter() {
        metric.write_value(&[("route", route), ("status", &status.to_string())], *count as f64);
    }
}
