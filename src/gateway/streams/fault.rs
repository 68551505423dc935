//! What a client of Kinesis behind Amazon's gateway is told when something is wrong: the service's own names of errors,
//! under a status that says as much. (Amazon's service says 400 for nearly all of them.)

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::gateway::refusal::Refusal;
use crate::http::{JSON, json};
use crate::kinesis::{self, Kind, StreamError};

/// A request that was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    #[serde(skip)]
    pub(super) status: StatusCode,
    #[serde(rename = "__type")]
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// When to come again.
    #[serde(skip)]
    pub(super) wait: Option<Duration>,
}

impl Fault {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Fault {
        Fault { status, kind, message: message.into(), wait: None }
    }

    /// What was asked for cannot be meant.
    pub(super) fn invalid(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, "ValidationException", message)
    }

    pub(super) fn unreadable(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, "SerializationException", message)
    }

    pub(super) fn missing(stream: &str) -> Fault {
        Fault::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", format!("Stream {stream} not found."))
    }

    pub(super) fn in_use(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::CONFLICT, "ResourceInUseException", message)
    }

    /// The shards take no more at the moment.
    pub(super) fn throttled(message: impl Into<String>) -> Fault {
        let kind = "ProvisionedThroughputExceededException";
        Fault { wait: Some(Duration::from_secs(1)), ..Fault::new(StatusCode::TOO_MANY_REQUESTS, kind, message) }
    }

    /// Not now; later perhaps.
    pub(super) fn later(message: impl Into<String>) -> Fault {
        let fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message);
        Fault { wait: Some(Duration::from_secs(1)), ..fault }
    }

    /// What Kinesis says of a call.
    pub(super) fn of(stream: &str, fault: &kinesis::Fault) -> Fault {
        match fault.kind {
            Kind::Missing => Fault::missing(stream),
            Kind::InUse => Fault::in_use(&*fault.what),
            Kind::Refused => Fault::invalid(&*fault.what),
            Kind::Throttled => Fault::throttled(&*fault.what),
            Kind::Credentials | Kind::Denied => {
                // Whose credentials these are, and what they lack, is for whoever runs the gateway.
                tracing::error!(error = format!("{fault}{}", fault.mend()), "Kinesis refuses the gateway");
                Fault::later("the gateway may not do that at Kinesis; its log has more")
            }
            Kind::Broken | Kind::ExpiredIterator | Kind::NotYet => {
                tracing::warn!(error = %fault, "Kinesis does not answer");
                Fault::later("Kinesis does not answer")
            }
        }
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Fault {
        match error {
            StreamError::Call { stream, fault } => Fault::of(&stream, &fault),
            StreamError::Other { .. } => Fault::in_use(error.to_string()),
            StreamError::Slow { .. } => Fault::later(error.to_string()),
            StreamError::Shard { .. } => Fault::invalid(error.to_string()),
            StreamError::Connection(_) => {
                tracing::error!(%error, "Kinesis cannot be reached");
                Fault::later("the gateway cannot reach Kinesis; its log has more")
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        let status = refusal.status();
        let kind = match refusal {
            Refusal::Denied(_) if status == StatusCode::UNAUTHORIZED => "MissingAuthenticationTokenException",
            Refusal::Denied(_) if status == StatusCode::TOO_MANY_REQUESTS => "ThrottlingException",
            Refusal::Denied(_) => "AccessDeniedException",
            Refusal::TooMany(_) => "ThrottlingException",
            Refusal::Busy => "ServiceUnavailableException",
            Refusal::TooLarge(_)
            | Refusal::Slow(_)
            | Refusal::SlowUpload(_)
            | Refusal::ContentEncoding(_)
            | Refusal::BrokenOff => "SerializationException",
            Refusal::TooManyRecords(_) => "ValidationException",
            Refusal::Nothing(_) => "ResourceNotFoundException",
            Refusal::NotFound | Refusal::NoSuchMethod => "UnknownOperationException",
        };
        Fault { wait: refusal.wait(), ..Fault::new(status, kind, refusal.to_string()) }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        reply(self.status, self.wait, &self)
    }
}

/// A reply.
pub(super) fn reply(status: StatusCode, wait: Option<Duration>, value: &impl Serialize) -> Response {
    json(JSON, status, wait, value)
}
