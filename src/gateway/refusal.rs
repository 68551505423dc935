//! Why a request goes no further, whatever it is about. Each family of routes says it in its own shape.

use std::time::Duration;

use axum::http::StatusCode;

use crate::http::Denied;

/// Why a request is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Who sent it may not.
    #[error("{}", .0.message())]
    Denied(Denied),
    /// Its sender has sent too many.
    #[error("too many requests; come again in {:.1} s", .0.as_secs_f64())]
    TooMany(Duration),
    /// Too much of all senders' is under way.
    #[error("too much is under way; come again in a second")]
    Busy,
    /// Its body is too large.
    #[error("the body is larger than the {0} bytes that are taken ([gateway] body_bytes_max)")]
    TooLarge(usize),
    /// Its body did not come in time.
    #[error("the body did not come within {} s", .0.as_secs())]
    Slow(Duration),
    /// Its body comes more slowly than is waited for.
    #[error("the body comes too slowly: less than {0} bytes a second")]
    SlowUpload(usize),
    /// Its body is compressed.
    #[error("Content-Encoding {0} is not accepted; send the body uncompressed")]
    ContentEncoding(String),
    /// It has more records than are taken at once.
    #[error("the request has more than {0} records ([gateway] records_max); send them in several requests")]
    TooManyRecords(usize),
    /// The connection broke off in its body.
    #[error("the body broke off")]
    BrokenOff,
    /// There is nothing behind these routes.
    #[error("there is no {0} behind this gateway")]
    Nothing(&'static str),
    /// There is no such route.
    #[error("HTTP 404 Not Found")]
    NotFound,
    /// The route is not for this method.
    #[error("HTTP 405 Method Not Allowed")]
    NoSuchMethod,
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Refusal::Denied(denied) => denied.status(),
            Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::TooLarge(_) | Refusal::TooManyRecords(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Slow(_) | Refusal::SlowUpload(_) => StatusCode::REQUEST_TIMEOUT,
            Refusal::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::BrokenOff => StatusCode::BAD_REQUEST,
            Refusal::Nothing(_) | Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// When to come again.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Refusal::TooMany(wait) => Some(*wait),
            Refusal::Denied(denied) => denied.retry_after(),
            Refusal::Busy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
