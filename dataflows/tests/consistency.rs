//! Every answer at every epoch is what a batch query over the rows of that epoch cut says: for random rows, repeats,
//! orders, epoch cuts, worker counts and options.

mod oracle;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use oracle::Oracle;
use pinflow_dataflows::answer::Row;
use pinflow_dataflows::graph::{Change, Duplicates, Graph, Median, Options, Ties, Top, configure};
use pinflow_dataflows::questions;
use pinflow_dataflows::record::{Geo, Lineage, Pin, User};
use pinflow_dataflows::symbol::Symbol;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Debug, Clone)]
enum Post {
    Pin(Pin<'static>),
    Geo(Geo<'static>),
    User(User<'static>),
}

#[derive(Debug, Clone)]
struct Arrival {
    worker: usize,
    epoch: u64,
    lineage: Lineage,
    post: Post,
}

/// How workers are driven: nothing may depend on it.
#[derive(Debug, Clone, Copy)]
struct Pace {
    workers: usize,
    /// Epochs that are opened before the first must have passed.
    in_flight: u64,
}

const EPOCHS: u64 = 6;

// Small domains, so that ties, repeats, joins, retractions, empty groups and nulls are frequent.
fn any_text(texts: &'static [&'static str]) -> impl Strategy<Value = Option<Cow<'static, str>>> {
    option::weighted(0.9, select(texts).prop_map(Cow::Borrowed))
}

/// Moments at the edges of the years that questions ask for, and inside them.
fn any_moment() -> impl Strategy<Value = Option<i64>> {
    let starts = [2015, 2016, 2018, 2019, 2021, 2023].map(|year| {
        let days = (1970..year).map(|year| if year % 4 == 0 { 366 } else { 365 }).sum::<i64>();
        days * 24 * 60 * 60 * 1_000_000
    });
    option::weighted(0.95, (select(starts.to_vec()), select(vec![-1, 0, 1, 9_000_000_000_000])))
        .prop_map(|moment| moment.map(|(start, more)| start + more))
}

fn any_post() -> impl Strategy<Value = Post> {
    let pin = (
        0..6u64,
        any_text(&["art", "beauty", "Art", "árt"]),
        any_text(&["p", "q", "P", "p q"]),
        option::weighted(0.9, select(vec![0, 1, 2, 3, 5, 94_000, i64::MAX])),
    );
    let pin = pin.prop_map(|(ind, category, poster_name, follower_count)| {
        let (unique_id, title, description, tag_list) = (None, None, None, None);
        let (is_image_or_video, image_src, save_location) = (None, None, None);
        Post::Pin(Pin {
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
    let geo = (0..6u64, any_text(&["Albania", "Brazil", "Côte d’Ivoire"]), any_moment());
    let geo = geo.prop_map(|(ind, country, timestamp)| Post::Geo(Geo { ind, country, coordinates: None, timestamp }));
    let age = option::weighted(0.9, select(vec![0, 17, 18, 24, 25, 35, 36, 50, 51, 150]));
    let user = (0..6u64, any_text(&["A B", "A", "b"]), age, any_moment());
    let user =
        user.prop_map(|(ind, user_name, age, date_joined)| Post::User(User { ind, user_name, age, date_joined }));
    prop_oneof![pin, geo, user]
}

fn any_arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrived_at = option::weighted(0.7, 0..4i64);
    let one = (0..3usize, 0..EPOCHS, arrived_at, select(vec!["kafka/p/0", "kafka/p/1", "recording/p"]), any_post());
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
                Arrival { worker, epoch, lineage, post }
            })
            .collect();
        // Some are delivered again as they are, later or earlier.
        for index in again {
            if !arrivals.is_empty() {
                let arrival = index.get(&arrivals).clone();
                arrivals.push(Arrival { epoch: EPOCHS - 1 - arrival.epoch, ..arrival });
            }
        }
        arrivals
    })
}

fn any_options() -> impl Strategy<Value = Options> {
    (
        select(vec![Duplicates::Latest, Duplicates::Keep]),
        select(vec![Ties::First, Ties::All]),
        prop_oneof![2 => Just(Top::All), 3 => (1..4u32).prop_map(|k| NonZeroU32::new(k).map_or(Top::All, Top::Ranks))],
        select(vec![Median::Exact, Median::Lower]),
    )
        .prop_map(|(duplicates, ties, top, median)| Options { duplicates, ties, top, median })
}

