//! Random histories of rows, and a driver that runs the graph over them. Shared by the tests of its answers.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod live;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pinflow_dataflows::answer::AnswerRow;
use pinflow_dataflows::graph::{
    AnswerChange, DuplicatePolicy, GraphOptions, MedianMethod, RankLimit, TieRule, WorkerGraph, WorkerPlacement,
    configure,
};
use pinflow_dataflows::questions::{Question, QuestionSet};
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::symbol::{Symbol, SymbolSweep};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use timely::worker::Worker;

use crate::oracle::SqlOracle;

#[derive(Debug, Clone)]
pub(crate) enum StreamPost {
    Pin(Pin<'static>),
    Geo(Geo<'static>),
    User(User<'static>),
}

impl StreamPost {
    pub(crate) fn stream(&self) -> Stream {
        match self {
            StreamPost::Pin(_) => Stream::Pin,
            StreamPost::Geo(_) => Stream::Geo,
            StreamPost::User(_) => Stream::User,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RowArrival {
    pub(crate) worker: usize,
    pub(crate) epoch: u64,
    pub(crate) lineage: Lineage,
    pub(crate) post: StreamPost,
}

/// How long a worker waits for an epoch. A longer wait means that the graph has stopped. It is long, because a machine that
/// does other work, too, may run no thread of the graph for a while.
const EPOCH_TIMEOUT: Duration = Duration::from_secs(600);
/// How often a worker must have looked in vain, besides. Time in which it did not run does not count.
const EPOCH_STEPS: u64 = 10_000;

/// Checks random histories: always other ones, or those of the seed `PINFLOW_HISTORY_SEED`.
///
/// # Panics
/// With the seed and the whole history, if a check fails.
pub(crate) fn check_random_histories<S: Strategy>(
    config: ProptestConfig,
    histories: &S,
    check: impl Fn(S::Value) -> TestCaseResult,
) {
    let set = std::env::var("PINFLOW_HISTORY_SEED").ok();
    let seed = set.map_or_else(random_seed, |seed| seed.parse().expect("PINFLOW_HISTORY_SEED is a number"));
    let bytes: Vec<u8> = (0..4_u64).flat_map(|part| (seed ^ part).to_le_bytes()).collect();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(histories, check) {
        panic!("with PINFLOW_HISTORY_SEED={seed}: {failure}");
    }
}

fn random_seed() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

/// The built-in questions, and each again on the general path.
pub(crate) fn asked_questions(options: GraphOptions) -> QuestionSet {
    let built_in = QuestionSet::built_in(options);
    built_in.iter().fold(built_in.clone(), |set, (_, question)| {
        let name = format!("general_{}", question.name).parse().expect("a valid name");
        let (set, _) = set.with_question(Question { name, ..question.on_general_path() }).expect("another name");
        set
    })
}

/// How the workers are driven. No answer may depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerPace {
    pub(crate) workers: usize,
    /// With several processes, all that is exchanged is serialised, as if each worker were alone in its process.
    pub(crate) placement: WorkerPlacement,
    /// The number of epochs that may be open before the first one is complete.
    pub(crate) in_flight: u64,
    /// The number of the first epoch in the graph. Histories count from 0.
    pub(crate) first_epoch: u64,
}

/// The texts that rows may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryTexts {
    pub(crate) categories: &'static [&'static str],
    pub(crate) posters: &'static [&'static str],
    pub(crate) countries: &'static [&'static str],
    pub(crate) names: &'static [&'static str],
}

/// Few texts, some of which differ only by case or accent.
pub(crate) const FEW_TEXTS: HistoryTexts = HistoryTexts {
    categories: &["art", "beauty", "Art", "árt"],
    posters: &["p", "q", "P", "p q"],
    countries: &["Albania", "Brazil", "Côte d’Ivoire"],
    names: &["A B", "A", "b"],
};

