//! Storage errors at every call in turn: nothing is lost or repeated.

use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::stream::BoxStream;
use pinflow_storage::FsyncStore;
use tokio::sync::Notify;

use super::model::{ModelEngine, assert_every_row_once, partitions, run_rounds};

/// The fault of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InjectedFault {
    /// Stores nothing and returns an error.
    Refused,
    /// Stores, and then returns an error.
    AnswerLost,
    /// Panics without storing.
    PanicBefore,
    /// Stores and panics.
    PanicAfter,
    /// Stores nothing and never returns. The process dies meanwhile.
    DiesBefore,
    /// Stores and never returns. The process dies meanwhile.
    DiesAfter,
}

/// The local disk, where puts number `first`..`first + count` fail.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: FsyncStore,
    fault: InjectedFault,
    wrong: Range<usize>,
    puts: AtomicUsize,
    died: Arc<Notify>,
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl FaultyStore {
    fn new(fault: InjectedFault, wrong: Range<usize>) -> FaultyStore {
        FaultyStore { inner: FsyncStore::default(), fault, wrong, puts: AtomicUsize::new(0), died: Arc::default() }
    }
}

fn disk_full_error() -> Error {
    Error::Generic { store: "Faulty", source: std::io::Error::from(std::io::ErrorKind::StorageFull).into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let number = self.puts.fetch_add(1, Ordering::SeqCst);
        if !self.wrong.contains(&number) {
            return self.inner.put_opts(location, payload, opts).await;
        }
        if matches!(self.fault, InjectedFault::AnswerLost | InjectedFault::PanicAfter | InjectedFault::DiesAfter) {
            self.inner.put_opts(location, payload, opts).await?;
        }
        match self.fault {
            InjectedFault::Refused | InjectedFault::AnswerLost => Err(disk_full_error()),
            InjectedFault::PanicBefore | InjectedFault::PanicAfter => panic!("as object_store does on a full disk"),
            InjectedFault::DiesBefore | InjectedFault::DiesAfter => {
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn put_multipart_opts(&self, at: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

const RECORDS: u64 = 30;
const RECORDS_PER_WINDOW: u64 = 12;

/// Each fault at each put from `first` on.
async fn faults_at_puts(faults: &[InjectedFault], first: usize) -> Vec<(InjectedFault, usize)> {
    let puts = puts_of_a_run().await;
    faults.iter().flat_map(|fault| (first..puts).map(|put| (*fault, put))).collect()
}

/// Number of puts of a complete run: creation, fence, files and commits.
async fn puts_of_a_run() -> usize {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(FaultyStore::new(InjectedFault::Refused, 0..0));
    let mut engine = ModelEngine::start_on(root.path(), &partitions(RECORDS), store.clone()).await.unwrap();
    engine.run(RECORDS, RECORDS_PER_WINDOW).await.unwrap();
    store.puts.load(Ordering::SeqCst)
}

/// Runs until the store dies or the run ends, like a process that may be killed.
async fn run_until_death(root: &FilePath, store: &Arc<FaultyStore>, verdict: u64) -> bool {
    let run = async {
        let mut engine = ModelEngine::start_on(root, &partitions(RECORDS), store.clone()).await.unwrap();
        engine.verdict = verdict;
        engine.run(RECORDS, RECORDS_PER_WINDOW).await.unwrap();
    };
    tokio::select! {
        () = run => false,
        () = store.died.notified() => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_that_dies_at_any_put_loses_and_repeats_nothing() {
    let faults = faults_at_puts(&[InjectedFault::DiesBefore, InjectedFault::DiesAfter], 0).await;
    let deaths = run_rounds(faults, async |(fault, put)| {
        let root = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore::new(fault, put..put + 1));
        let mut deaths = usize::from(run_until_death(root.path(), &store, 0).await);
        // The process dies again while it recovers.
        let store = Arc::new(FaultyStore::new(fault, 6..7));
        deaths += usize::from(run_until_death(root.path(), &store, 0).await);
        let mut engine = ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
        engine.run(RECORDS, RECORDS_PER_WINDOW + 1).await.unwrap();
        assert_every_row_once(root.path(), &partitions(RECORDS), RECORDS).await;
        deaths
    });
    let deaths: usize = deaths.await.into_iter().sum();
    assert!(deaths > 100, "{deaths}");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_with_other_parsing_rules_stores_each_row_once() {
    let faults = faults_at_puts(&[InjectedFault::DiesAfter], 0).await;
    run_rounds(faults, async |(fault, put)| {
        let root = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore::new(fault, put..put + 1));
        run_until_death(root.path(), &store, 0).await;
        let store = Arc::new(FaultyStore::new(InjectedFault::DiesAfter, 9..10));
        run_until_death(root.path(), &store, 1).await;
        let mut engine = ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
        engine.run(RECORDS, RECORDS_PER_WINDOW).await.unwrap();
        let found = super::model::read_rows(root.path()).await;
        let expected = super::model::expected(&partitions(RECORDS), RECORDS);
        assert!(found.keys().eq(expected.keys()));
        assert!(found.values().all(|tables| tables.len() == 1), "{found:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_with_unknown_outcome_is_resolved_by_reading_the_log() {
    // Earlier puts are creation and fence. Their failure ends the start, and an operator repeats it.
    let first = 8;
    let faults =
        [InjectedFault::Refused, InjectedFault::AnswerLost, InjectedFault::PanicBefore, InjectedFault::PanicAfter];
    run_rounds(faults_at_puts(&faults, first).await, async |(fault, put)| {
        let root = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore::new(fault, put..put + 2));
        let mut engine = ModelEngine::start_on(root.path(), &partitions(RECORDS), store).await.unwrap();
        engine.run(RECORDS, RECORDS_PER_WINDOW).await.unwrap();
        assert_every_row_once(root.path(), &partitions(RECORDS), RECORDS).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_reported_and_retried() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(FaultyStore::new(InjectedFault::Refused, 10..14));
    let mut engine = ModelEngine::start_on(root.path(), &partitions(RECORDS), store).await.unwrap();
    let mut paused = engine.tables.paused();
    let run = async move { engine.run(RECORDS, RECORDS_PER_WINDOW).await };
    let said = async move {
        let said = paused.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        paused.wait_for(Option::is_none).await.unwrap();
        said
    };
    let (run, said) = tokio::join!(run, said);
    run.unwrap();
    assert!(said.contains("free some space"), "{said}");
    assert_every_row_once(root.path(), &partitions(RECORDS), RECORDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_that_cannot_commit_its_fence_reports_the_cause() {
    let root = tempfile::tempdir().unwrap();
    ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
    let store = Arc::new(FaultyStore::new(InjectedFault::Refused, 0..100));
    let error = ModelEngine::start_on(root.path(), &partitions(RECORDS), store).await.err().unwrap();
    assert!(error.to_string().starts_with("claim "), "{error}");
    // The same for a put that was stored.
    let store = Arc::new(FaultyStore::new(InjectedFault::AnswerLost, 0..100));
    ModelEngine::start_on(root.path(), &partitions(RECORDS), store).await.map(drop).unwrap();
}
