//! Reads recorded streams: a folder of JSON Lines files or one file (plain, gzip or zstd), or a raw archive on disk or in
//! a bucket (`archive_reader`).
//!
//! - Every file is a partition, `recording/‹file›`. The position of a record is its line number, from 1.
//! - A line ends with `\n` or `\r\n`. An empty line is a record, and so is a last line without a line end. In a followed
//!   file, the last line is read once it has its line end.
//! - Of a line longer than [`LINE_BYTES_MAX`], that many first bytes are sent. That exceeds the limit of a message, so the
//!   line becomes a rejection at its position.
//! - A file resumes where the tables say, after the record before that position was compared with the one that was read.
//!   A file that was truncated, replaced or removed ends the run with an error.
//!
//! Up to [`READERS_MAX`] threads read one file each. Each holds one block in memory: [`BLOCK_BYTES`], or one longer line.

mod archive_reader;
mod block_buffers;
mod compression;
mod config;
mod config_keys;
mod file_cursor;
mod file_discovery;
mod file_reader;
mod folder_follower;
mod followed_file;
mod json_array;
mod line_splitter;
mod rate_limiter;
mod unread_report;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use async_trait::async_trait;
use pinflow_dataflows::ingest::StreamHint;

pub use config::{RecordingConfig, StreamSetting};
pub use file_discovery::stream_from_file_name;
use file_discovery::{DiscoveredFiles, RecordingFile};
use file_reader::FileReader;
use folder_follower::FolderFollower;
use json_array::RecordLayout;
use line_splitter::LineLimits;
use rate_limiter::RateLimiter;
use unread_report::UnreadReport;

use pinflow_connect::source::backlog::BacklogReport;
use pinflow_connect::source::reader_thread::{ReaderExit, spawn_reader, spawn_thread};
use pinflow_connect::source::source_kind::{PlanContext, PlannedSource, SourceConfig, SourceKind};
use pinflow_connect::source::{ReadShare, SourceContext, SourceError};
use pinflow_core::error_text::error_text;
use pinflow_core::file_limit;
use pinflow_core::finding::Finding;
use pinflow_core::key_problem::KeyProblem;
use pinflow_storage::{Location, LocationSpec, StorageConnection};

/// The approximate size of a block in bytes.
pub const BLOCK_BYTES: usize = 256 << 10;
/// The most bytes of a line that are sent. It exceeds the limit of a message.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// The most files of a source that are read at the same time.
pub const READERS_MAX: usize = 8;

/// The approximate size of a block in bytes when records are rate-limited: it is split further anyway.
const PACED_BLOCK_BYTES: usize = 32 << 10;

/// Recorded files as a source.
pub const SOURCE_KIND: SourceKind = SourceKind {
    name: "recording",
    keys: config_keys::RECORDING_KEYS,
    identifying_keys: &["path"],
    read: SourceKind::read_as::<RecordingConfig>,
};

/// A recording whose files were found. It is ready to be read.
#[derive(Debug)]
pub struct RecordingSource {
    config: RecordingConfig,
    /// The folder or file, as an absolute path or relative to the working directory.
    path: PathBuf,
    found: DiscoveredFiles,
}

/// Finds the files of a recording. A relative path is resolved against `base`, the folder of the configuration file.
///
/// # Errors
/// If the path cannot be read, contains nothing to read, or contains files that must be read and cannot be. Such files
/// are all reported at once, a line each.
pub fn plan(config: RecordingConfig, base: &Path) -> Result<RecordingSource, SourceError> {
    let path = base.join(&config.path);
    check_name(&config)?;
    let found = file_discovery::find_files(&config, &path, |_| false)?;
    if !found.problems.is_empty() {
        return Err(SourceError::Unusable(found.problems.join("\n")));
    }
    // A followed folder may get files later.
    if found.files.is_empty() && !config.follow {
        return Err(SourceError::Unusable(nothing_usable_text(&path, &found)));
    }
    Ok(RecordingSource { config, path, found })
}

fn nothing_usable_text(path: &Path, found: &DiscoveredFiles) -> String {
    let unread = match found.unread.as_slice() {
        [] => "it is empty".to_owned(),
        unread => format!("found:\n{}", UnreadReport::classify(unread)),
    };
    format!(
        "{}: nothing to read. Searched for files whose names begin with `pin`, `geo` or `user` and end in .jsonl, .ndjson \
         or .json, then perhaps .gz or .zst; with stream = \"pin\", \"geo\", \"user\" or \"auto\" any name will do; {unread}",
        path.display()
    )
}

