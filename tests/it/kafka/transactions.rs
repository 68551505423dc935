//! Transactions: aborted records are skipped, open ones hold back later records, and markers use up offsets.

use std::time::Duration;

use rdkafka::producer::Producer;
use rdkafka::util::Timeout;

use pinflow_testkit::kafka::broker::KafkaBroker;
use pinflow_testkit::kafka::site::{PostsSite, STREAMS, SendingThread, lines};
use pinflow_testkit::kafka::skipped;
use pinflow_testkit::{last_snapshot, pinflow, succeed, wait_until};

const TRANSACTION_TIMEOUT: Timeout = Timeout::After(Duration::from_secs(60));

fn transactional(broker: &KafkaBroker, id: &str) -> SendingThread {
    let sending =
        SendingThread::new(&broker.plaintext(), &[("transactional.id", id), ("transaction.timeout.ms", "600000")]);
    sending.producer.init_transactions(TRANSACTION_TIMEOUT).unwrap();
    sending
}

fn user(ind: u32) -> Vec<u8> {
    format!("{{\"ind\":{ind},\"age\":20}}").into_bytes()
}

#[test]
fn aborted_records_and_transaction_markers_are_skipped() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::new(broker, 2);
    let recording = site.recording(300, 51, &[]);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    let mut sending = transactional(broker, &site.prefix);
    for (turn, commit) in [true, false, true, false].into_iter().enumerate() {
        sending.producer.begin_transaction().unwrap();
        for stream in STREAMS {
            for (number, line) in (0..).zip(lines(&recording, stream)).skip(turn * 75).take(75) {
                sending.send(&site.topic(stream), number % 2, Some(&line));
            }
        }
        sending.flush();
        if commit {
            sending.producer.commit_transaction(TRANSACTION_TIMEOUT).unwrap();
        } else {
            sending.producer.abort_transaction(TRANSACTION_TIMEOUT).unwrap();
        }
    }
    // The ends are after the markers of aborted transactions: positions must advance there although no record follows.
    let ends = site.ends();
    live.wait_until_read(&ends);
    assert_eq!(site.list_stored_positions().len(), 3 * 150);
    site.assert_answers_and_rows(&live.stop());
    // A start compares its position with the records, also if everything before it has expired.
    let mut list = rdkafka::TopicPartitionList::new();
    for (name, end) in &ends {
        let (topic, number) = name.strip_prefix("kafka/").unwrap().rsplit_once('/').unwrap();
        let end = rdkafka::Offset::Offset(i64::try_from(*end).unwrap());
        list.add_partition_offset(topic, number.parse().unwrap(), end).unwrap();
    }
    let admin = broker.admin();
    pinflow_testkit::kafka::broker::block_on(admin.delete_records(&list, &rdkafka::admin::AdminOptions::new()))
        .unwrap();
    let live = site.run(&config, &[]);
    let mut plain = site.producer();
    plain.send(&site.topic("user"), 0, Some(&user(1)));
    plain.flush();
    live.wait_until_read(&site.ends());
    live.stop();
}

#[test]
fn open_transaction_holds_back_later_records_and_is_reported() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::without_topics(&broker.plaintext());
    let topic = site.topic("user");
    broker.create_topic(&topic, 1, &[]);
    let config = site.configure_topics(&format!("user = \"{topic}\""), "");
    let name = format!("kafka/{topic}/0");
    let mut plain = site.producer();
    (0..5).for_each(|ind| plain.send(&topic, 0, Some(&user(ind))));
    plain.flush();
    let mut hanging = transactional(broker, &site.prefix);
    hanging.producer.begin_transaction().unwrap();
    hanging.send(&topic, 0, Some(&user(5)));
    hanging.flush();
    (6..10).for_each(|ind| plain.send(&topic, 0, Some(&user(ind))));
    plain.flush();
    let live = site.run(&config, &[]);
    wait_until("it has read up to the transaction", || live.position(&name) == Some(5));
    wait_until("its progress line tells that it is behind", || live.log().contains("\"lag\":5"));
    assert_eq!(live.position(&name), Some(5), "nothing behind an open transaction is read");
    hanging.producer.commit_transaction(TRANSACTION_TIMEOUT).unwrap();
    // Ten records and the transaction marker.
    wait_until("it goes on", || live.position(&name) == Some(11));
    let snapshot = live.stop();
    assert_eq!(snapshot.cut["sources"][0]["lag"], 0);
    assert_eq!(snapshot.cut["sources"][0]["read"], 10);
}

#[test]
fn run_until_caught_up_reads_committed_records_and_ends() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::new(broker, 2);
    let recording = site.recording(200, 53, &[]);
    let config = site.configure("");
    let command = || {
        let mut command = pinflow(["run", "--until-caught-up", "--output", "snapshots"]);
        command.arg(&config);
        command
    };
    // Topics without records: the run ends at once.
    succeed(&mut command());
    let mut sending = transactional(broker, &site.prefix);
    let mut pieces = STREAMS.map(|stream| lines(&recording, stream)).into_iter();
    for stream in STREAMS {
        let lines = pieces.next().unwrap();
        let (first, second) = lines.split_at(lines.len() / 2);
        for (turn, part) in [first, second].into_iter().enumerate() {
            sending.producer.begin_transaction().unwrap();
            for (number, line) in (0..).zip(part) {
                sending.send(&site.topic(stream), number % 2, Some(line));
            }
            sending.flush();
            // The second transaction of the last stream stays open. A run that ends does not wait for it.
            if turn == 0 || stream != STREAMS[2] {
                sending.producer.commit_transaction(TRANSACTION_TIMEOUT).unwrap();
            }
        }
        let output = succeed(&mut command());
        site.assert_answers_and_rows(&last_snapshot(&output.stdout));
    }
    sending.producer.commit_transaction(TRANSACTION_TIMEOUT).unwrap();
    let output = succeed(&mut command());
    assert_eq!(site.list_stored_positions().len(), 600);
    site.assert_answers_and_rows(&last_snapshot(&output.stdout));
}

#[test]
fn unchanged_topics_are_read_without_a_commit() {
    if skipped() {
        return;
    }
    let site = PostsSite::new(KafkaBroker::shared(), 3);
    let config = site.configure("");
    site.send(&site.recording(60, 71, &[]), 3);
    let run = || {
        let mut command = pinflow(["run", "--until-caught-up", "--output", "none"]);
        command.arg(&config);
        command
    };
    succeed(&mut run());
    crate::idle_starts::assert_no_commits(&site.tables(), run);
}
