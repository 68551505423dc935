//! Writes one partition of the archive. Messages that it already contains are compared, the others are put.
//!
//! Objects are put one after the other, each only if no object of that name exists. So the objects of a partition never
//! have a gap, whenever the process dies.
//!
//! After a restart the source is read again from the position of the tables. Objects from there on were put but not
//! committed. Their messages arrive again and must be equal. Later messages go into new objects. An object that another
//! writer put in the meantime is compared in the same way, and so is one of our own whose response was lost.
//!
//! A window can end inside an object that is being compared. Then a resume marker is put before the tables are committed,
//! under the position that they will have. It names the object and the number of its lines that are committed. A run that
//! resumes at this position finds the marker.

use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use super::codec::decompress_object;
use super::config::ArchiveConfig;
use super::object_name::ArchivePartition;
use super::window_messages::PartitionLines;
use super::writer::{ArchiveError, run_failpoint};
use pinflow_core::position::Position;
use pinflow_storage::{Location, RetryLoop, StallStatus};

/// What the writers of all partitions share.
#[derive(Debug, Clone)]
pub(super) struct ArchiveContext {
    pub(super) location: Location,
    pub(super) config: ArchiveConfig,
    pub(super) status: StallStatus,
}

/// The writer of one partition.
pub(super) struct PartitionWriter {
    partition: ArchivePartition,
    /// Existing objects that were not reached yet, oldest first. Listed at the first message of this run.
    existing: Option<VecDeque<(Position, Path)>>,
    replay: Option<ReplayTail>,
}

/// The rest of an existing object whose messages are being read again.
struct ReplayTail {
    object: Path,
    /// Its lines that were compared.
    compared_lines: usize,
    /// Its lines that were not compared yet.
    text: Vec<u8>,
}

/// Where a window ends inside an object. Stored in the archive as JSON.
#[derive(Serialize, Deserialize)]
struct ResumeMarker {
    object: String,
    /// Lines of the object that belong to committed windows.
    lines: usize,
}

impl PartitionWriter {
    /// Opens the partition of a source at the position of the tables.
    pub(super) async fn open(
        context: &ArchiveContext,
        source: &str,
        resumed: Position,
    ) -> Result<PartitionWriter, ArchiveError> {
        let mut writer =
            PartitionWriter { partition: ArchivePartition::from_source(source), existing: None, replay: None };
        writer.replay = writer.load_resume_marker(context, resumed).await?;
        Ok(writer)
    }

    /// Lists the existing objects from a position on.
    async fn list_objects(
        &self,
        context: &ArchiveContext,
        first: Position,
    ) -> Result<VecDeque<(Position, Path)>, ArchiveError> {
        let folder = context.location.object_path(&self.partition.folder())?;
        let mut retry = RetryLoop::new(&context.status, context.location.display_path(&folder));
        let listed: Vec<Path> = loop {
            let store = context.location.store();
            let objects = match self.partition.list_offset(first) {
                Some(name) => store.list_with_offset(Some(&folder), &join_path(&folder, &name)),
                None => store.list(Some(&folder)),
            };
            match objects.map_ok(|object| object.location).try_collect().await {
                Ok(listed) => break listed,
                Err(cause) => retry.back_off("list", &cause).await,
            }
        };
        let ours = listed.into_iter().filter_map(|location| {
            let (partition, position) = ArchivePartition::parse_key(location.as_ref())?;
            (partition == self.partition && position >= first).then_some((position, location))
        });
        let mut existing: Vec<_> = ours.collect();
        existing.sort();
        Ok(existing.into())
    }

    /// Makes these lines durable in the archive.
    pub(super) async fn write_lines(
        &mut self,
        context: &ArchiveContext,
        lines: &Arc<PartitionLines>,
    ) -> Result<(), ArchiveError> {
        let mut at = 0;
        let mut existing = match self.existing.take() {
            Some(existing) => existing,
            None if lines.len() == 0 => return Ok(()),
            None => self.list_objects(context, lines.position_of(0)).await?,
        };
        while at < lines.len() {
            if let Some(replay) = self.replay.take() {
                at = self.compare_replay(context, lines, at, replay)?;
                continue;
            }
            let here = lines.position_of(at);
            match existing.front() {
                Some((first, name)) if *first < here => return Err(differs_error(context, name)),
                Some((first, _)) if *first == here => {
                    if let Some((_, object)) = existing.pop_front() {
                        let text = fetch_lines(context, &object).await?;
                        self.replay = Some(ReplayTail { object, compared_lines: 0, text });
                    }
                    continue;
                }
                _ => {}
            }
            let max_lines = usize::try_from(context.config.flush_records).unwrap_or(usize::MAX);
            let end = lines.object_end(at, max_lines, existing.front().map(|(first, _)| *first));
            let name = self.partition.object_stem(here) + context.config.compression.extension();
            let location = join_path(&context.location.object_path(&self.partition.folder())?, &name);
            if put_if_absent(context, &location, lines, at..end).await? {
                at = end;
            } else {
                existing.push_front((here, location));
            }
        }
        self.existing = Some(existing);
        Ok(())
    }

