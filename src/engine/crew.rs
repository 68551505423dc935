//! The worker threads, and the conductor's ends of them.

use std::sync::{Arc, Mutex, PoisonError, mpsc as orders};
use std::thread::Thread;

use pinflow_dataflows::graph;
use timely::communication::Config as Communication;
use tokio::sync::mpsc;

use super::committer::Batches;
use super::worker::{self, Order, Post, Report};
use super::{EngineError, Gauges, Settings};
use crate::sinks::{Already, Sink};

/// The conductor's end of a worker.
pub(super) struct WorkerEnd {
    orders: orders::Sender<Order>,
    /// Known once the worker has started.
    pub(super) thread: Option<Thread>,
    /// Bytes handed to it in the open epoch.
    pub(super) bytes: usize,
}

impl WorkerEnd {
    pub(super) fn order(&self, order: Order) {
        // A worker that has gone has reported why; the report ends the run.
        let _ = self.orders.send(order);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// Timely runs its own threads; they end when their orders do.
pub(super) fn start_workers<S: Sink>(
    settings: &Settings,
    sink: &S,
    reports: &mpsc::UnboundedSender<Report<Batches<S>>>,
    already: &Arc<Already>,
    gauges: &Arc<Gauges>,
) -> Result<Vec<WorkerEnd>, EngineError> {
    let mut ends = Vec::new();
    let mut posts = Vec::new();
    for _ in 0..settings.workers {
        let (sender, receiver) = orders::channel();
        ends.push(WorkerEnd { orders: sender, thread: None, bytes: 0 });
        let already = Arc::clone(already);
        let gauges = Arc::clone(gauges);
        posts.push(Some(Post { orders: receiver, reports: reports.clone(), encoder: sink.encoder(), already, gauges }));
    }
    let posts = Mutex::new(posts);
    let mut worker_config = timely::WorkerConfig::default();
    graph::configure(&mut worker_config);
    let config = timely::Config { communication: Communication::Process(settings.workers), worker: worker_config };
    let settings = settings.clone();
    let failed = reports.clone();
    std::thread::Builder::new()
        .name("timely".to_owned())
        .spawn(move || {
            let guards = timely::execute(config, move |worker| {
                let post = posts.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
                worker::work(worker, post.expect("each worker starts once"), &settings);
            });
            match guards {
                // A worker's panic is caught and reported inside.
                Ok(guards) => drop(guards.join()),
                Err(message) => {
                    let _ = failed.send(Report::Panicked { thread: "timely".to_owned(), message });
                }
            }
        })
        .map_err(|cause| EngineError::Panicked { thread: "timely".to_owned(), message: cause.to_string() })?;
    Ok(ends)
}
