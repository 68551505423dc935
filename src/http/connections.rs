//! Connections: accepted, limited in number and time, encrypted if so configured.
//!
//! A peer may be slow, silent or hostile. So each connection has [`REQUEST_HEAD_TIMEOUT`] time for the head of a request (and for
//! sending one at all), [`WRITE_STALL_TIMEOUT`] for taking anything of a reply, and a bounded head; how much of a body is read, and
//! for how long, is the route's to say. Who is over the limits is turned away with 503 before anything of his is read.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::map_request;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How long a connection may take to send the head of a request, also of its first.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what is written to it.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const MAX_REQUEST_HEAD_BYTES: usize = 16 << 10;
/// Header lines.
const MAX_HEADER_LINES: usize = 100;
const OVER_LIMIT_REPLY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddr(pub(crate) IpAddr);

/// How many connections there may be, and how they end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// At the same time.
    pub(crate) connections_max: usize,
    /// From one address that is not this machine's.
    pub(crate) connections_per_address_max: usize,
    /// How long open connections may take to finish when serving ends.
    pub(crate) shutdown_grace: Duration,
}

/// What is counted of connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts {
    /// Connections now.
    pub(crate) open: AtomicU64,
    /// Connections turned away.
    pub(crate) refused: AtomicU64,
}

/// Who is connected.
struct ConnectionLimiter {
    limits: ConnectionLimits,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    tally: Arc<ConnectionCounts>,
}

impl ConnectionLimiter {
    /// A place for a connection, given back when dropped; `None` if there is none.
    fn try_admit(self: &Arc<ConnectionLimiter>, from: IpAddr) -> Option<ConnectionPermit> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = by_address.values().sum();
        let of = by_address.entry(from).or_default();
        // Of this machine's own programs each has the same address.
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

/// A place that is taken.
struct ConnectionPermit {
    of: Arc<ConnectionLimiter>,
    from: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut by_address = self.of.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.from);
            }
        }
        self.of.tally.open.fetch_sub(1, Relaxed);
    }
}

/// Serves until `over` turns true, then lets requests that are being answered finish. Each request carries the address
/// that it came from, as an extension.
pub(super) async fn accept_connections(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    tally: Arc<ConnectionCounts>,
    mut over: watch::Receiver<bool>,
) {
    let limiter = Arc::new(ConnectionLimiter { limits, by_address: Mutex::default(), tally });
    // Around the router: it has to be done before a route is looked for.
    let router = Router::new().fallback_service(router).layer(map_request(without_trailing_slash));
    let mut all = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = all.join_next(), if !all.is_empty() => continue,
            _ = over.wait_for(|over| *over) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, say. Serving is not what the program is for: wait, and try again.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(guest) = limiter.try_admit(peer.ip()) else {
            all.spawn(reject_over_limit(stream));
            continue;
        };
        let (router, tls, over) = (router.clone().layer(Extension(ClientAddr(peer.ip()))), tls.clone(), over.clone());
        all.spawn(async move {
            let _guest = guest;
            if let Err(error) = handle_connection(stream, router, tls, over).await {
                tracing::debug!(%peer, "connection ended: {error}");
            }
        });
    }
    let _ = timeout(limits.shutdown_grace, async { while all.join_next().await.is_some() {} }).await;
}

/// `/answers/` is `/answers`.
async fn without_trailing_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else { return request };
    let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    // A part of a path that was valid is valid.
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

async fn reject_over_limit(mut stream: TcpStream) {
    let _ = timeout(Duration::from_secs(1), stream.write_all(OVER_LIMIT_REPLY)).await;
}

async fn handle_connection(
    stream: TcpStream,
    router: Router,
    tls: Option<TlsAcceptor>,
    over: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Changes are small and wanted at once.
    stream.set_nodelay(true)?;
    match tls {
        None => serve_connection(stream, router, over).await,
        Some(tls) => serve_connection(timeout(REQUEST_HEAD_TIMEOUT, tls.accept(stream)).await??, router, over).await,
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut over: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let speaking = http1::Builder::new()
        // A client that ends its side after the request (`nc -N`) still waits for the reply.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD_TIMEOUT)
        .max_buf_size(MAX_REQUEST_HEAD_BYTES)
        .max_headers(MAX_HEADER_LINES)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream)), TowerToHyperService::new(router));
    let mut speaking = std::pin::pin!(speaking);
    tokio::select! {
        done = speaking.as_mut() => return Ok(done?),
        _ = over.wait_for(|over| *over) => speaking.as_mut().graceful_shutdown(),
    }
    Ok(speaking.await?)
}

/// A stream whose peer must take what is written within [`WRITE_STALL_TIMEOUT`].
struct WriteTimeout<S> {
    stream: S,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    fn new(stream: S) -> WriteTimeout<S> {
        WriteTimeout { stream, stalled: None }
    }

    /// Passes on what a write came to; a write that has been waiting too long has failed.
    fn check_stall<T>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL_TIMEOUT)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing of the reply")))
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
    async fn one_trailing_slash_is_left_out_and_the_query_stays() {
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
