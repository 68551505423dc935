//! `pinflow rejected replay`: rejections that are accepted now become rows, exactly once, whatever dies meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use pinflow_testkit::objects::site::{ObjectsSite, with_credentials};
use pinflow_testkit::objects::{skipped, store};
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{RunningProcess, copy_folder, create_temp_dir, last_snapshot, pinflow, succeed, wait_until};

/// Every third pin is longer than the limit of the first run.
const PINS: u64 = 900;
const TOO_LONG: u64 = PINS / 3;
/// Every thirtieth pin is in an array with a row that is never accepted.
const WITH_BAD_ROW: u64 = PINS / 30;
/// These stay rejected: without a key, an element that is a row only outside its array, and no JSON.
const NEVER_ACCEPTED: [&str; 3] = ["{\"category\":\"art\"}\n", "[{\"index\":1}]\n", "nothing\n"];
/// A message of which the table has only the first 64 KiB.
const CUT_OFF: u64 = 1;
/// The rejections of the first run.
const REJECTED: u64 = TOO_LONG + NEVER_ACCEPTED.len() as u64 + CUT_OFF;

/// Writes a recording, and reads it with a limit that rejects the long messages.
fn write_tables(folder: &Path) -> PathBuf {
    write_posts(folder);
    let strict = configure(folder, "strict.toml", 1_024, "");
    succeed(pinflow(["run", "--output", "none"]).arg(strict));
    configure(folder, "posts.toml", 4_096, "")
}

fn write_posts(folder: &Path) {
    let posts = folder.join("posts");
    fs::create_dir(&posts).unwrap();
    let pins = (0..PINS).map(|ind| {
        let title = if ind % 3 == 0 { "t".repeat(3_000) } else { "t".to_owned() };
        let row = format!("{{\"index\":{ind},\"category\":\"art\",\"title\":\"{title}\"}}");
        if ind % 30 == 0 { format!("[{{\"value\":{row}}},{{\"value\":{{}}}}]\n") } else { format!("{row}\n") }
    });
    let cut_off = format!("{{\"index\":{PINS},\"title\":\"{}\"}}\n", "t".repeat(70_000));
    let others = NEVER_ACCEPTED.map(str::to_owned).into_iter().chain([cut_off]);
    fs::write(posts.join("pin.jsonl"), pins.chain(others).collect::<String>()).unwrap();
    let geos = (0..PINS).map(|ind| format!("{{\"ind\":{ind},\"country\":\"Chad\"}}\n"));
    fs::write(posts.join("geo.jsonl"), geos.collect::<String>()).unwrap();
    fs::write(posts.join("user.jsonl"), "{\"ind\":1,\"age\":30}\n").unwrap();
}

