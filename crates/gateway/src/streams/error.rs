//! Errors of `/streams`: Kinesis' error names, with an HTTP status that matches the error. (Kinesis itself returns 400 for
//! nearly all of them.)

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::GatewayError;
use pinflow_http::{JSON_TYPE, json_response};
use pinflow_kinesis::{self as kinesis, KinesisErrorKind, StreamError};

/// An error reply in the format of Kinesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StreamsApiError {
    #[serde(skip)]
    pub(super) status: StatusCode,
    #[serde(rename = "__type")]
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// Value of the `Retry-After` header.
    #[serde(skip)]
    pub(super) wait: Option<Duration>,
}

impl StreamsApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> StreamsApiError {
        StreamsApiError { status, kind, message: message.into(), wait: None }
    }

    /// 400: the request is invalid.
    pub(super) fn invalid(message: impl Into<String>) -> StreamsApiError {
        StreamsApiError::new(StatusCode::BAD_REQUEST, "ValidationException", message)
    }

    pub(super) fn unreadable(message: impl Into<String>) -> StreamsApiError {
        StreamsApiError::new(StatusCode::BAD_REQUEST, "SerializationException", message)
    }

    pub(super) fn missing(stream: &str) -> StreamsApiError {
        StreamsApiError::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", format!("Stream {stream} not found."))
    }

    pub(super) fn in_use(message: impl Into<String>) -> StreamsApiError {
        StreamsApiError::new(StatusCode::CONFLICT, "ResourceInUseException", message)
    }

    /// 429: the shard's throughput is exceeded.
    pub(super) fn throttled(message: impl Into<String>) -> StreamsApiError {
        let kind = "ProvisionedThroughputExceededException";
        StreamsApiError {
            wait: Some(Duration::from_secs(1)),
            ..StreamsApiError::new(StatusCode::TOO_MANY_REQUESTS, kind, message)
        }
    }

    /// 503: the client should retry.
    pub(super) fn unavailable(message: impl Into<String>) -> StreamsApiError {
        let error = StreamsApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message);
        StreamsApiError { wait: Some(Duration::from_secs(1)), ..error }
    }

    /// Translates an error of a Kinesis call.
    pub(super) fn from_kinesis(stream: &str, error: &kinesis::KinesisError) -> StreamsApiError {
        match error.kind {
            KinesisErrorKind::Missing => StreamsApiError::missing(stream),
            KinesisErrorKind::InUse => StreamsApiError::in_use(&*error.what),
            KinesisErrorKind::Refused => StreamsApiError::invalid(&*error.what),
            KinesisErrorKind::Throttled => StreamsApiError::throttled(&*error.what),
            KinesisErrorKind::Credentials | KinesisErrorKind::Denied => {
                // Details of the gateway's credentials are for its operator only.
                tracing::error!(error = format!("{error}{}", error.hint()), "Kinesis denies access to the gateway");
                StreamsApiError::unavailable("Kinesis denies access to the gateway; its log has details")
            }
            KinesisErrorKind::Broken | KinesisErrorKind::ExpiredIterator | KinesisErrorKind::NotYet => {
                tracing::warn!(error = %error, "Kinesis does not answer");
                StreamsApiError::unavailable("Kinesis does not answer")
            }
        }
    }
}

impl From<StreamError> for StreamsApiError {
    fn from(error: StreamError) -> StreamsApiError {
        match error {
            StreamError::Call { stream, error } => StreamsApiError::from_kinesis(&stream, &error),
            StreamError::Other { .. } => StreamsApiError::in_use(error.to_string()),
            StreamError::Slow { .. } => StreamsApiError::unavailable(error.to_string()),
            StreamError::Shard { .. } => StreamsApiError::invalid(error.to_string()),
            StreamError::Connection(_) => {
                tracing::error!(%error, "Kinesis cannot be reached");
                StreamsApiError::unavailable("the gateway cannot reach Kinesis; its log has details")
            }
        }
    }
}

impl From<GatewayError> for StreamsApiError {
    fn from(error: GatewayError) -> StreamsApiError {
        let status = error.status();
        let kind = match error {
            GatewayError::AccessError(_) if status == StatusCode::UNAUTHORIZED => "MissingAuthenticationTokenException",
            GatewayError::AccessError(_) if status == StatusCode::TOO_MANY_REQUESTS => "ThrottlingException",
            GatewayError::AccessError(_) => "AccessDeniedException",
            GatewayError::TooMany(_) => "ThrottlingException",
            GatewayError::Busy => "ServiceUnavailableException",
            GatewayError::TooLarge(_)
            | GatewayError::Slow(_)
            | GatewayError::SlowUpload(_)
            | GatewayError::ContentEncoding(_)
            | GatewayError::BrokenOff => "SerializationException",
            GatewayError::TooManyRecords(_) => "ValidationException",
            GatewayError::Nothing(_) => "ResourceNotFoundException",
            GatewayError::NotFound | GatewayError::NoSuchMethod => "UnknownOperationException",
        };
        StreamsApiError { wait: error.retry_after(), ..StreamsApiError::new(status, kind, error.to_string()) }
    }
}

impl IntoResponse for StreamsApiError {
    fn into_response(self) -> Response {
        api_reply(self.status, self.wait, &self)
    }
}

/// A JSON reply.
pub(super) fn api_reply(status: StatusCode, wait: Option<Duration>, value: &impl Serialize) -> Response {
    json_response(JSON_TYPE, status, wait, value)
}
