//! Replies: their types, and faults.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use serde::Serialize;

use super::shared_replies::CountedReply;
use crate::http::{self, AccessError};
pub(super) use crate::http::{JSON_TYPE, NO_STORE, PROMETHEUS_TYPE, typed_response};

/// JSON Lines.
pub(super) const NDJSON_TYPE: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// Comma-separated values, RFC 4180.
pub(super) const CSV_TYPE: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
/// Server-Sent Events.
const EVENT_STREAM_TYPE: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Neither kept nor changed on the way: a proxy that compresses holds events back until a block is full.
const NO_STORE_NO_TRANSFORM: HeaderValue = HeaderValue::from_static("no-store, no-transform");
/// Says to nginx, and to other proxies that took it over, that a reply is to be passed on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// What was shown may be shown again only if we say that it still holds.
pub(super) const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// A request that was not fulfilled, and why, in words for whoever sent it. It says nothing of this machine.
#[derive(Debug, Serialize)]
pub(super) struct ApiError {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// A name for programs.
    error: &'static str,
    /// Words for people.
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

    /// What will be there later.
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

/// A value of this moment as JSON.
pub(super) fn json_response(value: &impl Serialize) -> Response {
    http::json_response(JSON_TYPE, StatusCode::OK, None, value)
}

/// A reply whose bytes are counted already, for readers that may keep it as long as it still holds.
pub(super) fn shared_response(kind: HeaderValue, bytes: Bytes) -> Response {
    let mut response = typed_response(kind, REVALIDATE, bytes);
    response.extensions_mut().insert(CountedReply);
    response
}

/// A stream of events, that no proxy on the way may hold back.
pub(super) fn event_stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let stream = futures::StreamExt::map(stream, Ok::<_, std::convert::Infallible>);
    let mut response = typed_response(EVENT_STREAM_TYPE, NO_STORE_NO_TRANSFORM, Body::from_stream(stream));
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
