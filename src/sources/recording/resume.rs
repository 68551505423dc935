//! Opening a file at the record that comes next, and proving that it is the file that was read before.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::array::Layout;
use super::compression::{Compression, Content, look_at_layout};
use super::job::Job;
use super::lines::{Cut, Limits, Lines, Text, record};
use crate::position::{PartitionProgress, record_fingerprint};
use crate::sources::reader_thread::ReaderExit;

/// How much is read at a time when a line's beginning is searched backwards.
const BACKWARDS_BYTES: u64 = 64 << 10;

/// A file that stands at the first record to be read.
pub(super) struct Reading {
    /// Its text.
    pub(super) content: Content,
    /// Where in it.
    pub(super) lines: Lines,
    /// Lines that were read together with the last one before the place.
    pub(super) ahead: Option<Text>,
    /// The last line that was read lacked its end, which may have been written since.
    pub(super) owes_line_end: bool,
    /// How long the file was when it was opened.
    pub(super) bytes: u64,
}

impl Reading {
    /// Opens the job's file at `stored`, or at its beginning.
    pub(super) fn open(job: &Job<'_>, stored: Option<PartitionProgress>) -> Result<Reading, ReaderExit> {
        if let Some(objects) = &job.file.archived {
            let lines = Lines::new(job.limits, 1, 0);
            let bytes = job.file.bytes;
            let reading = Reading { content: objects.open(), lines, ahead: None, owes_line_end: false, bytes };
            return reading.at(job, stored.filter(|reached| reached.next_number() > 1));
        }
        let file = File::open(&job.file.path).map_err(|cause| job.unreadable(cause))?;
        Reading::of_file(job, file, stored)
    }

    /// The same of an opened file, which must stand at its start.
    pub(super) fn of_file(
        job: &Job<'_>,
        mut file: File,
        stored: Option<PartitionProgress>,
    ) -> Result<Reading, ReaderExit> {
        let limits = job.limits;
        let stored = stored.filter(|reached| reached.next_number() > 1);
        let (compression, bytes) = facts(&mut file).map_err(|cause| job.unreadable(cause))?;
        let layout = look_at_layout(&mut file, compression, limits.line_bytes_max, job.followed);
        let layout = layout.map_err(|cause| job.unreadable(cause))?;
        let reading = |content, lines| Reading { content, lines, ahead: None, owes_line_end: false, bytes };
        match stored {
            Some(reached) if reached.seek > 0 && (compression, layout) == (Compression::Plain, Layout::Lines) => {
                prove(&file, reached, limits).map_err(|fault| job.fault(fault))?;
                let lines = Lines::new(limits, reached.next_number(), reached.seek);
                file.seek(SeekFrom::Start(reached.seek)).map_err(|cause| job.unreadable(cause))?;
                let owes_line_end = !ends_line(&file, reached.seek).map_err(|cause| job.unreadable(cause))?;
                Ok(Reading { owes_line_end, ..reading(Content::Plain(file), lines) })
            }
            stored => {
                let content = Content::new(file, compression, layout).map_err(|cause| job.unreadable(cause))?;
                reading(content, Lines::new(limits, 1, 0)).at(job, stored)
            }
        }
    }

    /// From its beginning, or from where everything before is counted.
    fn at(mut self, job: &Job<'_>, stored: Option<PartitionProgress>) -> Result<Reading, ReaderExit> {
        if let Some(reached) = stored {
            self.count_up_to(job, reached)?;
        }
        Ok(self)
    }

