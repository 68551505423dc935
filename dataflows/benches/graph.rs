//! The graph without parsing: a million `ind`s (three million projected rows), 10,000 `ind`s per epoch, two epochs in
//! flight.
//!
//! Prints for each number of workers: rows/s by clock and by processor time, bytes of memory per `ind`, and the latency
//! of one update with everything loaded. `cargo bench -p pinflow-dataflows --bench graph -- 1 2` sets the numbers of
//! workers. `INDS` and `INDS_PER_EPOCH` set other sizes.

#![allow(clippy::print_stdout, missing_docs, reason = "a bench prints what it measures")]

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinflow_dataflows::graph::{GraphOptions, WorkerGraph, configure};
use pinflow_dataflows::questions::QuestionSet;
use pinflow_dataflows::record::{Geo, Lineage, Pin, User};
use pinflow_dataflows::symbol::Symbol;

const IN_FLIGHT: u64 = 2;
const UPDATES: u64 = 2_000;
const YEAR: i64 = 31_556_952_000_000;

/// A pseudo-random number (Steele, Lea and Flood, *SplitMix*).
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Texts made before the clock starts, because the parser would make them.
struct BenchTexts {
    categories: Vec<String>,
    countries: Vec<String>,
    posters: Vec<String>,
    names: Vec<String>,
}

impl BenchTexts {
    fn new(inds: u64) -> BenchTexts {
        let posters = inds * 45 / 100;
        BenchTexts {
            categories: (0..13).map(|n| format!("category {n}")).collect(),
            countries: (0..243).map(|n| format!("Country {n}")).collect(),
            posters: (0..posters).map(|n| format!("poster {n}")).collect(),
            names: (0..posters).map(|n| format!("Name {n}")).collect(),
        }
    }
}

/// Sends the three rows of an `ind`. A poster is one person, and there are about 2,000 distinct follower counts.
fn send_posts(graph: &mut WorkerGraph, texts: &BenchTexts, source: Symbol, ind: u64, version: u64) {
    let random = splitmix(ind ^ (version << 40));
    let person = splitmix(ind) % texts.posters.len() as u64;
    let of_person = splitmix(person + 0x5555);
    let lineage = |n: u64| Lineage { arrived_at: Some(version as i64), source, position: (3 * ind + n).into(), sub: 0 };
    let steps = (random >> 20) % 2_000;
    let pin = Pin {
        ind,
        unique_id: None,
        title: None,
        description: None,
        follower_count: Some((steps * steps) as i64),
        poster_name: Some(Cow::Borrowed(&texts.posters[person as usize])),
        tag_list: None,
        is_image_or_video: None,
        image_src: None,
        save_location: None,
        category: Some(Cow::Borrowed(&texts.categories[(random % 13) as usize])),
    };
    let geo = Geo {
        ind,
        country: Some(Cow::Borrowed(&texts.countries[(of_person % 243) as usize])),
        coordinates: None,
        timestamp: Some(48 * YEAR + (random >> 10) as i64 % (5 * YEAR)),
    };
    let user = User {
        ind,
        user_name: Some(Cow::Borrowed(&texts.names[person as usize])),
        age: Some(20 + (of_person >> 32) as u8 % 41),
        date_joined: Some(45 * YEAR + (of_person >> 8) as i64 % (5 * YEAR)),
    };
    graph.pin(lineage(0), &pin);
    graph.geo(lineage(1), &geo);
    graph.user(lineage(2), &user);
}

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
            0,
            GraphOptions::default(),
            &QuestionSet::built_in(GraphOptions::default()),
            move |_, changes| {
                count.fetch_add(changes.len() as u64, Ordering::Relaxed);
            },
            |_, _| {},
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
