//! What a follower of a cluster serves: whether it lives, and its metrics. Everything else is with the leader.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::sync::watch;

use super::cluster_status::write_cluster_metrics;
use super::metrics::{ServingMetrics, write_connection_metrics};
use super::permissions::{self, ServingRole};
use super::reply::{self, ApiError};
use super::{HttpServer, SHUTDOWN_GRACE};
use pinflow_engine::EngineMetrics;
use pinflow_http::{
    AccessControl, ClientAddr, ConnectionLimits, MetricsPage, set_security_headers, write_process_metrics,
};

/// The follower that a server shows.
pub struct ServedFollower {
    /// Its metrics.
    pub engine_metrics: Arc<EngineMetrics>,
    /// The name of the pipeline.
    pub pipeline: String,
    /// Its number.
    pub process: usize,
    /// The address of the leader in the cluster.
    pub leader: String,
}

struct FollowerServer {
    served: ServedFollower,
    access: AccessControl<ServingRole>,
    metrics: ServingMetrics,
    started: Instant,
}

type SharedFollowerServer = Arc<FollowerServer>;

impl HttpServer {
    /// Serves a follower of a cluster until `shutdown` turns true.
    pub async fn serve_follower(self, served: ServedFollower, shutdown: watch::Receiver<bool>) {
        let metrics = ServingMetrics::default();
        let connections = Arc::clone(&metrics.connections);
        let shared = Arc::new(FollowerServer { served, access: self.access, metrics, started: Instant::now() });
        let limits = ConnectionLimits {
            connections_max: self.config.connections_max,
            connections_per_address_max: self.config.connections_per_address_max,
            shutdown_grace: SHUTDOWN_GRACE,
        };
        self.port.serve(build_router(shared), limits, connections, shutdown).await;
    }
}

fn build_router(shared: SharedFollowerServer) -> Router {
    Router::new()
        .route("/healthz", get(super::status::get_health))
        .route("/readyz", get(get_readiness))
        .route("/metrics", get(get_metrics))
        .fallback(refuse_to_leader)
        .method_not_allowed_fallback(refuse_to_leader)
        .layer(from_fn_with_state(Arc::clone(&shared), handle_request))
        .with_state(shared)
}

async fn handle_request(
    State(shared): State<SharedFollowerServer>,
    Extension(ClientAddr(from)): Extension<ClientAddr>,
    request: Request,
    next: Next,
) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let mut response = answer_request(&shared, from, request, next).await;
    set_security_headers(response.headers_mut());
    shared.metrics.count_request(&route, response.status().as_u16());
    response
}

async fn answer_request(shared: &FollowerServer, from: IpAddr, request: Request, next: Next) -> Response {
    match permissions::check_access(&shared.access, &request, from) {
        Ok(()) => next.run(request).await,
        Err(denied) => ApiError::from(denied).into_response(),
    }
}

/// `421 Misdirected Request` for everything that only the leader knows.
async fn refuse_to_leader(State(shared): State<SharedFollowerServer>) -> ApiError {
    let ServedFollower { process, leader, .. } = &shared.served;
    let message = format!("process {process} of the cluster has no answers; ask the leader, process 0 ({leader})");
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, "not_the_leader", message)
}

/// `GET /readyz`: whether it parses, and can write its files.
async fn get_readiness(State(shared): State<SharedFollowerServer>) -> Result<&'static str, ApiError> {
    let paused = shared.served.engine_metrics.paused.get();
    match paused {
        None => Err(ApiError::not_ready("the run has not begun; the leader opens the tables")),
        Some(paused) if paused.borrow().is_some() => Err(ApiError::not_ready("paused; the log has the reason")),
        Some(_) => Ok("ready\n"),
    }
}

/// `GET /metrics`
async fn get_metrics(State(shared): State<SharedFollowerServer>) -> Response {
    let ServedFollower { engine_metrics, pipeline, process, .. } = &shared.served;
    let mut page = MetricsPage::default();
    let process = process.to_string();
    let labels =
        [("version", env!("CARGO_PKG_VERSION")), ("pipeline", pipeline.as_str()), ("process", process.as_str())];
    page.start_metric("pinflow_info", "gauge", "What runs.").write_value(&labels, 1.0);
    let uptime = shared.started.elapsed().as_secs_f64();
    page.start_metric("pinflow_uptime_seconds", "gauge", "Since the start.").write_single(uptime);
    write_process_metrics(&mut page);
    let read = engine_metrics.rows.load(Relaxed) as f64;
    page.start_metric("pinflow_records_total", "counter", "Rows read in this run, rejections included.")
        .write_single(read);
    write_cluster_metrics(&mut page, engine_metrics);
    write_connection_metrics(&mut page, &shared.metrics);
    reply::typed_response(reply::PROMETHEUS_TYPE, reply::NO_STORE, page.into_text())
}
