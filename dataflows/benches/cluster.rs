//! What it costs that the workers of a graph are in several processes: a million rows and more, over loopback.
//!
//! `cargo bench -p pinflow-dataflows --bench cluster` compares one process of two workers with two processes of one, whose
//! rows cross once as timely serialises them and once in messages. Prints for each: rows/s by clock, processor time of
//! all processes, and bytes sent for each row that crosses, with all that follows from it. `INDS` and `RUNS` set the
//! number of `ind`s and of runs, `SHAPE=3x1` another number of processes and workers.

#![allow(clippy::print_stdout, missing_docs, reason = "a bench prints what it measures")]

mod posts;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinflow_dataflows::graph::{GraphOptions, WorkerGraph, WorkerPlacement, configure};
use pinflow_dataflows::hash::share_process_seed;
use pinflow_dataflows::questions::QuestionSet;
use pinflow_dataflows::symbol::Symbol;
use posts::{BenchTexts, send_posts};
use timely::communication::Hooks;
use timely::communication::logging::CommunicationEvent;
use timely::logging_core::Logger;

/// What a process is told.
const PROCESS_VARIABLE: &str = "PINFLOW_BENCH_CLUSTER_PROCESS";
const IN_FLIGHT: u64 = 2;
const INDS_PER_EPOCH: u64 = 10_000;

fn number_set(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// Processor time of this process.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn main() {
    if let Ok(told) = std::env::var(PROCESS_VARIABLE) {
        return run_process(&told);
    }
    let (inds, runs) = (number_set("INDS", 400_000), number_set("RUNS", 3));
    let shape = std::env::var("SHAPE").unwrap_or_else(|_| "2x1".to_owned());
    let (processes, threads) = shape.split_once('x').expect("SHAPE is like 2x1");
    let (processes, threads): (usize, usize) =
        (processes.parse().expect("a number"), threads.parse().expect("a number"));
    for _ in 0..runs {
        let alone = run_cluster(1, processes * threads, WorkerPlacement::OneProcess, inds);
        println!("1 process of {}: {}", processes * threads, alone.describe(inds, 1));
        for (name, placement) in [
            ("as serialised by timely", WorkerPlacement::OneProcess),
            ("in messages", WorkerPlacement::SeveralProcesses),
        ] {
            let cost = run_cluster(processes, threads, placement, inds);
            let (clock, cpu) = (cost.clock / alone.clock, cost.cpu / alone.cpu);
            println!(
                "{processes} processes of {threads}, {name}: {}; {clock:.2} of the time, {cpu:.2} of the processor time",
                cost.describe(inds, processes)
            );
        }
    }
}

/// What a run cost, over all processes.
#[derive(Debug, Clone, Copy, Default)]
struct RunCost {
    /// Seconds.
    clock: f64,
    /// Seconds.
    cpu: f64,
    /// Bytes sent between processes.
    bytes: f64,
}

impl RunCost {
    fn describe(&self, inds: u64, processes: usize) -> String {
        let rows = 3.0 * inds as f64;
        let crossing = rows * (1.0 - 1.0 / processes as f64);
        let bytes = if processes > 1 { self.bytes / crossing } else { 0.0 };
        let (rate, cpu) = (rows / self.clock / 1e6, self.cpu);
        format!("{rate:.2} M rows/s, {cpu:.2} s of processor time, {bytes:.0} bytes a row that crosses")
    }
}

