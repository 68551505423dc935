//! Sends recorded posts again: every line as it stands.
//!
//! The recording room reads them, so what `pinflow run` reads can be sent again: folders and files, plain, gzip or zstd.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use pinflow_dataflows::ingest::Carries;
use pinflow_dataflows::record::Stream;
use tokio::sync::watch;

use super::args::EmitArgs;
use super::destinations::Destination;
use super::progress;
use crate::position::{PartitionId, Positions};
use crate::sources::recording::{self, LINE_BYTES_MAX, RecordingConfig, StreamSetting};
use crate::sources::{Block, Event, Feed};

/// Blocks that are read ahead of what is sent.
const BLOCKS_AHEAD: usize = 16;

/// Where messages of some streams go.
pub(crate) struct Outlet {
    /// What error messages call it.
    pub(crate) name: String,
    pub(crate) streams: Vec<Stream>,
    pub(crate) destination: Box<dyn Destination>,
}

/// Sends what stands in `from` to the outlets; how many messages and bytes that were.
pub(crate) fn run(args: &EmitArgs, from: &Path, mut outlets: Vec<Outlet>) -> anyhow::Result<(u64, u64)> {
    let mut config = RecordingConfig::at(from);
    config.rate_per_sec = args.rate.and_then(|rate| std::num::NonZeroU32::new(rate.ceil() as u32));
    if args.topic.is_some() && from.is_file() && stream_of(from).is_none() {
        config.stream = Some(StreamSetting::Auto);
    }
    let source = recording::plan(config, Path::new(""))?;
    // Told to stop by being dropped.
    let (_stop, stopped) = watch::channel(false);
    let (feed, mut events) = Feed::new(BLOCKS_AHEAD, Positions::new(), stopped);
    let readers = source.start(&feed)?;
    drop(feed);
    let sent = AtomicU64::new(0);
    let ended = AtomicU64::new(0);
    let result = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sending =
                Sending { args, outlets: &mut outlets, carried: HashMap::new(), messages: &sent, bytes: 0 };
            let mut done = Ok(());
            while let (Ok(()), Some(event)) = (&done, events.blocking_recv()) {
                done = sending.event(event);
            }
            events.close();
            ended.store(1, Ordering::Release);
            done.map(|()| sending.bytes)
        });
        progress::watch_unknown(&sent, || ended.load(Ordering::Acquire) == 1);
        sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    for reader in readers {
        let _ = reader.join();
    }
    let bytes = match result {
        // Nobody wants any more.
        Err(error) if is_closed(&error) => return Ok((sent.into_inner(), 0)),
        result => result?,
    };
    for outlet in outlets {
        outlet.destination.finish().with_context(|| format!("write {}", outlet.name))?;
    }
    Ok((sent.into_inner(), bytes))
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

struct Sending<'a> {
    args: &'a EmitArgs,
    outlets: &'a mut Vec<Outlet>,
    /// Which outlet takes a partition's messages; none if they are not wanted.
    carried: HashMap<PartitionId, Option<usize>>,
    messages: &'a AtomicU64,
    bytes: u64,
}

impl Sending<'_> {
    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Opened(partition) => {
                let outlet = self.outlet(partition.carries, &partition.name)?;
                self.carried.insert(partition.id, outlet);
                Ok(())
            }
            Event::Block(block) => self.block(&block),
            // Recordings begin nowhere but at their beginning, and say where they end only by ending.
            Event::Begun(_) | Event::Ends { .. } | Event::Ended(_) => Ok(()),
            Event::Failed(error) => Err(error.into()),
        }
    }

    fn outlet(&self, carries: Carries, name: &str) -> anyhow::Result<Option<usize>> {
        match carries {
            Carries::Only(stream) if !self.args.streams.contains(&stream) => Ok(None),
            Carries::Only(stream) => Ok(self.outlets.iter().position(|outlet| outlet.streams.contains(&stream))),
            Carries::Auto if self.outlets.len() == 1 => Ok(Some(0)),
            Carries::Auto => bail!("{name} holds several streams; they can only go to one place: add --topic NAME"),
        }
    }

    fn block(&mut self, block: &Block) -> anyhow::Result<()> {
        let Some(Some(outlet)) = self.carried.get(&block.partition) else { return Ok(()) };
        let outlet = &mut self.outlets[*outlet];
        let mut text = Vec::with_capacity(block.records.bytes() + 1);
        let (mut count, mut cut) = (0, None);
        block.records.each(|line, position, _| {
            let line = line.unwrap_or_default();
            if line.len() >= LINE_BYTES_MAX {
                cut = cut.or(Some(position));
            }
            text.extend_from_slice(line);
            text.push(b'\n');
            count += 1;
        });
        if let Some(position) = cut {
            bail!("line {position} is longer than {LINE_BYTES_MAX} bytes and cannot be sent as it stands");
        }
        outlet.destination.send(&text).with_context(|| format!("write {}", outlet.name))?;
        self.bytes += text.len() as u64;
        self.messages.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

/// The stream that a file's name says it holds, as the recording room has it.
fn stream_of(file: &Path) -> Option<Stream> {
    let name = file.file_name()?.to_string_lossy().to_lowercase();
    Stream::ALL.into_iter().find(|stream| name.starts_with(stream.name()))
}

/// What was sent, in words.
pub(crate) fn summary((messages, bytes): (u64, u64), started: Instant) -> String {
    let secs = started.elapsed().as_secs_f64();
    let rate = messages as f64 / secs.max(1e-9);
    format!("{messages} messages, {:.1} MB, in {secs:.2} s: {rate:.0} a second", bytes as f64 / 1e6)
}