// What only questions other than the built-in ones read.
const TITLES: &[&str] = &["tree", "100% Wool_Hat", "", "art", "x'y", "a title of more than 24 bytes"];
const TAG_LISTS: &[&str] = &["a,b", "b, b,c", "", "tree", "a,b,c,a"];
const MEDIA_KINDS: &[&str] = &["image", "video", "multi-video(story page format)"];
const DEGREES: [f64; 5] = [0.5, -12.25, 48.0, 0.1, -0.0];

/// The number of epochs of a history.
pub(crate) const EPOCHS: u64 = 6;

// Small domains, so that ties, repeats, joins, retractions, empty groups and nulls are frequent.
fn any_text(texts: &'static [&'static str]) -> impl Strategy<Value = Option<Cow<'static, str>>> {
    option::weighted(0.9, select(texts).prop_map(Cow::Borrowed))
}

/// Moments inside the years that questions read, at their limits, and at other times of the day.
fn any_moment() -> impl Strategy<Value = Option<i64>> {
    let starts = [2015, 2016, 2018, 2019, 2021, 2023].map(|year| {
        let days = (1970..year).map(|year| if year % 4 == 0 { 366 } else { 365 }).sum::<i64>();
        days * 24 * 60 * 60 * 1_000_000
    });
    option::weighted(0.95, (select(starts.to_vec()), select(vec![-1, 0, 1, 9_000_000_000_000, 5_141_045_123_456])))
        .prop_map(|moment| moment.map(|(start, more)| start + more))
}

fn any_post(texts: HistoryTexts) -> impl Strategy<Value = StreamPost> {
    let pin = (
        0..6u64,
        any_text(texts.categories),
        any_text(texts.posters),
        option::weighted(0.9, select(vec![0, 1, 2, 3, 5, 94_000, i64::MAX])),
        (any_text(TITLES), any_text(TITLES), any_text(TAG_LISTS), any_text(MEDIA_KINDS)),
    );
    let pin = pin.prop_map(|(ind, category, poster_name, follower_count, unread)| {
        let (title, description, tag_list, is_image_or_video) = unread;
        let (unique_id, image_src, save_location) = (None, None, None);
        StreamPost::Pin(Pin {
            ind,
            unique_id,
            title,
            description,
            follower_count,
            poster_name,
            tag_list,
            is_image_or_video,
            image_src,
            save_location,
            category,
        })
    });
    let coordinates = option::weighted(0.8, [select(DEGREES.to_vec()), select(DEGREES.to_vec())]);
    let geo = (0..6u64, any_text(texts.countries), coordinates, any_moment());
    let geo = geo.prop_map(|(ind, country, coordinates, timestamp)| {
        StreamPost::Geo(Geo { ind, country, coordinates, timestamp })
    });
    let age = option::weighted(0.9, select(vec![0, 17, 18, 24, 25, 35, 36, 50, 51, 150]));
    let user = (0..6u64, any_text(texts.names), age, any_moment());
    let user =
        user.prop_map(|(ind, user_name, age, date_joined)| StreamPost::User(User { ind, user_name, age, date_joined }));
    prop_oneof![pin, geo, user]
}

pub(crate) fn any_arrivals(texts: HistoryTexts) -> impl Strategy<Value = Vec<RowArrival>> {
    let arrived_at = option::weighted(0.7, 0..4i64);
    let one =
        (0..3usize, 0..EPOCHS, arrived_at, select(vec!["kafka/p/0", "kafka/p/1", "recording/p"]), any_post(texts));
    let all = vec(one, 0..60).prop_flat_map(|all| {
        let positions = Just((0..all.len() as u64).collect::<Vec<_>>()).prop_shuffle();
        (Just(all), positions, vec(any::<prop::sample::Index>(), 0..6))
    });
    all.prop_map(|(all, positions, again)| {
        let mut arrivals: Vec<_> = all
            .into_iter()
            .zip(positions)
            .map(|((worker, epoch, arrived_at, source, post), position)| {
                let (source, sub) = (Symbol::new(source), (position % 2) as u32);
                let lineage = Lineage { arrived_at, source, position: (position / 2).into(), sub };
                RowArrival { worker, epoch, lineage, post }
            })
            .collect();
        // Some are delivered again as they are, later or earlier.
        for index in again {
            if !arrivals.is_empty() {
                let arrival = index.get(&arrivals).clone();
                arrivals.push(RowArrival { epoch: EPOCHS - 1 - arrival.epoch, ..arrival });
            }
        }
        arrivals
    })
}

