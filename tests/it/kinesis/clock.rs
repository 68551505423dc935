//! Start timestamps when the local clock and the service clock differ, or when they lie in the future.

use std::time::Duration;

use jiff::Timestamp;

use crate::idle_starts::assert_no_commits;
use pinflow_testkit::kafka::site::LiveSite;
use pinflow_testkit::kinesis::proxy::{KinesisProxy, ProxyFault};
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::KinesisSite;
use pinflow_testkit::kinesis::skipped;
use pinflow_testkit::ledger::places;
use pinflow_testkit::{succeed, wait_until};

fn put_user(site: &KinesisSite, ind: u32) {
    site.probe.put(&site.stream("user"), &[("k".to_owned(), format!("{{\"ind\":{ind}}}").into_bytes())]);
}

/// The number of stored rows.
fn rows(site: &KinesisSite) -> u64 {
    places(&site.tables()).values().map(|times| *times as u64).sum()
}

#[test]
fn latest_with_local_clock_ahead_starts_by_the_kinesis_clock() {
    if skipped() {
        return;
    }
    let Some(faketime) = pinflow_testkit::find_faketime() else { return };
    let endpoint = KinesisServer::shared().endpoint();
    // One hour, which no run would wait for, and two seconds, which a start by the local clock would wait for.
    for ahead in ["+3600s", "+2s"] {
        let site = KinesisSite::new(&endpoint, &endpoint, 2);
        let config = site.configure("start = \"latest\"");
        put_user(&site, 1);
        std::thread::sleep(Duration::from_millis(1_200));
        let mut command = site.command(&config);
        command.env("LD_PRELOAD", &faketime).env("FAKETIME", ahead).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let live = LiveSite::start_command(&mut command, &site.place.path().join("log"));
        wait_until("the clock is reported", || live.log().contains("clock is ahead of Kinesis"));
        wait_until("the first snapshot is there", || live.cut().is_some_and(|cut| cut["complete"] == true));
        put_user(&site, 2);
        wait_until("the record is read", || {
            let cut = live.cut().unwrap();
            cut["sources"].as_array().unwrap().iter().any(|source| source["read"] == 1)
        });
        live.stop();
        assert_eq!(rows(&site), 1, "only what was put after the start, {ahead}");
    }
}

#[test]
fn timestamp_ahead_of_the_kinesis_clock_is_waited_for() {
    if skipped() {
        return;
    }
    let server = KinesisServer::shared();
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &proxy.endpoint(), 1);
    let config = site.configure("start = \"latest\"");
    // As with a clock that is slightly ahead: more consecutive refusals than are tolerated for any other reason.
    proxy.inject_fault("GetShardIterator", ProxyFault::Refused("InvalidArgumentException"), 3 * 6);
    let live = site.run(&config, &[]);
    wait_until("the faults have been met", || !proxy.has_faults());
    put_user(&site, 2);
    site.wait_until_durable();
    assert!(live.log().contains("this machine's clock is ahead of Kinesis; waiting for the start"), "{}", live.log());
    live.stop();
    assert_eq!(rows(&site), 1);
}

#[test]
fn start_timestamp_in_the_future_is_waited_for() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 1);
    let start = Timestamp::now() + Duration::from_secs(4);
    let config = site.configure(&format!("start = \"{start}\""));
    put_user(&site, 1);
    // The existing records are before the start, so a run until caught up ends at once.
    succeed(site.command(&config).args(["--until-caught-up", "--output", "none"]));
    assert_eq!(rows(&site), 0);
    let live = site.run(&config, &[]);
    wait_until("it says what it waits for", || live.log().contains("the start is in the future; waiting for it"));
    wait_until("the moment has come", || Timestamp::now() > start + Duration::from_secs(1));
    put_user(&site, 2);
    wait_until("the record is durable", || rows(&site) == 1);
    live.stop();
}

#[test]
fn unchanged_streams_are_read_without_a_commit() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 2);
    let config = site.configure("");
    site.send(&site.recording(60, 71, &[]));
    let run = || {
        let mut command = site.command(&config);
        command.args(["--until-caught-up", "--output", "none"]);
        command
    };
    succeed(&mut run());
    assert_no_commits(&site.tables(), run);
}
