//! Replies: bodies, and the headers that all of them carry.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

/// JSON.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The Prometheus text format.
pub(crate) const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// What is of this moment.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A body of a type.
pub(crate) fn body(kind: HeaderValue, cache: HeaderValue, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

/// What every reply carries: nothing here is a page that may be framed, guessed at, or load anything from elsewhere.
pub(crate) fn harden(headers: &mut HeaderMap) {
    let policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
