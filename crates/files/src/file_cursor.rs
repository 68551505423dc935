//! Opens a file at its next unread record, after verifying that it is still the file that was read before.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::compression::{FileCompression, FileContent, detect_file_layout};
use super::file_reader::FileReader;
use super::json_array::RecordLayout;
use super::line_splitter::{LineLimits, LineSplitter, SplitResult, TextBlock, strip_carriage_return};
use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_core::position::{PartitionProgress, record_fingerprint};

/// Bytes read at a time when the start of a line is searched backwards.
const BACKWARD_READ_BYTES: u64 = 64 << 10;

/// An open file at its next unread record.
pub(super) struct FileCursor {
    pub(super) content: FileContent,
    pub(super) lines: LineSplitter,
    /// Unread lines that were read together with the last line before the resume point.
    pub(super) ahead: Option<TextBlock>,
    /// The last line that was read had no line end. It may have been written since.
    pub(super) owes_line_end: bool,
    /// Size of the file in bytes when it was opened.
    pub(super) bytes: u64,
}

impl FileCursor {
    /// Opens the reader's file at `stored`, or at its beginning.
    pub(super) fn open(reader: &FileReader<'_>, stored: Option<PartitionProgress>) -> Result<FileCursor, ReaderExit> {
        if let Some(objects) = &reader.file.archived {
            let lines = LineSplitter::new(reader.limits, 1, 0);
            let bytes = reader.file.bytes;
            let cursor = FileCursor { content: objects.open(), lines, ahead: None, owes_line_end: false, bytes };
            return cursor.count_to_resume_point(reader, stored.filter(|reached| reached.next_number() > 1));
        }
        let file = File::open(&reader.file.path).map_err(|cause| reader.read_error(cause))?;
        FileCursor::open_file(reader, file, stored)
    }

    /// As [`FileCursor::open`], for an open file at its start.
    pub(super) fn open_file(
        reader: &FileReader<'_>,
        mut file: File,
        stored: Option<PartitionProgress>,
    ) -> Result<FileCursor, ReaderExit> {
        let limits = reader.limits;
        let stored = stored.filter(|reached| reached.next_number() > 1);
        let (compression, bytes) = inspect_file(&mut file).map_err(|cause| reader.read_error(cause))?;
        let layout = detect_file_layout(&mut file, compression, limits.line_bytes_max, reader.followed);
        let layout = layout.map_err(|cause| reader.read_error(cause))?;
        let cursor = |content, lines| FileCursor { content, lines, ahead: None, owes_line_end: false, bytes };
        let is_plain = (compression, layout) == (FileCompression::Plain, RecordLayout::Lines);
        match stored.and_then(|reached| Some((reached, reached.hint.byte_offset()?))) {
            Some((reached, offset)) if is_plain => {
                verify_resume_point(&file, reached, limits).map_err(|error| reader.resume_error(error))?;
                let lines = LineSplitter::new(limits, reached.next_number(), offset);
                file.seek(SeekFrom::Start(offset)).map_err(|cause| reader.read_error(cause))?;
                let owes_line_end = !ends_line(&file, offset).map_err(|cause| reader.read_error(cause))?;
                Ok(FileCursor { owes_line_end, ..cursor(FileContent::Plain(file), lines) })
            }
            _ => {
                let content = FileContent::new(file, compression, layout).map_err(|cause| reader.read_error(cause))?;
                cursor(content, LineSplitter::new(limits, 1, 0)).count_to_resume_point(reader, stored)
            }
        }
    }

    /// Reads and counts the lines up to `stored`, if there is a resume point.
    fn count_to_resume_point(
        mut self,
        reader: &FileReader<'_>,
        stored: Option<PartitionProgress>,
    ) -> Result<FileCursor, ReaderExit> {
        if let Some(reached) = stored {
            self.count_up_to(reader, reached)?;
        }
        Ok(self)
    }

