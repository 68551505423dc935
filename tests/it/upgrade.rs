//! Upgrades: what an earlier version has written is opened, continued and verified by this build.
//!
//! Each folder of `tests/fixtures/upgrade` was written by one version: a recording with its configuration, tables with an
//! added question and a replay of rejections, an archive, tables of answers, and what the version answered. The next
//! version adds a folder of its own:
//!
//! ```text
//! PINFLOW_WRITE_UPGRADE_FIXTURE=v0.2 cargo test --release --features failpoints --test it upgrade::
//! ```
//!
//! `databases/upgrade.rs` adds dumps of databases to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinflow::dataflows::graph::GraphOptions;
use serde_json::{Value, json};

use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::ledger::{self, TABLES};
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{ProcessOutput, copy_folder, create_temp_dir, emit, last_snapshot, pinflow, succeed, wait_until};

/// Names the folder that is written. Without it, the folders that exist are tested.
const WRITE_VARIABLE: &str = "PINFLOW_WRITE_UPGRADE_FIXTURE";
/// The most bytes of one folder.
const FIXTURE_BYTES_MAX: u64 = 300_000;
/// The keys of the rows that are rejected at first, and replayed.
const REPLAYED_INDS: std::ops::Range<u64> = 9_000..9_003;
/// The streams, and the shares of their lines in the two parts of a recording.
const STREAMS: [&str; 3] = ["pin", "geo", "user"];
/// A question that was added to a run.
const ADDED: (&str, &str) =
    ("pins_of_countries", "SELECT country, count(*) AS pins FROM pin JOIN geo USING (ind) GROUP BY 1 ORDER BY 1\n");
/// The answers of which the fixture has tables: built in, configured, and added.
const ANSWERS: [&str; 3] = ["popular_category_by_country", "pins_by_category", "pins_of_countries"];
/// The routes whose replies keep their fields.
const ROUTES: [&str; 5] =
    ["/status", "/answers", "/answers/popular_category_by_country", "/questions", "/answers/pins_of_countries"];

pub(crate) fn fixtures_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upgrade")
}

/// The configuration of a fixture, with a limit of messages.
fn configuration(message_bytes_max: u32) -> String {
    format!(
        "pipeline = \"posts\"\n\n[[source]]\nkind = \"recording\"\npath = \"posts\"\nfollow = true\n\n\
         [tables]\nurl = \"data\"\ncommit_rows_max = 100\ncommit_age_secs_max = 5\ncompression = \"zstd\"\n\
         compact = true\nkeep_hours = 168\n\n[archive]\nurl = \"archive\"\nflush_records = 60\nrotate_secs = 60\n\
         compression = \"gzip\"\n\n[answers.delta]\nurl = \"answers\"\nchanges = true\nevery_secs = 60\n\n\
         [engine]\nmessage_bytes_max = {message_bytes_max}\ntext_bytes_max = 1024\n\n\
         [questions]\nduplicates = \"latest\"\nties = \"first\"\ntop = 1\n\n[serve]\nlisten = \"127.0.0.1:7461\"\n\
         questions = true\n\n[[question]]\nname = \"pins_by_category\"\n\
         sql = \"SELECT category, count(*) AS pins FROM pin GROUP BY 1 ORDER BY 1\"\n"
    )
}

/// A folder of a fixture, or a copy of one.
pub(crate) struct FixtureFolder {
    path: PathBuf,
    /// The version that wrote it.
    pub(crate) version: String,
}

