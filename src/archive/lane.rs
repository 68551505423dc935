//! One partition's way into the archive: what is there already is compared, what is not is put.
//!
//! Objects are put one after the other, each with the messages that follow those of the one before, and only if no object
//! of that name is there. So the objects of a partition never have a hole among them, whenever the process dies. After a start
//! the source is read again from the position of the tables, which is where an object ends; the objects from there on were
//! put and not committed. Their messages come again, and must be the same; what follows them goes into new objects. An
//! object that another writer, or an answer that was lost, has put in the meantime is met in the same way.
//!
//! A window may end inside such an object. Then a note is put before the tables are committed, under the very position that
//! they will have: which object that is, and how many of its lines lie before. A start at that position finds it.

use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use super::config::ArchiveConfig;
use super::name::Partition;
use super::pack::unpack;
use super::raw::Lines;
use super::writer::{ArchiveError, hit};
use crate::objects::{Pauses, Place, Trouble};
use crate::position::Position;

/// What all lanes share.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub(super) place: Place,
    pub(super) config: ArchiveConfig,
    pub(super) pauses: Pauses,
}

/// One partition.
pub(super) struct Lane {
    partition: Partition,
    /// Objects at or after the first message of this run, oldest first, that it has not come to yet; known from then on.
    there: Option<VecDeque<(Position, Path)>>,
    rest: Option<Rest>,
}

/// The object that is compared.
struct Rest {
    object: Path,
    /// Its lines that have come again.
    passed: usize,
    /// Those that have not.
    text: Vec<u8>,
}

/// What a window that ends inside an object leaves behind.
#[derive(Serialize, Deserialize)]
struct Note {
    object: String,
    lines: usize,
}

impl Lane {
    /// Takes up a source where the tables have it.
    pub(super) async fn open(ground: &Ground, source: &str, resumed: Position) -> Result<Lane, ArchiveError> {
        let mut lane = Lane { partition: Partition::of(source), there: None, rest: None };
        lane.rest = lane.noted(ground, resumed).await?;
        Ok(lane)
    }

    /// Looks for what is there from a position on.
    async fn list(&self, ground: &Ground, first: Position) -> Result<VecDeque<(Position, Path)>, ArchiveError> {
        let folder = ground.place.location(&self.partition.folder())?;
        let mut trouble = Trouble::new(&ground.pauses, ground.place.shown(&folder));
        let listed: Vec<Path> = loop {
            let store = ground.place.store();
            let objects = match self.partition.before(first) {
                Some(name) => store.list_with_offset(Some(&folder), &in_folder(&folder, &name)),
                None => store.list(Some(&folder)),
            };
            match objects.map_ok(|object| object.location).try_collect().await {
                Ok(listed) => break listed,
                Err(cause) => trouble.wait("list", &cause).await,
            }
        };
        let ours = listed.into_iter().filter_map(|location| {
            let (of, at) = Partition::parse(location.as_ref())?;
            (of == self.partition && at >= first).then_some((at, location))
        });
        let mut there: Vec<_> = ours.collect();
        there.sort();
        Ok(there.into())
    }

    /// Makes these lines part of the archive, if they are not.
    pub(super) async fn store(&mut self, ground: &Ground, lines: &Arc<Lines>) -> Result<(), ArchiveError> {
        let mut at = 0;
        let mut there = match self.there.take() {
            Some(there) => there,
            None if lines.len() == 0 => return Ok(()),
            None => self.list(ground, lines.position(0)).await?,
        };
        while at < lines.len() {
            if let Some(rest) = self.rest.take() {
                at = self.compare(ground, lines, at, rest)?;
                continue;
            }
            let here = lines.position(at);
            match there.front() {
                Some((first, name)) if *first < here => return Err(differs(ground, name)),
                Some((first, _)) if *first == here => {
                    if let Some((_, object)) = there.pop_front() {
                        let text = fetch(ground, &object).await?;
                        self.rest = Some(Rest { object, passed: 0, text });
                    }
                    continue;
                }
                _ => {}
            }
            let most = usize::try_from(ground.config.flush_records).unwrap_or(usize::MAX);
            let end = lines.cut(at, most, there.front().map(|(first, _)| *first));
            let name = self.partition.stem(here) + ground.config.compression.ending();
            let location = in_folder(&ground.place.location(&self.partition.folder())?, &name);
            if put(ground, &location, lines, at..end).await? {
                at = end;
            } else {
                there.push_front((here, location));
            }
        }
        self.there = Some(there);
        Ok(())
    }

