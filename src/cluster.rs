//! Runs a pipeline as one process of a cluster: forms the cluster, then leads it or follows.

use std::sync::Arc;
use std::time::Duration;

use pinflow_cluster::{ClusterError, ClusterSecret, ClusterSettings, FormedCluster, derive_hash_seed, form_cluster};
use pinflow_dataflows::hash::share_process_seed;
use pinflow_engine::{
    EngineError, EngineMetrics, Follower, FollowerOutcome, LeaderCluster, LinkToFollower, RunOutcome, RunTotals,
};
use tokio::sync::watch;

use crate::config::{ClusterConfig, ClusterConfigError, Config};
use pinflow_archive::{ArchiveConfig, ArchiveWriter};
use pinflow_connect::sink::{ArchiveOpening, FileSink, NoFiles, RawArchive};
use pinflow_connect::source::SourceError;
use pinflow_connect::source::source_kind::PlannedSource;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_delta::{DeltaError, FollowerFiles};
use pinflow_serving::{HttpError, HttpServer, ServedFollower};
use pinflow_storage::{Location, StallStatus, StorageError};

/// The id of the kernel's boot: the same for all processes of a machine, and unknown elsewhere.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// Why a process cannot take part in its cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterRunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ClusterConfigError),
    /// The cluster cannot be formed.
    #[error(transparent)]
    Forming(#[from] ClusterError),
    /// The url of a folder or bucket is invalid.
    #[error("{0}")]
    Url(String),
    /// A folder or bucket cannot be reached.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The files of the tables cannot be written.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// The HTTP server cannot start.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The operating system does not say which port was bound.
    #[error("[serve] listen")]
    Address(#[source] std::io::Error),
    /// The task that serves metrics panicked.
    #[error("serving panicked: {0}. This is a bug in pinflow")]
    ServingPanicked(String),
    /// A source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The run ended early.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// `pinflow` is part of another program, which cannot be started again as a whole.
    #[error("a pipeline in another program runs in one process; remove [cluster], or use `pinflow run`")]
    Embedded,
}

impl UserError for ClusterRunError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            ClusterRunError::Config(_) | ClusterRunError::Embedded | ClusterRunError::Url(_) => ExitStatus::BadUsage,
            ClusterRunError::Forming(error) => error.exit_code(),
            ClusterRunError::Storage(error) => error.exit_code(),
            ClusterRunError::Delta(error) => error.exit_code(),
            ClusterRunError::Http(error) => error.exit_code(),
            ClusterRunError::Source(error) => error.exit_code(),
            ClusterRunError::Engine(error) => error.exit_code(),
            ClusterRunError::Address(_) | ClusterRunError::ServingPanicked(_) => ExitStatus::Failed,
        }
    }
}

/// Gives this process the hash seed that all processes of the cluster have, so that they send equal keys to the same
/// worker. Called before anything is hashed, and so before the cluster is formed.
///
/// The seed is secret, because a sender who knew it could choose keys that fall into one bucket of a table. It follows
/// from the secret of the cluster. A cluster without one is on one machine, and has the id of the machine's boot instead.
pub(crate) fn share_hash_seed(config: &Config) -> Result<(), ClusterConfigError> {
    let Some(cluster) = config.cluster.as_ref().filter(|cluster| cluster.processes.len() > 1) else { return Ok(()) };
    let secret = cluster.secret.as_ref().map(|secret| secret.read(&config.base)).transpose()?;
    let secret = secret.map(|secret| ClusterSecret::new(secret.expose().as_bytes()));
    let seed = derive_hash_seed(secret.as_ref(), &std::fs::read(BOOT_ID_PATH).unwrap_or_default());
    if let Err(error) = share_process_seed(seed) {
        // The seed of this process would then send rows to other workers than those of the others do.
        return Err(ClusterConfigError::Process(format!("{error}; this is a bug in pinflow")));
    }
    Ok(())
}

/// The part of this process in a run.
pub(crate) enum ClusterRole {
    /// There are no other processes.
    Alone,
    /// This process leads.
    Leader(LeaderCluster),
    /// Another one leads.
    Follower(FollowerCluster),
}

/// A formed cluster in which another process leads.
pub(crate) struct FollowerCluster {
    formed: FormedCluster,
    settings: ClusterSettings,
    /// The sources of which this process reads its share.
    sources: Vec<Box<dyn PlannedSource>>,
}

