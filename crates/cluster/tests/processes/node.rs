//! A process of a cluster with a trivial dataflow: every worker sends numbers to all, and all are counted.
//!
//! It ends as the engine does: 0 at the end, and 70 with one line on stderr when a peer is lost.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pinflow_cluster::{ClusterMesh, ClusterSecret, ClusterSettings, ClusterTls, form_cluster};
use timely::dataflow::operators::{Exchange, Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;
use tokio::sync::watch;

/// The variable that makes a copy of the test program a process of a cluster. Its value is the list of settings.
pub(crate) const NODE_VARIABLE: &str = "PINFLOW_CLUSTER_NODE";

/// The settings of a process: lines of a key and a value.
struct NodeSpec<'a>(&'a str);

impl NodeSpec<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.lines().filter_map(|line| line.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn number(&self, key: &str, default: u64) -> u64 {
        self.get(key).map_or(default, |value| value.parse().unwrap())
    }

    fn settings(&self) -> ClusterSettings {
        let file = |path: &str| std::fs::read(path).unwrap();
        let tls = self.get("tls").map(|folder| ClusterTls {
            ca: file(&format!("{folder}/ca.pem")),
            certificate: file(&format!("{folder}/certificate.pem")),
            key: file(&format!("{folder}/key.pem")),
        });
        ClusterSettings {
            processes: self.get("processes").unwrap().split(',').map(|address| address.parse().unwrap()).collect(),
            index: usize::try_from(self.number("index", 0)).unwrap(),
            listen: self.get("listen").map(|address| address.parse().unwrap()),
            workers: usize::try_from(self.number("workers", 1)).unwrap(),
            secret: self.get("secret").map(ClusterSecret::new),
            tls,
            danger_unencrypted: self.get("danger_unencrypted").is_some(),
            fingerprint: [u8::try_from(self.number("fingerprint", 1)).unwrap(); 32],
            build_id: self.get("build").unwrap_or("test").to_owned(),
        }
    }
}

/// What the workers are to do.
#[derive(Clone, Copy)]
struct Load {
    /// The rounds after which a process ends in order. Zero: it never ends.
    rounds: u64,
    /// The records of a worker in one round.
    records: u64,
    /// The rounds that are in flight at once.
    in_flight: u64,
    /// The wait after each round.
    pause: Duration,
}

pub(crate) fn run_node(spec: &str) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let spec = NodeSpec(spec);
    let load = Load {
        rounds: spec.number("rounds", 0),
        records: spec.number("records", 10),
        in_flight: spec.number("in_flight", 2),
        pause: Duration::from_millis(spec.number("pause_millis", 1)),
    };
    let settings = spec.settings();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let formed = match runtime.block_on(form_cluster(&settings, stopped)) {
        Ok(formed) => formed,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    print_data(&format!("formed {} refused {}", formed.generation(), formed.refused_connections()));
    let mut formed = formed;
    // They stay open as long as the process lives.
    std::mem::forget(formed.take_messages());
    let mesh = formed.into_mesh().unwrap();
    runtime.block_on(run_until_end(mesh, load))
}

/// One line of data, in one piece.
fn print_data(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // The test that reads it may be gone.
    let _ = stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush());
}

async fn run_until_end(mesh: ClusterMesh, load: Load) -> ExitCode {
    let ClusterMesh { builders, guard, peers } = mesh;
    let (done, ended) = mpsc::channel();
    let counted = Arc::new(AtomicU64::new(0));
    let is_passing = Arc::new(AtomicBool::new(false));
    let monitor = peers.clone();
    std::thread::spawn({
        let counted = Arc::clone(&counted);
        move || {
            let config = timely::WorkerConfig::default();
            let guards = timely::execute::execute_from(builders, guard, config, move |worker| {
                run_worker(worker, load, &counted, &is_passing);
                // All rounds have passed everywhere, so every process is about to end.
                monitor.begin_end();
            });
            drop(guards.unwrap().join());
            let _ = done.send(());
        }
    });
    let ended = tokio::task::spawn_blocking(move || ended.recv());
    tokio::select! {
        lost = peers.lost() => {
            eprintln!("lost: {lost}");
            std::process::exit(70)
        }
        joined = tokio::time::timeout(Duration::from_secs(600), ended) => {
            joined.unwrap().unwrap().unwrap();
            print_data(&format!("counted {}", counted.load(Ordering::SeqCst)));
            ExitCode::SUCCESS
        }
    }
}

fn run_worker(worker: &mut Worker, load: Load, counted: &Arc<AtomicU64>, is_passing: &Arc<AtomicBool>) {
    let mut input = InputHandle::new();
    let probe = ProbeHandle::new();
    let counted = Arc::clone(counted);
    worker.dataflow(|scope| {
        scope
            .input_from(&mut input)
            .container::<Vec<u64>>()
            .exchange(|n: &u64| *n)
            .inspect(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            })
            .probe_with(&probe);
    });
    let mut round = 0;
    while load.rounds == 0 || round < load.rounds {
        (0..load.records).for_each(|n| input.send(n * 7 + round));
        round += 1;
        input.advance_to(round);
        let behind = round.saturating_sub(load.in_flight);
        // Ticks reach the peers once a second at least, as those of the engine do.
        while probe.less_than(&behind) {
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
        worker.step();
        if round == 3 && !is_passing.swap(true, Ordering::SeqCst) {
            print_data("passing");
        }
        if !load.pause.is_zero() {
            std::thread::sleep(load.pause);
        }
    }
    input.close();
    while !probe.done() {
        worker.step_or_park(Some(Duration::from_millis(1)));
    }
}
