//! One followed file: what this run has read of it, and what its name leads to by now.
//!
//! A file is identified by what was read of it, not by what was there at the start:
//!
//! | the name leads to | what happens |
//! | --- | --- |
//! | the file that is open (device and inode) | it is read on; before each block its last record is compared |
//! | another file, or one after the name was gone: at least as long, same beginning, same last record | it is read on at our position |
//! | the same, but shorter than what was read | it may be a copy under way: waits while it grows, then the run ends with an error |
//! | a file with other content | the run ends with an error |
//! | nothing | an error; with `allow_removed` a warning, and the name is watched |

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::array::{Layout, detect_layout};
use super::compression::{Compression, Content, MAGIC_BYTES};
use super::files::{RecordingFile, array_is_not_followed};
use super::follow::Follow;
use super::job::Job;
use super::lines::Cut;
use super::resume::{Fault, Reading, prove, read_up_to};
use crate::position::{PartitionId, PartitionProgress};
use crate::sources::SourceError;
use crate::sources::reader_thread::ReaderExit;

/// How much of a partial line is compared when the file has grown.
const PARTIAL_LINE_COMPARED_BYTES: usize = 4 << 10;
/// How much of a file's beginning is kept to recognise it by.
const HEAD_BYTES: usize = 512;
/// After so many looks at a file that is shorter than what was read of it and does not grow, it is taken for truncated.
const SHORT_LOOKS_MAX: u32 = 3;

/// Which file it is on its file system, while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(meta: &Metadata) -> FileId {
        FileId { device: meta.dev(), inode: meta.ino() }
    }

    /// The file that a path leads to, if any.
    pub(super) fn of_path(path: &Path) -> Option<FileId> {
        fs::metadata(path).ok().map(|meta| FileId::of(&meta))
    }
}

/// One followed file.
pub(super) struct FollowedFile {
    file: RecordingFile,
    partition: PartitionId,
    presence: Presence,
    /// How far it has been handed over; `None` before the first record.
    reached: Option<PartitionProgress>,
    /// Its first bytes, as they were read; no more than was handed over.
    head: Vec<u8>,
    /// Its bytes when it was taken up.
    bytes_at_start: u64,
}

/// Where a followed file is.
enum Presence {
    /// Its name led to it at the last look.
    Here(Reading),
    /// Its name led nowhere.
    Away,
    /// Its name leads to a file that begins the same and is shorter than what was read.
    Short { bytes: u64, looks: u32 },
}

impl FollowedFile {
    pub(super) fn open(follow: &Follow, file: RecordingFile) -> Result<FollowedFile, ReaderExit> {
        let stored = follow.context.stored_progress(&file.key).filter(|reached| reached.next_number() > 1);
        let reading = Reading::open(&follow.job(&file), stored)?;
        let partition = follow.context.open_partition(&file.key, &file.key, file.carries)?.id;
        let bytes_at_start = file.bytes;
        let (presence, head) = (Presence::Away, Vec::new());
        let mut one = FollowedFile { file, partition, presence, reached: stored, head, bytes_at_start };
        one.take_up(follow, reading)?;
        Ok(one)
    }

