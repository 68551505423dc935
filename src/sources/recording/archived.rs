//! Archives read back: the objects of a topic's partition, in the order of their offsets, are one text of lines.
//!
//! An object may hold one message or many, with a line end after the last one or not, plain, gzip or zstd: pinflow's own
//! archive, and what Confluent's S3 sink connector has written. A partition of the archive is a partition here,
//! `recording/‹topic›+‹n›`, and a message's position is its number in it, from 1. A resumed run counts up to its place.

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

use super::array::Layout;
use super::compression::{Compression, Content};
use super::config::RecordingConfig;
use super::files::{Found, RecordingFile, prefix};
use super::unread::{Unread, UnreadKind};
use crate::archive::decompress_object;
use crate::archive::object_name::ArchivePartition;
use crate::position::Position;
use crate::sources::SourceError;
use crate::storage::Location;

/// Objects that are fetched ahead of the one that is read, at the most.
const AHEAD: usize = 16;
/// Bytes of them, as they are stored; a larger object is fetched alone.
const AHEAD_BYTES: u64 = 8 << 20;

/// The objects of one partition, in order.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    place: Location,
    /// Where each stands in the store, and its bytes there.
    objects: Arc<[(Path, u64)]>,
    runtime: Handle,
}

/// Finds the partitions of an archive. Within the runtime that is to fetch their objects.
pub(super) async fn find(config: &RecordingConfig, place: &Location) -> Result<Found, SourceError> {
    let unusable = |what: String| SourceError::Unusable(format!("{place}: {what}"));
    let prefix_in_store = place.prefix().map_err(|error| unusable(error.to_string()))?;
    let listed = place.store().list(Some(&prefix_in_store)).try_collect().await;
    let listed: Vec<ObjectMeta> = listed.map_err(|error| unusable(crate::storage::error_summary(&error)))?;
    let mut found = Found::default();
    let mut partitions: BTreeMap<ArchivePartition, Vec<(Position, Path, u64)>> = BTreeMap::new();
    for object in listed {
        match ArchivePartition::parse_key(object.location.as_ref()) {
            Some((partition, first)) => {
                partitions.entry(partition).or_default().push((first, object.location, object.size));
            }
            None => found.unread.push(unread(place, &prefix_in_store, &object.location)),
        }
    }
    for (partition, mut objects) in partitions {
        objects.sort();
        for pair in objects.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let (one, other) = (place.display_path(&pair[0].1), place.display_path(&pair[1].1));
            found.faults.push(format!("{one} and {other} begin with the same message; move one of them away"));
        }
        let carries = config.stream.map(StreamHint::from).unwrap_or_else(|| carries(&partition.topic));
        let objects: Arc<[_]> = objects.into_iter().map(|(_, location, bytes)| (location, bytes)).collect();
        found.files.push(RecordingFile {
            path: place.name().join(partition.folder()),
            key: format!("{}{}+{}", prefix(config), partition.topic, partition.number),
            carries,
            compression: Compression::Plain,
            layout: Layout::Lines,
            bytes: objects.iter().map(|(_, bytes)| bytes).sum(),
            archived: Some(Objects { place: place.clone(), objects, runtime: Handle::current() }),
        });
    }
    Ok(found)
}

/// An object that is none of an archive, by its path within the archive's place.
fn unread(place: &Location, prefix: &Path, location: &Path) -> Unread {
    let within = location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or(location.as_ref());
    Unread { name: place.display_path(location), kind: UnreadKind::Object(within.trim_start_matches('/').to_owned()) }
}

/// What a topic's name says of its messages: the one word `pin`, `geo` or `user` in it. Else each tells by its fields.
fn carries(topic: &str) -> StreamHint {
    let words = topic.split(|letter: char| !letter.is_ascii_alphabetic());
    let mut streams = words.filter_map(|word| Stream::ALL.into_iter().find(|stream| stream.name() == word));
    match (streams.next(), streams.next()) {
        (Some(stream), None) => StreamHint::Only(stream),
        _ => StreamHint::Auto,
    }
}

impl Objects {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// All of them, as one text.
    pub(super) fn open(&self) -> Content {
        let taken = Arc::new(AtomicU64::new(0));
        let text = Text {
            of: self.clone(),
            next: 0,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            current: None,
            taken: Arc::clone(&taken),
        };
        Content::Packed { text: Box::new(text), taken }
    }

    async fn fetch(place: Location, location: Path) -> io::Result<Bytes> {
        let got = async { place.store().get(&location).await?.bytes().await }.await;
        got.map_err(|error| {
            let what = crate::storage::error_summary(&error);
            io::Error::other(format!("{}: {what}", place.display_path(&location)))
        })
    }
}

/// The objects, one after the other; each one's last line has an end.
struct Text {
    of: Objects,
    /// The next object to be fetched.
    next: usize,
    ahead: VecDeque<(u64, JoinHandle<io::Result<Bytes>>)>,
    ahead_bytes: u64,
    current: Option<Open>,
    /// Bytes of all objects that were opened.
    taken: Arc<AtomicU64>,
}

struct Open {
    text: Box<dyn Read + Send>,
    /// The last byte that was read of it.
    last: Option<u8>,
}

impl Text {
    fn fetch_ahead(&mut self) {
        while let Some((location, bytes)) = self.of.objects.get(self.next) {
            let fits = self.ahead.len() < AHEAD && self.ahead_bytes + bytes <= AHEAD_BYTES;
            if !fits && !self.ahead.is_empty() {
                return;
            }
            let fetch = Objects::fetch(self.of.place.clone(), location.clone());
            self.ahead.push_back((*bytes, self.of.runtime.spawn(fetch)));
            self.ahead_bytes += bytes;
            self.next += 1;
        }
    }

    /// The next object; `None` after the last.
    fn open_next(&mut self) -> io::Result<Option<Open>> {
        self.fetch_ahead();
        let Some((bytes, fetched)) = self.ahead.pop_front() else { return Ok(None) };
        let object = self.of.runtime.block_on(fetched).map_err(io::Error::other)??;
        self.ahead_bytes -= bytes;
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(Some(Open { text: decompress_object(Cursor::new(object))?, last: None }))
    }
}

impl Read for Text {
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
    fn a_topic_tells_its_stream_by_one_word() {
        for (topic, wanted) in [
            ("12e255fc4fcd.pin", StreamHint::Only(Stream::Pin)),
            ("streaming-12e255fc4fcd-geo", StreamHint::Only(Stream::Geo)),
            ("user.jsonl", StreamHint::Only(Stream::User)),
            ("posts", StreamHint::Auto),
            ("spinning.pins", StreamHint::Auto),
            ("pin-and-geo", StreamHint::Auto),
        ] {
            assert_eq!(carries(topic), wanted, "{topic}");
        }
    }
}
