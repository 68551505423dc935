//! A database that is down, full, read-only or does not answer, and a second writer.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinflow_testkit::postgres::PostgresServer;
use pinflow_testkit::{SmallDisk, skip_without_tmpfs, wait_until};
use serde_json::Value;

use super::{DatabaseSite, assert_shows_snapshot, built_in_names, database_status, skips_postgres, wait_until_written};

/// How often a line of the log has this text.
fn count_in_log(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

const IS_DOWN: &str = "the answers cannot be written to the database; trying again";
const IS_UP: &str = "the answers are written to the database again";

#[test]
fn database_that_is_down_delays_nothing_and_catches_up() {
    if skips_postgres() {
        return;
    }
    let mut server = PostgresServer::start(None);
    let (site, name) = {
        let database = server.database();
        (DatabaseSite::new(&database, "[serve]\nlisten = \"127.0.0.1:0\""), database.name.clone())
    };
    server.kill();
    site.grow_to(0.3);
    let serving = site.serve();
    serving.wait_until_ready();
    wait_until("it says that the database is down", || count_in_log(&serving.log(), IS_DOWN) == 1);
    wait_until("it answers nevertheless", || serving.http.json("/status")["all_time"]["read"].as_u64() > Some(500));
    let status = database_status(&serving);
    assert_eq!((&status["connected"], &status["epoch"]), (&Value::Bool(false), &Value::Null), "{status}");
    server.restart();
    wait_until_written(&serving, &server.database_named(&name), &built_in_names());
    wait_until("it says that it writes again", || count_in_log(&serving.log(), IS_UP) == 1);

    server.kill();
    let read = || serving.http.json("/status")["all_time"]["read"].as_u64().unwrap();
    let before = read();
    site.grow_to(0.6);
    wait_until("it reads on", || read() > before + 500);
    wait_until("it says so once more", || count_in_log(&serving.log(), IS_DOWN) == 2);
    wait_until("it tries several times", || database_status(&serving)["failures"].as_u64() > Some(3));
    let metrics = serving.http.get("/metrics");
    let metrics = metrics.text();
    assert!(metrics.contains("pinflow_database_connected{database=\"postgres\"} 0"), "{metrics}");
    assert!(database_status(&serving)["lag_seconds"].as_f64() > Some(0.0));
    server.restart();
    wait_until_written(&serving, &server.database_named(&name), &built_in_names());
    wait_until("it says that it writes again", || count_in_log(&serving.log(), IS_UP) == 2);
    assert_eq!(count_in_log(&serving.log(), IS_DOWN), 2, "once for each outage");

    // A server that does not answer does not keep the run from its end.
    server.kill();
    site.grow_to(0.7);
    wait_until("it is down again", || count_in_log(&serving.log(), IS_DOWN) == 3);
    let start = Instant::now();
    serving.stop();
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

#[test]
fn database_that_does_not_answer_delays_neither_the_run_nor_its_end() {
    if skips_postgres() {
        return;
    }
    let server = PostgresServer::start(None);
    let database = server.database();
    let site = DatabaseSite::new(&database, "[serve]\nlisten = \"127.0.0.1:0\"");
    site.grow_to(0.3);
    let serving = site.serve();
    wait_until_written(&serving, &database, &built_in_names());
    let read = || serving.http.json("/status")["all_time"]["read"].as_u64().unwrap();
    server.pause(true);
    let before = read();
    site.grow_to(0.6);
    wait_until("it reads on", || read() > before + 500);
    wait_until("it says that it is behind", || database_status(&serving)["lag_seconds"].as_f64() > Some(1.0));
    server.pause(false);
    wait_until_written(&serving, &database, &built_in_names());
    assert_eq!(count_in_log(&serving.log(), IS_DOWN), 0, "the write was only slow: {}", serving.log());

    server.pause(true);
    site.grow_to(1.0);
    wait_until("it is behind again", || database_status(&serving)["lag_seconds"].as_f64() > Some(0.3));
    let start = Instant::now();
    serving.stop();
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    server.pause(false);
    assert_shows_snapshot(&database, &site.run_to_end());
}

#[test]
fn database_on_a_full_disk_is_reported_and_caught_up_once_there_is_space() {
    if skips_postgres() || skip_without_tmpfs() {
        return;
    }
    let place = PostgresServer::create_folder();
    let disk = SmallDisk::mount(&place.path().join("disk"), "100m");
    let server = PostgresServer::start_on(&disk.0);
    let database = server.database();
    let site = DatabaseSite::new(&database, "[serve]\nlisten = \"127.0.0.1:0\"");
    site.grow_to(0.1);
    let serving = site.serve();
    wait_until_written(&serving, &database, &built_in_names());
    let filler = disk.fill();
    let read = || serving.http.json("/status")["all_time"]["read"].as_u64().unwrap();
    let before = read();
    site.grow_to(0.8);
    wait_until("it says why", || database_status(&serving)["problem"].to_string().contains("No space left"));
    wait_until("it reads on", || read() > before + 500);
    assert_eq!(count_in_log(&serving.log(), IS_DOWN), 1, "{}", serving.log());
    std::fs::remove_file(filler).unwrap();
    wait_until_written(&serving, &database, &built_in_names());
    serving.stop();
    assert_shows_snapshot(&database, &site.run_to_end());
}

#[test]
fn read_only_database_is_reported_and_written_once_it_can_be() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, "[serve]\nlisten = \"127.0.0.1:0\"");
    site.grow_to(0.5);
    let set = |value: &str| {
        database.sql(&format!(
            "ALTER ROLE pinflow IN DATABASE {} SET default_transaction_read_only = {value}",
            database.name
        ))
    };
    set("on");
    let serving = site.serve();
    wait_until("it says why", || {
        database_status(&serving)["problem"].as_str().is_some_and(|problem| problem.contains("read-only"))
    });
    set("off");
    wait_until_written(&serving, &database, &built_in_names());
    assert_eq!(database_status(&serving)["problem"], Value::Null);
    serving.stop();
}

#[test]
fn later_writer_takes_over_and_the_earlier_run_ends_with_exit_code_75() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let serve = "[serve]\nlisten = \"127.0.0.1:0\"";
    let (first, second) = (DatabaseSite::new(&database, serve), DatabaseSite::new(&database, serve));
    first.grow_to(0.4);
    second.grow_to(0.8);
    let mut earlier = first.serve();
    wait_until_written(&earlier, &database, &built_in_names());
    let later = second.serve();
    wait_until_written(&later, &database, &built_in_names());
    // The earlier one notices at its next write.
    first.grow_to(0.5);
    assert_eq!(earlier.running.wait().code(), Some(75), "{}", earlier.log());
    assert_eq!(count_in_log(&earlier.log(), "no longer written to the database"), 1, "{}", earlier.log());
    assert!(earlier.log().contains("has taken over"), "{}", earlier.log());
    second.grow_to(1.0);
    wait_until_written(&later, &database, &built_in_names());
    later.running.signal(Signal::SIGTERM);
    later.stop();
    let generation = database.value("SELECT generation::text FROM pinflow.pinflow_writer");
    assert_eq!(generation.as_deref(), Some("2"));
}
