//! The web page at `/` in a real Chromium, installed by `tests/page/setup.sh`.
//!
//! `PINFLOW_SKIP_PAGE=1` skips the tests that need a browser or npm. Otherwise a browser that cannot be started is a
//! failure. The steps in the browser are in `tests/page/*.mjs`, one script per test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, wait_until};

/// Texts that are harmful if the page interprets them as markup. `escapes.mjs` looks for the same ones.
const HOSTILE_TEXTS: &str = include_str!("../../page/hostile.json");

/// Whether the tests in a browser are skipped. Prints so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
pub(super) fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_PAGE").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_PAGE=1: no browser is started, the page is only fetched");
    }
    skipped
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn node(script: &str, arguments: &[&str]) -> Command {
    let packages = root().join("target/page/node_modules");
    assert!(packages.is_dir(), "no {}: run tests/page/setup.sh, or set PINFLOW_SKIP_PAGE=1", packages.display());
    let mut command = Command::new("node");
    command.arg(root().join("tests/page").join(script)).args(arguments).stdin(Stdio::null());
    command
}

/// Runs a script and returns its report.
#[allow(clippy::print_stderr, reason = "what was measured is for the people who run the tests")]
pub(super) fn browse(script: &str, arguments: &[&str]) -> Value {
    let output = node(script, arguments).output().expect("node starts");
    let [said, failed] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{script}: {said}{failed}");
    eprintln!("{script}: {}", said.trim());
    serde_json::from_str(said.lines().last().expect("a report")).unwrap()
}

fn url(serving: &ServingRun) -> String {
    format!("http://{}/", serving.http.address)
}

/// A run with tables and some rejections, which follows its recording.
fn posts(place: &Path, more: &str) -> (ServingRun, PathBuf) {
    let recording = place.join("recording");
    emit(&recording, 2_000, 3_000, 91, &["--malformed", "0.01"]);
    let more = format!("[tables]\nurl = \"tables\"\ncommit_age_secs_max = 1\n{more}");
    let env = [("READ", "r-canary"), ("ADMIN", "a-canary")];
    let serving = ServingRun::start_with(place, &configure_followed_recording(place, &recording, &more), &[], &env);
    (serving, recording)
}

#[test]
fn assets_need_no_token_and_are_cached_by_content() {
    let place = create_temp_dir();
    let tokens = "[serve]\nlisten = \"127.0.0.1:0\"\ntokens = { read = \"env:READ\" }";
    let (serving, _) = posts(place.path(), tokens);
    let http = serving.http;
    assert_eq!(http.get("/status").status, 401);
    let index = http.get("/");
    assert_eq!((index.status, index.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    assert!(index.headers["content-security-policy"].starts_with("default-src 'self'"));
    // No absolute paths, because behind a proxy the page may be below a prefix.
    let named: Vec<_> = index.text().split('"').filter(|text| text.contains("assets/")).collect();
    assert!(named.len() >= 4 && named.iter().all(|path| path.starts_with("assets/")), "{named:?}");
    for path in named {
        let path = &format!("/{path}");
        let plain = http.get(path);
        let packed = http.get_with_headers(path, &[("accept-encoding", "gzip")]);
        assert_eq!((plain.status, packed.status), (200, 200), "{path}");
        if let Some(coding) = packed.headers.get("content-encoding") {
            assert_eq!(coding, "gzip");
            assert!(packed.body.len() < plain.body.len(), "{path}");
        }
        let again = http.get_with_headers(path, &[("if-none-match", &plain.headers["etag"])]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    assert_eq!(http.get("/assets/nowhere.js").status, 404);
    assert_eq!(http.get("/assets/..%2f..%2fCargo.toml").status, 404);
    serving.stop();
}

#[test]
fn page_shows_all_answers_sorts_by_keyboard_and_fits_every_width() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, _) = posts(place.path(), "");
    serving.wait_until_read(9_000);
    let mut arguments = vec![url(&serving)];
    // The folder for screenshots, if they are wanted.
    arguments.extend(std::env::var("PINFLOW_PAGE_SHOTS"));
    browse("shows.mjs", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    serving.stop();
}

#[test]
fn page_passes_accessibility_checks() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, _) = posts(place.path(), "");
    serving.wait_until_read(9_000);
    browse("access.mjs", &[&url(&serving)]);
    serving.stop();
}

#[test]
fn new_record_appears_on_the_page() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, recording) = posts(place.path(), "");
    serving.wait_until_read(9_000);
    let report = browse("updates.mjs", &[&url(&serving), recording.to_str().unwrap()]);
    assert!(report["median_ms"].as_u64().unwrap() > 0);
    serving.stop();
}

