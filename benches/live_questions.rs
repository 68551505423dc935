//! Questions that are added to a run of a million `ind` while 200,000 records/s flow (50,000 where every delivery counts),
//! over the real program:
//!
//! ```text
//! cargo bench --bench live_questions
//! PINFLOW_BENCH_INDS=100000 cargo bench --bench live_questions
//! PINFLOW_BENCH_DUPLICATES=latest cargo bench --bench live_questions
//! ```
//!
//! - from `pinflow question add` to the complete answer, median and most of several, for columns that are held and for columns that are read from the
//!   tables, with `duplicates = "latest"` and `"keep"`;
//! - from record to answer (p50, p99), in a minute without changes and in one in which a question always fills, which are
//!   added over HTTP, so that no other process starts in it;
//! - growth of the resident memory by a question, next to what `pinflow question explain` says.
//!
//! The writer of the records, the client and the run share the cores of this machine. There are no assertions.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where it cannot go on"
)]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{pinflow, succeed, wait_until};
use serde_json::Value;

/// Records per second of all streams, by what the run does with duplicates. Where every delivery counts, each one is joined
/// with all earlier ones of its `ind`, which takes both cores at 200,000.
const RATES: [(&str, usize); 2] = [("latest", 200_000), ("keep", 50_000)];
/// How often each question is added.
const TIMES: usize = 5;
/// How often the writer appends.
const APPENDS_PER_SEC: usize = 100;
const STREAMS: [&str; 3] = ["pin", "geo", "user"];
/// `/status` sums up the latencies of the last minute.
const LATENCY_WINDOW: Duration = Duration::from_secs(60);
/// Limits that no question here meets.
const LIMITS: &str = "groups_max = 10_000_000\nrows_max = 10_000_000\nbytes_max = \"4 GiB\"\ntexts_max = 10_000_000\n";

/// Questions whose columns are held for the built-in ones.
const HELD: [(&str, &str); 4] = [
    ("count", "SELECT count(*) AS posts FROM pin"),
    ("by_category", "SELECT category, count(*) AS posts, avg(follower_count) AS mean FROM pin GROUP BY category"),
    (
        "three_tables",
        "SELECT country, category, year(date_joined) AS joined, count(*) AS posts, sum(follower_count) AS followers \
         FROM pin JOIN geo USING (ind) JOIN user USING (ind) GROUP BY 1, 2, 3",
    ),
    ("medians", "SELECT country, median(follower_count) AS middle FROM pin JOIN geo USING (ind) GROUP BY country"),
];

/// Questions with a column that is read from the tables.
const READ: [(&str, &str); 2] = [
    ("titles", "SELECT length(title) AS letters, count(*) AS posts FROM pin GROUP BY 1"),
    ("names", "SELECT substr(user_name, 2, 1) AS letter, count(*) AS users FROM user GROUP BY 1"),
];

fn main() {
    let inds: u64 = std::env::var("PINFLOW_BENCH_INDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live_questions");
    let (first, updates) = (recording(&place, inds, 1), recording(&place, inds, 2));
    let only = std::env::var("PINFLOW_BENCH_DUPLICATES").ok();
    for (duplicates, rate) in RATES.into_iter().filter(|(it, _)| only.as_deref().is_none_or(|only| only == *it)) {
        println!("\nduplicates = \"{duplicates}\", {inds} ind");
        let site = LoadedRun::start(&place, &first, duplicates);
        add_and_drop(&site, &HELD, "idle, held columns");
        add_and_drop(&site, &READ, "idle, columns read from the tables");
        if duplicates == "latest" {
            measure_memory(&site, inds);
        }
        let flow = Flow::start(&site, &updates, rate);
        std::thread::sleep(Duration::from_secs(2));
        add_and_drop(&site, &HELD, &format!("{rate} records/s, held columns"));
        add_and_drop(&site, &READ, &format!("{rate} records/s, columns read from the tables"));
        if duplicates == "latest" {
            measure_epochs(&site);
        }
        flow.stop();
        site.serving.stop();
    }
}

/// A recording of one post per `ind`, generated once.
fn recording(place: &Path, inds: u64, seed: u64) -> PathBuf {
    let folder = place.join(format!("recording-{inds}-{seed}"));
    if !folder.join("done").exists() {
        let _ = std::fs::remove_dir_all(&folder);
        let (inds, seed) = (inds.to_string(), seed.to_string());
        let mut emit = pinflow(["emit", "--inds", &inds, "--count", &inds, "--order", "shuffled", "--seed", &seed]);
        succeed(emit.arg("--to").arg(&folder));
        std::fs::write(folder.join("done"), "").unwrap();
    }
    folder
}

/// A run with tables that follows a recording.
struct LoadedRun {
    folder: PathBuf,
    serving: ServingRun,
}

impl LoadedRun {
    /// Returns when all of the recording is committed.
    fn start(place: &Path, recording: &Path, duplicates: &str) -> LoadedRun {
        let folder = place.join("run");
        let _ = std::fs::remove_dir_all(&folder);
        let posts = folder.join("posts");
        std::fs::create_dir_all(&posts).unwrap();
        let mut rows = 0;
        for stream in STREAMS {
            let name = format!("{stream}.jsonl");
            std::fs::copy(recording.join(&name), posts.join(&name)).unwrap();
            rows += BufReader::new(File::open(posts.join(&name)).unwrap()).split(b'\n').count() as u64;
        }
        let tables = format!("[tables]\nurl = \"{}\"\n", folder.join("data").display());
        let questions = format!("[questions]\nduplicates = \"{duplicates}\"\n{LIMITS}");
        let more = format!("{tables}{questions}[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true\n");
        let config = configure_followed_recording(&folder, &posts, &more);
        let serving = ServingRun::start(&folder, &config, &[]);
        serving.wait_until_ready();
        wait_until("all is read and committed", || {
            let status = serving.http.json("/status");
            let tables = status["tables"].as_array().unwrap().iter();
            status["all_time"]["read"] == rows && tables.map(|of| of["rows"].as_u64().unwrap()).sum::<u64>() >= rows
        });
        LoadedRun { folder, serving }
    }

