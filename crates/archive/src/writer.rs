//! Writes the messages of a window to the archive before its tables are committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};

use super::config::ArchiveConfig;
use super::format::ensure_format;
use super::partition_writer::{ArchiveContext, PartitionWriter};
use super::window_messages::WindowMessages;
use pinflow_connect::sink::{ArchiveFailure, PositionChange, RawArchive, RawWindow};
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_storage::{Location, StallStatus, StorageError};

/// The most partitions written at the same time.
const MAX_CONCURRENT_PARTITIONS: usize = 8;

/// An archive that is open for writing.
pub struct ArchiveWriter {
    context: ArchiveContext,
    /// By the `_source` of the rows. A partition is opened when it first moves in this run.
    writers: BTreeMap<String, PartitionWriter>,
}

/// Why the archive cannot be written. Transient storage errors are retried and not reported here.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The location cannot be reached or written, or gives no conditional puts.
    #[error(transparent)]
    Location(#[from] StorageError),
    /// An object under the same name contains other messages.
    #[error(
        "{object} is in the archive and differs from what was read now: an archive belongs to the tables and the source \
         that it was begun with; choose another [archive] url, or restore what was changed"
    )]
    Differs {
        #[allow(missing_docs)]
        object: String,
    },
    /// An object or a resume marker in the archive is damaged.
    #[error("read {object}")]
    Unreadable {
        #[allow(missing_docs)]
        object: String,
        #[allow(missing_docs)]
        #[source]
        cause: std::io::Error,
    },
    /// A later pinflow has written the archive.
    #[error(
        "{object} was written by a later pinflow, in format {format}; this one knows formats up to {known}: use that one"
    )]
    Later {
        #[allow(missing_docs)]
        object: String,
        #[allow(missing_docs)]
        format: u32,
        #[allow(missing_docs)]
        known: u32,
    },
    /// An object could not be compressed.
    #[error("compress {object}")]
    Compress {
        #[allow(missing_docs)]
        object: String,
        #[allow(missing_docs)]
        #[source]
        cause: std::io::Error,
    },
    /// A thread of the archive panicked.
    #[error("compressing an object of the archive ended without a result; this is a bug in pinflow")]
    Panicked,
}

impl UserError for ArchiveError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            ArchiveError::Location(error) => error.exit_code(),
            _ => ExitStatus::Failed,
        }
    }
}

impl ArchiveWriter {
    /// Opens an archive for writing (see [`Location::prepare_for_writing`]). `status` shows what its writes are stalled on.
    ///
    /// # Errors
    /// If it cannot be written to, or a later pinflow has written it.
    pub async fn open(
        config: ArchiveConfig,
        location: &Location,
        status: StallStatus,
    ) -> Result<ArchiveWriter, ArchiveError> {
        let location = location.prepare_for_writing().await?;
        ensure_format(&location).await?;
        Ok(ArchiveWriter { context: ArchiveContext { location, config, status }, writers: BTreeMap::new() })
    }

    async fn write_window(&mut self, messages: WindowMessages) -> Result<(), ArchiveError> {
        let WindowMessages { mut sources, changes } = messages;
        let mut work = Vec::new();
        for (source, PositionChange { resumed, next }) in changes {
            let writer = match self.writers.remove(&source) {
                Some(writer) => writer,
                None => PartitionWriter::open(&self.context, &source, resumed).await?,
            };
            let lines = Arc::new(sources.remove(&source).unwrap_or_default());
            work.push((source, writer, lines, next));
        }
        assert!(sources.is_empty(), "a source with messages in a window moves in it");
        let context = &self.context;
        let written = work.into_iter().map(|(source, mut writer, lines, next)| async move {
            writer.write_lines(context, &lines).await?;
            writer.write_resume_marker(context, next).await?;
            Ok::<_, ArchiveError>((source, writer))
        });
        // Collected first: the closure's lifetimes are too general for the stream otherwise.
        let written = futures::stream::iter(written.collect::<Vec<_>>()).buffer_unordered(MAX_CONCURRENT_PARTITIONS);
        let writers: Vec<(String, PartitionWriter)> = written.try_collect().await?;
        self.writers.extend(writers);
        Ok(())
    }
}

#[async_trait]
impl RawArchive for ArchiveWriter {
    /// Messages that are in the archive already are compared, not written again. Transient storage errors are retried
    /// without end.
    ///
    /// # Errors
    /// [`ArchiveError::Differs`] if the archive contains other messages at these positions; [`ArchiveError::Unreadable`]
    /// if it is damaged.
    async fn store_window(&mut self, window: RawWindow) -> Result<(), ArchiveFailure> {
        let encoded = tokio::task::spawn_blocking(move || WindowMessages::encode(window)).await;
        Ok(self.write_window(encoded.map_err(|_| ArchiveError::Panicked)?).await?)
    }
}

/// Runs the action of an armed failpoint. Does nothing without the feature.
pub(super) fn run_failpoint(name: &str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |what| if what.as_deref() == Some("abort") {
        std::process::abort()
    });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}
