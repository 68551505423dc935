//! Change streams: resuming, durable reads, slow subscribers.

use pinflow_dataflows::graph::GraphOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use pinflow_testkit::http_client::SseEvent;
use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, wait_until};

/// Posts per stream while the slow subscriber does not read.
const UNREAD_POSTS: u32 = 9_000;
/// Nothing that a subscriber waits for takes longer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CHANGES_PATH: &str = "/answers/users_joined_by_year/changes";

fn join(recording: &Path, ind: u32, year: u32) {
    let row = json!({ "ind": ind, "first_name": "A", "last_name": "B", "age": 30, "date_joined": format!("{year}-02-02T02:02:02") });
    let mut file = std::fs::OpenOptions::new().append(true).open(recording.join("user.jsonl")).unwrap();
    writeln!(file, "{row}").unwrap();
}

/// Applies an event to the rows.
fn apply(rows: &mut Vec<Value>, event: &SseEvent) {
    if event.kind == "snapshot" {
        *rows = event.data["rows"].as_array().unwrap().clone();
        return;
    }
    assert_eq!(event.kind, "change");
    for row in event.data["delete"].as_array().unwrap() {
        let at = rows.iter().position(|held| held == row).expect("what goes is there");
        rows.remove(at);
    }
    for row in event.data["insert"].as_array().unwrap() {
        assert!(!rows.contains(row), "what comes is not there");
        rows.push(row.clone());
    }
    rows.sort_by_key(|row| row["post_year"].as_i64());
}

#[test]
fn subscriber_gets_every_change_and_resumes_after_reconnect() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 50, 100, 51, &[]);
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, ""), &[]);
    serving.wait_until_read(300);
    let http = serving.http;
    let mut events = http.events(CHANGES_PATH, &[]);
    let mut rows = Vec::new();
    let first = events.next().unwrap();
    apply(&mut rows, &first);
    assert_eq!(first.kind, "snapshot");
    assert!(first.data.get("anew").is_none());
    for ind in 0..20 {
        join(&recording, 1_000_000 + ind, 2015 + ind % 3);
        serving.wait_until_read(301 + u64::from(ind));
    }
    let current = |path: &str| http.json(path)["rows"].as_array().unwrap().clone();
    let now = current("/answers/users_joined_by_year");
    let mut last = None;
    while rows != now {
        let event = events.next().unwrap();
        apply(&mut rows, &event);
        last = event.id.or(last);
    }
    drop(events);
    // A subscriber that reconnects gets the missed changes, each once.
    for ind in 20..40 {
        join(&recording, 1_000_000 + ind, 2015 + ind % 3);
        serving.wait_until_read(301 + u64::from(ind));
    }
    let mut resumed = http.events(CHANGES_PATH, &[("last-event-id", last.as_deref().unwrap())]);
    let now = current("/answers/users_joined_by_year");
    while rows != now {
        let event = resumed.next().unwrap();
        assert_eq!(event.kind, "change", "no snapshot: {event:?}");
        apply(&mut rows, &event);
    }
    // With an id of another run, or an invalid one, it gets a snapshot and the reason.
    for (id, why) in [("1234-5", Some("was restarted")), ("nonsense", None)] {
        let event = http.events(CHANGES_PATH, &[("last-event-id", id)]).next().unwrap();
        assert_eq!((event.kind.as_str(), &event.data["rows"]), ("snapshot", &json!(rows)));
        assert_eq!(event.data.get("anew").is_some(), why.is_some(), "{event:?}");
        assert!(why.is_none_or(|why| event.data["anew"].as_str().unwrap().contains(why)), "{event:?}");
    }
    // All answers in one stream: a snapshot of each as of one epoch. Only the last one has the id.
    let snapshots: Vec<_> = http
        .events("/changes", &[])
        .take(pinflow::dataflows::questions::QuestionSet::built_in(GraphOptions::default()).len())
        .collect();
    assert!(
        snapshots.iter().all(|event| event.kind == "snapshot" && event.data["epoch"] == snapshots[0].data["epoch"])
    );
    assert!(snapshots.split_last().unwrap().1.iter().all(|event| event.id.is_none()));
    assert!(snapshots.last().unwrap().id.is_some());
    serving.stop();
}

