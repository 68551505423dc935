//! What a question that is added does in each epoch until its answer is complete: no more than its step, and for each
//! group one change in all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pinflow_dataflows::graph::{AnswerChange, FillProgress, GraphOptions, QuestionSet, WorkerGraph, WorkerPlacement};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionOrigin};
use pinflow_dataflows::record::{Lineage, Pin};
use pinflow_dataflows::symbol::Symbol;
use timely::worker::Worker;

/// The number of `ind`s, and for how many of them a question is filled in one epoch.
const INDS: u64 = 2_000;
const STEP: u32 = 16;
/// The epochs in which the keys are walked over.
const WALK_EPOCHS: usize = INDS as usize / STEP as usize;

const BY_TWO: &str = "SELECT category, poster_name, count(*) AS posts FROM pin GROUP BY 1, 2";
const RANKED: &str = "SELECT category, poster_name, rank() OVER (PARTITION BY category ORDER BY posts DESC, poster_name) AS place \
                      FROM (SELECT category, poster_name, count(*) AS posts FROM pin GROUP BY 1, 2)";
const FIRST: &str =
    "SELECT category, poster_name, count(*) AS posts FROM pin GROUP BY 1, 2 ORDER BY posts DESC LIMIT 30";
const TOTAL: &str = "SELECT count(*) AS posts FROM pin";

/// A graph on one worker with the rows of all `ind`s, which are in `groups` groups.
struct FillRun<'a> {
    worker: &'a mut Worker,
    graph: WorkerGraph,
    groups: u64,
    questions: QuestionSet,
    epoch: u64,
    changes: Rc<RefCell<BTreeMap<u64, Vec<AnswerChange>>>>,
    fills: Rc<RefCell<BTreeMap<u64, Vec<FillProgress>>>>,
}

