//! Errors of requests that are the same for all routes. `/topics` and `/streams` each render them in their own format.

use std::time::Duration;

use axum::http::StatusCode;

use pinflow_http::AccessError;

/// Why a request is rejected before its records are read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GatewayError {
    /// Access is denied.
    #[error("{}", .0.message())]
    AccessError(AccessError),
    /// The client exceeds its request rate.
    #[error("too many requests; retry in {:.1} s", .0.as_secs_f64())]
    TooMany(Duration),
    /// The memory for requests is exhausted.
    #[error("too many bytes in flight ([gateway] bytes_under_way_max); retry in a second")]
    Busy,
    /// The body is too large.
    #[error("the body is larger than {0} bytes ([gateway] body_bytes_max)")]
    TooLarge(usize),
    /// The body took too long.
    #[error("the body did not arrive within {} s", .0.as_secs())]
    Slow(Duration),
    /// The body arrives below the minimum rate.
    #[error("the body arrives too slowly: less than {0} bytes per second")]
    SlowUpload(usize),
    /// The body is compressed.
    #[error("Content-Encoding {0} is not accepted; send the body uncompressed")]
    ContentEncoding(String),
    /// It has too many records.
    #[error("the request has more than {0} records ([gateway] records_max); send them in several requests")]
    TooManyRecords(usize),
    /// The connection was closed within the body.
    #[error("the connection was closed before the body was complete")]
    BrokenOff,
    /// These routes have no backend.
    #[error("this gateway has no {0} configured")]
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

    /// Value of the `Retry-After` header.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            GatewayError::TooMany(wait) => Some(*wait),
            GatewayError::AccessError(denied) => denied.retry_after(),
            GatewayError::Busy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
