//! Enhanced fan-out: records are pushed, and polled where that is refused.

use super::proxy::{Fault, Proxy};
use super::server::Server;
use super::site::Site;
use super::skipped;

fn users(site: &Site, inds: std::ops::Range<u32>) {
    let records: Vec<_> = inds.map(|ind| (ind.to_string(), format!("{{\"ind\":{ind}}}").into_bytes())).collect();
    site.probe.put(&site.stream("user"), &records);
}

#[test]
fn records_are_pushed_through_splits_and_a_restart() {
    if skipped() {
        return;
    }
    let endpoint = Server::shared().endpoint();
    let site = Site::new(&endpoint, &endpoint, 1);
    let config = site.configure("fan_out = \"pinflow\"");
    let stream = site.stream("user");
    users(&site, 0..50);
    let live = site.run(&config, &[]);
    site.until_durable();
    site.probe.split(&stream, &site.probe.open(&stream)[0]);
    users(&site, 50..100);
    site.until_durable();
    assert!(!live.log().contains("is refused"), "{}", live.log());
    // Gone without a word; the consumer is there, and is used again.
    drop(live);
    users(&site, 100..150);
    let live = site.run(&config, &[]);
    site.until_durable();
    let log = live.log();
    let snapshot = live.stop();
    assert!(!log.contains("is refused"), "{log}");
    site.assert_right(&snapshot);
}

#[test]
fn where_it_is_refused_shards_are_polled() {
    if skipped() {
        return;
    }
    let server = Server::shared();
    let proxy = Proxy::before(server.port());
    let site = Site::new(&server.endpoint(), &proxy.endpoint(), 1);
    let config = site.configure("fan_out = \"pinflow\"");
    users(&site, 0..20);
    proxy.fault("DescribeStreamConsumer", Fault::Refused("AccessDeniedException"), 3);
    let live = site.run(&config, &[]);
    site.until_durable();
    assert!(live.log().contains("allow kinesis:DescribeStreamConsumer"), "{}", live.log());
    assert!(proxy.calls("GetRecords") > 0 && proxy.calls("SubscribeToShard") == 0);
    let snapshot = live.stop();
    site.assert_right(&snapshot);
    // The consumer may be there, and yet not be used.
    proxy.fault("SubscribeToShard", Fault::Refused("AccessDeniedException"), 3);
    users(&site, 20..40);
    let live = site.run(&config, &[]);
    site.until_durable();
    assert!(live.log().contains("allow kinesis:SubscribeToShard"), "{}", live.log());
    let snapshot = live.stop();
    site.assert_right(&snapshot);
}