/// Forms the cluster, if there are several processes. Touches no table.
///
/// # Errors
/// If the settings cannot work, or the process is stopped.
pub(crate) async fn take_role(config: &Config, stop: &watch::Sender<bool>) -> Result<ClusterRole, ClusterRunError> {
    let Some(settings) = config.cluster_settings()? else { return Ok(ClusterRole::Alone) };
    if settings.index > 0 {
        // What it cannot read shows before the others begin.
        let sources = config.plan_sources(settings.index, settings.processes.len()).await?;
        let formed = form_cluster(&settings, stop.subscribe()).await?;
        return Ok(ClusterRole::Follower(FollowerCluster { formed, settings, sources }));
    }
    let mut formed = form_cluster(&settings, stop.subscribe()).await?;
    let silent_max = config.cluster.as_ref().map_or(Duration::MAX, ClusterConfig::silent_max);
    let addresses = settings.processes.iter().map(ToString::to_string).collect();
    let links = formed.take_messages().into_iter().flatten().map(LinkToFollower::new).collect();
    let (until_caught_up, stop) = (config.until_caught_up, stop.clone());
    Ok(ClusterRole::Leader(LeaderCluster { formed, links, addresses, silent_max, until_caught_up, stop }))
}

/// Follows until the leader ends the run.
///
/// # Errors
/// What failed, where, and what to do.
pub(crate) async fn follow(
    config: &Config,
    FollowerCluster { formed, settings, sources }: FollowerCluster,
    stop: watch::Receiver<bool>,
    metrics: Arc<EngineMetrics>,
) -> Result<RunOutcome, ClusterRunError> {
    let leader = settings.processes[0].to_string();
    let (over, is_over) = watch::channel(false);
    let server = match &config.serve {
        None => None,
        Some(serve) => {
            let server = HttpServer::bind(serve, &config.base)?;
            let address = server.local_address().map_err(ClusterRunError::Address)?;
            tracing::info!(%address, "metrics of this process are served over HTTP");
            let served = ServedFollower {
                engine_metrics: Arc::clone(&metrics),
                pipeline: config.pipeline.clone(),
                process: settings.index,
                leader: leader.clone(),
            };
            Some(tokio::spawn(server.serve_follower(served, is_over)))
        }
    };
    let cluster = FollowerCluster { formed, settings, sources };
    let followed = match &config.tables {
        None => follow_with(config, (NoFiles, None), cluster, stop, metrics).await,
        Some(tables) => {
            let root = tables.root(&config.base).map_err(ClusterRunError::Url)?;
            let root = Location::connect(&root, &config.objects).await?;
            let stalls = StallStatus::default();
            let files = FollowerFiles::new(&root, tables.compression, stalls.clone())?;
            let archive = match &config.archive {
                None => None,
                Some(archive) => Some(prepare_archive(archive, config, stalls).await?),
            };
            follow_with(config, (files, archive), cluster, stop, metrics).await
        }
    };
    over.send_replace(true);
    if let Some(server) = server {
        server.await.map_err(|panic| ClusterRunError::ServingPanicked(panic.to_string()))?;
    }
    followed
}

/// The archive for what a follower reads. It is opened when there are messages for it.
async fn prepare_archive(
    archive: &ArchiveConfig,
    config: &Config,
    stalls: StallStatus,
) -> Result<ArchiveOpening, ClusterRunError> {
    let root = archive.location(&config.base).map_err(ClusterRunError::Url)?;
    let (archive, place) = (archive.clone(), Location::connect(&root, &config.objects).await?);
    Ok(Box::pin(async move {
        let writer: Box<dyn RawArchive> = Box::new(ArchiveWriter::open(archive, &place, stalls).await?);
        Ok(writer)
    }))
}

async fn follow_with<F: FileSink>(
    config: &Config,
    (sink, archive): (F, Option<ArchiveOpening>),
    FollowerCluster { mut formed, settings, sources }: FollowerCluster,
    stop: watch::Receiver<bool>,
    metrics: Arc<EngineMetrics>,
) -> Result<RunOutcome, ClusterRunError> {
    let link = formed.take_messages().into_iter().next().flatten().expect("a follower is connected to the leader");
    let follower = Follower {
        settings: config.engine_settings(config.question_set()),
        sink,
        archive,
        process: settings.index,
        sources,
        formed,
        link,
        leader: settings.processes[0].to_string(),
        silent_max: config.cluster.as_ref().map_or(Duration::MAX, ClusterConfig::silent_max),
        stop: stop.clone(),
        metrics: Arc::clone(&metrics),
    };
    let FollowerOutcome { stopped, rows, ended_by_leader } = follower.run().await?;
    let counts = metrics.counts.lock().clone();
    let totals = RunTotals { rows, rejected: metrics.rejected.load(std::sync::atomic::Ordering::Relaxed), counts };
    let epoch = metrics.epoch.load(std::sync::atomic::Ordering::Relaxed);
    Ok(RunOutcome { totals, stopped, epoch, stopped_by_peer: ended_by_leader })
}
