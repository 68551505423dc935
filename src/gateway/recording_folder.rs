//! A folder of files that records are appended to: `pin.jsonl`, `geo.jsonl`, `user.jsonl`, as a recording has them.
//!
//! A thread for each file writes what has come meanwhile at one blow, syncs it, and then tells everybody: so a record is
//! acknowledged when it is on the disk, and many senders share one sync. A line that a crash has cut off is ended, never
//! taken away: whoever follows the file may have seen it. It was not acknowledged, and a reader rejects it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use tokio::sync::{mpsc, oneshot};

use crate::storage::{Location, StorageError, create_folder};

/// Batches that may wait for a file.
const MAX_QUEUED_BATCHES: usize = 1_024;
/// Bytes that are written at one blow.
const MAX_WRITE_BYTES: usize = 4 << 20;
/// The streams that a recording has.
pub(super) const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Why lines are not in a file.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AppendError {
    /// Too many wait already.
    #[error("too many records are under way")]
    Busy,
    /// The disk does not take them.
    #[error("{0}")]
    Failed(String),
}

/// Why a folder cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file, or the folder itself, is not to be had.
    #[error("append to {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another gateway appends to it.
    #[error("{0} is being written by another gateway; stop it, or choose another folder")]
    Taken(PathBuf),
    /// The disk that it is meant to be on is not mounted.
    #[error(transparent)]
    Unmounted(#[from] StorageError),
    /// It is not for appending.
    #[error("{0} is there, compressed: lines cannot be appended; choose another folder, or move it aside")]
    Compressed(PathBuf),
}

/// Whole lines, each with its end, and who wants to hear of them.
struct LineBatch {
    lines: Vec<u8>,
    count: u64,
    reply: oneshot::Sender<Result<u64, AppendError>>,
}

