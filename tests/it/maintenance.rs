//! Compaction and vacuum, in the background and by command: readers see the same rows.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow_delta::failpoints::COMPACT_FAILPOINTS;
use serde_json::Value;

use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::readers::python;
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed, wait_until};

struct UpkeepSite {
    place: tempfile::TempDir,
    config: PathBuf,
}

impl UpkeepSite {
    /// A recording of 15,000 lines with few lines per commit.
    fn new(compact: bool) -> UpkeepSite {
        UpkeepSite::with_draws(5_000, compact)
    }

    /// A recording of three lines for each draw.
    fn with_draws(draws: u32, compact: bool) -> UpkeepSite {
        let place = create_temp_dir();
        emit(&place.path().join("recording"), 1_000, draws, 29, &["--malformed", "0.02"]);
        let config = place.path().join("run.toml");
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\nrate_per_sec = 5000\n\
             [tables]\nurl = \"tables\"\ncommit_rows_max = 100\ncommit_age_secs_max = 0.02\ncompact = {compact}\n\
             [engine]\nepoch_ms = 1\n"
        );
        std::fs::write(&config, text).unwrap();
        UpkeepSite { place, config }
    }

    fn tables(&self) -> PathBuf {
        self.place.path().join("tables")
    }

    /// A run that reads the existing records, and ends.
    fn run(&self) -> Command {
        let mut command = pinflow(["run", "--until-caught-up", "--output", "snapshots"]);
        command.arg(&self.config);
        command
    }

    /// A run that follows the recording.
    fn follow_command(&self) -> Command {
        let mut command = pinflow(["run", "--output", "none"]);
        command.arg(&self.config);
        command
    }

    /// Appends a few lines for each table, which become one commit.
    fn append_lines(&self) {
        emit(&self.place.path().join("recording"), 1_000, 5, 31, &["--append"]);
    }

    /// The JSON of `pinflow table` for each table. Empty before they exist.
    fn table_reports(&self) -> Vec<Value> {
        let output = pinflow(["table", "--format", "json"]).arg(self.tables()).output().unwrap();
        match output.status.success() {
            true => serde_json::from_slice::<Value>(&output.stdout).unwrap()["tables"].as_array().unwrap().clone(),
            false => Vec::new(),
        }
    }

    fn files(&self) -> Vec<u64> {
        self.table_reports().iter().map(|table| table["files"].as_u64().unwrap()).collect()
    }

    fn assert_each_line_once_in_tables(&self) {
        assert_each_line_once(&self.place.path().join("recording"), &self.tables());
        succeed(pinflow(["table", "--verify"]).arg(self.tables()));
        succeed(pinflow(["table"]).arg(self.tables()).arg("doctor"));
    }

    /// Every row of every table, read by two other engines.
    fn rows(&self, python: &Path) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/rows.py");
        let tables = ["pin", "geo", "user", "rejected"];
        let output = succeed(Command::new(python).arg(script).arg(self.tables()).args(tables));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn run_compacts_files_in_the_background() {
    let site = UpkeepSite::new(true);
    let mut running = RunningProcess::start(site.follow_command().stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("many commits are made, and few files are there", || {
        site.append_lines();
        let told = site.table_reports();
        let few = |table: &Value| table["version"].as_u64() > Some(100) && table["files"].as_u64() < Some(70);
        told.iter().skip(1).filter(|table| few(table)).count() == 3
    });
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
    site.assert_each_line_once_in_tables();
    let answered = last_snapshot(&succeed(&mut site.run()).stdout);
    assert_answers_equal_batch(&site.tables(), GraphOptions::default(), &answered);
}

/// `PINFLOW_COMMITS=10000` sets the number of commits. Their durations are printed and not asserted.
#[test]
#[allow(clippy::print_stderr, reason = "figures for people who pass --nocapture")]
fn many_commits_leave_few_files_and_bounded_memory() {
    let commits: u32 = std::env::var("PINFLOW_COMMITS").map_or(400, |n| n.parse().expect("a number"));
    let place = create_temp_dir();
    // The same posts repeatedly, so that the state of the answers does not grow.
    emit(&place.path().join("recording"), 300, commits * 100 / 3, 37, &[]);
    let config = place.path().join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 5000\n\
                [tables]\nurl = \"tables\"\ncommit_rows_max = 100\n[engine]\nepoch_ms = 1\n";
    std::fs::write(&config, text).unwrap();
    let site = UpkeepSite { place, config };
    let log = site.place.path().join("log");
    let mut running =
        RunningProcess::start(site.follow_command().stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()));
    let seconds = || -> Vec<f64> {
        let log = std::fs::read_to_string(&log).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["message"] == "committed").map(|event| event["seconds"].as_f64().unwrap()).collect()
    };
    // Resident memory, before the first file is compacted to the target size, and after.
    let (mut early, mut late) = (Vec::new(), Vec::new());
    while running.try_wait().is_none() {
        let (done, held) = (seconds().len(), running.try_memory_bytes());
        match done {
            0..100 => {}
            _ if done < 100 + commits as usize / 4 => early.push(held),
            _ => late.push(held),
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    assert!(running.wait().success());
    let took = seconds();
    // A slow commit also takes the rows of the next one, so there are fewer commits.
    assert!(took.len() > commits as usize / 4, "{} commits", took.len());
    let p99 = |some: &[f64]| {
        let mut sorted = some.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() * 99 / 100] * 1000.0
    };
    let (first, all, last) = (p99(&took[..100]), p99(&took), p99(&took[took.len() - 1_000.min(took.len() / 2)..]));
    for held in [&mut early, &mut late] {
        assert!(!held.is_empty(), "it was over before anybody looked");
        held.sort_unstable();
    }
    let middle = |held: &[u64]| held[held.len() / 2];
    let (before, after, most) = (middle(&early), middle(&late), late[late.len() - 1]);
    eprintln!(
        "{} windows; p99 of the first hundred {first:.1} ms, of all {all:.1}, of the last {last:.1}; {} MiB held in the \
         first quarter and a hundred, {} after that (medians), and {} at most; files {:?}",
        took.len(),
        before >> 20,
        after >> 20,
        most >> 20,
        site.files()
    );
    assert!(after < before + before / 2 + (64 << 20), "memory grows: {before}, then {after}");
    // Compacting files to one of 32 MiB needs additional memory once at a time, regardless of the number of files.
    assert!(most < before + (256 << 20), "joining takes more than its share: {most} of {before}");
    // 32 files of a size become one of the next of four sizes. On a busy machine a table may still be waiting, so append
    // more commits.
    let config = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, config.replace("rate_per_sec = 5000", "follow = true")).unwrap();
    let mut running = RunningProcess::start(site.follow_command().stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("few files are left", || {
        site.append_lines();
        site.files()[1..].iter().all(|files| *files < 4 * 32)
    });
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
    let Some(python) = python() else { return };
    let rows = site.rows(&python);
    succeed(pinflow(["table"]).arg(site.tables()).arg("optimize"));
    // Files of at least half of the target size of 64 MiB are not compacted. All smaller ones become one file.
    let sizes = site.table_reports().into_iter().map(|table| table["bytes"].as_u64().unwrap());
    for (files, bytes) in site.files().into_iter().zip(sizes).skip(1) {
        assert!(files <= 1 + bytes / (32 << 20), "{files} files hold {bytes} bytes");
    }
    assert_eq!(site.rows(&python), rows);
    site.assert_each_line_once_in_tables();
}