    /// Writes a resume marker if the window ends inside an object.
    pub(super) async fn write_resume_marker(
        &self,
        context: &ArchiveContext,
        next: Position,
    ) -> Result<(), ArchiveError> {
        let Some(ReplayTail { object, compared_lines, .. }) = &self.replay else { return Ok(()) };
        let location = context.location.object_path(&self.partition.marker_key(next))?;
        let marker = ResumeMarker { object: object.filename().unwrap_or_default().to_owned(), lines: *compared_lines };
        let text = serde_json::json!(marker).to_string();
        let mut retry = RetryLoop::new(&context.status, context.location.display_path(&location));
        // Who has been here before has written the same.
        while let Err(cause) = context.location.store().put(&location, text.clone().into()).await {
            retry.back_off("write", &cause).await;
        }
        Ok(())
    }

    /// The rest of the object in which the last committed window ended, if it ended inside one.
    async fn load_resume_marker(
        &self,
        context: &ArchiveContext,
        resumed: Position,
    ) -> Result<Option<ReplayTail>, ArchiveError> {
        let location = context.location.object_path(&self.partition.marker_key(resumed))?;
        let Some(bytes) = get_if_exists(context, &location).await? else { return Ok(None) };
        let failed = |cause: serde_json::Error| ArchiveError::Unreadable {
            object: context.location.display_path(&location),
            cause: cause.into(),
        };
        let ResumeMarker { object, lines } = serde_json::from_slice(&bytes).map_err(failed)?;
        let object = join_path(&context.location.object_path(&self.partition.folder())?, &object);
        let mut text = fetch_lines(context, &object).await?;
        let mut ends = memchr::memchr_iter(b'\n', &text);
        let before = lines.checked_sub(1).and_then(|last| ends.nth(last));
        text.drain(..before.map_or(0, |end| end + 1));
        Ok(Some(ReplayTail { object, compared_lines: lines, text }))
    }

    /// Compares lines with the rest of an existing object, and returns the first line behind it.
    fn compare_replay(
        &mut self,
        context: &ArchiveContext,
        lines: &PartitionLines,
        at: usize,
        mut replay: ReplayTail,
    ) -> Result<usize, ArchiveError> {
        let start = lines.line_start(at);
        let ours = &lines.text[start..];
        let common = ours.len().min(replay.text.len());
        if common == 0 || ours[..common] != replay.text[..common] {
            return Err(differs_error(context, &replay.object));
        }
        let to = lines.line_at_offset(at, start + common);
        if common < replay.text.len() {
            replay.text.drain(..common);
            replay.compared_lines += to - at;
            self.replay = Some(replay);
        }
        Ok(to)
    }
}

fn join_path(folder: &Path, name: &str) -> Path {
    Path::from_iter(folder.parts().chain(Path::from(name).parts()))
}

fn differs_error(context: &ArchiveContext, object: &Path) -> ArchiveError {
    ArchiveError::Differs { object: context.location.display_path(object) }
}

/// Reads an object; `None` if it does not exist.
async fn get_if_exists(context: &ArchiveContext, location: &Path) -> Result<Option<Bytes>, ArchiveError> {
    let mut retry = RetryLoop::new(&context.status, context.location.display_path(location));
    loop {
        match async { context.location.store().get(location).await?.bytes().await }.await {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(cause) => retry.back_off("read", &cause).await,
        }
    }
}

/// Reads and decompresses an object. Its last line gets a line end if it has none.
async fn fetch_lines(context: &ArchiveContext, object: &Path) -> Result<Vec<u8>, ArchiveError> {
    // It was listed, so someone removed it since.
    let bytes = get_if_exists(context, object).await?.ok_or_else(|| differs_error(context, object))?;
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        decompress_object(Cursor::new(bytes))?.read_to_end(&mut text)?;
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        Ok(text)
    });
    let text: std::io::Result<Vec<u8>> = read.await.map_err(|_| ArchiveError::Panicked)?;
    text.map_err(|cause| ArchiveError::Unreadable { object: context.location.display_path(object), cause })
}

/// Puts lines as an object; `false` if an object of that name exists.
async fn put_if_absent(
    context: &ArchiveContext,
    object: &Path,
    lines: &Arc<PartitionLines>,
    range: std::ops::Range<usize>,
) -> Result<bool, ArchiveError> {
    let (compression, lines, records) = (context.config.compression, Arc::clone(lines), range.len());
    let compressed = tokio::task::spawn_blocking(move || {
        compression.compress(&lines.text[lines.line_start(range.start)..lines.line_start(range.end)])
    });
    let compressed = compressed.await.map_err(|_| ArchiveError::Panicked)?;
    let compressed =
        compressed.map_err(|cause| ArchiveError::Compress { object: context.location.display_path(object), cause })?;
    let bytes = Bytes::from(compressed);
    let mut retry = RetryLoop::new(&context.status, context.location.display_path(object));
    run_failpoint("archive::before_put");
    loop {
        match context.location.store().put_opts(object, bytes.clone().into(), PutMode::Create.into()).await {
            Ok(_) => {
                tracing::debug!(object = %context.location.display_path(object), records, bytes = bytes.len(), "archived");
                run_failpoint("archive::after_put");
                return Ok(true);
            }
            // It is our own if a response was lost. The caller compares it.
            Err(Error::AlreadyExists { .. }) => return Ok(false),
            Err(cause) => retry.back_off("archive to", &cause).await,
        }
    }
}
