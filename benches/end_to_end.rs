//! The whole program, measured from the outside, in one run:
//!
//! ```text
//! cargo bench --bench end_to_end              # 1,000,000 ind, 3,000,000 records
//! PINFLOW_BENCH_INDS=100000 cargo bench --bench end_to_end
//! ```
//!
//! - records/s from bytes to final durable answers, with tables and without, at 1 and 2 workers, and CPU seconds;
//! - CPU seconds of a DuckDB batch refresh of the same answers from the same files (where `tests/readers/setup.sh` was run);
//! - bytes of memory per joined `ind`,
//! - latency from one record appended to its changed answer on stdout, with everything loaded: p50, p99, max;
//! - restart time from the tables.
//!
//! There are no assertions. Compare the ratios of two runs on one machine.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

const PINFLOW: &str = env!("CARGO_BIN_EXE_pinflow");
const MEASURED_ROUNDS: usize = 3;
const MEASURED_APPENDS: usize = 1_000;

fn main() {
    let inds: u64 = std::env::var("PINFLOW_BENCH_INDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end_to_end");
    let recordings = recordings(&place, inds);
    println!("{inds} ind, {} records, {} MB", inds * 3, folder_bytes(&recordings) / 1_000_000);
    throughput(&place, &recordings, inds);
    batch_refresh(&recordings);
    measure_live_updates(&place, &recordings, inds);
    restart(&place, &recordings, inds);
}

/// The recordings, generated once per size.
fn recordings(place: &Path, inds: u64) -> PathBuf {
    let folder = place.join(format!("recordings-{inds}"));
    if !folder.join("done").exists() {
        let _ = std::fs::remove_dir_all(&folder);
        let inds = inds.to_string();
        let made = Command::new(PINFLOW)
            .args(["emit", "--inds", &inds, "--count", &inds, "--order", "shuffled", "--to"])
            .arg(&folder)
            .status()
            .expect("pinflow emit runs");
        assert!(made.success(), "pinflow emit failed");
        std::fs::write(folder.join("done"), "").expect("a mark");
    }
    folder
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|meta| meta.len()).sum()
}

/// CPU time of finished child processes, in seconds.
fn children_cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage of children");
    [usage.user_time(), usage.system_time()].iter().map(|t| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6).sum()
}

/// Wall and CPU seconds of a command. Its output is discarded.
fn run_timed(command: &mut Command) -> (f64, f64) {
    let (cpu, wall) = (children_cpu(), Instant::now());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the command runs");
    assert!(status.success(), "{command:?} failed");
    (wall.elapsed().as_secs_f64(), children_cpu() - cpu)
}

fn throughput(place: &Path, recordings: &Path, inds: u64) {
    println!("\n{:<26} {:>12} {:>12} {:>12}", "bytes to final answers", "records/s", "wall s", "CPU s");
    for tables in [false, true] {
        for workers in ["1", "2"] {
            let mut best = (f64::INFINITY, f64::INFINITY);
            for _ in 0..MEASURED_ROUNDS {
                let data = place.join("data");
                let _ = std::fs::remove_dir_all(&data);
                let mut run = Command::new(PINFLOW);
                run.arg("run").arg(recordings).args(["--workers", workers, "--output", "snapshots"]);
                if tables {
                    run.arg("--tables").arg(&data);
                }
                let (wall, cpu) = run_timed(&mut run);
                best = (best.0.min(wall), best.1.min(cpu));
            }
            let name = format!(
                "{workers} worker{}, {}",
                if workers == "1" { "" } else { "s" },
                if tables { "Delta" } else { "no tables" }
            );
            println!("{name:<26} {:>12.0} {:>12.2} {:>12.2}", (inds * 3) as f64 / best.0, best.0, best.1);
        }
    }
}

fn batch_refresh(recordings: &Path) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/readers-venv/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/batch_refresh.py");
    if !python.exists() {
        println!("DuckDB batch refresh: not measured, run tests/readers/setup.sh first");
        return;
    }
    let (wall, cpu) = run_timed(Command::new(python).arg(script).arg(recordings));
    println!("{:<26} {:>12} {wall:>12.2} {cpu:>12.2}", "DuckDB batch refresh", "");
}

/// A pinflow that follows a recording. Killed when dropped.
struct GrowingFile {
    child: Child,
    folder: PathBuf,
    /// When each change of the probed count was read from its stdout.
    changed: Receiver<Instant>,
}

