//! One file on its way into the feed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::compression::Content;
use super::files::RecordingFile;
use super::lines::{Cut, Limits, Text};
use super::pace::Pacer;
use super::resume::{Fault, Reading, prove};
use crate::archive::envelope;
use crate::file_limit::explain;
use crate::position::{PartitionId, PartitionProgress, record_fingerprint};
use crate::sources::block_builder::BlockBuilder;
use crate::sources::reader_thread::ReaderExit;
use crate::sources::{BlockRecords, RecordBlock, SourceContext, SourceError, SourceEvent};

/// What to do about a file that is not the one that was read before.
const MEND: &str =
    "Put back the file that was read, or give this recording another `name`: it is then read from its beginning";
/// What to do so that it does not happen to a followed file.
const ROTATION: &str = "A followed file may only grow: let rotation begin files with new names, such as pin-2.jsonl, \
                        instead of truncating, replacing or renaming the one that is read";
/// What to do about a followed file that is gone.
const REMOVED_HINT: &str = "Put it back and start again: it is read on where reading stopped. With allow_removed = true a \
                            file may go, and is read on if it comes back";

/// What it takes to read one file.
pub(super) struct Job<'a> {
    pub(super) context: &'a SourceContext,
    pub(super) file: &'a RecordingFile,
    pub(super) pacer: Option<&'a Arc<Pacer>>,
    pub(super) limits: Limits,
    /// Whether what is appended is read on.
    pub(super) followed: bool,
}

impl Job<'_> {
    /// Reads the file to its end.
    pub(super) fn read(&self) -> Result<(), ReaderExit> {
        let stored = self.context.stored_progress(&self.file.key);
        let mut reading = Reading::open(self, stored)?;
        let partition = self.context.open_partition(&self.file.key, &self.file.key, self.file.carries)?.id;
        let mut reached = stored;
        if let Some(ahead) = reading.ahead.take() {
            reached = Some(self.deliver(partition, ahead, &reading)?);
        }
        let mut more = reading.settle_line_end(self)?;
        while more {
            self.go_on()?;
            let cut = reading.lines.read(&mut reading.content, u64::MAX);
            match cut.map_err(|cause| self.unreadable_after(reading.lines.next() - 1, cause))? {
                Cut::Lines(text) => reached = Some(self.deliver(partition, text, &reading)?),
                Cut::Partial => {}
                Cut::End => more = false,
            }
        }
        self.prove_unchanged(&reading, reached)?;
        if let Some(text) = reading.lines.finish() {
            self.deliver(partition, text, &reading)?;
        }
        Ok(self.context.send(SourceEvent::Ended(partition))?)
    }

    /// Sends lines, at the source's pace; tells how far the partition is read then.
    pub(super) fn deliver(
        &self,
        partition: PartitionId,
        mut text: Text,
        reading: &Reading,
    ) -> Result<PartitionProgress, ReaderExit> {
        if let Some(pacer) = self.pacer {
            let together = pacer.together();
            while let Some(first) = text.split_first(together) {
                self.deliver_paced(partition, first, reading, pacer)?;
            }
            return self.deliver_paced(partition, text, reading, pacer);
        }
        self.send(partition, text, reading)
    }

    fn deliver_paced(
        &self,
        to: PartitionId,
        text: Text,
        of: &Reading,
        pacer: &Pacer,
    ) -> Result<PartitionProgress, ReaderExit> {
        match pacer.wait(self.context, text.count) {
            true => self.send(to, text, of),
            false => Err(ReaderExit::Stopped),
        }
    }

    fn send(&self, partition: PartitionId, text: Text, reading: &Reading) -> Result<PartitionProgress, ReaderExit> {
        let next = text.first + text.count;
        let anchor = record_fingerprint(text.last());
        let (seek, done) = match &reading.content {
            Content::Plain(_) => (text.end, text.end),
            Content::Packed { taken, .. } => (0, taken.load(Ordering::Relaxed)),
        };
        let records = match &self.file.archived {
            Some(_) => as_received(text.first, text.text),
            None => BlockRecords::Lines { first: text.first, text: text.text.into() },
        };
        let remaining_bytes = Some(reading.bytes.saturating_sub(done));
        let next = next.into();
        let block = RecordBlock { partition, records, next, anchor, seek, lag: None, lag_ms: None, remaining_bytes };
        self.context.send(SourceEvent::Block(block))?;
        Ok(PartitionProgress { next, rows: 0, anchor, seek })
    }

    /// Proves that a plain file still holds what was read of it: it may have been truncated and written again meanwhile.
    fn prove_unchanged(&self, reading: &Reading, reached: Option<PartitionProgress>) -> Result<(), ReaderExit> {
        let Content::Plain(file) = &reading.content else { return Ok(()) };
        let holds = file.metadata().map_err(|cause| self.unreadable(cause))?.len();
        let read = reading.lines.read_to();
        if holds < read {
            return Err(self.fault(Fault::Shorter { read, holds, unit: "bytes" }));
        }
        match reached.filter(|reached| reached.next_number() > 1 && reached.seek > 0) {
            Some(reached) => prove(file, reached, self.limits).map_err(|fault| self.fault(fault)),
            None => Ok(()),
        }
    }

    /// Halts once the run is stopped.
    pub(super) fn go_on(&self) -> Result<(), ReaderExit> {
        if self.context.is_stopping() { Err(ReaderExit::Stopped) } else { Ok(()) }
    }

    /// The file cannot be read.
    pub(super) fn unreadable(&self, cause: io::Error) -> ReaderExit {
        ReaderExit::Failed(SourceError::Read { partition: self.file.key.clone(), cause: explain(cause) })
    }

    /// The file cannot be read beyond a line.
    pub(super) fn unreadable_after(&self, line: u64, cause: io::Error) -> ReaderExit {
        let partition = format!("{} after line {line}", self.file.key);
        ReaderExit::Failed(SourceError::Read { partition, cause })
    }

    /// The file is not the one that was read.
    pub(super) fn changed(&self, what: &str) -> ReaderExit {
        let hint = if self.followed { format!("{MEND}. {ROTATION}") } else { MEND.to_owned() };
        self.changed_with_hint(what, &hint)
    }

    /// The file is gone, and may not be.
    pub(super) fn removed(&self) -> ReaderExit {
        self.changed_with_hint("it was removed or renamed while it was followed", REMOVED_HINT)
    }

    fn changed_with_hint(&self, what: &str, hint: &str) -> ReaderExit {
        ReaderExit::Failed(SourceError::Changed { partition: self.file.key.clone(), what: format!("{what}. {hint}") })
    }

    /// The file is not the one that was read, or cannot tell.
    pub(super) fn fault(&self, fault: Fault) -> ReaderExit {
        match fault {
            Fault::Io(cause) => self.unreadable(cause),
            Fault::Shorter { read, holds, unit } => {
                self.changed(&format!("{read} {unit} had been read of it and it holds only {holds}"))
            }
            Fault::Other { line, wanted, found } => self.changed(&format!(
                "line {line} held a record with anchor {wanted:016x} when it was read, and now holds one with {found:016x}"
            )),
            Fault::Grown { line } => self.changed(&format!(
                "line {line} was its last one and had no line end when it was read, and has been written on since"
            )),
        }
    }
}

/// Lines of an archive as the messages that they were made of. Most blocks have none that was wrapped.
fn as_received(first: u64, text: Vec<u8>) -> BlockRecords {
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
