//! Senders: each composes the messages of its streams and sends them to one destination, on a thread of its own, at its
//! rate.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinflow_dataflows::record::Stream;

use super::acks::{DestinationAcks, PendingMessage};
use super::delivery::DeliveryTracker;
use super::destinations::Destination;
use super::error::EmitError;
use super::generate::{MessageComposer, StreamStats};
use super::progress;

/// A destination, and the composers of its streams.
pub(crate) struct DestinationSender<'r> {
    pub(crate) acks: Arc<DestinationAcks>,
    pub(crate) destination: Box<dyn Destination>,
    /// One for each stream. Several take turns, message by message.
    pub(crate) composers: Vec<MessageComposer<'r>>,
}

/// Bytes that are sent at once without a rate: large enough to make system calls rare, small enough for the CPU caches.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// The longest time between two batches at a rate.
pub(crate) const PACED_BATCH_INTERVAL: Duration = Duration::from_millis(20);

/// Runs all senders until they are done or a stop request comes. `rate` is in messages per second over all senders.
///
/// # Errors
/// The first error of a sender, once all have ended. A closed standard output is no error.
pub(crate) fn run_senders(
    senders: Vec<DestinationSender<'_>>,
    rate: Option<f64>,
    delivery: &DeliveryTracker,
) -> Result<Vec<(Stream, StreamStats)>, EmitError> {
    run_threads(senders, rate, delivery, |draws, ended| progress::watch_delivery(delivery, Some(draws), ended))
}

/// As [`run_senders`], without showing progress.
///
/// # Errors
/// As [`run_senders`].
pub(crate) fn run_senders_unwatched(
    senders: Vec<DestinationSender<'_>>,
    rate: f64,
    delivery: &DeliveryTracker,
) -> Result<Vec<(Stream, StreamStats)>, EmitError> {
    run_threads(senders, Some(rate), delivery, |_, _| {})
}

/// Runs a thread for each sender. `watch` gets the number of draws, and a function that tells whether all have ended.
fn run_threads(
    senders: Vec<DestinationSender<'_>>,
    rate: Option<f64>,
    delivery: &DeliveryTracker,
    watch: impl FnOnce(u64, &dyn Fn() -> bool),
) -> Result<Vec<(Stream, StreamStats)>, EmitError> {
    let draws = senders.iter().flat_map(|sender| &sender.composers).map(MessageComposer::remaining_draws).sum();
    let streams: usize = senders.iter().map(|sender| sender.composers.len()).sum();
    std::thread::scope(|scope| {
        let threads: Vec<_> = senders
            .into_iter()
            .map(|sender| {
                let rate = rate.map(|rate| rate * sender.composers.len() as f64 / streams as f64);
                scope.spawn(move || run_sender(sender, rate, delivery))
            })
            .collect();
        watch(draws, &|| threads.iter().all(std::thread::ScopedJoinHandle::is_finished));
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect::<Result<Vec<_>, EmitError>>().map(|all_stats| all_stats.into_iter().flatten().collect())
    })
}

fn run_sender(
    mut sender: DestinationSender<'_>,
    rate: Option<f64>,
    delivery: &DeliveryTracker,
) -> Result<Vec<(Stream, StreamStats)>, EmitError> {
    let sent = send_all(&mut sender, rate, delivery);
    match sent.and_then(|()| sender.destination.finish()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(EmitError::Io { what: format!("write {}", sender.acks.name), cause: error })
        }
        _ => Ok(sender.composers.into_iter().map(|composer| (composer.stream, composer.stats)).collect()),
    }
}

fn send_all(sender: &mut DestinationSender<'_>, rate: Option<f64>, delivery: &DeliveryTracker) -> io::Result<()> {
    let DestinationSender { acks, destination, composers } = sender;
    let started = Instant::now();
    let batch_messages = rate.map_or(u64::MAX, |rate| ((rate * PACED_BATCH_INTERVAL.as_secs_f64()) as u64).max(1));
    let (mut batch, mut pending) = (Vec::with_capacity(BATCH_BYTES + 4096), Vec::new());
    let mut sent = 0_u64;
    while composers.iter().any(|composer| !composer.is_done()) && !delivery.stop.is_requested() {
        batch.clear();
        pending.clear();
        fill_batch(&mut batch, &mut pending, composers, batch_messages);
        acks.register(pending.iter().copied());
        destination.send(&batch)?;
        sent += pending.len() as u64;
        if let Some(rate) = rate {
            destination.flush()?;
            delivery.stop.sleep(Duration::from_secs_f64(sent as f64 / rate).saturating_sub(started.elapsed()));
        }
    }
    Ok(())
}

/// Fills a batch: composers take turns until it is full or they are done.
fn fill_batch(
    batch: &mut Vec<u8>,
    pending: &mut Vec<PendingMessage>,
    composers: &mut [MessageComposer<'_>],
    messages_max: u64,
) {
    while (pending.len() as u64) < messages_max && batch.len() < BATCH_BYTES {
        // The composer that is furthest behind is next, so the three messages of a draw stay together.
        let behind = composers
            .iter_mut()
            .max_by_key(|composer| (composer.remaining_draws(), std::cmp::Reverse(composer.stream)));
        let posts = match behind {
            Some(composer) if !composer.is_done() => {
                let before = composer.remaining_draws();
                composer.write_message(batch);
                before - composer.remaining_draws()
            }
            _ => break,
        };
        let resume_draw = composers.iter().map(|composer| composer.next_draw).min().unwrap_or(0);
        pending.push(PendingMessage { posts: posts as u32, resume_draw });
    }
}
