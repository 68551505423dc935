//! Serves answers, changes, status and metrics over HTTP. Only questions can be changed, if `[serve] questions` allows it,
//! and the last result of a verification.
//!
//! The routes read the [`AnswerHub`] and the engine's [`EngineMetrics`], and never block the dataflow. `permissions` says
//! which role may read which route.

mod answers;
mod byte_range;
mod changes;
mod cluster_status;
mod config;
mod database_schemas;
mod follower;
mod graph;
mod metrics;
mod openapi;
mod page;
mod params;
mod permissions;
mod question_edits;
mod question_metrics;
mod question_schemas;
mod questions;
mod reply;
mod request_body;
mod shared_replies;
mod status;
mod verification;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use jiff::Timestamp;
use parking_lot::Mutex;
use pinflow_dataflows::graph::GraphOptions;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

pub use answers::escape_formulas;
pub use config::{HttpConfig, ServeTokens};
pub use follower::ServedFollower;

use super::answer_hub::{AnswerHub, ReadConsistency};
use super::history::{SAMPLE_INTERVAL_MS, StatusHistory};
use super::question_editor::QuestionEditor;
use metrics::ServingMetrics;
use permissions::ServingRole;
use pinflow_connect::database_status::DatabaseStatus;
use pinflow_core::secret::SecretError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_engine::EngineMetrics;
use pinflow_http::{
    AccessControl, ClientAddr, ConnectionLimits, PortError, ServerPort, resident_bytes, set_security_headers,
};
use reply::ApiError;
use shared_replies::SharedReplies;
use verification::LastVerification;

/// Answers with more rows than this are rendered on a blocking thread.
const MAX_INLINE_RENDER_ROWS: usize = 2_000;

/// State that all request handlers share.
pub(crate) struct ServingState {
    answer_hub: Arc<AnswerHub>,
    engine_metrics: Arc<EngineMetrics>,
    access: AccessControl<ServingRole>,
    metrics: ServingMetrics,
    shared_replies: SharedReplies,
    pipeline: String,
    options: GraphOptions,
    tables_url: Option<String>,
    text_bytes_max: usize,
    /// `None` if the run's questions cannot be changed.
    editor: Option<Arc<dyn QuestionEditor>>,
    /// Whether `[serve] questions` allows changes.
    edits_questions: bool,
    /// Whether only an admin, or clients on this machine, can change anything.
    changes_are_guarded: bool,
    /// What `pinflow verify` found last.
    verification: Mutex<Option<LastVerification>>,
    /// The writers of databases.
    databases: Vec<DatabaseStatus>,
    history: StatusHistory,
    started: Instant,
    started_at: Timestamp,
    shutdown: watch::Receiver<bool>,
}

type SharedServingState = Arc<ServingState>;

/// How long open connections may take to finish at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// The run that a server shows.
pub struct ServedRun {
    /// Its answers.
    pub answer_hub: Arc<AnswerHub>,
    /// Its metrics.
    pub engine_metrics: Arc<EngineMetrics>,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The options of its questions.
    pub options: GraphOptions,
    /// Where its tables are. `None` without tables.
    pub tables_url: Option<String>,
    /// The most bytes of a text that counts in the answers.
    pub text_bytes_max: usize,
    /// Changes its questions. `None` if they cannot be changed.
    pub editor: Option<Arc<dyn QuestionEditor>>,
    /// The states of the writers of databases.
    pub databases: Vec<DatabaseStatus>,
}

/// A bound server that does not accept connections yet.
pub struct HttpServer {
    port: ServerPort,
    config: HttpConfig,
    access: AccessControl<ServingRole>,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The port cannot be opened.
    #[error("[serve]")]
    ServerPort(#[from] PortError),
    /// A token cannot be read.
    #[error("[serve] tokens")]
    Token(#[from] SecretError),
}

impl UserError for HttpError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            HttpError::ServerPort(error) => error.exit_code(),
            HttpError::Token(error) => error.exit_code(),
        }
    }
}

impl HttpServer {
    /// Binds the port and reads tokens and certificate. Relative paths are resolved against `base`.
    ///
    /// # Errors
    /// If the port cannot be bound, or a token or the certificate cannot be read.
    pub fn bind(config: &HttpConfig, base: &Path) -> Result<HttpServer, HttpError> {
        let access = permissions::build_access_control(config, base)?;
        let port = ServerPort::bind(config.listen, config.tls.as_ref(), base)?;
        Ok(HttpServer { port, config: config.clone(), access })
    }