#[test]
fn page_reports_lost_server_and_reconnects() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, recording) = posts(place.path(), "");
    serving.wait_until_read(9_000);
    let address = serving.http.address.to_string();
    let mut script = node("restart.mjs", &[&url(&serving)]).stdout(Stdio::piped()).spawn().expect("node starts");
    let mut said = BufReader::new(script.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "up");
    serving.stop();
    let lost = said.next().unwrap().unwrap();
    // Change the data while no page is open.
    let row = json!({ "ind": 7_000_000, "first_name": "New", "last_name": "Here", "age": 30, "date_joined": "2020-02-02T02:02:02" });
    let mut users = std::fs::OpenOptions::new().append(true).open(recording.join("user.jsonl")).unwrap();
    writeln!(users, "{row}").unwrap();
    let config = place.path().join("serve.toml");
    let again = ServingRun::start(place.path(), &config, &["--listen", &address]);
    let back = said.next().unwrap().unwrap();
    assert_eq!((lost.as_str(), back.as_str()), ("lost", "\"back\""));
    assert!(script.wait().unwrap().success());
    again.stop();
}

#[test]
fn page_reload_and_second_page_show_the_same_history() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, _) = posts(place.path(), "");
    serving.wait_until_read(9_000);
    browse("history.mjs", &[&url(&serving)]);
    serving.stop();
}

#[test]
fn silent_server_is_reported_as_a_lost_connection() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, _) = posts(place.path(), "");
    serving.wait_until_read(9_000);
    let mut script = node("silence.mjs", &[&url(&serving)]).stdout(Stdio::piped()).spawn().expect("node starts");
    let mut said = BufReader::new(script.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "up");
    serving.running.signal(Signal::SIGSTOP);
    let lost = said.next().unwrap().unwrap();
    serving.running.signal(Signal::SIGCONT);
    let back = said.next().unwrap().unwrap();
    assert_eq!((lost.as_str(), back.as_str()), ("lost", "\"back\""));
    assert!(script.wait().unwrap().success());
    serving.stop();
}

#[test]
fn answers_are_filtered_and_saved_as_csv_with_a_token() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let tokens = "[serve]\nlisten = \"127.0.0.1:0\"\ntokens = { read = \"env:READ\" }";
    let (serving, _) = posts(place.path(), tokens);
    wait_until("all is read", || {
        let status = serving.http.get_with_headers("/status", &[("authorization", "Bearer r-canary")]);
        status.status == 200 && status.json()["this_run"]["read"].as_u64() >= Some(9_000)
    });
    browse("filter.mjs", &[&url(&serving), "r-canary"]);
    serving.stop();
}

#[test]
fn year_without_rows_is_drawn_as_a_gap() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    std::fs::create_dir(&recording).unwrap();
    let mut users = std::fs::File::create(recording.join("user.jsonl")).unwrap();
    for (ind, year) in [(1, 2015), (2, 2015), (3, 2018)] {
        let joined = format!("{year}-02-02T02:02:02");
        let row = json!({ "ind": ind, "first_name": "A", "last_name": "B", "age": 30, "date_joined": joined });
        writeln!(users, "{row}").unwrap();
    }
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, ""), &[]);
    serving.wait_until_read(3);
    browse("years.mjs", &[&url(&serving)]);
    serving.stop();
}

/// Questions whose answers have different shapes.
const QUESTIONS_OF_ALL_SHAPES: [(&str, &str); 6] = [
    (
        "posts_by_year",
        "SELECT year(timestamp) AS post_year, CASE WHEN year(timestamp) <> 2016 THEN count(*) END AS posts
         FROM geo GROUP BY post_year ORDER BY post_year",
    ),
    (
        "followers_by_category",
        "SELECT category, max(follower_count) - 4 AS more FROM pin GROUP BY category ORDER BY more DESC",
    ),
    (
        "posts_by_category_and_year",
        "SELECT category, follower_count + 2000 AS year, count(*) AS posts
         FROM pin WHERE category IS NOT NULL GROUP BY category, year",
    ),
    (
        "posts_by_country_and_category",
        "SELECT country, category, count(*) AS posts
         FROM pin JOIN geo USING (ind) WHERE category IS NOT NULL GROUP BY country, category ORDER BY posts DESC, country DESC",
    ),
    ("totals", "SELECT count(*) AS posts, avg(follower_count) / 27 AS mean_followers FROM pin"),
    ("titles", "SELECT title FROM pin ORDER BY title"),
];

fn question_config(name: &str, sql: &str) -> String {
    format!("[[question]]\nname = \"{name}\"\nsql = {}\n", toml::Value::from(sql))
}

