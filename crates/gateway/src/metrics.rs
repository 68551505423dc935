//! Counters of the gateway, and `GET /metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use parking_lot::Mutex;

use super::SharedGatewayState;
use pinflow_http::{ConnectionCounts, MetricsPage, NO_STORE, PROMETHEUS_TYPE, typed_response, write_process_metrics};

/// Counters of the gateway.
#[derive(Debug, Default)]
pub(super) struct GatewayMetrics {
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) topics: RecordCounts,
    pub(super) streams: RecordCounts,
    /// Bytes of request bodies.
    pub(super) bytes: AtomicU64,
    /// Count and total duration of requests by route and status.
    requests: Mutex<BTreeMap<(String, u16), (u64, Duration)>>,
}

/// Counts of records of `/topics` or `/streams`.
#[derive(Debug, Default)]
pub(super) struct RecordCounts {
    pub(super) taken: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl RecordCounts {
    pub(super) fn add_counts(&self, taken: usize, refused: usize) {
        self.taken.fetch_add(taken as u64, Relaxed);
        self.refused.fetch_add(refused as u64, Relaxed);
    }
}

impl GatewayMetrics {
    /// Counts a request. `route` is a route pattern, never the path of the request: otherwise a client could create any
    /// number of label values.
    pub(super) fn count_request(&self, route: &str, status: u16, took: Duration) {
        let mut requests = self.requests.lock();
        let (count, all) = requests.entry((route.to_owned(), status)).or_default();
        (*count, *all) = (*count + 1, *all + took);
    }

    /// Records accepted and rejected so far.
    pub(super) fn record_totals(&self) -> (u64, u64) {
        let sum =
            |of: fn(&RecordCounts) -> &AtomicU64| of(&self.topics).load(Relaxed) + of(&self.streams).load(Relaxed);
        (sum(|records| &records.taken), sum(|records| &records.refused))
    }
}

/// `GET /metrics`
pub(super) async fn get_metrics(State(state): State<SharedGatewayState>) -> Response {
    let (mut page, metrics) = (MetricsPage::default(), &state.metrics);
    page.start_metric("pinflow_info", "gauge", "What runs.")
        .write_value(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut metric =
        page.start_metric("pinflow_gateway_records_total", "counter", "Records, by family and what became of them.");
    for (family, records) in [("topics", &metrics.topics), ("streams", &metrics.streams)] {
        for (outcome, count) in [("taken", &records.taken), ("refused", &records.refused)] {
            metric.write_value(&[("family", family), ("outcome", outcome)], count.load(Relaxed) as f64);
        }
    }
    let bytes = metrics.bytes.load(Relaxed) as f64;
    page.start_metric("pinflow_gateway_body_bytes_total", "counter", "Bytes of bodies.").write_single(bytes);
    let under_way = state.admission.bytes_under_way() as f64;
    page.start_metric("pinflow_gateway_bytes_under_way", "gauge", "Bytes that requests and replies hold now.")
        .write_single(under_way);
    let open = metrics.connections.open.load(Relaxed) as f64;
    page.start_metric("pinflow_http_connections", "gauge", "Connections now.").write_single(open);
    let refused = metrics.connections.refused.load(Relaxed) as f64;
    page.start_metric("pinflow_http_connections_refused_total", "counter", "Connections rejected over the limits.")
        .write_single(refused);
    let requests = metrics.requests.lock().clone();
    let mut metric = page.start_metric("pinflow_http_requests_total", "counter", "Requests, by route and status.");
    for ((route, status), (count, _)) in &requests {
        metric.write_value(&[("route", route), ("status", &status.to_string())], *count as f64);
    }
    let (count, took) = requests.values().fold((0, Duration::ZERO), |all, one| (all.0 + one.0, all.1 + one.1));
    page.start_metric("pinflow_http_request_seconds", "summary", "What requests took.")
        .write_summary(took.as_secs_f64(), count);
    write_process_metrics(&mut page);
    typed_response(PROMETHEUS_TYPE, NO_STORE, page.into_text())
}