impl<'a> FillRun<'a> {
    fn start(worker: &'a mut Worker, groups: u64) -> FillRun<'a> {
        let (changes, fills) = (Rc::new(RefCell::new(BTreeMap::new())), Rc::new(RefCell::new(BTreeMap::new())));
        let questions = QuestionSet::default();
        let (log, progress_log) = (Rc::clone(&changes), Rc::clone(&fills));
        let mut graph = WorkerGraph::install(
            worker,
            WorkerPlacement::OneProcess,
            0,
            GraphOptions::default(),
            &questions,
            move |epoch, changes| drop(log.borrow_mut().insert(epoch, changes)),
            move |epoch, _, progress| progress_log.borrow_mut().entry(epoch).or_insert_with(Vec::new).push(progress),
        );
        graph.set_keys_per_epoch(STEP);
        let mut run = FillRun { worker, graph, groups, questions, epoch: 0, changes, fills };
        (0..INDS).for_each(|ind| run.send_pin(ind, ind));
        run.close_epoch();
        run
    }

    /// Sends a post of the group with this number.
    fn send_pin(&mut self, ind: u64, group: u64) {
        let position = (self.epoch * INDS + ind).into();
        let lineage = Lineage { arrived_at: None, source: Symbol::new("recording/p"), position, sub: 0 };
        let group = group % self.groups;
        let pin = Pin {
            ind,
            unique_id: None,
            title: None,
            description: None,
            follower_count: Some(3),
            poster_name: Some(format!("poster {group}").into()),
            tag_list: None,
            is_image_or_video: None,
            image_src: None,
            save_location: None,
            category: Some(format!("category {}", group % 4).into()),
        };
        self.graph.pin(lineage, &pin);
    }

    fn add(&mut self, name: &str, sql: &str) -> QuestionId {
        let name = name.parse().expect("a valid name");
        let question = Question::compile(name, sql, GraphOptions::default(), QuestionOrigin::Added).expect("compiles");
        let (questions, id) = self.questions.with_question(question.clone()).expect("another name");
        self.questions = questions;
        self.graph.add_question(id, &question, false);
        id
    }

    fn close_epoch(&mut self) {
        self.epoch += 1;
        self.graph.advance_to(self.epoch);
        while self.graph.frontier() < self.epoch {
            self.worker.step();
        }
    }

    /// The changes of an answer in the last closed epoch.
    fn last_changes(&self, id: QuestionId) -> usize {
        let changes = self.changes.borrow();
        changes.get(&(self.epoch - 1)).into_iter().flatten().filter(|change| change.answer == id).count()
    }

    fn last_progress(&self, id: QuestionId) -> Option<FillProgress> {
        let fills = self.fills.borrow();
        fills.get(&(self.epoch - 1)).into_iter().flatten().find(|progress| progress.question == id).copied()
    }

    /// Closes epochs until an answer is complete, each after some posts. Returns its changes in each of them.
    fn fill(&mut self, id: QuestionId, send_posts: impl Fn(&mut FillRun<'a>)) -> Vec<usize> {
        let (mut changes, mut done) = (Vec::new(), 0);
        loop {
            send_posts(self);
            self.close_epoch();
            changes.push(self.last_changes(id));
            let progress = self.last_progress(id).expect("it is reported in each epoch");
            assert!(progress.done >= done && changes.len() < 2 * WALK_EPOCHS, "{progress:?} after {done}");
            if progress.is_complete() {
                return changes;
            }
            done = progress.done;
        }
    }
}

#[test]
fn question_that_is_filled_gives_each_group_once_and_a_step_of_them_in_an_epoch() {
    timely::execute_directly(|worker| {
        let mut run = FillRun::start(worker, 40);
        let id = run.add("by_two", BY_TWO);
        let changes = run.fill(id, |_| {});
        // Each step of the walk touches 16 groups, and none of them changes the answer. Groups follow in the last epoch of it.
        let expected: Vec<usize> = std::iter::repeat_n(0, WALK_EPOCHS - 1).chain([16, 16, 8]).collect();
        assert_eq!(changes, expected);
        run.close_epoch();
        assert!(run.last_progress(id).is_none() && run.last_changes(id) == 0);
    });
}

#[test]
fn changes_of_rows_while_a_question_is_filled_add_no_more_than_their_own() {
    timely::execute_directly(|worker| {
        let mut run = FillRun::start(worker, 40);
        let id = run.add("by_two", BY_TWO);
        // One post of the first key moves to another group in each epoch.
        let changes = run.fill(id, |run| run.send_pin(0, run.epoch));
        assert_eq!(changes[..WALK_EPOCHS - 1].iter().sum::<usize>(), 0, "{changes:?}");
        assert!(changes.iter().all(|changes| *changes <= STEP as usize + 4), "{changes:?}");
        assert!(changes.iter().sum::<usize>() <= 40 + 4 * 3, "{changes:?}");
    });
}

#[test]
fn fill_ends_while_more_keys_come_in_each_epoch_than_a_step_has() {
    timely::execute_directly(|worker| {
        let mut run = FillRun::start(worker, 40);
        let id = run.add("by_two", BY_TWO);
        let changes = run.fill(id, |run| {
            let first = (run.epoch + 1) * INDS;
            (first..first + 2 * u64::from(STEP)).for_each(|ind| run.send_pin(ind, ind));
        });
        assert!(changes.iter().sum::<usize>() >= 40, "{changes:?}");
    });
}

#[test]
fn ranks_and_limits_over_groups_that_are_filled_change_once() {
    timely::execute_directly(|worker| {
        let mut run = FillRun::start(worker, 200);
        for (name, sql, rows) in [("ranked", RANKED, 200), ("first", FIRST, 30), ("total", TOTAL, 1)] {
            let id = run.add(name, sql);
            let changes = run.fill(id, |_| {});
            assert_eq!(changes.iter().sum::<usize>(), rows, "{name}: {changes:?}");
            // A partition has 50 rows, and is emitted as a whole.
            assert!(changes.iter().all(|changes| *changes <= STEP as usize + 50), "{name}: {changes:?}");
        }
    });
}

#[test]
fn question_that_is_dropped_while_its_groups_are_emitted_changes_no_more() {
    timely::execute_directly(|worker| {
        let mut run = FillRun::start(worker, 200);
        for epochs in [1, WALK_EPOCHS - 1, WALK_EPOCHS + 2] {
            let id = run.add(&format!("question_{epochs}"), BY_TWO);
            (0..epochs).for_each(|_| run.close_epoch());
            assert!(run.last_progress(id).is_some_and(|progress| !progress.is_complete()), "after {epochs} epochs");
            run.graph.drop_question(id);
            for _ in 0..3 {
                run.close_epoch();
                assert!(run.last_progress(id).is_none() && run.last_changes(id) == 0, "after {epochs} epochs");
            }
            assert!(run.graph.question_usage().is_empty());
        }
        let id = run.add("another", BY_TWO);
        assert_eq!(run.fill(id, |_| {}).iter().sum::<usize>(), 200);
    });
}