pub(crate) fn any_options() -> impl Strategy<Value = GraphOptions> {
    (
        select(vec![DuplicatePolicy::Latest, DuplicatePolicy::Keep]),
        select(vec![TieRule::First, TieRule::All]),
        prop_oneof![2 => Just(RankLimit::All), 3 => (1..4u32).prop_map(|k| NonZeroU32::new(k).map_or(RankLimit::All, RankLimit::Ranks))],
        select(vec![MedianMethod::Exact, MedianMethod::Lower]),
    )
        .prop_map(|(duplicates, ties, top, median)| GraphOptions { duplicates, ties, top, median })
}

pub(crate) fn any_pace() -> impl Strategy<Value = WorkerPace> {
    let placement = select(vec![WorkerPlacement::OneProcess, WorkerPlacement::SeveralProcesses]);
    (1..=3usize, placement, 1..=EPOCHS, select(vec![0, 1, 40])).prop_map(
        |(workers, placement, in_flight, first_epoch)| WorkerPace { workers, placement, in_flight, first_epoch },
    )
}

impl WorkerPace {
    /// How timely runs the workers.
    fn timely_config(&self) -> timely::Config {
        let communication = match self.placement {
            WorkerPlacement::OneProcess => timely::CommunicationConfig::Process(self.workers),
            WorkerPlacement::SeveralProcesses => timely::CommunicationConfig::ProcessBinary(self.workers),
        };
        let mut config = timely::Config { communication, worker: timely::WorkerConfig::default() };
        configure(&mut config.worker);
        config
    }

    /// Whether a worker is given the changes that another one made.
    pub(crate) fn reports_to_first_worker(&self) -> bool {
        self.placement == WorkerPlacement::SeveralProcesses
    }
}

/// What the graph handed over, by epoch, and the progress that its workers saw.
#[derive(Default)]
pub(crate) struct HistoryLog {
    changes: BTreeMap<u64, Vec<AnswerChange>>,
    /// The frontiers that workers saw, each with the number of changes handed over for epochs below it.
    pub(crate) passed: Vec<(u64, usize)>,
    /// The last epoch of each worker: calls must come in epoch order.
    last: [Option<u64>; 3],
    /// The number of texts that sweeps freed.
    pub(crate) freed: usize,
    /// The number of completed sweeps.
    pub(crate) sweeps: usize,
}

impl HistoryLog {
    pub(crate) fn changes_below(&self, epoch: u64) -> usize {
        self.changes.range(..epoch).map(|(_, changes)| changes.len()).sum()
    }
}

/// Runs a graph over a history. At the end of each epoch in `sweeps` a sweep begins, if none is running.
///
/// # Panics
/// With the message of the first worker that panics. The others end, too.
pub(crate) fn run_history(
    arrivals: &[RowArrival],
    options: GraphOptions,
    questions: &QuestionSet,
    pace: WorkerPace,
    sweeps: &[u64],
) -> HistoryLog {
    let log = Arc::new(Mutex::new(HistoryLog::default()));
    let arrivals = arrivals.to_vec();
    let questions = questions.clone();
    let plan = SweepPlan::new(pace.workers, sweeps);
    let failure = Arc::new(WorkerFailure::default());
    let watched = Arc::clone(&failure);
    let shared = Arc::clone(&log);
    let guards = timely::execute(pace.timely_config(), move |worker| {
        let shared = (&plan, &*watched, &shared);
        watched.record_panic(|| run_worker(worker, &arrivals, options, &questions, pace, shared));
    });
    let results = guards.expect("timely starts").join().into_iter().collect::<Vec<_>>();
    if let Some(message) = failure.message() {
        panic!("a worker panicked: {message}");
    }
    assert!(results.iter().all(Result::is_ok), "a worker panicked after the last epoch");
    Arc::into_inner(log).and_then(|log| log.into_inner().ok()).expect("all workers are gone")
}