/// Writes a configuration. `of_source` are more lines of its source.
fn configure(folder: &Path, name: &str, message_bytes_max: u32, of_source: &str) -> PathBuf {
    let path = folder.join(name);
    let text = format!(
        "[[source]]\nkind = \"recording\"\npath = \"posts\"\n{of_source}\n[tables]\nurl = \"data\"\n\
         commit_rows_max = 50\ncommit_age_secs_max = 0.01\n[engine]\nepoch_ms = 1\nepoch_bytes_max = 1024\n\
         message_bytes_max = {message_bytes_max}\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// How many rejections a replay counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PrintedCounts {
    accepted: u64,
    rejected_again: u64,
    chosen_before: u64,
    incomplete: u64,
    out_of_context: u64,
    unfinished: u64,
}

/// The counts of a first replay that accepts the long messages.
const FIRST: PrintedCounts = PrintedCounts {
    accepted: TOO_LONG,
    rejected_again: NEVER_ACCEPTED.len() as u64,
    chosen_before: 0,
    incomplete: CUT_OFF,
    out_of_context: 0,
    unfinished: 0,
};
/// The counts of a replay after it. The rows that are never accepted were rejected in their turn.
const AFTERWARDS: PrintedCounts = PrintedCounts {
    accepted: 0,
    rejected_again: NEVER_ACCEPTED.len() as u64 + WITH_BAD_ROW,
    chosen_before: TOO_LONG,
    ..FIRST
};

/// Runs a replay, which must succeed.
fn replay(config: &Path, flags: &[&str]) -> PrintedCounts {
    read_counts(succeed(pinflow(["rejected", "replay"]).arg(config).args(flags)).stdout)
}

fn read_counts(stdout: Vec<u8>) -> PrintedCounts {
    let text = String::from_utf8(stdout).unwrap();
    let count = |words: &str| {
        let line = text.lines().find(|line| line.contains(words));
        line.map_or(0, |line| line.split_whitespace().next().unwrap().parse().unwrap())
    };
    PrintedCounts {
        accepted: count("accepted now"),
        rejected_again: count("rejected again"),
        chosen_before: count("chosen by an earlier replay"),
        incomplete: count("without the whole message"),
        out_of_context: count("decided by what is not in the table"),
        unfinished: count("did not finish"),
    }
}

/// The rows of a table, as `pinflow table` counts them. Nothing is lost, and nothing is there twice.
fn verified_rows(folder: &Path, table: &str) -> u64 {
    verify_tables(folder)[table]
}

/// The rows of each table. Nothing is lost, and nothing is there twice.
fn verify_tables(folder: &Path) -> BTreeMap<String, u64> {
    let output = succeed(pinflow(["table", "data", "--verify", "--format", "json"]).current_dir(folder));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tables = shown["tables"].as_array().unwrap();
    tables.iter().map(|of| (of["table"].as_str().unwrap().to_owned(), of["rows"].as_u64().unwrap())).collect()
}

/// The keys of `pin`: each of them once.
fn pin_keys(folder: &Path) -> BTreeSet<u64> {
    let sql = folder.join("keys.sql");
    fs::write(&sql, "SELECT ind, count(*) AS n FROM pin GROUP BY 1 ORDER BY 1").unwrap();
    let mut command = pinflow(["question", "try", "--tables", "data", "--format", "json", "--duplicates", "keep"]);
    let output = succeed(command.arg(sql).current_dir(folder));
    let rows = serde_json::from_slice::<Value>(&output.stdout).unwrap()["rows"].clone();
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().all(|row| row["n"] == 1), "a row is there twice");
    rows.iter().map(|row| row["ind"].as_u64().unwrap()).collect()
}

/// Asserts that every row that can be accepted is in the table once, and that no rejection came or went besides.
fn assert_all_replayed_once(folder: &Path) {
    assert_eq!(pin_keys(folder), (0..PINS).collect());
    let rows = verify_tables(folder);
    assert_eq!((rows["pin"], rows["rejected"]), (PINS, REJECTED + WITH_BAD_ROW));
}

#[test]
fn rejections_that_are_accepted_now_become_rows_once_and_the_answers_have_them() {
    let place = create_temp_dir();
    let config = write_tables(place.path());
    assert_eq!(verified_rows(place.path(), "pin"), PINS - TOO_LONG);
    assert_eq!(replay(&config, &["--dry-run"]), FIRST);
    assert!(!place.path().join("data/dead-letters").exists(), "a dry run changes nothing");
    // The limit of the first run accepts none.
    let none = PrintedCounts { accepted: 0, rejected_again: REJECTED - CUT_OFF, ..FIRST };
    assert_eq!(replay(&place.path().join("strict.toml"), &[]), none);
    let one = PrintedCounts { rejected_again: 1, ..PrintedCounts::default() };
    assert_eq!(replay(&config, &["--reason", "no_key"]), one);
    assert_eq!(replay(&config, &[]), FIRST);
    for _ in 0..2 {
        assert_all_replayed_once(place.path());
        assert_eq!(replay(&config, &[]), AFTERWARDS);
    }
    succeed(pinflow(["table", "data", "doctor"]).current_dir(place.path()));
    // The next run reads none of it again, and its answers have the rows.
    let output = succeed(pinflow(["run"]).arg(&config));
    let rows = &last_snapshot(&output.stdout).answers["popular_category_by_country"];
    assert_eq!(json!(rows), json!([{ "country": "Chad", "category": "art", "category_count": PINS }]));
    assert_all_replayed_once(place.path());
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_ready();
    succeed(pinflow(["verify", "--at"]).arg(serving.http.address.to_string()));
    serving.stop();
}