#[test]
fn durable_subscriber_receives_committed_epochs_only() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 50, 100, 52, &[]);
    let more = "[tables]\nurl = \"tables\"\ncommit_age_secs_max = 2";
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, more), &[]);
    let http = serving.http;
    serving.wait_until_read(300);
    wait_until("the first window is durable", || {
        http.json("/answers?read=durable")["answers"] == http.json("/answers")["answers"]
    });
    let mut events = http.events(&format!("{CHANGES_PATH}?read=durable"), &[]);
    let mut rows = Vec::new();
    apply(&mut rows, &events.next().unwrap());
    for ind in 0..5 {
        join(&recording, 1_000_000 + ind, 2016);
        serving.wait_until_read(301 + u64::from(ind));
        let all = http.json("/answers?read=durable");
        assert!(all["epoch"].as_u64() <= all["durable_epoch"].as_u64(), "{all}");
    }
    let now = http.json("/answers/users_joined_by_year")["rows"].as_array().unwrap().clone();
    while rows != now {
        let event = events.next().unwrap();
        apply(&mut rows, &event);
        // It is committed now.
        let durable = http.json("/status")["durable_epoch"].as_u64().unwrap();
        assert!(event.data["epoch"].as_u64().unwrap() <= durable);
    }
    serving.stop();
    // After a restart everything is durable, and there are no new changes.
    let again = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, more), &[]);
    again.wait_until_ready();
    wait_until("it is shown", || again.http.get("/answers?read=durable").status == 200);
    let durable = again.http.json("/answers/users_joined_by_year?read=durable");
    assert_eq!(durable["rows"].as_array().unwrap(), &now);
    again.stop();
}

#[test]
fn slow_subscriber_is_dropped_and_delays_no_other() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    std::fs::create_dir(&recording).unwrap();
    // Every post changes answers, and every change is long: much more than socket buffers hold. Each pin is large
    // enough to end an epoch, so there are many epochs on a slow machine, too.
    let mut files = ["pin", "geo", "user"].map(|stream| (stream, String::new()));
    for ind in 0..UNREAD_POSTS {
        let category = format!("{}{}", ind % 5, "c".repeat(4_000));
        let pin =
            json!({ "index": ind, "unique_id": "u", "category": category, "follower_count": ind, "poster_name": "p" });
        let geo =
            json!({ "ind": ind, "country": "Chad", "timestamp": "2019-05-05T05:05:05", "latitude": 1, "longitude": 2 });
        let user =
            json!({ "ind": ind, "first_name": "A", "last_name": "B", "age": 30, "date_joined": "2016-02-02T02:02:02" });
        for ((_, file), row) in files.iter_mut().zip([pin, geo, user]) {
            file.push_str(&format!("{row}\n"));
        }
    }
    for (stream, text) in files {
        std::fs::write(recording.join(format!("{stream}.jsonl")), text).unwrap();
    }
    let config = place.path().join("slow.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\nrate_per_sec = 3000\n[engine]\nepoch_ms = 1\nepoch_bytes_max = 4096\ntext_bytes_max = 8192\n[questions]\ntop = \"all\"\n";
    std::fs::write(&config, text).unwrap();
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_ready();
    let http = serving.http;
    let mut slow = http.connect();
    slow.write_all(format!("GET /changes HTTP/1.0\r\nhost: {}\r\n\r\n", http.address).as_bytes()).unwrap();
    let begun = serving.running.memory_bytes();
    serving.wait_until_read(u64::from(UNREAD_POSTS) * 3);
    assert!(
        serving.running.memory_bytes() < begun + (400 << 20),
        "memory grew from {begun} to {}",
        serving.running.memory_bytes()
    );
    // Now the subscriber reads the buffered events, and then the event that it was dropped.
    slow.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    let (mut heard, mut part, start) = (Vec::new(), vec![0; 1 << 16], Instant::now());
    loop {
        // Without this limit, heartbeats would keep a subscriber that is not dropped here forever.
        assert!(start.elapsed() < READ_TIMEOUT, "after {} bytes it was not dropped", heard.len());
        match slow.read(&mut part).unwrap() {
            0 => break,
            count => heard.extend_from_slice(&part[..count]),
        }
    }
    let tail = String::from_utf8_lossy(&heard[heard.len().saturating_sub(300)..]).into_owned();
    assert!(tail.contains("event: dropped") && tail.contains("reconnect"), "{tail}");
    assert!(http.get("/metrics").text().contains("pinflow_http_readers_dropped_total 1\n"));
    assert!(serving.log().contains("too slow"));
    serving.stop();
}
