//! Sends the records of each queue, one request at a time, until every record is acknowledged or given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::GatewayOutputState;
use super::protocol::{GatewayProtocol, GatewayRecord};
use super::response::{RecordResult, ResponseOutcome, interpret_response};
use crate::acks::{AckCounts, DestinationAcks};
use crate::destinations::STOPPED_REASON;
use crate::progress::write_line;
use pinflow_core::backoff::Backoff;

/// Records in one request: the limit of Kinesis.
const MAX_BATCH_RECORDS: usize = 500;
/// Bytes in one request. Proxies seldom accept more.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// How long requests may fail without progress before the records are given up. The server's `Retry-After` does not
/// count.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
/// How many different reasons are counted.
const MAX_DISTINCT_REASONS: usize = 20;
/// First and longest wait before a retry.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A topic or stream, and the failures of its records.
pub(super) struct GatewayTarget {
    name: String,
    pub(super) acks: Arc<DestinationAcks>,
    /// Records given up, by reason.
    reasons: Mutex<BTreeMap<String, u64>>,
    /// Retried requests, by reason.
    retry_reasons: Mutex<BTreeMap<String, u64>>,
}

impl GatewayTarget {
    pub(super) fn new(name: String, acks: Arc<DestinationAcks>) -> GatewayTarget {
        GatewayTarget { name, acks, reasons: Mutex::default(), retry_reasons: Mutex::default() }
    }

    /// Counts the results. Returns which records to retry, and why one of them was not accepted.
    fn count_results(&self, results: Vec<RecordResult>, records: &[GatewayRecord]) -> (Vec<bool>, Option<String>) {
        let (mut retry_flags, mut why) = (Vec::with_capacity(results.len()), None);
        for (result, record) in results.into_iter().zip(records) {
            retry_flags.push(matches!(result, RecordResult::Retry(_)));
            match result {
                RecordResult::Accepted => self.acks.acknowledge(record.number),
                RecordResult::Refused(reason) => self.refuse(&reason, record.number),
                RecordResult::Retry(reason) => why = Some(reason),
            }
        }
        (retry_flags, why)
    }

    /// Counts a record that the gateway will never accept.
    pub(super) fn refuse(&self, reason: &str, number: u64) {
        self.give_up(reason, 1);
        self.acks.refuse(number);
    }

    /// Counts records that are given up.
    pub(super) fn give_up(&self, reason: &str, records: u64) {
        count_reason(&self.reasons, reason, records);
    }

    /// Whether no record was given up.
    pub(super) fn is_fully_acknowledged(&self) -> bool {
        self.reasons.lock().is_empty()
    }

    /// Reports the retries of this target, by reason.
    pub(super) fn log_retries(&self, protocol: GatewayProtocol) {
        let retry_reasons = self.retry_reasons.lock();
        for (reason, times) in retry_reasons.iter() {
            write_line(&format!(
                "{} {}: {times} requests were made again: {reason}",
                protocol.target_noun(),
                self.name
            ));
        }
    }
}

/// Counts by reason. Servers may put changing numbers into their messages: once there are too many reasons, new ones
/// are counted as "other reasons".
fn count_reason(counts: &Mutex<BTreeMap<String, u64>>, reason: &str, by: u64) {
    let mut counts = counts.lock();
    let reason =
        if counts.len() < MAX_DISTINCT_REASONS || counts.contains_key(reason) { reason } else { "other reasons" };
    *counts.entry(reason.to_owned()).or_default() += by;
}

impl GatewayOutputState {
    /// Whether sending has stopped after a failure.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Stops sending: what is in flight meets the same failure.
    fn stop_sending(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// The failures of all topics or streams, as text.
    pub(super) fn failure_text(&self, rest: &str) -> String {
        let AckCounts { sent, acknowledged, .. } = self.delivery.counts();
        let mut text = format!("{} of {sent} messages were not acknowledged{rest}", sent.saturating_sub(acknowledged));
        for target in &self.targets {
            for (reason, count) in target.reasons.lock().iter() {
                text.push_str(&format!("\n  {}: {count} times {reason}", target.name));
            }
        }
        text
    }
}

/// Sends what arrives in `inbox`, until it is closed.
pub(super) async fn send_queued(
    shared: Arc<GatewayOutputState>,
    target: usize,
    mut inbox: mpsc::Receiver<GatewayRecord>,
) {
    let mut waiting = Vec::new();
    while inbox.recv_many(&mut waiting, MAX_BATCH_RECORDS).await > 0 {
        while !waiting.is_empty() {
            let rest = waiting.split_off(count_fitting(&waiting));
            let request = std::mem::replace(&mut waiting, rest);
            BatchRequest { shared: &shared, target: &shared.targets[target] }.send_until_settled(request).await;
        }
    }
}

/// How many of the first records fit into one request. At least one.
fn count_fitting(records: &[GatewayRecord]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&GatewayRecord| {
        bytes += record.request_bytes();
        bytes <= MAX_BATCH_BYTES
    };
    records.iter().take(MAX_BATCH_RECORDS).take_while(fits).count().max(1)
}

struct BatchRequest<'s> {
    shared: &'s GatewayOutputState,
    target: &'s GatewayTarget,
}