    /// Notes where in an object the window ends, if it ends in one.
    pub(super) async fn note(&self, ground: &Ground, next: Position) -> Result<(), ArchiveError> {
        let Some(Rest { object, passed, .. }) = &self.rest else { return Ok(()) };
        let location = ground.place.location(&self.partition.note(next))?;
        let note = Note { object: object.filename().unwrap_or_default().to_owned(), lines: *passed };
        let text = serde_json::json!(note).to_string();
        let mut trouble = Trouble::new(&ground.pauses, ground.place.shown(&location));
        // Who has been here before has written the same.
        while let Err(cause) = ground.place.store().put(&location, text.clone().into()).await {
            trouble.wait("write", &cause).await;
        }
        Ok(())
    }

    /// What is left of the object in which the last window ended, if it ended in one.
    async fn noted(&self, ground: &Ground, resumed: Position) -> Result<Option<Rest>, ArchiveError> {
        let location = ground.place.location(&self.partition.note(resumed))?;
        let Some(bytes) = get(ground, &location).await? else { return Ok(None) };
        let failed = |cause: serde_json::Error| ArchiveError::Unreadable {
            object: ground.place.shown(&location),
            cause: cause.into(),
        };
        let Note { object, lines } = serde_json::from_slice(&bytes).map_err(failed)?;
        let object = in_folder(&ground.place.location(&self.partition.folder())?, &object);
        let mut text = fetch(ground, &object).await?;
        let mut ends = memchr::memchr_iter(b'\n', &text);
        let before = lines.checked_sub(1).and_then(|last| ends.nth(last));
        text.drain(..before.map_or(0, |end| end + 1));
        Ok(Some(Rest { object, passed: lines, text }))
    }

    /// Steps over the lines that an object holds already; they must be the same.
    fn compare(&mut self, ground: &Ground, lines: &Lines, at: usize, mut rest: Rest) -> Result<usize, ArchiveError> {
        let start = lines.start(at);
        let ours = &lines.text[start..];
        let common = ours.len().min(rest.text.len());
        if common == 0 || ours[..common] != rest.text[..common] {
            return Err(differs(ground, &rest.object));
        }
        let to = lines.at_offset(at, start + common);
        if common < rest.text.len() {
            rest.text.drain(..common);
            rest.passed += to - at;
            self.rest = Some(rest);
        }
        Ok(to)
    }
}

fn in_folder(folder: &Path, name: &str) -> Path {
    Path::from_iter(folder.parts().chain(Path::from(name).parts()))
}

fn differs(ground: &Ground, object: &Path) -> ArchiveError {
    ArchiveError::Differs { object: ground.place.shown(object) }
}

/// What is stored; `None` if nothing is.
async fn get(ground: &Ground, location: &Path) -> Result<Option<Bytes>, ArchiveError> {
    let mut trouble = Trouble::new(&ground.pauses, ground.place.shown(location));
    loop {
        match async { ground.place.store().get(location).await?.bytes().await }.await {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(cause) => trouble.wait("read", &cause).await,
        }
    }
}

/// The lines of an object.
async fn fetch(ground: &Ground, object: &Path) -> Result<Vec<u8>, ArchiveError> {
    // If it is gone, somebody removed it since it was listed.
    let bytes = get(ground, object).await?.ok_or_else(|| differs(ground, object))?;
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        unpack(Cursor::new(bytes))?.read_to_end(&mut text)?;
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        Ok(text)
    });
    let text: std::io::Result<Vec<u8>> = read.await.map_err(|_| ArchiveError::Died)?;
    text.map_err(|cause| ArchiveError::Unreadable { object: ground.place.shown(object), cause })
}

/// Puts some lines as an object; `false` if one of its name is there.
async fn put(
    ground: &Ground,
    object: &Path,
    lines: &Arc<Lines>,
    range: std::ops::Range<usize>,
) -> Result<bool, ArchiveError> {
    let (compression, lines, records) = (ground.config.compression, Arc::clone(lines), range.len());
    let packed = tokio::task::spawn_blocking(move || {
        compression.pack(&lines.text[lines.start(range.start)..lines.start(range.end)])
    });
    let packed = packed.await.map_err(|_| ArchiveError::Died)?;
    let packed = packed.map_err(|cause| ArchiveError::Pack { object: ground.place.shown(object), cause })?;
    let bytes = Bytes::from(packed);
    let mut trouble = Trouble::new(&ground.pauses, ground.place.shown(object));
    hit("archive::before_put");
    loop {
        match ground.place.store().put_opts(object, bytes.clone().into(), PutMode::Create.into()).await {
            Ok(_) => {
                tracing::debug!(object = %ground.place.shown(object), records, bytes = bytes.len(), "archived");
                hit("archive::after_put");
                return Ok(true);
            }
            // Ours, if an answer was lost; it is looked at.
            Err(Error::AlreadyExists { .. }) => return Ok(false),
            Err(cause) => trouble.wait("archive to", &cause).await,
        }
    }
}
