//! Requests, one after the other on each way, until every record is acknowledged or given up.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Shared;
use super::bodies::{Bodies, Record};
use super::judge::{Fate, Verdict, judge};
use crate::backoff::Backoff;
use crate::emit::acks::{AckCounts, DestinationAcks};
use crate::emit::destinations::STOPPED;
use crate::emit::progress::write_line;

/// Records of one request; Kinesis takes no more.
const RECORDS_MAX: usize = 500;
/// Bytes of one request; proxies are seldom told to take more.
const BYTES_MAX: usize = 1 << 20;
/// How long records may be refused, or nobody answer, before they are given up. Waits that the server asks for do not count.
const PATIENCE: Duration = Duration::from_secs(120);
/// Reasons that are told apart.
const REASONS_MAX: usize = 20;
/// Bounds of the wait before a request is made again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A topic or stream, and what became of its records.
pub(super) struct Place {
    name: String,
    pub(super) acks: Arc<DestinationAcks>,
    /// How many were given up, by reason.
    reasons: Mutex<BTreeMap<String, u64>>,
    /// How many requests were made again, by reason.
    tries: Mutex<BTreeMap<String, u64>>,
}

impl Place {
    pub(super) fn new(name: String, acks: Arc<DestinationAcks>) -> Place {
        Place { name, acks, reasons: Mutex::default(), tries: Mutex::default() }
    }

    /// Counts what became of records; which of them are to be sent again, and why one of those was not taken.
    fn settle(&self, fates: Vec<Fate>, records: &[Record]) -> (Vec<bool>, Option<String>) {
        let (mut again, mut why) = (Vec::with_capacity(fates.len()), None);
        for (fate, record) in fates.into_iter().zip(records) {
            again.push(matches!(fate, Fate::Again(_)));
            match fate {
                Fate::Taken => self.acks.acknowledge(record.number),
                Fate::Refused(reason) => self.refuse(&reason, record.number),
                Fate::Again(reason) => why = Some(reason),
            }
        }
        (again, why)
    }

    /// Counts a record that the gateway will never take.
    pub(super) fn refuse(&self, reason: &str, number: u64) {
        self.give_up(reason, 1);
        self.acks.refuse(number);
    }

    /// Counts records that are not tried again.
    pub(super) fn give_up(&self, reason: &str, records: u64) {
        count(&self.reasons, reason, records);
    }

    /// Whether every record so far was acknowledged.
    pub(super) fn is_whole(&self) -> bool {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Says what had to be asked again, if anything.
    pub(super) fn say_tries(&self, bodies: Bodies) {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, times) in tries.iter() {
            write_line(&format!("{} {}: {times} requests were made again: {reason}", bodies.place(), self.name));
        }
    }
}

/// Counts by reason. Servers may put numbers into their words: beyond so many reasons they are counted as one.
fn count(counts: &Mutex<BTreeMap<String, u64>>, reason: &str, by: u64) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let reason = if counts.len() < REASONS_MAX || counts.contains_key(reason) { reason } else { "other reasons" };
    *counts.entry(reason.to_owned()).or_default() += by;
}

impl Shared {
    /// Whether no more is to be sent.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Sends no more: what is on its way meets the same fault.
    fn end(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// What was not acknowledged, of all topics or streams.
    pub(super) fn failures(&self, rest: &str) -> String {
        let AckCounts { sent, acknowledged, .. } = self.delivery.counts();
        let mut text = format!("{} of {sent} messages were not acknowledged{rest}", sent.saturating_sub(acknowledged));
        for place in &self.places {
            for (reason, count) in place.reasons.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                text.push_str(&format!("\n  {}: {count} times {reason}", place.name));
            }
        }
        text
    }
}

/// Makes requests of what comes, until nothing more does.
pub(super) async fn carry(shared: Arc<Shared>, place: usize, mut inbox: mpsc::Receiver<Record>) {
    let mut waiting = Vec::new();
    while inbox.recv_many(&mut waiting, RECORDS_MAX).await > 0 {
        while !waiting.is_empty() {
            let rest = waiting.split_off(fitting(&waiting));
            let request = std::mem::replace(&mut waiting, rest);
            Request { shared: &shared, place: &shared.places[place] }.settle(request).await;
        }
    }
}

