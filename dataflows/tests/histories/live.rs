//! Histories in which questions are added and dropped while the graph runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pinflow_dataflows::graph::{
    AnswerChange, DuplicatePolicy, FillProgress, GraphOptions, QuestionUsage, StateSizes, WorkerGraph,
};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionSet, ReadColumns};
use pinflow_dataflows::record::{Geo, Pin, Stream, User};
use timely::worker::Worker;

use super::{RowArrival, StreamPost, SweepPlan, WorkerFailure, WorkerPace, step_worker};

/// The number of epochs of a history with live questions: the last ones are only there for what is not complete.
pub(crate) const LIVE_EPOCHS: u64 = 18;

/// When a question is there, and how it is filled.
#[derive(Debug, Clone)]
pub(crate) struct PlannedQuestion {
    pub(crate) question: Question,
    /// `None` if the graph starts with it.
    pub(crate) added: Option<u64>,
    pub(crate) dropped: Option<u64>,
    /// Whether commands come after the rows of their epoch, where that is allowed.
    pub(crate) is_late: bool,
    /// Where and when rows of the tables are given: the worker and the number of epochs after the first.
    pub(crate) fills: Vec<(usize, u64)>,
}

/// A change of the questions, in the order in which all workers make them.
#[derive(Debug, Clone)]
pub(crate) enum QuestionEvent {
    Add { id: QuestionId, question: Arc<Question>, needed: Option<ReadColumns> },
    BeginFill(QuestionId),
    Drop(QuestionId),
}

/// A row of the tables for a question, by the index of its arrival, and the columns that the question needs.
type PlannedFill = (QuestionId, usize, ReadColumns);

/// What happens to the questions of a history.
#[derive(Debug, Default)]
pub(crate) struct LivePlan {
    /// The questions with their ids, and the epochs in which they are added and dropped.
    pub(crate) questions: Vec<(QuestionId, Arc<Question>, u64, Option<u64>)>,
    /// Those with which the graph starts.
    pub(crate) first: QuestionSet,
    /// By epoch and whether they come after its rows.
    events: BTreeMap<(u64, bool), Vec<QuestionEvent>>,
    /// By worker and epoch: the question, and the index of the arrival.
    fills: BTreeMap<(usize, u64), Vec<PlannedFill>>,
}

impl LivePlan {
    /// Plans the events in the order of the epochs, and gives rows of the tables where the graph needs them.
    pub(crate) fn new(planned: &[PlannedQuestion], arrivals: &[RowArrival], duplicates: DuplicatePolicy) -> LivePlan {
        let mut plan = LivePlan::default();
        let mut set = QuestionSet::default();
        for it in planned.iter().filter(|it| it.added.is_none()) {
            let (with, id) = set.with_question(it.question.clone()).expect("another name");
            plan.questions.push((id, Arc::new(it.question.clone()), 0, it.dropped));
            set = with;
        }
        plan.first = set.clone();
        // The questions whose columns are held at the moment, and those that wait for rows.
        let (mut held, mut begins) = (set, BTreeMap::<u64, Vec<QuestionId>>::new());
        for epoch in 0..LIVE_EPOCHS {
            let added: Vec<_> = planned.iter().filter(|it| it.added == Some(epoch)).collect();
            for late in [false, true] {
                let mut events = Vec::new();
                for it in &added {
                    let needed = ReadColumns::to_fill(duplicates, &held, &it.question);
                    if late != (it.is_late && needed.is_none()) {
                        continue;
                    }
                    // All get an id from the same set, but only those whose columns are held count as held.
                    let (with, id) = held.with_question(it.question.clone()).expect("another name");
                    held = if needed.is_some() { with.without_question(id) } else { with };
                    let question = Arc::new(it.question.clone());
                    if let Some(needed) = &needed {
                        let begin = plan.plan_fills((id, it, epoch), needed, arrivals);
                        begins.entry(begin).or_default().push(id);
                    }
                    plan.questions.push((id, Arc::clone(&question), epoch, it.dropped));
                    events.push(QuestionEvent::Add { id, question, needed });
                }
                let drops_now = |it: &&(QuestionId, Arc<Question>, u64, Option<u64>)| {
                    it.3 == Some(epoch) && late == (it.0.number().is_multiple_of(2) || it.2 == epoch)
                };
                for (id, ..) in plan.questions.iter().filter(drops_now) {
                    events.push(QuestionEvent::Drop(*id));
                    held = held.without_question(*id);
                }
                if late {
                    events.extend(begins.remove(&epoch).into_iter().flatten().map(QuestionEvent::BeginFill));
                }
                plan.events.insert((epoch, late), events);
            }
        }
        plan
    }

