//! Receives what librdkafka reports: logs and errors go to `tracing`, token requests to `iam`.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::iam::IamTokenSigner;
use pinflow_core::error_text::error_text;

/// The purpose of a client, which determines its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientPurpose {
    /// Reads records and metadata.
    Consumer,
    /// Writes records with acknowledgement.
    Producer,
    /// Creates and describes topics.
    Admin,
}

/// librdkafka reports an error at every attempt. The same error is logged again only after this long.
const LOG_REPEAT_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum number of distinct errors that are kept.
const MAX_REMEMBERED_ERRORS: usize = 8;

/// Handles the callbacks of a librdkafka client. Cheap to clone; clones share the recent errors.
///
/// The owner of a consumer must poll it. Callbacks, including token requests, only run during a poll.
#[derive(Clone)]
pub struct KafkaContext {
    iam: Option<IamTokenSigner>,
    errors: Arc<Mutex<VecDeque<ClientError>>>,
}

/// A connection error as reported by librdkafka.
struct ClientError {
    what: String,
    /// A broker was reached, but authentication or certificate verification failed. Retrying does not help.
    refused: bool,
    logged: Option<Instant>,
}

impl KafkaContext {
    pub(crate) fn new(iam: Option<IamTokenSigner>) -> KafkaContext {
        KafkaContext { iam, errors: Arc::default() }
    }

    /// The recent connection errors, each once, oldest first. They explain why no broker can be reached.
    #[must_use]
    pub fn recent_errors(&self) -> Vec<String> {
        let errors = self.errors.lock();
        errors.iter().map(|error| error.what.clone()).collect()
    }

    /// Whether a broker was reached but authentication or certificate verification failed.
    pub(crate) fn is_rejected(&self) -> bool {
        let errors = self.errors.lock();
        errors.iter().any(|error| error.refused)
    }

    /// Adds an error to the recent ones without logging it.
    fn remember_error(&self, what: &str) {
        let mut errors = self.errors.lock();
        if !errors.iter().any(|error| error.what == what) {
            push_error(&mut errors, ClientError { what: what.to_owned(), refused: false, logged: None });
        }
    }

    /// Adds an error to the recent ones. Returns whether it is to be logged.
    fn record_error(&self, what: &str, refused: bool) -> bool {
        let mut errors = self.errors.lock();
        let now = Instant::now();
        if let Some(known) = errors.iter_mut().find(|error| error.what == what) {
            let due = known.logged.is_none_or(|logged| now.duration_since(logged) >= LOG_REPEAT_INTERVAL);
            if due {
                known.logged = Some(now);
            }
            known.refused |= refused;
            return due;
        }
        push_error(&mut errors, ClientError { what: what.to_owned(), refused, logged: Some(now) });
        true
    }
}

fn push_error(errors: &mut VecDeque<ClientError>, error: ClientError) {
    if errors.len() == MAX_REMEMBERED_ERRORS {
        errors.pop_front();
    }
    errors.push_back(error);
}

/// The text of an error without the parts that change with each attempt: the thread and the milliseconds. Keeps the
/// information that the first request of a connection failed, which hints at a TLS mismatch.
fn stable_reason(reason: &str) -> String {
    let at_first = if reason.contains("in state APIVERSION_QUERY") { " at the first request" } else { "" };
    let text = reason.rsplit_once(" (after ").map_or(reason, |(text, _)| text);
    let text = match text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, text)) => text,
        None => text,
    };
    format!("{}{at_first}", text.trim())
}

impl ClientContext for KafkaContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        use RDKafkaLogLevel as Level;
        // One list of properties serves consumers and producers. librdkafka warns each about the properties of the
        // other.
        if fac == "CONFWARN" && message.contains("will be ignored by this") {
            return;
        }
        if fac == "FAIL" {
            // Most of these errors are also passed to the `error` callback, but not all.
            self.remember_error(&stable_reason(message));
            tracing::debug!(target: "librdkafka", fac, "{message}");
            return;
        }
        match level {
            // The `error` callback reports these too.
            Level::Emerg | Level::Alert | Level::Critical | Level::Error if fac == "ERROR" => {
                tracing::debug!(target: "librdkafka", fac, "{message}");
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", fac, reason = message, "Kafka client error");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", fac, reason = message, "Kafka client warning"),
            Level::Notice | Level::Info => {
                tracing::info!(target: "librdkafka", fac, what = message, "Kafka client notice");
            }
            Level::Debug => tracing::debug!(target: "librdkafka", fac, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        tracing::debug!(target: "librdkafka", "{}", String::from_utf8_lossy(statistics));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let what = stable_reason(reason);
        let code = error.rdkafka_error_code();
        // The error of each broker was reported before, with its reason.
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::debug!(target: "pinflow::kafka", "{what}");
            return;
        }
        let refused = matches!(code, Some(RDKafkaErrorCode::SSL | RDKafkaErrorCode::Authentication));
        if self.record_error(&what, refused) {
            tracing::warn!(target: "pinflow::kafka", reason = what, "Kafka cannot be reached");
        } else {
            tracing::debug!(target: "pinflow::kafka", "{what}");
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let iam = self.iam.as_ref().ok_or("no sasl mechanism that uses tokens is configured")?;
        match iam.create_token() {
            Ok(token) => {
                tracing::debug!(target: "pinflow::kafka", expires_ms = token.lifetime_ms, "created a token for MSK");
                Ok(token)
            }
            Err(error) => {
                let what = error_text(&error);
                if self.record_error(&what, true) {
                    tracing::warn!(target: "pinflow::kafka", reason = what, "cannot create a token for MSK");
                }
                Err(what.replace('\0', " ").into())
            }
        }
    }
}

impl ConsumerContext for KafkaContext {}

/// For producers whose delivery reports are not needed: tests and probes.
impl ProducerContext for KafkaContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_error_is_kept_once() {
        let client = KafkaContext::new(None);
        for after in [1, 2] {
            let reason = format!(
                "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: refused (after {after}ms in state CONNECT)"
            );
            client.error(KafkaError::Canceled, &reason);
        }
        assert_eq!(client.recent_errors(), ["localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: refused"]);
        for number in 0..100 {
            client.error(KafkaError::Canceled, &format!("fault {number}"));
        }
        assert_eq!(client.recent_errors().len(), MAX_REMEMBERED_ERRORS);
        assert_eq!(client.recent_errors().last().map(String::as_str), Some("fault 99"));
    }

    #[test]
    fn token_request_without_iam_fails() {
        assert!(KafkaContext::new(None).generate_oauth_token(None).is_err());
    }
}