fn any_pace() -> impl Strategy<Value = Pace> {
    (1..=3usize, 1..=EPOCHS).prop_map(|(workers, in_flight)| Pace { workers, in_flight })
}

/// What the graph hands over, by epoch, and what its workers saw of its progress.
#[derive(Default)]
struct Log {
    changes: BTreeMap<u64, Vec<Change>>,
    /// What some worker said had passed, and how many changes had been handed over for epochs below.
    passed: Vec<(u64, usize)>,
    /// Each worker's calls must come in epoch order.
    last: [Option<u64>; 3],
}

impl Log {
    fn below(&self, epoch: u64) -> usize {
        self.changes.range(..epoch).map(|(_, changes)| changes.len()).sum()
    }
}

fn run(arrivals: &[Arrival], options: Options, pace: Pace) -> Log {
    let log = Arc::new(Mutex::new(Log::default()));
    let arrivals = arrivals.to_vec();
    let mut config = timely::Config::process(pace.workers);
    configure(&mut config.worker);
    let shared = Arc::clone(&log);
    let guards = timely::execute(config, move |worker| {
        let index = worker.index();
        let changes = Arc::clone(&shared);
        let mut graph = Graph::install(worker, options, move |epoch, changed| {
            let mut log = changes.lock().expect("no worker panicked");
            assert!(log.last[index] < Some(epoch), "epochs come in order, each once");
            log.last[index] = Some(epoch);
            log.changes.entry(epoch).or_default().extend(changed);
        });
        let note = |graph: &Graph| {
            let passed = graph.passed();
            let mut log = shared.lock().expect("no worker panicked");
            let below = log.below(passed);
            log.passed.push((passed, below));
            passed
        };
        for epoch in 0..EPOCHS {
            for Arrival { lineage, post, .. } in
                arrivals.iter().filter(|it| it.epoch == epoch && it.worker % worker.peers() == index)
            {
                match post {
                    Post::Pin(row) => graph.pin(*lineage, row),
                    Post::Geo(row) => graph.geo(*lineage, row),
                    Post::User(row) => graph.user(*lineage, row),
                }
            }
            graph.advance_to(epoch + 1);
            while note(&graph) + pace.in_flight <= epoch + 1 {
                worker.step_or_park(Some(std::time::Duration::from_millis(1)));
            }
        }
        while note(&graph) < EPOCHS {
            worker.step_or_park(Some(std::time::Duration::from_millis(1)));
        }
    });
    for result in guards.expect("timely starts").join() {
        result.expect("no worker panicked");
    }
    Arc::into_inner(log).and_then(|log| log.into_inner().ok()).expect("all workers are gone")
}

/// The answers at each epoch, from the changes.
fn answers(log: &Log) -> Vec<Vec<Vec<Row>>> {
    let mut tables: Vec<_> = questions::ALL.iter().map(questions::Question::table).collect();
    (0..EPOCHS)
        .map(|epoch| {
            for (answer, table) in tables.iter_mut().enumerate() {
                let changes = log.changes.get(&epoch).into_iter().flatten().filter(|it| it.answer == answer);
                table.apply(changes.map(|change| (&change.row, change.diff))).expect("changes fit");
            }
            tables.iter().map(|table| table.rows().cloned().collect()).collect()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_answer_at_every_epoch_is_what_its_sql_says(
        arrivals in any_arrivals(),
        options in any_options(),
        pace in any_pace(),
    ) {
        let oracle = Oracle::default();
        for Arrival { epoch, lineage, post, .. } in &arrivals {
            match post {
                Post::Pin(row) => oracle.pin(*epoch, *lineage, row),
                Post::Geo(row) => oracle.geo(*epoch, *lineage, row),
                Post::User(row) => oracle.user(*epoch, *lineage, row),
            }
        }
        let log = run(&arrivals, options, pace);
        for (epoch, answers) in (0..).zip(answers(&log)) {
            for (question, rows) in questions::ALL.iter().zip(answers) {
                prop_assert_eq!(
                    rows,
                    oracle.answer(question, options, epoch),
                    "{} at epoch {} with {:?}", question.name, epoch, options
                );
            }
        }
        // Nothing is handed over for an epoch after any worker was told that it had passed.
        for (passed, handed_over) in &log.passed {
            prop_assert_eq!(*handed_over, log.below(*passed), "epochs below {}", passed);
        }
    }
}
