//! Puts files of one table into its storage.

use deltalake::ObjectStoreError;
use deltalake::logstore::object_store::PutMode;
use deltalake::logstore::object_store::path::Path;

use super::error::DeltaError;
use super::failpoints;
use super::file::{DataFile, join_groups};
use super::group::{FileFormat, RowGroup};
use super::log::TableLog;
use super::schema::Table;
use deltalake::parquet::errors::ParquetError;
use pinflow_connect::sink::WrittenFile;
use pinflow_storage::{RetryLoop, StallStatus};

/// The result of a put.
pub(crate) enum PutOutcome {
    Done,
    Exists,
    Unknown(Box<dyn std::error::Error + Send + Sync>),
}

/// The place of a table's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilePut<'a> {
    pub(crate) table: Table,
    pub(crate) log: &'a TableLog,
    pub(crate) stalls: &'a StallStatus,
}

impl FilePut<'_> {
    /// Joins what the workers encoded for a window into one file, and puts it. No commit refers to it yet. `version` is
    /// the last one that is known of the table.
    pub(crate) async fn write_file(
        self,
        format: &FileFormat,
        version: u64,
        encoded: Vec<Result<RowGroup, ParquetError>>,
    ) -> Result<Option<WrittenFile>, DeltaError> {
        if encoded.is_empty() {
            return Ok(None);
        }
        let format = format.clone();
        let join = move || join_groups(&format, encoded.into_iter().collect::<Result<_, _>>()?);
        let joined = tokio::task::spawn_blocking(join).await;
        let joined = joined.map_err(|_| DeltaError::Died { what: "encoding rows" })?;
        let table = self.table.name();
        let file = joined.map_err(|cause| DeltaError::Encode { table, cause })?;
        self.put_file(&file, version).await?;
        Ok(Some(file.written))
    }

    /// Puts a data file, and retries until that succeeds. The file is invisible until a commit names it.
    ///
    /// # Errors
    /// If the table was moved away meanwhile. No new folder is created in its place.
    async fn put_file(self, file: &DataFile, version: u64) -> Result<(), DeltaError> {
        let location = self.log.file_location(&file.written.name);
        let mut retry = RetryLoop::new(self.stalls, self.log.display_path(&location));
        loop {
            self.check_folder(version)?;
            // Overwriting is safe: the name is unique and the bytes are the same.
            match self.put_once(&location, file.bytes.clone(), PutMode::Overwrite, "file").await {
                PutOutcome::Done | PutOutcome::Exists => return Ok(()),
                PutOutcome::Unknown(cause) => retry.back_off("write", cause.as_ref()).await,
            }
        }
    }

    /// Checks on disk that the table's log still exists, because a put would create its folders again.
    fn check_folder(self, version: u64) -> Result<(), DeltaError> {
        let is_gone = |folder: &std::path::Path| matches!(folder.join("_delta_log").try_exists(), Ok(false));
        if self.log.place().local_folder().is_some_and(is_gone) {
            return Err(DeltaError::Replaced { path: self.log.folder.clone(), version, what: "its folder is gone" });
        }
        Ok(())
    }

    /// Puts a file once. An error, a panic and a timeout are all returned as an unknown outcome.
    pub(crate) async fn put_once(
        self,
        location: &Path,
        bytes: bytes::Bytes,
        mode: PutMode,
        step: &'static str,
    ) -> PutOutcome {
        let (store, location, table) = (self.log.store().clone(), location.clone(), self.table);
        let put = tokio::spawn(async move {
            let point = |when: &str| {
                let hit = failpoints::hit(table.name(), &format!("{when}_{step}"));
                hit.map_err(|cause| ObjectStoreError::Generic { store: "failpoint", source: cause.into() })
            };
            point("before")?;
            store.put_opts(&location, bytes.into(), mode.into()).await?;
            point("after")
        });
        // After the timeout the outcome is unknown, and the caller looks it up in the log.
        match tokio::time::timeout(self.log.place().call_timeout(), put).await {
            Ok(Ok(Ok(()))) => PutOutcome::Done,
            Ok(Ok(Err(ObjectStoreError::AlreadyExists { .. }))) => PutOutcome::Exists,
            Ok(Ok(Err(cause))) => PutOutcome::Unknown(cause.into()),
            Ok(Err(panicked)) => PutOutcome::Unknown(panicked.into()),
            Err(silent) => PutOutcome::Unknown(silent.into()),
        }
    }
}
