//! A test engine that records the events of a source.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::super::{RecordingConfig, RecordingSource, plan};
use crate::line_splitter::LineLimits;
use pinflow_connect::source::{Partition, SourceContext, SourceError, SourceEvent};
use pinflow_core::position::{PartitionId, PartitionProgress, ResumePositions, record_fingerprint};

/// Small enough that a few lines make several blocks.
pub(super) const SMALL: LineLimits = LineLimits { block_bytes: 16, line_bytes_max: 64 };

/// Time without events after which a test fails.
const HANG_TIMEOUT: Duration = Duration::from_secs(120);

/// A running source.
pub(super) struct SourceRun {
    events: Option<mpsc::Receiver<SourceEvent>>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    pub(super) received: ReceivedEvents,
}

/// The events of a source.
#[derive(Default)]
pub(super) struct ReceivedEvents {
    /// Partitions by number.
    pub(super) opened: BTreeMap<u32, Partition>,
    /// Records by key, with their positions.
    pub(super) records: BTreeMap<String, Vec<(u64, Vec<u8>)>>,
    /// Where each partition would resume.
    pub(super) reached: ResumePositions,
    /// The last `remaining_bytes` of each partition.
    pub(super) remaining: BTreeMap<String, Option<u64>>,
    /// The number of blocks.
    pub(super) blocks: usize,
    /// Keys of partitions that ended.
    pub(super) ended: Vec<String>,
    /// Readers that reported their share of the backlog as read.
    pub(super) backlogs_read: usize,
    pub(super) failed: Option<SourceError>,
}

impl SourceRun {
    pub(super) fn start(source: RecordingSource, limits: LineLimits, stored: ResumePositions) -> SourceRun {
        let (stop, stopped) = watch::channel(false);
        let (context, events) = SourceContext::new(4, stored, stopped);
        let threads = source.start_within(limits, &context).unwrap();
        SourceRun { events: Some(events), stop, threads, received: ReceivedEvents::default() }
    }

    /// Receives events until `enough`, or until all threads have ended.
    pub(super) fn receive_until(&mut self, enough: impl Fn(&ReceivedEvents) -> bool) -> &ReceivedEvents {
        let mut deadline = Instant::now() + HANG_TIMEOUT;
        while let Some(events) = self.events.as_mut().filter(|_| !enough(&self.received)) {
            match events.try_recv() {
                Ok(event) => {
                    self.received.receive(event);
                    deadline = Instant::now() + HANG_TIMEOUT;
                }
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    assert!(Instant::now() < deadline, "the source hangs");
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        }
        &self.received
    }

    /// Receives all events until the source ends.
    pub(super) fn finish(mut self) -> ReceivedEvents {
        self.receive_until(|_| false);
        self.join()
    }

    /// Stops the source while its events are received.
    pub(super) fn stop(mut self) -> ReceivedEvents {
        self.stop.send_replace(true);
        self.receive_until(|_| false);
        self.join()
    }

    /// Drops the receiver.
    pub(super) fn drop_receiver(mut self) -> ReceivedEvents {
        self.events = None;
        self.join()
    }

    fn join(self) -> ReceivedEvents {
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.received
    }
}

impl ReceivedEvents {
    pub(super) fn receive(&mut self, event: SourceEvent) {
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
                assert_eq!((block.next, block.fingerprint), (at.into(), record_fingerprint(&last)));
                let rows = at - 1;
                self.reached.insert(
                    key.clone(),
                    PartitionProgress { next: at.into(), rows, fingerprint: block.fingerprint, hint: block.hint },
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
            event @ (SourceEvent::Discovered(_)
            | SourceEvent::StartsAnnounced
            | SourceEvent::EndOffset { .. }
            | SourceEvent::Blocked { .. }) => {
                panic!("a recording does not send this: {event:?}")
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

    /// The text of the failure and its cause.
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
    plan(RecordingConfig::with_path(path), Path::new("/")).unwrap()
}

/// The recording at `path`, followed.
pub(super) fn followed(path: &Path) -> RecordingSource {
    plan(RecordingConfig { follow: true, ..RecordingConfig::with_path(path) }, Path::new("/")).unwrap()
}

/// Reads a recording to its end in small blocks.
pub(super) fn read(path: &Path, stored: ResumePositions) -> ReceivedEvents {
    SourceRun::start(recording(path), SMALL, stored).finish()
}

/// The compression of a test file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TestCompression {
    Plain,
    Gzip,
    Zstd,
}

impl TestCompression {
    pub(super) const ALL: [TestCompression; 3] = [TestCompression::Plain, TestCompression::Gzip, TestCompression::Zstd];

    pub(super) fn file_name(self) -> &'static str {
        match self {
            TestCompression::Plain => "pin.jsonl",
            TestCompression::Gzip => "pin.jsonl.gz",
            TestCompression::Zstd => "pin.jsonl.zst",
        }
    }

    /// One member, or frame.
    pub(super) fn compress(self, text: &[u8]) -> Vec<u8> {
        match self {
            TestCompression::Plain => text.to_vec(),
            TestCompression::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(text).unwrap();
                gzip.finish().unwrap()
            }
            TestCompression::Zstd => zstd::encode_all(text, 1).unwrap(),
        }
    }
}

/// Appends to a file.
pub(super) fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Long enough for a source that looks every few milliseconds to have looked.
pub(super) fn sleep_briefly() {
    std::thread::sleep(Duration::from_millis(40));
}