    /// Adds a question and waits for its answer.
    fn add(&self, name: &str, sql: &str) {
        let path = self.folder.join(format!("{name}.sql"));
        std::fs::write(&path, sql).unwrap();
        succeed(pinflow(["question", "add"]).arg(path).args(["--at", &self.serving.http.address.to_string()]));
    }

    /// The same without another process.
    fn add_over_http(&self, name: &str, sql: &str) {
        let http = &self.serving.http;
        let reply = http.send("POST", &format!("/questions?name={name}"), &[], sql.as_bytes());
        assert_eq!(reply.status, 202, "{}", reply.text());
        while http.json(&format!("/questions/{name}"))["state"] != "live" {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn drop_over_http(&self, name: &str) {
        let http = &self.serving.http;
        assert_eq!(http.send("DELETE", &format!("/questions/{name}"), &[], b"").status, 202);
        while http.get(&format!("/questions/{name}")).status != 404 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn drop_question(&self, name: &str) {
        succeed(pinflow(["question", "drop", name]).args(["--at", &self.serving.http.address.to_string()]));
    }

    fn stream(&self, stream: &str) -> File {
        OpenOptions::new().append(true).open(self.folder.join(format!("posts/{stream}.jsonl"))).unwrap()
    }

    fn resident_bytes(&self) -> u64 {
        self.serving.http.json("/status")["memory"]["resident_bytes"].as_u64().unwrap()
    }
}

/// Appends updates at a fixed rate.
struct Flow {
    over: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

impl Flow {
    fn start(site: &LoadedRun, updates: &Path, rate: usize) -> Flow {
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let mut streams = STREAMS
            .map(|stream| (site.stream(stream), std::fs::read(updates.join(format!("{stream}.jsonl"))).unwrap()));
        let writer = std::thread::spawn(move || {
            let lines = rate / APPENDS_PER_SEC / STREAMS.len();
            let mut at = [0; STREAMS.len()];
            let start = Instant::now();
            for append in 1.. {
                for ((file, text), at) in streams.iter_mut().zip(&mut at) {
                    let end =
                        memchr::memchr_iter(b'\n', &text[*at..]).nth(lines - 1).map_or(text.len(), |n| *at + n + 1);
                    file.write_all(&text[*at..end]).unwrap();
                    *at = if end == text.len() { 0 } else { end };
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let next = start + Duration::from_secs(1) * append / APPENDS_PER_SEC as u32;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Flow { over, writer }
    }

    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.writer.join().unwrap();
    }
}

/// Prints how long each question takes from its addition to its answer.
fn add_and_drop(site: &LoadedRun, questions: &[(&str, &str)], what: &str) {
    for (name, sql) in questions {
        let mut millis: Vec<u128> = Vec::new();
        for _ in 0..TIMES {
            let start = Instant::now();
            site.add(name, sql);
            millis.push(start.elapsed().as_millis());
            site.drop_question(name);
        }
        millis.sort_unstable();
        println!("{what}: {name} is answered after {} ms, at most {} ms", millis[TIMES / 2], millis[TIMES - 1]);
    }
}

/// Prints the latencies from record to answer without changes of questions, and while a question always fills.
fn measure_epochs(site: &LoadedRun) {
    let print = |what: &str| {
        let latency = site.serving.http.json("/status")["latency"].clone();
        println!("from record to answer, {what}: {latency}");
    };
    std::thread::sleep(LATENCY_WINDOW);
    print("in a minute without changes");
    let start = Instant::now();
    let mut added = 0;
    while start.elapsed() < LATENCY_WINDOW {
        let (name, sql) = HELD[added % HELD.len()];
        site.add_over_http(name, sql);
        site.drop_over_http(name);
        added += 1;
    }
    print(&format!("in a minute in which {added} questions were added"));
}

/// Prints how much a question adds to the resident memory, and what its explanation says.
fn measure_memory(site: &LoadedRun, inds: u64) {
    let questions = [
        ("by_ind", "SELECT ind, category, follower_count FROM pin WHERE follower_count > 0"),
        (
            "by_poster",
            "SELECT poster_name, count(*) AS posts, max(follower_count) AS most FROM pin GROUP BY poster_name",
        ),
        ("title_words", "SELECT ind, title FROM pin"),
    ];
    for (name, sql) in questions {
        let before = site.resident_bytes();
        site.add(name, sql);
        std::thread::sleep(Duration::from_secs(1));
        let grown = site.resident_bytes().saturating_sub(before);
        let listed = site.serving.http.json("/questions");
        let listed = listed["questions"].as_array().unwrap().iter().find(|of| of["name"] == name).unwrap();
        let costs = listed["bytes"].clone();
        let mut explain = pinflow(["question", "explain", "--format", "json"]);
        let explained = succeed(explain.arg(site.folder.join(format!("{name}.sql"))));
        let explained: Value = serde_json::from_slice(&explained.stdout).unwrap_or_default();
        println!("{name}: {grown} bytes, {} per ind; counted {costs}; explained {}", grown / inds, explained["memory"]);
        site.drop_question(name);
    }
}
