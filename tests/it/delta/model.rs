//! A model of the engine that writes rows known in advance.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use deltalake::arrow::array::{AsArray, RecordBatch};
use deltalake::arrow::datatypes::Int32Type;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::{DeltaTable, ObjectStore};
use futures::{StreamExt, stream};
use pinflow_connect::sink::{PartitionReached, ResumeState, RowEncoder, RowId, Window};
use pinflow_core::position::{PartitionProgress, ResumeHint};
use pinflow_dataflows::ingest::{RowSink, StreamHint};
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::{Rejection, RejectionReason};
use pinflow_dataflows::symbol::Symbol;
use pinflow_delta::{DeltaError, DeltaTables, EncodedBatches, Table, TablesSettings};
use pinflow_storage::FsyncStore;
use pinflow_testkit::wait_until;
use url::Url;

/// One partition: the records 1..=`records`.
#[derive(Clone)]
pub(crate) struct ModelPartition {
    pub(crate) source: &'static str,
    pub(crate) stream_hint: StreamHint,
    pub(crate) records: u64,
}

pub(crate) fn partitions(records: u64) -> Vec<ModelPartition> {
    let partition = |source, stream_hint| ModelPartition { source, stream_hint, records };
    vec![
        partition("recording/pin.jsonl", StreamHint::Only(Stream::Pin)),
        partition("recording/geo.jsonl", StreamHint::Only(Stream::Geo)),
        partition("recording/all.jsonl", StreamHint::Auto),
    ]
}

/// The table of each row of a record. A `verdict` of 1 is another binary, which cleans some records differently.
fn rows_of(partition: &ModelPartition, position: u64, verdict: u64) -> Vec<Table> {
    let rows = if position.is_multiple_of(5) { 2 } else { 1 };
    let row = |sub: u64| {
        if (position + verdict) % 7 == 3 {
            return Table::Rejected;
        }
        match partition.stream_hint {
            StreamHint::Only(stream) => Table::from(stream),
            StreamHint::Auto => Table::CLEANED[((position + sub) % 3) as usize],
        }
    };
    (0..rows).map(row).collect()
}

fn rows_before(partition: &ModelPartition, next: u64) -> u64 {
    (1..next).map(|position| rows_of(partition, position, 0).len() as u64).sum()
}

/// The position as a small number.
pub(crate) fn number(lineage: Lineage) -> u64 {
    lineage.position.narrow().unwrap()
}

pub(crate) fn append(rows: &mut dyn RowSink, table: Table, lineage: Lineage) {
    let ind = number(lineage) * 10 + u64::from(lineage.sub);
    let text = |what: &str| Some(format!("{what} {}", number(lineage) % 9).into());
    match table {
        Table::Pin => rows.pin(
            lineage,
            &Pin {
                ind,
                unique_id: text("id"),
                title: text("Ünïcödé 𝔱𝔦𝔱𝔩𝔢 \"quoted\" \u{2026}\u{a0}"),
                description: None,
                follower_count: (!ind.is_multiple_of(3)).then_some(i64::try_from(ind).unwrap()),
                poster_name: text("poster"),
                tag_list: text("a,b"),
                is_image_or_video: Some("image".into()),
                image_src: text("https://x/"),
                save_location: text("/data"),
                category: text("category"),
            },
        ),
        Table::Geo => rows.geo(
            lineage,
            &Geo {
                ind,
                country: text("Côte d'Ivoire & (x)"),
                coordinates: (!ind.is_multiple_of(3)).then_some([-89.5, 0.25 * number(lineage) as f64]),
                timestamp: (!ind.is_multiple_of(4)).then_some(1_598_586_767_123_456 + i64::try_from(ind).unwrap()),
            },
        ),
        Table::User => rows.user(
            lineage,
            &User {
                ind,
                user_name: text("Abigail Ali"),
                age: (!ind.is_multiple_of(4)).then_some(20),
                date_joined: Some(-1),
            },
        ),
        Table::Rejected => {
            let rejection = Rejection { reason: RejectionReason::NotJson, detail: format!("byte {ind}") };
            rows.rejected(lineage, None, &rejection, &[0xff, 0, b'x']);
        }
    }
}

