//! Replies of the HTTP API: content types, errors, event streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use serde::Serialize;

use super::shared_replies::CountedReply;
use pinflow_http::{self as http, AccessError};
pub(super) use pinflow_http::{JSON_TYPE, NO_STORE, PROMETHEUS_TYPE, typed_response};

/// `Content-Type` of NDJSON.
pub(super) const NDJSON_TYPE: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// `Content-Type` of CSV (RFC 4180).
pub(super) const CSV_TYPE: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
/// `Content-Type` of Server-Sent Events.
const EVENT_STREAM_TYPE: HeaderValue = HeaderValue::from_static("text/event-stream");
/// `Cache-Control` of event streams. A proxy that compressed them would hold events back until a block is full.
const NO_STORE_NO_TRANSFORM: HeaderValue = HeaderValue::from_static("no-store, no-transform");
/// Tells nginx and compatible proxies not to buffer the reply.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// `Cache-Control` of replies with an `ETag`: clients must revalidate them at each use.
pub(super) const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// An error reply of the HTTP API. It contains nothing about the server's machine.
#[derive(Debug, Serialize)]
pub(super) struct ApiError {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// Stable error name for programs.
    error: &'static str,
    /// Message for people.
    message: String,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> ApiError {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1));
        ApiError { status, error, message: message.into(), retry_after }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 503: the client should retry.
    pub(super) fn not_ready(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message)
    }
}

impl From<AccessError> for ApiError {
    fn from(denied: AccessError) -> ApiError {
        let retry_after = denied.retry_after();
        ApiError { retry_after, ..ApiError::new(denied.status(), denied.error_name(), denied.message()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        http::json_response(JSON_TYPE, self.status, self.retry_after, &self)
    }
}

/// A JSON reply that may not be cached.
pub(super) fn json_response(value: &impl Serialize) -> Response {
    http::json_response(JSON_TYPE, StatusCode::OK, None, value)
}

/// A JSON reply with this status that may not be cached.
pub(super) fn json_with_status(status: StatusCode, value: &impl Serialize) -> Response {
    http::json_response(JSON_TYPE, status, None, value)
}

/// A cacheable reply whose bytes are counted already.
pub(super) fn shared_response(kind: HeaderValue, bytes: Bytes) -> Response {
    let mut response = typed_response(kind, REVALIDATE, bytes);
    response.extensions_mut().insert(CountedReply);
    response
}

/// A Server-Sent Events reply that proxies do not buffer.
pub(super) fn event_stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let stream = futures::StreamExt::map(stream, Ok::<_, std::convert::Infallible>);
    let mut response = typed_response(EVENT_STREAM_TYPE, NO_STORE_NO_TRANSFORM, Body::from_stream(stream));
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