impl BatchRequest<'_> {
    /// Sends and retries until each record is acknowledged or given up.
    async fn send_until_settled(&self, mut left: Vec<GatewayRecord>) {
        let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
        let mut deadline = Instant::now() + RETRY_TIMEOUT;
        let (delivery, mut attempt) = (&self.shared.delivery, 0);
        // Halved each time a request was too large.
        let mut max_batch_len = left.len();
        while !left.is_empty() {
            if self.shared.is_broken() {
                let reason = if delivery.stop.is_requested() {
                    STOPPED_REASON
                } else {
                    "it was not sent, for another could not be"
                };
                self.target.give_up(reason, left.len() as u64);
                return;
            }
            let batch_len = max_batch_len.min(left.len());
            let outcome = tokio::select! {
                outcome = self.send_request(&left[..batch_len]) => outcome,
                () = delivery.stop.grace_over() => return self.give_up_on_stop(left.len()),
            };
            let (reason, wait) = match outcome {
                ResponseOutcome::PerRecord(results) => {
                    let (retry_flags, reason) = self.target.count_results(results, &left);
                    let before = left.len();
                    let mut retry_flags = retry_flags.into_iter();
                    left.retain(|_| retry_flags.next().unwrap_or(true));
                    if left.len() < before {
                        deadline = Instant::now() + RETRY_TIMEOUT;
                        attempt = 0;
                        backoff.reset();
                        delivery.report_success(&self.target.name);
                    }
                    match reason {
                        None => continue,
                        Some(reason) => (reason, None),
                    }
                }
                ResponseOutcome::TooLarge(_) if batch_len > 1 => {
                    max_batch_len = batch_len.div_ceil(2);
                    continue;
                }
                ResponseOutcome::TooLarge(reason) => {
                    self.target.refuse(&reason, left.remove(0).number);
                    continue;
                }
                ResponseOutcome::Refused(reason) => {
                    self.target.give_up(&reason, left.len() as u64);
                    self.shared.stop_sending();
                    return;
                }
                ResponseOutcome::Retry(reason, wait) => (reason, wait),
            };
            if Instant::now() >= deadline {
                self.target.give_up(&reason, left.len() as u64);
                self.shared.stop_sending();
                return;
            }
            count_reason(&self.target.retry_reasons, &reason, 1);
            deadline += wait.unwrap_or_default();
            let wait = wait.unwrap_or_default().max(backoff.next_wait());
            attempt += 1;
            delivery.report_retry(&self.target.name, &reason, attempt, wait);
            tokio::select! {
                () = sleep(wait) => {}
                () = delivery.stop.grace_over() => return self.give_up_on_stop(left.len()),
            }
        }
    }

    /// Gives up the remaining records after a stop request.
    fn give_up_on_stop(&self, left: usize) {
        self.target.give_up(STOPPED_REASON, left as u64);
        self.shared.stop_sending();
    }

    /// Sends one request.
    async fn send_request(&self, records: &[GatewayRecord]) -> ResponseOutcome {
        let GatewayOutputState { http, url, protocol, token, .. } = self.shared;
        let url = protocol.request_url(url, &self.target.name, records.len());
        let mut request =
            http.request(protocol.http_method(), url).body(protocol.request_body(&self.target.name, records));
        request = request.header(CONTENT_TYPE, protocol.content_type());
        if *protocol == GatewayProtocol::Kafka {
            request = request.header(ACCEPT, "application/vnd.kafka.v2+json");
        }
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        let answer = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()).map(str::to_owned);
            Ok((status, after, response.bytes().await?))
        };
        match answer.await {
            Ok((status, after, body)) => interpret_response(*protocol, status, after.as_deref(), &body, records.len()),
            Err(error) => interpret_error(&error),
        }
    }
}

/// What a request without a response means. An invalid certificate stays invalid: no retry.
fn interpret_error(error: &reqwest::Error) -> ResponseOutcome {
    let mut chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let cause = chain.clone().last().map(ToString::to_string).unwrap_or_default();
    if chain.any(|cause| cause.to_string().contains("invalid peer certificate")) {
        return ResponseOutcome::Refused(format!("{cause}; --ca FILE, or SSL_CERT_FILE, names an authority to trust"));
    }
    let what = match error {
        error if error.is_timeout() => "no answer came in time",
        error if error.is_connect() => "it cannot be reached",
        _ => "the connection was cut",
    };
    ResponseOutcome::Retry(format!("{what}: {cause}"), None)
}
