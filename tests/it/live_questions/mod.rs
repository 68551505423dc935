//! Questions that are added, replaced and dropped while a run goes on, over the real program: CLI, HTTP, store, restarts.

mod access;
mod crashes;
mod limits;
mod outputs;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, pinflow, succeed, wait_until};

/// The streams of a recording.
const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// A followed recording whose lines arrive in two parts, and a folder for its tables.
pub(super) struct Site {
    pub(super) folder: tempfile::TempDir,
    /// The lines of each stream that have not arrived yet.
    later: [String; 3],
    lines: u64,
}

impl Site {
    /// A recording of `count` draws from `inds` posts, of which a part has arrived.
    pub(super) fn new(inds: u32, count: u32) -> Site {
        let folder = create_temp_dir();
        emit(&folder.path().join("all"), inds, count, 23, &[]);
        fs::create_dir(folder.path().join("posts")).unwrap();
        let mut later = STREAMS.map(|_| String::new());
        let mut lines = 0;
        for (stream, rest) in STREAMS.iter().zip(&mut later) {
            let text = fs::read_to_string(folder.path().join(format!("all/{stream}.jsonl"))).unwrap();
            let all: Vec<&str> = text.split_inclusive('\n').collect();
            let (first, second) = all.split_at(all.len() * 2 / 3);
            fs::write(folder.path().join(format!("posts/{stream}.jsonl")), first.concat()).unwrap();
            *rest = second.concat();
            lines += all.len() as u64;
        }
        Site { folder, later, lines }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration: tables with small windows, changes of questions allowed, and further lines.
    pub(super) fn configure(&self, more: &str) -> PathBuf {
        let tables = "[tables]\nurl = \"data\"\ncommit_age_secs_max = 0.2\n";
        let serve = "[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true\n";
        configure_followed_recording(self.path(), &self.path().join("posts"), &format!("{tables}{serve}{more}"))
    }

    /// The number of lines that have arrived.
    pub(super) fn arrived(&self) -> u64 {
        self.lines - self.later.iter().map(|text| text.lines().count() as u64).sum::<u64>()
    }

    /// Lets this many of the remaining lines of each stream arrive.
    pub(super) fn append(&mut self, lines: usize) {
        for (stream, rest) in STREAMS.iter().zip(&mut self.later) {
            let cut = rest.match_indices('\n').nth(lines - 1).map_or(rest.len(), |(at, _)| at + 1);
            let path = self.folder.path().join(format!("posts/{stream}.jsonl"));
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(rest.drain(..cut).as_str().as_bytes()).unwrap();
        }
    }

    /// Writes a question's text, and returns its file.
    pub(super) fn write_sql(&self, name: &str, sql: &str) -> PathBuf {
        let path = self.path().join(format!("{name}.sql"));
        fs::write(&path, sql).unwrap();
        path
    }

    /// The rows that `question try` gives over the tables.
    pub(super) fn tried_rows(&self, sql: &str, duplicates: &str) -> Value {
        let file = self.write_sql("tried", sql);
        let mut command =
            pinflow(["question", "try", "--tables", "data", "--format", "json", "--duplicates", duplicates]);
        let output = succeed(command.arg(file).current_dir(self.path()));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["rows"].clone()
    }
}

/// Runs `pinflow question` against a run. Returns its exit code, stdout and stderr.
pub(super) fn question(serving: &ServingRun, arguments: &[&str]) -> (i32, String, String) {
    let mut command = pinflow(["question"]);
    command.args(arguments).args(["--at", &serving.http.address.to_string()]);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs `pinflow question`, which must succeed.
pub(super) fn question_succeeds(serving: &ServingRun, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = question(serving, arguments);
    assert_eq!(code, 0, "{arguments:?}: {stderr}\n{}", serving.log());
    stdout
}

/// The questions of a name, as `/questions` lists them.
pub(super) fn listed(serving: &ServingRun, name: &str) -> Vec<Value> {
    let all = serving.http.json("/questions");
    all["questions"].as_array().unwrap().iter().filter(|of| of["name"] == name).cloned().collect()
}

/// Waits until everything that has arrived is read and committed.
pub(super) fn wait_until_durable(serving: &ServingRun, lines: u64) {
    serving.wait_until_ready();
    wait_until("all is read and committed", || {
        let status = serving.http.json("/status");
        let rows: u64 = status["tables"].as_array().unwrap().iter().map(|table| table["rows"].as_u64().unwrap()).sum();
        status["all_time"]["read"] == lines && rows >= lines
    });
}

/// Questions about held columns, about columns that are read from the tables, with windows, and of rows.
pub(super) const QUESTIONS: [(&str, &str); 5] = [
    (
        "by_category",
        "SELECT category, count(*) AS pins, avg(follower_count) AS mean, median(follower_count) AS middle FROM pin \
         GROUP BY category ORDER BY pins DESC",
    ),
    ("titles", "SELECT length(title) AS letters, count(*) AS pins, min(title) AS first FROM pin GROUP BY 1 ORDER BY 1"),
    (
        "places",
        "SELECT country, category, count(*) AS n, row_number() OVER (PARTITION BY country ORDER BY count(*) DESC, \
         category) AS place FROM pin JOIN geo USING (ind) GROUP BY 1, 2 QUALIFY place <= 2 ORDER BY 1, 4",
    ),
    (
        "latest",
        "SELECT timestamp, country, title, user_name FROM pin JOIN geo USING (ind) JOIN user USING (ind) \
         ORDER BY timestamp DESC LIMIT 7",
    ),
    (
        "tags",
        "SELECT tag, count(*) AS n FROM (SELECT trim(unnest(string_split(tag_list, ','))) AS tag FROM pin) \
         GROUP BY tag ORDER BY n DESC LIMIT 10",
    ),
];

#[test]
fn added_questions_equal_their_batch_answers_mid_stream_and_after_a_restart() {
    for duplicates in ["latest", "keep"] {
        let mut site = Site::new(2_000, 6_000);
        let config = site.configure(&format!("[questions]\nduplicates = \"{duplicates}\"\n"));
        let serving = ServingRun::start(site.path(), &config, &[]);
        wait_until_durable(&serving, site.arrived());
        for (name, sql) in QUESTIONS {
            // Rows arrive before, while and after each question fills.
            site.append(100);
            let file = site.write_sql(name, sql);
            let printed = question_succeeds(&serving, &["add", file.to_str().unwrap()]);
            assert!(printed.contains(&format!("question `{name}` is answered since epoch")), "{printed}");
            site.append(100);
            let body = &listed(&serving, name)[0];
            let shown = json!([body["origin"], body["state"], body["progress"], body["replaces"], body["editable"]]);
            assert_eq!(shown, json!(["added", "live", null, false, true]));
            assert_eq!(body["sql"], sql);
        }
        site.append(usize::MAX);
        wait_until_durable(&serving, site.lines);
        let check_answers = |serving: &ServingRun, what: &str| {
            for (name, sql) in QUESTIONS {
                let answer = serving.http.json(&format!("/answers/{name}"));
                assert!(!answer["rows"].as_array().unwrap().is_empty(), "{name} has no rows");
                assert_eq!(answer["rows"], site.tried_rows(sql, duplicates), "{name} {duplicates} {what}");
                let stored = fs::read_to_string(site.path().join(format!("data/questions/{name}.sql"))).unwrap();
                assert_eq!(stored, format!("-- pinflow question, version 1\n{sql}"));
            }
        };
        check_answers(&serving, "mid-stream");
        serving.stop();
        let again = ServingRun::start(site.path(), &config, &[]);
        wait_until_durable(&again, site.lines);
        check_answers(&again, "after a restart");
        assert_eq!(listed(&again, "titles")[0]["since_epoch"], Value::Null);
        let dropped = question_succeeds(&again, &["drop", "titles"]);
        assert_eq!(dropped, "question `titles` is dropped\n");
        wait_until("it is gone", || again.http.get("/answers/titles").status == 404);
        assert!(!site.path().join("data/questions/titles.sql").exists());
        again.stop();
        // What is dropped stays dropped.
        let last = ServingRun::start(site.path(), &config, &[]);
        wait_until("it answers", || last.http.get("/answers/latest").status == 200);
        assert_eq!(last.http.get("/answers/titles").status, 404);
        last.stop();
    }
}

#[test]
fn stored_question_that_cannot_be_answered_is_listed_and_stops_nothing() {
    let site = Site::new(100, 300);
    let stored = site.path().join("data/questions");
    fs::create_dir_all(&stored).unwrap();
    let sql = "SELECT count(*) AS pins FROM pin";
    for (name, text) in
        [("broken", "SELECT nothing FROM pin"), ("mine", sql), ("users_joined_by_year", sql), ("good", sql)]
    {
        fs::write(stored.join(format!("{name}.sql")), text).unwrap();
    }
    let config = site.configure(&format!("[[question]]\nname = \"mine\"\nsql = \"{sql}\"\n"));
    let serving = ServingRun::start(site.path(), &config, &[]);
    wait_until_durable(&serving, site.arrived());
    let states = |name: &str| -> Vec<Value> {
        listed(&serving, name).iter().map(|of| json!([of["origin"], of["state"]])).collect()
    };
    assert_eq!(states("good"), [json!(["added", "live"])]);
    assert_eq!(states("mine"), [json!(["configured", "live"]), json!(["added", "invalid"])]);
    assert_eq!(states("users_joined_by_year"), [json!(["builtin", "live"]), json!(["added", "invalid"])]);
    assert_eq!(states("broken"), [json!(["added", "invalid"])]);
    let reason = |name: &str| listed(&serving, name).pop().unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason("broken").contains("there is no column `nothing`"), "{}", reason("broken"));
    assert!(reason("mine").contains("[[question]] of the configuration"), "{}", reason("mine"));
    assert_eq!(serving.http.get("/answers/broken").status, 404);
    // It is in the way of a new one of its name, can be replaced, and dropped.
    let file = site.write_sql("broken", sql);
    let (code, _, stderr) = question(&serving, &["add", file.to_str().unwrap()]);
    assert!(code == 1 && stderr.contains("already"), "{stderr}");
    question_succeeds(&serving, &["replace", file.to_str().unwrap()]);
    assert_eq!(states("broken"), [json!(["added", "live"])]);
    question_succeeds(&serving, &["drop", "broken"]);
    wait_until("it is gone", || listed(&serving, "broken").is_empty());
    serving.stop();
    let checked = pinflow(["check"]).arg(&config).output().unwrap();
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(printed.contains("added question `mine`: a [[question]] of the configuration"), "{printed}");
}