    /// Reads past everything before `reached.next`, where there is no place to seek to.
    fn count_up_to(&mut self, job: &Job<'_>, reached: PartitionProgress) -> Result<(), ReaderExit> {
        loop {
            job.go_on()?;
            let cut = self.lines.read(&mut self.content, u64::MAX);
            let mut text = match cut.map_err(|cause| job.unreadable_after(self.lines.next() - 1, cause))? {
                Cut::Partial => continue,
                Cut::Lines(text) => text,
                Cut::End => match self.lines.finish() {
                    Some(text) => {
                        self.owes_line_end = matches!(self.content, Content::Plain(_));
                        text
                    }
                    None => {
                        let (read, holds) = (reached.next_number() - 1, self.lines.next() - 1);
                        return Err(job.fault(Fault::Shorter { read, holds, unit: "lines" }));
                    }
                },
            };
            if self.lines.next() < reached.next_number() {
                continue;
            }
            let before = text.split_first(reached.next_number() - text.first);
            let (before, ahead) = match before {
                Some(before) => (before, Some(text)),
                None => (text, None),
            };
            self.ahead = ahead;
            return prove_record(before.last(), reached).map_err(|fault| job.fault(fault));
        }
    }

    /// Steps over the end of the last line, if it owes one and that has been written. `false`: not yet.
    pub(super) fn settle_line_end(&mut self, job: &Job<'_>) -> Result<bool, ReaderExit> {
        let Content::Plain(file) = &mut self.content else { return Ok(true) };
        if !self.owes_line_end {
            return Ok(true);
        }
        let at = self.lines.read_to();
        let mut head = [0; 2];
        let got = read_up_to(file, &mut head, at).map_err(|cause| job.unreadable(cause))?;
        let width = match &head[..got] {
            [] | [b'\r'] => return Ok(false),
            [b'\n', ..] => 1,
            [b'\r', b'\n'] => 2,
            _ => return Err(job.fault(Fault::Grown { line: self.lines.next() - 1 })),
        };
        file.seek(SeekFrom::Start(at + width)).map_err(|cause| job.unreadable(cause))?;
        self.lines = Lines::new(job.limits, self.lines.next(), at + width);
        self.owes_line_end = false;
        Ok(true)
    }
}

/// Why a file is not the one that was read before, or cannot tell.
#[derive(Debug)]
pub(super) enum Fault {
    /// It ends before the place.
    Shorter {
        /// How much was read.
        read: u64,
        /// How much there is.
        holds: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Another record stands before the place.
    Other {
        /// The record's line.
        line: u64,
        /// The anchor that was stored.
        wanted: u64,
        /// The anchor of what stands there.
        found: u64,
    },
    /// Its last line was read without a line end, and more of that line was written since.
    Grown {
        /// The line.
        line: u64,
    },
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(cause: io::Error) -> Fault {
        Fault::Io(cause)
    }
}

/// Proves that the record before a place in a plain file is the one that was read there.
pub(super) fn prove(file: &File, reached: PartitionProgress, limits: Limits) -> Result<(), Fault> {
    let holds = file.metadata()?.len();
    if holds < reached.seek {
        return Err(Fault::Shorter { read: reached.seek, holds, unit: "bytes" });
    }
    let end = reached.seek - u64::from(ends_line(file, reached.seek)?);
    let start = line_start(file, end)?;
    let held = usize::try_from(end - start).unwrap_or(usize::MAX).min(limits.line_bytes_max);
    let mut line = vec![0; held];
    file.read_exact_at(&mut line, start)?;
    prove_record(record(&line), reached)
}

fn prove_record(last: &[u8], reached: PartitionProgress) -> Result<(), Fault> {
    match record_fingerprint(last) {
        found if found == reached.anchor => Ok(()),
        found => Err(Fault::Other { line: reached.next_number() - 1, wanted: reached.anchor, found }),
    }
}

/// Whether a line ends just before this offset.
fn ends_line(file: &File, offset: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, offset - 1)?;
    Ok(last == *b"\n")
}

/// Where the line starts that reaches up to `end`.
fn line_start(file: &File, end: u64) -> io::Result<u64> {
    let mut chunk = Vec::new();
    let mut to = end;
    while to > 0 {
        let from = to.saturating_sub(BACKWARDS_BYTES);
        chunk.resize(usize::try_from(to - from).unwrap_or(usize::MAX), 0);
        file.read_exact_at(&mut chunk, from)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(from + at as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}

/// Fills the buffer as far as the file goes.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(got)
}

fn facts(file: &mut File) -> io::Result<(Compression, u64)> {
    Ok((Compression::look(file)?, file.metadata()?.len()))
}
