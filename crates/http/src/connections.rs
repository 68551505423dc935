//! Accepts connections and serves them, with limits on their number, time and size.
//!
//! A client may be slow, silent or hostile:
//! - A request head (also the first one) must arrive within [`REQUEST_HEAD_TIMEOUT`] and fit into
//!   [`MAX_REQUEST_HEAD_BYTES`].
//! - A client that reads nothing of its reply for [`WRITE_STALL_TIMEOUT`] is disconnected.
//! - Connections over the limit get 503 before any request bytes are read.
//!
//! Limits on request bodies are set by the routes.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::map_request;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Longest wait for a request head, from the start of the connection or the end of the previous reply.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time in which a client reads nothing of its reply.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest request line and headers, bytes.
const MAX_REQUEST_HEAD_BYTES: usize = 16 << 10;
/// Most header lines of a request.
const MAX_HEADER_LINES: usize = 100;
/// Wait after a failed accept.
const ACCEPT_RETRY_BACKOFF: Duration = Duration::from_millis(100);
/// Longest time to write [`OVER_LIMIT_REPLY`].
const OVER_LIMIT_REPLY_TIMEOUT: Duration = Duration::from_secs(1);
const OVER_LIMIT_REPLY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The IP address of the client, as a request extension.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddr(pub IpAddr);

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Open at the same time.
    pub connections_max: usize,
    /// Open at the same time from one address. Loopback addresses are exempt.
    pub connections_per_address_max: usize,
    /// How long open connections may take to finish after shutdown began.
    pub shutdown_grace: Duration,
}

/// Counts of connections, for the metrics.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    /// Connections open now.
    pub open: AtomicU64,
    /// Connections rejected because of a limit.
    pub refused: AtomicU64,
}

/// Enforces [`ConnectionLimits`].
struct ConnectionLimiter {
    limits: ConnectionLimits,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    tally: Arc<ConnectionCounts>,
}

impl ConnectionLimiter {
    /// Counts a connection until the permit is dropped. `None` if a limit is reached.
    fn try_admit(self: &Arc<ConnectionLimiter>, from: IpAddr) -> Option<ConnectionPermit> {
        let mut by_address = self.by_address.lock();
        let all: usize = by_address.values().sum();
        let of = by_address.entry(from).or_default();
        // All local programs share the loopback address.
        if all >= self.limits.connections_max || (*of >= self.limits.connections_per_address_max && !from.is_loopback())
        {
            if *of == 0 {
                by_address.remove(&from);
            }
            self.tally.refused.fetch_add(1, Relaxed);
            return None;
        }
        *of += 1;
        self.tally.open.fetch_add(1, Relaxed);
        Some(ConnectionPermit { of: Arc::clone(self), from })
    }
}

/// One counted connection.
struct ConnectionPermit {
    of: Arc<ConnectionLimiter>,
    from: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut by_address = self.of.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.from);
            }
        }
        self.of.tally.open.fetch_sub(1, Relaxed);
    }
}

/// Accepts and serves connections until `shutdown` turns true. Requests in progress then have the shutdown grace to finish.
/// Each request has the client's address as an extension.
pub(super) async fn accept_connections(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    tally: Arc<ConnectionCounts>,
    mut shutdown: watch::Receiver<bool>,
) {
    let limiter = Arc::new(ConnectionLimiter { limits, by_address: Mutex::default(), tally });
    // Outside of the router: the path must be changed before routing.
    let router = Router::new().fallback_service(router).layer(map_request(without_trailing_slash));
    let mut all = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = all.join_next(), if !all.is_empty() => continue,
            _ = shutdown.wait_for(|shutdown| *shutdown) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // For example out of file descriptors. Serving must not end the run: back off and retry.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_RETRY_BACKOFF).await;
                continue;
            }
        };
        let Some(guest) = limiter.try_admit(peer.ip()) else {
            all.spawn(reject_over_limit(stream));
            continue;
        };
        let (router, tls, shutdown) =
            (router.clone().layer(Extension(ClientAddr(peer.ip()))), tls.clone(), shutdown.clone());
        all.spawn(async move {
            let _guest = guest;
            if let Err(error) = handle_connection(stream, router, tls, shutdown).await {
                tracing::debug!(%peer, "connection ended: {error}");
            }
        });
    }
    let _ = timeout(limits.shutdown_grace, async { while all.join_next().await.is_some() {} }).await;
}

/// Removes one trailing slash from the path: `/answers/` is served as `/answers`.
async fn without_trailing_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else { return request };
    let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    // A prefix of a valid path is valid.
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

async fn reject_over_limit(mut stream: TcpStream) {
    let _ = timeout(OVER_LIMIT_REPLY_TIMEOUT, stream.write_all(OVER_LIMIT_REPLY)).await;
}

async fn handle_connection(
    stream: TcpStream,
    router: Router,
    tls: Option<TlsAcceptor>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Change events are small and must not wait for more data.
    stream.set_nodelay(true)?;
    match tls {
        None => serve_connection(stream, router, shutdown).await,
        Some(tls) => {
            serve_connection(timeout(REQUEST_HEAD_TIMEOUT, tls.accept(stream)).await??, router, shutdown).await
        }
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let speaking = http1::Builder::new()
        // A client that closes its side after the request (`nc -N`) still waits for the reply.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD_TIMEOUT)
        .max_buf_size(MAX_REQUEST_HEAD_BYTES)
        .max_headers(MAX_HEADER_LINES)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream)), TowerToHyperService::new(router));
    let mut speaking = std::pin::pin!(speaking);
    tokio::select! {
        done = speaking.as_mut() => return Ok(done?),
        _ = shutdown.wait_for(|shutdown| *shutdown) => speaking.as_mut().graceful_shutdown(),
    }
    Ok(speaking.await?)
}

/// A stream whose writes fail if the client reads nothing for [`WRITE_STALL_TIMEOUT`].
struct WriteTimeout<S> {
    stream: S,
    /// Set while a write is pending.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    fn new(stream: S) -> WriteTimeout<S> {
        WriteTimeout { stream, stalled: None }
    }

    /// Returns the result of a write, or an error if the write has been pending too long.
    fn check_stall<T>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL_TIMEOUT)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not read its reply in time")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check_stall(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.check_stall(context, wrote)
    }

    /// Where several parts are written together, hyper copies no reply into a buffer of its own: replies that are shared
    /// stay shared, and what a reply holds stays counted until it is written.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.check_stall(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.check_stall(context, shut)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn trailing_slash_is_removed_and_query_is_kept() {
        for (target, wanted) in [
            ("/answers/", "/answers"),
            ("/answers/?read=live", "/answers?read=live"),
            ("/topics/a%2Fb/", "/topics/a%2Fb"),
            ("/", "/"),
            ("/?x=/", "/?x=/"),
            ("//", "/"),
            ("http://localhost/answers/", "http://localhost/answers"),
        ] {
            let request = Request::builder().uri(target).body(Body::empty()).unwrap();
            assert_eq!(without_trailing_slash(request).await.uri().to_string(), wanted, "{target}");
        }
    }
}
