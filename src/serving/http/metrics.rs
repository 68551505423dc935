//! `/metrics`: figures in the Prometheus text format.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use pinflow_dataflows::clean::FieldFault;
use pinflow_dataflows::record::Stream;
use pinflow_dataflows::rejection::RejectionReason;

use super::status::{self, RunPhase};
use super::{SharedServingState, graph, reply};
use crate::http::{ConnectionCounts, MetricsPage, cpu_seconds, resident_bytes};
use crate::serving::answer_hub::ReadConsistency;

/// What the server itself counts.
#[derive(Debug, Default)]
pub(super) struct ServingMetrics {
    pub(super) connections: Arc<ConnectionCounts>,
    dropped: AtomicU64,
    /// Requests by route and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
}

impl ServingMetrics {
    pub(super) fn reader_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// `route` is one of ours, never what was typed: else anybody could make as many of them as he likes.
    pub(super) fn request(&self, route: &str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route.to_owned(), status)).or_default() += 1;
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(shared): State<SharedServingState>) -> Response {
    let mut page = MetricsPage::default();
    run(&mut page, &shared);
    read(&mut page, &shared);
    written(&mut page, &shared);
    served(&mut page, &shared);
    reply::body(reply::PROMETHEUS_TYPE, reply::NO_STORE, page.text())
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

fn run(page: &mut MetricsPage, shared: &SharedServingState) {
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("pipeline", shared.pipeline.as_str())];
    page.metric("pinflow_info", "gauge", "What runs.").value(&labels, 1.0);
    let uptime = shared.started.elapsed().as_secs_f64();
    page.metric("pinflow_uptime_seconds", "gauge", "Since the start.").only(uptime);
    let (state, _) = status::state(shared);
    let mut metric = page.metric("pinflow_state", "gauge", "1 for the state that the run is in.");
    for (name, of) in
        [("rebuilding", RunPhase::Rebuilding), ("paused", RunPhase::Paused), ("running", RunPhase::Running)]
    {
        metric.value(&[("state", name)], flag(state == of));
    }
    if let Some(bytes) = resident_bytes() {
        page.metric("process_resident_memory_bytes", "gauge", "Resident memory.").only(bytes as f64);
    }
    if let Some(seconds) = cpu_seconds() {
        page.metric("process_cpu_seconds_total", "counter", "Processor time, user and system.").only(seconds);
    }
    let held = graph::held(&shared.gauges);
    let states = [("inds", held.inds()), ("rows", held.rows()), ("groups", held.groups())];
    let mut metric = page.metric("pinflow_state_records", "gauge", "What the graph holds, by kind.");
    for (kind, state) in states {
        metric.value(&[("state", kind)], state.records as f64);
    }
    let (texts, text_bytes) = pinflow_dataflows::symbol::held_texts();
    metric.value(&[("state", "texts")], texts as f64);
    let mut metric = page.metric("pinflow_state_bytes", "gauge", "What that takes, about, where it is counted.");
    for (kind, state) in states.into_iter().filter(|(_, state)| state.bytes > 0 || state.records == 0) {
        metric.value(&[("state", kind)], state.bytes as f64);
    }
    metric.value(&[("state", "texts")], text_bytes as f64);
    let freed = shared.gauges.texts_freed.load(Relaxed) as f64;
    page.metric("pinflow_texts_freed_total", "counter", "Texts freed because no row referred to them.").only(freed);
    let max = shared.gauges.memory_max.load(Relaxed);
    if max > 0 {
        page.metric("pinflow_memory_max_bytes", "gauge", "Resident memory above which sources pause.").only(max as f64);
    }
}

