//! Replies: their types, and faults.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::{self, Denied};
pub(super) use crate::http::{JSON, NO_STORE, PROMETHEUS, body};

/// JSON Lines.
pub(super) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// Comma-separated values, RFC 4180.
pub(super) const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
/// Server-Sent Events.
pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
/// What was shown may be shown again only if we say that it still holds.
pub(super) const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

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

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Fault {
        Fault::new(denied.status(), denied.name(), denied.message())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let wait = (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1));
        http::json(JSON, self.status, wait, &self)
    }
}

/// A value of this moment as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    http::json(JSON, StatusCode::OK, None, value)
}
