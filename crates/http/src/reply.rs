//! Builds replies and sets the headers that all of them have.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// `Content-Type` of JSON.
pub const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json");
/// `Content-Type` of the Prometheus text format.
pub const PROMETHEUS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// `Cache-Control` of replies that are outdated at once.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A reply with this `Content-Type` and `Cache-Control`.
pub fn typed_response(kind: HeaderValue, cache: HeaderValue, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

/// A JSON reply that may not be cached. `kind` is its `Content-Type`, `wait` its `Retry-After`.
pub fn json_response(
    kind: HeaderValue,
    status: StatusCode,
    wait: Option<Duration>,
    value: &impl Serialize,
) -> Response {
    let mut response = match serde_json::to_vec(value) {
        Ok(bytes) => typed_response(kind, NO_STORE, bytes),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    *response.status_mut() = status;
    if let Some(wait) = wait {
        // The header takes whole seconds. Round up, so that no client retries too early.
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
    }
    response
}

/// Forbids browsers to frame a reply, to guess its type, and to load anything from other sites.
pub fn set_security_headers(headers: &mut HeaderMap) {
    let policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
