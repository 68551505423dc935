//! A sink that keeps rows in memory.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pinflow_connect::sink::{RowEncoder, SinkError, StoredChunk, StoredSnapshot, TableStatus, Window, WindowSink};
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::ingest::RowSink;
use pinflow_dataflows::questions::ReadColumns;
use pinflow_dataflows::record::{CatalogRow, Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_sql::datum::Row;
use tokio::sync::{mpsc, watch};

const CHUNK_ROWS: usize = 7;

/// A cleaned row of its own.
#[derive(Debug, Clone)]
pub(crate) enum OwnedPost {
    Pin(Pin<'static>),
    Geo(Geo<'static>),
    User(User<'static>),
}

/// A row with where it came from.
#[derive(Debug, Clone)]
pub(crate) struct OwnedRow {
    pub(crate) lineage: Lineage,
    pub(crate) post: OwnedPost,
}

impl OwnedRow {
    /// The relation of the catalog, the key and all columns.
    pub(crate) fn catalog_row(&self) -> (usize, u64, Row) {
        let columns = |row: &dyn CatalogRow, count| (0..count).map(|column| row.value(&self.lineage, column)).collect();
        match &self.post {
            OwnedPost::Pin(pin) => (0, pin.ind, columns(pin, 13)),
            OwnedPost::Geo(geo) => (1, geo.ind, columns(geo, 6)),
            OwnedPost::User(user) => (2, user.ind, columns(user, 6)),
        }
    }
}

fn owned(text: &Option<Cow<'_, str>>) -> Option<Cow<'static, str>> {
    text.as_ref().map(|text| Cow::Owned(text.clone().into_owned()))
}

/// Collects rows.
#[derive(Debug, Default)]
pub(crate) struct MemoryEncoder(pub(crate) Vec<OwnedRow>);

impl RowSink for MemoryEncoder {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        let pin = Pin {
            ind: row.ind,
            unique_id: owned(&row.unique_id),
            title: owned(&row.title),
            description: owned(&row.description),
            follower_count: row.follower_count,
            poster_name: owned(&row.poster_name),
            tag_list: owned(&row.tag_list),
            is_image_or_video: owned(&row.is_image_or_video),
            image_src: owned(&row.image_src),
            save_location: owned(&row.save_location),
            category: owned(&row.category),
        };
        self.0.push(OwnedRow { lineage, post: OwnedPost::Pin(pin) });
    }
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        let geo = Geo { ind: row.ind, country: owned(&row.country), ..*row };
        self.0.push(OwnedRow { lineage, post: OwnedPost::Geo(geo) });
    }
    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        let user = User { ind: row.ind, user_name: owned(&row.user_name), ..*row };
        self.0.push(OwnedRow { lineage, post: OwnedPost::User(user) });
    }
    fn rejected(&mut self, lineage: Lineage, _: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        panic!("{lineage:?} is rejected: {rejection:?}: {}", String::from_utf8_lossy(payload));
    }
}

impl RowEncoder for MemoryEncoder {
    type Batches = Vec<OwnedRow>;
    fn cut(&mut self) -> Vec<OwnedRow> {
        std::mem::take(&mut self.0)
    }
}

struct MemoryChunk(Vec<OwnedRow>);

impl StoredChunk for MemoryChunk {
    fn replay(&self, rows: &mut dyn RowSink) {
        for OwnedRow { lineage, post } in &self.0 {
            match post {
                OwnedPost::Pin(pin) => rows.pin(*lineage, pin),
                OwnedPost::Geo(geo) => rows.geo(*lineage, geo),
                OwnedPost::User(user) => rows.user(*lineage, user),
            }
        }
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn text_bytes(&self) -> usize {
        0
    }
}

/// What goes wrong with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SnapshotFault {
    MissingFile,
    MissingRows,
    /// It never ends.
    Hangs,
}

/// A sink in memory.
#[derive(Debug, Default)]
pub(crate) struct MemorySink {
    pub(crate) committed: Arc<Mutex<Vec<OwnedRow>>>,
    pub(crate) fault: Option<SnapshotFault>,
    /// How long a commit takes.
    pub(crate) commit_time: Duration,
}

impl MemorySink {
    fn read(&self, fault: Option<SnapshotFault>) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>> {
        let (sender, receiver) = mpsc::channel(1);
        let mut rows = self.committed.lock().clone();
        // Rows come in no particular order.
        rows.reverse();
        tokio::spawn(async move {
            let chunks = rows.chunks(CHUNK_ROWS).map(<[_]>::to_vec).enumerate();
            for (number, chunk) in chunks {
                let chunk: Result<Box<dyn StoredChunk>, _> = match fault.filter(|_| number == 1) {
                    None => Ok(Box::new(MemoryChunk(chunk))),
                    Some(SnapshotFault::MissingFile) => Err(SinkError::Failed("file 7 is gone".into())),
                    Some(SnapshotFault::MissingRows) => return,
                    Some(SnapshotFault::Hangs) => std::future::pending().await,
                };
                if sender.send(chunk).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

impl WindowSink for MemorySink {
    type Encoder = MemoryEncoder;
    fn encoder(&self) -> Option<MemoryEncoder> {
        Some(MemoryEncoder::default())
    }
    fn read_back(
        &self,
        _: DuplicatePolicy,
        _: &ReadColumns,
    ) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>> {
        self.read(None)
    }
    fn snapshot(&self, _: DuplicatePolicy, _: &ReadColumns) -> StoredSnapshot {
        let rows = self.committed.lock().len() as u64;
        StoredSnapshot { rows, chunks: self.read(self.fault) }
    }
    fn paused(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }
    fn tables(&self) -> watch::Receiver<Vec<TableStatus>> {
        watch::channel(Vec::new()).1
    }
    async fn commit(&mut self, window: Window<Vec<OwnedRow>>) -> Result<(), SinkError> {
        tokio::time::sleep(self.commit_time).await;
        self.committed.lock().extend(window.batches.into_iter().flatten());
        Ok(())
    }
    async fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
