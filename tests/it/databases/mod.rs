//! The answers as tables of real databases that the tests start.
//!
//! `PINFLOW_SKIP_POSTGRES=1` skips those of PostgreSQL (`tests/postgres/setup.sh`), `PINFLOW_SKIP_MYSQL=1` those of
//! MariaDB. Otherwise a server that cannot be
//! started is a failure.

mod change_log;
mod crashes;
mod cuts;
mod mysql;
mod mysql_outages;
mod outages;
mod questions;
mod tampering;
mod tls;
mod tools;
mod upgrade;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::questions::QuestionSet;
use pinflow_testkit::postgres::{POSTGRES_PASSWORD, PostgresDatabase};
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{ProcessOutput, create_temp_dir, emit, last_snapshot, pinflow, succeed, wait_until};
use serde_json::Value;

/// Whether the tests with PostgreSQL are to be left out. Says so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn skips_postgres() -> bool {
    let skips = std::env::var_os("PINFLOW_SKIP_POSTGRES").is_some_and(|skip| skip == "1");
    if skips {
        eprintln!("PINFLOW_SKIP_POSTGRES=1: no PostgreSQL is started, nothing of it is tested");
    }
    skips
}

/// The variable that the configurations name for the password.
const PASSWORD_VARIABLE: &str = "PINFLOW_TEST_DATABASE_PASSWORD";

/// A row in a form that does not depend on how numbers are written.
fn comparable_row(row: &Value) -> String {
    let cell = |cell: &Value| cell.as_f64().map_or_else(|| cell.to_string(), |number| number.to_string());
    let cells = row.as_object().unwrap().iter().map(|(name, value)| (name.clone(), cell(value)));
    format!("{:?}", cells.collect::<BTreeMap<_, _>>())
}

/// The rows of an answer, each with how often it is there.
type ComparableRows = BTreeMap<String, i64>;

fn comparable_rows<'a>(rows: impl IntoIterator<Item = &'a Value>) -> ComparableRows {
    let mut counts = ComparableRows::new();
    for row in rows {
        *counts.entry(comparable_row(row)).or_default() += 1;
    }
    counts
}

/// What a database shows at one moment.
#[derive(Debug, Clone, PartialEq)]
struct ShownCut {
    epoch: u64,
    is_durable: bool,
    answers: BTreeMap<String, ComparableRows>,
    /// The sums of the tables of changes.
    sums: BTreeMap<String, ComparableRows>,
}

/// The names of the built-in answers.
fn built_in_names() -> Vec<String> {
    QuestionSet::built_in(GraphOptions::default()).names().map(ToString::to_string).collect()
}

/// Reads all tables in one transaction. `None` before the first write, and while the server is down.
fn shown_cut(database: &PostgresDatabase<'_>, names: &[String]) -> Option<ShownCut> {
    let mut sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT epoch, durable FROM pinflow.pinflow_cut".to_owned();
    for name in names {
        sql += &format!("; SELECT (to_jsonb(t) - '_row')::text FROM pinflow.\"{name}\" t");
        sql += &format!(
            "; SELECT (to_jsonb(t) - '{{_change,_epoch,_as_of,_diff}}'::text[])::text, sum(_diff)::text FROM \
             pinflow.\"{name}_changes\" t GROUP BY 1 HAVING sum(_diff) <> 0"
        );
    }
    let results = database.try_sql(&(sql + "; COMMIT")).ok()?;
    let cut = results[0].first()?;
    let parse = |row: &[Option<String>]| serde_json::from_str::<Value>(row[0].as_deref().unwrap()).unwrap();
    let (mut answers, mut sums) = (BTreeMap::new(), BTreeMap::new());
    for (name, tables) in names.iter().zip(results[1..].chunks(2)) {
        let rows: Vec<Value> = tables[0].iter().map(|row| parse(row)).collect();
        answers.insert(name.clone(), comparable_rows(&rows));
        let sum =
            |row: &Vec<Option<String>>| (comparable_row(&parse(row)), row[1].as_deref().unwrap().parse().unwrap());
        sums.insert(name.clone(), tables[1].iter().map(sum).collect());
    }
    let (epoch, is_durable) = (cut[0].as_deref()?.parse().unwrap(), cut[1].as_deref() == Some("t"));
    Some(ShownCut { epoch, is_durable, answers, sums })
}

