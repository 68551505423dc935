//! Wires sources, engine, tables and serving into a run.

mod error;
mod readers;

use std::num::NonZeroU32;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::QuestionSet;
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};

pub use error::RunError;
use readers::ReaderTasks;

use crate::cluster::{ClusterRole, ClusterRunError, follow, take_role};
use crate::config::{Config, TablesConfig};
use crate::live_questions::{EditorSettings, LiveQuestionEditor, load_stored_questions};
use crate::telemetry::ProgressReporter;
use pinflow_archive::ArchiveWriter;
use pinflow_cluster::ClusterError;
use pinflow_connect::sink::{NoTables, RawArchive, ResumeState, WindowSink};
use pinflow_connect::source::SourceContext;
use pinflow_connect::source::source_kind::PlannedSource;
use pinflow_delta::{self as delta, DeltaTables};
use pinflow_engine::{
    EarlyEnd, Engine, EngineError, EngineMetrics, EpochFrame, LeaderCluster, QuestionControl, QuestionRequests,
    RunOutcome, STOP_DEADLINE, wait_for_stop_deadline,
};
use pinflow_serving::{StdoutClosed, StdoutFormat, StdoutSettings, StdoutWriter};
use pinflow_storage::{Location, StallStatus};

/// Blocks queued between the sources and the engine, of a quarter MiB each.
const FEED_BLOCKS: usize = 16;
/// Epochs queued between the engine and serving.
const FRAMES: usize = 64;

/// How long a run waits for the threads of its sources after it has stopped receiving.
const SOURCES_GRACE: Duration = Duration::from_secs(5);

/// Runs a configuration with answers on stdout until its sources end or `stop` becomes true. If answers are served over
/// HTTP, they are served until `stop` becomes true, also after the sources have ended.
///
/// # Errors
/// What failed, where, and what to do. Commits made before stay.
pub async fn run(config: Config, format: StdoutFormat, stop: watch::Sender<bool>) -> Result<RunOutcome, RunError> {
    let finished = OnceLock::new();
    let metrics = Arc::new(EngineMetrics::default());
    // A separate task, because the deadline must pass while this one is busy. It reads what the tables wait for before
    // the run is dropped, because afterwards they wait for nothing.
    let mut deadline = JoinSet::new();
    let (stopped, shown) = (stop.subscribe(), Arc::clone(&metrics));
    deadline.spawn(async move {
        wait_for_stop_deadline(stopped).await;
        shown.paused.get().and_then(|paused| paused.borrow().clone())
    });
    tokio::select! {
        biased;
        outcome = run_to_end(config, format, stop, &finished, metrics) => outcome,
        waits_for = deadline.join_next() => match finished.get() {
            Some(outcome) => {
                tracing::warn!(seconds = STOP_DEADLINE.as_secs(), "stopped before every reader had the last answers");
                Ok(outcome.clone())
            }
            None => {
                let waits_for = waits_for.and_then(Result::ok).flatten();
                Err(EngineError::StopDeadline { limit: STOP_DEADLINE, waits_for }.into())
            }
        }
    }
}

