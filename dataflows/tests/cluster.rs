//! A graph in several processes has the answers of a graph in one: at every epoch, for random rows, options and
//! questions, some of which are added and dropped while the graph runs, and while each process sweeps its own texts.
//!
//! The processes are this test's own executable, started again. They form a cluster of timely over loopback. The first of
//! them compares the answers.

#![allow(clippy::print_stdout, reason = "a process says how much it compared")]

mod histories;
// The other tests of histories compare answers with SQLite.
mod oracle;
mod sql_questions;

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use histories::live::{
    LIVE_EPOCHS, LiveLog, LivePace, LivePlan, PlannedQuestion, SharedRun, run_live_history, run_live_worker,
};
use histories::{
    HistoryTexts, RowArrival, WorkerFailure, WorkerPace, any_arrivals, any_options, any_pace, asked_questions,
};
use pinflow_dataflows::answer::AnswerRow;
use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions, WorkerPlacement, configure};
use pinflow_dataflows::hash::share_process_seed;
use pinflow_dataflows::questions::{Question, QuestionId, QuestionOrigin};
use pinflow_dataflows::symbol::{Symbol, keep_freed_places};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sql_questions::QUESTIONS;

/// What a process of a cluster is told. If it is not set, the executable runs its tests.
const PROCESS_VARIABLE: &str = "PINFLOW_TEST_CLUSTER_PROCESS";
/// The histories of each cluster.
const HISTORIES: usize = 24;
/// How long the processes of a cluster may take. It is long, because a machine that does other work may run none of them for
/// a while.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(600);
/// How often a cluster is started again because another program took one of its ports.
const PORT_ATTEMPTS: usize = 5;

/// Some texts are long, and most are freed and interned again.
const TEXTS: HistoryTexts = HistoryTexts {
    categories: &["art", "christmas", "travel", "Art", "c4", "c5", "c6", "a category of more than 24 bytes"],
    posters: &["ann", "Bob", "bob", "art", "p4", "p5", "p6", "p7", "a poster of more than 24 bytes"],
    countries: &["Peru", "bob", "Åland", "k3", "k4", "k5", "a country of more than 24 bytes"],
    names: &["ann", "Bob", "bob", "art", "n4", "n5", "n6", "a name of more than 24 bytes"],
};

/// A process of a cluster, as it is told to it.
#[derive(Debug, Clone)]
struct ClusterProcess {
    process: usize,
    threads: usize,
    seed: u64,
    addresses: Vec<String>,
}

impl ClusterProcess {
    fn to_variable(&self) -> String {
        let ClusterProcess { process, threads, seed, addresses } = self;
        format!("{process} {threads} {seed} {}", addresses.join(" "))
    }

    fn from_variable(variable: &str) -> ClusterProcess {
        let mut words = variable.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        let (process, threads, seed) = (number() as usize, number() as usize, number());
        ClusterProcess { process, threads, seed, addresses: words.map(str::to_owned).collect() }
    }
}

/// A history that all processes of a cluster make of the same seed.
#[derive(Debug)]
struct ClusterHistory {
    arrivals: Vec<RowArrival>,
    options: GraphOptions,
    plan: Arc<LivePlan>,
    pace: LivePace,
    /// The number of workers of the graph in one process with which it is compared.
    workers_alone: usize,
}

