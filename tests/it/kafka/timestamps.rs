//! Timestamps set by producers: the latest counts, and an implausible one is ignored.

use std::path::Path;

use rusqlite::types::Value;

use pinflow_testkit::ProcessOutput;
use pinflow_testkit::kafka::broker::KafkaBroker;
use pinflow_testkit::kafka::site::{PostsSite, STREAMS};
use pinflow_testkit::kafka::skipped;
use pinflow_testkit::ledger;
use pinflow_testkit::serving::ServingRun;

/// 9999-12-31T00:00:00Z, milliseconds.
const YEAR_9999_MS: i64 = 253_402_214_400_000;

/// Topics that accept any timestamp, which is the default of brokers before Kafka 4.
fn site() -> PostsSite {
    let broker = KafkaBroker::shared();
    let site = PostsSite::without_topics(&broker.plaintext());
    for stream in STREAMS {
        let settings = [("message.timestamp.after.max.ms", i64::MAX.to_string())];
        broker.create_topic(&site.topic(stream), 1, &settings.each_ref().map(|(key, value)| (*key, value.as_str())));
    }
    site
}

fn user(age: u32) -> Vec<u8> {
    format!("{{\"ind\":7,\"first_name\":\"A\",\"age\":{age},\"date_joined\":\"2017-01-01T00:00:00\"}}").into_bytes()
}

fn pin() -> Vec<u8> {
    br#"{"index":7,"unique_id":"u","category":"art","poster_name":"p","follower_count":"94"}"#.to_vec()
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The age group of the only user in the answers.
fn age_group(snapshot: &ProcessOutput) -> String {
    let rows = &snapshot.answers["median_followers_by_age_group"];
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["age_group"].as_str().unwrap().to_owned()
}

/// Reads all records, and ends.
fn read_to_end(site: &PostsSite, config: &Path) -> ProcessOutput {
    let live = site.run(config, &[]);
    live.wait_until_caught_up(&site.ends());
    live.stop()
}

/// Whether the time of each stored user is known, in the order of their positions.
fn stored_times_known(site: &PostsSite) -> Vec<bool> {
    let read = ledger::read(&site.tables().join("user"));
    let column = |name: &str| read.columns.iter().position(|column| column == name).unwrap();
    let (position, time) = (column("_position"), column("_arrived_at"));
    let mut rows: Vec<_> =
        read.rows.iter().map(|row| (format!("{:?}", row[position]), row[time] != Value::Null)).collect();
    rows.sort();
    rows.into_iter().map(|(_, is_known)| is_known).collect()
}

#[test]
fn post_stamped_in_the_year_9999_does_not_shadow_later_ones_and_is_counted() {
    if skipped() {
        return;
    }
    let site = site();
    let config = site.configure("");
    let topic = site.topic("user");
    let mut sending = site.producer();
    sending.send(&site.topic("pin"), 0, Some(&pin()));
    // First the implausible timestamp, then two records of which the first has the later timestamp.
    let now = now_ms();
    sending.send_at(&topic, 0, &user(20), YEAR_9999_MS);
    sending.send_at(&topic, 0, &user(30), now);
    sending.send_at(&topic, 0, &user(40), now - 60_000);
    sending.flush();

    let snapshot = read_to_end(&site, &config);
    assert_eq!(age_group(&snapshot), "25-35", "the user who was posted last among those with a time");
    site.assert_answers_and_rows(&snapshot);
    let log = std::fs::read_to_string(site.place.path().join("log")).unwrap();
    assert!(log.contains("more than an hour ahead of this machine's clock; such times count as unknown"), "{log}");
    let counted = |line: &str| line.contains("ahead and count as unknown") && line.contains("\"records\":1");
    assert!(log.lines().any(counted), "{log}");
    assert_eq!(stored_times_known(&site), [false, true, true]);

    // The answers are the same after reading the tables back, and a new post replaces the stored one.
    assert_eq!(age_group(&read_to_end(&site, &config)), "25-35");
    sending.send(&topic, 0, Some(&user(60)));
    sending.flush();
    let snapshot = read_to_end(&site, &config);
    assert_eq!(age_group(&snapshot), "50+");
    site.assert_answers_and_rows(&snapshot);
}

#[test]
fn time_less_than_an_hour_ahead_is_accepted() {
    if skipped() {
        return;
    }
    let site = site();
    let config = site.configure("");
    let mut sending = site.producer();
    sending.send(&site.topic("pin"), 0, Some(&pin()));
    sending.send_at(&site.topic("user"), 0, &user(20), now_ms() + 55 * 60_000);
    sending.send_at(&site.topic("user"), 0, &user(30), now_ms());
    sending.flush();
    assert_eq!(age_group(&read_to_end(&site, &config)), "18-24");
    assert_eq!(stored_times_known(&site), [true, true]);
}

#[test]
fn times_ahead_are_counted_in_status_and_metrics() {
    if skipped() {
        return;
    }
    let site = site();
    let config = site.configure("");
    let mut sending = site.producer();
    (0..3).for_each(|_| sending.send_at(&site.topic("user"), 0, &user(20), YEAR_9999_MS));
    sending.send(&site.topic("user"), 0, Some(&user(20)));
    sending.flush();
    let serving = ServingRun::start(site.place.path(), &config, &[]);
    serving.wait_until_read(4);
    assert_eq!(serving.http.json("/status")["this_run"]["times_ahead"], 3);
    let metrics = serving.http.get("/metrics");
    assert!(metrics.text().lines().any(|line| line == "pinflow_times_ahead_total 3"), "{}", metrics.text());
    serving.stop();
}
