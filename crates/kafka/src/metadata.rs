//! Fetches the metadata of a cluster. A failure lists the causes, each with a hint.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::client_context::KafkaContext;
use super::connection::BrokerList;

/// How long a question waits before what librdkafka has heard meanwhile is looked at.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// No broker answered.
#[derive(Debug, thiserror::Error)]
#[error("no broker of {brokers} answered within {} s{}", waited.as_secs(), format_causes(errors))]
pub struct ClusterUnreachable {
    /// Where it was to be reached.
    pub brokers: BrokerList,
    /// How long.
    pub waited: Duration,
    /// What librdkafka told of it, each with its mend.
    pub errors: Vec<String>,
}

fn format_causes(errors: &[String]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

/// The metadata of one topic, or of all that may be seen. Waits for a broker, but not for one that refuses us.
///
/// # Errors
/// [`ClusterUnreachable`], with what stood in the way.
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
        // Only when it is polled does it tell what it heard, and is it given a token. There is nothing to read.
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

/// Whether asking again may help.
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

/// A fault in librdkafka's words, and what to do about it.
pub(crate) fn with_hint(error: &str) -> String {
    let mends = [
        (
            "certificate verify failed",
            "the certificate is over, names another host, or is not vouched for by an authority that is trusted: the \
             latter is named by tls = { ca = \"…\" }",
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
        ("wrong version number", "the broker speaks no TLS here: leave tls and sasl out"),
        ("at the first question", "it may speak TLS here: security = \"tls\""),
        ("SSL handshake failed: Disconnected", "the broker speaks no TLS here: leave tls and sasl out"),
        ("Authentication failed", "check sasl username and password, and its mechanism"),
        ("authentication error", "check sasl username and password, and its mechanism"),
        ("Connection refused", "nothing listens there: check brokers, and whether the broker runs"),
        ("resolve", "no such host: check brokers"),
    ];
    match mends.iter().find(|(sign, _)| error.contains(sign)) {
        Some((_, mend)) => format!("{error} ({mend})"),
        None => error.to_owned(),
    }
}