/// A question that is added: its text, the epochs in which it is added and for how many it stays, and how it is filled.
type ClusterDraft = (&'static str, u64, Option<u64>, bool, Vec<(usize, u64)>);

fn any_draft() -> impl Strategy<Value = ClusterDraft> {
    let fills = vec((0..6_usize, 0..4_u64), 1..8);
    (select(QUESTIONS.to_vec()), 0..11_u64, option::weighted(0.5, 1..10_u64), any::<bool>(), fills)
}

fn any_history() -> impl Strategy<Value = ClusterHistory> {
    let arrivals = any_arrivals(TEXTS).prop_map(|arrivals| {
        // Rows come in the first twelve epochs, on any worker.
        let spread = |(index, it): (usize, RowArrival)| RowArrival {
            epoch: 2 * it.epoch + index as u64 % 2,
            worker: it.worker + index % 4,
            ..it
        };
        arrivals.into_iter().enumerate().map(spread).collect::<Vec<_>>()
    });
    let steps = (vec(1..4_u32, 1..5), btree_set(0..LIVE_EPOCHS, 0..8));
    (arrivals, any_options(), vec(any_draft(), 0..6), any_pace(), steps).prop_map(
        |(arrivals, options, drafts, pace, (keys_per_epoch, sweeps))| {
            // Where every delivery counts, nothing is freed.
            let sweeps = sweeps.into_iter().filter(|_| options.duplicates == DuplicatePolicy::Latest).collect();
            let plan = LivePlan::new(&planned_questions(options, &drafts), &arrivals, options.duplicates);
            let workers_alone = pace.workers;
            let pace = LivePace { pace, keys_per_epoch, is_first_late: false, sweeps };
            ClusterHistory { arrivals, options, plan: Arc::new(plan), pace, workers_alone }
        },
    )
}

/// The built-in questions on both paths, which are there from the start, and those that are added.
fn planned_questions(options: GraphOptions, drafts: &[ClusterDraft]) -> Vec<PlannedQuestion> {
    let asked = asked_questions(options);
    let first = asked.iter().map(|(_, question)| PlannedQuestion {
        question: Question::clone(question),
        added: None,
        dropped: None,
        is_late: false,
        fills: Vec::new(),
    });
    let later = drafts.iter().enumerate().map(|(number, (text, added, stays, is_late, fills))| {
        let name = format!("added_{number}").parse().expect("a valid name");
        let question = Question::compile(name, text, options, QuestionOrigin::Added);
        PlannedQuestion {
            question: question.unwrap_or_else(|error| panic!("{error}")),
            added: Some(*added),
            dropped: stays.map(|stays| added + stays),
            is_late: *is_late,
            fills: fills.clone(),
        }
    });
    first.chain(later).collect()
}

fn histories_of_seed(seed: u64) -> Vec<ClusterHistory> {
    let bytes: Vec<u8> = (0..4_u64).flat_map(|part| (seed ^ part).to_le_bytes()).collect();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let history = any_history();
    let all = (0..HISTORIES).map(|_| history.new_tree(&mut runner).expect("nothing is rejected").current());
    let mut all: Vec<_> = all.collect();
    // Where every delivery counts, texts that arrive are never freed, also not in later histories.
    all.sort_by_key(|history| history.options.duplicates == DuplicatePolicy::Keep);
    all
}

/// Runs the part of one process, and compares the answers in the first one.
fn run_process(told: &ClusterProcess) {
    share_process_seed([told.seed, !told.seed]).expect("nothing is hashed yet");
    keep_freed_places(true);
    // Texts have other symbols in each process.
    for number in 0..told.process * 1_000 {
        let _ = Symbol::new(&format!("text {number} of process {}", told.process));
    }
    let histories = histories_of_seed(told.seed);
    let runs = histories.iter().map(|history| {
        let placement = WorkerPlacement::SeveralProcesses;
        let pace = WorkerPace { workers: told.threads * told.addresses.len(), placement, ..history.pace.pace };
        let pace = LivePace { pace, ..history.pace.clone() };
        SharedRun::new(&history.arrivals, history.options, &history.plan, &pace, told.threads)
    });
    let runs: Arc<Vec<SharedRun>> = Arc::new(runs.collect());
    run_cluster(told, &runs);
    let logs: Vec<LiveLog> = runs.iter().map(SharedRun::take_log).collect();
    if told.process > 0 {
        assert!(
            logs.iter().all(|log| log.changes.is_empty() && log.fills.is_empty()),
            "another process has the answers"
        );
    }
    let freed: usize = logs.iter().map(|log| log.freed_texts).sum();
    println!("process {} freed {freed} texts", told.process);
    assert!(freed > 0, "sweeps free texts in each process");
    if told.process == 0 {
        let workers = told.threads * told.addresses.len();
        let compared: usize = histories.iter().zip(&logs).map(|(history, log)| compare(history, log, workers)).sum();
        println!("{compared} answers are those of one process");
        assert!(compared > HISTORIES * 100, "{compared} answers were compared");
    }
}

fn run_cluster(told: &ClusterProcess, runs: &Arc<Vec<SharedRun>>) {
    let communication = timely::CommunicationConfig::Cluster {
        threads: told.threads,
        process: told.process,
        addresses: told.addresses.clone(),
        report: false,
        zerocopy: false,
    };
    let mut config = timely::Config { communication, worker: timely::WorkerConfig::default() };
    configure(&mut config.worker);
    let failure = Arc::new(WorkerFailure::default());
    let (watched, runs) = (Arc::clone(&failure), Arc::clone(runs));
    let (ended, threads) = (AtomicUsize::new(0), told.threads);
    let guards = timely::execute(config, move |worker| {
        watched.record_panic(|| {
            for (run, others_ended) in runs.iter().zip((threads..).step_by(threads)) {
                run_live_worker(worker, run, &watched);
                while worker.has_dataflows() {
                    worker.step_or_park(Some(Duration::from_millis(1)));
                }
                // A sweep begins only if no other graph is left in the process.
                ended.fetch_add(1, Ordering::AcqRel);
                watched.wait_while(|| ended.load(Ordering::Acquire) < others_ended, std::thread::yield_now);
                run.end_sweep();
            }
        });
    });
    let results = guards.expect("timely starts").join().into_iter().collect::<Vec<_>>();
    if let Some(message) = failure.message() {
        panic!("a worker panicked: {message}");
    }
    assert!(results.iter().all(Result::is_ok), "a worker panicked after the last epoch");
}

/// Compares the answers at each epoch at which they are complete with those of a graph in one process. Returns their number.
fn compare(history: &ClusterHistory, log: &LiveLog, workers: usize) -> usize {
    let ClusterHistory { arrivals, options, plan, pace, workers_alone } = history;
    let pace = LivePace {
        pace: WorkerPace { workers: *workers_alone, placement: WorkerPlacement::OneProcess, ..pace.pace },
        sweeps: Vec::new(),
        ..pace.clone()
    };
    let alone = run_live_history(arrivals, *options, plan, &pace);
    let mut compared = 0;
    for (id, question, added, dropped) in &plan.questions {
        let is_first = plan.first.get(*id).is_some();
        let completed = [log.completed(*id, workers), alone.completed(*id, *workers_alone)];
        let end = dropped.unwrap_or(LIVE_EPOCHS).min(LIVE_EPOCHS);
        assert!(
            is_first || end < LIVE_EPOCHS || completed.iter().all(Option::is_some),
            "{} was added at epoch {added} and is not complete in the end: {completed:?}",
            question.sql
        );
        let Some(complete) = (if is_first { Some(0) } else { completed[0].zip(completed[1]).map(|(a, b)| a.max(b)) })
        else {
            continue;
        };
        let (here, there) = (answers(question, *id, log), answers(question, *id, &alone));
        for epoch in complete..end {
            let at = epoch as usize;
            assert_eq!(here[at], there[at], "{} at epoch {epoch} with {options:?}", question.sql);
            compared += 1;
        }
    }
    compared
}

/// The rows of an answer at each epoch.
fn answers(question: &Question, id: QuestionId, log: &LiveLog) -> Vec<Vec<AnswerRow>> {
    let mut table = question.empty_table();
    let rows = (0..LIVE_EPOCHS).map(|epoch| {
        let changes = log.changes.get(&epoch).into_iter().flatten().filter(|it| it.answer == id);
        table.apply(changes.map(|change| (&change.row, change.diff))).expect("changes fit");
        table.rows().cloned().collect()
    });
    rows.collect()
}

/// Not a test by itself: a process of a cluster that another test starts.
#[test]
fn cluster_process() {
    if let Ok(variable) = std::env::var(PROCESS_VARIABLE) {
        run_process(&ClusterProcess::from_variable(&variable));
    }
}

/// A process, which is killed if it still runs when this is dropped.
struct StartedProcess {
    child: Child,
    output: PathBuf,
}

impl StartedProcess {
    fn start(told: &ClusterProcess) -> StartedProcess {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("cluster-{}-{number}.log", std::process::id());
        let output = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let file = File::create(&output).expect("a file for the output");
        let child = Command::new(std::env::current_exe().expect("the executable of this test"))
            .args(["--exact", "cluster_process", "--nocapture", "--test-threads=1"])
            .env(PROCESS_VARIABLE, told.to_variable())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the same file"))
            .stderr(file)
            .spawn()
            .expect("the process starts");
        StartedProcess { child, output }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }
}

impl Drop for StartedProcess {
    fn drop(&mut self) {
        // It has ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.output);
    }
}

/// Ports that were free a moment ago.
fn free_addresses(count: usize) -> Vec<String> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound").to_string()).collect()
}

