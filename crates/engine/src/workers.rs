//! The workers of a run: threads of this process, and those of the followers of a cluster.

use std::sync::{Arc, mpsc as commands};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use parking_lot::Mutex;

use pinflow_cluster::{ClusterMesh, FormedCluster, LostPeer, PeerMonitor};
use pinflow_dataflows::graph;
use pinflow_dataflows::symbol::SymbolSweep;
use timely::WorkerConfig;
use timely::communication::Config as Communication;
use tokio::sync::mpsc;

use super::cluster::RemoteProcess;
use super::protocol::{EngineEvent, GivenWork, WorkerCommand, WorkerQuestionChange};
use super::worker::{self, WorkerInit};
use super::{EngineError, EngineMetrics, EngineSettings};
use pinflow_connect::sink::{Redeliveries, RowEncoder};
use pinflow_core::error_text::error_text;
use pinflow_core::position::{Epoch, PartitionId, Position};

/// How long the end of a run waits for timely to say farewell to the other processes.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// What all workers of a process share.
pub(super) struct WorkerSetup<'a, B> {
    pub(super) settings: &'a EngineSettings,
    pub(super) events: &'a mpsc::UnboundedSender<EngineEvent<B>>,
    pub(super) already: &'a Arc<Redeliveries>,
    pub(super) metrics: &'a Arc<EngineMetrics>,
}

/// The handle of a worker of this process.
struct WorkerHandle {
    commands: commands::Sender<WorkerCommand>,
    /// Known once the worker has started.
    thread: Option<Thread>,
}

/// The workers of this process.
pub(super) struct LocalWorkers {
    handles: Vec<WorkerHandle>,
    /// The thread that waits for them, and for timely's own threads.
    timely: JoinHandle<()>,
    /// The other processes.
    peers: Option<PeerMonitor>,
}

impl LocalWorkers {
    /// Starts one worker for each encoder. Timely runs its own threads. They end when their command channels close.
    pub(super) fn start<E: RowEncoder>(
        setup: &WorkerSetup<'_, E::Batches>,
        encoders: Vec<Option<E>>,
        formed: Option<FormedCluster>,
    ) -> Result<LocalWorkers, EngineError> {
        let WorkerSetup { settings, events, already, metrics } = *setup;
        let (mut handles, mut inits) = (Vec::new(), Vec::new());
        for (index, encoder) in encoders.into_iter().enumerate() {
            let (sender, receiver) = commands::channel();
            handles.push(WorkerHandle { commands: sender, thread: None });
            let (already, metrics) = (Arc::clone(already), Arc::clone(metrics));
            inits.push(Some(WorkerInit {
                index,
                commands: receiver,
                events: events.clone(),
                encoder,
                already,
                metrics,
            }));
        }
        let threads = inits.len();
        let inits = Mutex::new(inits);
        let mut worker_config = WorkerConfig::default();
        graph::configure(&mut worker_config);
        let (run_settings, failed) = (settings.clone(), events.clone());
        // As late as possible: once timely has the connections, only timely can end them.
        let mesh = formed.map(FormedCluster::into_mesh).transpose();
        let mesh = mesh.map_err(|error| EngineError::Cluster(error_text(&error)))?;
        let peers = mesh.as_ref().map(|mesh| mesh.peers.clone());
        if let Some(peers) = peers.clone() {
            let lost = events.clone();
            tokio::spawn(async move {
                let LostPeer { index: process, address, cause } = peers.lost().await;
                let what = cause.to_string();
                // A run that has ended takes no more events.
                let _ = lost.send(EngineEvent::PeerEnded(EngineError::PeerLost { process, address, what }));
            });
        }
        let run_worker = move |worker: &mut timely::worker::Worker| {
            let init = inits.lock()[worker.index() % threads].take();
            worker::run_worker(worker, init.expect("each worker starts once"), &run_settings);
        };
        let timely = std::thread::Builder::new()
            .name("timely".to_owned())
            .spawn(move || {
                if let Err(message) = run_timely(threads, mesh, worker_config, run_worker) {
                    let _ = failed.send(EngineEvent::ThreadPanicked { thread: "timely".to_owned(), message });
                }
            })
            .map_err(|cause| EngineError::Panicked { thread: "timely".to_owned(), message: cause.to_string() })?;
        Ok(LocalWorkers { handles, timely, peers })
    }

    /// Sends a command to a worker.
    pub(super) fn send_command(&self, worker: usize, command: WorkerCommand) {
        let Some(handle) = self.handles.get(worker) else { return };
        // A worker that ended has reported why, and that report ends the run.
        let _ = handle.commands.send(command);
        if let Some(thread) = &handle.thread {
            thread.unpark();
        }
    }

    /// Sends a command to all workers.
    pub(super) fn broadcast(&self, command: impl Fn() -> WorkerCommand) {
        (0..self.handles.len()).for_each(|worker| self.send_command(worker, command()));
    }

    /// Notes that a worker has started, and wakes it for the commands that were sent before its thread was known.
    pub(super) fn set_started(&mut self, worker: usize, thread: Option<Thread>) {
        if let Some(thread) = &thread {
            thread.unpark();
        }
        self.handles[worker].thread = thread;
    }

    fn have_started(&self) -> bool {
        self.handles.iter().all(|handle| handle.thread.is_some())
    }