pub(crate) fn settings(root: &Path) -> TablesSettings {
    let checkpoint_commits = 4.try_into().unwrap();
    TablesSettings { checkpoint_commits, ..TablesSettings::new(root.to_owned(), "posts".to_owned()) }
}

pub(crate) async fn open(root: &Path) -> Result<(DeltaTables, ResumeState), DeltaError> {
    DeltaTables::open(settings(root)).await
}

/// Reads every partition from its resume position up to `until`, in windows of `step` records.
pub(crate) struct ModelEngine {
    pub(crate) tables: DeltaTables,
    resume: ResumeState,
    partitions: Vec<ModelPartition>,
    pub(crate) verdict: u64,
}

impl ModelEngine {
    pub(crate) async fn start(root: &Path, partitions: &[ModelPartition]) -> Result<ModelEngine, DeltaError> {
        ModelEngine::start_on(root, partitions, Arc::new(FsyncStore::default())).await
    }

    pub(crate) async fn start_on(
        root: &Path,
        partitions: &[ModelPartition],
        store: Arc<dyn ObjectStore>,
    ) -> Result<ModelEngine, DeltaError> {
        let (tables, resume) = DeltaTables::open_on(settings(root), store).await?;
        Ok(ModelEngine { tables, resume, partitions: partitions.to_vec(), verdict: 0 })
    }

    pub(crate) async fn with(
        settings: TablesSettings,
        partitions: &[ModelPartition],
    ) -> Result<ModelEngine, DeltaError> {
        let (tables, resume) = DeltaTables::open(settings).await?;
        Ok(ModelEngine { tables, resume, partitions: partitions.to_vec(), verdict: 0 })
    }

    pub(crate) async fn run(&mut self, until: u64, step: u64) -> Result<(), DeltaError> {
        self.commit_windows(until, step).await?;
        self.tables.finish().await
    }

    /// As [`ModelEngine::run`], and waits for a checkpoint of each of these tables. They are written in the background, at a
    /// low priority. On a busy machine the end of a run does not wait for them long enough.
    pub(crate) async fn run_with_checkpoints(
        &mut self,
        (until, step): (u64, u64),
        root: &Path,
        tables: &[Table],
    ) -> Result<(), DeltaError> {
        self.commit_windows(until, step).await?;
        for table in tables {
            let log = root.join(table.name()).join("_delta_log");
            wait_until("a checkpoint is there", || log.join("_last_checkpoint").exists());
        }
        self.tables.finish().await
    }

    async fn commit_windows(&mut self, until: u64, step: u64) -> Result<(), DeltaError> {
        let mut epoch = 0;
        while let Some(window) = self.window(until, step, epoch) {
            epoch += 1;
            self.tables.commit(window).await?;
        }
        Ok(())
    }

    /// The next window, split over two workers. `None` at the end.
    pub(crate) fn window(&mut self, until: u64, step: u64, epoch: u64) -> Option<Window<EncodedBatches>> {
        let mut workers = [self.tables.encoder(), self.tables.encoder()];
        let mut reached = Vec::new();
        for (number, partition) in self.partitions.iter().enumerate() {
            let end = until.min(partition.records) + 1;
            let from = self.resume.positions.get(partition.source).map_or(1, PartitionProgress::next_number);
            let next = end.min(from + step);
            if next <= from {
                continue;
            }
            for position in from..next {
                for (sub, table) in rows_of(partition, position, self.verdict).into_iter().enumerate() {
                    let source = Symbol::new(partition.source);
                    let sub = u32::try_from(sub).unwrap();
                    let arrived_at = (number == 2).then_some(1_700_000_000_000_000);
                    let lineage = Lineage { arrived_at, source, position: position.into(), sub };
                    if !self.resume.already.contains(&RowId::from(lineage)) {
                        append(&mut workers[number % 2], table, lineage);
                    }
                }
            }
            let rows = rows_before(partition, next);
            let at = PartitionProgress {
                next: next.into(),
                rows,
                fingerprint: next ^ 0x55,
                hint: ResumeHint::ByteOffset(next * 100),
            };
            self.resume.positions.insert(partition.source.to_owned(), at);
            reached.push(PartitionReached {
                key: partition.source.to_owned(),
                source: partition.source.to_owned(),
                stream_hint: partition.stream_hint,
                reached: at,
            });
        }
        let batches = workers.iter_mut().map(RowEncoder::cut).collect();
        (!reached.is_empty()).then_some(Window {
            epoch,
            cut_at: Instant::now(),
            rows: 0,
            batches,
            reached,
            files: Vec::new(),
        })
    }
}

