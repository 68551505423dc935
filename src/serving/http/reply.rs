//! Replies: bodies, faults, and the headers that all of them carry.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// JSON.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// JSON Lines.
pub(super) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// Comma-separated values, RFC 4180.
pub(super) const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
/// Server-Sent Events.
pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
/// The Prometheus text format.
pub(super) const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// What was shown may be shown again only if we say that it still holds.
pub(super) const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// What is of this moment.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A request that was not fulfilled, and why, in words for whoever sent it. It says nothing of this machine.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// A name for programs.
    error: &'static str,
    /// Words for people.
    message: String,
}

impl Fault {
    pub(super) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Fault {
        Fault { status, error, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// What will be there later.
    pub(super) fn not_yet(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = json(&self);
        *response.status_mut() = status;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(HeaderName::from_static("retry-after"), HeaderValue::from_static("1"));
        }
        response
    }
}

/// A body of a type.
pub(super) fn body(kind: HeaderValue, cache: HeaderValue, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

/// A value of this moment as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => body(JSON, NO_STORE, bytes),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What every reply carries: nothing here is a page that may be framed, guessed at, or load anything from elsewhere.
pub(super) fn harden(headers: &mut HeaderMap) {
    let policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
