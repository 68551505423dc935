//! Questions that are added to a graph of a million `ind`s, and dropped again, while updates go on.
//!
//! Prints for each question: the time until its answer is complete, the number of epochs and how long these took, the
//! time of the epoch in which it is dropped, and what it holds. Then how long a lone update takes, with the built-in
//! questions and with twenty more. `KEYS_PER_EPOCH` sets the step of the fill, `INDS` the
//! number of `ind`s.

#![allow(clippy::print_stdout, missing_docs, reason = "a bench prints what it measures")]

mod posts;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pinflow_dataflows::graph::{GraphOptions, WorkerGraph, WorkerPlacement};
use pinflow_dataflows::questions::{Question, QuestionOrigin, QuestionSet};
use pinflow_dataflows::symbol::Symbol;
use posts::{BenchTexts, send_posts, splitmix};
use timely::worker::Worker;

const QUESTIONS: [(&str, &str); 6] = [
    ("count", "SELECT count(*) AS posts FROM pin"),
    ("by_category", "SELECT category, count(*) AS posts, avg(follower_count) AS mean FROM pin GROUP BY category"),
    (
        "three_tables",
        "SELECT country, category, age, count(*) AS posts, sum(follower_count) AS followers
         FROM pin JOIN geo USING (ind) JOIN user USING (ind) GROUP BY country, category, age",
    ),
    ("by_poster", "SELECT poster_name, count(*) AS posts, max(follower_count) AS most FROM pin GROUP BY poster_name"),
    ("medians", "SELECT country, median(follower_count) AS middle FROM pin JOIN geo USING (ind) GROUP BY country"),
    ("rows", "SELECT ind, category, country FROM pin JOIN geo USING (ind) WHERE follower_count > 3000000"),
];

fn main() {
    let set = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let inds = set("INDS").unwrap_or(1_000_000);
    timely::execute_directly(move |worker| {
        let mut run = LiveRun::start(worker, inds);
        if let Some(keys) = set("KEYS_PER_EPOCH") {
            run.graph.set_keys_per_epoch(keys as u32);
        }
        let mut questions = QuestionSet::built_in(GraphOptions::default());
        for (name, text) in QUESTIONS {
            let name = name.parse().expect("a valid name");
            let question = Question::compile(name, text, GraphOptions::default(), QuestionOrigin::Configured);
            let question = question.unwrap_or_else(|error| panic!("{error}"));
            let (set, id) = questions.with_question(question.clone()).expect("another name");
            questions = set;
            run.graph.add_question(id, &question, false);
            run.is_complete.set(false);
            let start = Instant::now();
            let mut epochs = Vec::new();
            while !run.is_complete.get() {
                epochs.push(run.epoch(worker));
            }
            let complete = start.elapsed();
            let usage = run.graph.question_usage().into_iter().find(|usage| usage.question == id);
            let after: Vec<_> = (0..200).map(|_| run.epoch(worker)).collect();
            run.graph.drop_question(id);
            let drop = run.epoch(worker);
            epochs.sort();
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{}: complete after {:.0} ms in {} epochs of p50 {:.2} ms, max {:.2} ms; update after it {:.0} µs; \
                 dropped in {:.2} ms; {usage:?}",
                question.name,
                millis(complete),
                epochs.len(),
                millis(epochs[epochs.len() / 2]),
                millis(epochs[epochs.len() - 1]),
                millis(after.iter().min().copied().unwrap_or_default()) * 1e3,
                millis(drop),
            );
        }
        measure_lone_updates(&mut run, worker, questions);
    });
}

/// Prints how long an epoch with one update takes with the built-in questions, and with twenty more.
fn measure_lone_updates(run: &mut LiveRun, worker: &mut Worker, mut questions: QuestionSet) {
    let print = |run: &mut LiveRun, worker: &mut Worker, what: &str| {
        let mut epochs: Vec<_> = (0..5_000).map(|_| run.epoch(worker)).collect();
        epochs.sort();
        let micros = |share: f64| epochs[((epochs.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
        println!("lone update with {what}: p50 {:.1} µs, p99 {:.1} µs", micros(0.5), micros(0.99));
    };
    print(run, worker, "11 questions");
    for number in 0..20 {
        let text = match number % 4 {
            0 => format!("SELECT age % {} AS rest, count(*) AS users FROM user GROUP BY 1", number + 2),
            1 => format!(
                "SELECT category, age % {} AS rest, avg(follower_count) AS mean FROM pin JOIN user USING (ind) GROUP BY 1, 2",
                number + 2
            ),
            2 => format!("SELECT country, median(age + {number}) AS middle FROM geo JOIN user USING (ind) GROUP BY 1"),
            _ => format!(
                "SELECT year(date_joined) AS joined, max(age) AS oldest, count(*) FILTER (WHERE age > {number}) AS n
                 FROM user GROUP BY 1"
            ),
        };
        let name = format!("more_{number}").parse().expect("a valid name");
        let question = Question::compile(name, &text, GraphOptions::default(), QuestionOrigin::Configured);
        let question = question.unwrap_or_else(|error| panic!("{error}"));
        let (set, id) = questions.with_question(question.clone()).expect("another name");
        questions = set;
        run.graph.add_question(id, &question, false);
        run.is_complete.set(false);
        while !run.is_complete.get() {
            run.epoch(worker);
        }
    }
    print(run, worker, "31 questions");
}

/// Nanoseconds since the first call.
fn elapsed_nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// A graph with rows.
struct LiveRun {
    graph: WorkerGraph,
    texts: BenchTexts,
    source: Symbol,
    inds: u64,
    epoch: u64,
    is_complete: Rc<Cell<bool>>,
}

impl LiveRun {
    fn start(worker: &mut Worker, inds: u64) -> LiveRun {
        let is_complete = Rc::new(Cell::new(false));
        let complete = Rc::clone(&is_complete);
        let mut graph = WorkerGraph::install(
            worker,
            WorkerPlacement::OneProcess,
            0,
            GraphOptions::default(),
            &QuestionSet::built_in(GraphOptions::default()),
            |_, _| {},
            move |_, _, progress| complete.set(progress.is_complete()),
        );
        graph.set_clock(elapsed_nanos);
        let mut run =
            LiveRun { graph, texts: BenchTexts::new(inds), source: Symbol::new("bench"), inds, epoch: 0, is_complete };
        for ind in 0..inds {
            send_posts(&mut run.graph, &run.texts, run.source, ind, 0);
            if ind % 10_000 == 9_999 {
                run.close_epoch(worker);
            }
        }
        run.close_epoch(worker);
        run
    }

    /// An epoch with one update. Returns how long it took.
    fn epoch(&mut self, worker: &mut Worker) -> Duration {
        send_posts(&mut self.graph, &self.texts, self.source, splitmix(self.epoch) % self.inds, 1 + self.epoch);
        let start = Instant::now();
        self.close_epoch(worker);
        start.elapsed()
    }

    fn close_epoch(&mut self, worker: &mut Worker) {
        self.epoch += 1;
        self.graph.advance_to(self.epoch);
        while self.graph.frontier() < self.epoch {
            worker.step();
        }
    }
}
