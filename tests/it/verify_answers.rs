//! `pinflow verify`: the durable answers of a run against its tables.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow, succeed, wait_until};

use crate::live_questions::{Site, wait_until_durable};

/// Verifies a run. Returns the exit code, the report, and stderr.
fn verify(serving: &ServingRun, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = pinflow(["verify", "--format", "json", "--at", &serving.http.address.to_string()]);
    let output = command.args(arguments).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), report, String::from_utf8(output.stderr).unwrap())
}

/// The entry of an answer in a report.
fn verdict<'a>(report: &'a Value, answer: &str) -> &'a Value {
    report["answers"].as_array().unwrap().iter().find(|of| of["answer"] == answer).unwrap()
}

/// Rows with all values, a ranking with windows, and an aggregate over a column that the graph does not hold.
const OWN_QUESTIONS: [(&str, &str); 3] = [
    ("every_pin", "SELECT ind, category, title, follower_count FROM pin ORDER BY ind"),
    (
        "places",
        "SELECT country, category, count(*) AS n, row_number() OVER (PARTITION BY country ORDER BY count(*) DESC, \
         category) AS place FROM pin JOIN geo USING (ind) GROUP BY 1, 2 QUALIFY place <= 2 ORDER BY 1, 4",
    ),
    ("letters", "SELECT length(title) AS letters, avg(follower_count) AS mean FROM pin GROUP BY 1 ORDER BY 1"),
];

/// The tables of the configuration for [`OWN_QUESTIONS`], with these duplicates.
fn own_questions(duplicates: &str) -> String {
    let questions = OWN_QUESTIONS.map(|(name, sql)| format!("[[question]]\nname = {name:?}\nsql = {sql:?}\n"));
    format!("[questions]\nduplicates = {duplicates:?}\n{}", questions.concat())
}

#[test]
fn durable_answers_equal_the_tables_at_their_epoch_while_rows_arrive() {
    for duplicates in ["latest", "keep"] {
        let mut site = Site::new(1_000, 6_000);
        let config = site.configure(&own_questions(duplicates));
        let serving = ServingRun::start(site.path(), &config, &[]);
        wait_until_durable(&serving, site.arrived());
        let added = site.write_sql("added", "SELECT country, count(*) AS n FROM geo GROUP BY 1 ORDER BY 1");
        succeed(pinflow(["question", "add", "--at", &serving.http.address.to_string()]).arg(added));
        let mut epochs = Vec::new();
        for _ in 0..6 {
            // These rows are read and committed while the answers are verified.
            site.append(200);
            let (code, report, stderr) = verify(&serving, &[]);
            assert_eq!((code, &report["different"]), (0, &json!(0)), "{duplicates}: {report:#}\n{stderr}");
            assert!(report["equal"].as_u64().unwrap() >= 14, "{report:#}");
            assert!(report["rows_read"].as_u64().unwrap() > 0 && report["seconds"].as_f64().unwrap() > 0.0);
            epochs.push(report["epoch"].as_u64().unwrap());
        }
        assert!(epochs.is_sorted() && epochs.first() < epochs.last(), "{epochs:?}");
        wait_until("the added question is verified, too", || {
            let (code, report, stderr) = verify(&serving, &["added"]);
            assert!(code == 0 || code == 3, "{report:#}\n{stderr}");
            code == 0 && verdict(&report, "added")["result"] == "equal"
        });
        serving.stop();
    }
}

/// Replaces the category of the first row in a data file. Returns the key of the row and its former category.
fn change_one_category(file: &Path) -> (i64, String) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let first = &batches[0];
    let (at, _) = first.schema().column_with_name("category").unwrap();
    let categories = first.column(at).as_string::<i32>();
    let former = categories.iter().next().unwrap().unwrap_or_default().to_owned();
    let changed: StringArray = std::iter::once(Some("changed by hand")).chain(categories.iter().skip(1)).collect();
    let mut columns = first.columns().to_vec();
    columns[at] = Arc::new(changed) as ArrayRef;
    let changed = RecordBatch::try_new(first.schema(), columns).unwrap();
    let ind = first.column_by_name("ind").unwrap().as_primitive::<deltalake::arrow::datatypes::Int64Type>().value(0);
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), first.schema(), None).unwrap();
    writer.write(&changed).unwrap();
    batches[1..].iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    (ind, former)
}

