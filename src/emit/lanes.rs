//! Lanes: each takes the messages of its streams to its destination, on its own thread, at its own pace.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use pinflow_dataflows::record::Stream;

use super::composer::Composer;
use super::destinations::Destination;
use super::progress;
use super::tally::Tally;

/// A destination and what goes there.
pub(crate) struct Lane<'r> {
    /// What error messages call it.
    pub(crate) name: String,
    pub(crate) destination: Box<dyn Destination>,
    /// One per stream; several take turns, message by message.
    pub(crate) composers: Vec<Composer<'r>>,
}

/// Sent at once where nothing paces them: large enough to make system calls rare, small enough for the caches.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// Paced messages leave at least so often.
pub(crate) const BEAT: Duration = Duration::from_millis(20);

/// Runs all lanes to their ends. `rate` is in messages a second over all lanes.
///
/// # Errors
/// The first failure of a lane, once all have ended. A lane that nobody reads any more has not failed.
pub(crate) fn run(lanes: Vec<Lane<'_>>, rate: Option<f64>) -> anyhow::Result<Vec<(Stream, Tally)>> {
    let draws = lanes.iter().flat_map(|lane| &lane.composers).map(Composer::left).sum();
    let streams: usize = lanes.iter().map(|lane| lane.composers.len()).sum();
    let done = &AtomicU64::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = lanes
            .into_iter()
            .map(|lane| {
                let rate = rate.map(|rate| rate * lane.composers.len() as f64 / streams as f64);
                scope.spawn(move || carry(lane, rate, done))
            })
            .collect();
        progress::watch(draws, done, || threads.iter().all(std::thread::ScopedJoinHandle::is_finished));
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect::<anyhow::Result<Vec<_>>>().map(|tallies| tallies.into_iter().flatten().collect())
    })
}

fn carry(mut lane: Lane<'_>, rate: Option<f64>, done: &AtomicU64) -> anyhow::Result<Vec<(Stream, Tally)>> {
    let ended =
        send_all(&mut lane.composers, lane.destination.as_mut(), rate, done).and_then(|()| lane.destination.finish());
    match ended {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).with_context(|| format!("write {}", lane.name))
        }
        _ => Ok(lane.composers.into_iter().map(|composer| (composer.stream, composer.tally)).collect()),
    }
}

fn send_all(
    composers: &mut [Composer<'_>],
    destination: &mut dyn Destination,
    rate: Option<f64>,
    done: &AtomicU64,
) -> io::Result<()> {
    let started = Instant::now();
    let batch_messages = rate.map_or(u64::MAX, |rate| ((rate * BEAT.as_secs_f64()) as u64).max(1));
    let mut batch = Vec::with_capacity(BATCH_BYTES + 4096);
    let mut sent = 0_u64;
    let left = |composers: &[Composer<'_>]| composers.iter().map(Composer::left).sum::<u64>();
    let mut before = left(composers);
    while before > 0 {
        batch.clear();
        let messages = fill(&mut batch, composers, batch_messages);
        destination.send(&batch)?;
        sent += messages;
        if let Some(rate) = rate {
            destination.flush()?;
            std::thread::sleep(Duration::from_secs_f64(sent as f64 / rate).saturating_sub(started.elapsed()));
        }
        let after = left(composers);
        done.fetch_add(before - after, Ordering::Relaxed);
        before = after;
    }
    Ok(())
}

/// Lets the composers take turns until the batch is full or they are done; says how many messages they made.
fn fill(batch: &mut Vec<u8>, composers: &mut [Composer<'_>], messages_max: u64) -> u64 {
    let mut messages = 0;
    while messages < messages_max && batch.len() < BATCH_BYTES {
        // The one that is furthest behind: so the three messages of a draw stay together.
        let behind = composers.iter_mut().max_by_key(|composer| (composer.left(), std::cmp::Reverse(composer.stream)));
        match behind {
            Some(composer) if !composer.done() => composer.message(batch),
            _ => break,
        }
        messages += 1;
    }
    messages
}