    /// Opens a file that was found while following; `None` if it has gone since and nothing of it was ever read.
    pub(super) fn join(follow: &Follow, file: RecordingFile) -> Result<Option<FollowedFile>, ReaderExit> {
        let is_new = follow.context.stored_progress(&file.key).is_none();
        match FollowedFile::open(follow, file) {
            Err(ReaderExit::Failed(SourceError::Read { cause, .. })) if is_new && is_gone(&cause) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Goes on with an opened file that was proved to hold what was read.
    fn take_up(&mut self, follow: &Follow, mut reading: Reading) -> Result<(), ReaderExit> {
        if let Content::Plain(_) = &reading.content
            && let Some(reached) = self.reached.as_mut().filter(|_| reading.ahead.is_none())
        {
            // A position that was stored without a place to seek to has one by now.
            reached.seek = reading.lines.offset();
        }
        if let Some(ahead) = reading.ahead.take() {
            self.reached = Some(follow.job(&self.file).deliver(self.partition, ahead, &reading)?);
        }
        self.presence = Presence::Here(reading);
        self.extend_head(follow)
    }

    pub(super) fn file(&self) -> &RecordingFile {
        &self.file
    }

    /// Which file is open.
    pub(super) fn id(&self) -> Option<FileId> {
        match &self.presence {
            Presence::Here(Reading { content: Content::Plain(file), .. }) => {
                file.metadata().ok().map(|meta| FileId::of(&meta))
            }
            _ => None,
        }
    }

    /// Whether anything of it was handed over.
    pub(super) fn has_read(&self) -> bool {
        self.reached.is_some()
    }

    /// Whether everything that was there when it was taken up has been read. What has gone was read to its end before.
    pub(super) fn is_caught_up(&self) -> bool {
        match &self.presence {
            Presence::Here(reading) => reading.lines.read_to() >= self.bytes_at_start,
            Presence::Away => true,
            Presence::Short { .. } => false,
        }
    }

    /// Hands over what has come, a block at most; `false` if nothing has.
    pub(super) fn look(&mut self, follow: &Follow) -> Result<bool, ReaderExit> {
        let job = follow.job(&self.file);
        let Presence::Here(reading) = &mut self.presence else { return Ok(false) };
        let Content::Plain(file) = &reading.content else {
            let what = format!("{} cannot be followed: it is compressed, or an array", self.file.path.display());
            return Err(ReaderExit::Failed(SourceError::Unusable(what)));
        };
        let bytes = file.metadata().map_err(|cause| job.unreadable(cause))?.len();
        let read = reading.lines.read_to();
        if bytes == read {
            return Ok(false);
        }
        if bytes < read {
            return Err(job.fault(Fault::Shorter { read, holds: bytes, unit: "bytes" }));
        }
        prove_continues(&job, reading, file, self.reached)?;
        if !reading.settle_line_end(&job)? {
            return Ok(false);
        }
        reading.bytes = bytes;
        let available = bytes.saturating_sub(reading.lines.read_to());
        let cut = reading.lines.read(&mut reading.content, available);
        let cut = cut.map_err(|cause| job.unreadable_after(reading.lines.next() - 1, cause))?;
        if let Cut::Lines(text) = cut {
            self.reached = Some(job.deliver(self.partition, text, reading)?);
            self.extend_head(follow)?;
        }
        Ok(true)
    }

    /// Keeps more of the file's beginning once more of it was handed over.
    fn extend_head(&mut self, follow: &Follow) -> Result<(), ReaderExit> {
        let Presence::Here(Reading { content: Content::Plain(file), .. }) = &self.presence else { return Ok(()) };
        let handed_over = self.reached.map_or(0, |reached| reached.seek);
        let wanted = usize::try_from(handed_over).unwrap_or(usize::MAX).min(HEAD_BYTES);
        let had = self.head.len();
        if had < wanted {
            self.head.resize(wanted, 0);
            let got = read_up_to(file, &mut self.head[had..], had as u64);
            let got = got.map_err(|cause| follow.job(&self.file).unreadable(cause))?;
            self.head.truncate(had + got);
        }
        Ok(())
    }

    /// Looks where the name leads by now.
    pub(super) fn look_at_name(&mut self, follow: &Follow) -> Result<(), ReaderExit> {
        let named = match fs::metadata(&self.file.path) {
            Ok(named) => named,
            Err(cause) if is_gone(&cause) => return self.leave(follow),
            Err(cause) => return Err(follow.job(&self.file).unreadable(cause)),
        };
        if self.id() == Some(FileId::of(&named)) {
            return Ok(());
        }
        // What the old file still has comes first: whatever stands under the name now must hold it, too.
        self.drain(follow)?;
        if !named.is_file() {
            return Err(follow.job(&self.file).changed("its name leads to something that is not a regular file"));
        }
        match File::open(&self.file.path) {
            Ok(file) => self.come_back(follow, file),
            Err(cause) if is_gone(&cause) => self.leave(follow),
            Err(cause) => Err(follow.job(&self.file).unreadable(cause)),
        }
    }

    /// Reads on in the file that the name leads to now, if it holds what was read.
    fn come_back(&mut self, follow: &Follow, file: File) -> Result<(), ReaderExit> {
        let job = follow.job(&self.file);
        let mut head = vec![0; self.head.len()];
        let got = read_up_to(&file, &mut head, 0).map_err(|cause| job.unreadable(cause))?;
        if head[..got] != self.head[..got] {
            return Err(job.changed("another file has taken its place: it does not begin as the one that was read"));
        }
        let holds = file.metadata().map_err(|cause| job.unreadable(cause))?.len();
        let read = self.reached.map_or(0, |reached| reached.seek);
        if holds < read {
            return self.wait_for_growth(follow, holds, read);
        }
        let reading = Reading::of_file(&job, file, self.reached)?;
        let was_away = !matches!(self.presence, Presence::Here(_));
        self.take_up(follow, reading)?;
        if was_away {
            let lines = self.lines_read();
            tracing::info!(source = self.file.key, lines, "the file is back: it is read on where reading stopped");
        }
        Ok(())
    }

    /// A file that begins the same and is shorter may be a copy under way.
    fn wait_for_growth(&mut self, follow: &Follow, holds: u64, read: u64) -> Result<(), ReaderExit> {
        let looks = match self.presence {
            Presence::Short { bytes, looks } if bytes == holds => looks + 1,
            Presence::Short { .. } => 1,
            _ => {
                tracing::warn!(
                    source = self.file.key,
                    bytes = holds,
                    bytes_read = read,
                    "the file is back and shorter than what was read of it: waits for it to grow"
                );
                1
            }
        };
        if looks > SHORT_LOOKS_MAX {
            let what = format!("another file has taken its place: {read} bytes were read, and it holds only {holds}");
            return Err(follow.job(&self.file).changed(&what));
        }
        self.presence = Presence::Short { bytes: holds, looks };
        Ok(())
    }

    /// The name leads nowhere: reads what is left of the file, and waits for it if it may be gone.
    fn leave(&mut self, follow: &Follow) -> Result<(), ReaderExit> {
        if matches!(self.presence, Presence::Away) {
            return Ok(());
        }
        self.drain(follow)?;
        if !follow.config.allow_removed {
            return Err(follow.job(&self.file).removed());
        }
        let unfinished_bytes = match &self.presence {
            Presence::Here(reading) => reading.lines.read_to() - reading.lines.offset(),
            _ => 0,
        };
        self.presence = Presence::Away;
        tracing::warn!(
            source = self.file.key,
            lines = self.lines_read(),
            unfinished_bytes,
            "the file is gone, which allow_removed permits: should it come back it is read on where reading stopped"
        );
        Ok(())
    }

    /// Hands over everything that the open file holds.
    fn drain(&mut self, follow: &Follow) -> Result<(), ReaderExit> {
        while self.look(follow)? {
            follow.job(&self.file).go_on()?;
        }
        Ok(())
    }

    fn lines_read(&self) -> u64 {
        self.reached.map_or(0, |reached| reached.next_number() - 1)
    }

    /// The file was found under another name of the same folder.
    pub(super) fn renamed(&self, follow: &Follow, new_key: &str) -> ReaderExit {
        let lines = self.lines_read();
        let what = format!("it was renamed to {new_key}, under which its {lines} lines would be read a second time");
        follow.job(&self.file).changed(&what)
    }
}

fn is_gone(cause: &io::Error) -> bool {
    // `NotADirectory`: a folder above it was replaced.
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Proves that a file that has grown still holds what was read of it: the last record, and the beginning of the line
/// after it. A file that was truncated and written again, past where the old one ended, shows here.
fn prove_continues(
    job: &Job<'_>,
    reading: &Reading,
    file: &File,
    reached: Option<PartitionProgress>,
) -> Result<(), ReaderExit> {
    let lines = &reading.lines;
    if lines.read_to() < MAGIC_BYTES as u64 {
        prove_plain(job, file)?;
    }
    if reached.is_none() {
        prove_lines(job, file)?;
    }
    if let Some(reached) = reached.filter(|reached| reached.seek > 0) {
        prove(file, reached, job.limits).map_err(|fault| job.fault(fault))?;
    }
    let begun = &lines.begun()[..lines.begun().len().min(PARTIAL_LINE_COMPARED_BYTES)];
    let mut now = vec![0; begun.len()];
    file.read_exact_at(&mut now, lines.offset()).map_err(|cause| job.unreadable(cause))?;
    if now != begun {
        return Err(job.changed(&format!("line {} had begun and now begins otherwise", lines.next())));
    }
    Ok(())
}

/// A file that was empty when it was opened can turn out to be compressed.
fn prove_plain(job: &Job<'_>, file: &File) -> Result<(), ReaderExit> {
    let mut head = [0; MAGIC_BYTES];
    let got = read_up_to(file, &mut head, 0).map_err(|cause| job.unreadable(cause))?;
    match Compression::of(&head[..got]) {
        Compression::Plain => Ok(()),
        other => {
            let what = format!("{} cannot be followed: it is {}", job.file.path.display(), other.name());
            Err(ReaderExit::Failed(SourceError::Unusable(what)))
        }
    }
}

/// A file of which nothing was handed over can turn out to be a JSON array.
fn prove_lines(job: &Job<'_>, file: &File) -> Result<(), ReaderExit> {
    match detect_layout(&mut FromStart { file, offset: 0 }, job.limits.line_bytes_max, true) {
        Ok(Layout::Lines) => Ok(()),
        Ok(Layout::Array) => Err(ReaderExit::Failed(SourceError::Unusable(array_is_not_followed(&job.file.path)))),
        Err(cause) => Err(job.unreadable(cause)),
    }
}

/// A file from its start, wherever it is read.
struct FromStart<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.offset)?;
        self.offset += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::{mpsc, watch};

    use super::super::config::RecordingConfig;
    use super::super::files;
    use super::super::lines::Limits;
    use super::*;
    use crate::position::ResumePositions;
    use crate::sources::{SourceContext, SourceEvent};

    /// What follows a file of this text, and the file as it is followed; nothing looks at it but the test.
    fn followed(folder: &Path, text: &str) -> (Follow, FollowedFile, mpsc::Receiver<SourceEvent>, watch::Sender<bool>) {
        let path = folder.join("pin.jsonl");
        fs::write(&path, text).unwrap();
        let config = RecordingConfig { follow: true, ..RecordingConfig::at(folder) };
        let (stop, stopped) = watch::channel(false);
        let (context, events) = SourceContext::new(16, ResumePositions::new(), stopped);
        let limits = Limits { block_bytes: 16, line_bytes_max: 64 };
        let found = files::find(&config, folder, |_| false).unwrap().files.remove(0);
        let follow = Follow { context, config, path: folder.to_owned(), pacer: None, limits };
        let followed = FollowedFile::open(&follow, found).unwrap();
        (follow, followed, events, stop)
    }

    fn refusal(halted: Result<bool, ReaderExit>) -> String {
        match halted {
            Err(ReaderExit::Failed(failed)) => failed.to_string(),
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
        assert_eq!(one.reached.unwrap().next_number(), 3);
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
    fn file_rewritten_while_a_block_of_it_is_unread_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), &"0123456\n".repeat(4));
        assert!(one.look(&follow).unwrap());
        fs::write(&one.file.path, "abcdefg\n".repeat(4)).unwrap();
        assert!(refusal(one.look(&follow)).contains("line 2 held"));
    }

    #[test]
    fn an_empty_file_that_turns_out_compressed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), "");
        fs::write(&one.file.path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(refusal(one.look(&follow)).contains("it is gzip"));
    }
}
