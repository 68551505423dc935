//! Streams are read completely: each record once, parents before children, for every record format.

use serde_json::Value;

use super::emit::run;
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::{KinesisSite, STREAMS, assert_each_once};
use pinflow_testkit::kinesis::skipped;
use pinflow_testkit::ledger::{places, read};
use pinflow_testkit::{last_snapshot, pinflow, succeed, wait_until};

#[test]
fn posts_put_during_a_run_are_answered_and_stored_once() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 3);
    let recording = site.recording(400, 51, &["--malformed", "0.02"]);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    site.send(&recording);
    site.wait_until_durable();
    wait_until("nothing is behind", || {
        live.cut().is_some_and(|cut| cut["sources"].as_array().unwrap().iter().all(|source| source["lag"] == 0))
    });
    let snapshot = live.stop();
    site.assert_answers_and_rows(&snapshot);
    let sources = snapshot.cut["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 9);
    assert!(sources.iter().all(|source| source["lag_ms"] == 0), "{sources:?}");
    // A second run resumes without repeating a record.
    site.send(&site.recording(50, 52, &[]));
    site.finish(&config);
}

#[test]
fn resharded_stream_is_read_in_parent_before_child_order() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 2);
    let stream = site.stream("user");
    let age = |age: u32| -> Vec<_> {
        (0..40).map(|ind| (format!("{ind}"), format!("{{\"ind\":{ind},\"age\":{age}}}").into_bytes())).collect()
    };
    site.probe.put(&stream, &age(20));
    let open = site.probe.open(&stream);
    site.probe.split(&stream, &open[0]);
    site.probe.put(&stream, &age(21));
    let mut open = site.probe.open(&stream);
    open.sort_by_key(pinflow_testkit::kinesis::client::keys);
    site.probe.merge(&stream, &open[1], &open[2]);
    site.probe.put(&stream, &age(22));
    let snapshot = site.finish(&site.configure(""));
    assert_eq!(snapshot.answers["users_joined_by_year"], Vec::<Value>::new());
    let users = read(&site.tables().join("user"));
    assert_eq!(users.rows.len(), 120);
    // Ended shards are not read again, because their ends are stored.
    let ended = site.durable().values().filter(|next| next.to_string() == "end").count();
    assert_eq!(ended, 3, "{:?}", site.durable());
    let again = site.run(&site.configure(""), &[]);
    site.probe.put(&stream, &age(23));
    site.wait_until_durable();
    let snapshot = again.stop();
    let sources = snapshot.cut["sources"].as_array().unwrap();
    assert_eq!(sources.iter().filter(|source| source["source"].as_str().unwrap().contains("-user/")).count(), 2);
    site.assert_answers_and_rows(&snapshot);
}

#[test]
fn latest_means_the_first_start_for_later_shards_too() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 1);
    let stream = site.stream("user");
    let put = |inds: std::ops::Range<u32>| {
        let records: Vec<_> = inds.map(|ind| (format!("{ind}"), format!("{{\"ind\":{ind}}}").into_bytes())).collect();
        site.probe.put(&stream, &records);
    };
    put(0..10);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let config = site.configure("start = \"latest\"");
    let live = site.run(&config, &[]);
    let begun = || site.durable().len() == 3;
    wait_until("it has begun", begun);
    put(10..20);
    // Killed before it has read a record. The start timestamp stays the same.
    drop(live);
    site.probe.split(&stream, &site.probe.open(&stream)[0]);
    put(20..30);
    let live = site.run(&config, &[]);
    wait_until("all that was put since is durable", || places(&site.tables()).len() >= 20);
    live.stop();
    let users = read(&site.tables().join("user"));
    let at = users.columns.iter().position(|column| column == "ind").unwrap();
    let mut inds: Vec<_> = users.rows.iter().map(|row| format!("{:?}", row[at])).collect();
    inds.sort();
    let expected: Vec<_> = (10..30).map(|ind| format!("Integer({ind})")).collect();
    assert_eq!(inds, expected);
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
}

#[test]
fn aggregated_records_are_split_into_rows() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 1);
    let stream = site.stream("user");
    let two = b"{\"records\":[{\"value\":{\"ind\":2}},{\"value\":{\"ind\":3}}]}";
    let whole = aggregate(&["key"], &[(0, b"{\"ind\":1}"), (0, two), (0, b"{}")]);
    let mut broken = whole.clone();
    *broken.last_mut().unwrap() ^= 1;
    let base64 = br#""eyJpbmQiOjR9""#.to_vec();
    let put: Vec<_> = [whole, broken, base64].into_iter().map(|data| ("key".to_owned(), data)).collect();
    site.probe.put(&stream, &put);
    let live = site.run(&site.configure(""), &[]);
    site.wait_until_durable();
    live.stop();
    let subs: Vec<i64> = places(&site.tables()).keys().map(|(_, _, sub)| *sub).collect();
    // Four rows of the first record in three parts, one of the second that is not text, one of the third in base64.
    assert_eq!(subs, [0, 1, 2, 3, 0, 0]);
    assert_eq!(read(&site.tables().join("user")).rows.len(), 4);
    assert_eq!(read(&site.tables().join("rejected")).rows.len(), 2);
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
}