    /// Gives all rows of earlier epochs to a question, and returns the epoch in which the last one is given.
    fn plan_fills(
        &mut self,
        (id, planned, added): (QuestionId, &PlannedQuestion, u64),
        needed: &ReadColumns,
        arrivals: &[RowArrival],
    ) -> u64 {
        let mut last = added;
        let mut places = planned.fills.iter().copied().cycle();
        let is_needed = |arrival: &RowArrival| needed.of_stream(arrival.post.stream()).is_some();
        for (index, _) in arrivals.iter().enumerate().filter(|(_, it)| it.epoch < added && is_needed(it)) {
            let (worker, after) = places.next().unwrap_or_default();
            let epoch = (added + after).min(LIVE_EPOCHS - 1);
            last = last.max(epoch);
            self.fills.entry((worker, epoch)).or_default().push((id, index, needed.clone()));
        }
        last
    }
}

/// What the graph handed over.
#[derive(Debug, Default)]
pub(crate) struct LiveLog {
    pub(crate) changes: BTreeMap<u64, Vec<AnswerChange>>,
    /// By worker, in the order of the calls.
    pub(crate) fills: Vec<(usize, u64, FillProgress)>,
    /// What each worker holds at the end.
    pub(crate) usage: Vec<Vec<QuestionUsage>>,
    pub(crate) sizes: Vec<StateSizes>,
    pub(crate) freed_texts: usize,
}

impl LiveLog {
    /// The first epoch at which a question is complete on all workers.
    pub(crate) fn completed(&self, question: QuestionId, workers: usize) -> Option<u64> {
        let complete = self.fills.iter().filter(|(_, _, it)| it.question == question && it.is_complete());
        let epochs: BTreeMap<usize, u64> = complete.map(|(worker, epoch, _)| (*worker, *epoch)).collect();
        (epochs.len() == workers).then(|| epochs.into_values().max()).flatten()
    }
}

/// How a history with live questions is driven.
#[derive(Debug, Clone)]
pub(crate) struct LivePace {
    pub(crate) pace: WorkerPace,
    /// The keys of a walk in each epoch, repeated.
    pub(crate) keys_per_epoch: Vec<u32>,
    /// Whether the first worker begins only once the others have closed all epochs.
    pub(crate) is_first_late: bool,
    pub(crate) sweeps: Vec<u64>,
}

/// Runs a graph over a history while questions come and go.
///
/// # Panics
/// With the message of the first worker that panics.
pub(crate) fn run_live_history(
    arrivals: &[RowArrival],
    options: GraphOptions,
    plan: &Arc<LivePlan>,
    pace: &LivePace,
) -> LiveLog {
    let shared = Arc::new(SharedRun::new(arrivals, options, plan, pace, pace.pace.workers));
    let failure = Arc::new(WorkerFailure::default());
    let (watched, run) = (Arc::clone(&failure), Arc::clone(&shared));
    let guards = timely::execute(pace.pace.timely_config(), move |worker| {
        watched.record_panic(|| run_live_worker(worker, &run, &watched));
    });
    let results = guards.expect("timely starts").join().into_iter().collect::<Vec<_>>();
    if let Some(message) = failure.message() {
        panic!("a worker panicked: {message}");
    }
    assert!(results.iter().all(Result::is_ok), "a worker panicked after the last epoch");
    shared.take_log()
}

