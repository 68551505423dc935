//! The first snapshot of a run, and serving after the sources have ended.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use pinflow_testkit::http_client::HttpClient;
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed, wait_until};

/// Lines of a snapshot: eleven answers and their cut.
const SNAPSHOT_LINES: usize = 12;

/// Reads the first snapshot of a run, and then closes its stdout.
fn first_snapshot(command: &mut Command) -> Vec<u8> {
    let mut running = RunningProcess::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = BufReader::new(running.stdout()).lines().take(SNAPSHOT_LINES);
    let text = lines.map(|line| line.unwrap() + "\n").collect::<String>().into_bytes();
    // A run only detects the closed stdout when it writes again, and it may have nothing more to write.
    running.try_signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
    text
}

#[test]
fn first_snapshot_holds_everything_present_at_the_start() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 2_000, 5_000, 3, &[]);
    let whole = last_snapshot(&succeed(pinflow(["run"]).arg(&recording)).stdout);
    assert_eq!(whole.cut["complete"], true);
    for follow in [true, false] {
        let config = place.path().join("run.toml");
        let text = format!("[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = {follow}\n");
        std::fs::write(&config, text).unwrap();
        let first = last_snapshot(&first_snapshot(pinflow(["run"]).arg(&config)));
        if first.cut["complete"] == true {
            assert_eq!(first.answers, whole.answers, "follow = {follow}");
        } else {
            // On a busy machine the first snapshot may take more than a second.
            assert_ne!(first.answers, whole.answers, "follow = {follow}");
        }
    }
}

#[test]
fn first_snapshot_of_a_long_read_comes_after_one_second_marked_incomplete() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 2_000, 20_000, 3, &[]);
    let config = place.path().join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 2000\n[output]\nevery_ms = 20\n";
    std::fs::write(&config, text).unwrap();
    let first = last_snapshot(&first_snapshot(pinflow(["run"]).arg(&config)));
    assert_eq!(first.cut["complete"], false);
    let read = first.cut["sources"].as_array().unwrap().iter().map(|source| source["read"].as_u64().unwrap());
    assert!(read.sum::<u64>() > 0, "a second is enough to read something: {}", first.cut);
}

#[test]
fn restart_shows_the_tables_content_as_complete() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 500, 1_000, 3, &[]);
    let config = place.path().join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\n[tables]\nurl = \"tables\"\n";
    std::fs::write(&config, text).unwrap();
    succeed(pinflow(["run", "--until-caught-up", "--output", "none"]).arg(&config));
    let whole = last_snapshot(&succeed(pinflow(["run"]).arg(&recording)).stdout);
    let first = last_snapshot(&first_snapshot(pinflow(["run"]).arg(&config)));
    assert_eq!((&first.cut["complete"], first.answers), (&Value::Bool(true), whole.answers));
}

#[test]
fn answers_are_served_after_the_sources_have_ended_until_a_signal() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 300, 500, 3, &[]);
    let tables = place.path().join("tables");
    let serving = ServingRun::start(place.path(), &recording, &["--tables", tables.to_str().unwrap()]);
    wait_until("it says that the sources have ended", || serving.log().contains("the sources have ended"));
    let log = serving.log();
    let ended = log.lines().find(|line| line.contains("the sources have ended")).unwrap();
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert!(ended["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{ended}");
    // Everything is committed before the run waits.
    pinflow_testkit::ledger::assert_each_line_once(&recording, &tables);
    let durable = serving.http.json("/answers?read=durable");
    assert!(durable.to_string().contains("category_count"), "{durable}");
    serving.stop();
}

#[test]
fn run_until_caught_up_ends_while_serving() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 300, 500, 3, &[]);
    succeed(pinflow(["run", "--until-caught-up", "--listen", "127.0.0.1:0", "--output", "none"]).arg(&recording));
}

#[test]
fn live_example_generates_posts_and_serves_answers() {
    let place = create_temp_dir();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["scripts/live.sh", "examples/live.toml"] {
        let copy = place.path().join(file);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(root.join(file), copy).unwrap();
    }
    let log = place.path().join("log");
    let mut command = Command::new(place.path().join("scripts/live.sh"));
    command.args(["--listen", "127.0.0.1:0"]).env("PINFLOW", pinflow_testkit::program());
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut running = RunningProcess::start(&mut command);
    let mut address = None;
    wait_until("it says where it serves", || {
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(running.try_wait().is_none(), "{text}");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        address = lines.filter_map(|line| line["address"].as_str()?.parse().ok()).next();
        address.is_some()
    });
    let http = HttpClient::new(address.unwrap());
    wait_until("posts are answered", || {
        http.get("/readyz").status == 200 && http.get("/answers").text().contains("category_count")
    });
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(0), "{}", std::fs::read_to_string(&log).unwrap());
}
