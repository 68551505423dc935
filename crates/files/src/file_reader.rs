//! Reads one file and sends its lines to the engine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::compression::FileContent;
use super::file_cursor::{FileCursor, ResumeError, verify_resume_point};
use super::file_discovery::RecordingFile;
use super::line_splitter::{LineLimits, SplitResult, TextBlock};
use super::rate_limiter::RateLimiter;
use pinflow_archive::envelope;
use pinflow_connect::source::block_builder::BlockBuilder;
use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{BlockRecords, RecordBlock, SourceContext, SourceError, SourceEvent};
use pinflow_core::file_limit::explain;
use pinflow_core::position::{PartitionId, PartitionProgress, ResumeHint, record_fingerprint};

/// The hint for a file that is not the one that was read before.
const CHANGED_HINT: &str =
    "Put back the file that was read, or give this recording another `name`: it is then read from its beginning";
/// The additional hint for a followed file.
const ROTATION_HINT: &str = "A followed file may only grow: configure rotation to create files with new names, such as pin-2.jsonl, \
                        instead of truncating, replacing or renaming the one that is read";
/// The hint for a followed file that was removed.
const REMOVED_HINT: &str = "Put it back and start again: reading continues where it stopped. With allow_removed = true a \
                            file may be removed, and continues if it returns";

/// Reads one file.
pub(super) struct FileReader<'a> {
    pub(super) context: &'a SourceContext,
    pub(super) file: &'a RecordingFile,
    pub(super) rate_limiter: Option<&'a Arc<RateLimiter>>,
    pub(super) limits: LineLimits,
    /// Whether data that is appended later is read.
    pub(super) followed: bool,
}

