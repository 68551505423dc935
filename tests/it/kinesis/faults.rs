//! Errors of the service: nothing is lost or repeated, and rate limits are respected.

use std::time::Duration;

use nix::sys::signal::Signal;
use pinflow_core::position::Position;

use pinflow_testkit::kinesis::proxy::{KinesisProxy, ProxyFault};
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::KinesisSite;
use pinflow_testkit::kinesis::{env_or_default, skipped};
use pinflow_testkit::ledger::{places, read};
use pinflow_testkit::{pinflow, succeed, wait_until};

fn site(shards: i32) -> (KinesisProxy, KinesisSite) {
    let server = KinesisServer::shared();
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &proxy.endpoint(), shards);
    (proxy, site)
}

fn users(site: &KinesisSite, inds: std::ops::Range<u32>) {
    let records: Vec<_> = inds.map(|ind| (ind.to_string(), format!("{{\"ind\":{ind}}}").into_bytes())).collect();
    site.probe.put(&site.stream("user"), &records);
}

#[test]
fn every_transient_fault_is_retried() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(2);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    let faults = [
        ProxyFault::Refused("ProvisionedThroughputExceededException"),
        ProxyFault::Refused("ExpiredIteratorException"),
        ProxyFault::Refused("ExpiredTokenException"),
        ProxyFault::Broken,
        ProxyFault::Cut,
        ProxyFault::CutAnswer,
        ProxyFault::Slow(700),
    ];
    for (at, fault) in (0..).zip(faults) {
        users(&site, at * 20..at * 20 + 20);
        for call in ["GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary"] {
            // An iterator is only requested after another failure.
            let fault = if call == "GetShardIterator" && matches!(fault, ProxyFault::Slow(_)) {
                ProxyFault::Broken
            } else {
                fault
            };
            proxy.inject_fault(call, fault, 2);
        }
        proxy.inject_fault("GetRecords", ProxyFault::Cut, 1);
        wait_until("the faults have been met", || !proxy.has_faults());
    }
    site.wait_until_durable();
    let snapshot = live.stop();
    site.assert_answers_and_rows(&snapshot);
    assert!(proxy.reads_per_second() <= 5, "{} calls for the records of a shard in a second", proxy.reads_per_second());
}

#[test]
fn resharding_during_random_faults_loses_and_repeats_nothing() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(1);
    let config = site.configure("");
    proxy.inject_random_faults(30);
    let live = site.run(&config, &[]);
    for round in 0..6 {
        users(&site, round * 30..round * 30 + 30);
        if round % 2 == 0 {
            let stream = site.stream("user");
            site.probe.split(&stream, &site.probe.open(&stream)[0]);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    site.wait_until_durable();
    proxy.inject_random_faults(0);
    let snapshot = live.stop();
    site.assert_answers_and_rows(&snapshot);
    assert!(proxy.reads_per_second() <= 5, "{} calls for the records of a shard in a second", proxy.reads_per_second());
    assert!(proxy.calls("GetShardIterator") > 10, "iterators were requested again");
}

#[test]
fn unavailable_service_is_retried() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(1);
    let config = site.configure("");
    users(&site, 0..20);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    proxy.inject_random_faults(100);
    users(&site, 20..40);
    std::thread::sleep(Duration::from_secs(2));
    proxy.inject_random_faults(0);
    site.wait_until_durable();
    let snapshot = live.stop();
    site.assert_answers_and_rows(&snapshot);
}

/// Default pause. `PINFLOW_KINESIS_PAUSE_SECS` overrides it. Iterators and subscriptions expire after five minutes, so
/// 320 s tests that they are renewed.
const DEFAULT_PAUSE_SECS: u64 = 1;

