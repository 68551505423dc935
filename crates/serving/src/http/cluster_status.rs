//! The processes of a cluster in `/status` and `/metrics`.

use std::sync::atomic::Ordering::Relaxed;

use pinflow_engine::{EngineMetrics, PeerFigures};
use pinflow_http::{MetricsPage, resident_bytes};
use serde::Serialize;
use serde_json::{Value, json};

use super::openapi::{
    array_schema, count_schema, object_schema, optional_count_schema, optional_text_schema, text_schema,
    with_description,
};

/// A process of the cluster, as `/status` shows it.
#[derive(Serialize)]
pub(super) struct ProcessStatus {
    process: usize,
    address: String,
    is_leader: bool,
    /// Worker threads that have started.
    workers: usize,
    /// Rows that it has parsed in this run.
    read: u64,
    /// Resident memory, bytes. `None` before it is known.
    resident_bytes: Option<u64>,
    /// For how long nothing was heard of it, seconds. 0 for the leader.
    silent_seconds: f64,
    /// What its writer waits for.
    waits_for: Option<String>,
}

/// The processes of a run. Empty if it has only one.
pub(super) fn process_list(engine_metrics: &EngineMetrics) -> Vec<ProcessStatus> {
    let mut figures = engine_metrics.peers.figures();
    let read_by_others: u64 = figures.iter().skip(1).map(|figures| figures.rows).sum();
    if let Some(leader) = figures.first_mut() {
        leader.rows = engine_metrics.rows.load(Relaxed).saturating_sub(read_by_others);
        leader.resident = resident_bytes().unwrap_or(0);
    }
    figures.into_iter().map(process_status).collect()
}

fn process_status(figures: PeerFigures) -> ProcessStatus {
    let PeerFigures { process, address, workers, rows, resident, paused, heard_at } = figures;
    let is_leader = process == 0;
    ProcessStatus {
        process,
        address,
        is_leader,
        workers,
        read: rows,
        resident_bytes: (resident > 0).then_some(resident),
        silent_seconds: if is_leader { 0.0 } else { heard_at.elapsed().as_secs_f64() },
        waits_for: paused,
    }
}

/// Schema of the processes of a cluster.
pub(super) fn processes_schema() -> Value {
    let process = object_schema([
        ("process", count_schema()),
        ("address", text_schema()),
        ("is_leader", json!({ "type": "boolean" })),
        ("workers", count_schema()),
        ("read", count_schema()),
        ("resident_bytes", optional_count_schema()),
        ("silent_seconds", json!({ "type": "number", "minimum": 0 })),
        ("waits_for", optional_text_schema()),
    ]);
    with_description(array_schema(&process), "Those of the cluster; empty if there is only one")
}

/// Writes the metrics of a cluster. A run of one process has none.
pub(super) fn write_cluster_metrics(page: &mut MetricsPage, engine_metrics: &EngineMetrics) {
    let processes = process_list(engine_metrics);
    if processes.is_empty() {
        return;
    }
    let mut write = |name: &'static str, kind: &'static str, what: &'static str, value: fn(&ProcessStatus) -> f64| {
        let mut metric = page.start_metric(name, kind, what);
        for status in &processes {
            metric.write_value(&[("process", &status.process.to_string())], value(status));
        }
    };
    let what = "Worker threads that have started, by process of the cluster.";
    write("pinflow_cluster_workers", "gauge", what, |status| status.workers as f64);
    let what = "Rows parsed, by process of the cluster.";
    write("pinflow_cluster_read_total", "counter", what, |status| status.read as f64);
    let what = "Resident memory, by process of the cluster. 0 if it is not known.";
    write("pinflow_cluster_resident_bytes", "gauge", what, |status| status.resident_bytes.unwrap_or(0) as f64);
    let what = "For how long nothing was heard of a process of the cluster.";
    write("pinflow_cluster_silent_seconds", "gauge", what, |status| status.silent_seconds);
    let what = "1 if a process of the cluster cannot write its files at the moment.";
    write("pinflow_cluster_paused", "gauge", what, |status| f64::from(u8::from(status.waits_for.is_some())));
}
