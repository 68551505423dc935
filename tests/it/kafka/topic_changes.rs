//! Recreated topics and expired records: the run ends with an error that names the range.

use std::time::{Duration, Instant};

use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};
use rusqlite::types::Value;

use pinflow_testkit::kafka::broker::{KafkaBroker, block_on};
use pinflow_testkit::kafka::site::{LiveSite, PostsSite, SendingThread};
use pinflow_testkit::kafka::skipped;
use pinflow_testkit::ledger::{deliveries, read};
use pinflow_testkit::{pinflow, succeed, wait_until};

/// Longest time until a change is reported.
const REPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// A topic with one partition of users.
struct UserTopic<'a> {
    broker: &'a KafkaBroker,
    site: PostsSite,
    topic: String,
    config: std::path::PathBuf,
    sent: u32,
}

impl<'a> UserTopic<'a> {
    fn new(broker: &'a KafkaBroker) -> UserTopic<'a> {
        let site = PostsSite::without_topics(&broker.plaintext());
        let topic = site.topic("user");
        broker.create_topic(&topic, 1, &[]);
        let config = site.configure_topics(&format!("user = \"{topic}\""), "");
        UserTopic { broker, site, topic, config, sent: 0 }
    }

    fn name(&self) -> String {
        format!("kafka/{}/0", self.topic)
    }

    fn send(&mut self, count: u32) {
        let mut sending = SendingThread::new(&self.broker.plaintext(), &[]);
        for ind in self.sent..self.sent + count {
            sending.send(&self.topic, 0, Some(format!("{{\"ind\":{ind},\"age\":20}}").as_bytes()));
        }
        sending.flush();
        self.sent += count;
    }

    fn delete(&self) {
        let deleted = block_on(self.broker.admin().delete_topics(&[&self.topic], &AdminOptions::new())).unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// Deletes the topic, creates it again and fills it.
    fn recreate(&mut self, count: u32) {
        self.delete();
        // The broker needs a moment to delete the topic.
        wait_until("the topic can be created again", || {
            let topic = rdkafka::admin::NewTopic::new(&self.topic, 1, rdkafka::admin::TopicReplication::Fixed(1));
            let made = block_on(self.broker.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
            made.iter().all(Result::is_ok)
        });
        self.send(count);
    }

    /// Deletes all records before an offset.
    fn delete_records(&self, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(before)).unwrap();
        block_on(self.broker.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    fn run(&self) -> LiveSite {
        self.site.run(&self.config, &[])
    }

    /// Starts a run, and waits until it has read up to this offset.
    fn start_reading(&self, next: u64) -> LiveSite {
        let live = self.run();
        wait_until("it has read", || live.position(&self.name()) == Some(next));
        live
    }
}

fn assert_reports(said: &str, expected: &[&str]) {
    for expected in expected {
        assert!(said.contains(expected), "no `{expected}` in: {said}");
    }
}

/// Waits until the run fails, and returns its error.
fn fails_soon(live: LiveSite) -> String {
    let since = Instant::now();
    let said = live.wait_for_failure();
    assert!(since.elapsed() < REPORT_TIMEOUT, "it took {:?}", since.elapsed());
    said
}

#[test]
fn deleted_topic_ends_the_run() {
    if skipped() {
        return;
    }
    let mut users = UserTopic::new(KafkaBroker::shared());
    users.send(10);
    let live = users.start_reading(10);
    users.delete();
    let topic = format!("kafka/{}", users.topic);
    assert_reports(&fails_soon(live), &[&topic, "was deleted"]);
    assert_reports(&users.run().wait_for_failure(), &[&topic, "was deleted"]);
    assert_eq!(deliveries(&users.site.tables()).len(), 10, "what was read is safe");
}

#[test]
fn recreated_topic_with_fewer_records_ends_the_run() {
    if skipped() {
        return;
    }
    let mut users = UserTopic::new(KafkaBroker::shared());
    users.send(10);
    let live = users.start_reading(10);
    users.recreate(4);
    let name = users.name();
    assert_reports(&fails_soon(live), &[&name]);
    assert_reports(&users.run().wait_for_failure(), &[&name, "read up to offset 10", "4 to 9 are gone"]);
    assert_eq!(deliveries(&users.site.tables()).len(), 10);
}

#[test]
fn recreated_topic_with_more_records_ends_the_run() {
    if skipped() {
        return;
    }
    let mut users = UserTopic::new(KafkaBroker::shared());
    users.send(10);
    let live = users.start_reading(10);
    users.recreate(30);
    assert_reports(&fails_soon(live), &[&users.name(), "re-created", "and now holds"]);
    // The same between two runs.
    let mut users = UserTopic::new(KafkaBroker::shared());
    users.send(10);
    users.start_reading(10).stop();
    users.recreate(30);
    assert_reports(
        &users.run().wait_for_failure(),
        &[&users.name(), "offset 9 held a record with fingerprint", "now holds "],
    );
    assert_eq!(deliveries(&users.site.tables()).len(), 10, "nothing of the new one was read");
}

#[test]
fn recreated_topic_with_fewer_partitions_ends_the_run() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::new(broker, 3);
    let recording = site.recording(100, 41, &[]);
    let config = site.configure("");
    site.send(&recording, 3);
    let live = site.run(&config, &[]);
    live.wait_until_read(&site.ends());
    live.stop();
    let topic = site.topic("geo");
    block_on(broker.admin().delete_topics(&[&topic], &AdminOptions::new())).unwrap();
    wait_until("the topic can be created again", || {
        let made = rdkafka::admin::NewTopic::new(&topic, 2, rdkafka::admin::TopicReplication::Fixed(1));
        block_on(broker.admin().create_topics([&made], &AdminOptions::new())).unwrap()[0].is_ok()
    });
    assert_reports(
        &site.run(&config, &[]).wait_for_failure(),
        &[&format!("kafka/{topic}"), "it has 2 now", "2 to 2 are gone"],
    );
}

#[test]
fn records_expired_before_start_are_reported_and_can_be_accepted() {
    if skipped() {
        return;
    }
    let mut users = UserTopic::new(KafkaBroker::shared());
    users.send(10);
    users.start_reading(10).stop();
    users.send(20);
    users.delete_records(25);
    let (name, range) = (users.name(), format!("{}:10-24", users.name()));
    let accept = format!("--accept-loss {range}");
    assert_reports(&users.run().wait_for_failure(), &[&name, "positions 10 to 24", &accept]);
    // A different range does not accept this loss.
    let near = format!("{name}:10-25");
    assert_reports(&users.site.run(&users.config, &["--accept-loss", &near]).wait_for_failure(), &[&accept]);
    let live = users.site.run(&users.config, &["--accept-loss", &range]);
    wait_until("it has read on", || live.position(&name) == Some(30));
    live.stop();
    let found = deliveries(&users.site.tables());
    let positions: Vec<u64> = found.keys().map(|(_, position, _)| *position).collect();
    assert_eq!(positions, (0..11).chain(25..30).collect::<Vec<u64>>(), "ten, the loss, and what was left");
    let rejected = read(&users.site.tables().join("rejected"));
    assert_eq!(rejected.rows.len(), 1);
    let at = |name: &str| rejected.columns.iter().position(|column| column == name).unwrap();
    assert_eq!(rejected.rows[0][at("reason")], Value::Text("no_key".to_owned()));
    assert_eq!(rejected.rows[0][at("_position")], Value::Text(format!("{:020}", 10)));
    succeed(pinflow(["table"]).arg(users.site.tables()).arg("--verify"));
    // The flag is only needed once: the next run continues without it.
    users.send(1);
    users.start_reading(31).stop();
}

#[test]
fn records_expired_during_a_pause_end_the_run() {
    if skipped() {
        return;
    }
    // A slow commit delays reading while many records are waiting.
    let mut users = UserTopic::new(KafkaBroker::shared());
    users.send(100);
    let mut command = pinflow(["run"]);
    let log = std::fs::File::create(users.site.place.path().join("log")).unwrap();
    command.arg(&users.config).args(["--output", "none"]).env("RUST_LOG", "pinflow=debug").stderr(log);
    command.env("FAILPOINTS", "engine::commit=3*off->1*sleep(8000)");
    let mut running = pinflow_testkit::RunningProcess::start(&mut command);
    let said = || std::fs::read_to_string(users.site.place.path().join("log")).unwrap();
    // More than two windows, and then more than the feed buffers.
    let mut sending = SendingThread::new(&users.broker.plaintext(), &[]);
    wait_until("the partition is paused", || {
        assert!(running.try_wait().is_none(), "{}", said());
        // Many at once: the pauses between checks grow with the time that one takes.
        (0..5_000).for_each(|ind| sending.send(&users.topic, 0, Some(format!("{{\"ind\":{ind}}}").as_bytes())));
        sending.flush();
        said().contains("are paused")
    });
    let end = pinflow_testkit::kafka::site::ends(&users.broker.plaintext(), std::slice::from_ref(&users.topic))
        [&users.name()];
    users.delete_records(i64::try_from(end).unwrap());
    let status = running.wait();
    assert_eq!(status.code(), Some(1), "{}", said());
    assert_reports(&said(), &[&users.name(), "no longer holds positions", "--accept-loss"]);
}

#[test]
fn other_cluster_with_the_same_topics_ends_the_run() {
    if skipped() {
        return;
    }
    let mut users = UserTopic::new(KafkaBroker::shared());
    users.send(10);
    users.start_reading(10).stop();
    let other = KafkaBroker::start_dedicated("");
    other.create_topic(&users.topic, 1, &[]);
    let config = std::fs::read_to_string(&users.config).unwrap();
    std::fs::write(&users.config, config.replace(&users.broker.plaintext(), &other.plaintext())).unwrap();
    assert_reports(&users.run().wait_for_failure(), &[&users.topic, "from cluster", "these brokers belong to cluster"]);
}

#[test]
fn topic_missing_at_the_start_is_reported() {
    if skipped() {
        return;
    }
    let site = PostsSite::without_topics(&KafkaBroker::shared().plaintext());
    let config = site.configure("");
    let said = site.run(&config, &[]).wait_for_failure();
    assert_reports(&said, &[&site.topic("pin"), "does not exist or is not visible", "pinflow topics create"]);
    let nowhere = PostsSite::without_topics("localhost:1");
    let config = nowhere.configure("");
    assert_reports(&nowhere.run(&config, &[]).wait_for_failure(), &["localhost:1", "Start the brokers"]);
}