#[test]
fn reader_stopped_past_iterator_expiry_resumes() {
    if skipped() {
        return;
    }
    let pause = Duration::from_secs(env_or_default("PINFLOW_KINESIS_PAUSE_SECS", DEFAULT_PAUSE_SECS));
    let polled = site(2);
    let pushed = site(2);
    pushed.1.probe.register(&pushed.1.stream("user"), "pinflow-posts");
    let run = |(_, site): &(KinesisProxy, KinesisSite), more: &str| site.run(&site.configure(more), &[]);
    let lives = [(&polled, run(&polled, "")), (&pushed, run(&pushed, "fan_out = true"))];
    for ((_, site), live) in &lives {
        users(site, 0..20);
        site.wait_until_durable();
        live.running.signal(Signal::SIGSTOP);
        users(site, 20..40);
    }
    std::thread::sleep(pause);
    let calls = |proxy: &KinesisProxy| (proxy.calls("GetShardIterator"), proxy.calls("SubscribeToShard"));
    let before = [calls(&polled.0), calls(&pushed.0)];
    for ((_, site), live) in lives {
        live.running.signal(Signal::SIGCONT);
        users(site, 40..60);
        site.wait_until_durable();
        site.assert_answers_and_rows(&live.stop());
    }
    if pause > Duration::from_secs(300) {
        assert!(calls(&polled.0).0 >= before[0].0 + 6, "every iterator had expired");
        assert!(calls(&pushed.0).1 >= before[1].1 + 2, "every subscription had ended");
    }
}

#[test]
fn recreated_stream_ends_the_run() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 1);
    let config = site.configure("");
    users(&site, 0..10);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    let stream = site.stream("user");
    site.probe.delete(&stream);
    let said = live.wait_for_failure();
    assert!(said.contains(&stream) && said.contains("deleted"), "{said}");
    let said = site.run(&config, &[]).wait_for_failure();
    assert!(said.contains(&stream) && said.contains("was deleted"), "{said}");
    site.probe.create(&stream, 1);
    users(&site, 0..30);
    let said = site.run(&config, &[]).wait_for_failure();
    assert!(said.contains(&stream) && said.contains("re-created"), "{said}");
    assert_eq!(places(&site.tables()).len(), 10, "nothing of the new one was read");
}

#[test]
fn revoked_permission_ends_the_run_and_is_reported() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(1);
    let config = site.configure("");
    users(&site, 0..5);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    proxy.inject_fault("GetRecords", ProxyFault::Refused("AccessDeniedException"), 3);
    let said = live.wait_for_failure();
    assert!(said.contains("grant kinesis:GetRecords"), "{said}");
}

#[test]
fn stream_missing_at_the_start_is_reported() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::without_streams(&endpoint, &endpoint);
    let said = site.run(&site.configure(""), &[]).wait_for_failure();
    assert!(said.contains("does not exist") && said.contains("pinflow streams create"), "{said}");
}

#[test]
fn records_expired_before_start_are_reported_and_can_be_accepted() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(1);
    let config = site.configure_streams(&format!("user = \"{}\"", site.stream("user")), "");
    users(&site, 0..10);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    live.stop();
    users(&site, 10..30);
    let source = format!("kinesis/{}/shardId-000000000000", site.stream("user"));
    let numbers: Vec<Position> = list_stored_positions_of(&site, &source);
    // Expire the last read record and five more.
    proxy.expire(numbers[15]);
    let range = format!("{source}:{}-{}", numbers[9].after(), numbers[15].before());
    let said = site.run(&config, &[]).wait_for_failure();
    assert!(said.contains(&format!("--accept-loss {range}")), "no {range} in {said}");
    // A different range does not accept this loss.
    let near = format!("{source}:{}-{}", numbers[9].after(), numbers[15]);
    assert!(site.run(&config, &["--accept-loss", &near]).wait_for_failure().contains(&range));
    let live = site.run(&config, &["--accept-loss", &range]);
    wait_until("it has read on", || site.durable().get(&source) == Some(&numbers[29].after()));
    live.stop();
    let found: Vec<_> = places(&site.tables()).into_keys().map(|(_, position, _)| position).collect();
    let mut expected: Vec<_> = numbers[..10].iter().chain(&numbers[15..]).copied().collect();
    expected.insert(10, numbers[9].after());
    assert_eq!(found, expected.iter().map(|position| format!("{position:056}")).collect::<Vec<_>>());
    let rejected = read(&site.tables().join("rejected"));
    let reason = rejected.columns.iter().position(|column| column == "reason").unwrap();
    assert_eq!(rejected.rows.len(), 1);
    assert_eq!(rejected.rows[0][reason], rusqlite::types::Value::Text("no_key".to_owned()));
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
    // The flag is only needed once: the last read record exists, so nothing else can be lost.
    users(&site, 30..31);
    let live = site.run(&config, &[]);
    wait_until("it has read on", || site.durable()[&source] > numbers[29].after());
    live.stop();
}

fn list_stored_positions_of(site: &KinesisSite, source: &str) -> Vec<Position> {
    site.list_stored_records().into_iter().filter(|(name, _)| name == source).map(|(_, position)| position).collect()
}
