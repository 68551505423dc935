//! `pinflow streams`.

use serde_json::Value;

use super::emit::run;
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::KinesisSite;
use pinflow_testkit::kinesis::skipped;

fn streams(endpoint: &str, arguments: &[&str]) -> (i32, String, String) {
    run(["streams"].into_iter().chain(arguments.iter().copied()).chain([
        "--endpoint",
        endpoint,
        "--region",
        "us-east-1",
    ]))
}

#[test]
fn streams_are_created_resharded_and_deleted() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::without_streams(&endpoint, &endpoint);
    let made = |shards: &str| streams(&endpoint, &["create", "--prefix", &site.prefix, "--shards", shards]);
    let (code, said, _) = made("2");
    assert!(code == 0 && said.matches(": created").count() == 3, "{said}");
    let (code, said, _) = made("2");
    assert!(code == 0 && said.matches("already exists").count() == 3, "{said}");
    let (code, said, _) = made("3");
    assert!(code == 1 && said.matches("exists with 2 shards, not 3").count() == 3, "{said}");
    let (_, listed, _) = streams(&endpoint, &["list", "--prefix", &site.prefix]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let pin = site.stream("pin");
    let describe = || {
        let (code, said, _) = streams(&endpoint, &["describe", &pin, "--format", "json"]);
        assert_eq!(code, 0, "{said}");
        let described: Value = serde_json::from_str(&said).unwrap();
        described["shards"].as_array().unwrap().clone()
    };
    let open = || describe().into_iter().filter(|shard| shard["closed"] == false).collect::<Vec<_>>();
    let id = |shard: &Value| shard["shard"].as_str().unwrap().to_owned();
    let first = id(&open()[0]);
    assert_eq!(streams(&endpoint, &["split", &pin, &first]).0, 0);
    assert_eq!((open().len(), describe().len()), (3, 4));
    let (code, said, _) = streams(&endpoint, &["split", &pin, &first]);
    assert!(code == 1 && said.contains("is closed"), "{said}");
    let children: Vec<_> = open().iter().filter(|shard| shard["parents"][0] == *first).map(id).collect();
    assert_eq!(streams(&endpoint, &["merge", &pin, &children[0], &children[1]]).0, 0);
    assert_eq!((open().len(), describe().len()), (2, 5));
    let deleted = || streams(&endpoint, &["delete", "--prefix", &site.prefix]);
    let (code, said, _) = deleted();
    assert!(code == 0 && said.matches(": deleted").count() == 3, "{said}");
    let (code, said, _) = deleted();
    assert!(code == 0 && said.matches("did not exist").count() == 3, "{said}");
}

#[test]
fn conflicting_arguments_are_usage_errors() {
    if skipped() {
        return;
    }
    let (code, _, said) = run(["streams", "list", "--endpoint", "nowhere"]);
    assert!(code == 2 && said.contains("is not a URL"), "{said}");
}
