//! Reads data files: those on disk in pieces, those in a bucket with one request.
//!
//! Files of pinflow have at most 64 MiB and few columns, most of which are read. For a bucket, one request for the
//! whole file is faster than many small ones.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use deltalake::ObjectStoreError;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{ObjectStore, ObjectStoreExt};
use deltalake::parquet::errors::Result;
use deltalake::parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use super::error::DeltaError;
use super::log::TableLog;

/// The location of a data file.
#[derive(Debug, Clone)]
pub(crate) struct FileAt {
    /// The path as shown to users.
    pub(crate) path: PathBuf,
    /// `None` for a file on disk.
    bucket: Option<BucketFile>,
}

/// What a blocking thread needs to fetch a file from a bucket.
#[derive(Debug, Clone)]
struct BucketFile {
    store: Arc<dyn ObjectStore>,
    location: Path,
    runtime: Handle,
}

impl FileAt {
    /// A file of a table. Must be called within the runtime that fetches it later.
    pub(crate) fn new(log: &TableLog, name: &str) -> FileAt {
        let bucket_file =
            || BucketFile { store: log.store().clone(), location: log.file_location(name), runtime: Handle::current() };
        FileAt { path: log.folder.join(name), bucket: log.place().local_folder().is_none().then(bucket_file) }
    }

    /// A file on disk.
    #[cfg(test)]
    pub(crate) fn on_disk(path: PathBuf) -> FileAt {
        FileAt { path, bucket: None }
    }

    /// Opens the file. Blocks, so it must not be called on a thread of the runtime.
    pub(crate) fn open(&self) -> std::result::Result<FileInput, DeltaError> {
        let Some(BucketFile { store, location, runtime }) = &self.bucket else {
            let failed = |cause: std::io::Error| match cause.kind() {
                std::io::ErrorKind::NotFound => DeltaError::MissingFile { path: self.path.clone() },
                _ => DeltaError::Disk { what: "open", path: self.path.clone(), cause },
            };
            return File::open(&self.path).map(FileInput::Disk).map_err(failed);
        };
        let fetched = runtime.block_on(async { store.get(location).await?.bytes().await });
        fetched.map(FileInput::Memory).map_err(|cause| match cause {
            ObjectStoreError::NotFound { .. } => DeltaError::MissingFile { path: self.path.clone() },
            _ => DeltaError::Store { what: "read", path: self.path.display().to_string(), cause },
        })
    }
}

/// An open data file.
pub(crate) enum FileInput {
    Disk(File),
    Memory(Bytes),
}

impl Length for FileInput {
    fn len(&self) -> u64 {
        match self {
            FileInput::Disk(file) => file.len(),
            FileInput::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for FileInput {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Box<dyn Read>> {
        Ok(match self {
            FileInput::Disk(file) => Box::new(file.get_read(start)?),
            FileInput::Memory(bytes) => Box::new(bytes.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            FileInput::Disk(file) => file.get_bytes(start, length),
            FileInput::Memory(bytes) => bytes.get_bytes(start, length),
        }
    }
}
