//! Makes the windows of a follower durable: its messages in the archive, if there is one, then its data files.

use tokio::sync::mpsc;

use crate::EngineError;
use pinflow_connect::sink::{ArchiveOpening, FileSink, RawArchive, RawWindow, RowEncoder, WrittenFile};
use pinflow_core::position::Epoch;

/// What a worker has encoded for a window.
pub(super) type EncodedRows<F> = <<F as FileSink>::Encoder as RowEncoder>::Batches;
/// The files of the window that ends with an epoch.
pub(super) type WriteResult = Result<(Epoch, Vec<WrittenFile>), EngineError>;

/// A window that all workers have read.
pub(super) struct WindowToWrite<F: FileSink> {
    pub(super) epoch: Epoch,
    pub(super) batches: Vec<EncodedRows<F>>,
    /// The messages that were read here, if they are archived.
    pub(super) raw: Option<RawWindow>,
}

/// The archive for what this process reads. It is opened for its first messages.
struct FollowerArchive {
    opening: Option<ArchiveOpening>,
    writer: Option<Box<dyn RawArchive>>,
}

impl FollowerArchive {
    /// Makes the messages of a window durable.
    async fn store_window(&mut self, window: RawWindow) -> Result<(), EngineError> {
        if window.moved.is_empty() {
            return Ok(());
        }
        if let Some(opening) = self.opening.take() {
            self.writer = Some(opening.await.map_err(EngineError::Archive)?);
        }
        let Some(writer) = &mut self.writer else {
            let what = "messages are kept for an archive that this process does not have; this is a bug in pinflow";
            return Err(EngineError::Cluster(what.to_owned()));
        };
        writer.store_window(window).await.map_err(EngineError::Archive)
    }
}

/// Writes the files of windows in order, each after its messages are in the archive, if there is one. So whatever the
/// leader commits can be read back from the archive.
pub(super) async fn write_windows<F: FileSink>(
    (mut sink, opening): (F, Option<ArchiveOpening>),
    mut windows: mpsc::Receiver<WindowToWrite<F>>,
    written: mpsc::UnboundedSender<WriteResult>,
) {
    let mut archive = FollowerArchive { opening, writer: None };
    while let Some(WindowToWrite { epoch, batches, raw }) = windows.recv().await {
        let files = write_window((&mut sink, &mut archive), batches, raw).await.map(|files| (epoch, files));
        let failed = files.is_err();
        if written.send(files).is_err() || failed {
            return;
        }
    }
}

async fn write_window<F: FileSink>(
    (sink, archive): (&mut F, &mut FollowerArchive),
    batches: Vec<EncodedRows<F>>,
    raw: Option<RawWindow>,
) -> Result<Vec<WrittenFile>, EngineError> {
    if let Some(raw) = raw {
        archive.store_window(raw).await?;
    }
    Ok(sink.write_files(batches).await?)
}
