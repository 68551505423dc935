//! Replays posts: the lines of a recording as they are, or the rows of Delta tables as messages.
//!
//! Recordings are read by the recording source of `pinflow run`, so the same folders and files can be replayed: plain,
//! gzip or zstd.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use pinflow_dataflows::ingest::StreamHint;
use tokio::sync::watch;

use super::acks::PendingMessage;
use super::args::EmitArgs;
use super::delivery::DeliveryTracker;
use super::error::EmitError;
use super::routes::DestinationRoute;
use super::senders::{BATCH_BYTES, PACED_BATCH_INTERVAL};
use super::{from_delta, progress};
use pinflow_connect::source::{RecordBlock, SourceContext, SourceEvent};
use pinflow_core::position::{PartitionId, ResumePositions};
use pinflow_delta::{self as delta, Table, TableContents};
use pinflow_files::{self as recording, LINE_BYTES_MAX, RecordingConfig, StreamSetting};

/// Blocks that are read ahead of sending.
const MAX_BLOCKS_AHEAD: usize = 16;

/// Replays `from` to its destinations. Returns the number of messages and of bytes.
pub(crate) fn replay_posts(
    args: &EmitArgs,
    from: &Path,
    routes: Vec<DestinationRoute>,
    delivery: &DeliveryTracker,
) -> Result<(u64, u64), EmitError> {
    let is_table = |folder: &Path| folder.join("_delta_log").is_dir();
    let sender = ReplaySender { args, routes, routes_by_partition: HashMap::new(), delivery, messages: 0, bytes: 0 };
    let sent = if is_table(from) || Table::CLEANED.iter().any(|table| is_table(&from.join(table.name()))) {
        show_progress(delivery, || replay_tables(from, sender))
    } else {
        replay_recording(args, from, sender)
    };
    match sent {
        // The reader of standard output is gone.
        Err(error) if error.is_closed_pipe() => Ok((delivery.counts().acknowledged, 0)),
        sent => sent,
    }
}

/// Runs `work` while the progress of the delivery is shown.
pub(crate) fn show_progress<T: Send>(delivery: &DeliveryTracker, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(work);
        progress::watch_delivery(delivery, None, || worker.is_finished());
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn replay_recording(args: &EmitArgs, from: &Path, mut sender: ReplaySender<'_>) -> Result<(u64, u64), EmitError> {
    let mut config = RecordingConfig::with_path(from);
    config.rate_per_sec = args.rate.and_then(|rate| std::num::NonZeroU32::new(rate.ceil() as u32));
    let name = from.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if args.topic.is_some() && from.is_file() && recording::stream_from_file_name(&name).is_none() {
        config.stream = Some(StreamSetting::Auto);
    }
    let source = recording::plan(config, Path::new(""))?;
    // Dropping the sender stops the readers.
    let (_stop, stopped) = watch::channel(false);
    let (feed, mut events) = SourceContext::new(MAX_BLOCKS_AHEAD, ResumePositions::new(), stopped);
    let readers = source.start(&feed)?;
    drop(feed);
    let delivery = sender.delivery;
    // The closure owns `events`: when it ends, readers that wait for room in the channel end, too.
    let result = show_progress(delivery, move || {
        while !delivery.stop.is_requested()
            && let Some(event) = events.blocking_recv()
        {
            sender.handle_event(event)?;
        }
        sender.finish()
    });
    for reader in readers {
        let _ = reader.join();
    }
    result
}

/// Replays one table, or the three tables in a folder.
fn replay_tables(from: &Path, mut sender: ReplaySender<'_>) -> Result<(u64, u64), EmitError> {
    // delta-rs hangs on a runtime of one thread.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(EmitError::io("start a thread for the tables"))?;
    let tables = runtime.block_on(delta::inspect(from, 0))?;
    for stream in sender.args.selected_streams() {
        let Some(contents) = tables.iter().find(|table| table.table == stream.name()) else { continue };
        let Some(route) = sender.routes.iter().position(|route| route.streams.contains(&stream)) else { continue };
        sender.send_rows(route, contents)?;
    }
    sender.finish()
}

struct ReplaySender<'a> {
    args: &'a EmitArgs,
    routes: Vec<DestinationRoute>,
    /// The route of each partition. `None` if its stream is not selected.
    routes_by_partition: HashMap<PartitionId, Option<usize>>,
    delivery: &'a DeliveryTracker,
    messages: u64,
    bytes: u64,
}