/// Asserts that the tables, and the sums of their changes, are the answers of a snapshot.
fn assert_shows_snapshot(database: &PostgresDatabase<'_>, snapshot: &ProcessOutput) {
    let names: Vec<String> = snapshot.answers.keys().cloned().collect();
    let shown = shown_cut(database, &names).expect("there is a cut");
    for (name, rows) in &snapshot.answers {
        let expected = comparable_rows(rows);
        assert_eq!(shown.answers[name], expected, "{name}");
        assert_eq!(shown.sums[name], expected, "changes of {name}");
    }
}

/// A followed recording whose lines arrive in parts, with tables, and a configuration that writes to a database.
struct DatabaseSite {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl DatabaseSite {
    /// `more` are further lines of the configuration, which begin within `[answers.postgres]`.
    fn new(database: &PostgresDatabase<'_>, more: &str) -> DatabaseSite {
        DatabaseSite::with_section("postgres", &database.url(), more)
    }

    /// A site whose run writes to a database of this kind.
    fn with_section(kind: &str, url: &str, more: &str) -> DatabaseSite {
        let folder = create_temp_dir();
        emit(&folder.path().join("whole"), 300, 3_000, 17, &["--malformed", "0.02"]);
        fs::create_dir(folder.path().join("posts")).unwrap();
        let config = folder.path().join("flow.toml");
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"posts\"\nfollow = true\n[tables]\nurl = \"tables\"\n\
             commit_age_secs_max = 0.05\n[answers.{kind}]\nurl = \"{url}\"\npassword = \"env:{PASSWORD_VARIABLE}\"\n\
             changes = true\nevery_secs = 0.1\n{more}\n"
        );
        fs::write(&config, text).unwrap();
        let site = DatabaseSite { folder, config };
        site.grow_to(0.0);
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Extends each file to this fraction of the whole recording.
    fn grow_to(&self, part: f64) {
        for stream in ["pin", "geo", "user"] {
            let name = format!("{stream}.jsonl");
            let whole = fs::read(self.path().join("whole").join(&name)).unwrap();
            let now = &whole[..(whole.len() as f64 * part) as usize];
            let path = self.path().join("posts").join(&name);
            let there = fs::metadata(&path).map_or(0, |file| file.len() as usize);
            let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(&now[there.min(now.len())..]).unwrap();
        }
    }

    /// A run with `flags`.
    fn command(&self, flags: &[&str]) -> std::process::Command {
        let mut command = pinflow(["run"]);
        command.args(flags).arg(&self.config).env(PASSWORD_VARIABLE, POSTGRES_PASSWORD);
        command
    }

    /// Runs until all that has arrived is read. Returns the last snapshot.
    fn run_to_end(&self) -> ProcessOutput {
        last_snapshot(&succeed(&mut self.command(&["--until-caught-up", "--output", "snapshots"])).stdout)
    }

    /// A run that serves.
    fn serve(&self) -> ServingRun {
        ServingRun::start_with(self.path(), &self.config, &[], &[(PASSWORD_VARIABLE, POSTGRES_PASSWORD)])
    }
}

/// The state of the only database in `/status`.
fn database_status(serving: &ServingRun) -> Value {
    serving.http.json("/status")["databases"][0].clone()
}

/// Waits until the database has the newest durable answers of a run.
fn wait_until_written(serving: &ServingRun, database: &PostgresDatabase<'_>, names: &[String]) {
    serving.wait_until_ready();
    wait_until("the database has the newest answers", || {
        let Some(shown) = shown_cut(database, names) else { return false };
        names.iter().all(|name| {
            let answer = serving.http.json(&format!("/answers/{name}"));
            comparable_rows(answer["rows"].as_array().unwrap()) == shown.answers[name]
        })
    });
}