#[test]
fn chart_follows_the_columns_and_each_question_shows_sql_and_plan() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    std::fs::create_dir(&recording).unwrap();
    let posts = [
        (json!("art"), "Peru", json!(7), "2015-05-05T05:05:05", json!("A")),
        (json!("art"), "Peru", json!(6), "2015-05-05T05:05:05", json!("B")),
        (json!("travel"), "Chad", json!(2), "2016-05-05T05:05:05", json!("C")),
        (json!("travel"), "Chad", json!(3), "2018-05-05T05:05:05", json!("D")),
        (Value::Null, "Chad", Value::Null, "2016-05-05T05:05:05", Value::Null),
    ];
    let [mut pins, mut geos] =
        ["pin", "geo"].map(|stream| std::fs::File::create(recording.join(format!("{stream}.jsonl"))).unwrap());
    for (ind, (category, country, followers, at, title)) in posts.into_iter().enumerate() {
        let pin = json!({ "index": ind, "unique_id": "u", "title": title, "category": category, "follower_count": followers, "poster_name": "P" });
        let geo = json!({ "ind": ind, "country": country, "timestamp": at, "latitude": 1, "longitude": 2 });
        writeln!(pins, "{pin}").unwrap();
        writeln!(geos, "{geo}").unwrap();
    }
    let questions: String = QUESTIONS_OF_ALL_SHAPES.iter().map(|(name, sql)| question_config(name, sql)).collect();
    let config = configure_followed_recording(place.path(), &recording, &questions);
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_read(10);
    browse("questions.mjs", &[&url(&serving)]);
    serving.stop();
}

#[test]
fn hidden_page_disconnects_and_resumes() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, _) = posts(place.path(), "");
    serving.wait_until_read(9_000);
    browse("unseen.mjs", &[&url(&serving)]);
    serving.stop();
}

#[test]
fn hostile_texts_are_shown_as_text() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    std::fs::create_dir(&recording).unwrap();
    let hostile: Vec<String> = serde_json::from_str(HOSTILE_TEXTS).unwrap();
    assert_eq!(hostile.len(), 30);
    let [mut pins, mut geos, mut users] =
        ["pin", "geo", "user"].map(|stream| std::fs::File::create(recording.join(format!("{stream}.jsonl"))).unwrap());
    for (ind, text) in hostile.iter().enumerate() {
        let pin = json!({ "index": ind, "unique_id": "u", "title": text, "category": text, "follower_count": ind, "poster_name": text });
        let geo =
            json!({ "ind": ind, "country": text, "timestamp": "2019-05-05T05:05:05", "latitude": 1, "longitude": 2 });
        let user = json!({ "ind": ind, "first_name": text, "last_name": "B", "age": 30, "date_joined": "2016-02-02T02:02:02" });
        writeln!(pins, "{pin}\n{}", json!({ "index": text, "title": text })).unwrap();
        writeln!(geos, "{geo}").unwrap();
        writeln!(users, "{user}").unwrap();
    }
    let comments: String = hostile.iter().map(|text| format!("-- {text}\n")).collect();
    let column = format!("\"{}\"", hostile[0].replace('"', "\"\""));
    let sql = format!(
        "{comments}SELECT title AS {column}, count(*) AS posts FROM pin WHERE title <> '{}!' GROUP BY title",
        hostile[0]
    );
    let config = configure_followed_recording(place.path(), &recording, &question_config("hostile", &sql));
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_read(120);
    browse("escapes.mjs", &[&url(&serving)]);
    serving.stop();
}

#[test]
fn page_asks_for_a_token_if_the_server_requires_one() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let tokens = "[serve]\nlisten = \"127.0.0.1:0\"\ntokens = { read = \"env:READ\", admin = \"env:ADMIN\" }";
    let (serving, _) = posts(place.path(), tokens);
    browse("token.mjs", &[&url(&serving), "r-canary", "a-canary"]);
    serving.stop();
}

#[test]
fn question_is_checked_tried_added_replaced_and_dropped_on_the_page() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let serve = r#"
        [serve]
        listen = "127.0.0.1:0"
        questions = true
        tokens = { read = "env:READ", admin = "env:ADMIN" }

        [questions]
        groups_max = 100
    "#;
    let (serving, _) = posts(place.path(), serve);
    browse("editor.mjs", &[&url(&serving), "r-canary", "a-canary"]);
    serving.stop();
}

#[test]
fn built_page_equals_a_build_of_its_sources() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let copy = place.path().join("page");
    let page = root().join("page");
    for path in files(&page, &["node_modules", "built"]) {
        let to = copy.join(path.strip_prefix(&page).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
    for arguments in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"], &["test"]] {
        let output = Command::new("npm").args(arguments).current_dir(&copy).output().expect("npm starts");
        assert!(output.status.success(), "npm {arguments:?}: {output:?}");
    }
    let (kept, made) = (page.join("built"), copy.join("built"));
    let names = |folder: &Path| -> Vec<PathBuf> {
        files(folder, &[]).into_iter().map(|path| path.strip_prefix(folder).unwrap().to_owned()).collect()
    };
    assert_eq!(names(&kept), names(&made));
    for name in names(&kept) {
        let same = std::fs::read(kept.join(&name)).unwrap() == std::fs::read(made.join(&name)).unwrap();
        assert!(same, "page/built/{} is not what page/ makes: run npm ci && npm run build there", name.display());
    }
}

/// All files below a folder, in order, without some folders.
fn files(folder: &Path, without: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if without.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() { found.extend(files(&path, without)) } else { found.push(path) }
    }
    found.sort();
    found
}
