//! The worker threads, and their handles in the driver.

use std::sync::{Arc, mpsc as commands};
use std::thread::Thread;

use parking_lot::Mutex;

use pinflow_dataflows::graph;
use timely::communication::Config as Communication;
use tokio::sync::mpsc;

use super::protocol::{EngineEvent, WindowBatches, WorkerCommand};
use super::worker::{self, WorkerInit};
use super::{EngineError, EngineMetrics, EngineSettings};
use pinflow_connect::sink::{Redeliveries, WindowSink};

/// The driver's handle of a worker.
pub(super) struct WorkerHandle {
    commands: commands::Sender<WorkerCommand>,
    /// Known once the worker has started.
    pub(super) thread: Option<Thread>,
}

impl WorkerHandle {
    pub(super) fn send_command(&self, command: WorkerCommand) {
        // A worker that ended has reported why, and that report ends the run.
        let _ = self.commands.send(command);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// Timely runs its own threads. They end when their command channels close.
pub(super) fn start_workers<S: WindowSink>(
    settings: &EngineSettings,
    sink: &S,
    events: &mpsc::UnboundedSender<EngineEvent<WindowBatches<S>>>,
    already: &Arc<Redeliveries>,
    metrics: &Arc<EngineMetrics>,
) -> Result<Vec<WorkerHandle>, EngineError> {
    let mut handles = Vec::new();
    let mut inits = Vec::new();
    for _ in 0..settings.workers {
        let (sender, receiver) = commands::channel();
        handles.push(WorkerHandle { commands: sender, thread: None });
        let already = Arc::clone(already);
        let metrics = Arc::clone(metrics);
        let encoder = sink.encoder();
        inits.push(Some(WorkerInit { commands: receiver, events: events.clone(), encoder, already, metrics }));
    }
    let inits = Mutex::new(inits);
    let mut worker_config = timely::WorkerConfig::default();
    graph::configure(&mut worker_config);
    let config = timely::Config { communication: Communication::Process(settings.workers), worker: worker_config };
    let settings = settings.clone();
    let failed = events.clone();
    std::thread::Builder::new()
        .name("timely".to_owned())
        .spawn(move || {
            let guards = timely::execute(config, move |worker| {
                let init = inits.lock()[worker.index()].take();
                worker::run_worker(worker, init.expect("each worker starts once"), &settings);
            });
            match guards {
                // A worker's panic is caught and reported inside.
                Ok(guards) => drop(guards.join()),
                Err(message) => {
                    let _ = failed.send(EngineEvent::ThreadPanicked { thread: "timely".to_owned(), message });
                }
            }
        })
        .map_err(|cause| EngineError::Panicked { thread: "timely".to_owned(), message: cause.to_string() })?;
    Ok(handles)
}
