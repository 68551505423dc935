//! Posts drawn from a real MariaDB that the tests start. `tests/mysql/setup.sh` installs it.
//!
//! `PINFLOW_SKIP_MYSQL=1` skips these tests. Otherwise a server that cannot be started is a failure.

mod credentials;
mod emit;
mod end_to_end;
mod init;
mod outages;
mod tls;

use std::path::Path;

use serde_json::Value;

use pinflow_testkit::{EndedRun, run, run_with};
use pinflow_testkit::{pinflow, succeed};

/// Whether the tests with a database are to be left out; says so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_MYSQL").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_MYSQL=1: no database is started, nothing of it is tested");
    }
    skipped
}

const STREAMS: [&str; 3] = ["pin", "geo", "user"];
const TABLES: [&str; 3] = ["pinterest_data", "geolocation_data", "user_data"];

/// The messages of a stream in a folder, as values.
fn read_messages(folder: &Path, stream: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{stream}.jsonl"))).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{stream} ends within a message");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The posts that fill a table, each at the index of its ind, with a `T` in their times.
fn generate_posts(folder: &Path, inds: u32, seed: u32) -> [Vec<Value>; 3] {
    let (inds, seed) = (inds.to_string(), seed.to_string());
    succeed(pinflow(["emit", "--inds", &inds, "--seed", &seed, "--to"]).arg(folder));
    STREAMS.map(|stream| {
        let mut rows = read_messages(folder, stream);
        for row in &mut rows {
            for name in ["timestamp", "date_joined"] {
                if let Some(Value::String(time)) = row.get_mut(name) {
                    *time = time.replacen(' ', "T", 1);
                }
            }
        }
        rows
    })
}

/// The ind of a message.
fn ind(row: &Value) -> usize {
    row.get("ind").or(row.get("index")).and_then(Value::as_u64).and_then(|ind| usize::try_from(ind).ok()).unwrap()
}
