//! The tables as the engine sees them.

use tokio::sync::{mpsc, watch};

use super::{Batches, DeltaEncoder, DeltaError, Tables};
use pinflow_connect::sink::{Sink, SinkError, Stored, TableStatus, Window};

impl From<DeltaError> for SinkError {
    fn from(error: DeltaError) -> SinkError {
        if error.is_fenced() { SinkError::Fenced(error.to_string()) } else { SinkError::Failed(Box::new(error)) }
    }
}

/// Chunks on their way from the decoders to the engine, beyond those that the decoders hold.
const CHUNKS: usize = 2;

impl Sink for Tables {
    type Encoder = DeltaEncoder;

    fn encoder(&self) -> Option<DeltaEncoder> {
        Some(Tables::encoder(self))
    }

    fn read_back(&self) -> mpsc::Receiver<Result<Box<dyn Stored>, SinkError>> {
        let mut chunks = Tables::read_back(self);
        let (sender, receiver) = mpsc::channel(CHUNKS);
        tokio::spawn(async move {
            while let Some(chunk) = chunks.recv().await {
                let chunk = chunk.map(|rows| Box::new(rows) as Box<dyn Stored>).map_err(SinkError::from);
                if sender.send(chunk).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn paused(&self) -> watch::Receiver<Option<String>> {
        Tables::paused(self)
    }

    fn tables(&self) -> watch::Receiver<Vec<TableStatus>> {
        Tables::status(self)
    }

    async fn commit(&mut self, window: Window<Batches>) -> Result<(), SinkError> {
        Ok(Tables::commit(self, window).await?)
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        Ok(Tables::finish(self).await?)
    }
}
