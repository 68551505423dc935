//! What a failed Kinesis call means and what to do about it.

use std::error::Error;
use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// Tolerance for differences between the service's clock and our estimate of it, which has whole seconds.
const CLOCK_TOLERANCE_MS: u64 = 60_000;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KinesisErrorKind {
    /// A limit was exceeded: slow down.
    Throttled,
    /// The iterator has expired: request another one.
    ExpiredIterator,
    /// The service or the network fails at the moment. The request may have taken effect although its response was
    /// lost.
    Broken,
    /// The credentials have expired, are rejected, or cannot be found. They may be renewed.
    Credentials,
    /// A permission is missing.
    Denied,
    /// The stream, shard or consumer does not exist.
    Missing,
    /// The resource is being changed by another call.
    InUse,
    /// The service rejects the arguments.
    Refused,
    /// The requested time is in the future by the service's clock.
    NotYet,
}

impl KinesisErrorKind {
    /// Maps an error code of the Kinesis API, or a common code of all AWS services.
    pub fn from_code(code: &str) -> KinesisErrorKind {
        match code {
            "ProvisionedThroughputExceededException"
            | "LimitExceededException"
            | "KMSThrottlingException"
            | "ThrottlingException"
            | "Throttling"
            | "RequestLimitExceeded"
            | "TooManyRequestsException" => KinesisErrorKind::Throttled,
            "ExpiredIteratorException" | "ExpiredNextTokenException" => KinesisErrorKind::ExpiredIterator,
            "ExpiredTokenException"
            | "ExpiredToken"
            | "RequestExpired"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationTokenException"
            | "MissingAuthenticationToken" => KinesisErrorKind::Credentials,
            "AccessDeniedException"
            | "AccessDenied"
            | "KMSAccessDeniedException"
            | "NotAuthorized"
            | "OptInRequired" => KinesisErrorKind::Denied,
            "ResourceNotFoundException" => KinesisErrorKind::Missing,
            "ResourceInUseException" => KinesisErrorKind::InUse,
            "InvalidArgumentException"
            | "ValidationException"
            | "ValidationError"
            | "KMSDisabledException"
            | "KMSInvalidStateException"
            | "KMSNotFoundException"
            | "KMSOptInRequired"
            | "SerializationException"
            | "UnknownOperationException" => KinesisErrorKind::Refused,
            // `InternalFailure`, `ServiceUnavailable` and unknown codes: the service fails at the moment.
            _ => KinesisErrorKind::Broken,
        }
    }
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisError {
    /// The name of the call and of its permission, such as `GetRecords`.
    pub call: &'static str,
    /// What can be done about it.
    pub kind: KinesisErrorKind,
    /// The message of the service or the network.
    pub what: String,
}

impl fmt::Display for KinesisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.what)
    }
}

impl Error for KinesisError {}

impl KinesisError {
    /// Converts an error of the SDK.
    pub(crate) fn from_sdk<E, R>(call: &'static str, error: &SdkError<E, R>) -> KinesisError
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug,
    {
        match error {
            SdkError::ServiceError(response) => {
                let code = response.err().code().unwrap_or_default();
                // Some protocols prefix the code: `com.amazonaws.kinesis#…`.
                let code = code.rsplit('#').next().unwrap_or(code);
                let kind = KinesisErrorKind::from_code(code);
                let message = response.err().message().unwrap_or_default();
                KinesisError { call, kind, what: join_code_and_message(code, message) }
            }
            error => {
                let chain = error_chain(error);
                // No credentials were found, or their source failed. The SDK has no error kind for that.
                let is_credentials = chain.contains("credential") || chain.contains("identity");
                let kind = if is_credentials { KinesisErrorKind::Credentials } else { KinesisErrorKind::Broken };
                KinesisError { call, kind, what: chain }
            }
        }
    }

    /// The error for a response without a required field.
    pub(crate) fn incomplete_response(call: &'static str, what: &str) -> KinesisError {
        KinesisError { call, kind: KinesisErrorKind::Broken, what: format!("the response has {what}") }
    }

    /// Adjusts the error of a call that requested records from a time on. If the service rejected it although the time
    /// is after `service_ms`, the time is in the future. The service has no error code for that.
    pub(crate) fn at_timestamp(self, moment_ms: u64, service_ms: u64) -> KinesisError {
        let is_future = moment_ms.saturating_add(CLOCK_TOLERANCE_MS) >= service_ms;
        if self.kind == KinesisErrorKind::Refused && is_future {
            KinesisError { kind: KinesisErrorKind::NotYet, ..self }
        } else {
            self
        }
    }

    /// Whether a retry can succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            KinesisErrorKind::Throttled
                | KinesisErrorKind::ExpiredIterator
                | KinesisErrorKind::Broken
                | KinesisErrorKind::Credentials
                | KinesisErrorKind::InUse
                | KinesisErrorKind::NotYet
        )
    }

    /// What to do about it, as the end of a sentence; empty if the error says everything.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.kind {
            KinesisErrorKind::Denied => format!("; grant kinesis:{} on it", self.call),
            KinesisErrorKind::Credentials => "; renew the AWS credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID and \
                                  AWS_SECRET_ACCESS_KEY, or a role)"
                .to_owned(),
            KinesisErrorKind::Broken => "; check the endpoint, the region and the network".to_owned(),
            _ => String::new(),
        }
    }
}

fn join_code_and_message(code: &str, message: &str) -> String {
    match (code, message) {
        ("", "") => "failed without a reason".to_owned(),
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    }
}

/// An error with all its causes. The SDK's own text does not name the cause.
fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let more = one.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = one.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_split_into_retryable_and_permanent() {
        let error =
            |code| KinesisError { call: "GetRecords", kind: KinesisErrorKind::from_code(code), what: String::new() };
        for code in [
            "ProvisionedThroughputExceededException",
            "ExpiredIteratorException",
            "ExpiredTokenException",
            "InternalFailure",
            "ServiceUnavailable",
            "ResourceInUseException",
            "an error that is made up later",
        ] {
            assert!(error(code).is_retryable(), "{code}");
        }
        for code in
            ["AccessDeniedException", "ResourceNotFoundException", "InvalidArgumentException", "ValidationException"]
        {
            assert!(!error(code).is_retryable(), "{code}");
        }
        assert_eq!(error("AccessDeniedException").hint(), "; grant kinesis:GetRecords on it");
    }
}
