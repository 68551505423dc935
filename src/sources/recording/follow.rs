//! Files that grow, and folders that gain files.
//!
//! One thread looks at all of a source's files in turns. It polls: a look is one `fstat`, it works on every file
//! system, and how often it looks depends on how lately something came and on what the looking costs.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compression::{Compression, Content, MAGIC_BYTES};
use super::config::RecordingConfig;
use super::files::{self, RecordingFile};
use super::job::Job;
use super::lines::{Cut, Limits};
use super::pace::{Pacer, sleep_until};
use super::resume::{Fault, Reading, prove, read_up_to};
use crate::position::{PartitionId, Reached};
use crate::sources::backlog::BacklogReport;
use crate::sources::thread::Halt;
use crate::sources::{Event, Feed, SourceError};

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
/// Between looks at the names: new files, and files that were replaced.
const NAMES_EVERY: Duration = Duration::from_millis(500);
/// How much of a line that has begun is compared when the file has grown.
const BEGUN_COMPARED_BYTES: usize = 4 << 10;

/// What it takes to follow a recording.
pub(super) struct Follow {
    pub(super) feed: Feed,
    pub(super) config: RecordingConfig,
    /// The folder or file, resolved.
    pub(super) path: PathBuf,
    pub(super) pacer: Option<Arc<Pacer>>,
    pub(super) limits: Limits,
}

/// One followed file.
struct Followed {
    file: RecordingFile,
    partition: PartitionId,
    reading: Reading,
    /// How far it has been handed over; `None` before the first record.
    reached: Option<Reached>,
    /// Its bytes when it was taken up.
    there: u64,
    /// Whether everything in it had been read at the last look. What is there when it has grown must continue that.
    drained: bool,
}

impl Follow {
    /// Follows `found` and whatever joins it, until the run is stopped or is to end because all that was there is read.
    pub(super) fn run(&self, found: Vec<RecordingFile>, backlog: &mut BacklogReport) -> Result<(), Halt> {
        let mut followed = Vec::with_capacity(found.len());
        for file in found {
            followed.push(self.open(file)?);
        }
        let mut came = Instant::now();
        let mut names_due = came + NAMES_EVERY;
        loop {
            let began = Instant::now();
            if began >= names_due {
                self.look_at_names(&mut followed)?;
                names_due = Instant::now() + NAMES_EVERY.max(began.elapsed() * LOOK_SHARE);
            }
            let began = Instant::now();
            let grew = followed.iter_mut().try_fold(false, |grew, one| Ok::<_, Halt>(one.look(self)? | grew))?;
            let is_read = |one: &Followed| one.reading.lines.read_to() >= one.there;
            if !backlog.is_sent() && followed.iter().all(is_read) {
                backlog.send(&self.feed)?;
            }
            if self.feed.ends_caught_up() && backlog.is_sent() {
                return Ok(());
            }
            let now = Instant::now();
            came = if grew { now } else { came };
            let pause = if grew { Duration::ZERO } else { pause(now - came, now - began) };
            if !sleep_until(&self.feed, now + pause) {
                return Err(Halt::Stopped);
            }
        }
    }

    fn job<'a>(&'a self, file: &'a RecordingFile) -> Job<'a> {
        Job { feed: &self.feed, file, pacer: self.pacer.as_ref(), limits: self.limits }
    }

    fn open(&self, file: RecordingFile) -> Result<Followed, Halt> {
        let job = self.job(&file);
        let stored = self.feed.stored(&file.key);
        let mut reading = Reading::open(&job, stored)?;
        let partition = self.feed.open(&file.key, &file.key, file.carries)?.id;
        let mut reached = stored.filter(|reached| reached.count() > 1);
        if let Some(ahead) = reading.ahead.take() {
            reached = Some(job.deliver(partition, ahead, &reading)?);
        }
        let there = file.bytes;
        Ok(Followed { file, partition, reading, reached, there, drained: true })
    }