impl FixtureFolder {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A command with the configuration of the fixture as its last word, in its folder.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = pinflow(words);
        command.arg("posts.toml").current_dir(&self.path);
        command
    }

    /// Reads what there is, and returns the answers.
    fn run(&self) -> ProcessOutput {
        let words = ["run", "--until-caught-up", "--listen", "127.0.0.1:0", "--output", "snapshots"];
        last_snapshot(&succeed(&mut self.command(&words)).stdout)
    }

    fn serve(&self) -> ServingRun {
        let serving = ServingRun::start(&self.path, &self.file("posts.toml"), &[]);
        serving.wait_until_ready();
        wait_until("the added question is live", || {
            let questions = serving.http.json("/questions");
            questions["questions"].as_array().unwrap().iter().all(|question| question["state"] == "live")
        });
        serving
    }

    fn verify_tables(&self) {
        succeed(pinflow(["table", "data", "--verify", "--deep"]).current_dir(&self.path));
    }

    /// Adds the lines of `more` to the recording.
    pub(crate) fn continue_recording(&self) {
        for stream in STREAMS {
            let more = fs::read(self.file(&format!("more/{stream}.jsonl"))).unwrap();
            let path = self.file(&format!("posts/{stream}.jsonl"));
            std::io::Write::write_all(&mut fs::File::options().append(true).open(path).unwrap(), &more).unwrap();
        }
    }

    /// The number of rows of each table.
    fn rows(&self) -> Value {
        TABLES.iter().map(|table| json!([table, ledger::read(&self.file("data").join(table)).rows.len()])).collect()
    }
}

/// The fields of a JSON value: their paths, each with a type.
fn fields_of(value: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(items) => {
                items.iter().for_each(|item| collect(item, &format!("{path}[]"), fields));
                "array"
            }
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| collect(member, &format!("{path}.{name}"), fields));
                "object"
            }
        };
        fields.insert(format!("{path}: {kind}"));
    }
    let mut fields = BTreeSet::new();
    collect(value, "", &mut fields);
    fields
}

/// The fields of the reply of each route.
fn reply_fields(serving: &ServingRun) -> Value {
    ROUTES.iter().map(|route| ((*route).to_owned(), json!(fields_of(&serving.http.json(route))))).collect()
}

/// The fields of a reply that another one does not have, or has with another type.
fn lost_fields(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Vec<String> {
    let paths: BTreeSet<&str> = now.iter().filter_map(|field| Some(field.split_once(": ")?.0)).collect();
    let is_lost = |field: &&String| {
        let (path, kind) = field.split_once(": ").unwrap();
        match kind {
            // It had no value then, and can have any now.
            "null" => !paths.contains(path),
            _ => !now.contains(*field) && !now.contains(&format!("{path}: null")),
        }
    };
    before.iter().filter(is_lost).cloned().collect()
}

/// The size of all files in a folder, and all their bytes searched for a text.
fn folder_bytes(folder: &Path, unwanted: &str) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let bytes = entries.map(|path| {
        if path.is_dir() {
            return folder_bytes(&path, unwanted);
        }
        let bytes = fs::read(&path).unwrap();
        assert!(memchr::memmem::find(&bytes, unwanted.as_bytes()).is_none(), "{} names {unwanted}", path.display());
        bytes.len() as u64
    });
    bytes.sum()
}

/// Generates the posts: three quarters in `posts`, the others in `more`.
fn write_posts(fixture: &FixtureFolder) {
    let whole = create_temp_dir();
    emit(whole.path(), 30, 60, 23, &["--malformed", "0.05"]);
    for folder in ["posts", "more"] {
        fs::create_dir_all(fixture.file(folder)).unwrap();
    }
    for stream in STREAMS {
        let text = fs::read_to_string(whole.path().join(format!("{stream}.jsonl"))).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (first, rest) = lines.split_at(lines.len() * 3 / 4);
        let replayed = REPLAYED_INDS.map(|ind| match stream {
            "pin" => format!("{{\"index\":{ind},\"category\":\"replayed\",\"title\":\"{}\"}}\n", "t".repeat(6_000)),
            "geo" => format!("{{\"ind\":{ind},\"country\":\"Chad\"}}\n"),
            _ => format!("{{\"ind\":{ind},\"age\":30,\"date_joined\":\"2017-01-02 03:04:05\"}}\n"),
        });
        let first: String = first.iter().map(|line| (*line).to_owned()).chain(replayed).collect();
        fs::write(fixture.file(&format!("posts/{stream}.jsonl")), first).unwrap();
        fs::write(fixture.file(&format!("more/{stream}.jsonl")), rest.concat()).unwrap();
    }
}

