//! Sends to Kinesis streams: each line is a record, acknowledged or reported as failed.
//!
//! Records are sent in batches of up to 500, one batch at a time for each stream. Records that Kinesis does not take
//! are retried before the next batch, so records stay in order across batches. Delivery is at least once: a batch whose
//! response was lost is sent again, and its records may be there twice.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::Destination;
use super::STOPPED_REASON;
use super::key::{MessageKey, find_ind};
use crate::acks::{AckCounts, DestinationAcks};
use crate::delivery::DeliveryTracker;
use crate::error::EmitError;
use pinflow_core::backoff::Backoff;
use pinflow_core::key_problem::KeyProblem;
use pinflow_kinesis::{
    KinesisApi, KinesisConnection, KinesisConnectionError, KinesisError, KinesisErrorKind, PutEntry, PutResult,
};

/// Records in one `PutRecords`: the limit of Kinesis.
const MAX_BATCH_RECORDS: usize = 500;
/// Bytes in one `PutRecords`, including keys. Kinesis takes 5 MiB.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// How long calls may fail without progress before the records are given up.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
/// First and longest wait before a retry.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A connection to a region, and the streams it writes to.
pub(crate) struct KinesisOutput {
    shared: Arc<KinesisOutputState>,
}

struct KinesisOutputState {
    /// Senders are threads: they block on calls that run here.
    runtime: Runtime,
    api: KinesisApi,
    streams: Vec<StreamDelivery>,
    delivery: Arc<DeliveryTracker>,
}

/// Delivery counts of one stream.
struct StreamDelivery {
    stream: String,
    acks: Arc<DestinationAcks>,
    /// Records given up, by reason.
    reasons: Mutex<BTreeMap<String, u64>>,
}

impl KinesisOutput {
    /// Connects, and checks that the streams exist.
    ///
    /// # Errors
    /// If Kinesis cannot be reached, or a stream does not exist.
    pub(crate) fn connect(
        connection: KinesisConnection,
        streams: Vec<(String, Arc<DestinationAcks>)>,
        delivery: &Arc<DeliveryTracker>,
    ) -> Result<KinesisOutput, EmitError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kinesis")
            .enable_all()
            .build()
            .map_err(EmitError::io("start threads for Kinesis"))?;
        let api = runtime.block_on(async {
            let api = KinesisApi::connect(connection).await?;
            for (stream, _) in &streams {
                tokio::select! {
                    found = find_stream(&api, stream, delivery) => found?,
                    () = delivery.stop.requested() => {}
                }
            }
            Ok::<_, EmitError>(api)
        })?;
        let delivered = |(stream, acks)| StreamDelivery { stream, acks, reasons: Mutex::default() };
        let streams = streams.into_iter().map(delivered).collect();
        Ok(KinesisOutput {
            shared: Arc::new(KinesisOutputState { runtime, api, streams, delivery: Arc::clone(delivery) }),
        })
    }

    /// The destination of the stream at this index.
    pub(crate) fn open_destination(&self, place: usize, key: MessageKey) -> Box<dyn Destination> {
        Box::new(KinesisStreamDestination { shared: Arc::clone(&self.shared), place, key })
    }
}

/// Checks that a stream exists. A lack of permission to describe it is no error: writing does not require it.
async fn find_stream(api: &KinesisApi, stream: &str, delivery: &DeliveryTracker) -> Result<(), EmitError> {
    let deadline = Instant::now() + RETRY_TIMEOUT / 8;
    let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
    for attempt in 1.. {
        match api.describe_summary(stream).await {
            Ok(_) => {
                delivery.report_success(stream);
                return Ok(());
            }
            Err(error) if error.kind == KinesisErrorKind::Denied => return Ok(()),
            Err(error) if error.kind == KinesisErrorKind::Missing => {
                return Err(EmitError::NoStream { stream: stream.to_owned() });
            }
            Err(error) if !error.is_retryable() || Instant::now() >= deadline => {
                return Err(EmitError::StreamUnusable { stream: stream.to_owned(), error });
            }
            Err(error) => {
                let wait = backoff.next_wait();
                delivery.report_retry(stream, &error.what, attempt, wait);
                sleep(wait).await;
            }
        }
    }
    Ok(())
}

