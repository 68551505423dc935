//! Reaching a cluster: its metadata, or why it cannot be had and what to do about it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::client::Client;
use super::connection::Brokers;

/// How long a question waits before what librdkafka has heard meanwhile is looked at.
const SLICE: Duration = Duration::from_millis(500);

/// No broker answered.
#[derive(Debug, thiserror::Error)]
#[error("no broker of {brokers} answered within {} s{}", waited.as_secs(), list(troubles))]
pub struct Unreachable {
    /// Where it was to be reached.
    pub brokers: Brokers,
    /// How long.
    pub waited: Duration,
    /// What librdkafka told of it, each with its mend.
    pub troubles: Vec<String>,
}

fn list(troubles: &[String]) -> String {
    troubles.iter().map(|trouble| format!("\n  {trouble}")).collect()
}

/// The metadata of one topic, or of all that may be seen. Waits for a broker, but not for one that refuses us.
///
/// # Errors
/// [`Unreachable`], with what stood in the way.
pub fn metadata(
    observer: &BaseConsumer<Client>,
    brokers: &Brokers,
    topic: Option<&str>,
    patience: Duration,
) -> Result<Metadata, Unreachable> {
    let asked = Instant::now();
    loop {
        let left = patience.saturating_sub(asked.elapsed());
        let answer = observer.fetch_metadata(topic, SLICE.min(left.max(Duration::from_millis(1))));
        // Only when it is polled does it tell what it heard, and is it given a token. There is nothing to read.
        while observer.poll(Duration::ZERO).is_some() {}
        let error = match answer {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        let client = observer.client().context();
        if left.is_zero() || client.is_refused() || !passing(&error) {
            let mut troubles = client.troubles().iter().map(|trouble| mended(trouble)).collect::<Vec<_>>();
            if troubles.is_empty() {
                troubles.push(error.to_string());
            }
            return Err(Unreachable { brokers: brokers.clone(), waited: asked.elapsed(), troubles });
        }
    }
}

/// Whether asking again may help.
fn passing(error: &KafkaError) -> bool {
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
pub(crate) fn mended(trouble: &str) -> String {
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
    match mends.iter().find(|(sign, _)| trouble.contains(sign)) {
        Some((_, mend)) => format!("{trouble} ({mend})"),
        None => trouble.to_owned(),
    }
}
