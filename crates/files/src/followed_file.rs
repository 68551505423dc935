//! Follows one file: tracks what was read of it, and what its name refers to now.
//!
//! A file is identified by the content that was read:
//!
//! | the name refers to | result |
//! | --- | --- |
//! | the open file (same device and inode) | reading continues; before each block the last record is compared |
//! | another file, at least as long, with the same beginning and the same last record | reading continues at the same position |
//! | another file with the same beginning, but shorter than what was read | it may be a copy in progress: wait while it grows, else an error |
//! | a file with other content | an error |
//! | nothing | an error; with `allow_removed` a warning, and the name is checked again |

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::compression::{FileCompression, FileContent, MAGIC_BYTES};
use super::file_cursor::{FileCursor, ResumeError, read_up_to, verify_resume_point};
use super::file_discovery::{RecordingFile, array_not_followed_problem};
use super::file_reader::FileReader;
use super::folder_follower::FolderFollower;
use super::json_array::{RecordLayout, detect_layout};
use super::line_splitter::SplitResult;
use pinflow_connect::source::SourceError;
use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_core::position::{PartitionId, PartitionProgress, ResumeHint};

/// The most bytes of a partial line that are compared when the file has grown.
const MAX_COMPARED_LINE_BYTES: usize = 4 << 10;
/// Bytes of a file's beginning that are kept to recognise it.
const HEAD_BYTES: usize = 512;
/// Checks after which a file that is too short and does not grow counts as truncated.
const MAX_SHORT_POLLS: u32 = 3;

/// The identity of an existing file on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn from_metadata(meta: &Metadata) -> FileId {
        FileId { device: meta.dev(), inode: meta.ino() }
    }

    /// The file that a path refers to; `None` if there is none.
    pub(super) fn from_path(path: &Path) -> Option<FileId> {
        fs::metadata(path).ok().map(|meta| FileId::from_metadata(&meta))
    }
}

/// One followed file.
pub(super) struct FollowedFile {
    file: RecordingFile,
    partition: PartitionId,
    presence: FilePresence,
    /// How far it was sent; `None` before the first record.
    reached: Option<PartitionProgress>,
    /// Its first bytes, no more than were sent.
    head: Vec<u8>,
    /// Its size in bytes when it was opened first.
    bytes_at_start: u64,
}

/// The state of a followed file's name.
enum FilePresence {
    /// It referred to the file at the last check.
    Here(FileCursor),
    /// It referred to nothing.
    Away,
    /// It refers to a file with the same beginning that is shorter than what was read.
    Short { bytes: u64, polls: u32 },
}

impl FollowedFile {
    pub(super) fn open(follower: &FolderFollower, file: RecordingFile) -> Result<FollowedFile, ReaderExit> {
        let stored = follower.context.stored_progress(&file.key).filter(|reached| reached.next_number() > 1);
        let cursor = FileCursor::open(&follower.reader(&file), stored)?;
        let partition = follower.context.open_partition(&file.key, &file.key, file.stream_hint)?.id;
        let bytes_at_start = file.bytes;
        let (presence, head) = (FilePresence::Away, Vec::new());
        let mut one = FollowedFile { file, partition, presence, reached: stored, head, bytes_at_start };
        one.continue_with(follower, cursor)?;
        Ok(one)
    }

