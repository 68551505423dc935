//! kill -9 at every step of adding and replacing: a question is there or not there, and nothing is lost.

use std::time::Duration;

use nix::sys::signal::Signal;
use pinflow_testkit::serving::ServingRun;
use serde_json::json;

use super::{Site, listed, wait_until_durable};

const TITLES: &str = "SELECT length(title) AS letters, count(*) AS pins FROM pin GROUP BY 1 ORDER BY 1";
const CATEGORIES: &str = "SELECT category, count(*) AS letters FROM pin GROUP BY 1 ORDER BY 1";

/// Sends a question. `None` if the run died first.
fn post(serving: &ServingRun, query: &str, sql: &str) -> Option<u16> {
    serving.http.try_send("POST", &format!("/questions?{query}"), sql.as_bytes())
}

/// Waits until a run has ended by a signal.
fn wait_until_killed(serving: &mut ServingRun) {
    let status = serving.running.wait();
    assert_eq!(status.code(), None, "{}", serving.log());
}

/// Starts a run over what a killed one has left. The question `mine` is answered as one of these texts, as in batch, or is
/// not there.
fn check_restarted(site: &Site, config: &std::path::Path, texts: &[&str], may_be_absent: bool) -> Option<String> {
    let serving = ServingRun::start(site.path(), config, &[]);
    wait_until_durable(&serving, site.arrived());
    let bodies = listed(&serving, "mine");
    let found = match bodies.as_slice() {
        [] => {
            assert!(may_be_absent, "an accepted question is gone");
            assert_eq!(serving.http.get("/answers/mine").status, 404);
            None
        }
        [body] => {
            assert_eq!((&body["state"], &body["origin"]), (&json!("live"), &json!("added")), "{body}");
            let sql = body["sql"].as_str().unwrap().to_owned();
            assert!(texts.contains(&sql.as_str()), "{sql}");
            assert_eq!(serving.http.json("/answers/mine")["rows"], site.tried_rows(&sql, "latest"));
            Some(sql)
        }
        more => panic!("{more:?}"),
    };
    serving.stop();
    found
}

#[test]
fn question_survives_kill_9_at_every_failpoint_or_was_never_there() {
    for point in ["question::accepted", "question::filling"] {
        for sql in [TITLES, CATEGORIES] {
            let mut site = Site::new(500, 1_500);
            let config = site.configure("");
            let failpoints = format!("{point}=return(abort)");
            let mut serving = ServingRun::start_with(site.path(), &config, &[], &[("FAILPOINTS", &failpoints)]);
            wait_until_durable(&serving, site.arrived());
            site.append(usize::MAX);
            post(&serving, "name=mine", sql);
            wait_until_killed(&mut serving);
            // It was stored before the engine got it.
            assert_eq!(check_restarted(&site, &config, &[sql], false).as_deref(), Some(sql), "{point}");
            // The same while it replaces another one.
            let other = if sql == TITLES { CATEGORIES } else { TITLES };
            let mut serving = ServingRun::start_with(site.path(), &config, &[], &[("FAILPOINTS", &failpoints)]);
            wait_until_durable(&serving, site.lines);
            post(&serving, "name=mine&replace=true", other);
            wait_until_killed(&mut serving);
            assert_eq!(check_restarted(&site, &config, &[other], false).as_deref(), Some(other), "{point}");
        }
    }
}

#[test]
fn question_is_whole_or_absent_after_kill_9_at_any_moment() {
    let mut site = Site::new(3_000, 9_000);
    let config = site.configure("");
    let mut was_there: Option<String> = None;
    for (round, millis) in [0, 3, 10, 25, 60, 150].into_iter().enumerate() {
        let mut serving = ServingRun::start(site.path(), &config, &[]);
        wait_until_durable(&serving, site.arrived());
        let sql = if round % 2 == 0 { TITLES } else { CATEGORIES };
        site.append(if round == 5 { usize::MAX } else { 300 });
        let query = if was_there.is_some() { "name=mine&replace=true" } else { "name=mine" };
        let accepted = std::thread::scope(|scope| {
            let sender = scope.spawn(|| post(&serving, query, sql));
            std::thread::sleep(Duration::from_millis(millis));
            serving.running.signal(Signal::SIGKILL);
            sender.join().unwrap()
        });
        wait_until_killed(&mut serving);
        let texts: Vec<&str> = was_there.iter().map(String::as_str).chain([sql]).collect();
        let found = check_restarted(&site, &config, &texts, was_there.is_none() && accepted != Some(202));
        if accepted == Some(202) {
            assert_eq!(found.as_deref(), Some(sql), "an accepted change is lost");
        }
        was_there = found;
    }
    assert!(was_there.is_some(), "no question was ever accepted");
}
