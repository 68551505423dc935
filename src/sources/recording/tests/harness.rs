//! An engine that only writes down what it hears.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::super::{RecordingConfig, RecordingSource, plan};
use crate::position::{PartitionId, PartitionProgress, ResumePositions, record_fingerprint};
use crate::sources::recording::lines::Limits;
use crate::sources::{Partition, SourceContext, SourceError, SourceEvent};

/// Small enough that a few lines make several blocks.
pub(super) const SMALL: Limits = Limits { block_bytes: 16, line_bytes_max: 64 };

/// A test that hears nothing for so long would wait forever.
const HUNG: Duration = Duration::from_secs(120);

/// A source at work.
pub(super) struct Run {
    events: Option<mpsc::Receiver<SourceEvent>>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    pub(super) heard: Heard,
}

/// What a source has said.
#[derive(Default)]
pub(super) struct Heard {
    /// Partitions by number.
    pub(super) opened: BTreeMap<u32, Partition>,
    /// Records by key, with their positions.
    pub(super) records: BTreeMap<String, Vec<(u64, Vec<u8>)>>,
    /// Where each partition would resume.
    pub(super) reached: ResumePositions,
    /// The last `remaining_bytes` of each partition.
    pub(super) remaining: BTreeMap<String, Option<u64>>,
    /// Blocks.
    pub(super) blocks: usize,
    /// Keys of partitions that ended.
    pub(super) ended: Vec<String>,
    /// Readers that have read what was there at the start.
    pub(super) backlogs_read: usize,
    pub(super) failed: Option<SourceError>,
}

impl Run {
    pub(super) fn start(source: RecordingSource, limits: Limits, stored: ResumePositions) -> Run {
        let (stop, stopped) = watch::channel(false);
        let (context, events) = SourceContext::new(4, stored, stopped);
        let threads = source.start_within(limits, &context).unwrap();
        Run { events: Some(events), stop, threads, heard: Heard::default() }
    }

    /// Hears events until `enough`, or all threads have ended.
    pub(super) fn until(&mut self, enough: impl Fn(&Heard) -> bool) -> &Heard {
        let mut hung = Instant::now() + HUNG;
        while let Some(events) = self.events.as_mut().filter(|_| !enough(&self.heard)) {
            match events.try_recv() {
                Ok(event) => {
                    self.heard.hear(event);
                    hung = Instant::now() + HUNG;
                }
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    assert!(Instant::now() < hung, "the source hangs");
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        }
        &self.heard
    }

    /// Hears everything until the source ends by itself.
    pub(super) fn finish(mut self) -> Heard {
        self.until(|_| false);
        self.join()
    }

    /// Stops the source while its events are still taken.
    pub(super) fn stop(mut self) -> Heard {
        self.stop.send_replace(true);
        self.until(|_| false);
        self.join()
    }

    /// Drops the engine's end.
    pub(super) fn drop_the_engine(mut self) -> Heard {
        self.events = None;
        self.join()
    }

    fn join(self) -> Heard {
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.heard
    }
}

impl Heard {
    pub(super) fn hear(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Opened(partition) => {
                assert_eq!(partition.name, partition.key);
                let resumed = partition.resumed.filter(|reached| reached.next_number() > 1);
                self.reached.extend(resumed.map(|reached| (partition.key.clone(), reached)));
                assert!(self.opened.insert(partition.id.0, partition).is_none());
            }
            SourceEvent::Block(block) => {
                let key = self.key(block.partition);
                let records = self.records.entry(key.clone()).or_default();
                let wanted = self.reached.get(&key).map_or(1, PartitionProgress::next_number);
                let (mut at, mut last) = (wanted, Vec::new());
                block.records.for_each(|entry| {
                    assert_eq!((entry.position, entry.arrived_at.known()), (at.into(), None), "in order, none missing");
                    last = entry.payload.unwrap().to_vec();
                    records.push((at, last.clone()));
                    at += 1;
                });
                assert!(at > wanted, "no empty block");
                assert_eq!((block.next, block.anchor), (at.into(), record_fingerprint(&last)));
                let rows = at - 1;
                self.reached.insert(
                    key.clone(),
                    PartitionProgress { next: at.into(), rows, anchor: block.anchor, seek: block.seek },
                );
                self.remaining.insert(key, block.remaining_bytes);
                self.blocks += 1;
            }
            SourceEvent::Ended(partition) => {
                let key = self.key(partition);
                self.ended.push(key);
            }
            SourceEvent::Failed(failed) => {
                assert!(self.failed.is_none(), "one failure: {failed}");
                self.failed = Some(failed);
            }
            SourceEvent::BacklogRead => self.backlogs_read += 1,
            event @ (SourceEvent::Discovered(_) | SourceEvent::EndOffset { .. } | SourceEvent::Blocked { .. }) => {
                panic!("a recording says no such thing: {event:?}")
            }
        }
    }

    fn key(&self, partition: PartitionId) -> String {
        self.opened[&partition.0].key.clone()
    }

    /// The records of the only partition that has any.
    pub(super) fn lines(&self) -> Vec<String> {
        assert!(self.records.len() <= 1);
        let records = self.records.values().flatten();
        records.map(|(_, payload)| String::from_utf8_lossy(payload).into_owned()).collect()
    }

    /// Positions of the only partition that has any.
    pub(super) fn positions(&self) -> Vec<u64> {
        self.records.values().flatten().map(|(position, _)| *position).collect()
    }

    /// The failure with its causes, in words.
    pub(super) fn failure(&self) -> String {
        let failed = self.failed.as_ref().expect("it failed");
        match std::error::Error::source(failed) {
            Some(cause) => format!("{failed}: {cause}"),
            None => failed.to_string(),
        }
    }
}

/// The recording at `path`, with everything at its default.
pub(super) fn recording(path: &Path) -> RecordingSource {
    plan(RecordingConfig::at(path), Path::new("/")).unwrap()
}

/// The recording at `path`, followed.
pub(super) fn followed(path: &Path) -> RecordingSource {
    plan(RecordingConfig { follow: true, ..RecordingConfig::at(path) }, Path::new("/")).unwrap()
}

/// Reads a recording to its end in small blocks.
pub(super) fn read(path: &Path, stored: ResumePositions) -> Heard {
    Run::start(recording(path), SMALL, stored).finish()
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) const ALL: [Packing; 3] = [Packing::Plain, Packing::Gzip, Packing::Zstd];

    pub(super) fn file(self) -> &'static str {
        match self {
            Packing::Plain => "pin.jsonl",
            Packing::Gzip => "pin.jsonl.gz",
            Packing::Zstd => "pin.jsonl.zst",
        }
    }

    /// One member, or frame.
    pub(super) fn pack(self, text: &[u8]) -> Vec<u8> {
        match self {
            Packing::Plain => text.to_vec(),
            Packing::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(text).unwrap();
                gzip.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(text, 1).unwrap(),
        }
    }
}

/// Appends to a file.
pub(super) fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Long enough for a source that looks every few milliseconds to have looked.
pub(super) fn a_while() {
    std::thread::sleep(Duration::from_millis(40));
}