/// The files.
pub(super) struct RecordingFolder {
    files: Vec<mpsc::Sender<LineBatch>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl RecordingFolder {
    /// Opens the files, and makes what is not there.
    ///
    /// # Errors
    /// [`FolderError`]
    pub(super) fn open(path: &Path) -> Result<RecordingFolder, FolderError> {
        Location::from_folder(path).check_mounted()?;
        let failed = |cause| FolderError::Io { path: path.to_owned(), cause };
        create_folder(&std::path::absolute(path).map_err(failed)?).map_err(failed)?;
        let (mut files, mut threads) = (Vec::new(), Vec::new());
        for stream in STREAMS {
            let (sender, queue) = mpsc::channel(MAX_QUEUED_BATCHES);
            let file = AppendFile::open(&path.join(format!("{stream}.jsonl")))?;
            let thread = std::thread::Builder::new().name(format!("append {stream}"));
            threads.push(thread.spawn(move || file.append_queued(queue)).map_err(failed)?);
            files.push(sender);
        }
        // The names, too, must outlive a power cut.
        File::open(path).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(RecordingFolder { files, threads })
    }

    /// Appends lines to the file of a stream; the number of the first of them, from 0, once they are on the disk.
    ///
    /// # Errors
    /// [`AppendError`]: of [`AppendError::Failed`] some may be there all the same.
    pub(super) async fn append_lines(&self, stream: usize, lines: Vec<u8>, count: u64) -> Result<u64, AppendError> {
        let (reply, reply_receiver) = oneshot::channel();
        let gone = |_| AppendError::Failed("the file is closed".to_owned());
        match self.files[stream].try_send(LineBatch { lines, count, reply }) {
            Ok(()) => reply_receiver.await.map_err(|error| gone(error.to_string()))?,
            Err(mpsc::error::TrySendError::Full(_)) => Err(AppendError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(gone(String::new())),
        }
    }

    /// Waits until everything that was handed over is on the disk.
    pub(super) fn close(folder: Arc<RecordingFolder>) {
        // Whoever still holds it is being answered.
        let Some(folder) = Arc::into_inner(folder) else { return };
        drop(folder.files);
        for thread in folder.threads {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// One file.
struct AppendFile {
    file: Flock<File>,
    path: PathBuf,
    /// Lines in it.
    count: u64,
    /// Bytes in it.
    bytes: u64,
    /// Whether both are known: not after a write that failed.
    is_known: bool,
}

impl AppendFile {
    fn open(path: &Path) -> Result<AppendFile, FolderError> {
        let failed = |cause| FolderError::Io { path: path.to_owned(), cause };
        let file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
        let file =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| FolderError::Taken(path.to_owned()))?;
        let mut magic = [0; 4];
        let read = file.read_at(&mut magic, 0).map_err(failed)?;
        if magic[..read].starts_with(&[0x1f, 0x8b]) || magic == [0x28, 0xb5, 0x2f, 0xfd] {
            return Err(FolderError::Compressed(path.to_owned()));
        }
        let mut lines = AppendFile { file, path: path.to_owned(), count: 0, bytes: 0, is_known: false };
        lines.scan_appended().map_err(failed)?;
        Ok(lines)
    }

    /// Counts what was added since it was last known, and ends a line that was cut off.
    fn scan_appended(&mut self) -> io::Result<()> {
        let (mut block, mut last) = (vec![0; 1 << 20], b'\n');
        loop {
            let read = self.file.read_at(&mut block, self.bytes)?;
            let Some(end) = block[..read].last() else { break };
            last = *end;
            self.bytes += read as u64;
            self.count += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
        }
        if last != b'\n' {
            let path = self.path.display();
            let line = self.count + 1;
            tracing::warn!(%path, line, "the last line was cut off; it is ended, and readers will reject it");
            self.file.write_all(b"\n")?;
            self.file.sync_data()?;
            (self.count, self.bytes) = (self.count + 1, self.bytes + 1);
        }
        self.is_known = true;
        Ok(())
    }

    /// Appends what comes, until nobody is left who could send anything.
    fn append_queued(mut self, mut queue: mpsc::Receiver<LineBatch>) {
        let mut lines = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let mut batches = vec![first];
            lines.clear();
            lines.extend_from_slice(&batches[0].lines);
            while lines.len() < MAX_WRITE_BYTES
                && let Ok(batch) = queue.try_recv()
            {
                lines.extend_from_slice(&batch.lines);
                batches.push(batch);
            }
            let written = self.write_synced(&lines);
            if let Err(error) = &written {
                tracing::error!(path = %self.path.display(), %error, "records cannot be appended");
            }
            for batch in batches {
                let outcome = match &written {
                    Ok(()) => {
                        self.count += batch.count;
                        Ok(self.count - batch.count)
                    }
                    Err(error) => Err(AppendError::Failed(error.to_string())),
                };
                // Who asked may have hung up.
                let _ = batch.reply.send(outcome);
            }
        }
    }

    /// Writes and syncs. After a failure some lines may be there and one may be cut off: before the next ones that is
    /// looked at.
    fn write_synced(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.is_known {
            self.scan_appended()?;
        }
        self.is_known = false;
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.bytes += lines.len() as u64;
        self.is_known = true;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_text(folder: &Path, file: &str) -> String {
        std::fs::read_to_string(folder.join(file)).unwrap()
    }

    #[tokio::test]
    async fn lines_are_numbered_as_they_stand() {
        let at = tempfile::tempdir().unwrap();
        for round in 0..3 {
            let folder = Arc::new(RecordingFolder::open(at.path()).unwrap());
            assert_eq!(folder.append_lines(0, b"1\n2\n".to_vec(), 2).await.unwrap(), round * 3);
            assert_eq!(folder.append_lines(0, b"3\n".to_vec(), 1).await.unwrap(), round * 3 + 2);
            assert!(matches!(RecordingFolder::open(at.path()), Err(FolderError::Taken(_))));
            RecordingFolder::close(folder);
        }
        assert_eq!(read_text(at.path(), "pin.jsonl"), "1\n2\n3\n".repeat(3));
        assert_eq!(read_text(at.path(), "geo.jsonl"), "");
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_is_ended_and_stays() {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("user.jsonl"), "{}\n{\"ind\"").unwrap();
        let folder = Arc::new(RecordingFolder::open(at.path()).unwrap());
        assert_eq!(folder.append_lines(2, b"{}\n".to_vec(), 1).await.unwrap(), 2);
        assert_eq!(read_text(at.path(), "user.jsonl"), "{}\n{\"ind\"\n{}\n");
    }

    #[tokio::test]
    async fn after_a_write_that_failed_lines_are_numbered_as_they_stand() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("pin.jsonl");
        let mut lines = AppendFile::open(&path).unwrap();
        lines.write_synced(b"1\n").unwrap();
        // As a full disk leaves it: a whole line and half a one, of which nobody was told.
        std::fs::write(&path, "1\n2\n{\"").unwrap();
        (lines.count, lines.is_known) = (1, false);
        lines.write_synced(b"3\n").unwrap();
        assert_eq!((lines.count, read_text(at.path(), "pin.jsonl").as_str()), (3, "1\n2\n{\"\n3\n"));
    }

    #[test]
    fn what_is_compressed_is_not_appended_to() {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("geo.jsonl"), [0x28, 0xb5, 0x2f, 0xfd, 0]).unwrap();
        assert!(matches!(RecordingFolder::open(at.path()), Err(FolderError::Compressed(_))));
    }
}
