//! Follows files that grow, and folders that get new files.
//!
//! One thread polls all files of a source. A poll is one `fstat`, which works on every file system. The interval depends on
//! when the last record arrived and on what a poll costs.
//!
//! A file whose name disappears keeps its partition and its position in this run (see [`FollowedFile`]). A file that
//! appears under the name later continues at that position, or ends the run. No file is ever read a second time.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::RecordingConfig;
use super::file_discovery::{self, DiscoveredFiles, RecordingFile};
use super::file_reader::FileReader;
use super::followed_file::{FileId, FollowedFile};
use super::line_splitter::LineLimits;
use super::rate_limiter::{RateLimiter, sleep_until};
use super::unread_report::UnreadReport;
use pinflow_connect::source::backlog::BacklogReport;
use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{SourceContext, SourceError};

/// The interval while records keep arriving.
const ACTIVE_POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The interval when no record arrived for [`ACTIVE_PERIOD`].
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time after the last record for which more are expected.
const ACTIVE_PERIOD: Duration = Duration::from_secs(5);
/// An interval is at least this many times as long as a poll, so that polling thousands of files stays cheap.
const POLL_COST_FACTOR: u32 = 100;
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The interval of checks for new files, and for files that were replaced, removed or restored.
const NAME_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Follows the files of a recording.
pub(super) struct FolderFollower {
    pub(super) context: SourceContext,
    pub(super) config: RecordingConfig,
    /// The folder or file.
    pub(super) path: PathBuf,
    pub(super) rate_limiter: Option<Arc<RateLimiter>>,
    pub(super) limits: LineLimits,
}

impl FolderFollower {
    /// Follows `found` and files that are added, until the run is stopped. Returns if the run ends once the backlog is
    /// read.
    pub(super) fn run(&self, found: DiscoveredFiles, backlog: &mut BacklogReport) -> Result<(), ReaderExit> {
        let mut followed = Vec::with_capacity(found.files.len());
        let mut unread: HashSet<String> = found.unread.into_iter().map(|unread| unread.name).collect();
        for file in found.files {
            followed.push(FollowedFile::open(self, file)?);
        }
        let mut last_record_at = Instant::now();
        let mut names_due = last_record_at + NAME_CHECK_INTERVAL;
        loop {
            let started = Instant::now();
            if started >= names_due {
                self.check_names(&mut followed, &mut unread)?;
                names_due = Instant::now() + NAME_CHECK_INTERVAL.max(started.elapsed() * POLL_COST_FACTOR);
            }
            let started = Instant::now();
            let grew = followed.iter_mut().try_fold(false, |grew, one| Ok::<_, ReaderExit>(one.poll(self)? | grew))?;
            if !backlog.is_sent() && followed.iter().all(FollowedFile::is_caught_up) {
                backlog.send(&self.context)?;
            }
            if self.context.stops_when_caught_up() && backlog.is_sent() {
                return Ok(());
            }
            let now = Instant::now();
            last_record_at = if grew { now } else { last_record_at };
            let poll_interval = if grew { Duration::ZERO } else { poll_interval(now - last_record_at, now - started) };
            if !sleep_until(&self.context, now + poll_interval) {
                return Err(ReaderExit::Stopped);
            }
        }
    }

    pub(super) fn reader<'a>(&'a self, file: &'a RecordingFile) -> FileReader<'a> {
        FileReader {
            context: &self.context,
            file,
            rate_limiter: self.rate_limiter.as_ref(),
            limits: self.limits,
            followed: true,
        }
    }

    /// Checks the names of followed files, opens new files of a folder, and warns about new files that are not read.
    /// `unread` has the names that were warned about.
    pub(super) fn check_names(
        &self,
        followed: &mut Vec<FollowedFile>,
        unread: &mut HashSet<String>,
    ) -> Result<(), ReaderExit> {
        let ids: Vec<Option<FileId>> = followed.iter().map(FollowedFile::id).collect();
        for one in followed.iter_mut() {
            one.check_name(self)?;
        }
        if !self.path.is_dir() {
            return Ok(());
        }
        let known: HashSet<PathBuf> = followed.iter().map(|one| one.file().path.clone()).collect();
        let found = match file_discovery::find_files(&self.config, &self.path, |path| known.contains(path)) {
            Ok(found) => found,
            // The folder was removed meanwhile. Its files are reported at the next check.
            Err(SourceError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(failed) => return Err(ReaderExit::Failed(failed)),
        };
        if !found.problems.is_empty() {
            return Err(ReaderExit::Failed(SourceError::Unusable(found.problems.join("\n"))));
        }
        let new: Vec<_> = found.unread.into_iter().filter(|one| !unread.contains(&one.name)).collect();
        if !new.is_empty() {
            UnreadReport::classify(&new).log_warnings(&self.path);
            unread.extend(new.into_iter().map(|one| one.name));
        }
        for file in found.files {
            self.refuse_renamed(&file, followed, &ids)?;
            if let Some(one) = FollowedFile::open_new(self, file)? {
                followed.push(one);
            }
        }
        Ok(())
    }

    /// Refuses a new file that is a renamed followed file: its rows would be read again under another `_source`. A hard
    /// link to a file that still has its first name is a file of its own.
    fn refuse_renamed(
        &self,
        new: &RecordingFile,
        followed: &[FollowedFile],
        ids: &[Option<FileId>],
    ) -> Result<(), ReaderExit> {
        let Some(id) = FileId::from_path(&new.path) else { return Ok(()) };
        let same = followed.iter().zip(ids).filter(|(one, had)| **had == Some(id) && one.has_read());
        for (one, _) in same {
            if FileId::from_path(&one.file().path) != Some(id) {
                return Err(one.renamed_error(self, &new.key));
            }
        }
        Ok(())
    }
}

/// The time until the next poll, when the last record arrived `idle` ago and a poll takes `poll`.
fn poll_interval(idle: Duration, poll: Duration) -> Duration {
    let least = if idle < ACTIVE_PERIOD { ACTIVE_POLL_INTERVAL } else { IDLE_POLL_INTERVAL };
    least.max((poll * POLL_COST_FACTOR).min(MAX_POLL_INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poll_interval_grows_with_idle_time_and_poll_cost() {
        let (now, ago) = (Duration::ZERO, Duration::from_secs(60));
        assert_eq!(poll_interval(now, Duration::from_micros(5)), ACTIVE_POLL_INTERVAL);
        assert_eq!(poll_interval(ago, Duration::from_micros(5)), IDLE_POLL_INTERVAL);
        assert_eq!(poll_interval(ago, Duration::from_micros(300)), Duration::from_millis(30));
        assert_eq!(poll_interval(now, Duration::from_secs(9)), MAX_POLL_INTERVAL);
    }
}