    /// Reads past everything before `reached.next`, for files that cannot be sought.
    fn count_up_to(&mut self, reader: &FileReader<'_>, reached: PartitionProgress) -> Result<(), ReaderExit> {
        loop {
            reader.check_not_stopped()?;
            let cut = self.lines.read(&mut self.content, u64::MAX);
            let mut text = match cut.map_err(|cause| reader.read_error_after(self.lines.next_line() - 1, cause))? {
                SplitResult::Partial => continue,
                SplitResult::Lines(text) => text,
                SplitResult::End => match self.lines.take_unfinished_line() {
                    Some(text) => {
                        self.owes_line_end = matches!(self.content, FileContent::Plain(_));
                        text
                    }
                    None => {
                        let (read, holds) = (reached.next_number() - 1, self.lines.next_line() - 1);
                        return Err(reader.resume_error(ResumeError::Shorter { read, holds, unit: "lines" }));
                    }
                },
            };
            if self.lines.next_line() < reached.next_number() {
                continue;
            }
            let before = text.split_first(reached.next_number() - text.first);
            let (before, ahead) = match before {
                Some(before) => (before, Some(text)),
                None => (text, None),
            };
            self.ahead = ahead;
            return verify_record(before.last_record(), reached).map_err(|error| reader.resume_error(error));
        }
    }

    /// Skips the line end of the last line that was read, if it was missing then. `false` if it is still missing.
    pub(super) fn skip_owed_line_end(&mut self, reader: &FileReader<'_>) -> Result<bool, ReaderExit> {
        let FileContent::Plain(file) = &mut self.content else { return Ok(true) };
        if !self.owes_line_end {
            return Ok(true);
        }
        let at = self.lines.read_offset();
        let mut head = [0; 2];
        let got = read_up_to(file, &mut head, at).map_err(|cause| reader.read_error(cause))?;
        let width = match &head[..got] {
            [] | [b'\r'] => return Ok(false),
            [b'\n', ..] => 1,
            [b'\r', b'\n'] => 2,
            _ => return Err(reader.resume_error(ResumeError::Grown { line: self.lines.next_line() - 1 })),
        };
        file.seek(SeekFrom::Start(at + width)).map_err(|cause| reader.read_error(cause))?;
        self.lines = LineSplitter::new(reader.limits, self.lines.next_line(), at + width);
        self.owes_line_end = false;
        Ok(true)
    }
}

/// Why a file is not the one that was read before, or cannot be verified.
#[derive(Debug)]
pub(super) enum ResumeError {
    /// It ends before the resume point.
    Shorter {
        read: u64,
        holds: u64,
        /// `bytes` or `lines`.
        unit: &'static str,
    },
    /// Another record precedes the resume point.
    Other {
        line: u64,
        /// The stored fingerprint.
        wanted: u64,
        /// The fingerprint of the record in the file.
        found: u64,
    },
    /// Its last line was read without a line end, and more of that line was written since.
    Grown { line: u64 },
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for ResumeError {
    fn from(cause: io::Error) -> ResumeError {
        ResumeError::Io(cause)
    }
}

/// Verifies that the record before the resume point of a plain file is the one that was read there. Without a byte offset
/// there is nothing to verify.
pub(super) fn verify_resume_point(
    file: &File,
    reached: PartitionProgress,
    limits: LineLimits,
) -> Result<(), ResumeError> {
    let holds = file.metadata()?.len();
    let Some(offset) = reached.hint.byte_offset() else { return Ok(()) };
    if holds < offset {
        return Err(ResumeError::Shorter { read: offset, holds, unit: "bytes" });
    }
    let end = offset - u64::from(ends_line(file, offset)?);
    let start = find_line_start(file, end)?;
    let held = usize::try_from(end - start).unwrap_or(usize::MAX).min(limits.line_bytes_max);
    let mut line = vec![0; held];
    file.read_exact_at(&mut line, start)?;
    verify_record(strip_carriage_return(&line), reached)
}

fn verify_record(last: &[u8], reached: PartitionProgress) -> Result<(), ResumeError> {
    match record_fingerprint(last) {
        found if found == reached.fingerprint => Ok(()),
        found => Err(ResumeError::Other { line: reached.next_number() - 1, wanted: reached.fingerprint, found }),
    }
}

/// Whether a line ends directly before this offset.
fn ends_line(file: &File, offset: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, offset - 1)?;
    Ok(last == *b"\n")
}

/// The start of the line that ends at `end`.
fn find_line_start(file: &File, end: u64) -> io::Result<u64> {
    let mut chunk = Vec::new();
    let mut to = end;
    while to > 0 {
        let from = to.saturating_sub(BACKWARD_READ_BYTES);
        chunk.resize(usize::try_from(to - from).unwrap_or(usize::MAX), 0);
        file.read_exact_at(&mut chunk, from)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(from + at as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}

/// Reads until the buffer is full or the file ends. Returns the bytes read.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn inspect_file(file: &mut File) -> io::Result<(FileCompression, u64)> {
    Ok((FileCompression::detect(file)?, file.metadata()?.len()))
}