#[test]
fn run_killed_during_compaction_loses_and_repeats_nothing() {
    let site = UpkeepSite::new(true);
    for table in ["pin", "geo", "user"] {
        for point in COMPACT_FAILPOINTS {
            let mut command = site.follow_command();
            command.env("FAILPOINTS", format!("delta::{table}::{point}=return(abort)"));
            let mut running = RunningProcess::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
            wait_until(&format!("it is killed at {table} {point}"), || {
                site.append_lines();
                running.try_wait().is_some()
            });
            assert_eq!(running.wait().code(), None, "killed");
        }
    }
    succeed(&mut site.run());
    site.assert_each_line_once_in_tables();
}

#[test]
fn optimize_and_vacuum_keep_every_row() {
    let site = UpkeepSite::new(false);
    succeed(&mut site.run());
    let before = site.files();
    assert!(before[1..].iter().all(|files| *files > 10), "{before:?}");
    let Some(python) = python() else { return };
    let rows = site.rows(&python);
    // With a relative path.
    succeed(pinflow(["table", "tables", "optimize"]).current_dir(site.place.path()));
    assert_eq!(site.files()[1..], [1, 1, 1], "each fits into one file");
    assert_eq!(site.rows(&python), rows);
    // A file of a process that died before its commit.
    let stray = site.tables().join("pin/part-00000-left-c000.snappy.parquet");
    std::fs::write(&stray, "").unwrap();
    // And a partially written one.
    let staged = site.tables().join("pin/_delta_log/00000000000000000099.json#123456");
    std::fs::write(&staged, "half").unwrap();
    let there = |folder: &str| {
        let names = std::fs::read_dir(site.tables().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".parquet")).count()
    };
    succeed(pinflow(["table"]).arg(site.tables()).arg("vacuum"));
    assert!(stray.exists() && there("pin") as u64 > before[1], "what is younger than a week is kept");
    assert!(staged.exists(), "it may be written at this moment");
    let week = std::time::Duration::from_secs(8 * 24 * 3600);
    std::fs::File::open(&staged).unwrap().set_modified(std::time::SystemTime::now() - week).unwrap();
    let said = succeed(pinflow(["table"]).arg(site.tables()).arg("doctor")).stdout;
    assert!(String::from_utf8_lossy(&said).contains("when a process died"), "the doctor names it");
    succeed(pinflow(["table"]).arg(site.tables()).arg("vacuum"));
    assert!(!staged.exists(), "what a crash left a week ago is removed");
    let refused = pinflow(["table"]).arg(site.tables()).args(["vacuum", "--keep", "0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--nothing-writes") && stray.exists(), "{refused:?}");
    succeed(pinflow(["table"]).arg(site.tables()).args(["vacuum", "--keep", "0", "--nothing-writes"]));
    assert_eq!((stray.exists(), there("pin"), there("geo"), there("user")), (false, 1, 1, 1));
    assert_eq!(site.rows(&python), rows);
    site.assert_each_line_once_in_tables();
}

