//! Opens the four tables: finds or creates them, checks that they belong to the pipeline, and claims them.
//!
//! Nothing is written before all four tables were checked. With [`ClaimPolicy::AtOpen`] all four are claimed before a
//! position is read, so that no older writer can move a position afterwards.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake::kernel::transaction::CommitProperties;
use deltalake::logstore::object_store::ObjectStore;
use deltalake::logstore::object_store::limit::LimitStore;
use deltalake::logstore::object_store::prefix::PrefixStore;
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use deltalake::operations::create::CreateBuilder;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use url::Url;

use super::TablesSettings;
use super::active::ActiveRows;
use super::claim::{self, ClaimPolicy};
use super::error::DeltaError;
use super::failpoints;
use super::input::FileAt;
use super::ledger::{PositionLedger, TxnIds, WriterIdentity};
use super::log::TableLog;
use super::rows;
use super::schema::Table;
use super::writer::{TableWriter, check_metadata, check_protocol};
use pinflow_storage::{LocationEntries, create_folder};

/// The table property that names the pipeline.
pub(crate) const PIPELINE_PROPERTY: &str = "pinflow.pipeline";
/// The table property with the version of what pinflow stores in a table: columns, positions, and properties. A table
/// without it has version 1.
pub(crate) const FORMAT_PROPERTY: &str = "pinflow.format";
/// The version that this program writes, and the latest that it reads.
pub(crate) const TABLE_FORMAT: u32 = 1;
/// The most concurrent requests of one handle. The library would request a hundred commits at once, which on a disk
/// starts a hundred threads that keep their memory.
const MAX_CONCURRENT_REQUESTS: usize = 16;

/// A data file of a table.
#[derive(Debug, Clone)]
pub(crate) struct ActiveFile {
    pub(crate) at: FileAt,
    pub(crate) bytes: u64,
    /// The time of its writing according to the commit that added it, Unix milliseconds.
    pub(crate) written_ms: i64,
    /// The number of rows; `None` if another engine wrote no statistics.
    pub(crate) rows: Option<u64>,
    /// The statistics from the log.
    pub(crate) stats: Option<String>,
}

/// A table at one version.
pub(crate) struct LoadedTable {
    pub(crate) handle: DeltaTable,
    pub(crate) version: u64,
    pub(crate) ledger: PositionLedger,
    pub(crate) digest: Option<super::log::CommitDigest>,
    pub(crate) pipeline: Option<String>,
}

/// An opened table with its files at that time.
pub(crate) struct OpenedTable {
    pub(crate) writer: TableWriter,
    pub(crate) files: Vec<ActiveFile>,
}

/// Opens all four tables, in the order of [`Table::ALL`].
pub(crate) async fn open_tables(settings: &TablesSettings) -> Result<Vec<OpenedTable>, DeltaError> {
    let root = settings.root.prepare_for_writing().await?;
    let ids = Arc::new(TxnIds::new(&settings.pipeline));
    let mut found = Vec::new();
    for table in Table::ALL {
        let log = TableLog::new(&root.join(table.name()))?;
        let loaded = find_table(&log, table, &settings.pipeline, &ids).await?;
        found.push((table, log, loaded));
    }
    check_sibling_tables(&found)?;
    let mut opened = Vec::new();
    for (table, log, loaded) in found {
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => create_table(&log, table, &settings.pipeline, &ids).await?,
        };
        opened.push(into_writer(table, log, loaded, settings, &ids));
    }
    if settings.claim == ClaimPolicy::AtOpen {
        claim::claim_tables(opened.iter_mut().map(|(writer, _)| writer)).await?;
    }
    let mut tables = Vec::new();
    for (mut writer, mut handle) in opened {
        // Read up to the claim: an older writer cannot commit after it.
        handle.update_incremental(Some(writer.version)).await.map_err(library_error("read", &writer.log))?;
        let mut files = active_files(&handle, &writer.log)?;
        for file in files.iter_mut().filter(|file| file.rows.is_none()) {
            file.rows = Some(rows::count_rows(file.at.clone()).await?);
        }
        let rows: HashMap<_, _> = files.iter().map(|file| (&file.at.path, file.rows.unwrap_or(0))).collect();
        let oldest_first = rows::newest_first(&files).into_iter().rev().map(|file| file.path);
        let with_rows = oldest_first.map(|path| (path.clone(), rows.get(&path).copied().unwrap_or(0)));
        writer.active = Some(ActiveRows::new(with_rows));
        tables.push(OpenedTable { files, writer });
    }
    Ok(tables)
}

fn into_writer(
    table: Table,
    log: TableLog,
    loaded: LoadedTable,
    settings: &TablesSettings,
    ids: &Arc<TxnIds>,
) -> (TableWriter, DeltaTable) {
    let id = loaded.handle.snapshot().map(|snapshot| snapshot.metadata().id().to_owned()).unwrap_or_default();
    let writer = TableWriter {
        table,
        log,
        ids: ids.clone(),
        pipeline: settings.pipeline.clone(),
        owner: WriterIdentity { incarnation: 0, nonce: 0 },
        stalls: settings.stalls.clone(),
        version: loaded.version,
        digest: loaded.digest,
        id,
        ledger: loaded.ledger,
        active: None,
        foreign_compaction: None,
    };
    (writer, loaded.handle)
}