/// Rounds of a test that run at the same time, each in a folder of its own. Most of a round waits: for syncs, and for
/// the pause before a retry.
const CONCURRENT_ROUNDS: usize = 8;

/// Runs a round for each input; what they return, in any order.
pub(crate) async fn run_rounds<T, F: Future>(
    inputs: impl IntoIterator<Item = T>,
    round: impl Fn(T) -> F,
) -> Vec<F::Output> {
    stream::iter(inputs).map(round).buffer_unordered(CONCURRENT_ROUNDS).collect().await
}

pub(crate) async fn handle(folder: &Path) -> DeltaTable {
    deltalake::open_table(Url::from_directory_path(folder).unwrap()).await.unwrap()
}

/// All batches of a table, read without code of the sink.
pub(crate) async fn batches(root: &Path, table: Table) -> Vec<RecordBatch> {
    let folder = root.join(table.name());
    let mut batches = Vec::new();
    for uri in handle(&folder).await.get_file_uris().unwrap() {
        let path = Url::parse(&uri).map_or_else(|_| uri.clone().into(), |url| url.to_file_path().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    batches
}

pub(crate) type FoundRow = BTreeMap<(String, u64, i32), Vec<Table>>;

/// All rows of the four tables by lineage.
pub(crate) async fn read_rows(root: &Path) -> FoundRow {
    let mut found = FoundRow::new();
    for table in Table::ALL {
        for batch in batches(root, table).await {
            let text = |name| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
            let (sources, positions) = (text("_source"), text("_position"));
            let subs = batch.column_by_name("_sub").unwrap().as_primitive::<Int32Type>().clone();
            for row in 0..batch.num_rows() {
                assert_eq!(positions.value(row).len(), 20);
                let position = positions.value(row).parse().unwrap();
                found.entry((sources.value(row).to_owned(), position, subs.value(row))).or_default().push(table);
            }
        }
    }
    found
}

/// The expected rows after all records up to `until` were read.
pub(crate) fn expected(partitions: &[ModelPartition], until: u64) -> FoundRow {
    let mut expected = FoundRow::new();
    for partition in partitions {
        for position in 1..=until.min(partition.records) {
            for (sub, table) in rows_of(partition, position, 0).into_iter().enumerate() {
                let key = (partition.source.to_owned(), position, i32::try_from(sub).unwrap());
                expected.insert(key, vec![table]);
            }
        }
    }
    expected
}

/// Asserts that every row is in its table once, and that the stored positions match.
pub(crate) async fn assert_every_row_once(root: &Path, partitions: &[ModelPartition], until: u64) {
    assert_eq!(read_rows(root).await, expected(partitions, until));
    assert_positions(root, partitions, until).await;
}

/// Asserts the positions that the next start would find.
pub(crate) async fn assert_positions(root: &Path, partitions: &[ModelPartition], until: u64) {
    let (_, resume) = open(root).await.unwrap();
    for partition in partitions {
        let next = until.min(partition.records) + 1;
        let rows = rows_before(partition, next);
        let at = PartitionProgress {
            next: next.into(),
            rows,
            fingerprint: next ^ 0x55,
            hint: ResumeHint::ByteOffset(next * 100),
        };
        assert_eq!(resume.positions.get(partition.source), Some(&at), "{}", partition.source);
    }
    assert!(resume.already.is_empty(), "{:?}", resume.already);
}