#[test]
fn run_vacuums_files_that_no_version_of_the_last_week_needs() {
    // Few commits: a vacuum reads all of them, at a low priority.
    let site = UpkeepSite::with_draws(1_000, false);
    succeed(&mut site.run());
    succeed(pinflow(["table"]).arg(site.tables()).arg("optimize"));
    let pin = site.tables().join("pin");
    let files = || -> Vec<PathBuf> {
        let paths = std::fs::read_dir(&pin).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "parquet")).collect()
    };
    let replaced = files();
    // One file is from a crash long ago, the other one is recent.
    let (old, young) =
        (pin.join("part-00000-old-c000.snappy.parquet"), pin.join("part-00000-young-c000.snappy.parquet"));
    let week = std::time::Duration::from_secs(8 * 24 * 3600);
    for path in [&old, &young] {
        std::fs::write(path, "").unwrap();
    }
    std::fs::File::open(&old).unwrap().set_modified(std::time::SystemTime::now() - week).unwrap();
    let run_on = |config: &str| {
        let config_was = std::fs::read_to_string(&site.config).unwrap();
        std::fs::write(&site.config, config_was.replace("compact = false", config)).unwrap();
        let log = site.place.path().join("log");
        let stderr = std::fs::File::create(&log).unwrap();
        let mut running = RunningProcess::start(site.follow_command().stdout(Stdio::null()).stderr(stderr));
        let start = std::time::Instant::now();
        site.append_lines();
        wait_until("what is old is gone, or more is committed", || {
            let said = || std::fs::read_to_string(&log).unwrap();
            assert!(start.elapsed().as_secs() < 240, "{config}, {} files: {}", files().len(), said());
            std::thread::sleep(std::time::Duration::from_millis(200));
            site.append_lines();
            !old.exists() || (config.contains("keep_hours = 0") && files().len() > replaced.len() + 12)
        });
        running.signal(Signal::SIGTERM);
        assert!(running.wait().success());
        std::fs::write(&site.config, config_was).unwrap();
    };
    run_on("compact = false\nkeep_hours = 0");
    assert!(old.exists(), "nothing is removed where nothing is to be");
    run_on("compact = false");
    assert!(young.exists() && replaced.iter().all(|path| path.exists()), "what is younger than a week is kept");
    // Pretend that they were replaced eight days ago. Only the time in the log counts.
    let log = pin.join("_delta_log");
    for entry in std::fs::read_dir(&log).unwrap() {
        let path = entry.unwrap().path();
        let text = match path.extension() {
            Some(extension) if extension == "json" => std::fs::read_to_string(&path).unwrap(),
            _ => continue,
        };
        let lines = text.lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            if let Some(at) = action.pointer_mut("/remove/deletionTimestamp") {
                *at = Value::from(at.as_i64().unwrap() - i64::try_from(week.as_millis()).unwrap());
            }
            action.to_string() + "\n"
        });
        let text = lines.collect::<String>();
        std::fs::write(&path, text).unwrap();
    }
    for path in replaced.iter().chain([&young]) {
        std::fs::File::open(path).unwrap().set_modified(std::time::SystemTime::now() - week).unwrap();
    }
    std::fs::write(&old, "").unwrap();
    std::fs::File::open(&old).unwrap().set_modified(std::time::SystemTime::now() - week).unwrap();
    run_on("compact = false");
    assert!(
        !young.exists() && replaced.iter().filter(|path| path.exists()).count() == 1,
        "the joined file is in the table"
    );
    // What was appended just before the signal is read by the next run.
    succeed(&mut site.run());
    site.assert_each_line_once_in_tables();
}