/// How many of the first records fit into one request: at least one.
fn fitting(records: &[Record]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Record| {
        bytes += record.size();
        bytes <= BYTES_MAX
    };
    records.iter().take(RECORDS_MAX).take_while(fits).count().max(1)
}

struct Request<'s> {
    shared: &'s Shared,
    place: &'s Place,
}

impl Request<'_> {
    /// Asks until each record is acknowledged or given up.
    async fn settle(&self, mut left: Vec<Record>) {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        let mut patience = Instant::now() + PATIENCE;
        let (delivery, mut attempt) = (&self.shared.delivery, 0);
        // Fewer than all once they were too large together.
        let mut many = left.len();
        while !left.is_empty() {
            if self.shared.is_broken() {
                let reason =
                    if delivery.stop.is_requested() { STOPPED } else { "it was not sent, for another could not be" };
                self.place.give_up(reason, left.len() as u64);
                return;
            }
            let asked = many.min(left.len());
            let verdict = tokio::select! {
                verdict = self.ask(&left[..asked]) => verdict,
                () = delivery.stop.grace_over() => return self.stop(left.len()),
            };
            let (reason, wait) = match verdict {
                Verdict::Fates(fates) => {
                    let (again, reason) = self.place.settle(fates, &left);
                    let before = left.len();
                    let mut again = again.into_iter();
                    left.retain(|_| again.next().unwrap_or(true));
                    if left.len() < before {
                        patience = Instant::now() + PATIENCE;
                        attempt = 0;
                        backoff.reset();
                        delivery.report_success(&self.place.name);
                    }
                    match reason {
                        None => continue,
                        Some(reason) => (reason, None),
                    }
                }
                Verdict::TooLarge(_) if asked > 1 => {
                    many = asked.div_ceil(2);
                    continue;
                }
                Verdict::TooLarge(reason) => {
                    self.place.refuse(&reason, left.remove(0).number);
                    continue;
                }
                Verdict::Refused(reason) => {
                    self.place.give_up(&reason, left.len() as u64);
                    self.shared.end();
                    return;
                }
                Verdict::Again(reason, wait) => (reason, wait),
            };
            if Instant::now() >= patience {
                self.place.give_up(&reason, left.len() as u64);
                self.shared.end();
                return;
            }
            count(&self.place.tries, &reason, 1);
            patience += wait.unwrap_or_default();
            let wait = wait.unwrap_or_default().max(backoff.wait());
            attempt += 1;
            delivery.report_retry(&self.place.name, &reason, attempt, wait);
            tokio::select! {
                () = sleep(wait) => {}
                () = delivery.stop.grace_over() => return self.stop(left.len()),
            }
        }
    }

    /// Gives records up after a request to stop.
    fn stop(&self, left: usize) {
        self.place.give_up(STOPPED, left as u64);
        self.shared.end();
    }

    /// Makes one request.
    async fn ask(&self, records: &[Record]) -> Verdict {
        let Shared { http, url, bodies, token, .. } = self.shared;
        let url = bodies.url(url, &self.place.name, records.len());
        let mut request = http.request(bodies.method(), url).body(bodies.body(&self.place.name, records));
        request = request.header(CONTENT_TYPE, bodies.content_type());
        if *bodies == Bodies::Kafka {
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
            Ok((status, after, body)) => judge(*bodies, status, after.as_deref(), &body, records.len()),
            Err(error) => failed(&error),
        }
    }
}

/// A request that has no answer. What the certificate is refused for will not pass.
fn failed(error: &reqwest::Error) -> Verdict {
    let mut chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let cause = chain.clone().last().map(ToString::to_string).unwrap_or_default();
    if chain.any(|cause| cause.to_string().contains("invalid peer certificate")) {
        return Verdict::Refused(format!("{cause}; --ca FILE, or SSL_CERT_FILE, names an authority to trust"));
    }
    let what = match error {
        error if error.is_timeout() => "no answer came in time",
        error if error.is_connect() => "it cannot be reached",
        _ => "the connection was cut",
    };
    Verdict::Again(format!("{what}: {cause}"), None)
}
