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

/// What a client is for: each needs other settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientPurpose {
    /// Reading records and facts.
    Consumer,
    /// Writing records, each acknowledged.
    Producer,
    /// Making and describing topics.
    Admin,
}

/// A fault that is told again is logged again only after this long: librdkafka tells each at every attempt.
const LOG_REPEAT_INTERVAL: Duration = Duration::from_secs(30);
/// Distinct faults that are remembered.
const MAX_REMEMBERED_ERRORS: usize = 8;

/// Listens to a client of librdkafka. Cheap to clone; clones share what was heard.
///
/// Whoever holds a consumer must poll it, for only then is anything heard, tokens asked for among it.
#[derive(Clone)]
pub struct KafkaContext {
    iam: Option<IamTokenSigner>,
    errors: Arc<Mutex<VecDeque<ClientError>>>,
}

/// A fault of the connection, as librdkafka tells it.
struct ClientError {
    what: String,
    /// A broker was reached, and does not believe us, or we do not believe it: waiting does not help.
    refused: bool,
    logged: Option<Instant>,
}

impl KafkaContext {
    pub(crate) fn new(iam: Option<IamTokenSigner>) -> KafkaContext {
        KafkaContext { iam, errors: Arc::default() }
    }

    /// The faults that were heard of lately, each once, oldest first: why a broker cannot be reached.
    #[must_use]
    pub fn recent_errors(&self) -> Vec<String> {
        let errors = self.errors.lock();
        errors.iter().map(|error| error.what.clone()).collect()
    }

    /// Whether a broker was reached that does not believe us, or that we do not believe.
    pub(crate) fn is_rejected(&self) -> bool {
        let errors = self.errors.lock();
        errors.iter().any(|error| error.refused)
    }

    /// Remembers a fault, without a word.
    fn remember_error(&self, what: &str) {
        let mut errors = self.errors.lock();
        if !errors.iter().any(|error| error.what == what) {
            push_error(&mut errors, ClientError { what: what.to_owned(), refused: false, logged: None });
        }
    }

    /// Remembers a fault; tells whether it is to be logged.
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

/// What a fault says, without what changes from one attempt to the next: the thread and the milliseconds. That it came
/// at the first question of a connection is worth knowing.
fn stable_reason(reason: &str) -> String {
    let at_first = if reason.contains("in state APIVERSION_QUERY") { " at the first question" } else { "" };
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
        // One pass-through list serves readers and writers; each is told of the properties that are the other's.
        if fac == "CONFWARN" && message.contains("will be ignored by this") {
            return;
        }
        if fac == "FAIL" {
            // `error` tells most of these as well, but not all.
            self.remember_error(&stable_reason(message));
            tracing::debug!(target: "librdkafka", fac, "{message}");
            return;
        }
        match level {
            // What `error` says as well.
            Level::Emerg | Level::Alert | Level::Critical | Level::Error if fac == "ERROR" => {
                tracing::debug!(target: "librdkafka", fac, "{message}");
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", fac, reason = message, "the Kafka client reports an error");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", fac, reason = message, "the Kafka client warns"),
            Level::Notice | Level::Info => {
                tracing::info!(target: "librdkafka", fac, what = message, "the Kafka client reports");
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
        // That each broker is down was said before, with the reason.
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
                tracing::debug!(target: "pinflow::kafka", expires_ms = token.lifetime_ms, "token for MSK made");
                Ok(token)
            }
            Err(error) => {
                let what = format!("{:#}", anyhow::Error::new(error));
                if self.record_error(&what, true) {
                    tracing::warn!(target: "pinflow::kafka", reason = what, "no token for MSK could be made");
                }
                Err(what.replace('\0', " ").into())
            }
        }
    }
}

impl ConsumerContext for KafkaContext {}

/// For producers whose delivery reports nobody reads: tests and probes.
impl ProducerContext for KafkaContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_is_told_again_is_one_fault() {
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
    fn without_iam_there_is_no_token() {
        assert!(KafkaContext::new(None).generate_oauth_token(None).is_err());
    }
}