/// Sets `finished` once everything that was read is answered and durable.
async fn run_to_end(
    mut config: Config,
    format: StdoutFormat,
    stop: watch::Sender<bool>,
    finished: &OnceLock<RunOutcome>,
    metrics: Arc<EngineMetrics>,
) -> Result<RunOutcome, RunError> {
    let mut cluster = match take_role(&config, &stop).await {
        Ok(ClusterRole::Alone) => None,
        Ok(ClusterRole::Leader(cluster)) => Some(cluster),
        Ok(ClusterRole::Follower(cluster)) => return Ok(follow(&config, cluster, stop.subscribe(), metrics).await?),
        Err(ClusterRunError::Forming(ClusterError::Stopped)) => return Ok(RunOutcome::stopped_early()),
        Err(error) => return Err(error.into()),
    };
    let (frames, passed) = mpsc::channel(FRAMES);
    let starting = start_readers(&mut config, passed, &metrics, &stop);
    let (readers, to_serve, question_requests) = match unless_ended(&stop.subscribe(), &mut cluster, starting).await {
        Ok(started) => started?,
        Err(ended) => return ended,
    };
    let every = Duration::from_millis(config.output.every_ms);
    let settings = StdoutSettings { format, every, serves: config.serve.is_some() };
    let stdout =
        serve_stdout((settings, config.question_set()), to_serve, stop.clone()).map_err(RunError::StdoutThread)?;
    let progress = ProgressReporter::start(Arc::clone(&metrics), format == StdoutFormat::Tables);
    let until_caught_up = config.until_caught_up;
    let outcome = run_with(config, cluster, (frames, question_requests), stop.subscribe(), metrics).await;
    drop(progress);
    if let Ok(outcome) = &outcome {
        let _ = finished.set(outcome.clone());
        if let Some(url) = readers.url.as_deref().filter(|_| !until_caught_up) {
            serve_until_stopped(url, stop.subscribe()).await;
        }
    }
    let finished_reading = readers.finish().await;
    let served = task::spawn_blocking(move || stdout.join()).await.map_err(serving_panicked)?;
    let served = served.map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        RunError::ServingPanicked(message)
    });
    let outcome = outcome?;
    finished_reading?;
    served?
        .map_err(RunError::Output)?
        .unwrap_or_else(|StdoutClosed| tracing::debug!("stdout was closed by its reader"));
    Ok(outcome)
}

#[allow(clippy::needless_pass_by_value, reason = "what `map_err` calls takes the error")]
fn serving_panicked(panic: JoinError) -> RunError {
    RunError::ServingPanicked(panic.to_string())
}