/// Writes the folder of a version with this build.
fn write_fixture(version: &str) {
    let place = create_temp_dir();
    let fixture = FixtureFolder { path: place.path().join("fixture"), version: version.to_owned() };
    write_posts(&fixture);
    fs::create_dir(fixture.file("configurations")).unwrap();
    for kind in ["recording", "kafka", "msk", "kinesis", "gateway"] {
        let path = fixture.file(&format!("configurations/{kind}.toml"));
        succeed(pinflow(["init", kind, "--to"]).arg(path));
    }
    fs::write(fixture.file("posts.toml"), configuration(4_000)).unwrap();
    fixture.run();
    let question = fixture.file("pins_of_countries.sql");
    fs::write(&question, ADDED.1).unwrap();
    let serving = fixture.serve();
    succeed(pinflow(["question", "add", "--at", &serving.http.address.to_string()]).arg(question));
    wait_until("the added question is live", || {
        serving.http.get("/answers/pins_of_countries").status == 200
            && serving.http.json("/questions/pins_of_countries")["questions"][0]["state"] != "filling"
    });
    serving.stop();
    fs::remove_file(fixture.file("log")).unwrap();
    fs::write(fixture.file("posts.toml"), configuration(100_000)).unwrap();
    succeed(&mut fixture.command(&["rejected", "replay"]));
    succeed(pinflow(["table", "data", "optimize"]).current_dir(&fixture.path));
    let answers = fixture.run().answers;
    let expected = json!({ "answers": answers, "rows": fixture.rows() });
    fs::write(fixture.file("expected.json"), serde_json::to_string_pretty(&expected).unwrap() + "\n").unwrap();
    let serving = fixture.serve();
    let fields = reply_fields(&serving);
    serving.stop();
    fs::remove_file(fixture.file("log")).unwrap();
    fs::write(fixture.file("http.json"), serde_json::to_string_pretty(&fields).unwrap() + "\n").unwrap();
    keep_some_answers(&fixture.file("answers"));
    let bytes = folder_bytes(&fixture.path, place.path().to_str().unwrap());
    assert!(bytes <= FIXTURE_BYTES_MAX, "{bytes} bytes are too many for a repository");
    let to = fixtures_root().join(version);
    assert!(!to.exists(), "{} exists: a version is written once", to.display());
    copy_folder(&fixture.path, &to);
}

/// Removes the tables of most answers: they are alike, and a run creates them again.
fn keep_some_answers(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !ANSWERS.contains(&name.strip_suffix("_changes").unwrap_or(name)) {
            fs::remove_dir_all(&path).unwrap();
        }
    }
}

