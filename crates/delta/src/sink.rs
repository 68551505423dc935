//! Implements the engine's [`WindowSink`] for the tables.

use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::ReadColumns;
use tokio::sync::{mpsc, watch};

use super::rows::StoredRows;
use super::tables::SharedTableRows;
use super::{DeltaEncoder, DeltaError, DeltaTables, EncodedBatches};
use pinflow_connect::sink::{SharedReadBack, SinkError, StoredChunk, StoredSnapshot, TableStatus, Window, WindowSink};

impl From<DeltaError> for SinkError {
    fn from(error: DeltaError) -> SinkError {
        if error.is_fenced() { SinkError::Fenced(error.to_string()) } else { SinkError::Failed(Box::new(error)) }
    }
}

/// The most chunks between the decoders and the engine, in addition to those that the decoders hold.
const MAX_BUFFERED_CHUNKS: usize = 2;

/// Passes on chunks as the engine takes them.
pub(crate) fn forward_chunks(
    mut chunks: mpsc::Receiver<Result<StoredRows, DeltaError>>,
) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>> {
    let (sender, receiver) = mpsc::channel(MAX_BUFFERED_CHUNKS);
    tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map(|rows| Box::new(rows) as Box<dyn StoredChunk>).map_err(SinkError::from);
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    receiver
}

impl WindowSink for DeltaTables {
    type Encoder = DeltaEncoder;

    fn encoder(&self) -> Option<DeltaEncoder> {
        Some(DeltaTables::encoder(self))
    }

    fn read_back(
        &self,
        duplicates: DuplicatePolicy,
        columns: &ReadColumns,
    ) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>> {
        forward_chunks(DeltaTables::read_back(self, duplicates, columns))
    }

    fn share_read_back(&self, duplicates: DuplicatePolicy, columns: &ReadColumns, others: usize) -> SharedReadBack {
        let SharedTableRows { chunks, shares, counts } =
            DeltaTables::share_read_back(self, duplicates, columns, others);
        SharedReadBack { chunks: forward_chunks(chunks), shares, counts }
    }

    fn snapshot(&self, duplicates: DuplicatePolicy, columns: &ReadColumns) -> StoredSnapshot {
        let (rows, chunks) = DeltaTables::snapshot(self, duplicates, columns);
        StoredSnapshot { rows, chunks: forward_chunks(chunks) }
    }

    fn paused(&self) -> watch::Receiver<Option<String>> {
        DeltaTables::paused(self)
    }

    fn tables(&self) -> watch::Receiver<Vec<TableStatus>> {
        DeltaTables::status(self)
    }

    async fn commit(&mut self, window: Window<EncodedBatches>) -> Result<(), SinkError> {
        Ok(DeltaTables::commit(self, window).await?)
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        Ok(DeltaTables::finish(self).await?)
    }
}
