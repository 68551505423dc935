//! What a client of Kinesis behind Amazon's gateway is told when something is wrong: the service's own names of errors,
//! under a status that says as much. (Amazon's service says 400 for nearly all of them.)

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::gateway::error::GatewayError;
use crate::http::{JSON_TYPE, json_response};
use crate::kinesis::{self, KinesisErrorKind, StreamError};

/// A request that was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StreamsApiError {
    #[serde(skip)]
    pub(super) status: StatusCode,
    #[serde(rename = "__type")]
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// When to come again.
    #[serde(skip)]
    pub(super) wait: Option<Duration>,
}

impl StreamsApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> StreamsApiError {
        StreamsApiError { status, kind, message: message.into(), wait: None }
    }

    /// What was asked for cannot be meant.
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

    /// The shards take no more at the moment.
    pub(super) fn throttled(message: impl Into<String>) -> StreamsApiError {
        let kind = "ProvisionedThroughputExceededException";
        StreamsApiError {
            wait: Some(Duration::from_secs(1)),
            ..StreamsApiError::new(StatusCode::TOO_MANY_REQUESTS, kind, message)
        }
    }

    /// Not now; later perhaps.
    pub(super) fn unavailable(message: impl Into<String>) -> StreamsApiError {
        let fault = StreamsApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message);
        StreamsApiError { wait: Some(Duration::from_secs(1)), ..fault }
    }

    /// What Kinesis says of a call.
    pub(super) fn from_kinesis(stream: &str, fault: &kinesis::KinesisError) -> StreamsApiError {
        match fault.kind {
            KinesisErrorKind::Missing => StreamsApiError::missing(stream),
            KinesisErrorKind::InUse => StreamsApiError::in_use(&*fault.what),
            KinesisErrorKind::Refused => StreamsApiError::invalid(&*fault.what),
            KinesisErrorKind::Throttled => StreamsApiError::throttled(&*fault.what),
            KinesisErrorKind::Credentials | KinesisErrorKind::Denied => {
                // Whose credentials these are, and what they lack, is for whoever runs the gateway.
                tracing::error!(error = format!("{fault}{}", fault.hint()), "Kinesis refuses the gateway");
                StreamsApiError::unavailable("the gateway may not do that at Kinesis; its log has more")
            }
            KinesisErrorKind::Broken | KinesisErrorKind::ExpiredIterator | KinesisErrorKind::NotYet => {
                tracing::warn!(error = %fault, "Kinesis does not answer");
                StreamsApiError::unavailable("Kinesis does not answer")
            }
        }
    }
}

impl From<StreamError> for StreamsApiError {
    fn from(error: StreamError) -> StreamsApiError {
        match error {
            StreamError::Call { stream, fault } => StreamsApiError::from_kinesis(&stream, &fault),
            StreamError::Other { .. } => StreamsApiError::in_use(error.to_string()),
            StreamError::Slow { .. } => StreamsApiError::unavailable(error.to_string()),
            StreamError::Shard { .. } => StreamsApiError::invalid(error.to_string()),
            StreamError::Connection(_) => {
                tracing::error!(%error, "Kinesis cannot be reached");
                StreamsApiError::unavailable("the gateway cannot reach Kinesis; its log has more")
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

/// A reply.
pub(super) fn api_reply(status: StatusCode, wait: Option<Duration>, value: &impl Serialize) -> Response {
    json_response(JSON_TYPE, status, wait, value)
}