/// The destination of one stream.
struct KinesisStreamDestination {
    shared: Arc<KinesisOutputState>,
    place: usize,
    key: MessageKey,
}

impl KinesisStreamDestination {
    fn stream_delivery(&self) -> &StreamDelivery {
        &self.shared.streams[self.place]
    }

    fn to_put(&self, message: &[u8]) -> PutEntry {
        let ind = || find_ind(message).map(|ind| String::from_utf8_lossy(ind).into_owned());
        let key = match &self.key {
            MessageKey::Ind => ind(),
            MessageKey::None => None,
            MessageKey::Fixed(key) => Some(String::from_utf8_lossy(key).into_owned()),
        };
        // Kinesis requires a key. A random one spreads records over all shards.
        let key = key.filter(|key| !key.is_empty()).unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
        PutEntry { key, explicit_hash_key: None, data: message.to_vec() }
    }

    /// Sends records until each is acknowledged or given up.
    fn put_until_settled(&self, records: Vec<PutEntry>) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let numbers = records.iter().map(|_| self.stream_delivery().acks.count_sent()).collect();
        self.shared.runtime.block_on(self.retry_puts(records, numbers))
    }

    /// Retries until each record is acknowledged or given up. `numbers` are the records' numbers in their destination.
    async fn retry_puts(&self, mut left: Vec<PutEntry>, mut numbers: Vec<u64>) -> io::Result<()> {
        let (delivered, api, delivery) = (self.stream_delivery(), &self.shared.api, &self.shared.delivery);
        let mut attempt = 0;
        let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
        let mut progress = Instant::now();
        // Kinesis refuses a whole batch for one invalid record. Then this many records are sent one by one, to find it.
        let mut single_sends = 0;
        while !left.is_empty() {
            let batch_len = if single_sends > 0 { 1 } else { left.len() };
            let put = tokio::select! {
                put = api.put_records(&delivered.stream, &left[..batch_len]) => put,
                () = delivery.stop.grace_over() => return Err(self.give_up_on_stop(left.len())),
            };
            let reason = match put {
                Ok(written) => {
                    let (retry_flags, reason) = delivered.count_results(written, &numbers);
                    let before = left.len();
                    let mut retry = retry_flags.iter().copied();
                    left.retain(|_| retry.next().unwrap_or(true));
                    let mut retry = retry_flags.into_iter();
                    numbers.retain(|_| retry.next().unwrap_or(true));
                    if left.len() < before {
                        attempt = 0;
                        delivery.report_success(&delivered.stream);
                        (single_sends, progress) =
                            (single_sends - (before - left.len()).min(single_sends), Instant::now());
                        backoff.reset();
                    }
                    match reason {
                        None => continue,
                        Some(reason) => reason,
                    }
                }
                Err(error) if error.kind == KinesisErrorKind::Refused && batch_len > 1 => {
                    single_sends = batch_len;
                    continue;
                }
                Err(error) if error.kind == KinesisErrorKind::Refused => {
                    delivered.give_up(&error.what, 1);
                    delivered.acks.refuse(numbers.remove(0));
                    left.remove(0);
                    single_sends -= single_sends.min(1);
                    continue;
                }
                Err(error) if !error.is_retryable() => return Err(self.give_up_on_error(&error, left.len())),
                Err(error) => error.what,
            };
            if progress.elapsed() >= RETRY_TIMEOUT {
                delivered.give_up(&reason, left.len() as u64);
                return Err(io::Error::other(self.failure_text("; no more were sent")));
            }
            let wait = backoff.next_wait();
            attempt += 1;
            delivery.report_retry(&delivered.stream, &reason, attempt, wait);
            tokio::select! {
                () = sleep(wait) => {}
                () = delivery.stop.grace_over() => return Err(self.give_up_on_stop(left.len())),
            }
        }
        Ok(())
    }

    fn give_up_on_stop(&self, left: usize) -> io::Error {
        self.stream_delivery().give_up(STOPPED_REASON, left as u64);
        io::Error::other(self.failure_text(""))
    }

    fn give_up_on_error(&self, error: &KinesisError, left: usize) -> io::Error {
        self.stream_delivery().give_up(&format!("{error}{}", error.hint()), left as u64);
        io::Error::other(self.failure_text("; no more were sent"))
    }

    /// The failures of all streams, as text.
    fn failure_text(&self, rest: &str) -> String {
        let streams = &self.shared.streams;
        let AckCounts { sent, acknowledged, .. } = self.shared.delivery.counts();
        let mut text = format!("{} of {sent} messages were not acknowledged{rest}", sent.saturating_sub(acknowledged));
        for delivered in streams {
            for (reason, count) in delivered.reasons.lock().iter() {
                text.push_str(&format!("\n  {}: {count} times {reason}", delivered.stream));
            }
        }
        text
    }
}