/// Copies of all folders, each in a folder of its own.
pub(crate) fn copied_fixtures() -> Vec<(tempfile::TempDir, FixtureFolder)> {
    if let Some(version) = std::env::var_os(WRITE_VARIABLE) {
        static WRITTEN: std::sync::Once = std::sync::Once::new();
        WRITTEN.call_once(|| write_fixture(version.to_str().unwrap()));
    }
    let folders = fs::read_dir(fixtures_root()).unwrap().map(|entry| entry.unwrap().path());
    let copies: Vec<_> = folders
        .map(|folder| {
            let place = create_temp_dir();
            let path = place.path().join("copy");
            copy_folder(&folder, &path);
            let version = folder.file_name().unwrap().to_str().unwrap().to_owned();
            (place, FixtureFolder { path, version })
        })
        .collect();
    assert!(!copies.is_empty());
    copies
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn tables_and_answers_of_earlier_versions_are_opened_continued_and_verified() {
    for (_place, fixture) in copied_fixtures() {
        let expected = read_json(&fixture.file("expected.json"));
        fixture.verify_tables();
        assert_eq!(fixture.rows(), expected["rows"]);
        // Nothing is new: nothing is read again, and the answers are those that the version gave.
        assert_eq!(json!(fixture.run().answers), expected["answers"]);
        assert_eq!(fixture.rows(), expected["rows"]);
        fixture.continue_recording();
        let continued = fixture.run();
        assert_ne!(json!(continued.answers), expected["answers"]);
        fixture.verify_tables();
        assert_answers_equal_batch(&fixture.file("data"), GraphOptions::default(), &continued);
        assert!(!continued.answers["pins_of_countries"].is_empty(), "the added question is answered");
        let serving = fixture.serve();
        succeed(pinflow(["verify", "--at"]).arg(serving.http.address.to_string()));
        serving.stop();
        // The tables of answers go on: their rows are those of the answers.
        for name in ANSWERS {
            let rows = ledger::read(&fixture.file("answers").join(name)).rows.len();
            assert_eq!(rows, continued.answers[name].len(), "{name}");
        }
    }
}

#[test]
fn rejections_that_an_earlier_version_has_replayed_are_not_replayed_again() {
    for (_place, fixture) in copied_fixtures() {
        let output = succeed(&mut fixture.command(&["rejected", "replay"]));
        let text = String::from_utf8(output.stdout).unwrap();
        let replayed = REPLAYED_INDS.count();
        assert!(text.contains(" 0  accepted now"), "{text}");
        assert!(text.contains(&format!(" {replayed}  chosen by an earlier replay")), "{text}");
        assert_eq!(fixture.rows(), read_json(&fixture.file("expected.json"))["rows"]);
    }
}

#[test]
fn archives_of_earlier_versions_are_continued_and_replay_to_the_same_answers() {
    for (_place, fixture) in copied_fixtures() {
        let replay = |fixture: &FixtureFolder| {
            let text = configuration(100_000).replace("path = \"posts\"", "path = \"archive\"");
            let (_, questions) = text.split_once("[engine]").unwrap();
            let config = fixture.file("archived.toml");
            fs::write(&config, format!("[[source]]\nkind = \"recording\"\npath = \"archive\"\n[engine]{questions}"))
                .unwrap();
            let words = ["run", "--until-caught-up", "--listen", "127.0.0.1:0", "--output", "snapshots"];
            last_snapshot(&succeed(pinflow(words).arg(config)).stdout).answers
        };
        let answers = |answers: Value| {
            let mut answers = answers.as_object().unwrap().clone();
            // It was added to the run that wrote the archive.
            answers.remove("pins_of_countries");
            Value::Object(answers)
        };
        let expected = read_json(&fixture.file("expected.json"));
        assert_eq!(json!(replay(&fixture)), answers(expected["answers"].clone()));
        fixture.continue_recording();
        let continued = fixture.run();
        assert_eq!(json!(replay(&fixture)), answers(json!(continued.answers)));
    }
}

#[test]
fn configurations_of_earlier_versions_are_accepted() {
    for (_place, fixture) in copied_fixtures() {
        let mut paths = vec![fixture.file("posts.toml")];
        paths.extend(fs::read_dir(fixture.file("configurations")).unwrap().map(|entry| entry.unwrap().path()));
        assert!(paths.len() > 5, "{paths:?}");
        for path in paths {
            let mut command = pinflow(["check", "--listen", "127.0.0.1:0"]);
            let checked = command.arg(&path).env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
            let text = String::from_utf8_lossy(&checked.stderr);
            // Nothing can be reached, but nothing is wrong with the file: 1 and not 2.
            assert_ne!(checked.status.code(), Some(2), "{}: {text}", path.display());
        }
    }
}

#[test]
fn replies_over_http_keep_the_fields_that_earlier_versions_gave() {
    for (_place, fixture) in copied_fixtures() {
        let serving = fixture.serve();
        for (route, fields) in read_json(&fixture.file("http.json")).as_object().unwrap() {
            let before = serde_json::from_value(fields.clone()).unwrap();
            assert_eq!(lost_fields(&before, &fields_of(&serving.http.json(route))), [""; 0], "{route}");
        }
        serving.stop();
    }
}

#[test]
fn lost_field_and_changed_type_are_noticed() {
    let before = fields_of(&json!({ "a": 1, "b": [{ "c": "x" }, { "d": null }] }));
    let lost = |now: Value| lost_fields(&before, &fields_of(&now));
    assert_eq!(lost(json!({ "a": 2, "b": [{ "c": "y", "d": 5 }], "more": true })), [""; 0]);
    assert_eq!(lost(json!({ "a": null, "b": [{ "c": "y", "d": 5 }] })), [""; 0]);
    assert_eq!(lost(json!({ "a": "2", "b": [{ "c": "y" }] })), [".a: number", ".b[].d: null"]);
}
