//! Recorded streams: a folder of JSON Lines files, or one file; plain, gzip or zstd. Or a raw archive, on disk or in a
//! bucket (`archived`).
//!
//! - Every file is a partition, `recording/‹file›`, and a record's position is its line number, from 1.
//! - A line ends with `\n` or `\r\n`. An empty line is a record. So is a last line without an end, except in a
//!   followed file: there it waits for its end.
//! - A line longer than [`LINE_BYTES_MAX`] is handed over as that many of its first bytes. This is more than a message
//!   may have, so it becomes a rejection, in its place.
//! - A file is resumed where the tables say, and only after the record before that place has proved to be the one
//!   that was read. A file that was shortened, replaced or removed ends the run with an error.
//!
//! Each file is read by one thread that may block; [`READERS_MAX`] of them at most. What is held in memory: a block
//! for each, and those in the feed; a block is [`BLOCK_BYTES`] or one line.

mod archived;
mod array;
mod compression;
mod config;
mod files;
mod follow;
mod followed;
mod job;
mod lines;
mod pace;
mod resume;
mod unread;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use pinflow_dataflows::ingest::StreamHint;

use array::Layout;
pub use config::{RecordingConfig, StreamSetting};
pub use files::stream_of;
use files::{Found, RecordingFile};
use follow::Follow;
use job::Job;
use lines::Limits;
use pace::Pacer;
use unread::UnreadReport;

use super::backlog::BacklogReport;
use super::reader_thread::{ReaderExit, spawn_reader, spawn_thread};
use super::{SourceContext, SourceError};
use crate::file_limit;
use crate::finding::Finding;
use crate::storage::{Location, LocationSpec, StorageConnection};

/// About how many bytes of text a block has.
pub const BLOCK_BYTES: usize = 256 << 10;
/// How many bytes of a line are handed over. A message may not be that long.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// How many files of a source are read at the same time.
pub const READERS_MAX: usize = 8;

/// About how many bytes of text a block has when records are paced: it is taken apart anyway.
const PACED_BLOCK_BYTES: usize = 32 << 10;

/// A recording whose files have been found, ready to be read.
#[derive(Debug)]
pub struct RecordingSource {
    config: RecordingConfig,
    /// The folder or file, resolved.
    path: PathBuf,
    found: Found,
}

/// Finds the files of a recording. `base` is what a relative path is relative to: the configuration file's folder.
///
/// # Errors
/// If the path cannot be read, holds nothing that can be used, or holds something that must be read and cannot be:
/// all such faults at once, a line each.
pub fn plan(config: RecordingConfig, base: &Path) -> Result<RecordingSource, SourceError> {
    let path = base.join(&config.path);
    check_name(&config)?;
    let found = files::find(&config, &path, |_| false)?;
    if !found.faults.is_empty() {
        return Err(SourceError::Unusable(found.faults.join("\n")));
    }
    // A folder that is followed may fill later.
    if found.files.is_empty() && !config.follow {
        return Err(SourceError::Unusable(nothing_usable(&path, &found)));
    }
    Ok(RecordingSource { config, path, found })
}

fn nothing_usable(path: &Path, found: &Found) -> String {
    let unread = match found.unread.as_slice() {
        [] => "it is empty".to_owned(),
        unread => format!("found:\n{}", UnreadReport::of(unread)),
    };
    format!(
        "{}: nothing to read. Looked for files whose names begin with `pin`, `geo` or `user` and end in .jsonl, .ndjson \
         or .json, then perhaps .gz or .zst; with stream = \"pin\", \"geo\", \"user\" or \"auto\" any name will do; {unread}",
        path.display()
    )
}