impl FileReader<'_> {
    /// Reads the file to its end.
    pub(super) fn read_file(&self) -> Result<(), ReaderExit> {
        let stored = self.context.stored_progress(&self.file.key);
        let mut cursor = FileCursor::open(self, stored)?;
        let partition = self.context.open_partition(&self.file.key, &self.file.key, self.file.stream_hint)?.id;
        let mut reached = stored;
        if let Some(ahead) = cursor.ahead.take() {
            reached = Some(self.send_lines(partition, ahead, &cursor)?);
        }
        let mut more = cursor.skip_owed_line_end(self)?;
        while more {
            self.check_not_stopped()?;
            let cut = cursor.lines.read(&mut cursor.content, u64::MAX);
            match cut.map_err(|cause| self.read_error_after(cursor.lines.next_line() - 1, cause))? {
                SplitResult::Lines(text) => reached = Some(self.send_lines(partition, text, &cursor)?),
                SplitResult::Partial => {}
                SplitResult::End => more = false,
            }
        }
        self.verify_unchanged(&cursor, reached)?;
        if let Some(text) = cursor.lines.take_unfinished_line() {
            self.send_lines(partition, text, &cursor)?;
        }
        Ok(self.context.send(SourceEvent::Ended(partition))?)
    }

    /// Sends lines, rate-limited if configured. Returns how far the partition is read then.
    pub(super) fn send_lines(
        &self,
        partition: PartitionId,
        mut text: TextBlock,
        cursor: &FileCursor,
    ) -> Result<PartitionProgress, ReaderExit> {
        if let Some(rate_limiter) = self.rate_limiter {
            let batch_records = rate_limiter.batch_records();
            while let Some(first) = text.split_first(batch_records) {
                self.send_paced(partition, first, cursor, rate_limiter)?;
            }
            return self.send_paced(partition, text, cursor, rate_limiter);
        }
        self.send_block(partition, text, cursor)
    }

    fn send_paced(
        &self,
        to: PartitionId,
        text: TextBlock,
        of: &FileCursor,
        rate_limiter: &RateLimiter,
    ) -> Result<PartitionProgress, ReaderExit> {
        match rate_limiter.wait_for_slot(self.context, text.count) {
            true => self.send_block(to, text, of),
            false => Err(ReaderExit::Stopped),
        }
    }

    fn send_block(
        &self,
        partition: PartitionId,
        text: TextBlock,
        cursor: &FileCursor,
    ) -> Result<PartitionProgress, ReaderExit> {
        let next = text.first + text.count;
        let fingerprint = record_fingerprint(text.last_record());
        let (hint, done) = match &cursor.content {
            FileContent::Plain(_) => (ResumeHint::ByteOffset(text.end), text.end),
            FileContent::Packed { bytes_read, .. } => (ResumeHint::None, bytes_read.load(Ordering::Relaxed)),
        };
        let records = match &self.file.archived {
            Some(_) => unwrap_archived_lines(text.first, text.text),
            None => BlockRecords::Lines { first: text.first, text: cursor.lines.share(text.text) },
        };
        let remaining_bytes = Some(cursor.bytes.saturating_sub(done));
        let next = next.into();
        let block =
            RecordBlock { partition, records, next, fingerprint, hint, lag: None, lag_ms: None, remaining_bytes };
        self.context.send(SourceEvent::Block(block))?;
        Ok(PartitionProgress { next, rows: 0, fingerprint, hint })
    }

    /// Verifies that a plain file still contains what was read: it may have been truncated and rewritten meanwhile.
    fn verify_unchanged(&self, cursor: &FileCursor, reached: Option<PartitionProgress>) -> Result<(), ReaderExit> {
        let FileContent::Plain(file) = &cursor.content else { return Ok(()) };
        let holds = file.metadata().map_err(|cause| self.read_error(cause))?.len();
        let read = cursor.lines.read_offset();
        if holds < read {
            return Err(self.resume_error(ResumeError::Shorter { read, holds, unit: "bytes" }));
        }
        match reached.filter(|reached| reached.next_number() > 1 && reached.hint.byte_offset().is_some()) {
            Some(reached) => verify_resume_point(file, reached, self.limits).map_err(|error| self.resume_error(error)),
            None => Ok(()),
        }
    }

    /// Halts once the run is stopped.
    pub(super) fn check_not_stopped(&self) -> Result<(), ReaderExit> {
        if self.context.is_stopping() { Err(ReaderExit::Stopped) } else { Ok(()) }
    }

    /// The file cannot be read.
    pub(super) fn read_error(&self, cause: io::Error) -> ReaderExit {
        ReaderExit::Failed(SourceError::Read { partition: self.file.key.clone(), cause: explain(cause) })
    }

    /// The file cannot be read beyond a line.
    pub(super) fn read_error_after(&self, line: u64, cause: io::Error) -> ReaderExit {
        let partition = format!("{} after line {line}", self.file.key);
        ReaderExit::Failed(SourceError::Read { partition, cause })
    }

    /// The error for a file that is not the one that was read.
    pub(super) fn changed_error(&self, what: &str) -> ReaderExit {
        let hint = if self.followed { format!("{CHANGED_HINT}. {ROTATION_HINT}") } else { CHANGED_HINT.to_owned() };
        self.changed_error_with_hint(what, &hint)
    }

    /// The error for a file that was removed.
    pub(super) fn removed_error(&self) -> ReaderExit {
        self.changed_error_with_hint("it was removed or renamed while it was followed", REMOVED_HINT)
    }

    fn changed_error_with_hint(&self, what: &str, hint: &str) -> ReaderExit {
        ReaderExit::Failed(SourceError::Changed { partition: self.file.key.clone(), what: format!("{what}. {hint}") })
    }

    /// Describes a [`ResumeError`].
    pub(super) fn resume_error(&self, error: ResumeError) -> ReaderExit {
        match error {
            ResumeError::Io(cause) => self.read_error(cause),
            ResumeError::Shorter { read, holds, unit } => {
                self.changed_error(&format!("{read} {unit} had been read of it and it holds only {holds}"))
            }
            ResumeError::Other { line, wanted, found } => self.changed_error(&format!(
                "line {line} held a record with fingerprint {wanted:016x} when it was read, and now holds one with {found:016x}"
            )),
            ResumeError::Grown { line } => self.changed_error(&format!(
                "line {line} was its last one and had no line end when it was read, and has grown since"
            )),
        }
    }
}

/// Decodes lines of an archive to the original messages. Blocks without wrapped messages are passed on unchanged.
fn unwrap_archived_lines(first: u64, text: Vec<u8>) -> BlockRecords {
    if memchr::memmem::find(&text, envelope::WRAPPED_PREFIX.as_bytes()).is_none() {
        return BlockRecords::Lines { first, text: text.into() };
    }
    let mut collected = BlockBuilder::new("");
    BlockRecords::Lines { first, text: text.into() }.for_each(|entry| {
        let payload = entry.payload.and_then(envelope::decode_line);
        collected.push(payload.as_deref(), entry.position, None);
    });
    collected.take_records()
}