    /// Ends the workers. In a cluster, waits until the other processes know that this is no loss.
    pub(super) async fn end(self) {
        let LocalWorkers { handles, timely, peers } = self;
        let threads: Vec<_> = handles.into_iter().filter_map(|handle| handle.thread).collect();
        threads.iter().for_each(Thread::unpark);
        if let Some(peers) = peers {
            peers.begin_end();
            let ended = tokio::task::spawn_blocking(move || timely.join());
            if tokio::time::timeout(FAREWELL_TIMEOUT, ended).await.is_err() {
                tracing::debug!("timely has not ended; not waiting for it");
            }
        }
    }
}

/// Runs the workers of this process until they end.
fn run_timely(
    threads: usize,
    mesh: Option<ClusterMesh>,
    worker_config: WorkerConfig,
    run_worker: impl Fn(&mut timely::worker::Worker) + Send + Sync + 'static,
) -> Result<(), String> {
    let guards = match mesh {
        None => {
            let config = timely::Config { communication: Communication::Process(threads), worker: worker_config };
            timely::execute(config, run_worker)
        }
        Some(mesh) => timely::execute::execute_from(mesh.builders, mesh.guard, worker_config, run_worker),
    };
    // A worker's panic is caught and reported inside.
    guards.map(|guards| drop(guards.join()))
}

/// All workers of a run. Those of this process come first.
pub(super) struct WorkerPool {
    local: LocalWorkers,
    remote: Vec<RemoteProcess>,
    /// Workers of the other processes that have started.
    remote_started: usize,
}

impl WorkerPool {
    pub(super) fn new(local: LocalWorkers, remote: Vec<RemoteProcess>) -> WorkerPool {
        WorkerPool { local, remote, remote_started: 0 }
    }

    /// The number of workers of each process.
    fn per_process(&self) -> usize {
        self.local.handles.len()
    }

    /// The number of all workers.
    pub(super) fn count(&self) -> usize {
        self.per_process() * (1 + self.remote.len())
    }

    /// The number of followers.
    pub(super) fn followers(&self) -> usize {
        self.remote.len()
    }

    /// Whether all of them have started.
    pub(super) fn have_started(&self) -> bool {
        self.local.have_started() && self.remote_started == self.per_process() * self.remote.len()
    }

    /// Notes that a worker has started.
    pub(super) fn set_started(&mut self, worker: usize, thread: Option<Thread>) {
        if worker < self.per_process() { self.local.set_started(worker, thread) } else { self.remote_started += 1 }
    }

    /// Gives work to a worker. Rows of the tables are only given to those of this process.
    pub(super) fn give_work(&self, worker: usize, work: GivenWork) {
        let (process, at) = (worker / self.per_process(), worker % self.per_process());
        match (process.checked_sub(1).and_then(|remote| self.remote.get(remote)), work) {
            (Some(remote), GivenWork::Command(WorkerCommand::ReadBlock(block))) => remote.read_block(at, block),
            (Some(remote), GivenWork::HeldBlock) => remote.read_held_block(at),
            (_, GivenWork::Command(command)) => self.local.send_command(at, command),
            (Some(remote), GivenWork::HeldRows) => remote.read_held_rows(at),
            (None, GivenWork::HeldBlock | GivenWork::HeldRows) => unreachable!("only a follower holds blocks and rows"),
        }
    }

    /// Tells the processes that read these partitions how far they are durable.
    pub(super) fn settle(&self, positions: &[(PartitionId, Position)]) {
        for (process, remote) in (1..).zip(&self.remote) {
            let read_there: Vec<_> =
                positions.iter().filter(|(partition, _)| partition.process() == process).copied().collect();
            if !read_there.is_empty() {
                remote.settle(read_there);
            }
        }
    }

    /// Lets all workers change the questions.
    pub(super) fn change_questions(&self, change: &WorkerQuestionChange) {
        self.local.broadcast(|| change.to_command());
        for remote in &self.remote {
            match change {
                WorkerQuestionChange::Add { id, question, with_rows } => remote.add_question(*id, question, *with_rows),
                WorkerQuestionChange::BeginFill { id } => remote.begin_fill(*id),
                WorkerQuestionChange::Drop { id } => remote.drop_question(*id),
            }
        }
    }

    /// Ends an epoch on all workers. `sweep` is the one of this process; the others begin their own.
    pub(super) fn close_epoch(&self, epoch: Epoch, end: &EpochClose) {
        let EpochClose { ends_window, sweep, sweep_demanded, fill_step } = end;
        let (ends_window, fill_step) = (*ends_window, *fill_step);
        for remote in &self.remote {
            remote.close_epoch(epoch, ends_window, *sweep_demanded, fill_step);
        }
        self.local.broadcast(|| WorkerCommand::CloseEpoch { epoch, ends_window, sweep: sweep.clone(), fill_step });
    }

    /// Ends all workers, once everything is durable.
    pub(super) async fn end(self, stopped: bool) {
        self.remote.iter().for_each(|remote| remote.end(stopped));
        self.local.end().await;
    }
}

/// How an epoch is closed.
pub(super) struct EpochClose {
    pub(super) ends_window: bool,
    pub(super) sweep: Option<Arc<SymbolSweep>>,
    pub(super) sweep_demanded: bool,
    pub(super) fill_step: u32,
}
