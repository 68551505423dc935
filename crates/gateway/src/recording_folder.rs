//! Appends records to a recording: `pin.jsonl`, `geo.jsonl` and `user.jsonl` in one folder.
//!
//! Each file has a thread. It writes all queued batches at once, syncs the file (`fdatasync`), and then acknowledges them
//! (group commit). So an acknowledged record is on disk, and concurrent senders share one sync.
//!
//! A line that a crash cut off is ended with a newline and never truncated, because a reader that follows the file may have
//! seen it. It was not acknowledged, and the reader rejects it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use tokio::sync::{mpsc, oneshot};

use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_storage::{Location, StorageError, create_folder};

/// Most batches that wait for one file.
const MAX_QUEUED_BATCHES: usize = 1_024;
/// About how many bytes are written and synced at once.
const MAX_WRITE_BYTES: usize = 4 << 20;
/// The streams of a recording, one file each.
pub(super) const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Why lines were not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AppendError {
    /// The queue of the file is full.
    #[error("too many records are waiting to be written")]
    Busy,
    /// Writing or syncing failed.
    #[error("{0}")]
    Failed(String),
}

/// Why a folder cannot be appended to.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder or a file cannot be opened.
    #[error("cannot append to {path}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        cause: io::Error,
    },
    /// Another gateway has locked it.
    #[error("{0} is being written by another gateway; stop it, or choose another folder")]
    Taken(PathBuf),
    /// The disk of the folder is not mounted.
    #[error(transparent)]
    Unmounted(#[from] StorageError),
    /// A file is compressed, so lines cannot be appended.
    #[error("{0} is compressed, so lines cannot be appended; choose another folder or move the file")]
    Compressed(PathBuf),
}

impl UserError for FolderError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            FolderError::Unmounted(error) => error.exit_code(),
            _ => ExitStatus::Failed,
        }
    }
}

/// Complete lines with their newlines, and where to send the result.
struct LineBatch {
    lines: Vec<u8>,
    count: u64,
    reply: oneshot::Sender<Result<u64, AppendError>>,
}

/// The open files of a recording, each with its writer thread.
pub(super) struct RecordingFolder {
    files: Vec<mpsc::Sender<LineBatch>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl RecordingFolder {
    /// Opens the files, and creates the folder and files that do not exist.
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
        // Sync the directory: new file names must survive a power failure too.
        File::open(path).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(RecordingFolder { files, threads })
    }

    /// Appends lines to the file of a stream. Returns the index of the first line (from 0) once all are on disk.
    ///
    /// # Errors
    /// [`AppendError`]. After [`AppendError::Failed`] some of the lines may be in the file.
    pub(super) async fn append_lines(&self, stream: usize, lines: Vec<u8>, count: u64) -> Result<u64, AppendError> {
        let (reply, reply_receiver) = oneshot::channel();
        let gone = |_| AppendError::Failed("the file is closed".to_owned());
        match self.files[stream].try_send(LineBatch { lines, count, reply }) {
            Ok(()) => reply_receiver.await.map_err(|error| gone(error.to_string()))?,
            Err(mpsc::error::TrySendError::Full(_)) => Err(AppendError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(gone(String::new())),
        }
    }

    /// Closes the queues and waits until everything is on disk.
    pub(super) fn close(folder: Arc<RecordingFolder>) {
        // If a request still holds it, that request is still waiting for its result.
        let Some(folder) = Arc::into_inner(folder) else { return };
        drop(folder.files);
        for thread in folder.threads {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// One file, locked and open for appending.
struct AppendFile {
    file: Flock<File>,
    path: PathBuf,
    /// Lines in the file.
    count: u64,
    /// Bytes in the file.
    bytes: u64,
    /// Whether `count` and `bytes` are known. They are not after a failed write.
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

    /// Counts the lines after the known end, and ends a line that was cut off.
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
            tracing::warn!(%path, line, "the last line is incomplete (crash or full disk); it was ended and will be rejected when it is read");
            self.file.write_all(b"\n")?;
            self.file.sync_data()?;
            (self.count, self.bytes) = (self.count + 1, self.bytes + 1);
        }
        self.is_known = true;
        Ok(())
    }

    /// Appends queued batches until all senders are dropped.
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
                tracing::error!(path = %self.path.display(), %error, "records could not be appended");
            }
            for batch in batches {
                let outcome = match &written {
                    Ok(()) => {
                        self.count += batch.count;
                        Ok(self.count - batch.count)
                    }
                    Err(error) => Err(AppendError::Failed(error.to_string())),
                };
                // The client may have disconnected.
                let _ = batch.reply.send(outcome);
            }
        }
    }

    /// Writes and syncs. After a failure the file may have some of the lines, the last one incomplete, so the next write
    /// scans it first.
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
    async fn append_returns_the_index_of_the_first_line() {
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
    async fn incomplete_last_line_is_ended_and_kept() {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("user.jsonl"), "{}\n{\"ind\"").unwrap();
        let folder = Arc::new(RecordingFolder::open(at.path()).unwrap());
        assert_eq!(folder.append_lines(2, b"{}\n".to_vec(), 1).await.unwrap(), 2);
        assert_eq!(read_text(at.path(), "user.jsonl"), "{}\n{\"ind\"\n{}\n");
    }

    #[tokio::test]
    async fn append_after_failed_write_counts_lines_again() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("pin.jsonl");
        let mut lines = AppendFile::open(&path).unwrap();
        lines.write_synced(b"1\n").unwrap();
        // As after a full disk: one complete and one incomplete line, both not acknowledged.
        std::fs::write(&path, "1\n2\n{\"").unwrap();
        (lines.count, lines.is_known) = (1, false);
        lines.write_synced(b"3\n").unwrap();
        assert_eq!((lines.count, read_text(at.path(), "pin.jsonl").as_str()), (3, "1\n2\n{\"\n3\n"));
    }

    #[test]
    fn compressed_file_is_rejected() {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("geo.jsonl"), [0x28, 0xb5, 0x2f, 0xfd, 0]).unwrap();
        assert!(matches!(RecordingFolder::open(at.path()), Err(FolderError::Compressed(_))));
    }
}
