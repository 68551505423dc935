//! kill -9 of pinflow and of the database at random moments and at every step of a write.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow_testkit::RunningProcess;
use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::postgres::PostgresServer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{DatabaseSite, assert_shows_snapshot, shown_cut, skips_postgres};

/// The steps of a write: `pinflow_databases::DATABASE_FAILPOINTS`.
pub(super) const STEPS: [&str; 5] = ["after_claim", "after_register", "after_delete", "before_commit", "after_commit"];

/// How often pinflow is killed. The database is killed a fifth as often.
pub(super) fn kill_count() -> usize {
    std::env::var("PINFLOW_DATABASE_KILLS")
        .map_or(14, |count| count.parse().expect("PINFLOW_DATABASE_KILLS is a number"))
}

#[test]
fn tables_are_right_after_kills_of_pinflow_at_every_step_and_at_random_moments() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, "");
    let mut random = StdRng::seed_from_u64(11);
    let turns = kill_count();
    for turn in 1..=turns {
        let mut command = site.command(&["--output", "none"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let step = STEPS.get(turn % 7);
        if let Some(step) = step {
            let skipped = random.random_range(0..3);
            command.env("FAILPOINTS", format!("databases::{step}={skipped}*off->1*return(abort)"));
        }
        let mut running = RunningProcess::start(&mut command);
        let part = turn as f64 / turns as f64;
        for share in [0.3, 0.6, 1.0] {
            site.grow_to(part - (1.0 - share) / turns as f64);
            std::thread::sleep(Duration::from_millis(random.random_range(50..350)));
        }
        if running.try_wait().is_none() {
            running.signal(Signal::SIGKILL);
        }
        running.wait();
        if turn % 5 == 0 {
            let snapshot = site.run_to_end();
            assert_shows_snapshot(&database, &snapshot);
        }
    }
    let snapshot = site.run_to_end();
    assert_answers_equal_batch(&site.path().join("tables"), GraphOptions::default(), &snapshot);
}

#[test]
fn tables_are_right_after_kills_of_the_database() {
    if skips_postgres() {
        return;
    }
    let mut server = PostgresServer::start(None);
    let (site, name) = {
        let database = server.database();
        (DatabaseSite::new(&database, ""), database.name.clone())
    };
    let mut command = site.command(&["--output", "none"]);
    let mut running = RunningProcess::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let mut random = StdRng::seed_from_u64(12);
    let turns = kill_count().div_ceil(5);
    for turn in 1..=turns {
        site.grow_to(turn as f64 / turns as f64);
        std::thread::sleep(Duration::from_millis(random.random_range(20..500)));
        server.kill();
        std::thread::sleep(Duration::from_millis(random.random_range(20..200)));
        server.restart();
    }
    assert!(running.try_wait().is_none(), "the run goes on");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
    let snapshot = site.run_to_end();
    let database = server.database_named(&name);
    assert_shows_snapshot(&database, &snapshot);
    assert!(shown_cut(&database, &[]).is_some());
}