/// As [`plan`], and archives too: a prefix of a bucket, or a folder with a folder `topics`. `connection` is how buckets are
/// reached.
///
/// # Errors
/// As [`plan`].
pub async fn plan_anywhere(
    config: RecordingConfig,
    base: &Path,
    connection: &StorageConnection,
) -> Result<RecordingSource, SourceError> {
    let target = match config.path.to_str() {
        Some(text) => LocationSpec::parse(text, base, "path").map_err(SourceError::Unusable)?,
        None => LocationSpec::Folder(base.join(&config.path)),
    };
    if let LocationSpec::Folder(folder) = &target
        && !folder.join("topics").is_dir()
    {
        return plan(RecordingConfig { path: folder.clone(), ..config }, Path::new(""));
    }
    check_name(&config)?;
    let reached = Location::connect(&target, connection).await.and_then(|place| place.resolve_existing());
    let place = reached.map_err(|error| SourceError::Unusable(error.to_string()))?;
    if config.follow {
        let what = format!("{place} is an archive, which is read to its end; leave `follow` out");
        return Err(SourceError::Unusable(what));
    }
    let found = archived::find(&config, &place).await?;
    if !found.faults.is_empty() {
        return Err(SourceError::Unusable(found.faults.join("\n")));
    }
    if found.files.is_empty() {
        let what = "no object of an archive: topics/TOPIC/partition=N/TOPIC+N+OFFSET.json, perhaps with .gz or .zst";
        let unread = match found.unread.as_slice() {
            [] => String::new(),
            unread => format!("; found:\n{}", UnreadReport::of(unread)),
        };
        return Err(SourceError::Unusable(format!("{place}: {what}{unread}")));
    }
    Ok(RecordingSource { config, path: place.name().to_owned(), found })
}

fn check_name(config: &RecordingConfig) -> Result<(), SourceError> {
    let Some(name) = &config.name else { return Ok(()) };
    let plain = |letter: char| letter.is_alphanumeric() || ['-', '_', '.'].contains(&letter);
    if name.is_empty() || !name.chars().all(plain) {
        let what = format!("name = {name:?}: a recording's name is of letters, digits, `-`, `_` and `.`");
        return Err(SourceError::Unusable(what));
    }
    Ok(())
}

