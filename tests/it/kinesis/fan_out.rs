//! Enhanced fan-out: shards are read by subscription, and by polling if subscription is refused.

use pinflow_testkit::kinesis::proxy::{KinesisProxy, ProxyFault};
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::{KinesisSite, STREAMS};
use pinflow_testkit::kinesis::skipped;
use pinflow_testkit::wait_until;

/// Streams with a consumer, behind a proxy.
fn site(consumer: Option<&str>, shards: i32) -> (KinesisProxy, KinesisSite) {
    let server = KinesisServer::shared();
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &proxy.endpoint(), shards);
    if let Some(consumer) = consumer {
        STREAMS.iter().for_each(|stream| site.probe.register(&site.stream(stream), consumer));
    }
    (proxy, site)
}

fn users(site: &KinesisSite, inds: std::ops::Range<u32>) {
    let records: Vec<_> = inds.map(|ind| (ind.to_string(), format!("{{\"ind\":{ind}}}").into_bytes())).collect();
    site.probe.put(&site.stream("user"), &records);
}

#[test]
fn subscribed_records_and_split_shards_are_read_to_the_end() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(Some("pinflow-posts"), 2);
    let config = site.configure("fan_out = true");
    let stream = site.stream("user");
    users(&site, 0..50);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    users(&site, 50..100);
    site.wait_until_durable();
    assert_eq!((proxy.calls("GetRecords"), proxy.calls("SubscribeToShard")), (0, 6), "every shard is pushed");
    site.probe.split(&stream, &site.probe.open(&stream)[0]);
    users(&site, 100..150);
    site.wait_until_durable();
    wait_until("the children are pushed", || proxy.calls("SubscribeToShard") >= 8);
    // The run was killed. The registered consumer still exists and is used again.
    drop(live);
    users(&site, 150..200);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    wait_until("all open shards are pushed again", || proxy.calls("SubscribeToShard") >= 8 + 7);
    let log = live.log();
    let snapshot = live.stop();
    assert!(!log.contains("is refused"), "{log}");
    site.assert_answers_and_rows(&snapshot);
    assert_eq!(proxy.calls("RegisterStreamConsumer"), 0);
}

#[test]
fn missing_consumer_is_registered() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(None, 1);
    let config = site.configure("fan_out = { consumer = \"mine\" }");
    users(&site, 0..20);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    wait_until("records are pushed", || proxy.calls("SubscribeToShard") >= 3);
    users(&site, 20..40);
    site.wait_until_durable();
    let snapshot = live.stop();
    site.assert_answers_and_rows(&snapshot);
    assert_eq!(proxy.calls("RegisterStreamConsumer"), 3);
}

#[test]
fn refused_fan_out_falls_back_to_polling_and_is_reported_once_per_stream() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(None, 2);
    let config = site.configure("fan_out = true");
    let said = |log: &str| log.matches("enhanced fan-out was rejected").count();
    // The limit of consumers is reached. One may be deregistered, so registration is retried.
    proxy.inject_fault("RegisterStreamConsumer", ProxyFault::Refused("LimitExceededException"), 9);
    users(&site, 0..20);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    wait_until("it was refused often", || !proxy.has_faults());
    wait_until("records are pushed", || proxy.calls("SubscribeToShard") >= 6);
    users(&site, 20..40);
    site.wait_until_durable();
    assert!(proxy.calls("GetRecords") > 0 && said(&live.log()) == 3, "{}", live.log());
    site.assert_answers_and_rows(&live.stop());
    // A permanent refusal for one shard: all shards of the stream are polled.
    let (before, polled) = (proxy.calls("SubscribeToShard"), proxy.calls("GetRecords"));
    proxy.inject_fault("SubscribeToShard", ProxyFault::Refused("AccessDeniedException"), 6);
    users(&site, 40..60);
    let live = site.run(&config, &[]);
    site.wait_until_durable();
    let log = live.log();
    assert!(said(&log) == 3 && log.contains("grant kinesis:SubscribeToShard"), "{log}");
    assert!(proxy.calls("SubscribeToShard") <= before + 6 && proxy.calls("GetRecords") > polled);
    site.assert_answers_and_rows(&live.stop());
}

#[test]
fn interrupted_subscription_resumes_after_the_last_record() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(Some("pinflow-posts"), 1);
    let config = site.configure("fan_out = true");
    users(&site, 0..60);
    proxy.inject_fault("SubscribeToShard", ProxyFault::CutAnswer, 6);
    // Once: a shard that is refused again some seconds later is polled, and a warning says so.
    proxy.inject_fault("SubscribeToShard", ProxyFault::Refused("ResourceInUseException"), 1);
    proxy.inject_fault("SubscribeToShard", ProxyFault::Broken, 1);
    let live = site.run(&config, &[]);
    for round in 1..8 {
        users(&site, round * 60..round * 60 + 60);
        std::thread::sleep(std::time::Duration::from_millis(400));
    }
    wait_until("all faults were met", || !proxy.has_faults());
    site.wait_until_durable();
    wait_until("records are pushed in the end", || proxy.calls("SubscribeToShard") >= 8 + 3);
    users(&site, 480..500);
    site.wait_until_durable();
    let log = live.log();
    assert!(!log.contains("enhanced fan-out was rejected"), "it was for a moment: {log}");
    site.assert_answers_and_rows(&live.stop());
    assert!(proxy.reads_per_second() <= 5, "{} calls for the records of a shard in a second", proxy.reads_per_second());
}

#[test]
fn resharding_during_random_faults_with_fan_out_loses_and_repeats_nothing() {
    if skipped() {
        return;
    }
    let (proxy, site) = site(Some("pinflow-posts"), 1);
    let config = site.configure("fan_out = true");
    proxy.inject_random_faults(30);
    let live = site.run(&config, &[]);
    for round in 0..6 {
        users(&site, round * 30..round * 30 + 30);
        if round % 2 == 0 {
            let stream = site.stream("user");
            site.probe.split(&stream, &site.probe.open(&stream)[0]);
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    site.wait_until_durable();
    proxy.inject_random_faults(0);
    site.assert_answers_and_rows(&live.stop());
    assert!(proxy.calls("SubscribeToShard") > 3 && proxy.reads_per_second() <= 5);
}