/// What the workers of a history share.
type SharedByWorkers<'a> = (&'a SweepPlan, &'a WorkerFailure, &'a Arc<Mutex<HistoryLog>>);

fn run_worker(
    worker: &mut Worker,
    arrivals: &[RowArrival],
    options: GraphOptions,
    questions: &QuestionSet,
    pace: WorkerPace,
    (plan, failure, shared): SharedByWorkers<'_>,
) {
    let (index, first) = (worker.index(), pace.first_epoch);
    let changes = Arc::clone(shared);
    let mut graph = WorkerGraph::install(
        worker,
        pace.placement,
        first,
        options,
        questions,
        move |epoch, changed| {
            assert!(index == 0 || !pace.reports_to_first_worker(), "only the first worker hands over changes");
            let epoch = epoch.checked_sub(first).expect("no change is before the first epoch");
            let mut log = changes.lock().expect("no worker panicked");
            assert!(log.last[index] < Some(epoch), "epochs come in order, each once");
            log.last[index] = Some(epoch);
            log.changes.entry(epoch).or_default().extend(changed);
        },
        |_, _, _| {},
    );
    plan.installed.fetch_add(1, Ordering::AcqRel);
    failure.wait_while(|| plan.installed.load(Ordering::Acquire) < worker.peers(), std::thread::yield_now);
    let note = |graph: &WorkerGraph| {
        let passed = graph.frontier().saturating_sub(first);
        let freed = plan.free_passed(passed);
        let mut log = shared.lock().expect("no worker panicked");
        let below = log.changes_below(passed);
        log.passed.push((passed, below));
        log.freed += freed.unwrap_or(0);
        log.sweeps += usize::from(freed.is_some());
        passed
    };
    for epoch in 0..EPOCHS {
        for RowArrival { lineage, post, .. } in
            arrivals.iter().filter(|it| it.epoch == epoch && it.worker % worker.peers() == index)
        {
            match post {
                StreamPost::Pin(row) => graph.pin(*lineage, row),
                StreamPost::Geo(row) => graph.geo(*lineage, row),
                StreamPost::User(row) => graph.user(*lineage, row),
            }
        }
        if let Some(sweep) = plan.begin_at(epoch) {
            graph.mark_after(first + epoch, sweep);
        }
        graph.advance_to(first + epoch + 1);
        failure.wait_while(|| note(&graph) + pace.in_flight <= epoch + 1, || step_worker(worker));
    }
    failure.wait_while(|| note(&graph) < EPOCHS, || step_worker(worker));
}

fn step_worker(worker: &mut Worker) {
    worker.step_or_park(Some(Duration::from_millis(1)));
}

/// The first panic of a worker. The others stop waiting for it.
#[derive(Default)]
pub(crate) struct WorkerFailure {
    message: Mutex<Option<String>>,
}

impl WorkerFailure {
    pub(crate) fn message(&self) -> Option<String> {
        self.message.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a worker, and records its panic if it is the first.
    pub(crate) fn record_panic(&self, run: impl FnOnce()) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else { return };
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let mut message = self.message.lock().unwrap_or_else(PoisonError::into_inner);
        message.get_or_insert_with(|| text.unwrap_or_else(|| "without a message".to_owned()));
        drop(message);
        resume_unwind(panic);
    }

    /// Waits, unless another worker has panicked or the graph has stopped.
    pub(crate) fn wait_while(&self, is_waiting: impl Fn() -> bool, mut step: impl FnMut()) {
        let (start, mut steps) = (Instant::now(), 0_u64);
        while is_waiting() {
            assert!(self.message().is_none(), "another worker panicked");
            let is_stuck = steps > EPOCH_STEPS && start.elapsed() >= EPOCH_TIMEOUT;
            assert!(!is_stuck, "no epoch was completed in {steps} steps and {EPOCH_TIMEOUT:?}");
            step();
            steps += 1;
        }
    }
}