#[test]
fn optimize_during_a_run_loses_and_repeats_nothing() {
    let site = UpkeepSite::new(false);
    let mut running = RunningProcess::start(site.run().stdout(Stdio::null()).stderr(Stdio::null()));
    let mut joined = 0;
    while running.try_wait().is_none() {
        let output = pinflow(["table", "--format", "json"]).arg(site.tables()).arg("optimize").output().unwrap();
        // It fails before the tables exist.
        if output.status.success() {
            let done: Value = serde_json::from_slice(&output.stdout).unwrap();
            joined += done.as_object().unwrap().values().map(|of| of["files_before"].as_u64().unwrap()).sum::<u64>();
        }
    }
    assert!(running.wait().success());
    assert!(joined > 10, "{joined} files were joined meanwhile");
    site.assert_each_line_once_in_tables();
}

#[test]
fn doctor_reports_damage_with_a_hint() {
    let site = UpkeepSite::new(false);
    succeed(&mut site.run());
    let diagnosed = |code: i32| {
        let output = pinflow(["table", "--format", "json"]).arg(site.tables()).arg("doctor").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let healthy = diagnosed(0);
    assert!(healthy.as_array().unwrap().iter().all(|symptom| symptom["grade"] != "fault"), "{healthy}");
    // The newest commit is torn, as after a power loss.
    let log = site.tables().join("geo/_delta_log");
    let newest = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let newest = newest.filter(|path| path.extension().is_some_and(|it| it == "json")).max().unwrap();
    let whole = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    let torn = diagnosed(1);
    assert!(torn.to_string().contains("--repair"), "{torn}");
    std::fs::write(&newest, whole).unwrap();
    // Remove a row that the positions count.
    let file = std::fs::read_dir(site.tables().join("user")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|it| it == "parquet")).min().unwrap();
    std::fs::remove_file(file).unwrap();
    diagnosed(1);
}

