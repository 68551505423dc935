//! `pinflow check` makes the calls that reading needs and reports missing permissions.

use super::emit::run;
use pinflow_testkit::kinesis::proxy::{KinesisProxy, ProxyFault};
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::KinesisSite;
use pinflow_testkit::kinesis::skipped;

#[test]
fn check_tries_every_permission_and_reports_the_missing_one() {
    if skipped() {
        return;
    }
    let server = KinesisServer::shared();
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &proxy.endpoint(), 1);
    let config = site.configure("");
    let check = || run(["check", config.to_str().unwrap()]);
    let (code, said, _) = check();
    assert!(code == 0 && said.matches("1 open shards").count() == 3, "{said}");
    for call in ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"] {
        proxy.inject_fault(call, ProxyFault::Refused("AccessDeniedException"), 1);
        let (code, said, _) = check();
        assert!(code == 1 && said.contains(&format!("grant kinesis:{call} on it")), "{call}: {said}");
    }
    let config = site.configure("fan_out = { consumer = \"mine\" }");
    let check = || run(["check", config.to_str().unwrap()]);
    assert_eq!(check().1.matches("the first run registers it").count(), 3);
    site.probe.register(&site.stream("geo"), "mine");
    let (code, said, _) = check();
    assert!(code == 0 && said.matches("consumer mine can subscribe").count() == 1, "{said}");
    for call in ["DescribeStreamConsumer", "SubscribeToShard"] {
        proxy.inject_fault(call, ProxyFault::Refused("AccessDeniedException"), 1);
        let (code, said, _) = check();
        assert!(code == 0 && said.contains(&format!("grant kinesis:{call} on it")), "{call}: {said}");
    }
    proxy.inject_fault("DescribeStreamSummary", ProxyFault::Refused("ExpiredTokenException"), 1);
    let (code, said, _) = check();
    assert!(code == 1 && said.contains("renew the AWS credentials"), "{said}");
}

#[test]
fn missing_stream_is_reported() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::without_streams(&endpoint, &endpoint);
    let (code, said, _) = run(["check", site.configure("").to_str().unwrap()]);
    assert!(code == 1 && said.contains("pinflow streams create"), "{said}");
    assert!(!site.tables().exists(), "nothing was written");
}
