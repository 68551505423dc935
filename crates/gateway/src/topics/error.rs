//! Errors of `/topics`: status, error code and message, as of the Confluent REST Proxy v2.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::KAFKA_V2_TYPE;
use crate::error::GatewayError;
use pinflow_http::json_response;

/// An error reply in the format of the REST Proxy. Codes of five digits are the proxy's own, others equal the status.
///
/// Source: Confluent REST Proxy API reference, v2, "Errors".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TopicsApiError {
    #[serde(skip)]
    pub(super) status: StatusCode,
    error_code: u16,
    message: String,
    /// Value of the `Retry-After` header.
    #[serde(skip)]
    wait: Option<Duration>,
}

impl TopicsApiError {
    fn new(status: StatusCode, error_code: u16, message: impl Into<String>) -> TopicsApiError {
        TopicsApiError { status, error_code, message: message.into(), wait: None }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.wait
    }

    pub(super) fn no_topic() -> TopicsApiError {
        TopicsApiError::new(StatusCode::NOT_FOUND, 40401, "Topic not found.")
    }

    pub(super) fn no_partition() -> TopicsApiError {
        TopicsApiError::new(StatusCode::NOT_FOUND, 40402, "Partition not found.")
    }

    /// 422: the body is JSON but not a valid request.
    pub(super) fn unprocessable(message: impl Into<String>) -> TopicsApiError {
        TopicsApiError::new(StatusCode::UNPROCESSABLE_ENTITY, 422, message)
    }

    pub(super) fn unreadable(message: impl Into<String>) -> TopicsApiError {
        TopicsApiError::new(StatusCode::BAD_REQUEST, 400, message)
    }

    pub(super) fn unsupported_type() -> TopicsApiError {
        TopicsApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, "HTTP 415 Unsupported Media Type")
    }

    pub(super) fn not_acceptable() -> TopicsApiError {
        TopicsApiError::new(StatusCode::NOT_ACCEPTABLE, 406, "HTTP 406 Not Acceptable")
    }

    /// No record was stored, and a retry would fail again.
    pub(super) fn rejected(message: impl Into<String>) -> TopicsApiError {
        TopicsApiError::new(StatusCode::UNPROCESSABLE_ENTITY, 42206, message)
    }

    /// 503: the client should retry.
    pub(super) fn unavailable(message: impl Into<String>) -> TopicsApiError {
        let error = TopicsApiError::new(StatusCode::SERVICE_UNAVAILABLE, 50003, message);
        TopicsApiError { wait: Some(Duration::from_secs(1)), ..error }
    }
}

impl From<GatewayError> for TopicsApiError {
    fn from(error: GatewayError) -> TopicsApiError {
        let status = error.status();
        let error_code = match status {
            StatusCode::UNAUTHORIZED => 40101,
            StatusCode::FORBIDDEN => 40301,
            status => status.as_u16(),
        };
        TopicsApiError { wait: error.retry_after(), ..TopicsApiError::new(status, error_code, error.to_string()) }
    }
}

impl IntoResponse for TopicsApiError {
    fn into_response(self) -> Response {
        api_reply(self.status, self.wait, &self)
    }
}

/// A reply with the content type of the REST Proxy v2.
pub(super) fn api_reply(status: StatusCode, wait: Option<Duration>, value: &impl Serialize) -> Response {
    json_response(KAFKA_V2_TYPE, status, wait, value)
}