/// Returns the result of `work`, or that of the run if a stop is requested or a process of the cluster ends first. Only for
/// work before anything is read: aborting it is as safe as a crash at that point.
async fn unless_ended<T>(
    stop: &watch::Receiver<bool>,
    cluster: &mut Option<LeaderCluster>,
    work: impl Future<Output = T>,
) -> Result<T, Result<RunOutcome, RunError>> {
    let mut stop = stop.clone();
    let follower_end = async {
        match cluster {
            Some(cluster) => cluster.wait_for_early_end().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Ok(_) = stop.wait_for(|stop| *stop) => {
            tracing::info!("stopped before anything was read");
            Err(Ok(RunOutcome::stopped_early()))
        }
        ended = follower_end => Err(match ended {
            EarlyEnd::Stopped => Ok(RunOutcome::stopped_early_by_peer()),
            EarlyEnd::Failed(error) => Err(error.into()),
        }),
        done = work => Ok(done),
    }
}

/// Serves the final answers after the sources have ended.
async fn serve_until_stopped(url: &str, mut stop: watch::Receiver<bool>) {
    if !*stop.borrow() {
        tracing::info!(url, "the sources have ended; answers are served until Ctrl-C or SIGTERM");
        // If the sender is gone, no stop can be requested any more.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

type StdoutThread = JoinHandle<std::io::Result<Result<(), StdoutClosed>>>;

/// Writes answers to stdout on a separate thread.
fn serve_stdout(
    (settings, questions): (StdoutSettings, QuestionSet),
    frames: mpsc::Receiver<EpochFrame>,
    stop: watch::Sender<bool>,
) -> std::io::Result<StdoutThread> {
    let stdout = StdoutWriter::new(settings, questions);
    std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        let mut stop = StopUnlessServed { stop, is_served: false };
        let served = stdout.serve(frames);
        stop.is_served = matches!(served, Ok(Ok(())));
        served
    })
}

/// Requests a stop when dropped, unless all answers were written: without a reader of stdout, nobody sees further
/// answers.
struct StopUnlessServed {
    stop: watch::Sender<bool>,
    is_served: bool,
}

impl Drop for StopUnlessServed {
    fn drop(&mut self) {
        if !self.is_served {
            self.stop.send_replace(true);
        }
    }
}

/// Takes up the stored questions, and starts the tasks that read answers besides stdout. Returns the epochs for stdout, and
/// the changes of the questions for the engine.
async fn start_readers(
    config: &mut Config,
    passed: mpsc::Receiver<EpochFrame>,
    metrics: &Arc<EngineMetrics>,
    stop: &watch::Sender<bool>,
) -> Result<(ReaderTasks, mpsc::Receiver<EpochFrame>, QuestionRequests), RunError> {
    let tables = match &config.tables {
        None => None,
        Some(tables) => {
            let root = tables.root(&config.base).map_err(RunError::Url)?;
            Some(Location::connect(&root, &config.objects).await?)
        }
    };
    let invalid = match tables.clone() {
        None => Vec::new(),
        Some(tables) => load_stored_questions(config, tables).await?,
    };
    let answer_tables = match &config.answers.delta {
        None => None,
        Some(answers) => {
            let root = answers.root(&config.base).map_err(RunError::Url)?;
            Some((answers.clone(), Location::connect(&root, &config.objects).await?, config.pipeline.clone()))
        }
    };
    let (control, requests) = QuestionControl::channel();
    let (options, questions) = (config.questions, config.question_set());
    let databases = config.answers.databases().collect();
    let settings = EditorSettings { options, questions, tables, answer_tables, databases, invalid, control };
    let editor = Arc::new(LiveQuestionEditor::new(settings));
    let (readers, to_serve) = ReaderTasks::start(config, passed, metrics, editor, stop).await?;
    Ok((readers, to_serve, requests))
}

/// Runs a configuration inside another program, which takes the passed epochs instead of stdout. It ends with its sources,
/// or once `stop` turns true.
///
/// # Errors
/// What failed, where, and what to do. Committed rows are safe.
pub(crate) async fn run_embedded(
    mut config: Config,
    to_program: SyncSender<EpochFrame>,
    stop_request: watch::Sender<bool>,
) -> Result<RunOutcome, RunError> {
    if config.cluster.as_ref().is_some_and(|cluster| cluster.processes.len() > 1) {
        return Err(ClusterRunError::Embedded.into());
    }
    let metrics = Arc::new(EngineMetrics::default());
    let (frames, passed) = mpsc::channel(FRAMES);
    let stop = stop_request.subscribe();
    let started = start_readers(&mut config, passed, &metrics, &stop_request);
    let (readers, mut to_serve, question_requests) = match unless_ended(&stop, &mut None, started).await {
        Ok(started) => started?,
        Err(ended) => return ended,
    };
    let forwarding = task::spawn_blocking(move || {
        // The program that reads the epochs is gone.
        while let Some(frame) = to_serve.blocking_recv() {
            if to_program.send(frame).is_err() {
                break;
            }
        }
    });
    let outcome = run_with(config, None, (frames, question_requests), stop, metrics).await;
    let finished_reading = readers.finish().await;
    forwarding.await.map_err(serving_panicked)?;
    let outcome = outcome?;
    finished_reading.map(|()| outcome)
}

/// Runs a configuration and hands each passed epoch to `frames`.
async fn run_with(
    config: Config,
    mut cluster: Option<LeaderCluster>,
    to_readers: (mpsc::Sender<EpochFrame>, QuestionRequests),
    stop: watch::Receiver<bool>,
    metrics: Arc<EngineMetrics>,
) -> Result<RunOutcome, RunError> {
    let processes = config.cluster_size();
    let sources = match unless_ended(&stop, &mut cluster, config.plan_sources(0, processes)).await {
        Ok(planned) => planned?,
        Err(ended) => return ended,
    };
    match &config.tables {
        None => {
            let targets = (cluster, NoTables, None);
            start(&config, sources, targets, ResumeState::default(), to_readers, stop, metrics).await
        }
        Some(tables) => {
            let (tables, archive, resume) = match unless_ended(&stop, &mut cluster, open_tables(&config, tables)).await
            {
                Ok(opened) => opened?,
                Err(ended) => return ended,
            };
            start(&config, sources, (cluster, tables, archive), resume, to_readers, stop, metrics).await
        }
    }
}

/// Claims the tables and opens the archive.
async fn open_tables(
    config: &Config,
    tables: &TablesConfig,
) -> Result<(DeltaTables, Option<Box<dyn RawArchive>>, ResumeState), RunError> {
    let tables_url = tables.url.as_str();
    let root = tables.root(&config.base).map_err(RunError::Url)?;
    let root = Location::connect(&root, &config.objects).await?;
    let stalls = StallStatus::default();
    let settings = delta::TablesSettings {
        compression: tables.compression,
        stalls: stalls.clone(),
        compaction: tables.compact.then_some(delta::CompactionPolicy::BACKGROUND),
        keep_hours: NonZeroU32::new(tables.keep_hours),
        keep_files_max: NonZeroU32::new(tables.keep_files_max),
        // A run that is started every minute commits nothing if there are no new records.
        claim: if config.until_caught_up { delta::ClaimPolicy::AtFirstCommit } else { delta::ClaimPolicy::AtOpen },
        ..delta::TablesSettings::new(root, config.pipeline.clone())
    };
    let begun = Instant::now();
    let (tables, resume) = DeltaTables::open(settings).await?;
    tracing::info!(
        tables = tables_url,
        rows = resume.rows,
        partitions = resume.positions.len(),
        read_all_time = resume.prior.read,
        rejected_all_time = resume.prior.rejected,
        seconds = begun.elapsed().as_secs_f64(),
        "the tables are open"
    );
    Ok((tables, open_archive(config, stalls).await?, resume))
}

/// Opens the archive, if one is configured. Called after the tables are claimed, because the claim covers the archive
/// too.
async fn open_archive(config: &Config, stalls: StallStatus) -> Result<Option<Box<dyn RawArchive>>, RunError> {
    let Some(archive) = &config.archive else { return Ok(None) };
    let root = archive.location(&config.base).map_err(RunError::Url)?;
    let place = Location::connect(&root, &config.objects).await?;
    Ok(Some(Box::new(ArchiveWriter::open(archive.clone(), &place, stalls).await?)))
}

async fn start<S: WindowSink>(
    config: &Config,
    sources: Vec<Box<dyn PlannedSource>>,
    (cluster, sink, archive): (Option<LeaderCluster>, S, Option<Box<dyn RawArchive>>),
    mut resume: ResumeState,
    (frames, question_requests): (mpsc::Sender<EpochFrame>, QuestionRequests),
    stop: watch::Receiver<bool>,
    metrics: Arc<EngineMetrics>,
) -> Result<RunOutcome, RunError> {
    // The followers get them, too.
    let positions = if cluster.is_some() { resume.positions.clone() } else { std::mem::take(&mut resume.positions) };
    let (feed, events) = SourceContext::new(FEED_BLOCKS, positions, stop.clone());
    let feed = feed.with_until_caught_up(config.until_caught_up);
    let mut threads = Vec::new();
    for source in sources {
        threads.extend(source.start(&feed)?);
    }
    let version = env!("CARGO_PKG_VERSION");
    let GraphOptions { duplicates, ties, top, median } = config.questions;
    tracing::info!(
        version,
        pipeline = config.pipeline,
        sources = config.sources.len(),
        %duplicates,
        %ties,
        %top,
        %median,
        "sources are started"
    );
    let (durable_frontier, backlogs) = (feed.durable_frontier().clone(), feed.backlog_readers());
    let starts = feed.expected_starts();
    // The engine detects the end of all sources when the last feed is dropped.
    drop(feed);
    let settings = config.engine_settings(config.question_set());
    let engine = Engine {
        settings,
        cluster,
        sink,
        archive,
        resume,
        events,
        backlogs,
        starts,
        durable_frontier,
        question_requests,
        stop,
        frames,
        metrics,
    };
    let outcome = engine.run().await;
    join_sources(threads).await;
    Ok(outcome?)
}

/// Waits for the threads of the sources. Their feed is closed, so each ends at its next block. A thread blocked in a
/// call, for example to unreachable brokers, must not delay the end of the run.
async fn join_sources(threads: Vec<JoinHandle<()>>) {
    let joined = task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
    if tokio::time::timeout(SOURCES_GRACE, joined).await.is_err() {
        tracing::debug!(seconds = SOURCES_GRACE.as_secs(), "a source has not ended; not waiting for it");
    }
}
