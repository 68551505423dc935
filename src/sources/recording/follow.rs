//! Files that grow, and folders that gain files.
//!
//! One thread looks at all of a source's files in turns. It polls: a look is one `fstat`, it works on every file
//! system, and how often it looks depends on how lately something came and on what the looking costs.
//!
//! A file that leaves its name keeps its partition and its position in this run (see [`FollowedFile`]), so that whatever
//! comes back under the name is read on there or ends the run. Nothing is ever read from its beginning again.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::RecordingConfig;
use super::files::{self, Found, RecordingFile};
use super::followed::{FileId, FollowedFile};
use super::job::Job;
use super::lines::Limits;
use super::pace::{Pacer, sleep_until};
use super::unread::UnreadReport;
use crate::sources::backlog::BacklogReport;
use crate::sources::reader_thread::ReaderExit;
use crate::sources::{SourceContext, SourceError};

/// Between looks while records keep coming.
const LOOK_ACTIVE: Duration = Duration::from_millis(2);
/// Between looks when none came for [`ACTIVE_FOR`].
const LOOK_IDLE: Duration = Duration::from_millis(20);
/// How long after the last record more are expected.
const ACTIVE_FOR: Duration = Duration::from_secs(5);
/// Looking takes at most one part in this many of the thread's time; that matters with thousands of files.
const LOOK_SHARE: u32 = 300;
/// The longest time between looks.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Between looks at the names: new files, and files that were replaced, went away or came back.
const NAMES_EVERY: Duration = Duration::from_millis(500);

/// What it takes to follow a recording.
pub(super) struct Follow {
    pub(super) context: SourceContext,
    pub(super) config: RecordingConfig,
    /// The folder or file, resolved.
    pub(super) path: PathBuf,
    pub(super) pacer: Option<Arc<Pacer>>,
    pub(super) limits: Limits,
}

impl Follow {
    /// Follows `found` and whatever joins it, until the run is stopped or is to end because all that was there is read.
    pub(super) fn run(&self, found: Found, backlog: &mut BacklogReport) -> Result<(), ReaderExit> {
        let mut followed = Vec::with_capacity(found.files.len());
        let mut unread: HashSet<String> = found.unread.into_iter().map(|unread| unread.name).collect();
        for file in found.files {
            followed.push(FollowedFile::open(self, file)?);
        }
        let mut came = Instant::now();
        let mut names_due = came + NAMES_EVERY;
        loop {
            let began = Instant::now();
            if began >= names_due {
                self.look_at_names(&mut followed, &mut unread)?;
                names_due = Instant::now() + NAMES_EVERY.max(began.elapsed() * LOOK_SHARE);
            }
            let began = Instant::now();
            let grew = followed.iter_mut().try_fold(false, |grew, one| Ok::<_, ReaderExit>(one.look(self)? | grew))?;
            if !backlog.is_sent() && followed.iter().all(FollowedFile::is_caught_up) {
                backlog.send(&self.context)?;
            }
            if self.context.stops_when_caught_up() && backlog.is_sent() {
                return Ok(());
            }
            let now = Instant::now();
            came = if grew { now } else { came };
            let pause = if grew { Duration::ZERO } else { pause(now - came, now - began) };
            if !sleep_until(&self.context, now + pause) {
                return Err(ReaderExit::Stopped);
            }
        }
    }

    pub(super) fn job<'a>(&'a self, file: &'a RecordingFile) -> Job<'a> {
        Job { context: &self.context, file, pacer: self.pacer.as_ref(), limits: self.limits, followed: true }
    }

    /// Looks where the names of followed files lead by now, takes up new files of a folder, and warns of what is new and
    /// not read. `unread` are the names of which it was told.
    pub(super) fn look_at_names(
        &self,
        followed: &mut Vec<FollowedFile>,
        unread: &mut HashSet<String>,
    ) -> Result<(), ReaderExit> {
        let ids: Vec<Option<FileId>> = followed.iter().map(FollowedFile::id).collect();
        for one in followed.iter_mut() {
            one.look_at_name(self)?;
        }
        if !self.path.is_dir() {
            return Ok(());
        }
        let known: HashSet<PathBuf> = followed.iter().map(|one| one.file().path.clone()).collect();
        let found = match files::find(&self.config, &self.path, |path| known.contains(path)) {
            Ok(found) => found,
            // The folder has gone since; its files are told of at the next look.
            Err(SourceError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(failed) => return Err(ReaderExit::Failed(failed)),
        };
        if !found.faults.is_empty() {
            return Err(ReaderExit::Failed(SourceError::Unusable(found.faults.join("\n"))));
        }
        let new: Vec<_> = found.unread.into_iter().filter(|one| !unread.contains(&one.name)).collect();
        if !new.is_empty() {
            UnreadReport::of(&new).warn(&self.path);
            unread.extend(new.into_iter().map(|one| one.name));
        }
        for file in found.files {
            self.refuse_renamed(&file, followed, &ids)?;
            if let Some(one) = FollowedFile::join(self, file)? {
                followed.push(one);
            }
        }
        Ok(())
    }

    /// Refuses a new file that is a followed one under another name: its rows would be read again as another file's.
    /// A second name of a file whose first one still leads to it (a link) is a file like any other.
    fn refuse_renamed(
        &self,
        new: &RecordingFile,
        followed: &[FollowedFile],
        ids: &[Option<FileId>],
    ) -> Result<(), ReaderExit> {
        let Some(id) = FileId::of_path(&new.path) else { return Ok(()) };
        let same = followed.iter().zip(ids).filter(|(one, had)| **had == Some(id) && one.has_read());
        for (one, _) in same {
            if FileId::of_path(&one.file().path) != Some(id) {
                return Err(one.renamed(self, &new.key));
            }
        }
        Ok(())
    }
}

/// How long to wait before the next look, when the last record came `idle` ago and a look takes `look`.
fn pause(idle: Duration, look: Duration) -> Duration {
    let least = if idle < ACTIVE_FOR { LOOK_ACTIVE } else { LOOK_IDLE };
    least.max((look * LOOK_SHARE).min(LOOK_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_costs_little() {
        let (now, ago) = (Duration::ZERO, Duration::from_secs(60));
        assert_eq!(pause(now, Duration::from_micros(5)), LOOK_ACTIVE);
        assert_eq!(pause(ago, Duration::from_micros(5)), LOOK_IDLE);
        assert_eq!(pause(ago, Duration::from_micros(100)), Duration::from_millis(30));
        assert_eq!(pause(now, Duration::from_secs(9)), LOOK_MAX);
    }
}