/// A sweep, once it has begun, and the number of workers that have received it.
type PlannedSweep = (Option<Arc<SymbolSweep>>, usize);

/// Begins and ends sweeps as the engine does.
struct SweepPlan {
    /// The sweeps that begin at the end of planned epochs.
    begun: BTreeMap<u64, Mutex<PlannedSweep>>,
    under_way: Mutex<Option<(u64, Arc<SymbolSweep>)>>,
    workers: usize,
    /// The number of workers that have installed the graph.
    installed: AtomicUsize,
}

impl SweepPlan {
    fn new(workers: usize, epochs: &[u64]) -> SweepPlan {
        let begun = epochs.iter().map(|epoch| (*epoch, Mutex::default())).collect();
        SweepPlan { begun, under_way: Mutex::default(), workers, installed: AtomicUsize::new(0) }
    }

    /// The sweep that begins at the end of an epoch. The first worker that closes the epoch begins it, before any
    /// worker opens the next one.
    fn begin_at(&self, epoch: u64) -> Option<Arc<SymbolSweep>> {
        let mut begun = self.begun.get(&epoch)?.lock().expect("no worker panicked");
        let (sweep, told) = &mut *begun;
        if *told == 0 {
            *sweep = SymbolSweep::begin(self.workers);
            let under_way = sweep.clone().map(|sweep| (epoch, sweep));
            if under_way.is_some() {
                *self.under_way.lock().expect("no worker panicked") = under_way;
            }
        }
        *told += 1;
        if *told == self.workers { sweep.take() } else { sweep.clone() }
    }

    /// Frees unmarked texts if the epoch of the current sweep is complete. Returns their number.
    fn free_passed(&self, passed: u64) -> Option<usize> {
        let mut under_way = self.under_way.lock().expect("no worker panicked");
        let (_, sweep) = under_way.take_if(|(epoch, sweep)| passed > *epoch && sweep.is_marked())?;
        Some(sweep.free_unmarked())
    }
}

/// Compares every answer at every epoch with its SQL.
pub(crate) fn check_answers(
    arrivals: &[RowArrival],
    options: GraphOptions,
    log: &HistoryLog,
) -> Result<(), TestCaseError> {
    let oracle = SqlOracle::default();
    for RowArrival { epoch, lineage, post, .. } in arrivals {
        match post {
            StreamPost::Pin(row) => oracle.insert_pin(*epoch, *lineage, row),
            StreamPost::Geo(row) => oracle.insert_geo(*epoch, *lineage, row),
            StreamPost::User(row) => oracle.insert_user(*epoch, *lineage, row),
        }
    }
    let questions = asked_questions(options);
    for (epoch, answers) in (0..).zip(answers_by_epoch(&questions, log)) {
        for ((_, question), rows) in questions.iter().zip(answers) {
            prop_assert_eq!(
                rows,
                oracle.query_answer(question, options, epoch),
                "{} at epoch {} with {:?}",
                question.name,
                epoch,
                options
            );
        }
    }
    Ok(())
}

/// The answers of all questions at each epoch, in listing order, computed from the changes.
pub(crate) fn answers_by_epoch(questions: &QuestionSet, log: &HistoryLog) -> Vec<Vec<Vec<AnswerRow>>> {
    let mut tables: Vec<_> = questions.iter().map(|(id, question)| (id, question.empty_table())).collect();
    (0..EPOCHS)
        .map(|epoch| {
            for (answer, table) in &mut tables {
                let changes = log.changes.get(&epoch).into_iter().flatten().filter(|it| it.answer == *answer);
                table.apply(changes.map(|change| (&change.row, change.diff))).expect("changes fit");
            }
            tables.iter().map(|(_, table)| table.rows().cloned().collect()).collect()
        })
        .collect()
}