    /// Opens a file that was found while following; `None` if it was removed since and nothing of it was ever read.
    pub(super) fn open_new(follower: &FolderFollower, file: RecordingFile) -> Result<Option<FollowedFile>, ReaderExit> {
        let is_new = follower.context.stored_progress(&file.key).is_none();
        match FollowedFile::open(follower, file) {
            Err(ReaderExit::Failed(SourceError::Read { cause, .. })) if is_new && is_gone(&cause) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Continues with an open file that was verified to contain what was read.
    fn continue_with(&mut self, follower: &FolderFollower, mut cursor: FileCursor) -> Result<(), ReaderExit> {
        if let FileContent::Plain(_) = &cursor.content
            && let Some(reached) = self.reached.as_mut().filter(|_| cursor.ahead.is_none())
        {
            // The position may have been stored without a byte offset. It is known by now.
            reached.hint = ResumeHint::ByteOffset(cursor.lines.next_offset());
        }
        if let Some(ahead) = cursor.ahead.take() {
            self.reached = Some(follower.reader(&self.file).send_lines(self.partition, ahead, &cursor)?);
        }
        self.presence = FilePresence::Here(cursor);
        self.extend_head(follower)
    }

    pub(super) fn file(&self) -> &RecordingFile {
        &self.file
    }

    /// The identity of the open file.
    pub(super) fn id(&self) -> Option<FileId> {
        match &self.presence {
            FilePresence::Here(FileCursor { content: FileContent::Plain(file), .. }) => {
                file.metadata().ok().map(|meta| FileId::from_metadata(&meta))
            }
            _ => None,
        }
    }

    /// Whether anything of it was sent.
    pub(super) fn has_read(&self) -> bool {
        self.reached.is_some()
    }

    /// Whether its share of the backlog is read. A file that is gone was read to its end before.
    pub(super) fn is_caught_up(&self) -> bool {
        match &self.presence {
            FilePresence::Here(cursor) => cursor.lines.read_offset() >= self.bytes_at_start,
            FilePresence::Away => true,
            FilePresence::Short { .. } => false,
        }
    }

    /// Sends data that was appended, at most one block; `false` if there is none.
    pub(super) fn poll(&mut self, follower: &FolderFollower) -> Result<bool, ReaderExit> {
        let reader = follower.reader(&self.file);
        let FilePresence::Here(cursor) = &mut self.presence else { return Ok(false) };
        let FileContent::Plain(file) = &cursor.content else {
            let what = format!("{} cannot be followed: it is compressed, or an array", self.file.path.display());
            return Err(ReaderExit::Failed(SourceError::Unusable(what)));
        };
        let bytes = file.metadata().map_err(|cause| reader.read_error(cause))?.len();
        let read = cursor.lines.read_offset();
        if bytes == read {
            return Ok(false);
        }
        if bytes < read {
            return Err(reader.resume_error(ResumeError::Shorter { read, holds: bytes, unit: "bytes" }));
        }
        verify_continuation(&reader, cursor, file, self.reached)?;
        if !cursor.skip_owed_line_end(&reader)? {
            return Ok(false);
        }
        cursor.bytes = bytes;
        let available = bytes.saturating_sub(cursor.lines.read_offset());
        let cut = cursor.lines.read(&mut cursor.content, available);
        let cut = cut.map_err(|cause| reader.read_error_after(cursor.lines.next_line() - 1, cause))?;
        if let SplitResult::Lines(text) = cut {
            self.reached = Some(reader.send_lines(self.partition, text, cursor)?);
            self.extend_head(follower)?;
        }
        Ok(true)
    }

    /// The byte offset up to which the file was sent; 0 if it is not known.
    fn reached_bytes(&self) -> u64 {
        self.reached.and_then(|reached| reached.hint.byte_offset()).unwrap_or(0)
    }

    /// Keeps more of the file's beginning once more of it was sent.
    fn extend_head(&mut self, follower: &FolderFollower) -> Result<(), ReaderExit> {
        let FilePresence::Here(FileCursor { content: FileContent::Plain(file), .. }) = &self.presence else {
            return Ok(());
        };
        let sent_bytes = self.reached_bytes();
        let wanted = usize::try_from(sent_bytes).unwrap_or(usize::MAX).min(HEAD_BYTES);
        let had = self.head.len();
        if had < wanted {
            self.head.resize(wanted, 0);
            let got = read_up_to(file, &mut self.head[had..], had as u64);
            let got = got.map_err(|cause| follower.reader(&self.file).read_error(cause))?;
            self.head.truncate(had + got);
        }
        Ok(())
    }

    /// Checks what the name refers to now.
    pub(super) fn check_name(&mut self, follower: &FolderFollower) -> Result<(), ReaderExit> {
        let named = match fs::metadata(&self.file.path) {
            Ok(named) => named,
            Err(cause) if is_gone(&cause) => return self.on_name_gone(follower),
            Err(cause) => return Err(follower.reader(&self.file).read_error(cause)),
        };
        if self.id() == Some(FileId::from_metadata(&named)) {
            return Ok(());
        }
        // Read the rest of the old file first: a file that replaces it must contain that, too.
        self.read_to_end(follower)?;
        if !named.is_file() {
            return Err(follower
                .reader(&self.file)
                .changed_error("its name refers to something that is not a regular file"));
        }
        match File::open(&self.file.path) {
            Ok(file) => self.reopen(follower, file),
            Err(cause) if is_gone(&cause) => self.on_name_gone(follower),
            Err(cause) => Err(follower.reader(&self.file).read_error(cause)),
        }
    }

    /// Continues with the file that the name refers to now, if it contains what was read.
    fn reopen(&mut self, follower: &FolderFollower, file: File) -> Result<(), ReaderExit> {
        let reader = follower.reader(&self.file);
        let mut head = vec![0; self.head.len()];
        let got = read_up_to(&file, &mut head, 0).map_err(|cause| reader.read_error(cause))?;
        if head[..got] != self.head[..got] {
            return Err(
                reader.changed_error("another file has taken its place: it does not begin as the one that was read")
            );
        }
        let holds = file.metadata().map_err(|cause| reader.read_error(cause))?.len();
        let read = self.reached_bytes();
        if holds < read {
            return self.wait_for_growth(follower, holds, read);
        }
        let cursor = FileCursor::open_file(&reader, file, self.reached)?;
        let was_away = !matches!(self.presence, FilePresence::Here(_));
        self.continue_with(follower, cursor)?;
        if was_away {
            let lines = self.lines_read();
            tracing::info!(source = self.file.key, lines, "the file is back: reading continues where it stopped");
        }
        Ok(())
    }

    /// Waits for a file with the same beginning that is too short: it may be a copy in progress.
    fn wait_for_growth(&mut self, follower: &FolderFollower, holds: u64, read: u64) -> Result<(), ReaderExit> {
        let polls = match self.presence {
            FilePresence::Short { bytes, polls } if bytes == holds => polls + 1,
            FilePresence::Short { .. } => 1,
            _ => {
                tracing::warn!(
                    source = self.file.key,
                    bytes = holds,
                    bytes_read = read,
                    "the file is back and shorter than what was read of it: waiting for it to grow"
                );
                1
            }
        };
        if polls > MAX_SHORT_POLLS {
            let what = format!("another file has taken its place: {read} bytes were read, and it holds only {holds}");
            return Err(follower.reader(&self.file).changed_error(&what));
        }
        self.presence = FilePresence::Short { bytes: holds, polls };
        Ok(())
    }

    /// Handles a name that refers to nothing: reads the rest of the open file, then fails unless it may be removed.
    fn on_name_gone(&mut self, follower: &FolderFollower) -> Result<(), ReaderExit> {
        if matches!(self.presence, FilePresence::Away) {
            return Ok(());
        }
        self.read_to_end(follower)?;
        if !follower.config.allow_removed {
            return Err(follower.reader(&self.file).removed_error());
        }
        let unfinished_bytes = match &self.presence {
            FilePresence::Here(cursor) => cursor.lines.read_offset() - cursor.lines.next_offset(),
            _ => 0,
        };
        self.presence = FilePresence::Away;
        tracing::warn!(
            source = self.file.key,
            lines = self.lines_read(),
            unfinished_bytes,
            "the file is gone, which allow_removed permits: if it comes back, reading continues where it stopped"
        );
        Ok(())
    }

    /// Sends everything that the open file contains.
    fn read_to_end(&mut self, follower: &FolderFollower) -> Result<(), ReaderExit> {
        while self.poll(follower)? {
            follower.reader(&self.file).check_not_stopped()?;
        }
        Ok(())
    }

    fn lines_read(&self) -> u64 {
        self.reached.map_or(0, |reached| reached.next_number() - 1)
    }

    /// The error for a file that was renamed within its folder.
    pub(super) fn renamed_error(&self, follower: &FolderFollower, new_key: &str) -> ReaderExit {
        let lines = self.lines_read();
        let what = format!("it was renamed to {new_key}, under which its {lines} lines would be read a second time");
        follower.reader(&self.file).changed_error(&what)
    }
}

fn is_gone(cause: &io::Error) -> bool {
    // `NotADirectory`: a folder above it was replaced.
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Verifies that a file that has grown still contains what was read: the last record, and the beginning of the line after
/// it. This detects a file that was truncated and then rewritten to more than its old size.
fn verify_continuation(
    reader: &FileReader<'_>,
    cursor: &FileCursor,
    file: &File,
    reached: Option<PartitionProgress>,
) -> Result<(), ReaderExit> {
    let lines = &cursor.lines;
    if lines.read_offset() < MAGIC_BYTES as u64 {
        verify_uncompressed(reader, file)?;
    }
    if reached.is_none() {
        verify_line_layout(reader, file)?;
    }
    if let Some(reached) = reached.filter(|reached| reached.hint.byte_offset().is_some()) {
        verify_resume_point(file, reached, reader.limits).map_err(|error| reader.resume_error(error))?;
    }
    let partial_line = &lines.partial_line()[..lines.partial_line().len().min(MAX_COMPARED_LINE_BYTES)];
    let mut now = vec![0; partial_line.len()];
    file.read_exact_at(&mut now, lines.next_offset()).map_err(|cause| reader.read_error(cause))?;
    if now != partial_line {
        return Err(reader.changed_error(&format!("line {} had begun and now begins differently", lines.next_line())));
    }
    Ok(())
}

/// Refuses a compressed file: it was empty when it was opened, so this could not be known then.
fn verify_uncompressed(reader: &FileReader<'_>, file: &File) -> Result<(), ReaderExit> {
    let mut head = [0; MAGIC_BYTES];
    let got = read_up_to(file, &mut head, 0).map_err(|cause| reader.read_error(cause))?;
    match FileCompression::from_magic(&head[..got]) {
        FileCompression::Plain => Ok(()),
        other => {
            let what = format!("{} cannot be followed: it is {}", reader.file.path.display(), other.name());
            Err(ReaderExit::Failed(SourceError::Unusable(what)))
        }
    }
}

/// Refuses a JSON array: nothing of the file was sent so far, so this could not be known earlier.
fn verify_line_layout(reader: &FileReader<'_>, file: &File) -> Result<(), ReaderExit> {
    match detect_layout(&mut FromStart { file, offset: 0 }, reader.limits.line_bytes_max, true) {
        Ok(RecordLayout::Lines) => Ok(()),
        Ok(RecordLayout::Array) => {
            Err(ReaderExit::Failed(SourceError::Unusable(array_not_followed_problem(&reader.file.path))))
        }
        Err(cause) => Err(reader.read_error(cause)),
    }
}

/// Reads a file from its start without moving its cursor.
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
    use super::super::file_discovery;
    use super::super::line_splitter::LineLimits;
    use super::*;
    use pinflow_connect::source::{SourceContext, SourceEvent};
    use pinflow_core::position::ResumePositions;

    /// Follows a file with this text. Only the test polls it.
    fn followed(
        folder: &Path,
        text: &str,
    ) -> (FolderFollower, FollowedFile, mpsc::Receiver<SourceEvent>, watch::Sender<bool>) {
        let path = folder.join("pin.jsonl");
        fs::write(&path, text).unwrap();
        let config = RecordingConfig { follow: true, ..RecordingConfig::with_path(folder) };
        let (stop, stopped) = watch::channel(false);
        let (context, events) = SourceContext::new(16, ResumePositions::new(), stopped);
        let limits = LineLimits { block_bytes: 16, line_bytes_max: 64 };
        let found = file_discovery::find_files(&config, folder, |_| false).unwrap().files.remove(0);
        let follow = FolderFollower { context, config, path: folder.to_owned(), rate_limiter: None, limits };
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
    fn partial_line_must_continue_as_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), "a\nbegun");
        assert!(one.poll(&follow).unwrap());
        assert!(!one.poll(&follow).unwrap());
        fs::write(&one.file.path, "a\nbegun and done\n").unwrap();
        assert!(one.poll(&follow).unwrap());
        assert_eq!(one.reached.unwrap().next_number(), 3);
        fs::write(&one.file.path, "a\nbegun and done\nc").unwrap();
        assert!(one.poll(&follow).unwrap());
        fs::write(&one.file.path, "a\nbegun and done\nother\n").unwrap();
        assert!(refusal(one.poll(&follow)).contains("line 3 had begun and now begins differently"));
    }

    #[test]
    fn file_rewritten_between_two_polls_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), "a\nb\n");
        assert!(one.poll(&follow).unwrap());
        fs::write(&one.file.path, "1\n2\n3\n4\n").unwrap();
        assert!(refusal(one.poll(&follow)).contains("line 2 held"));
    }

    #[test]
    fn file_rewritten_while_a_block_of_it_is_unread_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), &"0123456\n".repeat(4));
        assert!(one.poll(&follow).unwrap());
        fs::write(&one.file.path, "abcdefg\n".repeat(4)).unwrap();
        assert!(refusal(one.poll(&follow)).contains("line 2 held"));
    }

    #[test]
    fn empty_file_that_becomes_compressed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (follow, mut one, _events, _stop) = followed(folder.path(), "");
        fs::write(&one.file.path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(refusal(one.poll(&follow)).contains("it is gzip"));
    }
}