pub(crate) fn library_error(what: &'static str, log: &TableLog) -> impl FnOnce(DeltaTableError) -> DeltaError {
    let path = log.folder.clone();
    move |cause| DeltaError::Library { what, path, cause: Box::new(cause) }
}

/// Loads and checks a table; `None` if its folder is empty.
async fn find_table(
    log: &TableLog,
    table: Table,
    pipeline: &str,
    ids: &TxnIds,
) -> Result<Option<LoadedTable>, DeltaError> {
    let Some(version) = log.newest_version().await? else {
        refuse_foreign(log).await?;
        return Ok(None);
    };
    let loaded = load_table(log, table, version, ids).await?;
    let path = || log.folder.clone();
    match &loaded.pipeline {
        Some(theirs) if theirs == pipeline => {}
        Some(theirs) => {
            return Err(DeltaError::Pipeline { path: path(), theirs: theirs.clone(), ours: pipeline.to_owned() });
        }
        None => {
            return Err(DeltaError::Foreign {
                path: path(),
                what: format!("a Delta table without {PIPELINE_PROPERTY}"),
            });
        }
    }
    let files = active_files(&loaded.handle, log)?;
    if loaded.ledger.is_empty() && files.iter().any(|file| file.rows != Some(0)) {
        return Err(DeltaError::NoPositions { path: path() });
    }
    Ok(Some(loaded))
}

/// Loads a table as of a version, and checks its protocol, columns and properties.
pub(crate) async fn load_table(
    log: &TableLog,
    table: Table,
    version: u64,
    ids: &TxnIds,
) -> Result<LoadedTable, DeltaError> {
    // First, because these errors name the file and a hint, and those of the library do not.
    let (txns, digest) = log.read_txns(version).await?;
    let mut handle = table_builder(log)?.build().map_err(library_error("open", log))?;
    handle.load_version(version).await.map_err(library_error("open", log))?;
    let snapshot = handle.snapshot().map_err(library_error("open", log))?;
    let protocol = snapshot.protocol();
    check_protocol(log, protocol.min_reader_version().into(), protocol.min_writer_version().into())?;
    let metadata = snapshot.metadata();
    let schema = metadata.parse_schema().map_err(|error| library_error("read the schema of", log)(error.into()))?;
    let properties = metadata.configuration();
    check_format(log, properties)?;
    let names = properties.keys().map(String::as_str);
    check_metadata(log, table, &schema, metadata.partition_columns(), names)?;
    let pipeline = properties.get(PIPELINE_PROPERTY).cloned();
    let mut ledger = PositionLedger::default();
    for txn in txns {
        ids.apply_txn(&mut ledger, &txn.app_id, txn.version).map_err(|error| DeltaError::Position {
            path: log.folder.clone(),
            key: error.key,
            what: error.what,
        })?;
    }
    Ok(LoadedTable { handle, version, ledger, digest, pipeline })
}

/// The properties of a new table of a pipeline.
pub(crate) fn table_properties(pipeline: &str) -> [(String, Option<String>); 2] {
    [
        (PIPELINE_PROPERTY.to_owned(), Some(pipeline.to_owned())),
        (FORMAT_PROPERTY.to_owned(), Some(TABLE_FORMAT.to_string())),
    ]
}

/// Refuses a table that a later pinflow has written in another format.
pub(crate) fn check_format(log: &TableLog, properties: &HashMap<String, String>) -> Result<(), DeltaError> {
    match properties.get(FORMAT_PROPERTY) {
        None => Ok(()),
        Some(format) if format.parse().is_ok_and(|format: u32| format <= TABLE_FORMAT) => Ok(()),
        Some(format) => Err(DeltaError::Format { path: log.folder.clone(), format: format.clone() }),
    }
}

/// The builder with which the library opens a table.
///
/// On disk, the library sees the table as the root of a store with the URL `file:///`, and never the name of the
/// folder. It would percent-decode the name, and open another folder. In a bucket, names are limited to characters that
/// URLs do not encode.
pub(crate) fn table_builder(log: &TableLog) -> Result<DeltaTableBuilder, DeltaError> {
    // Each handle has its own limit, so that open streams of one handle never block another.
    let (store, url): (Arc<dyn ObjectStore>, Option<Url>) = match log.place().bucket_url() {
        None => {
            let of_table = PrefixStore::new(Arc::clone(log.store()), log.file_location(""));
            (Arc::new(LimitStore::new(of_table, MAX_CONCURRENT_REQUESTS)), Url::parse("file:///").ok())
        }
        Some(url) => {
            register_bucket_scheme(&url);
            (Arc::new(LimitStore::new(Arc::clone(log.store()), MAX_CONCURRENT_REQUESTS)), Some(url))
        }
    };
    let unnamed = || DeltaError::Foreign { path: log.folder.clone(), what: "a path that no URL can name".to_owned() };
    let url = url.ok_or_else(unnamed)?;
    let builder = DeltaTableBuilder::from_url(url.clone()).map_err(library_error("open", log))?;
    Ok(builder.with_storage_backend(store, url))
}

