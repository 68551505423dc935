//! Resident memory of a run by its contents:
//!
//! ```text
//! cargo bench --bench memory
//! PINFLOW_BENCH_INDS=1000000 cargo bench --bench memory
//! ```
//!
//! Each case is two processes: one reads a recording of that many `ind`, one row of each stream, the other of twice as
//! many. The difference is the state of that many `ind`, because both include buffers and the program. The difference of
//! two cases is the cost of what only one of them has. There are no assertions.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where it cannot go on"
)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

const PINFLOW: &str = env!("CARGO_BIN_EXE_pinflow");
/// Bytes of a long text.
const LONG_TEXT_BYTES: usize = 100;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Number of polls without a change after which the memory counts as settled.
const SETTLED_POLLS: u32 = 20;

/// The contents of the rows of a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Few categories, countries, posters and users, which all rows share.
    SharedGroups,
    /// As many categories, countries, posters and users as `ind`: each has its own groups.
    DistinctGroups,
    /// As `SharedGroups`, without follower counts, so that no poster is in a group.
    SharedTexts,
    /// As `SharedTexts`, with a distinct poster of [`LONG_TEXT_BYTES`] in each row.
    DistinctTexts,
    /// The same with a short poster.
    DistinctShortTexts,
    /// As [`Case::SharedTexts`], with a country that no other row has: one group that counts a category.
    DistinctCountries,
    /// The same with follower counts, but without posters and users: each country is ranked among the others, too.
    RankedCountries,
    /// As [`Case::SharedGroups`], with a country that no other row has: two more groups, of its most followed poster and
    /// user.
    DistinctCountryGroups,
}

impl Case {
    fn has_followers(self) -> bool {
        use Case::{DistinctCountryGroups, DistinctGroups, RankedCountries, SharedGroups};
        matches!(self, SharedGroups | DistinctGroups | RankedCountries | DistinctCountryGroups)
    }

    fn has_distinct_countries(self) -> bool {
        use Case::{DistinctCountries, DistinctCountryGroups, DistinctGroups, RankedCountries};
        matches!(self, DistinctGroups | DistinctCountries | RankedCountries | DistinctCountryGroups)
    }

    fn poster(self, ind: u32, group: u32) -> Option<String> {
        match self {
            Case::DistinctTexts => Some(format!("{ind:0LONG_TEXT_BYTES$}")),
            Case::DistinctShortTexts => Some(format!("poster {ind}")),
            Case::RankedCountries => None,
            _ => Some(format!("poster {group}")),
        }
    }
}

fn main() {
    let inds: u32 = std::env::var("PINFLOW_BENCH_INDS").ok().and_then(|n| n.parse().ok()).unwrap_or(250_000);
    let per_ind = |case| (measure(case, 2 * inds) as f64 - measure(case, inds) as f64) / f64::from(inds);
    println!("{inds} and {} ind, one row of each stream", 2 * inds);
    let shared = per_ind(Case::SharedGroups);
    println!("per ind, groups shared: {shared:.0} bytes");
    let distinct = per_ind(Case::DistinctGroups);
    println!("per ind, all groups distinct: {distinct:.0} bytes, {:.0} more", distinct - shared);
    let shared_texts = per_ind(Case::SharedTexts);
    let texts = per_ind(Case::DistinctTexts) - shared_texts;
    println!("per distinct text of {LONG_TEXT_BYTES} bytes: {texts:.0} bytes");
    let short_texts = per_ind(Case::DistinctShortTexts) - shared_texts;
    println!("per distinct text of 13 bytes: {short_texts:.0} bytes");
    // Only countries make groups without limit: there are 5 age groups and 6 years at the most.
    let counted = per_ind(Case::DistinctCountries);
    println!("per group that counts labels, with one label: {:.0} bytes", counted - shared_texts - short_texts);
    let ranked = per_ind(Case::RankedCountries);
    println!("per label in a ranking by greatest value: {:.0} bytes", ranked - counted);
    let greatest = (per_ind(Case::DistinctCountryGroups) - ranked) / 2.0;
    println!("per group that ranks labels by greatest value, with one label: {greatest:.0} bytes");
}

/// Resident bytes of a run that has read a recording of the case.
fn measure(case: Case, inds: u32) -> u64 {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let recording = place.path().join("recording");
    record(&recording, case, inds);
    let config = place.path().join("run.toml");
    let text =
        "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\n[serve]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(&config, text).unwrap();
    let run = Run::start(place.path(), &config);
    run.wait_until_read(u64::from(inds) * 3);
    run.settled_memory()
}

fn record(folder: &Path, case: Case, inds: u32) {
    std::fs::create_dir(folder).unwrap();
    let (mut pins, mut geos, mut users) = (String::new(), String::new(), String::new());
    for ind in 0..inds {
        let group = if case == Case::DistinctGroups { ind } else { ind % 20 };
        let country = if case.has_distinct_countries() { ind } else { ind % 20 };
        let followers = if case.has_followers() { json!("10") } else { Value::Null };
        let last_name = (case != Case::RankedCountries).then(|| format!("user {group}"));
        let pin = json!({ "index": ind, "unique_id": "u", "category": format!("category {group}"),
            "poster_name": case.poster(ind, group), "follower_count": followers });
        let geo = json!({ "ind": ind, "timestamp": "2020-08-28T03:52:47", "latitude": 1, "longitude": 2,
            "country": format!("country {country}") });
        let user = json!({ "ind": ind, "first_name": "A", "last_name": last_name, "age": 30,
            "date_joined": "2016-10-24T11:23:51" });
        for (lines, row) in [(&mut pins, pin), (&mut geos, geo), (&mut users, user)] {
            writeln!(lines, "{row}").unwrap();
        }
    }
    for (stream, lines) in [("pin", pins), ("geo", geos), ("user", users)] {
        std::fs::write(folder.join(format!("{stream}.jsonl")), lines).unwrap();
    }
}

/// A serving run. Killed when dropped.
struct Run {
    child: Child,
    address: SocketAddr,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    fn start(place: &Path, config: &Path) -> Run {
        let log = place.join("log");
        let mut command = Command::new(PINFLOW);
        command.args(["run", "--output", "none"]).arg(config);
        let child = command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let address = loop {
            let text = std::fs::read_to_string(&log).unwrap();
            let address = |line: &str| serde_json::from_str::<Value>(line).ok()?["address"].as_str()?.parse().ok();
            if let Some(address) = text.lines().find_map(address) {
                break address;
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        Run { child, address }
    }

    fn wait_until_read(&self, rows: u64) {
        while self.rows_read() < rows {
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The number of rows in the answers.
    fn rows_read(&self) -> u64 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET /status HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let status: Value = serde_json::from_str(body).unwrap_or_default();
        status["this_run"]["read"].as_u64().unwrap_or(0)
    }

    fn settled_memory(&self) -> u64 {
        let (mut memory, mut polls) = (self.memory_bytes(), 0);
        while polls < SETTLED_POLLS {
            std::thread::sleep(POLL_INTERVAL);
            let now = self.memory_bytes();
            // Ignore small fluctuations.
            polls = if now.abs_diff(memory) < 256 << 10 { polls + 1 } else { 0 };
            memory = now;
        }
        memory
    }

    /// Resident bytes.
    fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap() * 1024
    }
}
