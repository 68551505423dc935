//! `pinflow topics`.

use serde_json::Value;

use pinflow_testkit::kafka::broker::{BrokerListener, DENIED_USER, KafkaBroker};
use pinflow_testkit::kafka::{skipped, write_connection_config};
use pinflow_testkit::{EndedRun, run};

fn topics(arguments: &[&str]) -> EndedRun {
    let brokers = KafkaBroker::shared().plaintext();
    run(["topics"].iter().chain(arguments).copied().chain(["--brokers", &brokers]))
}

fn described(arguments: &[&str]) -> Vec<Value> {
    let ended = topics(&[&["describe", "--format", "json"], arguments].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn topics_are_created_once_described_and_deleted_once() {
    if skipped() {
        return;
    }
    let shape = ["--partitions", "3", "--replication", "1", "--config", "retention.ms=60000"];
    let create = |more: &[&str]| topics(&[&["create", "--prefix", "made"], &shape[..], more].concat());
    let made = create(&[]);
    assert_eq!((made.code, made.stdout.as_str()), (0, "made.pin: created\nmade.geo: created\nmade.user: created\n"));
    let again = create(&["--format", "json"]);
    assert_eq!(again.code, 0);
    assert_eq!(again.stdout.lines().next(), Some("{\"outcome\":\"exists\",\"topic\":\"made.pin\"}"));

    let found = described(&["--prefix", "made"]);
    assert_eq!(
        found.iter().map(|topic| topic["topic"].as_str().unwrap()).collect::<Vec<_>>(),
        ["made.pin", "made.geo", "made.user",]
    );
    for topic in &found {
        let settings = serde_json::json!({ "message.timestamp.type": "LogAppendTime", "retention.ms": "60000" });
        assert_eq!(topic["config"], settings, "as asked for, and times by the brokers' clock");
        let partitions = topic["partitions"].as_array().unwrap();
        assert_eq!(partitions.len(), 3);
        for (number, partition) in partitions.iter().enumerate() {
            let expected = serde_json::json!({
                "partition": number, "leader": 1, "replicas": [1], "isr": [1], "low": 0, "high": 0,
            });
            assert_eq!(partition, &expected);
        }
    }
    let listed = topics(&["list", "--prefix", "made"]);
    assert_eq!(listed.stdout, "made.geo\nmade.pin\nmade.user\n");
    let listed = |arguments: &[&str]| topics(&[&["list"], arguments].concat()).stdout;
    assert_eq!(listed(&["made.user", "made.pin", "nowhere"]), "made.pin\nmade.user\n");
    assert_eq!(listed(&["user", "nowhere", "--prefix", "made"]), "made.user\n");
    assert_eq!(listed(&["made.user", "--prefix", "made"]), "", "the prefix is put before names");
    assert_eq!(listed(&["nowhere"]), "");

    let deleted = topics(&["delete", "pin", "geo", "--prefix", "made"]);
    assert_eq!((deleted.code, deleted.stdout.as_str()), (0, "made.pin: deleted\nmade.geo: deleted\n"));
    let again = topics(&["delete", "made.pin"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, "made.pin: did not exist\n"));
    assert_eq!(topics(&["list", "--prefix", "made"]).stdout, "made.user\n");
}

#[test]
fn topic_with_create_time_is_created_on_request_and_otherwise_reported_as_a_risk() {
    if skipped() {
        return;
    }
    let asked = ["create", "sender-times", "--config", "message.timestamp.type=CreateTime"];
    let made = topics(&asked);
    assert_eq!((made.code, made.stdout.as_str()), (0, "sender-times: created\n"));
    assert_eq!(described(&["sender-times"])[0]["config"]["message.timestamp.type"], "CreateTime");
    assert_eq!(
        topics(&asked).stdout,
        "sender-times: already exists with the wanted settings\n",
        "that is what is wanted"
    );

    let again = topics(&["create", "sender-times"]);
    let risk =
        "risk: topic sender-times: producers set the timestamps of its records (message.timestamp.type=CreateTime)";
    assert!(again.code == 0 && again.stdout.contains(risk), "{again:?}");
    let again: Value = serde_json::from_str(&topics(&["create", "sender-times", "--format", "json"]).stdout).unwrap();
    assert_eq!(again["outcome"], "exists");
    assert!(again["risk"].as_str().unwrap().contains("--add-config message.timestamp.type=LogAppendTime"), "{again}");
    assert_eq!(topics(&["delete", "sender-times"]).code, 0);
}

#[test]
fn check_reports_topics_with_create_time() {
    if skipped() {
        return;
    }
    let site = pinflow_testkit::kafka::site::PostsSite::without_topics(&KafkaBroker::shared().plaintext());
    let [pin, geo] = ["pin", "geo"].map(|stream| site.topic(stream));
    assert_eq!(topics(&["create", &pin]).code, 0);
    KafkaBroker::shared().create_topic(&geo, 1, &[]);
    let config = site.configure_topics(&format!("pin = \"{pin}\", geo = \"{geo}\""), "");
    let checked = run(["check", config.to_str().unwrap()]);
    let risks: Vec<&str> = checked.stdout.lines().filter(|line| line.starts_with("risk")).collect();
    assert!(matches!(risks[..], [risk] if risk.contains(&format!("topic {geo}: producers set"))), "{checked:?}");
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[test]
fn existing_topic_with_other_settings_is_reported_and_not_changed() {
    if skipped() {
        return;
    }
    assert_eq!(topics(&["create", "other", "--partitions", "2"]).code, 0);
    for (wanted, says) in [
        (&["--partitions", "3"][..], "2 partitions, not 3"),
        (&["--replication", "2"], "1 replicas of each partition, not 2"),
        (&["--config", "cleanup.policy=compact"], "cleanup.policy=delete, not cleanup.policy=compact"),
    ] {
        let ended = topics(&[&["create", "other"], wanted].concat());
        assert!(ended.code == 1 && ended.stdout.contains(says), "{ended:?}");
    }
    assert_eq!(described(&["other"])[0]["partitions"].as_array().unwrap().len(), 2);
}

#[test]
fn broker_rejection_is_reported_with_a_hint() {
    if skipped() {
        return;
    }
    for (arguments, says) in [
        (&["create", "copied", "--replication", "3"][..], "smaller --replication"),
        (&["create", "a b"], "use 1 to 249 letters"),
        (&["create", "set", "--config", "retention.ms=soon"], "correct --config"),
        (&["describe", "not-there"], "`pinflow topics create not-there`"),
    ] {
        let ended = topics(arguments);
        assert!(ended.code == 1 && ended.stdout.contains(says), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn missing_permission_is_reported_by_name() {
    if skipped() {
        return;
    }
    assert_eq!(topics(&["create", "guarded"]).code, 0);
    let place = write_connection_config(BrokerListener::Sasl, "SCRAM-SHA-512", DENIED_USER);
    let nobody =
        |arguments: &[&str]| run(["topics"].iter().chain(arguments).copied().chain(["--connection", place.config()]));
    let seen = nobody(&["list"]);
    assert!(seen.code == 0 && !seen.stdout.contains("guarded"), "{seen:?}");
    // A topic that the user may not describe looks like a missing one, until the user tries to create it.
    let ended = nobody(&["describe", "guarded"]);
    assert!(ended.code == 1 && ended.stdout.contains("grant Describe"), "{ended:?}");
}

#[test]
fn conflicting_arguments_are_usage_errors() {
    for arguments in [
        &["topics", "list"][..],
        &["topics", "list", "--brokers", "localhost:none"],
        &["topics", "list", "--connection", "no-such-file.toml"],
        &["topics", "create", "a", "--brokers", "localhost:1", "--partitions", "0"],
    ] {
        assert_eq!(run(arguments.iter().copied()).code, 2, "{arguments:?}");
    }
    let nameless = run(["topics", "delete", "--brokers", "localhost:1"]);
    assert_ne!(nameless.code, 0);
}