impl GrowingFile {
    /// Follows a copy of the recordings, or empty ones.
    fn start(place: &Path, recordings: Option<&Path>) -> GrowingFile {
        let folder = place.join("following");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        for stream in ["pin", "geo", "user"] {
            let name = format!("{stream}.jsonl");
            match recordings {
                Some(from) => drop(std::fs::copy(from.join(&name), folder.join(&name)).expect("a copy")),
                None => std::fs::write(folder.join(&name), "").expect("an empty file"),
            }
        }
        let config = folder.join("follow.toml");
        std::fs::write(&config, "[[source]]\nkind = \"recording\"\npath = \".\"\nfollow = true\n")
            .expect("a configuration");
        let mut child = Command::new(PINFLOW)
            .arg("run")
            .arg(&config)
            .args(["--output", "changes"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("pinflow runs");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let (changes, changed) = channel();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.contains("\"users_joined_by_year\"")
                    && line.contains("2016")
                    && changes.send(Instant::now()).is_err()
                {
                    return;
                }
            }
        });
        GrowingFile { child, folder, changed }
    }

    fn users(&self) -> File {
        OpenOptions::new().append(true).open(self.folder.join("user.jsonl")).expect("the user recording")
    }

    /// CPU time so far, in ticks (hundredths of a second).
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a running process");
        let after_name = stat.rsplit(')').next().expect("a name in brackets");
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
    }

    /// Waits until everything is read, that is, until the process is idle for a second.
    fn wait_until_idle(&self) {
        let mut before = self.ticks();
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = self.ticks();
            if now > 0 && now - before <= 1 {
                while self.changed.try_recv().is_ok() {}
                return;
            }
            before = now;
        }
    }

    /// Resident bytes.
    fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Appends one user who joined in 2016, and waits for the count of that year to change on stdout.
    fn append(&self, users: &mut File, ind: u64) -> Duration {
        let row = format!(
            "{{\"ind\":{ind},\"first_name\":\"Latency\",\"last_name\":\"Probe\",\"age\":33,\"date_joined\":\"2016-05-05T05:05:05\"}}\n"
        );
        let start = Instant::now();
        users.write_all(row.as_bytes()).expect("appended");
        let changed = self.changed.recv_timeout(Duration::from_secs(60)).expect("the count changes");
        changed - start
    }
}

impl Drop for GrowingFile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure_live_updates(place: &Path, recordings: &Path, inds: u64) {
    // The memory of the program without data.
    let empty = GrowingFile::start(place, None);
    empty.append(&mut empty.users(), 1);
    let base = empty.memory_bytes();
    drop(empty);

    let loaded = GrowingFile::start(place, Some(recordings));
    loaded.wait_until_idle();
    let memory = loaded.memory_bytes();
    println!("\nmemory: {} MB in all, {} bytes per joined ind", memory / 1_000_000, (memory - base) / inds);
    let before = loaded.ticks();
    std::thread::sleep(Duration::from_secs(5));
    println!("idle: {:.2} % of a core", (loaded.ticks() - before) as f64 / 5.0);

    let mut users = loaded.users();
    let mut waits: Vec<_> = (0..MEASURED_APPENDS as u64)
        .map(|n| {
            // A varying pause, so that probes are not synchronized with the program's timers.
            std::thread::sleep(Duration::from_micros(1_000 + (n * 7919) % 9_000));
            loaded.append(&mut users, inds + 1_000 + n)
        })
        .collect();
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!(
        "latency of {MEASURED_APPENDS} appends with {inds} ind loaded: p50 {:?}, p99 {:?}, max {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn restart(place: &Path, recordings: &Path, inds: u64) {
    let data = place.join("data");
    let run = |output: &str| {
        let mut run = Command::new(PINFLOW);
        run.arg("run").arg(recordings).arg("--tables").arg(&data).args(["--output", output]);
        run
    };
    let _ = std::fs::remove_dir_all(&data);
    run_timed(&mut run("none"));
    let (wall, cpu) = (0..MEASURED_ROUNDS)
        .map(|_| run_timed(&mut run("snapshots")))
        .fold((f64::INFINITY, f64::INFINITY), |a, b| (a.0.min(b.0), a.1.min(b.1)));
    println!("restart from the tables: {wall:.2} s, {:.0} rows/s read back, {cpu:.2} CPU s", (inds * 3) as f64 / wall);
}
