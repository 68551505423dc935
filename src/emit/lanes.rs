//! Lanes: each takes the messages of its streams to its destination, on its own thread, at its own pace.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use pinflow_dataflows::record::Stream;

use super::acks::{DestinationAcks, PendingMessage};
use super::composer::Composer;
use super::delivery::Delivery;
use super::destinations::Destination;
use super::progress;
use super::tally::Tally;

/// A destination and what goes there.
pub(crate) struct Lane<'r> {
    /// What was sent and acknowledged.
    pub(crate) acks: Arc<DestinationAcks>,
    pub(crate) destination: Box<dyn Destination>,
    /// One per stream; several take turns, message by message.
    pub(crate) composers: Vec<Composer<'r>>,
}

/// Sent at once where nothing paces them: large enough to make system calls rare, small enough for the caches.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// Paced messages leave at least so often.
pub(crate) const BEAT: Duration = Duration::from_millis(20);

/// Runs all lanes to their ends, or to a request to stop. `rate` is in messages a second over all lanes.
///
/// # Errors
/// The first failure of a lane, once all have ended. A lane that nobody reads any more has not failed.
pub(crate) fn run(
    lanes: Vec<Lane<'_>>,
    rate: Option<f64>,
    delivery: &Delivery,
) -> anyhow::Result<Vec<(Stream, Tally)>> {
    let draws = lanes.iter().flat_map(|lane| &lane.composers).map(Composer::left).sum();
    let streams: usize = lanes.iter().map(|lane| lane.composers.len()).sum();
    std::thread::scope(|scope| {
        let threads: Vec<_> = lanes
            .into_iter()
            .map(|lane| {
                let rate = rate.map(|rate| rate * lane.composers.len() as f64 / streams as f64);
                scope.spawn(move || run_lane(lane, rate, delivery))
            })
            .collect();
        let ended = || threads.iter().all(std::thread::ScopedJoinHandle::is_finished);
        progress::watch(delivery, Some(draws), ended);
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect::<anyhow::Result<Vec<_>>>().map(|tallies| tallies.into_iter().flatten().collect())
    })
}

fn run_lane(mut lane: Lane<'_>, rate: Option<f64>, delivery: &Delivery) -> anyhow::Result<Vec<(Stream, Tally)>> {
    let sent = send_all(&mut lane, rate, delivery);
    match sent.and_then(|()| lane.destination.finish()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).with_context(|| format!("write {}", lane.acks.name))
        }
        _ => Ok(lane.composers.into_iter().map(|composer| (composer.stream, composer.tally)).collect()),
    }
}

fn send_all(lane: &mut Lane<'_>, rate: Option<f64>, delivery: &Delivery) -> io::Result<()> {
    let Lane { acks, destination, composers } = lane;
    let started = Instant::now();
    let batch_messages = rate.map_or(u64::MAX, |rate| ((rate * BEAT.as_secs_f64()) as u64).max(1));
    let (mut batch, mut pending) = (Vec::with_capacity(BATCH_BYTES + 4096), Vec::new());
    let mut sent = 0_u64;
    while composers.iter().any(|composer| !composer.done()) && !delivery.stop.is_requested() {
        batch.clear();
        pending.clear();
        fill(&mut batch, &mut pending, composers, batch_messages);
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

/// Lets the composers take turns until the batch is full or they are done.
fn fill(batch: &mut Vec<u8>, pending: &mut Vec<PendingMessage>, composers: &mut [Composer<'_>], messages_max: u64) {
    while (pending.len() as u64) < messages_max && batch.len() < BATCH_BYTES {
        // The one that is furthest behind: so the three messages of a draw stay together.
        let behind = composers.iter_mut().max_by_key(|composer| (composer.left(), std::cmp::Reverse(composer.stream)));
        let posts = match behind {
            Some(composer) if !composer.done() => {
                let before = composer.left();
                composer.message(batch);
                before - composer.left()
            }
            _ => break,
        };
        let resume_draw = composers.iter().map(|composer| composer.next_draw).min().unwrap_or(0);
        pending.push(PendingMessage { posts: posts as u32, resume_draw });
    }
}