    /// The bound address.
    ///
    /// # Errors
    /// If the operating system does not return it.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.port.local_address()
    }

    /// Serves a run until `shutdown` turns true.
    pub async fn serve(self, run: ServedRun, shutdown: watch::Receiver<bool>) {
        let ServedRun { answer_hub, engine_metrics, pipeline, options, tables_url, text_bytes_max, editor, databases } =
            run;
        let (metrics, started) = (ServingMetrics::default(), Instant::now());
        let (access, tally) = (self.access, Arc::clone(&metrics.connections));
        let (history, started_at) = (StatusHistory::default(), Timestamp::now());
        let shared_replies = SharedReplies::new(self.config.reply_bytes_max);
        let shared = Arc::new(ServingState {
            answer_hub,
            engine_metrics,
            access,
            metrics,
            shared_replies,
            pipeline,
            options,
            tables_url,
            text_bytes_max,
            editor,
            databases,
            edits_questions: self.config.questions,
            changes_are_guarded: self.config.changes_are_guarded(),
            verification: Mutex::default(),
            history,
            started,
            started_at,
            shutdown: shutdown.clone(),
        });
        let sampler = tokio::spawn(sample_status(Arc::clone(&shared)));
        let router = build_router(Arc::clone(&shared));
        let limits = ConnectionLimits {
            connections_max: self.config.connections_max,
            connections_per_address_max: self.config.connections_per_address_max,
            shutdown_grace: SHUTDOWN_GRACE,
        };
        self.port.serve(router, limits, tally, shutdown).await;
        sampler.abort();
    }
}

/// Samples the run every second for `/status?history=`.
async fn sample_status(shared: SharedServingState) {
    let mut ticks = tokio::time::interval(Duration::from_millis(SAMPLE_INTERVAL_MS));
    // After a pause there is a gap: missed samples cannot be taken later.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        if let Some(view) = shared.answer_hub.current_view(ReadConsistency::Live) {
            let latency = shared.answer_hub.latency_since(before);
            shared.history.add_sample(&view, latency, resident_bytes());
        }
        before = Some(now);
    }
}

fn build_router(shared: SharedServingState) -> Router {
    Router::new()
        .route("/", get(page::get_index))
        .route("/assets/{name}", get(page::get_asset))
        .route("/answers", get(answers::get_all_answers))
        .route("/answers/{name}", get(answers::get_answer))
        .route("/answers/{name}/changes", get(changes::stream_answer_changes))
        .route("/changes", get(changes::stream_all_changes))
        .route("/questions", get(questions::get_questions).post(question_edits::post_question))
        .route("/questions/{name}", get(questions::get_question).delete(question_edits::delete_question))
        .route("/verification", post(verification::post_verification))
        .route("/status", get(status::get_status))
        .route("/rejected", get(status::get_rejected))
        .route("/graph", get(graph::get_graph))
        .route("/healthz", get(status::get_health))
        .route("/readyz", get(status::get_readiness))
        .route("/metrics", get(metrics::get_metrics))
        .route("/openapi.json", get(openapi::get_openapi))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "not_found", "no such route; see /openapi.json"))
        .method_not_allowed_fallback(async || {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "the route does not have this method; see /openapi.json",
            )
        })
        .layer(from_fn_with_state(Arc::clone(&shared), handle_request))
        .with_state(shared)
}

/// Middleware of all routes: checks access, counts the request and its reply's memory, sets security headers.
async fn handle_request(
    State(shared): State<SharedServingState>,
    Extension(ClientAddr(from)): Extension<ClientAddr>,
    request: Request,
    next: Next,
) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = match permissions::check_access(&shared.access, &request, from) {
        Ok(()) => next.run(request).await,
        Err(denied) => ApiError::from(denied).into_response(),
    };
    let mut response = shared.shared_replies.reserve_reply(response).await.unwrap_or_else(ApiError::into_response);
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    set_security_headers(response.headers_mut());
    shared.metrics.count_request(&route, response.status().as_u16());
    response
}

/// Renders a reply: small ones here, large ones on a blocking thread so that other requests are not delayed.
async fn render_off_runtime<T: Send + 'static>(
    rows: usize,
    render: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let shared_replies = if rows <= MAX_INLINE_RENDER_ROWS {
        render()
    } else {
        tokio::task::spawn_blocking(render).await.unwrap_or_else(|panic| Err(panic.into()))
    };
    shared_replies.map_err(|error| {
        let id = uuid::Uuid::new_v4();
        tracing::error!(%id, error = format!("{error:#}"), "a reply could not be rendered");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("internal error; the server's log has details under {id}"),
        )
    })
}
