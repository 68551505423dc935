//! Reads archives as recordings. The objects of a partition, in the order of their offsets, are read as one text of lines.
//!
//! This reads pinflow's own archive and the output of Confluent's S3 sink connector. An object contains one or more
//! messages, plain, gzip or zstd, with or without a line end after the last one. Each partition of the archive is a
//! partition of the source, `recording/‹topic›+‹n›`. The position of a message is its number in the partition, from 1. A
//! resumed run reads and counts the messages up to its position.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::compression::{FileCompression, FileContent};
use super::config::RecordingConfig;
use super::file_discovery::{DiscoveredFiles, RecordingFile, key_prefix};
use super::json_array::RecordLayout;
use super::unread_report::{UnreadItem, UnreadKind};
use pinflow_archive::object_name::ArchivePartition;
use pinflow_archive::{check_archive_format, decompress_object};
use pinflow_connect::source::SourceError;
use pinflow_core::error_text::error_text;
use pinflow_core::position::Position;
use pinflow_storage::Location;

const MAX_PREFETCHED_OBJECTS: usize = 16;
/// The most prefetched bytes, as stored. A larger object is fetched alone.
const MAX_PREFETCHED_BYTES: u64 = 8 << 20;

/// The objects of one partition, in order.
#[derive(Debug, Clone)]
pub(super) struct PartitionObjects {
    location: Location,
    /// The path and the stored size in bytes of each.
    objects: Arc<[(Path, u64)]>,
    runtime: Handle,
}

/// Finds the partitions of an archive. Their objects will be fetched on the runtime of the caller.
pub(super) async fn find_partitions(
    config: &RecordingConfig,
    location: &Location,
) -> Result<DiscoveredFiles, SourceError> {
    let unusable = |what: String| SourceError::Unusable(format!("{location}: {what}"));
    check_archive_format(location).await.map_err(|error| SourceError::Unusable(error_text(&error)))?;
    let prefix_in_store = location.prefix().map_err(|error| unusable(error.to_string()))?;
    let listed = location.store().list(Some(&prefix_in_store)).try_collect().await;
    let listed: Vec<ObjectMeta> = listed.map_err(|error| unusable(pinflow_storage::error_summary(&error)))?;
    let mut found = DiscoveredFiles::default();
    let mut partitions: BTreeMap<ArchivePartition, Vec<(Position, Path, u64)>> = BTreeMap::new();
    for object in listed {
        match ArchivePartition::parse_key(object.location.as_ref()) {
            Some((partition, first)) => {
                partitions.entry(partition).or_default().push((first, object.location, object.size));
            }
            None => found.unread.push(unread_object(location, &prefix_in_store, &object.location)),
        }
    }
    for (partition, mut objects) in partitions {
        objects.sort();
        for pair in objects.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let (one, other) = (location.display_path(&pair[0].1), location.display_path(&pair[1].1));
            found.problems.push(format!("{one} and {other} begin with the same message; move one of them elsewhere"));
        }
        let stream_hint =
            config.stream.map(StreamHint::from).unwrap_or_else(|| stream_hint_from_topic(&partition.topic));
        let objects: Arc<[_]> = objects.into_iter().map(|(_, path, bytes)| (path, bytes)).collect();
        found.files.push(RecordingFile {
            path: location.name().join(partition.folder()),
            key: format!("{}{}+{}", key_prefix(config), partition.topic, partition.number),
            stream_hint,
            compression: FileCompression::Plain,
            layout: RecordLayout::Lines,
            bytes: objects.iter().map(|(_, bytes)| bytes).sum(),
            archived: Some(PartitionObjects { location: location.clone(), objects, runtime: Handle::current() }),
        });
    }
    Ok(found)
}

/// An object that does not belong to an archive, with its path relative to the location.
fn unread_object(location: &Location, prefix: &Path, path: &Path) -> UnreadItem {
    let within = path.as_ref().strip_prefix(prefix.as_ref()).unwrap_or(path.as_ref());
    UnreadItem {
        name: location.display_path(path),
        kind: UnreadKind::Object(within.trim_start_matches('/').to_owned()),
    }
}