/// What the workers of this process share in a run.
pub(crate) struct SharedRun {
    arrivals: Vec<RowArrival>,
    options: GraphOptions,
    plan: Arc<LivePlan>,
    pace: LivePace,
    /// The number of workers in this process.
    local_workers: usize,
    sweeps: SweepPlan,
    /// The number of workers that have closed all epochs.
    closed: AtomicUsize,
    log: Arc<Mutex<LiveLog>>,
}

impl SharedRun {
    pub(crate) fn new(
        arrivals: &[RowArrival],
        options: GraphOptions,
        plan: &Arc<LivePlan>,
        pace: &LivePace,
        local_workers: usize,
    ) -> SharedRun {
        SharedRun {
            arrivals: arrivals.to_vec(),
            options,
            plan: Arc::clone(plan),
            pace: pace.clone(),
            local_workers,
            sweeps: SweepPlan::new(local_workers, &pace.sweeps),
            closed: AtomicUsize::new(0),
            log: Arc::default(),
        }
    }

    /// Ends a sweep that was not marked on all workers before they had seen its epoch pass.
    pub(crate) fn end_sweep(&self) {
        self.sweeps.under_way.lock().expect("no worker panicked").take();
    }

    /// What the graph handed over in this process.
    pub(crate) fn take_log(&self) -> LiveLog {
        std::mem::take(&mut *self.log.lock().expect("no worker panicked"))
    }
}

/// Runs the part of one worker.
pub(crate) fn run_live_worker(worker: &mut Worker, run: &SharedRun, failure: &WorkerFailure) {
    let (index, peers, first) = (worker.index(), worker.peers(), run.pace.pace.first_epoch);
    let mut graph = install_live(worker, run);
    run.sweeps.installed.fetch_add(1, Ordering::AcqRel);
    failure.wait_while(|| run.sweeps.installed.load(Ordering::Acquire) < run.local_workers, std::thread::yield_now);
    let is_late = run.pace.is_first_late && worker.peers() > 1;
    if is_late && index == 0 {
        failure.wait_while(|| run.closed.load(Ordering::Acquire) + 1 < peers, || step_worker(worker));
    }
    let passed = |graph: &WorkerGraph| {
        let passed = graph.frontier().saturating_sub(first);
        let freed = run.sweeps.free_passed(passed);
        run.log.lock().expect("no worker panicked").freed_texts += freed.unwrap_or(0);
        passed
    };
    for epoch in 0..LIVE_EPOCHS {
        let steps = &run.pace.keys_per_epoch;
        // In the last epochs all that is not complete is completed.
        let step = if epoch + 3 < LIVE_EPOCHS { steps[epoch as usize % steps.len()] } else { u32::MAX };
        graph.set_keys_per_epoch(step);
        make_events(&mut graph, &run.plan, (epoch, false));
        let fills = run.plan.fills.iter().filter(|((to, at), _)| *to % worker.peers() == index && *at == epoch);
        let mut fills = fills.flat_map(|(_, fills)| fills);
        for arrival in run.arrivals.iter().filter(|it| it.epoch == epoch && it.worker % worker.peers() == index) {
            give_fill(&mut graph, fills.next(), run);
            send_row(&mut graph, arrival);
        }
        fills.for_each(|fill| give_fill(&mut graph, Some(fill), run));
        make_events(&mut graph, &run.plan, (epoch, true));
        if let Some(sweep) = run.sweeps.begin_at(epoch) {
            graph.mark_after(first + epoch, sweep);
        }
        graph.advance_to(first + epoch + 1);
        let in_flight = if is_late { LIVE_EPOCHS + 1 } else { run.pace.pace.in_flight };
        failure.wait_while(|| passed(&graph) + in_flight <= epoch + 1, || step_worker(worker));
    }
    run.closed.fetch_add(1, Ordering::AcqRel);
    failure.wait_while(|| passed(&graph) < LIVE_EPOCHS, || step_worker(worker));
    let mut log = run.log.lock().expect("no worker panicked");
    log.usage.push(graph.question_usage());
    log.sizes.push(graph.sizes());
}

