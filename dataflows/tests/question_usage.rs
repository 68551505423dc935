//! What questions hold, while they are there and after they were dropped.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pinflow_dataflows::graph::{
    DuplicatePolicy, FillProgress, GraphOptions, QuestionSet, QuestionUsage, StateSizes, WorkerGraph, WorkerPlacement,
};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionOrigin, QuestionPath, ReadColumns};
use pinflow_dataflows::record::{Geo, Lineage, Pin};
use pinflow_dataflows::symbol::Symbol;
use timely::worker::Worker;

/// The number of `ind`s.
const INDS: u64 = 100;

/// A question over held columns, whose groups have texts.
const BY_CATEGORY: &str = "SELECT category, string_agg(poster_name, ',' ORDER BY poster_name) AS posters, \
                           count(*) AS posts, sum(1 / (follower_count - follower_count)) AS fault \
                           FROM pin GROUP BY category";
/// A question that reads a column that is not held.
const BY_TITLE: &str = "SELECT title, country, count(*) AS posts FROM pin JOIN geo USING (ind) GROUP BY title, country";
/// Another one, whose rows are held above the leaves.
const FIRST_TITLES: &str = "SELECT ind, title, description FROM pin ORDER BY title, ind LIMIT 5";

/// A graph on one worker.
struct UsageRun<'a> {
    worker: &'a mut Worker,
    graph: WorkerGraph,
    options: GraphOptions,
    questions: QuestionSet,
    epoch: u64,
    fills: Rc<RefCell<Vec<FillProgress>>>,
}