/// The stream of a topic's messages, if the name has exactly one of the words `pin`, `geo` and `user`. Otherwise the
/// fields of each message tell its stream.
fn stream_hint_from_topic(topic: &str) -> StreamHint {
    let words = topic.split(|letter: char| !letter.is_ascii_alphabetic());
    let mut streams = words.filter_map(|word| Stream::ALL.into_iter().find(|stream| stream.name() == word));
    match (streams.next(), streams.next()) {
        (Some(stream), None) => StreamHint::Only(stream),
        _ => StreamHint::Auto,
    }
}

impl PartitionObjects {
    /// The number of objects.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Opens all objects as one text.
    pub(super) fn open(&self) -> FileContent {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let text = ArchiveText {
            source: self.clone(),
            next: 0,
            prefetched: VecDeque::new(),
            prefetched_bytes: 0,
            current: None,
            bytes_read: Arc::clone(&bytes_read),
        };
        FileContent::Packed { text: Box::new(text), bytes_read }
    }

    async fn fetch_object(location: Location, path: Path) -> io::Result<Bytes> {
        let got = async { location.store().get(&path).await?.bytes().await }.await;
        got.map_err(|error| {
            let what = pinflow_storage::error_summary(&error);
            io::Error::other(format!("{}: {what}", location.display_path(&path)))
        })
    }
}

/// The text of the objects, one after the other. A line end is added after an object that lacks one.
struct ArchiveText {
    source: PartitionObjects,
    /// The index of the next object to fetch.
    next: usize,
    prefetched: VecDeque<(u64, JoinHandle<io::Result<Bytes>>)>,
    prefetched_bytes: u64,
    current: Option<OpenObject>,
    /// Stored bytes of all objects that were opened.
    bytes_read: Arc<AtomicU64>,
}

struct OpenObject {
    text: Box<dyn Read + Send>,
    /// The last byte that was read.
    last: Option<u8>,
}

impl ArchiveText {
    fn prefetch(&mut self) {
        while let Some((path, bytes)) = self.source.objects.get(self.next) {
            let fits =
                self.prefetched.len() < MAX_PREFETCHED_OBJECTS && self.prefetched_bytes + bytes <= MAX_PREFETCHED_BYTES;
            if !fits && !self.prefetched.is_empty() {
                return;
            }
            let fetch = PartitionObjects::fetch_object(self.source.location.clone(), path.clone());
            self.prefetched.push_back((*bytes, self.source.runtime.spawn(fetch)));
            self.prefetched_bytes += bytes;
            self.next += 1;
        }
    }

    /// Opens the next object; `None` after the last.
    fn open_next(&mut self) -> io::Result<Option<OpenObject>> {
        self.prefetch();
        let Some((bytes, fetched)) = self.prefetched.pop_front() else { return Ok(None) };
        let object = self.source.runtime.block_on(fetched).map_err(io::Error::other)??;
        self.prefetched_bytes -= bytes;
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        Ok(Some(OpenObject { text: decompress_object(Cursor::new(object))?, last: None }))
    }
}

impl Read for ArchiveText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(open) = &mut self.current else {
                match self.open_next()? {
                    Some(open) => self.current = Some(open),
                    None => return Ok(0),
                }
                continue;
            };
            let got = open.text.read(buffer)?;
            if got > 0 {
                open.last = Some(buffer[got - 1]);
                return Ok(got);
            }
            let lacks_end = open.last.is_some_and(|last| last != b'\n');
            self.current = None;
            if lacks_end {
                buffer[0] = b'\n';
                return Ok(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_with_one_stream_word_contains_that_stream() {
        for (topic, wanted) in [
            ("12e255fc4fcd.pin", StreamHint::Only(Stream::Pin)),
            ("streaming-12e255fc4fcd-geo", StreamHint::Only(Stream::Geo)),
            ("user.jsonl", StreamHint::Only(Stream::User)),
            ("posts", StreamHint::Auto),
            ("spinning.pins", StreamHint::Auto),
            ("pin-and-geo", StreamHint::Auto),
        ] {
            assert_eq!(stream_hint_from_topic(topic), wanted, "{topic}");
        }
    }
}