impl ReplaySender<'_> {
    fn handle_event(&mut self, event: SourceEvent) -> Result<(), EmitError> {
        match event {
            SourceEvent::Opened(partition) => {
                let route = self.route_of(partition.stream_hint, &partition.name)?;
                self.routes_by_partition.insert(partition.id, route);
                Ok(())
            }
            SourceEvent::Block(block) => self.send_block(&block),
            // A recording starts at its beginning and ends at its end: these events carry nothing to send.
            SourceEvent::Discovered(_)
            | SourceEvent::EndOffset { .. }
            | SourceEvent::Blocked { .. }
            | SourceEvent::Ended(_)
            | SourceEvent::StartsAnnounced
            | SourceEvent::BacklogRead => Ok(()),
            SourceEvent::Failed(error) => Err(error.into()),
        }
    }

    fn route_of(&self, hint: StreamHint, name: &str) -> Result<Option<usize>, EmitError> {
        match hint {
            StreamHint::Only(stream) if !self.args.streams.contains(&stream) => Ok(None),
            StreamHint::Only(stream) => Ok(self.routes.iter().position(|route| route.streams.contains(&stream))),
            StreamHint::Auto if self.routes.len() == 1 => Ok(Some(0)),
            StreamHint::Auto => Err(EmitError::SeveralStreams(name.to_owned())),
        }
    }

    fn send_block(&mut self, block: &RecordBlock) -> Result<(), EmitError> {
        let Some(at) = self.routes_by_partition.get(&block.partition).copied().flatten() else { return Ok(()) };
        let mut text = Vec::with_capacity(block.records.bytes() + 1);
        let (mut count, mut cut) = (0, None);
        block.records.for_each(|entry| {
            let line = entry.payload.unwrap_or_default();
            if line.len() >= LINE_BYTES_MAX {
                cut = cut.or(Some(entry.position));
            }
            text.extend_from_slice(line);
            text.push(b'\n');
            count += 1;
        });
        if let Some(position) = cut {
            return Err(EmitError::LineTooLong(position.to_string()));
        }
        self.send(at, &text, count)
    }

    fn send_rows(&mut self, route: usize, contents: &TableContents) -> Result<(), EmitError> {
        let started = Instant::now();
        let rate = self.args.rate;
        let batch_messages = rate.map_or(u64::MAX, |rate| ((rate * PACED_BATCH_INTERVAL.as_secs_f64()) as u64).max(1));
        let (mut text, mut count, mut sent, mut done) = (Vec::with_capacity(BATCH_BYTES + 4096), 0, 0, Ok(()));
        delta::replay(contents, |row| {
            from_delta::write_row(&row, &mut text);
            text.push(b'\n');
            count += 1;
            if text.len() < BATCH_BYTES && count < batch_messages {
                return ControlFlow::Continue(());
            }
            done = self.send(route, &text, count);
            sent += count;
            text.clear();
            count = 0;
            if let Some(rate) = rate {
                let ahead = Duration::from_secs_f64(sent as f64 / rate).saturating_sub(started.elapsed());
                self.delivery.stop.sleep(ahead);
            }
            if done.is_ok() && !self.delivery.stop.is_requested() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        done?;
        self.send(route, &text, count)
    }

    fn send(&mut self, route: usize, text: &[u8], count: u64) -> Result<(), EmitError> {
        if self.delivery.stop.is_requested() {
            return Ok(());
        }
        let route = &mut self.routes[route];
        route.acks.register((0..count).map(|_| PendingMessage { posts: 1, resume_draw: 0 }));
        route.destination.send(text).map_err(EmitError::io(format!("write {}", route.acks.name)))?;
        self.bytes += text.len() as u64;
        self.messages += count;
        Ok(())
    }

    /// Waits until all destinations have everything. Returns the number of messages and of bytes.
    fn finish(self) -> Result<(u64, u64), EmitError> {
        for route in self.routes {
            route.destination.finish().map_err(EmitError::io(format!("write {}", route.acks.name)))?;
        }
        Ok((self.messages, self.bytes))
    }
}

/// A summary for standard error.
pub(crate) fn summary((messages, bytes): (u64, u64), started: Instant) -> String {
    let secs = started.elapsed().as_secs_f64();
    let rate = messages as f64 / secs.max(1e-9);
    format!("{messages} messages, {:.1} MB, in {secs:.2} s: {rate:.0} a second", bytes as f64 / 1e6)
}