fn read(page: &mut MetricsPage, shared: &SharedServingState) {
    let gauges = &shared.gauges;
    let total = gauges.rows.load(Relaxed) as f64;
    page.metric("pinflow_records_total", "counter", "Rows read in this run, rejections included.").only(total);
    let bytes = gauges.bytes.load(Relaxed) as f64;
    page.metric("pinflow_read_bytes_total", "counter", "Bytes of messages read in this run.").only(bytes);
    let counts = gauges.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut metric = page.metric("pinflow_cleaned_rows_total", "counter", "Cleaned rows, by stream.");
    for stream in Stream::ALL {
        metric.value(&[("stream", &stream.to_string())], counts.rows(stream) as f64);
    }
    let mut metric = page.metric("pinflow_rejections_total", "counter", "Rejected rows, by reason.");
    for reason in RejectionReason::ALL {
        metric.value(&[("reason", reason.name())], counts.rejections(reason) as f64);
    }
    let mut metric =
        page.metric("pinflow_field_faults_total", "counter", "Fields that were null or unreadable and became null.");
    for fault in FieldFault::ALL {
        metric.value(&[("table", &fault.table().to_string()), ("column", fault.column())], counts.faults(fault) as f64);
    }
    let unknown = counts.unknown_fields as f64;
    page.metric("pinflow_unknown_fields_total", "counter", "Fields that no stream has.").only(unknown);
    let what = "Records whose time was more than an hour ahead, and became unknown.";
    page.metric("pinflow_times_ahead_total", "counter", what).only(counts.times_ahead as f64);
    let Some(view) = shared.answer_hub.view(ReadConsistency::Live) else { return };
    let mut metric = page.metric("pinflow_source_read_total", "counter", "Rows read, by partition.");
    for source in view.sources.iter() {
        metric.value(&[("source", &source.source)], source.read as f64);
    }
    let mut metric = page.metric("pinflow_source_lag_records", "gauge", "Records still to be read, where known.");
    for source in view.sources.iter() {
        if let Some(lag) = source.lag {
            metric.value(&[("source", &source.source)], lag as f64);
        }
    }
    let mut metric = page.metric("pinflow_source_lag_seconds", "gauge", "Age of the last record read, where behind.");
    for source in view.sources.iter() {
        if let Some(lag_ms) = source.lag_ms {
            metric.value(&[("source", &source.source)], lag_ms as f64 / 1e3);
        }
    }
    page.metric("pinflow_epoch", "gauge", "The last epoch that passed.").only(view.epoch as f64);
    let age = (Timestamp::now().as_millisecond() - view.as_of.as_millisecond()) as f64 / 1e3;
    page.metric("pinflow_epoch_age_seconds", "gauge", "Since the last epoch was closed.").only(age.max(0.0));
    let mut metric = page.metric("pinflow_answer_rows", "gauge", "Rows, by answer.");
    for (question, table) in view.answers() {
        metric.value(&[("answer", question.name)], table.rows().len() as f64);
    }
}

fn written(page: &mut MetricsPage, shared: &SharedServingState) {
    let gauges = &shared.gauges;
    let tables = gauges.tables.get().map(|tables| tables.borrow().clone()).unwrap_or_default();
    if tables.is_empty() {
        return;
    }
    let durable = gauges.durable_epoch.load(Relaxed);
    page.metric("pinflow_durable_epoch", "gauge", "The last epoch that is committed.").only(durable as f64);
    let behind = gauges.epoch.load(Relaxed).saturating_sub(durable);
    page.metric("pinflow_epoch_lag", "gauge", "Epochs that passed and are not committed.").only(behind as f64);
    let commits = *gauges.commits.lock().unwrap_or_else(PoisonError::into_inner);
    page.metric("pinflow_commit_seconds", "summary", "What making a window durable took.")
        .summary(commits.total.as_secs_f64(), commits.count);
    let last = commits.last.as_secs_f64();
    page.metric("pinflow_commit_last_seconds", "gauge", "What it took the last time.").only(last);
    let mut metric = page.metric("pinflow_table_rows", "gauge", "Rows, by table.");
    for table in &tables {
        metric.value(&[("table", table.table)], table.rows as f64);
    }
    let mut metric = page.metric("pinflow_table_files", "gauge", "Data files, by table.");
    for table in &tables {
        metric.value(&[("table", table.table)], table.files as f64);
    }
    let mut metric = page.metric("pinflow_table_version", "gauge", "The last version, by table.");
    for table in &tables {
        metric.value(&[("table", table.table)], table.version as f64);
    }
}

fn served(page: &mut MetricsPage, shared: &SharedServingState) {
    let metrics = &shared.metrics;
    let connections = metrics.connections.open.load(Relaxed) as f64;
    page.metric("pinflow_http_connections", "gauge", "Connections now.").only(connections);
    let refused = metrics.connections.refused.load(Relaxed) as f64;
    page.metric("pinflow_http_connections_refused_total", "counter", "Connections turned away.").only(refused);
    let held = shared.shared_replies.reserved_bytes() as f64;
    page.metric("pinflow_http_reply_bytes", "gauge", "Bytes of replies that are held for their readers now.")
        .only(held);
    let dropped = metrics.dropped.load(Relaxed) as f64;
    page.metric("pinflow_http_readers_dropped_total", "counter", "Readers of changes that were too slow.")
        .only(dropped);
    let mut metric = page.metric("pinflow_http_requests_total", "counter", "Requests, by route and status.");
    for ((route, status), count) in metrics.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        metric.value(&[("route", route), ("status", &status.to_string())], *count as f64);
    }
}