impl<'a> UsageRun<'a> {
    fn start(worker: &'a mut Worker, duplicates: DuplicatePolicy, questions: QuestionSet) -> UsageRun<'a> {
        let options = GraphOptions { duplicates, ..GraphOptions::default() };
        let fills = Rc::new(RefCell::new(Vec::new()));
        let listener = Rc::clone(&fills);
        let graph = WorkerGraph::install(
            worker,
            WorkerPlacement::OneProcess,
            0,
            options,
            &questions,
            |_, _| {},
            move |_, _, progress| listener.borrow_mut().push(progress),
        );
        UsageRun { worker, graph, options, questions, epoch: 0, fills }
    }

    fn compile(&self, name: &str, sql: &str) -> Question {
        let name = name.parse().expect("a valid name");
        Question::compile(name, sql, self.options, QuestionOrigin::Configured).expect("compiles")
    }

    /// Adds a question and fills its answer.
    fn add(&mut self, name: &str, sql: &str) -> QuestionId {
        let question = self.compile(name, sql);
        let needed = ReadColumns::to_fill(self.options.duplicates, &self.questions, &question);
        let (questions, id) = self.questions.with_question(question.clone()).expect("another name");
        self.questions = questions;
        self.graph.add_question(id, &question, needed.is_some());
        self.close_epoch();
        if needed.is_some() {
            self.send_posts(Some(id));
            self.graph.begin_fill(id);
            self.close_epoch();
        }
        self.close_epochs_until(|run| run.is_complete(id));
        id
    }

    fn drop(&mut self, id: QuestionId) {
        self.questions = self.questions.without_question(id);
        self.graph.drop_question(id);
        self.close_epoch();
    }

    fn is_complete(&self, id: QuestionId) -> bool {
        self.fills.borrow().iter().any(|progress| progress.question == id && progress.is_complete())
    }

    /// Sends the rows of all `ind`s, or gives them to a question.
    fn send_posts(&mut self, fill: Option<QuestionId>) {
        for ind in 0..INDS {
            let position = ind.into();
            let lineage = Lineage { arrived_at: None, source: Symbol::new("recording/p"), position, sub: 0 };
            let pin = Pin {
                ind,
                unique_id: None,
                title: Some(format!("a title that is not stored inline: {ind}").into()),
                description: (ind % 2 == 0).then(|| format!("description {ind}").into()),
                follower_count: Some(3),
                poster_name: Some(format!("poster {}", ind % 40).into()),
                tag_list: None,
                is_image_or_video: None,
                image_src: None,
                save_location: None,
                category: Some(format!("category {}", ind % 7).into()),
            };
            let geo = Geo { ind, country: Some("Chad".into()), coordinates: None, timestamp: None };
            match fill {
                Some(id) => {
                    self.graph.fill_pin(id, lineage, &pin);
                    self.graph.fill_geo(id, lineage, &geo);
                }
                None => {
                    self.graph.pin(lineage, &pin);
                    self.graph.geo(lineage, &geo);
                }
            }
        }
    }

    fn close_epoch(&mut self) {
        self.epoch += 1;
        self.graph.advance_to(self.epoch);
        while self.graph.frontier() < self.epoch {
            self.worker.step();
        }
    }

    fn close_epochs_until(&mut self, is_done: impl Fn(&UsageRun<'_>) -> bool) {
        for _ in 0..5_000 {
            if is_done(self) {
                return;
            }
            self.close_epoch();
        }
        panic!("not done after 5,000 epochs: {:?}", self.sizes());
    }

    fn usage_of(&self, id: QuestionId) -> QuestionUsage {
        self.graph.question_usage().into_iter().find(|usage| usage.question == id).expect("the question is there")
    }

    /// The sizes without the faults, which are only counted up.
    fn sizes(&self) -> StateSizes {
        StateSizes { faults: 0, ..self.graph.sizes() }
    }
}

fn run_usage(duplicates: DuplicatePolicy, questions: QuestionSet, run: fn(UsageRun<'_>)) {
    timely::execute_directly(move |worker| run(UsageRun::start(worker, duplicates, questions)));
}

/// Adds questions, checks what they hold, and drops them again, twice.
fn check_that_all_is_freed(mut run: UsageRun<'_>) {
    run.graph.set_keys_per_epoch(7);
    run.send_posts(None);
    run.close_epoch();
    let empty = run.sizes();
    assert_eq!((empty.groups, empty.entries, empty.general_bytes), (0, 0, 0));
    for round in 0..2 {
        let by_category = run.add(&format!("by_category_{round}"), BY_CATEGORY);
        let by_title = run.add(&format!("by_title_{round}"), BY_TITLE);
        let first_titles = run.add(&format!("first_titles_{round}"), FIRST_TITLES);
        let of_category = run.usage_of(by_category);
        assert_eq!(of_category.groups, 7, "{of_category:?}");
        assert!(of_category.texts >= 7 + INDS, "{of_category:?}");
        assert_eq!(of_category.faults, INDS, "1 / 0 is counted once for each row: {of_category:?}");
        let of_title = run.usage_of(by_title);
        assert_eq!(of_title.groups, INDS, "{of_title:?}");
        // The titles are held of each row and in the keys of the groups.
        assert!(of_title.texts >= 3 * INDS && of_title.bytes > 2 * 40 * INDS, "{of_title:?}");
        let of_first = run.usage_of(first_titles);
        assert!(of_first.rows >= INDS && of_first.texts >= 2 * INDS + INDS / 2, "{of_first:?}");
        let all = [of_category, of_title, of_first];
        assert!(all.iter().all(|usage| usage.evaluated >= INDS && usage.nanos == 0), "{all:?}");
        let sizes = run.sizes();
        assert_eq!(sizes.groups as u64, all.iter().map(|usage| usage.groups).sum::<u64>());
        assert_eq!(sizes.entries as u64, all.iter().map(|usage| usage.rows).sum::<u64>());
        for id in [by_title, by_category, first_titles] {
            run.drop(id);
            assert!(run.graph.question_usage().iter().all(|usage| usage.question != id));
        }
        // What is held of extra columns is freed step by step.
        run.close_epochs_until(|run| run.sizes() == empty);
        assert!(run.graph.question_usage().is_empty());
        assert_eq!(run.graph.sizes().faults, (round + 1) * INDS, "the faults stay in the sum");
    }
}

#[test]
fn state_of_dropped_questions_is_freed() {
    run_usage(DuplicatePolicy::Latest, QuestionSet::default(), check_that_all_is_freed);
}

#[test]
fn state_of_dropped_questions_is_freed_where_every_delivery_counts() {
    run_usage(DuplicatePolicy::Keep, QuestionSet::default(), check_that_all_is_freed);
}

/// The groups, the upper plan, and the rows that are kept where every delivery counts: freeing them can take seconds.
#[test]
fn state_of_dropped_question_is_handed_over() {
    static HANDED_OVER: AtomicUsize = AtomicUsize::new(0);
    for (duplicates, states) in [(DuplicatePolicy::Latest, 2), (DuplicatePolicy::Keep, 3)] {
        HANDED_OVER.store(0, Ordering::Relaxed);
        run_usage(duplicates, QuestionSet::default(), |mut run| {
            run.graph.set_disposal(|state| {
                drop(state);
                HANDED_OVER.fetch_add(1, Ordering::Relaxed);
            });
            run.send_posts(None);
            run.close_epoch();
            let id = run.add("by_title", BY_TITLE);
            run.drop(id);
        });
        assert_eq!(HANDED_OVER.load(Ordering::Relaxed), states, "{duplicates}");
    }
}

#[test]
fn question_that_is_dropped_while_it_is_filled_leaves_nothing_behind() {
    run_usage(DuplicatePolicy::Latest, QuestionSet::default(), |mut run| {
        run.graph.set_keys_per_epoch(7);
        run.send_posts(None);
        run.close_epoch();
        let empty = run.sizes();
        let question = run.compile("by_title", BY_TITLE);
        for (number, is_begun) in [(5, false), (6, true)] {
            let id = QuestionId::new(number);
            run.graph.add_question(id, &question, true);
            run.close_epoch();
            run.send_posts(Some(id));
            if is_begun {
                run.graph.begin_fill(id);
            }
            run.close_epoch();
            assert!(run.sizes() != empty && !run.is_complete(id));
            run.drop(id);
            // Rows of the tables that come later are ignored.
            run.send_posts(Some(id));
            run.graph.begin_fill(id);
            run.close_epochs_until(|run| run.sizes() == empty);
        }
    });
}

#[test]
fn question_of_the_fast_path_has_usage_and_frees_it() {
    let options = GraphOptions::default();
    let mine = "SELECT category, count(*) AS posts FROM pin WHERE category IS NOT NULL GROUP BY category";
    let name = "mine".parse().expect("a valid name");
    let mine = Question::compile(name, mine, options, QuestionOrigin::Configured).expect("compiles");
    assert!(matches!(mine.path, QuestionPath::Compact(_)));
    let (questions, _) = QuestionSet::built_in(options).with_question(mine).expect("another name");
    run_usage(DuplicatePolicy::Latest, questions, |mut run| {
        run.send_posts(None);
        run.close_epoch();
        let (id, _) = run.questions.find("mine").expect("is there");
        let usage = run.usage_of(id);
        assert_eq!((usage.groups, usage.evaluated), (7, 0), "{usage:?}");
        assert!(usage.bytes > 0, "{usage:?}");
        let before = run.sizes();
        assert_eq!(run.graph.question_usage().len(), 12);
        assert_eq!(before.groups as u64, run.graph.question_usage().iter().map(|usage| usage.groups).sum::<u64>());
        run.drop(id);
        let after = run.sizes();
        assert_eq!((run.graph.question_usage().len(), before.groups - after.groups), (11, 7));
        // Rows that come later make no groups of it.
        run.send_posts(None);
        run.close_epoch();
        assert_eq!(run.sizes(), after);
    });
}

#[test]
fn one_evaluation_in_64_is_timed() {
    static NANOS: AtomicU64 = AtomicU64::new(0);
    run_usage(DuplicatePolicy::Latest, QuestionSet::default(), |mut run| {
        // Each reading is ten nanoseconds after the one before.
        run.graph.set_clock(|| NANOS.fetch_add(10, Ordering::Relaxed));
        run.send_posts(None);
        run.close_epoch();
        let id = run.add("by_category", BY_CATEGORY);
        let usage = run.usage_of(id);
        assert_eq!((usage.evaluated, usage.nanos), (INDS, 10 * INDS), "{usage:?}");
        assert_eq!(NANOS.load(Ordering::Relaxed), 2 * 10 * INDS.div_ceil(64));
    });
}

#[test]
fn question_that_needs_rows_of_the_tables_is_refused_without_them() {
    let refused = std::panic::catch_unwind(|| {
        run_usage(DuplicatePolicy::Latest, QuestionSet::default(), |mut run| {
            let question = run.compile("by_title", BY_TITLE);
            run.graph.add_question(QuestionId::new(0), &question, false);
        });
    });
    assert!(refused.is_err(), "its answer would be wrong");
}