/// As [`plan`], and also finds archives: a prefix in a bucket, or a folder that contains a folder `topics`. Buckets are
/// reached through `connection`.
///
/// # Errors
/// As [`plan`].
pub async fn plan_anywhere(
    config: RecordingConfig,
    base: &Path,
    connection: &StorageConnection,
) -> Result<RecordingSource, SourceError> {
    let target = match config.path.to_str() {
        Some(text) => LocationSpec::parse(text, base, "path").map_err(SourceError::Misconfigured)?,
        None => LocationSpec::Folder(base.join(&config.path)),
    };
    if let LocationSpec::Folder(folder) = &target
        && !folder.join("topics").is_dir()
    {
        return plan(RecordingConfig { path: folder.clone(), ..config }, Path::new(""));
    }
    check_name(&config)?;
    let reached = Location::connect(&target, connection).await.and_then(|place| place.resolve_existing());
    let place = reached.map_err(|error| SourceError::from_connection(&error))?;
    if config.follow {
        let what = format!("{place} is an archive, which cannot be followed; remove `follow`");
        return Err(SourceError::Unusable(what));
    }
    let found = archive_reader::find_partitions(&config, &place).await?;
    if !found.problems.is_empty() {
        return Err(SourceError::Unusable(found.problems.join("\n")));
    }
    if found.files.is_empty() {
        let what = "no object of an archive: topics/TOPIC/partition=N/TOPIC+N+OFFSET.json, perhaps with .gz or .zst";
        let unread = match found.unread.as_slice() {
            [] => String::new(),
            unread => format!("; found:\n{}", UnreadReport::classify(unread)),
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

#[async_trait]
impl SourceConfig for RecordingConfig {
    fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        let path = self.path.to_str().unwrap_or(".");
        let wrong = LocationSpec::parse(path, base, "path of a recording").err();
        wrong.map(|what| KeyProblem::new("path", what)).into_iter().collect()
    }

    async fn check(&self, context: &PlanContext<'_>) -> Vec<Finding> {
        match plan_anywhere(self.clone(), context.base, context.objects).await {
            Ok(planned) => planned.check(),
            Err(error) => vec![Finding::Problem(error_text(&error))],
        }
    }

    fn is_read_by(&self, share: ReadShare) -> bool {
        share.has_assigned(self.process)
    }

    async fn plan(&self, context: &PlanContext<'_>) -> Result<Box<dyn PlannedSource>, SourceError> {
        Ok(Box::new(plan_anywhere(self.clone(), context.base, context.objects).await?))
    }
}

impl PlannedSource for RecordingSource {
    /// Recordings with different `name`s never share partition names. Recordings with the same name or none may: only
    /// single files with different file names are safe, since a folder could get a file of any name.
    fn name_conflicts(&self, other: &dyn PlannedSource) -> Vec<String> {
        let Some(other) = other.downcast_ref().filter(|other| self.may_share_names_with(other)) else {
            return Vec::new();
        };
        let (one, other) = (self.path.display(), other.path.display());
        vec![format!(
            "{one} and {other}: their files could have the same `_source`; give each recording a different `name`"
        )]
    }

    fn start(self: Box<Self>, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        RecordingSource::start(*self, context)
    }
}

impl RecordingSource {
    fn may_share_names_with(&self, other: &RecordingSource) -> bool {
        let same_name = self.config.name == other.config.name;
        let files = !self.is_folder() && !other.is_folder();
        same_name && !(files && self.path.file_name() != other.path.file_name())
    }

    /// Whether files may be added to it.
    fn is_folder(&self) -> bool {
        self.path.is_dir() || self.found.files.iter().any(|file| file.archived.is_some())
    }

    /// The total size of all files in bytes, as stored, when they were found.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.found.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether this source ends by itself.
    #[must_use]
    pub fn ends(&self) -> bool {
        !self.config.follow
    }

    /// A finding for each file, and for what is not read.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let files = self.found.files.iter().map(|file| {
            let stream = match file.stream_hint {
                StreamHint::Only(stream) => stream.name(),
                StreamHint::Auto => "auto",
            };
            Finding::Passed(match &file.archived {
                Some(objects) => format!("{}: {stream}, {} objects, {} bytes", file.key, objects.len(), file.bytes),
                None => {
                    let array = if file.layout == RecordLayout::Array { ", a JSON array" } else { "" };
                    format!("{}: {stream}, {}{array}, {} bytes", file.key, file.compression.name(), file.bytes)
                }
            })
        });
        let unread = UnreadReport::classify(&self.found.unread).findings();
        files.chain(unread).chain(self.check_file_limit()).collect()
    }

    /// Whether all followed files can be open at once.
    fn check_file_limit(&self) -> Option<Finding> {
        let files = self.found.files.len() as u64;
        let limit = file_limit::limit().filter(|_| self.config.follow)?;
        let needed = files + file_limit::OTHER_FILES;
        (needed > limit).then(|| {
            let remedy = file_limit::remedy(needed.next_power_of_two().max(65_536));
            Finding::Problem(format!(
                "{}: {files} files are followed, each of them open, and the process may have {limit} open; {remedy}",
                self.path.display()
            ))
        })
    }

    /// Starts the threads that read the files, after a warning about files that are not read. The threads end when all
    /// files are read, when the run is stopped, or after a failure, which they send to the engine.
    ///
    /// A thread waits in [`SourceContext::send`] while the channel is full. An engine that stops must keep receiving, or
    /// drop the receiver.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(self, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let limits = match self.config.rate_per_sec {
            None => LineLimits { block_bytes: BLOCK_BYTES, line_bytes_max: LINE_BYTES_MAX },
            Some(_) => LineLimits { block_bytes: PACED_BLOCK_BYTES, line_bytes_max: LINE_BYTES_MAX },
        };
        self.start_within(limits, context)
    }

    fn start_within(self, limits: LineLimits, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let rate_limiter = self.config.rate_per_sec.map(|per_sec| Arc::new(RateLimiter::new(per_sec, Instant::now())));
        if let Err(gone) = self.check_nothing_removed(context) {
            return Ok(vec![spawn_thread("recording".to_owned(), context, self.display_path(), |_| {
                Err(ReaderExit::Failed(gone))
            })?]);
        }
        UnreadReport::classify(&self.found.unread).log_warnings(&self.path);
        let shown = self.display_path();
        let RecordingSource { config, path, found } = self;
        if config.follow {
            let follow = FolderFollower { context: context.clone(), config, path: path.clone(), rate_limiter, limits };
            let read = move |_: &SourceContext, backlog: &mut BacklogReport| follow.run(found, backlog);
            return Ok(vec![spawn_reader("recording".to_owned(), context, shown, read)?]);
        }
        let files = Arc::new(found.files);
        let next = Arc::new(AtomicUsize::new(0));
        (0..files.len().min(READERS_MAX))
            .map(|reader| {
                let (files, next, rate_limiter) = (Arc::clone(&files), Arc::clone(&next), rate_limiter.clone());
                let read = move |context: &SourceContext, _: &mut BacklogReport| {
                    read_files(context, &files, &next, rate_limiter.as_ref(), limits)
                };
                spawn_reader(format!("recording-{reader}"), context, shown.clone(), read)
            })
            .collect()
    }

    fn display_path(&self) -> String {
        self.path.display().to_string()
    }

    /// Checks that every file that was read before still exists.
    fn check_nothing_removed(&self, context: &SourceContext) -> Result<(), SourceError> {
        if !self.is_folder() || self.config.allow_removed {
            return Ok(());
        }
        let prefix = file_discovery::key_prefix(&self.config);
        let here: HashSet<&str> = self.found.files.iter().map(|file| file.key.as_str()).collect();
        // Other recordings' names contain a further slash.
        let mut stored = context.stored_with_prefix(&prefix).filter(|(key, _)| !key[prefix.len()..].contains('/'));
        match stored.find(|(key, _)| !here.contains(key)) {
            None => Ok(()),
            Some((key, reached)) => Err(SourceError::Changed {
                partition: key.to_owned(),
                what: format!(
                    "{} lines of it were read before, and it is not among the files of {} any more. Put it back; or set \
                     allow_removed = true if everything in it was read, or give this recording another `name` if it is a different one",
                    reached.next_number().saturating_sub(1),
                    self.path.display()
                ),
            }),
        }
    }
}

/// Reads one file after the other until none is left. `next` is shared by all readers.
fn read_files(
    context: &SourceContext,
    files: &[RecordingFile],
    next: &AtomicUsize,
    rate_limiter: Option<&Arc<RateLimiter>>,
    limits: LineLimits,
) -> Result<(), ReaderExit> {
    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        FileReader { context, file, rate_limiter, limits, followed: false }.read_file()?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
