//! Fetches the metadata of a cluster. A failure lists the causes, each with a hint.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::broker_list::BrokerList;
use super::client_context::KafkaContext;

/// Duration of one metadata request, after which the errors reported so far are checked.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// No broker responded.
#[derive(Debug, thiserror::Error)]
#[error("no broker of {brokers} answered within {} s{}", waited.as_secs(), format_causes(errors))]
pub struct ClusterUnreachable {
    /// The brokers that were tried.
    pub brokers: BrokerList,
    /// How long a response was awaited.
    pub waited: Duration,
    /// The errors that librdkafka reported, each with a hint.
    pub errors: Vec<String>,
}

fn format_causes(errors: &[String]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

/// Fetches the metadata of one topic, or of all visible topics. Retries until a broker responds, unless a broker
/// rejects the client.
///
/// # Errors
/// [`ClusterUnreachable`], with the causes.
pub fn fetch_metadata(
    observer: &BaseConsumer<KafkaContext>,
    brokers: &BrokerList,
    topic: Option<&str>,
    patience: Duration,
) -> Result<Metadata, ClusterUnreachable> {
    let asked = Instant::now();
    loop {
        let left = patience.saturating_sub(asked.elapsed());
        let answer = observer.fetch_metadata(topic, ATTEMPT_TIMEOUT.min(left.max(Duration::from_millis(1))));
        // Callbacks and token requests only run during a poll. There is nothing to read.
        while observer.poll(Duration::ZERO).is_some() {}
        let error = match answer {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        let client = observer.client().context();
        if left.is_zero() || client.is_rejected() || !is_retryable(&error) {
            let mut errors = client.recent_errors().iter().map(|error| with_hint(error)).collect::<Vec<_>>();
            if errors.is_empty() {
                errors.push(error.to_string());
            }
            return Err(ClusterUnreachable { brokers: brokers.clone(), waited: asked.elapsed(), errors });
        }
    }
}

/// Whether a retry can succeed.
fn is_retryable(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::OperationTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::LeaderNotAvailable
                | Code::RequestTimedOut
                | Code::Resolve
        )
    )
}

/// An error of librdkafka, followed by a hint.
pub(crate) fn with_hint(error: &str) -> String {
    let hints = [
        (
            "certificate verify failed",
            "the certificate has expired, is for another host, or its authority is not trusted; set the authority \
             with tls = { ca = \"…\" }",
        ),
        (
            "certificate required",
            "the broker requires a client certificate; set tls = { certificate = \"…\", key = \"…\" }",
        ),
        (
            "bad certificate",
            "the broker rejects the client certificate; correct tls = { certificate = \"…\", key = \"…\" }",
        ),
        ("alert", "the broker rejects the client certificate; correct tls = { certificate = \"…\", key = \"…\" }"),
        ("wrong version number", "the broker does not use TLS on this port; remove tls and sasl"),
        ("at the first request", "the broker may require TLS; set security = \"tls\""),
        ("SSL handshake failed: Disconnected", "the broker does not use TLS on this port; remove tls and sasl"),
        ("Authentication failed", "check sasl username and password, and its mechanism"),
        ("authentication error", "check sasl username and password, and its mechanism"),
        ("Connection refused", "nothing listens on that port; correct brokers, or start the broker"),
        ("resolve", "no such host; correct brokers"),
    ];
    match hints.iter().find(|(sign, _)| error.contains(sign)) {
        Some((_, hint)) => format!("{error} ({hint})"),
        None => error.to_owned(),
    }
}