/// Checks that no two partitions of these sources can ever have the same name.
///
/// Sources with different `name`s are told apart by it. Among those of the same, or of none, only single files with
/// different names are: a folder could gain a file of any name.
///
/// # Errors
/// [`SourceError::Unusable`] with every pair that cannot be told apart, a line each.
pub fn check_unique(sources: &[RecordingSource]) -> Result<(), SourceError> {
    let mut faults = Vec::new();
    for (at, one) in sources.iter().enumerate() {
        for other in &sources[at + 1..] {
            if one.may_be_taken_for(other) {
                let (one, other) = (one.path.display(), other.path.display());
                faults.push(format!(
                    "{one} and {other}: their files cannot be told apart; give each recording a different `name`"
                ));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(SourceError::Unusable(faults.join("\n"))) }
}

impl RecordingSource {
    fn may_be_taken_for(&self, other: &RecordingSource) -> bool {
        let same_name = self.config.name == other.config.name;
        let files = !self.is_folder() && !other.is_folder();
        same_name && !(files && self.path.file_name() != other.path.file_name())
    }

    /// Whether more files may join it.
    fn is_folder(&self) -> bool {
        self.path.is_dir() || self.found.files.iter().any(|file| file.archived.is_some())
    }

    /// Bytes of all files as they are stored, when they were found.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.found.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether this source ends by itself.
    #[must_use]
    pub fn ends(&self) -> bool {
        !self.config.follow
    }

    /// What was found: a line for each file, and what is not read.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let files = self.found.files.iter().map(|file| {
            let stream = match file.carries {
                StreamHint::Only(stream) => stream.name(),
                StreamHint::Auto => "auto",
            };
            Finding::Well(match &file.archived {
                Some(objects) => format!("{}: {stream}, {} objects, {} bytes", file.key, objects.len(), file.bytes),
                None => {
                    let array = if file.layout == Layout::Array { ", a JSON array" } else { "" };
                    format!("{}: {stream}, {}{array}, {} bytes", file.key, file.compression.name(), file.bytes)
                }
            })
        });
        let unread = UnreadReport::of(&self.found.unread).findings();
        files.chain(unread).chain(self.check_file_limit()).collect()
    }

    /// Whether all followed files can be open at once.
    fn check_file_limit(&self) -> Option<Finding> {
        let files = self.found.files.len() as u64;
        let limit = file_limit::limit().filter(|_| self.config.follow)?;
        let needed = files + file_limit::OTHER_FILES;
        (needed > limit).then(|| {
            let remedy = file_limit::remedy(needed.next_power_of_two().max(65_536));
            Finding::Fault(format!(
                "{}: {files} files are followed, each of them open, and the process may have {limit} open; {remedy}",
                self.path.display()
            ))
        })
    }

    /// Warns of what is not read, and starts reading into the feed; the threads end when every file has, when the run is stopped, or on a failure,
    /// which they tell the feed.
    ///
    /// The threads wait in [`SourceContext::send`] while the feed is full: an engine that stops must go on taking, or drop
    /// its end.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let limits = match self.config.rate_per_sec {
            None => Limits { block_bytes: BLOCK_BYTES, line_bytes_max: LINE_BYTES_MAX },
            Some(_) => Limits { block_bytes: PACED_BLOCK_BYTES, line_bytes_max: LINE_BYTES_MAX },
        };
        self.start_within(limits, context)
    }

    fn start_within(self, limits: Limits, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let pacer = self.config.rate_per_sec.map(|per_sec| Arc::new(Pacer::new(per_sec, Instant::now())));
        if let Err(gone) = self.nothing_gone(context) {
            return Ok(vec![spawn_thread("recording".to_owned(), context, self.shown(), |_| {
                Err(ReaderExit::Failed(gone))
            })?]);
        }
        UnreadReport::of(&self.found.unread).warn(&self.path);
        let shown = self.shown();
        let RecordingSource { config, path, found } = self;
        if config.follow {
            let follow = Follow { context: context.clone(), config, path: path.clone(), pacer, limits };
            let read = move |_: &SourceContext, backlog: &mut BacklogReport| follow.run(found, backlog);
            return Ok(vec![spawn_reader("recording".to_owned(), context, shown, read)?]);
        }
        let files = Arc::new(found.files);
        let next = Arc::new(AtomicUsize::new(0));
        (0..files.len().min(READERS_MAX))
            .map(|reader| {
                let (files, next, pacer) = (Arc::clone(&files), Arc::clone(&next), pacer.clone());
                let read = move |context: &SourceContext, _: &mut BacklogReport| {
                    read_files(context, &files, &next, pacer.as_ref(), limits)
                };
                spawn_reader(format!("recording-{reader}"), context, shown.clone(), read)
            })
            .collect()
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether every file that was read before is still there.
    fn nothing_gone(&self, context: &SourceContext) -> Result<(), SourceError> {
        if !self.is_folder() || self.config.allow_removed {
            return Ok(());
        }
        let prefix = files::prefix(&self.config);
        let here: HashSet<&str> = self.found.files.iter().map(|file| file.key.as_str()).collect();
        // Other recordings' names contain a further slash.
        let mut stored = context.stored_with_prefix(&prefix).filter(|(key, _)| !key[prefix.len()..].contains('/'));
        match stored.find(|(key, _)| !here.contains(key)) {
            None => Ok(()),
            Some((key, reached)) => Err(SourceError::Changed {
                partition: key.to_owned(),
                what: format!(
                    "{} lines of it were read before, and it is not among the files of {} any more. Put it back; or say \
                     allow_removed = true if everything in it was read, or give this recording another `name` if it is another one",
                    reached.next_number().saturating_sub(1),
                    self.path.display()
                ),
            }),
        }
    }
}

/// Takes one file after the other until there are none.
fn read_files(
    context: &SourceContext,
    files: &[RecordingFile],
    next: &AtomicUsize,
    pacer: Option<&Arc<Pacer>>,
    limits: Limits,
) -> Result<(), ReaderExit> {
    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        Job { context, file, pacer, limits, followed: false }.read()?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
