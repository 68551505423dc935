//! The graph without parsing: a million `ind`s (three million projected rows), 10,000 `ind`s per epoch, two epochs in
//! flight.
//!
//! Prints for each number of workers: rows/s by clock and by processor time, bytes of memory per `ind`, and the latency
//! of one update with everything loaded. `cargo bench -p pinflow-dataflows --bench graph -- 1 2` sets the numbers of
//! workers. `INDS` and `INDS_PER_EPOCH` set other sizes.

#![allow(clippy::print_stdout, missing_docs, reason = "a bench prints what it measures")]

mod posts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinflow_dataflows::graph::{GraphOptions, WorkerGraph, WorkerPlacement, configure};
use pinflow_dataflows::questions::QuestionSet;
use pinflow_dataflows::symbol::Symbol;
use posts::{BenchTexts, send_posts, splitmix};

const IN_FLIGHT: u64 = 2;
const UPDATES: u64 = 2_000;
/// The resident memory of this process, bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Processor time of this process.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn main() {
    let set = |name: &str, default: u64| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default);
    let (inds, per_epoch) = (set("INDS", 1_000_000), set("INDS_PER_EPOCH", 10_000));
    let mut workers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if workers.is_empty() {
        workers = vec![1, 2];
    }
    for workers in workers {
        run_workers(workers, inds, per_epoch);
    }
}

fn run_workers(workers: usize, inds: u64, per_epoch: u64) {
    let texts = Arc::new(BenchTexts::new(inds));
    for text in texts.posters.iter().chain(&texts.names) {
        let _ = Symbol::new(text);
    }
    let mut config = timely::Config::process(workers);
    configure(&mut config.worker);
    let before = resident_bytes();
    let changed = Arc::new(AtomicU64::new(0));
    let guards = timely::execute(config, move |worker| {
        let (index, peers) = (worker.index() as u64, worker.peers() as u64);
        let count = Arc::clone(&changed);
        let mut graph = WorkerGraph::install(
            worker,
            WorkerPlacement::OneProcess,
            0,
            GraphOptions::default(),
            &QuestionSet::built_in(GraphOptions::default()),
            move |_, changes| {
                count.fetch_add(changes.len() as u64, Ordering::Relaxed);
            },
            |_, _, _| {},
        );
        let source = Symbol::new("recording/bench");
        let (clock, cpu) = (Instant::now(), processor_time());
        let epochs = inds.div_ceil(per_epoch);
        for epoch in 0..epochs {
            for ind in epoch * per_epoch..((epoch + 1) * per_epoch).min(inds) {
                if ind % peers == index {
                    send_posts(&mut graph, &texts, source, ind, 0);
                }
            }
            graph.advance_to(epoch + 1);
            worker.step();
            while graph.frontier() + IN_FLIGHT <= epoch {
                worker.step_or_park(Some(Duration::from_millis(1)));
            }
        }
        while graph.frontier() < epochs {
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
        let (clock, cpu) = (clock.elapsed(), processor_time() - cpu);
        let settled = Instant::now();
        while settled.elapsed() < Duration::from_millis(300) {
            worker.step();
        }
        let mut waits = Vec::new();
        for update in 0..UPDATES {
            if index == 0 {
                send_posts(&mut graph, &texts, source, splitmix(update) % inds, 1 + update);
            }
            let start = Instant::now();
            graph.advance_to(epochs + update + 1);
            while graph.frontier() <= epochs + update {
                worker.step();
            }
            waits.push(start.elapsed());
        }
        if index == 0 {
            waits.sort();
            let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
            let rows = 3.0 * inds as f64 / 1e6;
            println!(
                "{workers} workers: {:.2} M rows/s ({:.2} M per processor second), {:.0} bytes/ind resident, \
                 update p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs; {:?}, {} changes",
                rows / clock.as_secs_f64(),
                rows / cpu.as_secs_f64(),
                (resident_bytes() - before) as f64 / inds as f64,
                at(0.5),
                at(0.99),
                at(1.0),
                graph.sizes(),
                changed.load(Ordering::Relaxed),
            );
        }
    });
    for result in guards.expect("timely starts").join() {
        result.expect("no worker panics");
    }
}
