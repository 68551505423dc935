//! Answers over HTTP: one port, and every route shows one and the same epoch.
//!
//! Reading only: nothing can be changed through it. `shows` says who may see what, the routes read the [`Board`] and the engine's [`Gauges`]. None of it can make the graph wait.

mod answers;
mod changes;
mod config;
mod graph;
mod metrics;
mod openapi;
mod page;
mod params;
mod rendered;
mod reply;
mod shows;
mod status;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use jiff::Timestamp;
use pinflow_dataflows::graph::Options;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

pub use config::{HttpConfig, Tokens};

use super::board::{Board, Read};
use super::history::{SAMPLE_INTERVAL_MS, StatusHistory};
use crate::engine::Gauges;
use crate::http::{From, Guard, Limits, Port, PortError, harden, resident_bytes};
use crate::secret::SecretError;
use metrics::Tallies;
use rendered::RenderedReplies;
use reply::Fault;
use shows::Role;

/// An answer with more rows than this is rendered beside the threads that serve.
const ROWS_INLINE: usize = 2_000;

/// What the routes read.
pub(crate) struct Served {
    board: Arc<Board>,
    gauges: Arc<Gauges>,
    guard: Guard<Role>,
    tallies: Tallies,
    rendered: RenderedReplies,
    pipeline: String,
    options: Options,
    history: StatusHistory,
    started: Instant,
    started_at: Timestamp,
    over: watch::Receiver<bool>,
}

type Shared = Arc<Served>;

/// How long open connections may take to finish when serving ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// A port that is listened on, and not yet served.
pub struct HttpServer {
    port: Port,
    config: HttpConfig,
    guard: Guard<Role>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The port cannot be served.
    #[error("[serve]")]
    Port(#[from] PortError),
    /// A token is not there.
    #[error("[serve] tokens")]
    Token(#[from] SecretError),
}

impl HttpServer {
    /// Takes the port, and reads tokens and certificate. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// If one of them is not to be had.
    pub fn bind(config: &HttpConfig, base: &Path) -> Result<HttpServer, HttpError> {
        let guard = shows::guard(config, base)?;
        let port = Port::bind(config.listen, config.tls.as_ref(), base)?;
        Ok(HttpServer { port, config: config.clone(), guard })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.port.address()
    }

    /// Serves until `over` turns true. `options` are shown as those in force.
    pub async fn serve(
        self,
        board: Arc<Board>,
        gauges: Arc<Gauges>,
        (pipeline, options): (String, Options),
        over: watch::Receiver<bool>,
    ) {
        let (tallies, started) = (Tallies::default(), Instant::now());
        let (guard, tally) = (self.guard, Arc::clone(&tallies.connections));
        let (history, started_at) = (StatusHistory::default(), Timestamp::now());
        let rendered = RenderedReplies::new(self.config.reply_bytes_max);
        let shared = Arc::new(Served {
            board,
            gauges,
            guard,
            tallies,
            rendered,
            pipeline,
            options,
            history,
            started,
            started_at,
            over: over.clone(),
        });
        let sampler = tokio::spawn(sample_status(Arc::clone(&shared)));
        let router = router(Arc::clone(&shared));
        let limits = Limits {
            connections_max: self.config.connections_max,
            connections_per_address_max: self.config.connections_per_address_max,
            farewell: FAREWELL,
        };
        self.port.serve(router, limits, tally, over).await;
        sampler.abort();
    }
}

/// Takes a sample of the run every second.
async fn sample_status(shared: Shared) {
    let mut ticks = tokio::time::interval(Duration::from_millis(SAMPLE_INTERVAL_MS));
    // After a pause there is a gap: samples that were missed cannot be made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        if let Some(view) = shared.board.view(Read::Live) {
            let latency = shared.board.latency_since(before);
            shared.history.add(&view, latency, resident_bytes());
        }
        before = Some(now);
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/assets/{name}", get(page::asset))
        .route("/answers", get(answers::all))
        .route("/answers/{name}", get(answers::one))
        .route("/answers/{name}/changes", get(changes::one))
        .route("/changes", get(changes::all))
        .route("/status", get(status::status))
        .route("/rejected", get(status::rejected))
        .route("/graph", get(graph::graph))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .fallback(async || Fault::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here; see /openapi.json"))
        .method_not_allowed_fallback(async || {
            Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "everything here is read with GET")
        })
        .layer(from_fn_with_state(Arc::clone(&shared), attend))
        .with_state(shared)
}

/// Goes around every request: admits it, counts it, and hardens its reply.
async fn attend(
    State(shared): State<Shared>,
    Extension(From(from)): Extension<From>,
    request: Request,
    next: Next,
) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = match shows::admit(&shared.guard, &request, from) {
        Ok(()) => next.run(request).await,
        Err(denied) => Fault::from(denied).into_response(),
    };
    let mut response = shared.rendered.count(response).await.unwrap_or_else(Fault::into_response);
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    harden(response.headers_mut());
    shared.tallies.request(&route, response.status().as_u16());
    response
}

/// Renders: here if it is little, else on a thread that may be busy for long.
async fn blocking<T: Send + 'static>(
    rows: usize,
    render: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let rendered = if rows <= ROWS_INLINE {
        render()
    } else {
        tokio::task::spawn_blocking(render).await.unwrap_or_else(|panic| Err(panic.into()))
    };
    rendered.map_err(|error| {
        let id = uuid::Uuid::new_v4();
        tracing::error!(%id, error = format!("{error:#}"), "a reply could not be made");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the log has more under {id}"))
    })
}