    /// Takes up new files, and looks whether the names still lead to the files that are followed.
    fn look_at_names(&self, followed: &mut Vec<Followed>) -> Result<(), Halt> {
        let mut at = 0;
        while at < followed.len() {
            if followed[at].is_still_named(self)? {
                at += 1;
            } else {
                let gone = followed.remove(at);
                self.feed.send(Event::Ended(gone.partition))?;
            }
        }
        if !self.path.is_dir() {
            return Ok(());
        }
        let known: HashSet<PathBuf> = followed.iter().map(|one| one.file.path.clone()).collect();
        let found = files::find(&self.config, &self.path, |path| known.contains(path)).map_err(Halt::Failed)?;
        if !found.faults.is_empty() {
            return Err(Halt::Failed(SourceError::Unusable(found.faults.join("\n"))));
        }
        for file in found.files {
            followed.push(self.open(file)?);
        }
        Ok(())
    }
}

impl Followed {
    /// Hands over what has come, a block at most; `false` if nothing has.
    fn look(&mut self, follow: &Follow) -> Result<bool, Halt> {
        let job = follow.job(&self.file);
        let Content::Plain(file) = &self.reading.content else {
            let what = format!("{} cannot be followed: it is compressed", self.file.path.display());
            return Err(Halt::Failed(SourceError::Unusable(what)));
        };
        let bytes = file.metadata().map_err(|cause| job.unreadable(cause))?.len();
        let read = self.reading.lines.read_to();
        if bytes == read {
            return Ok(false);
        }
        if bytes < read {
            return Err(job.fault(Fault::Shorter { read, holds: bytes, unit: "bytes" }));
        }
        if self.drained {
            self.prove_continues(&job, file)?;
        }
        if !self.reading.settle_line_end(&job)? {
            return Ok(false);
        }
        self.reading.bytes = bytes;
        let available = bytes.saturating_sub(self.reading.lines.read_to());
        let cut = self.reading.lines.read(&mut self.reading.content, available);
        if let Cut::Lines(text) = cut.map_err(|cause| job.unreadable_after(self.reading.lines.next() - 1, cause))? {
            self.reached = Some(job.deliver(self.partition, text, &self.reading)?);
        }
        self.drained = self.reading.lines.read_to() == bytes;
        Ok(true)
    }

    /// Proves that a file that has grown still holds what was read of it: the last record, and the line that had
    /// begun. A file that was emptied and written anew, past where the old one ended, shows here.
    fn prove_continues(&self, job: &Job<'_>, file: &File) -> Result<(), Halt> {
        if self.reading.lines.read_to() < MAGIC_BYTES as u64 {
            self.prove_plain(job, file)?;
        }
        if let Some(reached) = self.reached.filter(|reached| reached.seek > 0) {
            prove(file, reached, job.limits).map_err(|fault| job.fault(fault))?;
        }
        let lines = &self.reading.lines;
        let begun = &lines.begun()[..lines.begun().len().min(BEGUN_COMPARED_BYTES)];
        let mut now = vec![0; begun.len()];
        file.read_exact_at(&mut now, lines.offset()).map_err(|cause| job.unreadable(cause))?;
        if now != begun {
            return Err(job.changed(&format!("line {} had begun and now begins otherwise", lines.next())));
        }
        Ok(())
    }

    /// A file that was empty when it was opened can turn out to be compressed.
    fn prove_plain(&self, job: &Job<'_>, file: &File) -> Result<(), Halt> {
        let mut head = [0; MAGIC_BYTES];
        let got = read_up_to(file, &mut head, 0).map_err(|cause| job.unreadable(cause))?;
        match Compression::of(&head[..got]) {
            Compression::Plain => Ok(()),
            other => {
                let what = format!("{} cannot be followed: it is {}", self.file.path.display(), other.name());
                Err(Halt::Failed(SourceError::Unusable(what)))
            }
        }
    }

