//! Requests, one after the other on each way, until every record is acknowledged or given up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Shared;
use super::bodies::{Bodies, Record};
use super::judge::{Fate, Verdict, judge};
use crate::backoff::Backoff;
use crate::emit::progress::say;

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
    sent: AtomicU64,
    acknowledged: AtomicU64,
    /// How many were given up, by reason.
    reasons: Mutex<BTreeMap<String, u64>>,
    /// How many requests were made again, by reason.
    tries: Mutex<BTreeMap<String, u64>>,
}

impl Place {
    pub(super) fn new(name: &str) -> Place {
        Place {
            name: name.to_owned(),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            reasons: Mutex::default(),
            tries: Mutex::default(),
        }
    }

    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts what became of records; which of them are to be sent again, and why one of those was not taken.
    fn settle(&self, fates: Vec<Fate>) -> (Vec<bool>, Option<String>) {
        let (mut taken, mut again, mut why) = (0, Vec::with_capacity(fates.len()), None);
        for fate in fates {
            again.push(matches!(fate, Fate::Again(_)));
            match fate {
                Fate::Taken => taken += 1,
                Fate::Refused(reason) => self.give_up(&reason, 1),
                Fate::Again(reason) => why = Some(reason),
            }
        }
        self.acknowledged.fetch_add(taken, Ordering::AcqRel);
        (again, why)
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
            say(&format!("{} {}: {times} requests were made again: {reason}", bodies.place(), self.name));
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
        let sum = |of: fn(&Place) -> &AtomicU64| {
            self.places.iter().map(|place| of(place).load(Ordering::Acquire)).sum::<u64>()
        };
        let (sent, acknowledged) = (sum(|place| &place.sent), sum(|place| &place.acknowledged));
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
        // Fewer than all once they were too large together.
        let mut many = left.len();
        while !left.is_empty() {
            if self.shared.is_broken() {
                self.place.give_up("it was not sent, for another could not be", left.len() as u64);
                return;
            }
            let asked = many.min(left.len());
            let (reason, wait) = match self.ask(&left[..asked]).await {
                Verdict::Fates(fates) => {
                    let (again, reason) = self.place.settle(fates);
                    let before = left.len();
                    let mut again = again.into_iter();
                    left.retain(|_| again.next().unwrap_or(true));
                    if left.len() < before {
                        patience = Instant::now() + PATIENCE;
                        backoff.reset();
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
                    self.place.give_up(&reason, 1);
                    left.remove(0);
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
            sleep(wait.unwrap_or_default().max(backoff.wait())).await;
        }
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
