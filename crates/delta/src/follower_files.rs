//! The data files of a process that does not commit: a follower of a cluster. The leader opens, claims and commits the
//! tables, and names these files.

use futures::future::try_join_all;
use tokio::sync::watch;

use super::encode::{DeltaEncoder, EncodedBatches};
use super::error::DeltaError;
use super::file::Compression;
use super::file_put::FilePut;
use super::group::FileFormat;
use super::input::FileAt;
use super::law;
use super::log::TableLog;
use super::rows::{self, ReadPurpose};
use super::schema::Table;
use super::sink::forward_chunks;
use pinflow_connect::sink::{FileSink, ReadBackShare, SinkError, StoredFile, StoredShare, WrittenFile};
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::ReadColumns;
use pinflow_storage::{Location, StallStatus};

/// A follower does not read the logs of the tables.
const UNKNOWN_VERSION: u64 = 0;

/// Writes data files into tables that another process has opened.
pub struct FollowerFiles {
    tables: Vec<(TableLog, FileFormat)>,
    compression: Compression,
    stalls: StallStatus,
}

impl FollowerFiles {
    /// Files of the tables in `root`.
    ///
    /// # Errors
    /// If the location has no absolute name.
    pub fn new(root: &Location, compression: Compression, stalls: StallStatus) -> Result<FollowerFiles, DeltaError> {
        let table = |table: Table| Ok((TableLog::new(&root.join(table.name()))?, FileFormat::new(table, compression)));
        let tables = Table::ALL.into_iter().map(table).collect::<Result<_, DeltaError>>()?;
        Ok(FollowerFiles { tables, compression, stalls })
    }

    async fn write_tables(&self, mut batches: Vec<EncodedBatches>) -> Result<Vec<WrittenFile>, DeltaError> {
        let writes = self.tables.iter().map(|(log, format)| {
            let table = format.table;
            let encoded = batches.iter_mut().filter_map(|worker| worker.take_group(table)).collect();
            let put = FilePut { table, log, stalls: &self.stalls };
            put.write_file(format, UNKNOWN_VERSION, encoded)
        });
        let files = try_join_all(writes.collect::<Vec<_>>()).await?;
        Ok(files.into_iter().flatten().collect())
    }
}

impl FileSink for FollowerFiles {
    type Encoder = DeltaEncoder;

    fn encoder(&self) -> Option<DeltaEncoder> {
        Some(DeltaEncoder::new(self.compression))
    }

    fn paused(&self) -> watch::Receiver<Option<String>> {
        self.stalls.subscribe()
    }

    fn read_share(&self, share: StoredShare, duplicates: DuplicatePolicy, columns: &ReadColumns) -> ReadBackShare {
        let StoredShare { files, limits } = share;
        let file_at = |StoredFile { table, name }: StoredFile| {
            let (log, format) = self.tables.iter().find(|(_, format)| format.table.name() == table)?;
            Some((format.table, FileAt::new(log, &name)))
        };
        // A file of no table would be missing in the sum of rows that the leader compares.
        let files = files.into_iter().filter_map(file_at).collect();
        let chunks = rows::read_back(files, duplicates, columns, ReadPurpose::Rebuild);
        let (chunks, counts) = law::count_share(chunks, limits);
        ReadBackShare { chunks: forward_chunks(chunks), counts }
    }

    async fn write_files(&mut self, batches: Vec<EncodedBatches>) -> Result<Vec<WrittenFile>, SinkError> {
        Ok(self.write_tables(batches).await?)
    }
}