    /// Whether the name leads to this file, or to one that continues it, which then takes its place.
    /// `false` if there is no such name any more, and that is allowed.
    fn is_still_named(&mut self, follow: &Follow) -> Result<bool, Halt> {
        let job = follow.job(&self.file);
        let Content::Plain(file) = &self.reading.content else { return Ok(true) };
        let mine = file.metadata().map_err(|cause| job.unreadable(cause))?;
        match fs::metadata(&self.file.path) {
            Ok(named) if (named.dev(), named.ino()) == (mine.dev(), mine.ino()) => Ok(true),
            Ok(_) => {
                let mut reading = Reading::open(&job, self.reached)?;
                if let Some(ahead) = reading.ahead.take() {
                    self.reached = Some(job.deliver(self.partition, ahead, &reading)?);
                }
                self.reading = reading;
                self.drained = true;
                Ok(true)
            }
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                while self.look(follow)? {
                    follow.job(&self.file).go_on()?;
                }
                match follow.config.allow_removed {
                    true => Ok(false),
                    false => Err(follow.job(&self.file).changed("it was removed while it was followed")),
                }
            }
            Err(cause) => Err(job.unreadable(cause)),
        }
    }
}

/// How long to wait before the next look, when the last record came `idle` ago and a look takes `look`.
fn pause(idle: Duration, look: Duration) -> Duration {
    let least = if idle < ACTIVE_FOR { LOOK_ACTIVE } else { LOOK_IDLE };
    least.max((look * LOOK_SHARE).min(LOOK_MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::position::Positions;

    /// What follows a file of this text, and the file as it is followed; nothing looks at it but the test.
    fn followed(folder: &Path, text: &str) -> (Follow, Followed, mpsc::Receiver<Event>, watch::Sender<bool>) {
        let path = folder.join("pin.jsonl");
        fs::write(&path, text).unwrap();
        let config = RecordingConfig { follow: true, ..RecordingConfig::at(folder) };
        let (stop, stopped) = watch::channel(false);
        let (feed, events) = Feed::new(16, Positions::new(), stopped);
        let limits = Limits { block_bytes: 16, line_bytes_max: 64 };
        let found = files::find(&config, folder, |_| false).unwrap().files.remove(0);
        let follow = Follow { feed, config, path: folder.to_owned(), pacer: None, limits };
        let followed = follow.open(found).unwrap();
        (follow, followed, events, stop)
    }

    fn refusal(halted: Result<bool, Halt>) -> String {
        match halted {
            Err(Halt::Failed(failed)) => failed.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_that_had_begun_must_go_on_as_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), "a\nbegun");
        assert!(one.look(&follow).unwrap());
        assert!(!one.look(&follow).unwrap());
        fs::write(&one.file.path, "a\nbegun and done\n").unwrap();
        assert!(one.look(&follow).unwrap());
        assert_eq!(one.reached.unwrap().count(), 3);
        fs::write(&one.file.path, "a\nbegun and done\nc").unwrap();
        assert!(one.look(&follow).unwrap());
        fs::write(&one.file.path, "a\nbegun and done\nother\n").unwrap();
        assert!(refusal(one.look(&follow)).contains("line 3 had begun and now begins otherwise"));
    }

    #[test]
    fn a_file_emptied_and_filled_between_two_looks_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), "a\nb\n");
        assert!(one.look(&follow).unwrap());
        fs::write(&one.file.path, "1\n2\n3\n4\n").unwrap();
        assert!(refusal(one.look(&follow)).contains("line 2 held"));
    }

    #[test]
    fn an_empty_file_that_turns_out_compressed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), "");
        fs::write(&one.file.path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(refusal(one.look(&follow)).contains("it is gzip"));
    }

    #[test]
    fn looking_costs_little() {
        let (now, ago) = (Duration::ZERO, Duration::from_secs(60));
        assert_eq!(pause(now, Duration::from_micros(5)), LOOK_ACTIVE);
        assert_eq!(pause(ago, Duration::from_micros(5)), LOOK_IDLE);
        assert_eq!(pause(ago, Duration::from_micros(100)), Duration::from_millis(30));
        assert_eq!(pause(now, Duration::from_secs(9)), LOOK_MAX);
    }
}