/// Waits until all processes have ended, or one has failed.
fn wait_for_all(processes: &mut [StartedProcess]) -> Result<(), String> {
    let start = Instant::now();
    let failed = |index: usize, status: ExitStatus| format!("process {index} ended with {status}");
    loop {
        let mut running = 0;
        for (index, process) in processes.iter_mut().enumerate() {
            match process.child.try_wait().expect("its status is known") {
                None => running += 1,
                Some(status) if status.success() => {}
                Some(status) => return Err(failed(index, status)),
            }
        }
        if running == 0 {
            return Ok(());
        }
        if start.elapsed() > CLUSTER_TIMEOUT {
            return Err(format!("{running} processes have not ended in {CLUSTER_TIMEOUT:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs random histories on a cluster.
fn check_cluster(processes: usize, threads: usize) {
    let set = std::env::var("PINFLOW_HISTORY_SEED").ok();
    let seed = set.map_or_else(rand_seed, |seed| seed.parse().expect("PINFLOW_HISTORY_SEED is a number"));
    for attempt in 1..=PORT_ATTEMPTS {
        let addresses = free_addresses(processes);
        let told = |process| ClusterProcess { process, threads, seed, addresses: addresses.clone() };
        let mut started: Vec<_> = (0..processes).map(|process| StartedProcess::start(&told(process))).collect();
        let Err(failure) = wait_for_all(&mut started) else { return };
        let outputs: Vec<_> = started.iter().map(StartedProcess::output).collect();
        let took_port = outputs.iter().any(|output| output.contains("failed to initialize networking"));
        assert!(
            took_port && attempt < PORT_ATTEMPTS,
            "with PINFLOW_HISTORY_SEED={seed}, {processes} processes of {threads} workers: {failure}\n{}",
            outputs.join("\n--- the next process:\n")
        );
    }
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now()) >> 1
}

#[test]
fn answers_of_two_processes_equal_those_of_one() {
    check_cluster(2, 1);
}

#[test]
fn answers_of_two_processes_with_two_workers_each_equal_those_of_one() {
    check_cluster(2, 2);
}

#[test]
fn answers_of_three_processes_equal_those_of_one() {
    check_cluster(3, 1);
}

#[test]
fn answers_of_three_processes_with_two_workers_each_equal_those_of_one() {
    check_cluster(3, 2);
}
