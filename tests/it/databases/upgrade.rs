//! Tables of answers that an earlier version has written to a database are continued by this build.
//!
//! The folder of a version in `tests/fixtures/upgrade` has a dump for each kind of database. The run that wrote it read the
//! recording of the folder, with the tables of the folder. `PINFLOW_WRITE_UPGRADE_DUMPS=v0.2` writes those of a version
//! whose folder exists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pinflow_testkit::mysql::{MysqlServer, PASSWORD, TestDatabase, USER};
use pinflow_testkit::postgres::{POSTGRES_PASSWORD, PostgresDatabase, PostgresServer, server_program};
use pinflow_testkit::{ProcessOutput, last_snapshot, pinflow, succeed};
use serde_json::json;

use super::mysql::{assert_mysql_shows, create_mysql_user, skips_mysql};
use super::{PASSWORD_VARIABLE, assert_shows_snapshot, built_in_names, skips_postgres};
use crate::upgrade::{FixtureFolder, copied_fixtures, fixtures_root, read_json};

/// Names the version whose dumps are written. Without it, the dumps that exist are tested.
const WRITE_VARIABLE: &str = "PINFLOW_WRITE_UPGRADE_DUMPS";
const POSTGRES_DUMP: &str = "answers.postgres.sql";
const MYSQL_DUMP: &str = "answers.mysql.sql";

/// A configuration beside that of a fixture, with a section for a database.
fn database_config(fixture: &FixtureFolder, kind: &str, url: &str) -> PathBuf {
    let text = fs::read_to_string(fixture.file("posts.toml")).unwrap();
    let section =
        format!("[answers.{kind}]\nurl = \"{url}\"\npassword = \"env:{PASSWORD_VARIABLE}\"\nchanges = true\n");
    let path = fixture.file(&format!("{kind}.toml"));
    fs::write(&path, text.replace("[engine]", &format!("{section}\n[engine]"))).unwrap();
    path
}

/// Reads what there is, and writes the answers to the database.
fn run_to_end(config: &Path, password: &str) -> ProcessOutput {
    let words = ["run", "--until-caught-up", "--listen", "127.0.0.1:0", "--output", "snapshots"];
    let mut command = pinflow(words);
    last_snapshot(&succeed(command.arg(config).env(PASSWORD_VARIABLE, password)).stdout)
}

/// A snapshot with the built-in answers only.
fn built_in_only(snapshot: &ProcessOutput) -> ProcessOutput {
    let names = built_in_names();
    let mut snapshot = snapshot.clone();
    snapshot.answers.retain(|name, _| names.contains(name));
    snapshot
}

/// The copy of the fixture whose dumps are to be written, with the folder to which they are.
fn dumped_fixture() -> Option<(tempfile::TempDir, FixtureFolder, PathBuf)> {
    let version = std::env::var(WRITE_VARIABLE).ok()?;
    let folder = fixtures_root().join(&version);
    let found = copied_fixtures().into_iter().find(|(_, fixture)| fixture.version == version);
    let (place, fixture) = found.unwrap_or_else(|| panic!("{} does not exist", folder.display()));
    Some((place, fixture, folder))
}

/// A program of PostgreSQL that reads this database as its administrator.
fn postgres_tool(name: &str, database: &PostgresDatabase<'_>) -> Command {
    let url = database.url().replace("pinflow@", "postgres@");
    let mut command = Command::new(server_program(name));
    command.arg(url).env("PGPASSWORD", POSTGRES_PASSWORD);
    command
}

/// The dump of a database. Lines of `psql` are left out: they differ from dump to dump.
fn dump_postgres(database: &PostgresDatabase<'_>) -> String {
    let mut dump = postgres_tool("pg_dump", database);
    let output = succeed(dump.args(["--schema=pinflow", "--inserts", "--rows-per-insert=100", "--no-comments"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let statements = text.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("--") && !line.is_empty());
    statements.map(|line| line.to_owned() + "\n").collect()
}

fn mysql_tool(name: &str, database: &TestDatabase<'_>) -> Command {
    let url = database.url_with("");
    let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/')).unwrap().0;
    let mut command = Command::new(name);
    command.args(["--protocol=tcp", "--host=127.0.0.1", "--port", port, "--user", USER]);
    command.arg(format!("--password={PASSWORD}"));
    if name == "mariadb-dump" {
        command.args(["--compact", "--skip-lock-tables", "--skip-tz-utc"]);
    }
    command.arg(&database.name);
    command
}

#[test]
fn postgres_tables_of_earlier_versions_are_continued() {
    if skips_postgres() {
        return;
    }
    if let Some((_place, fixture, folder)) = dumped_fixture() {
        let database = PostgresServer::shared().database();
        run_to_end(&database_config(&fixture, "postgres", &database.url()), POSTGRES_PASSWORD);
        fs::write(folder.join(POSTGRES_DUMP), dump_postgres(&database)).unwrap();
    }
    for (_place, fixture) in copied_fixtures() {
        let database = PostgresServer::shared().database();
        database.sql("DROP SCHEMA pinflow");
        database.sql(&fs::read_to_string(fixture.file(POSTGRES_DUMP)).unwrap());
        let expected = read_json(&fixture.file("expected.json"));
        let config = database_config(&fixture, "postgres", &database.url());
        let unchanged = run_to_end(&config, POSTGRES_PASSWORD);
        assert_eq!(json!(unchanged.answers), expected["answers"]);
        assert_shows_snapshot(&database, &unchanged);
        fixture.continue_recording();
        let continued = run_to_end(&config, POSTGRES_PASSWORD);
        assert_ne!(continued.answers, unchanged.answers);
        assert_shows_snapshot(&database, &continued);
    }
}

#[test]
fn mysql_tables_of_earlier_versions_are_continued() {
    if skips_mysql() {
        return;
    }
    if let Some((_place, fixture, folder)) = dumped_fixture() {
        let database = MysqlServer::shared().database();
        create_mysql_user(&database);
        run_to_end(&database_config(&fixture, "mysql", &database.url_with("pinflow")), PASSWORD);
        let dump = succeed(&mut mysql_tool("mariadb-dump", &database)).stdout;
        fs::write(folder.join(MYSQL_DUMP), dump).unwrap();
    }
    for (_place, fixture) in copied_fixtures() {
        let database = MysqlServer::shared().database();
        create_mysql_user(&database);
        let dump = fs::File::open(fixture.file(MYSQL_DUMP)).unwrap();
        succeed(mysql_tool("mariadb", &database).stdin(Stdio::from(dump)));
        let config = database_config(&fixture, "mysql", &database.url_with("pinflow"));
        let unchanged = run_to_end(&config, PASSWORD);
        assert_eq!(json!(unchanged.answers), read_json(&fixture.file("expected.json"))["answers"]);
        assert_mysql_shows(&database, &built_in_only(&unchanged));
        fixture.continue_recording();
        let continued = run_to_end(&config, PASSWORD);
        assert_ne!(continued.answers, unchanged.answers);
        assert_mysql_shows(&database, &built_in_only(&continued));
    }
}