fn data_files(table: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(table).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

#[test]
fn exactly_the_row_that_was_changed_by_hand_is_reported() {
    let site = Site::new(200, 300);
    // Every row counts, so that the changed one does.
    let config = site.configure(&own_questions("keep"));
    let serving = ServingRun::start(site.path(), &config, &[]);
    wait_until_durable(&serving, site.arrived());
    wait_until("the durable answers have all rows", || {
        let answer = serving.http.json("/answers/every_pin?read=durable");
        answer["rows"].as_array().unwrap().len() as u64 == site.arrived() / 3
    });
    assert_eq!(serving.http.json("/status")["verification"], Value::Null);
    let (code, report, stderr) = verify(&serving, &[]);
    assert_eq!(code, 0, "{report:#}\n{stderr}");
    let shown = serving.http.json("/status")["verification"].clone();
    for field in ["epoch", "as_of", "rows_read", "seconds", "equal", "different", "skipped"] {
        assert_eq!(shown[field], report[field], "{field}");
    }
    let (ind, former) = change_one_category(&data_files(&site.path().join("data/pin"))[0]);
    let (code, report, stderr) = verify(&serving, &[]);
    assert_eq!(code, 1, "{report:#}\n{stderr}");
    let found = verdict(&report, "every_pin");
    assert_eq!(json!([found["result"], found["missing"], found["extra"]]), json!(["different", 1, 1]));
    let (computed, shown) = (&found["first_missing"][0], &found["first_extra"][0]);
    assert_eq!(json!([computed["ind"], computed["category"]]), json!([ind, "changed by hand"]));
    assert_eq!(shown["ind"], ind);
    assert_eq!(shown["category"].as_str().unwrap_or_default(), former);
    // Questions that do not read the column are right.
    let shown = serving.http.json("/status")["verification"].clone();
    let named: Vec<_> = shown["different_answers"].as_array().unwrap().iter().map(|of| of.as_str().unwrap()).collect();
    assert!(named.contains(&"every_pin") && shown["different"] == named.len(), "{shown}");
    for listed in serving.http.json("/questions")["questions"].as_array().unwrap() {
        let (name, sql) = (listed["name"].as_str().unwrap(), listed["sql"].as_str().unwrap());
        assert!(sql.contains("category") || !named.contains(&name), "{name} does not read the column");
    }
    let metrics = serving.http.get("/metrics").text().to_owned();
    let counted = format!("pinflow_verification_answers{{result=\"different\"}} {}\n", named.len());
    assert!(metrics.contains(&counted), "{counted} is not in:\n{metrics}");
    assert_eq!(verdict(&report, "letters")["result"], "equal");
    assert_eq!(verdict(&report, "users_joined_by_year")["result"], "equal");
    // A result that is not to be shown leaves the last one in place.
    let mut command = pinflow(["verify", "every_pin", "--no-report", "--at", &serving.http.address.to_string()]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for part in ["every_pin  DIFFERENT", "only from the tables", "changed by hand", "0 equal, 1 different, 0 skipped"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(serving.http.json("/status")["verification"], shown);
    serving.stop();
}

#[test]
fn result_is_shown_only_with_the_admin_token_and_only_if_it_is_about_this_run() {
    let site = Site::new(100, 200);
    let text = fs::read_to_string(site.configure("")).unwrap();
    let guarded = site.path().join("guarded.toml");
    let tokens = "questions = true\ntokens = { read = \"env:READ\", admin = \"env:ADMIN\" }";
    fs::write(&guarded, text.replace("questions = true", tokens)).unwrap();
    let serving = ServingRun::start_with(site.path(), &guarded, &[], &[("READ", "r-token"), ("ADMIN", "a-token")]);
    let headers = [("authorization", "Bearer a-token")];
    let status = || serving.http.get_with_headers("/status", &headers);
    wait_until("all is committed", || {
        let reply = status();
        reply.status == 200 && reply.json()["durable_epoch"].as_u64() > Some(0) && {
            let tables = reply.json()["tables"].clone();
            tables.as_array().unwrap().iter().map(|table| table["rows"].as_u64().unwrap()).sum::<u64>()
                >= site.arrived()
        }
    });
    let verify_as = |token: &str| {
        let mut command = pinflow(["verify", "--at", &serving.http.address.to_string()]);
        let output = command.env("PINFLOW_TOKEN", token).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // A reader verifies, and cannot say so in the run's name.
    let (code, stderr) = verify_as("r-token");
    assert!(code == Some(0) && stderr.contains("needs the admin token"), "{code:?}: {stderr}");
    assert_eq!(status().json()["verification"], Value::Null);
    let (code, stderr) = verify_as("a-token");
    assert!(code == Some(0) && !stderr.contains("admin token"), "{code:?}: {stderr}");
    let (shown, started_at) = (status().json()["verification"].clone(), status().json()["started_at"].clone());
    assert_eq!(shown["equal"], 11);
    let forged = |started_at: &Value, epoch: u64| {
        let answers = json!([{ "answer": "users_joined_by_year", "result": "different" }]);
        let result = json!({
            "started_at": started_at, "epoch": epoch, "as_of": shown["as_of"], "rows_read": 1, "seconds": 1, "answers": answers
        });
        result.to_string().into_bytes()
    };
    let epoch = shown["epoch"].as_u64().unwrap();
    let post = |headers: &[(&str, &str)], body: &[u8]| serving.http.send("POST", "/verification", headers, body).status;
    let right = forged(&started_at, epoch);
    assert_eq!(post(&[], &right), 401);
    assert_eq!(post(&[("authorization", "Bearer r-token")], &right), 403);
    assert_eq!(post(&[headers[0], ("origin", "http://evil.test")], &right), 403);
    assert_eq!(post(&headers, &forged(&json!("2026-01-01T00:00:00Z"), epoch)), 409);
    assert_eq!(post(&headers, &forged(&started_at, epoch + 1_000_000)), 409);
    assert_eq!(post(&headers, b"{}"), 400);
    assert_eq!(post(&headers, &vec![b' '; (256 << 10) + 1]), 413);
    assert_eq!(status().json()["verification"], shown, "nothing was changed");
    assert_eq!(post(&headers, &right), 200);
    assert_eq!(status().json()["verification"]["different_answers"], json!(["users_joined_by_year"]));
    serving.stop();
}

#[test]
fn stopped_question_is_skipped_with_its_reason() {
    let site = Site::new(200, 300);
    let over = "[[question]]\nname = \"over\"\nsql = \"SELECT ind, count(*) AS n FROM pin GROUP BY 1\"\n";
    let config = site.configure(&format!("[questions]\ngroups_max = 20\n{over}"));
    let serving = ServingRun::start(site.path(), &config, &[]);
    wait_until_durable(&serving, site.arrived());
    wait_until("it is stopped and its answer is gone", || serving.http.get("/answers/over?read=durable").status == 404);
    let (code, report, stderr) = verify(&serving, &[]);
    assert_eq!((code, &report["equal"], &report["skipped"]), (0, &json!(11), &json!(1)), "{report:#}\n{stderr}");
    let skipped = verdict(&report, "over");
    assert_eq!(skipped["result"], "skipped");
    assert!(skipped["reason"].as_str().unwrap().contains("groups_max"), "{skipped}");
    let (code, _, stderr) = verify(&serving, &["over"]);
    assert!(code == 3 && stderr.contains("no answer was compared"), "{code}: {stderr}");
    serving.stop();
}

#[test]
fn answers_that_cannot_be_compared_exit_with_2_or_3_and_say_why() {
    let site = Site::new(100, 200);
    let serving = ServingRun::start(site.path(), &site.configure(""), &[]);
    wait_until_durable(&serving, site.arrived());
    let (code, _, stderr) = verify(&serving, &["no_such_answer"]);
    assert!(code == 2 && stderr.contains("no answer `no_such_answer`"), "{code}: {stderr}");
    let (code, _, stderr) = verify(&serving, &["--tables", "nowhere"]);
    assert!(code == 2 && stderr.contains("nowhere"), "{code}: {stderr}");
    let others = site.path().join("others");
    fs::write(site.path().join("others.toml"), format!(
        "pipeline = \"others\"\n[[source]]\nkind = \"recording\"\npath = \"posts\"\n[tables]\nurl = {:?}\n[engine]\nepoch_ms = 1\n",
        others.display().to_string()
    ))
    .unwrap();
    succeed(pinflow(["run", "others.toml", "--output", "none"]).current_dir(site.path()));
    let (code, _, stderr) = verify(&serving, &["--tables", others.to_str().unwrap()]);
    assert!(code == 2 && stderr.contains("belongs to pipeline `others`"), "{code}: {stderr}");
    serving.stop();
    let place = create_temp_dir();
    emit(&place.path().join("posts"), 20, 20, 3, &[]);
    let config = configure_followed_recording(place.path(), &place.path().join("posts"), "");
    let without = ServingRun::start(place.path(), &config, &[]);
    without.wait_until_ready();
    let (code, _, stderr) = verify(&without, &[]);
    assert!(code == 2 && stderr.contains("writes no tables"), "{code}: {stderr}");
    let address = without.http.address.to_string();
    without.stop();
    let gone = pinflow(["verify", "--at", &address]).output().unwrap();
    let stderr = String::from_utf8(gone.stderr).unwrap();
    assert!(gone.status.code() == Some(3) && stderr.contains("does a run serve there"), "{stderr}");
}

/// The next position of each table that has the partition.
fn stored_positions(tables: &Path) -> Vec<(String, u64)> {
    let output = succeed(pinflow(["table", "--format", "json"]).arg(tables));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tables = shown["tables"].as_array().unwrap().iter();
    tables
        .filter_map(|table| Some((table["table"].as_str()?.to_owned(), table["positions"][0]["next"].as_u64()?)))
        .collect()
}

#[test]
fn rows_beyond_the_position_of_a_restart_are_part_of_its_answers() {
    let place = create_temp_dir();
    emit(&place.path().join("all"), 300, 600, 41, &[]);
    // One file with the lines of all streams: its rows go to three tables, which are committed one by one.
    let mut lines = Vec::new();
    for stream in ["pin", "geo", "user"] {
        let text = fs::read_to_string(place.path().join(format!("all/{stream}.jsonl"))).unwrap();
        lines.extend(text.lines().enumerate().map(|(number, line)| (number, line.to_owned())));
    }
    lines.sort_by_key(|(number, _)| *number);
    let text: String = lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
    fs::write(place.path().join("mixed.jsonl"), text).unwrap();
    let configure = |name: &str, more: &str| {
        let path = place.path().join(name);
        let source = "[[source]]\nkind = \"recording\"\npath = \"mixed.jsonl\"\nstream = \"auto\"\nfollow = true\nrate_per_sec = 2000\n";
        fs::write(
            &path,
            format!("{source}[tables]\nurl = \"data\"\n{more}[engine]\nepoch_ms = 1\nepoch_bytes_max = 1024\n"),
        )
        .unwrap();
        path
    };
    let config = configure("small.toml", "commit_rows_max = 100\ncommit_age_secs_max = 0.05\n");
    // The process dies when geo is committed, and pin of the same window is not.
    let mut command = pinflow(["run", "--output", "none"]);
    command.arg(config).env(
        "FAILPOINTS",
        "delta::pin::before_commit=2*off->1*sleep(5000);delta::geo::after_commit=2*off->1*return(abort)",
    );
    let mut running = RunningProcess::start(command.stderr(std::process::Stdio::null()));
    assert_eq!(running.wait().code(), None, "it was aborted");
    let positions = stored_positions(&place.path().join("data"));
    let of = |table: &str| positions.iter().find(|(name, _)| name == table).unwrap().1;
    assert!(of("geo") > of("pin"), "{positions:?}");
    // Nothing is committed for long after the restart: the answers are those of the rows that were read back.
    let config = configure("slow.toml", "commit_age_secs_max = 3600\n");
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_ready();
    let (code, report, stderr) = verify(&serving, &[]);
    assert_eq!((code, &report["equal"]), (0, &json!(11)), "{report:#}\n{stderr}");
    assert!(report["rows_read"].as_u64().unwrap() > 0);
    serving.stop();
}
