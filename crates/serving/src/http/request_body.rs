//! Reads the body of a request, within a size and a time.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;

use super::reply::ApiError;

/// Longest time that a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body of at most `bytes_max` bytes. `what` names it in errors, such as `the question`.
///
/// # Errors
/// 413 if it is larger, 408 if it takes too long.
pub(super) async fn read_body(body: Body, bytes_max: usize, what: &str) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, bytes_max)).await;
    let read = read.map_err(|_| {
        let message = format!("{what} was not sent within {} seconds", BODY_TIMEOUT.as_secs());
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    })?;
    // The client is gone if it was cut off, so that it does not matter which error this is.
    read.map_err(|_| {
        let message = format!("{what} can have at most {} KiB", bytes_max >> 10);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    })
}
