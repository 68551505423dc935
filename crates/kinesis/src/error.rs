//! What a failed Kinesis call means and what to do about it.

use std::error::Error;
use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// What is known of the service's clock is not more precise than this: `Date` has whole seconds, and takes a moment.
const CLOCK_TOLERANCE_MS: u64 = 60_000;

/// What a caller can do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KinesisErrorKind {
    /// Too many calls, or too much read: slow down.
    Throttled,
    /// The iterator is too old: ask for another.
    ExpiredIterator,
    /// The service, or the way to it, is broken at the moment; the answer may have been lost on its way.
    Broken,
    /// The credentials have expired, are not believed, or are not to be had. They may be renewed.
    Credentials,
    /// They lack a permission.
    Denied,
    /// There is no such stream, shard or consumer.
    Missing,
    /// Another call is in the way: a stream that is being changed.
    InUse,
    /// What was asked for makes no sense to the service.
    Refused,
    /// The moment that was asked for lies in the future, by the service's clock.
    NotYet,
}

impl KinesisErrorKind {
    /// The codes of the Kinesis API, and those that every service of Amazon may answer with.
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
            // `InternalFailure`, `ServiceUnavailable`, and what nobody has told us of: a service that is broken.
            _ => KinesisErrorKind::Broken,
        }
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisError {
    /// The call, as Amazon names it and its permission: `GetRecords`.
    pub call: &'static str,
    /// What can be done about it.
    pub kind: KinesisErrorKind,
    /// What the service, or the way to it, says.
    pub what: String,
}

impl fmt::Display for KinesisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.what)
    }
}

impl Error for KinesisError {}

impl KinesisError {
    /// Reads an error of the SDK.
    pub(crate) fn from_sdk<E, R>(call: &'static str, error: &SdkError<E, R>) -> KinesisError
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let code = answer.err().code().unwrap_or_default();
                // With a name in front where the protocol has one: `com.amazonaws.kinesis#…`.
                let code = code.rsplit('#').next().unwrap_or(code);
                let kind = KinesisErrorKind::from_code(code);
                let message = answer.err().message().unwrap_or_default();
                KinesisError { call, kind, what: join_code_and_message(code, message) }
            }
            error => {
                let chain = error_chain(error);
                // No credentials were found, or their source failed: the SDK has no kind of its own for that.
                let is_credentials = chain.contains("credential") || chain.contains("identity");
                let kind = if is_credentials { KinesisErrorKind::Credentials } else { KinesisErrorKind::Broken };
                KinesisError { call, kind, what: chain }
            }
        }
    }

    /// An answer that lacks what it must have.
    pub(crate) fn incomplete_response(call: &'static str, what: &str) -> KinesisError {
        KinesisError { call, kind: KinesisErrorKind::Broken, what: format!("the answer has {what}") }
    }

    /// The same fault of a call that asked for records from a moment on, at `service_ms` by the service's clock: if it was
    /// refused, the moment has not come. The service has no code of its own for that.
    pub(crate) fn at_timestamp(self, moment_ms: u64, service_ms: u64) -> KinesisError {
        let is_future = moment_ms.saturating_add(CLOCK_TOLERANCE_MS) >= service_ms;
        if self.kind == KinesisErrorKind::Refused && is_future {
            KinesisError { kind: KinesisErrorKind::NotYet, ..self }
        } else {
            self
        }
    }

    /// Whether waiting may mend it.
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

    /// What to do about it, as the end of a sentence; empty where the fault says it all.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.kind {
            KinesisErrorKind::Denied => format!("; allow kinesis:{} on it", self.call),
            KinesisErrorKind::Credentials => "; renew the AWS credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID and \
                                  AWS_SECRET_ACCESS_KEY, or a role)"
                .to_owned(),
            KinesisErrorKind::Broken => {
                "; look whether the endpoint and the region are right, and the network".to_owned()
            }
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

/// An error with all its causes. The SDK's own text says only where in the SDK it arose.
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
    fn what_waiting_may_mend_is_told_from_what_it_cannot() {
        let fault =
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
            assert!(fault(code).is_retryable(), "{code}");
        }
        for code in
            ["AccessDeniedException", "ResourceNotFoundException", "InvalidArgumentException", "ValidationException"]
        {
            assert!(!fault(code).is_retryable(), "{code}");
        }
        assert_eq!(fault("AccessDeniedException").hint(), "; allow kinesis:GetRecords on it");
    }
}