/// An aggregated record as the Kinesis Producer Library writes it: parts with the indices of their keys.
fn aggregate(keys: &[&str], parts: &[(u8, &[u8])]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 0x80).expect("short parts");
        [&[number << 3 | 2, length][..], bytes].concat()
    };
    let record = |(key, part): &(u8, &[u8])| field(3, &[&[1 << 3, *key][..], &field(3, part)].concat());
    let body: Vec<u8> =
        keys.iter().flat_map(|key| field(1, key.as_bytes())).chain(parts.iter().flat_map(record)).collect();
    let sum = <md5::Md5 as md5::Digest>::digest(&body);
    [&[0xF3, 0x89, 0x9A, 0xC2][..], &body, sum.as_slice()].concat()
}

#[test]
fn shared_stream_is_routed_by_fields() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::without_streams(&endpoint, &endpoint);
    site.probe.create(&site.prefix, 2);
    let recording = site.recording(60, 53, &[]);
    let config = site.configure_streams(&format!("auto = \"{}\"", site.prefix), "");
    for stream in STREAMS {
        let lines = pinflow_testkit::kafka::site::lines(&recording, stream);
        let put: Vec<_> = lines.into_iter().enumerate().map(|(at, line)| (at.to_string(), line)).collect();
        site.probe.put(&site.prefix, &put);
    }
    let live = site.run(&config, &[]);
    wait_until("all is durable", || places_of(&site) == 180);
    let snapshot = live.stop();
    let mut held = Vec::new();
    for (shard, records) in site.probe.list_stored_records(&site.prefix) {
        let source = format!("kinesis/{}/{shard}", site.prefix);
        held.extend(records.iter().map(|record| (source.clone(), record.number.parse().unwrap())));
    }
    assert_each_once(&held, &site.tables());
    pinflow_testkit::batch::assert_answers_equal_batch(&site.tables(), Default::default(), &snapshot);
}

#[test]
fn shared_stream_is_routed_by_partition_keys() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::without_streams(&endpoint, &endpoint);
    let shared = site.prefix.as_str();
    site.probe.create(shared, 3);
    let own = |stream: &str| format!("streaming-me-{stream}");
    let keys: Vec<String> = STREAMS.iter().map(|stream| format!("{stream} = \"{}\"", own(stream))).collect();
    let more = format!("partition_keys = {{ {} }}", keys.join(", "));
    let config = site.configure_streams(&format!("routed = \"{shared}\""), &more);
    // The fields of these posts do not tell their stream: users with only an ind.
    let arguments = ["emit", "--to", "kinesis://", "--topic", shared, "--key", "streaming-me-{stream}"];
    let (code, _, said) =
        run(arguments.into_iter().chain(["--inds", "80", "--endpoint", &endpoint, "--region", "us-east-1"]));
    assert!(code == 0 && said.contains("240 messages"), "{said}");
    let user = b"{\"ind\":1000}";
    let parts: [(u8, &[u8]); 3] =
        [(1, user), (0, b"{\"ind\":1001,\"country\":\"Chad\"}"), (2, b"{\"ind\":1002,\"age\":3}")];
    let aggregated = aggregate(&[&own("geo"), &own("user"), "streaming-you-user"], &parts);
    site.probe.put(
        shared,
        &[
            (own("user"), user.to_vec()),
            ("streaming-you-user".to_owned(), b"{\"ind\":1,\"age\":3}".to_vec()),
            (own("geo"), b"{\"ind\":1,\"age\":3}".to_vec()),
            (own("pin"), aggregated),
        ],
    );
    let live = site.run(&config, &[]);
    wait_until("all is durable", || places_of(&site) == 246);
    let snapshot = live.stop();
    pinflow_testkit::batch::assert_answers_equal_batch(&site.tables(), Default::default(), &snapshot);
    let rows = |table: &str| read(&site.tables().join(table)).rows.len();
    assert_eq!(["pin", "geo", "user"].map(rows), [80, 81, 82]);
    let rejected = read(&site.tables().join("rejected"));
    let column = |name: &str| rejected.columns.iter().position(|column| column == name).unwrap();
    let text = |row: &Vec<rusqlite::types::Value>, name: &str| format!("{:?}", row[column(name)]);
    assert!(rejected.rows.iter().all(|row| text(row, "reason").contains("wrong_stream")), "{:?}", rejected.rows);
    let of_others = rejected.rows.iter().filter(|row| text(row, "detail").contains("streaming-you-user"));
    assert_eq!((of_others.count(), rejected.rows.len()), (2, 3));
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
    // The next run resumes without repeating a record.
    let live = site.run(&config, &[]);
    site.probe.put(shared, &[(own("pin"), b"{\"index\":5,\"title\":\"a\"}".to_vec())]);
    wait_until("it has read on", || places_of(&site) == 247);
    live.stop();
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
}

