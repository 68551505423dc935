//! Replies that many clients request and do not read are kept in memory once, and counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::json;

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, wait_until};

/// Number of countries. Each has its own row in two answers.
const COUNTRY_COUNT: usize = 10_000;

/// A run whose answers take some MiB.
fn large_answers(place: &Path, more: &str) -> ServingRun {
    let recording = place.join("recording");
    std::fs::create_dir(&recording).unwrap();
    let file = |name: &str| std::io::BufWriter::new(std::fs::File::create(recording.join(name)).unwrap());
    let (mut pins, mut geos) = (file("pin.jsonl"), file("geo.jsonl"));
    for ind in 0..COUNTRY_COUNT {
        let country = format!("country {ind} {}", "x".repeat(300));
        let pin = json!({ "index": ind, "unique_id": "u", "title": "t", "category": "art", "follower_count": ind, "poster_name": "p" });
        let geo = json!({ "ind": ind, "country": country, "timestamp": "2019-05-05T05:05:05", "latitude": 1, "longitude": 2 });
        writeln!(pins, "{pin}").unwrap();
        writeln!(geos, "{geo}").unwrap();
    }
    drop((pins, geos));
    join(place, 0);
    let serving = ServingRun::start(place, &configure_followed_recording(place, &recording, more), &[]);
    serving.wait_until_read(2 * COUNTRY_COUNT as u64 + 1);
    serving
}

/// Adds a user.
fn join(place: &Path, ind: usize) {
    let row = json!({ "ind": 5_000_000 + ind, "first_name": "A", "last_name": "B", "age": 30, "date_joined": "2016-02-02T02:02:02" });
    let path = place.join("recording/user.jsonl");
    let mut users = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(users, "{row}").unwrap();
}

/// Sends a request, and reads only the head of the reply.
fn ask_and_stop(serving: &ServingRun, path: &str) -> (TcpStream, String) {
    let mut stream = serving.http.connect();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    (stream, String::from_utf8_lossy(&head[9..]).into_owned())
}

fn held_bytes(serving: &ServingRun) -> f64 {
    let metrics = serving.http.get("/metrics");
    let line = metrics.text().lines().find(|line| line.starts_with("pinflow_http_reply_bytes ")).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn clients_that_do_not_read_share_one_rendered_reply_per_epoch() {
    let place = create_temp_dir();
    let serving = large_answers(place.path(), "");
    let size = serving.http.get("/answers").body.len();
    assert!(size > 5 << 20, "{size} bytes are too few to tell anything");
    let memory = serving.running.memory_bytes();
    let readers: Vec<_> = ["/answers", "/changes"]
        .into_iter()
        .flat_map(|path| std::iter::repeat_n(path, 25))
        .map(|path| {
            let (stream, status) = ask_and_stop(&serving, path);
            assert_eq!(status, "200");
            stream
        })
        .collect();
    let grown = serving.running.memory_bytes().saturating_sub(memory);
    // Fifty copies would be 250 MiB and more; /answers and the snapshots are one each.
    assert!(grown < 8 * size as u64, "50 readers of {size} bytes hold {grown} bytes more");
    let held = held_bytes(&serving);
    assert!(held >= 1.5 * size as f64 && held < 4.0 * size as f64, "{held} bytes are held for {size}");
    assert_eq!(serving.http.get("/answers").body.len(), size);
    drop(readers);
    serving.stop();
}

#[test]
fn unread_replies_are_limited_by_a_budget_and_released() {
    let place = create_temp_dir();
    let serving = large_answers(place.path(), "[serve]\nlisten = \"127.0.0.1:0\"\nreply_bytes_max = 20000000");
    let (mut held, mut statuses) = (Vec::new(), Vec::new());
    for number in 1..=6 {
        let (stream, status) = ask_and_stop(&serving, "/answers");
        held.push(stream);
        statuses.push(status);
        // In a new epoch the next reader gets a new rendering.
        join(place.path(), number);
        serving.wait_until_read((2 * COUNTRY_COUNT + 1 + number) as u64);
    }
    assert_eq!((statuses[0].as_str(), statuses[5].as_str()), ("200", "503"), "{statuses:?}");
    assert!(held_bytes(&serving) <= 20_100_000.0);
    // Small replies are always sent.
    assert_eq!((serving.http.get("/healthz").status, serving.http.get("/status").status), (200, 200));
    drop(held);
    wait_until("what was held is given back", || serving.http.get("/answers").status == 200);
    serving.stop();
}
