//! Answers over HTTP: one port, and every route shows one and the same epoch.
//!
//! Reading only: nothing can be changed through it. `connections` limits who is connected, `guard` decides who may ask
//! for what, the routes read the [`Board`] and the engine's [`Gauges`]. None of it can make the graph wait.

mod answers;
mod changes;
mod config;
mod connections;
mod graph;
mod guard;
mod metrics;
mod openapi;
mod page;
mod params;
mod process;
mod reply;
mod status;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use config::{HttpConfig, ServerTls, Tokens};

use super::board::Board;
use crate::engine::Gauges;
use crate::secret::SecretError;
use guard::Guard;
use metrics::Tallies;
use reply::Fault;

/// What the system holds of a reply that is not read. By itself it goes up to some MiB a connection: five hundred readers
/// that stand still would be copied a gigabyte before they are let alone.
const SEND_BYTES: u32 = 256 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// An answer with more rows than this is rendered beside the threads that serve.
const ROWS_INLINE: usize = 2_000;

/// What the routes read.
pub(crate) struct Served {
    board: Arc<Board>,
    gauges: Arc<Gauges>,
    guard: Guard,
    tallies: Tallies,
    pipeline: String,
    started: Instant,
    over: watch::Receiver<bool>,
}

type Shared = Arc<Served>;

/// A port that is listened on, and not yet served.
pub struct HttpServer {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    config: HttpConfig,
    guard: Guard,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The port cannot be had.
    #[error("listen on {listen}; is another program, or another pinflow, there?")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A token is not there.
    #[error("[serve] tokens")]
    Token(#[from] SecretError),
    /// The certificate and its key do not serve.
    #[error("[serve] tls: {0}")]
    Tls(String),
}

impl HttpServer {
    /// Takes the port, and reads tokens and certificate. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// If one of them is not to be had.
    pub async fn bind(config: &HttpConfig, base: &Path) -> Result<HttpServer, HttpError> {
        let guard = Guard::new(config, base)?;
        let tls = config.tls.as_ref().map(|tls| acceptor(tls, base)).transpose()?;
        let listen = config.listen;
        let listener = bind(listen).map_err(|cause| HttpError::Listen { listen, cause })?;
        Ok(HttpServer { listener, tls, config: config.clone(), guard })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `over` turns true.
    pub async fn serve(self, board: Arc<Board>, gauges: Arc<Gauges>, pipeline: String, over: watch::Receiver<bool>) {
        let (tallies, started) = (Tallies::default(), Instant::now());
        let guard = self.guard;
        let shared = Arc::new(Served { board, gauges, guard, tallies, pipeline, started, over: over.clone() });
        let router = router(Arc::clone(&shared));
        connections::serve(self.listener, router, self.tls, &self.config, shared, over).await;
    }
}

/// Listens, with bounded room in the system for what a connection has not read yet.
fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BYTES)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

fn acceptor(tls: &ServerTls, base: &Path) -> Result<TlsAcceptor, HttpError> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| HttpError::Tls(format!("{}: {error}", path.display()));
    let (certificate, key) = (base.join(&tls.certificate), base.join(&tls.key));
    let chain = CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| failed(&certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| failed(&key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Tls(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| failed(&certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
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
async fn attend(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let mut response = match shared.guard.admit(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    reply::harden(response.headers_mut());
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
        tracing::error!(%id, "a reply could not be made: {error:#}");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the log has more under {id}"))
    })
}
