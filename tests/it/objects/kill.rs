//! kill -9 with tables in a bucket, and two writers of the same tables.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use pinflow_delta::FAILPOINTS;

use pinflow_testkit::objects::site::ObjectsSite;
use pinflow_testkit::objects::{skipped, store};
use pinflow_testkit::{RunningProcess, wait_until};

/// Default number of rounds. `PINFLOW_KILLS` overrides it.
const DEFAULT_KILL_ROUNDS: usize = 40;

#[test]
fn run_killed_at_any_moment_loses_and_repeats_nothing_in_a_bucket() {
    if skipped() {
        return;
    }
    let rounds = std::env::var("PINFLOW_KILLS").ok().map_or(DEFAULT_KILL_ROUNDS, |n| n.parse().unwrap());
    let mut site = ObjectsSite::new(4_000, &store::endpoint());
    site.configure(300, "rate_per_sec = 20000");
    for round in 0..rounds {
        let mut command = site.run();
        if round % 2 == 0 {
            let name = FAILPOINTS[(round / 2) % FAILPOINTS.len()];
            command.env("FAILPOINTS", format!("{name}={}*off->1*return(abort)", round % 3));
        }
        let mut running = RunningProcess::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        if round % 2 == 1 {
            std::thread::sleep(Duration::from_millis(100 + 37 * (round as u64 % 23)));
            if running.try_wait().is_none() {
                running.signal(Signal::SIGKILL);
            }
        }
        let status = running.wait();
        assert!(status.success() || status.code().is_none(), "round {round} ended with {status}");
        if status.success() {
            site.finish();
            site = ObjectsSite::new(4_000, &store::endpoint());
            site.configure(300, "rate_per_sec = 20000");
        }
    }
    site.finish();
}

#[test]
fn second_writer_takes_over_and_first_is_fenced() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(2_000, &store::endpoint());
    site.configure(200, "rate_per_sec = 1500");
    let log = site.place.path().join("log");
    let out = std::fs::File::create(&log).unwrap();
    let mut first = RunningProcess::start(site.run().stdout(Stdio::null()).stderr(out));
    wait_until("the first one has committed", || site.bucket.keys("lake/posts/pin").len() > 8);
    site.configure(200, "");
    site.finish();
    assert_eq!(first.wait().code(), Some(75), "{}", std::fs::read_to_string(&log).unwrap());
    site.assert_each_line_once_in_tables();
}