/// Runs all processes of a cluster, and adds up what they say.
fn run_cluster(processes: usize, threads: usize, placement: WorkerPlacement, inds: u64) -> RunCost {
    let listeners: Vec<_> = (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let addresses: Vec<_> = listeners.iter().map(|it| it.local_addr().expect("it is bound").to_string()).collect();
    drop(listeners);
    let is_several = u8::from(placement == WorkerPlacement::SeveralProcesses);
    let start = |process: usize| -> Child {
        let told = format!("{process} {threads} {is_several} {inds} {}", addresses.join(" "));
        Command::new(std::env::current_exe().expect("this executable"))
            .env(PROCESS_VARIABLE, told)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts")
    };
    let children: Vec<_> = (0..processes).map(start).collect();
    let mut sum = RunCost::default();
    for mut child in children {
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        for line in output.lines().map_while(Result::ok) {
            let Some(cost) = line.strip_prefix("COST ") else { continue };
            let mut numbers = cost.split(' ').filter_map(|it| it.parse::<f64>().ok());
            let mut next = || numbers.next().unwrap_or_default();
            let (clock, cpu, bytes) = (next(), next(), next());
            sum = RunCost { clock: sum.clock.max(clock), cpu: sum.cpu + cpu, bytes: sum.bytes + bytes };
        }
        assert!(child.wait().expect("it ends").success(), "a process failed");
    }
    sum
}

fn run_process(told: &str) {
    let mut words = told.split(' ');
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let (process, threads, is_several, inds) = (number() as usize, number() as usize, number() == 1, number());
    let addresses: Vec<String> = words.map(str::to_owned).collect();
    share_process_seed([0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321]).expect("nothing is hashed yet");
    let placement = if is_several { WorkerPlacement::SeveralProcesses } else { WorkerPlacement::OneProcess };
    let texts = Arc::new(BenchTexts::new(inds));
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let hooks = Hooks {
        log_fn: Arc::new(move |_| {
            let counted = Arc::clone(&counted);
            Some(Logger::new(Instant::now(), Duration::ZERO, move |_, events| count_sent(events, &counted)))
        }),
        ..Hooks::default()
    };
    let communication = match addresses.len() {
        1 => timely::CommunicationConfig::Process(threads),
        _ => timely::CommunicationConfig::Cluster { threads, process, addresses, report: false, zerocopy: false },
    };
    let (allocators, others) = communication.try_build_with(hooks).expect("the processes are connected");
    let mut config = timely::WorkerConfig::default();
    configure(&mut config);
    let guards = timely::execute::execute_from(allocators, others, config, move |worker| {
        run_worker(worker, placement, &texts, inds)
    });
    let costs: Vec<_> = guards.expect("timely starts").join().into_iter().map(|it| it.expect("no panic")).collect();
    let clock = costs.iter().map(|(clock, _)| *clock).max().unwrap_or_default().as_secs_f64();
    // Both are of the whole process.
    let cpu = costs.iter().map(|(_, cpu)| *cpu).max().unwrap_or_default().as_secs_f64();
    println!("COST {clock} {cpu} {}", sent.load(Ordering::Relaxed));
}

fn count_sent(events: &mut Option<Vec<(Duration, CommunicationEvent)>>, sent: &AtomicU64) {
    for (_, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
        if let CommunicationEvent::Message(message) = event
            && message.is_send
        {
            sent.fetch_add(message.header.required_bytes() as u64, Ordering::Relaxed);
        }
    }
}

/// Sends all rows, and returns how long that took and the processor time.
fn run_worker(
    worker: &mut timely::worker::Worker,
    placement: WorkerPlacement,
    texts: &BenchTexts,
    inds: u64,
) -> (Duration, Duration) {
    let (index, peers) = (worker.index() as u64, worker.peers() as u64);
    let options = GraphOptions::default();
    let questions = QuestionSet::built_in(options);
    let mut graph = WorkerGraph::install(worker, placement, 0, options, &questions, |_, _| {}, |_, _, _| {});
    let source = Symbol::new("recording/bench");
    // All are connected once the first epoch has passed.
    graph.advance_to(1);
    while graph.frontier() < 1 {
        worker.step_or_park(Some(Duration::from_millis(1)));
    }
    let (clock, cpu) = (Instant::now(), processor_time());
    let epochs = inds.div_ceil(INDS_PER_EPOCH);
    for epoch in 1..=epochs {
        for ind in (epoch - 1) * INDS_PER_EPOCH..(epoch * INDS_PER_EPOCH).min(inds) {
            if ind % peers == index {
                send_posts(&mut graph, texts, source, ind, 0);
            }
        }
        graph.advance_to(epoch + 1);
        worker.step();
        while graph.frontier() + IN_FLIGHT <= epoch {
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
    }
    while graph.frontier() <= epochs {
        worker.step_or_park(Some(Duration::from_millis(1)));
    }
    (clock.elapsed(), processor_time() - cpu)
}