#[test]
fn missing_and_foreign_tables_are_not_modified() {
    let place = create_temp_dir();
    for action in ["optimize", "vacuum", "doctor"] {
        for (folder, code) in [(place.path().join("nowhere"), 2), (place.path().to_owned(), 1)] {
            let output = pinflow(["table"]).arg(folder).arg(action).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{action}: {output:?}");
        }
    }
    // A column that another engine has added: its values would be lost.
    let site = UpkeepSite::new(false);
    succeed(&mut site.run());
    let log = site.tables().join("geo/_delta_log");
    let first = log.join(format!("{:020}.json", 0));
    let commit = std::fs::read_to_string(&first).unwrap();
    let metadata = commit.lines().find(|line| line.contains("\"metaData\"")).unwrap();
    let field = r#"{\"name\":\"_arrived_at\""#;
    assert!(metadata.contains(field), "{metadata}");
    let added = metadata.replacen(
        field,
        &format!(r#"{{\"name\":\"note\",\"type\":\"string\",\"nullable\":true,\"metadata\":{{}}}},{field}"#),
        1,
    );
    let newest = std::fs::read_dir(&log).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        name.strip_suffix(".json")?.parse::<u64>().ok()
    });
    let next = newest.max().unwrap() + 1;
    std::fs::write(log.join(format!("{next:020}.json")), added + "\n").unwrap();
    let output = pinflow(["table"]).arg(site.tables()).arg("optimize").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("column"), "{output:?}");
}

#[test]
fn compaction_with_a_vacuumed_file_is_not_committed() {
    let site = UpkeepSite::new(false);
    succeed(&mut site.run());
    let pin = site.tables().join("pin");
    let files = || -> std::collections::BTreeSet<PathBuf> {
        let paths = std::fs::read_dir(&pin).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "parquet")).collect()
    };
    let before = files();
    // It sleeps before its commit, as on a machine that was suspended; a vacuum removes what it has written.
    let mut command = pinflow(["table"]);
    command.arg(&pin).arg("optimize").env("FAILPOINTS", "delta::pin::before_compact_commit=sleep(3000)");
    let mut compaction = RunningProcess::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("the new file is written", || files().len() > before.len());
    for path in files().difference(&before) {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(compaction.wait().code(), Some(1));
    succeed(pinflow(["table", "--verify", "--deep"]).arg(site.tables()));
    site.assert_each_line_once_in_tables();
}

/// Makes a table look as if its files had been written, and those that are taken out had been so, some time earlier.
fn age_files_taken_out(table: &Path, by: std::time::Duration) {
    let millis = i64::try_from(by.as_millis()).unwrap();
    for entry in std::fs::read_dir(table.join("_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            if let Some(at) = action.pointer_mut("/remove/deletionTimestamp") {
                *at = Value::from(at.as_i64().unwrap() - millis);
            }
            action.to_string() + "\n"
        });
        std::fs::write(&path, lines.collect::<String>()).unwrap();
    }
    for entry in std::fs::read_dir(table).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "parquet") {
            std::fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::now() - by).unwrap();
        }
    }
}

#[test]
fn removed_files_are_limited_by_count_and_age() {
    let site = UpkeepSite::new(false);
    succeed(&mut site.run());
    succeed(pinflow(["table"]).arg(site.tables()).arg("optimize"));
    let pin = site.tables().join("pin");
    let files = || -> Vec<PathBuf> {
        let paths = std::fs::read_dir(&pin).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "parquet")).collect()
    };
    let crowd = files().len();
    assert!(crowd > 10, "{crowd}");
    let quarter = std::time::Duration::from_secs(15 * 60);
    age_files_taken_out(&pin, quarter);
    let config = std::fs::read_to_string(&site.config).unwrap();
    let set_max_kept = |keep_files_max: usize| {
        let bounded = format!("compact = false\nkeep_files_max = {keep_files_max}");
        std::fs::write(&site.config, config.replace("compact = false", &bounded)).unwrap();
        site.append_lines();
    };
    set_max_kept(crowd * 2);
    succeed(&mut site.run());
    assert!(files().len() > crowd, "few enough are kept for a week");
    // A run that ends waits only a few seconds for its vacuums, which a busy machine may not grant. One that goes on
    // ends them.
    set_max_kept(5);
    let mut running = RunningProcess::start(site.follow_command().stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("surplus files are removed", || files().len() < crowd);
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
    site.assert_each_line_once_in_tables();
}