fn install_live(worker: &mut Worker, run: &SharedRun) -> WorkerGraph {
    let (index, first) = (worker.index(), run.pace.pace.first_epoch);
    let (changes, fills) = (Arc::clone(&run.log), Arc::clone(&run.log));
    let reports_to_first = run.pace.pace.reports_to_first_worker();
    WorkerGraph::install(
        worker,
        run.pace.pace.placement,
        first,
        run.options,
        &run.plan.first,
        move |epoch, changed| {
            assert!(index == 0 || !reports_to_first, "only the first worker hands over changes");
            let mut log = changes.lock().expect("no worker panicked");
            let changes = log.changes.entry(epoch - first).or_default();
            assert!(changes.is_empty() || !reports_to_first, "the changes of an epoch are handed over at once");
            changes.extend(changed);
        },
        move |epoch, at, progress| {
            assert_eq!(index, if reports_to_first { 0 } else { at }, "the worker that hands over progress");
            fills.lock().expect("no worker panicked").fills.push((at, epoch - first, progress));
        },
    )
}

fn make_events(graph: &mut WorkerGraph, plan: &LivePlan, at: (u64, bool)) {
    for event in plan.events.get(&at).into_iter().flatten() {
        match event {
            QuestionEvent::Add { id, question, needed } => graph.add_question(*id, question, needed.is_some()),
            QuestionEvent::BeginFill(id) => graph.begin_fill(*id),
            QuestionEvent::Drop(id) => graph.drop_question(*id),
        }
    }
}

fn send_row(graph: &mut WorkerGraph, RowArrival { lineage, post, .. }: &RowArrival) {
    match post {
        StreamPost::Pin(row) => graph.pin(*lineage, row),
        StreamPost::Geo(row) => graph.geo(*lineage, row),
        StreamPost::User(row) => graph.user(*lineage, row),
    }
}

/// Gives a row of the tables, with no other columns than those that are needed.
fn give_fill(graph: &mut WorkerGraph, fill: Option<&PlannedFill>, run: &SharedRun) {
    let Some((id, arrival, needed)) = fill else { return };
    let RowArrival { lineage, post, .. } = &run.arrivals[*arrival];
    let keeps = |stream, name: &str| needed.of_stream(stream).is_some_and(|columns| columns.contains(&name));
    match post {
        StreamPost::Pin(row) => {
            let keeps = |name| keeps(Stream::Pin, name);
            let row = row.clone();
            let row = Pin {
                ind: row.ind,
                unique_id: row.unique_id.filter(|_| keeps("unique_id")),
                title: row.title.filter(|_| keeps("title")),
                description: row.description.filter(|_| keeps("description")),
                follower_count: row.follower_count.filter(|_| keeps("follower_count")),
                poster_name: row.poster_name.filter(|_| keeps("poster_name")),
                tag_list: row.tag_list.filter(|_| keeps("tag_list")),
                is_image_or_video: row.is_image_or_video.filter(|_| keeps("is_image_or_video")),
                image_src: row.image_src.filter(|_| keeps("image_src")),
                save_location: row.save_location.filter(|_| keeps("save_location")),
                category: row.category.filter(|_| keeps("category")),
            };
            graph.fill_pin(*id, *lineage, &row);
        }
        StreamPost::Geo(row) => {
            let keeps = |name| keeps(Stream::Geo, name);
            let row = row.clone();
            let row = Geo {
                ind: row.ind,
                country: row.country.filter(|_| keeps("country")),
                coordinates: row.coordinates.filter(|_| keeps("coordinates")),
                timestamp: row.timestamp.filter(|_| keeps("timestamp")),
            };
            graph.fill_geo(*id, *lineage, &row);
        }
        StreamPost::User(row) => {
            let keeps = |name| keeps(Stream::User, name);
            let row = row.clone();
            let row = User {
                ind: row.ind,
                user_name: row.user_name.filter(|_| keeps("user_name")),
                age: row.age.filter(|_| keeps("age")),
                date_joined: row.date_joined.filter(|_| keeps("date_joined")),
            };
            graph.fill_user(*id, *lineage, &row);
        }
    }
}
