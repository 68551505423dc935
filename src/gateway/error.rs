//! Why a request goes no further, whatever it is about. Each family of routes says it in its own shape.

use std::time::Duration;

use axum::http::StatusCode;

use crate::http::AccessError;

/// Why a request is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GatewayError {
    /// Who sent it may not.
    #[error("{}", .0.message())]
    AccessError(AccessError),
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

impl GatewayError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            GatewayError::AccessError(denied) => denied.status(),
            GatewayError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            GatewayError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            GatewayError::TooLarge(_) | GatewayError::TooManyRecords(_) => StatusCode::PAYLOAD_TOO_LARGE,
            GatewayError::Slow(_) | GatewayError::SlowUpload(_) => StatusCode::REQUEST_TIMEOUT,
            GatewayError::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            GatewayError::BrokenOff => StatusCode::BAD_REQUEST,
            GatewayError::Nothing(_) | GatewayError::NotFound => StatusCode::NOT_FOUND,
            GatewayError::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// When to come again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            GatewayError::TooMany(wait) => Some(*wait),
            GatewayError::AccessError(denied) => denied.retry_after(),
            GatewayError::Busy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