#[test]
fn list_count_and_show_say_what_was_replayed() {
    let place = create_temp_dir();
    let config = write_tables(place.path());
    let rejected = |arguments: &[&str]| {
        let mut command = pinflow(["rejected"]);
        let output = succeed(command.args(arguments).args(["--tables", "data"]).current_dir(place.path()));
        String::from_utf8(output.stdout).unwrap()
    };
    let count = ["count", "--by", "replayed", "--format", "csv"];
    let rejections_of = |csv: &str| -> BTreeMap<String, u64> {
        let cells = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        cells.map(|cells| (cells[0].to_owned(), cells[1].parse().unwrap())).collect()
    };
    assert_eq!(rejections_of(&rejected(&count)), BTreeMap::from([("no".to_owned(), REJECTED)]));
    assert!(!rejected(&["list", "--format", "table"]).contains("replayed"));
    replay(&config, &[]);
    let expected =
        BTreeMap::from([("yes".to_owned(), TOO_LONG), ("no".to_owned(), REJECTED - TOO_LONG + WITH_BAD_ROW)]);
    assert_eq!(rejections_of(&rejected(&count)), expected);
    let listed = rejected(&["list", "--reason", "too_large", "--limit", "1000", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let place_of = |line: u64| {
        let position = line.to_string();
        let found = listed.as_array().unwrap().iter().find(|of| of["_position"] == position.as_str()).unwrap();
        json!([found["replay_source"], found["replay_position"]])
    };
    // The lines of the file count from 1, and the messages of a pass are in the order in which they arrived.
    assert_eq!(place_of(1), json!(["dead-letters/000001", 1]));
    assert_eq!(place_of(4), json!(["dead-letters/000001", 2]));
    assert_eq!(place_of(PINS + 4), json!([null, null]));
    assert!(rejected(&["list", "--reason", "too_large", "--format", "table"]).contains("replayed"));
    assert!(rejected(&["show", "recording/pin.jsonl", "4"]).contains("replayed  as dead-letters/000001 2\n"));
    assert!(rejected(&["show", "recording/pin.jsonl", "901"]).contains("replayed  no\n"));
}

#[test]
fn row_without_an_arrival_time_does_not_replace_one_that_was_accepted_at_once() {
    let place = create_temp_dir();
    let posts = place.path().join("posts");
    fs::create_dir(&posts).unwrap();
    let long = "t".repeat(3_000);
    let pins =
        format!("{{\"index\":1,\"category\":\"old\"}}\n{{\"index\":1,\"category\":\"long\",\"title\":\"{long}\"}}\n");
    fs::write(posts.join("pin.jsonl"), pins).unwrap();
    fs::write(posts.join("geo.jsonl"), "{\"ind\":1,\"country\":\"Chad\"}\n").unwrap();
    fs::write(posts.join("user.jsonl"), "{\"ind\":1,\"age\":30}\n").unwrap();
    succeed(pinflow(["run", "--output", "none"]).arg(configure(place.path(), "strict.toml", 1_024, "")));
    let config = configure(place.path(), "posts.toml", 4_096, "");
    assert_eq!(replay(&config, &[]), PrintedCounts { accepted: 1, ..PrintedCounts::default() });
    assert_eq!(verified_rows(place.path(), "pin"), 2);
    let output = succeed(pinflow(["run"]).arg(&config));
    let answers = last_snapshot(&output.stdout).answers;
    assert_eq!(answers["popular_category_by_country"][0]["category"], "old");
}

#[test]
fn replay_that_is_killed_at_any_step_neither_loses_nor_repeats_a_row() {
    let base = create_temp_dir();
    write_tables(base.path());
    let copy = || {
        let place = create_temp_dir();
        copy_folder(base.path(), place.path());
        let config = place.path().join("posts.toml");
        (place, config)
    };
    let (_place, config) = copy();
    let started = Instant::now();
    assert_eq!(replay(&config, &[]), FIRST);
    let mut whole = started.elapsed();
    let steps = ["before_fence", "after_fence", "before_file", "after_file", "before_commit", "after_commit"];
    let points = ["rejected", "pin"].into_iter().flat_map(|table| steps.map(|step| format!("delta::{table}::{step}")));
    let mut killed_at_a_point = 0;
    for (round, point) in (0_u32..).zip(points) {
        let (place, config) = copy();
        // Some windows are committed first. The tables are fenced once.
        let passed = if point.contains("fence") { 0 } else { round % 2 };
        let at_point = format!("{point}={passed}*off->1*return(abort)");
        killed_at_a_point += u32::from(replay_until_killed(&config, Some(&at_point), whole));
        assert_replay_completes(place.path(), &config, &point);
    }
    assert!(killed_at_a_point >= 8, "{killed_at_a_point} were killed");

    let mut killed_at_random = 0;
    // Before, while and after the pass is stored, in the middle of it, and again while it continues.
    for round in 0..48 {
        let (place, config) = copy();
        for life in [whole * (round % 24 + 1) / 24, whole * (24 - round % 24) / 60] {
            let started = Instant::now();
            let was_killed = replay_until_killed(&config, None, life);
            killed_at_random += u32::from(was_killed);
            if !was_killed && life > whole / 2 {
                // The machine has less to do than before.
                whole = whole.min(started.elapsed());
            }
        }
        assert_replay_completes(place.path(), &config, &format!("round {round}"));
        if killed_at_random >= 20 {
            return;
        }
    }
    panic!("only {killed_at_random} were killed");
}

/// Replays what a kill left, and checks that everything was replayed once.
fn assert_replay_completes(place: &Path, config: &Path, case: &str) {
    let last = replay(config, &[]);
    assert_eq!(last.accepted + last.chosen_before, TOO_LONG, "{case}: {last:?}");
    assert_all_replayed_once(place);
    assert_eq!(replay(config, &["--dry-run"]), AFTERWARDS, "{case}");
}

/// Whether a replay was killed, at a failpoint or after this time.
fn replay_until_killed(config: &Path, failpoints: Option<&str>, life: Duration) -> bool {
    let mut command = pinflow(["rejected", "replay"]);
    command.arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(points) = failpoints {
        command.env("FAILPOINTS", points);
    }
    let started = Instant::now();
    let mut running = RunningProcess::start(&mut command);
    if failpoints.is_none() {
        while started.elapsed() < life && running.try_wait().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        running.try_signal(Signal::SIGKILL);
    }
    let status = running.wait();
    assert!(status.success() || status.code().is_none(), "{failpoints:?} ended with {status}");
    !status.success()
}

#[test]
fn message_of_which_a_split_window_has_accepted_rows_is_not_replayed_as_a_whole() {
    let place = create_temp_dir();
    let posts = place.path().join("posts");
    fs::create_dir(&posts).unwrap();
    let array = |ind: u64| {
        let long = "t".repeat(3_000);
        format!("[{{\"value\":{{\"index\":{ind},\"title\":\"{long}\"}}}},{{\"value\":{{\"index\":{}}}}}]\n", ind + 1)
    };
    fs::write(posts.join("pin.jsonl"), array(1)).unwrap();
    fs::write(posts.join("geo.jsonl"), "{\"ind\":1,\"country\":\"Chad\"}\n").unwrap();
    fs::write(posts.join("user.jsonl"), "{\"ind\":1,\"age\":30}\n").unwrap();
    let strict = configure(place.path(), "strict.toml", 1_024, "");
    let mut command = pinflow(["run", "--output", "none"]);
    command.arg(&strict).env("FAILPOINTS", "delta::pin::before_commit=1*return(abort)");
    assert_eq!(command.output().unwrap().status.code(), None, "it was killed after `rejected` was committed");
    // The message is read again. Its first row is in `rejected`, and the second one is accepted.
    let config = configure(place.path(), "posts.toml", 4_096, "");
    succeed(pinflow(["run", "--output", "none"]).arg(&config));
    assert_eq!(pin_keys(place.path()), BTreeSet::from([2]));
    fs::write(posts.join("pin.jsonl"), array(1) + &array(3)).unwrap();
    succeed(pinflow(["run", "--output", "none"]).arg(&strict));
    let counts = PrintedCounts { accepted: 1, out_of_context: 1, ..PrintedCounts::default() };
    assert_eq!(replay(&config, &[]), counts);
    assert_eq!(pin_keys(place.path()), BTreeSet::from([2, 3, 4]));
    verify_tables(place.path());
}

#[test]
fn replay_takes_over_from_an_idle_run_and_yields_to_one_that_commits() {
    let place = create_temp_dir();
    write_tables(place.path());
    let config = configure(place.path(), "posts.toml", 4_096, "follow = true");
    let append = |ind: u64| {
        let line = format!("{{\"index\":{ind},\"category\":\"art\"}}\n");
        let path = place.path().join("posts/pin.jsonl");
        std::io::Write::write_all(&mut fs::File::options().append(true).open(path).unwrap(), line.as_bytes()).unwrap();
    };
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_ready();
    // The run commits while the replay is about to take over.
    let mut command = pinflow(["rejected", "replay"]);
    command.arg(&config).env("FAILPOINTS", "delta::rejected::before_fence=1*sleep(4000)");
    let log = place.path().join("replay.log");
    command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut replaying = RunningProcess::start(&mut command);
    wait_until("the pass is stored", || place.path().join("data/dead-letters/000001.jsonl").exists());
    std::thread::sleep(Duration::from_millis(700));
    append(PINS + 1);
    let status = replaying.wait();
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(75), "{said}");
    assert!(said.contains("stop it, and start the replay again"), "{said}");
    // An idle run learns of the replay with its next commit.
    let counts = replay(&config, &[]);
    assert_eq!((counts.unfinished, counts.chosen_before), (TOO_LONG, TOO_LONG));
    let mut serving = serving;
    append(PINS + 2);
    assert_eq!(serving.running.wait().code(), Some(75), "{}", serving.log());
    let serving = ServingRun::start(place.path(), &config, &[]);
    wait_until("the last line is in the tables", || pin_keys(place.path()).contains(&(PINS + 2)));
    serving.stop();
    assert_eq!(pin_keys(place.path()), (0..PINS).chain([PINS + 1, PINS + 2]).collect());
    assert_eq!(replay(&config, &[]), AFTERWARDS);
}

#[test]
fn replay_without_tables_or_with_a_missing_pass_is_refused_and_says_why() {
    let place = create_temp_dir();
    let config = write_tables(place.path());
    let refused = |config: &Path| {
        let output = pinflow(["rejected", "replay"]).arg(config).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let text = fs::read_to_string(&config).unwrap();
    let changed = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (code, stderr) = refused(&changed("other.toml", &format!("pipeline = \"other\"\n{text}")));
    assert!(code != Some(0) && stderr.contains("this one is `other`"), "{code:?}: {stderr}");
    assert!(!place.path().join("data/dead-letters").exists(), "it was refused before anything was written");
    replay(&config, &[]);
    let passes = place.path().join("data/dead-letters");
    fs::rename(passes.join("000001.jsonl"), passes.join("000002.jsonl")).unwrap();
    let (code, stderr) = refused(&config);
    assert!(code == Some(1) && stderr.contains("000001.jsonl: it is missing"), "{code:?}: {stderr}");
    let (code, stderr) = refused(&changed("without.toml", text.split("[tables]").next().unwrap()));
    assert!(code == Some(2) && stderr.contains("has no [tables]"), "{code:?}: {stderr}");
}

#[test]
fn rejections_of_tables_in_a_bucket_are_replayed_once_through_kills() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(1, &store::endpoint());
    fs::remove_dir_all(site.recording()).unwrap();
    write_posts(site.place.path());
    let configure = |message_bytes_max: u32| {
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"posts\"\n[tables]\nurl = \"{}\"\ncommit_rows_max = 50\n\
             commit_age_secs_max = 0.01\n[engine]\nepoch_ms = 1\nepoch_bytes_max = 1024\n\
             message_bytes_max = {message_bytes_max}\n{}",
            site.url(),
            site.objects()
        );
        fs::write(site.config(), text).unwrap();
    };
    configure(1_024);
    succeed(&mut site.run());
    configure(4_096);
    let command = || -> Command {
        let mut command = with_credentials(pinflow(["rejected", "replay"]));
        command.arg(site.config());
        command
    };
    for point in ["delta::rejected::before_fence=1*return(abort)", "delta::pin::after_commit=1*off->1*return(abort)"] {
        let status = command().env("FAILPOINTS", point).output().unwrap().status;
        assert_eq!(status.code(), None, "{point} was not reached: {status}");
    }
    let counts = read_counts(succeed(&mut command()).stdout);
    assert_eq!(counts.chosen_before, TOO_LONG);
    assert!(counts.unfinished > 0, "{counts:?}");
    assert_eq!(read_counts(succeed(&mut command()).stdout), AFTERWARDS);
    succeed(&mut site.table(["--verify"]));
    let copied = site.copy_tables();
    fs::rename(&copied, site.place.path().join("data")).unwrap();
    assert_all_replayed_once(site.place.path());
}