#[test]
fn posts_from_a_recording_and_kinesis_are_joined_in_one_run() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 1);
    let recording = site.recording(200, 54, &[]);
    // Pins come from the stream, the others from the recording.
    let pins: Vec<_> = pinflow_testkit::kafka::site::lines(&recording, "pin");
    std::fs::remove_file(recording.join("pin.jsonl")).unwrap();
    let puts: Vec<_> = pins.into_iter().enumerate().map(|(at, line)| (at.to_string(), line)).collect();
    site.probe.put(&site.stream("pin"), &puts);
    let config = site.configure("");
    let text = std::fs::read_to_string(&config).unwrap();
    let more =
        format!("[[source]]\nkind = \"recording\"\npath = \"{}\"\n", recording.file_name().unwrap().to_str().unwrap());
    std::fs::write(&config, more + &text).unwrap();
    let live = site.run(&config, &[]);
    wait_until("all is durable", || places_of(&site) == 600);
    let snapshot = live.stop();
    pinflow_testkit::batch::assert_answers_equal_batch(&site.tables(), Default::default(), &snapshot);
    assert!(!snapshot.answers["most_followed_user_by_country"].is_empty(), "all three streams have met");
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
}

#[test]
fn posts_from_kafka_and_kinesis_are_joined_in_one_run() {
    if skipped() || pinflow_testkit::kafka::skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 2);
    let topics = pinflow_testkit::kafka::site::PostsSite::new(pinflow_testkit::kafka::broker::KafkaBroker::shared(), 2);
    let recording = site.recording(150, 55, &[]);
    // Pins come from Kinesis, the others from Kafka.
    let pins = pinflow_testkit::kafka::site::lines(&recording, "pin");
    let puts: Vec<_> = pins.into_iter().enumerate().map(|(at, line)| (at.to_string(), line)).collect();
    let config = site.configure("");
    let kafka = std::fs::read_to_string(topics.configure("")).unwrap();
    let (source, _) = kafka.split_once("[tables]").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, source.to_owned() + &text).unwrap();
    for killed in [true, false] {
        let live = site.run(&config, &[]);
        match killed {
            true => {
                site.probe.put(&site.stream("pin"), &puts);
                std::fs::write(recording.join("pin.jsonl"), "").unwrap();
                topics.send(&recording, 2);
                wait_until("some are durable", || places_of(&site) > 0);
                live.running.signal(nix::sys::signal::Signal::SIGKILL);
            }
            false => {
                // Everything may already have been durable when it was killed. Then wait only for its first snapshot.
                wait_until("all is durable and shown", || live.cut().is_some() && places_of(&site) == 450);
                let snapshot = live.stop();
                pinflow_testkit::batch::assert_answers_equal_batch(&site.tables(), Default::default(), &snapshot);
                assert!(!snapshot.answers["most_followed_user_by_country"].is_empty(), "all three streams have met");
            }
        }
    }
    assert!(places(&site.tables()).values().all(|times| *times == 1));
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
}

fn places_of(site: &KinesisSite) -> usize {
    // All four tables exist once positions are stored.
    if site.durable().is_empty() { 0 } else { places(&site.tables()).len() }
}

#[test]
fn run_until_caught_up_reads_existing_records_and_ends() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 2);
    let config = site.configure("");
    let stream = site.stream("user");
    for seed in 61..64 {
        site.send(&site.recording(60, seed, &[]));
        if seed == 62 {
            // Records from before and after a split exist when the run starts.
            site.probe.split(&stream, &site.probe.open(&stream)[0]);
            site.send(&site.recording(60, 64, &[]));
        }
        let output = succeed(site.command(&config).args(["--until-caught-up", "--output", "snapshots"]));
        site.assert_answers_and_rows(&last_snapshot(&output.stdout));
    }
}