impl StreamDelivery {
    /// Counts the results. Returns which records to retry, and why one of them was not taken.
    fn count_results(&self, written: Vec<PutResult>, numbers: &[u64]) -> (Vec<bool>, Option<String>) {
        let (mut retry_flags, mut why) = (Vec::with_capacity(written.len()), None);
        for (one, number) in written.into_iter().zip(numbers) {
            retry_flags.push(matches!(one, PutResult::NotTaken(_)));
            match one {
                PutResult::Acknowledged { .. } => self.acks.acknowledge(*number),
                PutResult::Refused(reason) => {
                    self.give_up(&reason, 1);
                    self.acks.refuse(*number);
                }
                PutResult::NotTaken(reason) => why = Some(reason),
            }
        }
        (retry_flags, why)
    }

    fn give_up(&self, reason: &str, records: u64) {
        *self.reasons.lock().entry(reason.to_owned()).or_default() += records;
    }
}

impl Destination for KinesisStreamDestination {
    fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        let (mut start, mut bytes, mut records) = (0, 0, Vec::new());
        for end in memchr::memchr_iter(b'\n', messages) {
            if self.shared.delivery.stop.is_requested() {
                return Ok(());
            }
            let record = self.to_put(&messages[start..end]);
            start = end + 1;
            let size = record.key.len() + record.data.len();
            if records.len() == MAX_BATCH_RECORDS || bytes + size > MAX_BATCH_BYTES {
                self.put_until_settled(std::mem::take(&mut records))?;
                bytes = 0;
            }
            bytes += size;
            records.push(record);
        }
        self.put_until_settled(records)
    }

    fn flush(&mut self) -> io::Result<()> {
        // All that was sent is acknowledged.
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let is_whole = self.stream_delivery().reasons.lock().is_empty();
        if is_whole { Ok(()) } else { Err(io::Error::other(self.failure_text(""))) }
    }
}

/// The prefix in `kinesis://PREFIX`. `None` if `to` is not such a URL.
pub(crate) fn parse_destination(to: &str) -> Option<&str> {
    to.strip_prefix("kinesis://").map(|prefix| prefix.trim_end_matches('/'))
}

/// A connection to a region, or to an endpoint that is not Amazon's own.
///
/// # Errors
/// If one of them is malformed.
pub(crate) fn region_connection(
    region: Option<&String>,
    endpoint: Option<&String>,
) -> Result<KinesisConnection, EmitError> {
    let connection = KinesisConnection { region: region.cloned(), profile: None, endpoint: endpoint.cloned() };
    let problems = connection.validate();
    if !problems.is_empty() {
        return Err(EmitError::KinesisRegion(KinesisConnectionError::Invalid(KeyProblem::texts(&problems))));
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinesis_url_is_parsed_into_prefix() {
        assert_eq!(parse_destination("kinesis://streaming-12e255fc4fcd"), Some("streaming-12e255fc4fcd"));
        assert_eq!(parse_destination("kinesis://a/"), Some("a"));
        assert_eq!(parse_destination("kinesis://"), Some(""));
        assert_eq!(parse_destination("kafka://a"), None);
    }
}