/// Registers the scheme of a bucket with the library: commits are put if absent, as on disk.
fn register_bucket_scheme(url: &Url) {
    #[derive(Debug)]
    struct BucketLogStoreFactory;
    impl LogStoreFactory for BucketLogStoreFactory {
        fn with_options(
            &self,
            prefixed: ObjectStoreRef,
            root: ObjectStoreRef,
            location: &Url,
            options: &StorageConfig,
        ) -> deltalake::DeltaResult<Arc<dyn LogStore>> {
            Ok(default_logstore(prefixed, root, location, options))
        }
    }
    if let Ok(scheme) = Url::parse(&format!("{}://", url.scheme())) {
        logstore_factories().entry(scheme).or_insert_with(|| Arc::new(BucketLogStoreFactory));
    }
}

/// Creates a table's folder durably. A bucket has no folders.
pub(crate) fn create_table_folder(log: &TableLog) -> Result<(), DeltaError> {
    let Some(folder) = log.place().local_folder() else { return Ok(()) };
    create_folder(folder).map_err(|cause| DeltaError::Disk { what: "create", path: folder.to_owned(), cause })
}

/// The data files of a table's loaded version.
pub(crate) fn active_files(handle: &DeltaTable, log: &TableLog) -> Result<Vec<ActiveFile>, DeltaError> {
    let snapshot = handle.snapshot().map_err(library_error("read", log))?;
    let mut files = Vec::new();
    for view in snapshot.log_data().iter() {
        let name = view.path().into_owned();
        if name.contains("://") || name.starts_with('/') {
            let what = format!("{name} is outside of the table's folder");
            return Err(DeltaError::Foreign { path: log.folder.clone(), what });
        }
        files.push(ActiveFile {
            at: FileAt::new(log, &name),
            bytes: u64::try_from(view.size()).unwrap_or(0),
            written_ms: view.modification_time(),
            rows: view.num_records().map(|rows| rows as u64),
            stats: view.stats(),
        });
    }
    Ok(files)
}

/// Refuses a folder without commits that contains other files. An empty `_delta_log` of a run that died is allowed.
async fn refuse_foreign(log: &TableLog) -> Result<(), DeltaError> {
    let LocationEntries { files, folders } = log.place().list_entries().await?;
    let mut names = files.into_iter().map(|(name, _)| name).chain(folders);
    match names.find(|name| name != "_delta_log") {
        Some(what) => Err(DeltaError::Foreign { path: log.folder.clone(), what }),
        None => Ok(()),
    }
}

/// Refuses to create a missing table beside existing ones: its rows would be lost silently.
fn check_sibling_tables(found: &[(Table, TableLog, Option<LoadedTable>)]) -> Result<(), DeltaError> {
    let written = found.iter().any(|(_, _, loaded)| loaded.as_ref().is_some_and(|loaded| !loaded.ledger.is_empty()));
    let unowned = |loaded: &Option<LoadedTable>| loaded.as_ref().is_none_or(|loaded| loaded.ledger.owner.is_none());
    match found.iter().find(|(_, _, loaded)| unowned(loaded)) {
        Some((_, log, _)) if written => Err(DeltaError::Missing { path: log.folder.clone() }),
        _ => Ok(()),
    }
}

async fn create_table(log: &TableLog, table: Table, pipeline: &str, ids: &TxnIds) -> Result<LoadedTable, DeltaError> {
    let point = |step| {
        let hit = failpoints::hit(table.name(), step);
        hit.map_err(|cause| DeltaError::Disk { what: "create", path: log.folder.clone(), cause })
    };
    point("before_create")?;
    create_table_folder(log)?;
    let created = CreateBuilder::new()
        .with_log_store(table_builder(log)?.build_storage().map_err(library_error("create", log))?)
        .with_table_name(table.name())
        .with_columns(table.delta_fields())
        .with_raise_if_key_not_exists(false)
        .with_configuration(table_properties(pipeline))
        // With retries, the loser of two concurrent creations would replace the metadata of the winner.
        .with_commit_properties(CommitProperties::default().with_max_retries(0))
        .await;
    point("after_create")?;
    // The log decides whether the table exists, not the result of the call.
    match (find_table(log, table, pipeline, ids).await?, created) {
        (Some(loaded), _) => Ok(loaded),
        (None, Err(cause)) => Err(library_error("create", log)(cause)),
        (None, Ok(_)) => Err(DeltaError::Missing { path: log.folder.clone() }),
    }
}
