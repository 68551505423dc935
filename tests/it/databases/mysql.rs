//! The same with MariaDB. `PINFLOW_SKIP_MYSQL=1` skips these tests.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::questions::QuestionSet;
use pinflow_testkit::mysql::{MysqlServer, PASSWORD, TestDatabase};
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{ProcessOutput, RunningProcess, wait_until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::crashes::{STEPS, kill_count};
use super::{ComparableRows, DatabaseSite, PASSWORD_VARIABLE, comparable_row, comparable_rows, database_status};

/// Whether the tests with a database are to be left out. Says so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
pub(super) fn skips_mysql() -> bool {
    let skips = std::env::var_os("PINFLOW_SKIP_MYSQL").is_some_and(|skip| skip == "1");
    if skips {
        eprintln!("PINFLOW_SKIP_MYSQL=1: no MariaDB is started, nothing of it is tested");
    }
    skips
}

/// Creates the user `pinflow` with the privileges of the guide.
pub(super) fn create_mysql_user(database: &TestDatabase<'_>) {
    let name = &database.name;
    database.sql(&format!("CREATE USER IF NOT EXISTS 'pinflow'@'%' IDENTIFIED BY '{PASSWORD}'"));
    database.sql(&format!("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON {name}.* TO 'pinflow'@'%'"));
}

/// A recording whose run writes to this database, as a user with the privileges of the guide.
pub(super) fn mysql_site(database: &TestDatabase<'_>, more: &str) -> DatabaseSite {
    create_mysql_user(database);
    DatabaseSite::with_section("mysql", &database.url_with("pinflow"), more)
}

/// Starts a run that writes to MariaDB and serves.
pub(super) fn serve_mysql(site: &DatabaseSite) -> ServingRun {
    ServingRun::start_with(site.path(), &site.config, &[], &[(PASSWORD_VARIABLE, PASSWORD)])
}

/// The statement that reads a table as one JSON text a row, each after the table's name and how often it counts.
fn select_rows(table: &str, columns: &[String], count: &str) -> String {
    let pairs: Vec<String> = columns.iter().map(|name| format!("'{name}', `{name}`")).collect();
    format!("SELECT CONCAT('{table}\t', {count}, '\t', JSON_OBJECT({})) FROM `{table}`", pairs.join(", "))
}

/// The rows of each answer, by its name.
type RowsByAnswer = BTreeMap<String, ComparableRows>;

/// The epoch, the answers and the sums of their changes, as of one moment. `None` before the first write, and while the
/// server is down.
fn shown(database: &TestDatabase<'_>) -> Option<(u64, RowsByAnswer, RowsByAnswer)> {
    let mut sql =
        "START TRANSACTION WITH CONSISTENT SNAPSHOT; SELECT CONCAT('\tcut', epoch) FROM pinflow_cut".to_owned();
    let questions = QuestionSet::built_in(GraphOptions::default());
    for (_, question) in questions.iter() {
        let columns: Vec<String> = question.columns().iter().map(|column| column.name.clone()).collect();
        sql += &format!("; {}", select_rows(&question.name, &columns, "1"));
        sql += &format!("; {}", select_rows(&format!("{}_changes", question.name), &columns, "_diff"));
    }
    let lines = database.try_sql(&(sql + "; COMMIT")).ok()?;
    let mut tables: BTreeMap<String, ComparableRows> = BTreeMap::new();
    for name in questions.names() {
        tables.insert(name.to_string(), ComparableRows::new());
        tables.insert(format!("{name}_changes"), ComparableRows::new());
    }
    let mut epoch = None;
    for line in &lines {
        match line.strip_prefix("\tcut") {
            Some(cut) => epoch = Some(cut.parse().unwrap()),
            None => {
                let [table, count, row] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().unwrap();
                let row: Value = serde_json::from_str(row).unwrap();
                *tables.get_mut(table).unwrap().entry(comparable_row(&row)).or_default() +=
                    count.parse::<i64>().unwrap();
            }
        }
    }
    let (mut answers, mut sums) = (BTreeMap::new(), BTreeMap::new());
    for name in questions.names() {
        answers.insert(name.to_string(), tables.remove(name.as_str()).unwrap());
        let mut sum = tables.remove(&format!("{name}_changes")).unwrap();
        sum.retain(|_, count| *count != 0);
        sums.insert(name.to_string(), sum);
    }
    Some((epoch?, answers, sums))
}

pub(super) fn assert_mysql_shows(database: &TestDatabase<'_>, snapshot: &ProcessOutput) {
    let (_, answers, sums) = shown(database).expect("there is a cut");
    for (name, rows) in &snapshot.answers {
        let expected = comparable_rows(rows);
        assert_eq!(answers[name], expected, "{name}");
        assert_eq!(sums[name], expected, "changes of {name}");
    }
}

pub(super) fn wait_until_mysql_shows(serving: &ServingRun, database: &TestDatabase<'_>) {
    serving.wait_until_ready();
    wait_until("the database has the newest answers", || {
        let Some((_, answers, _)) = shown(database) else { return false };
        answers.iter().all(|(name, rows)| {
            let answer = serving.http.json(&format!("/answers/{name}"));
            comparable_rows(answer["rows"].as_array().unwrap()) == *rows
        })
    });
}

#[test]
fn mysql_shows_whole_cuts_and_is_right_after_kills() {
    if skips_mysql() {
        return;
    }
    let database = MysqlServer::shared().database();
    let site = mysql_site(&database, "");
    let mut random = StdRng::seed_from_u64(21);
    let mut last_epoch = 0;
    let turns = kill_count() * 8 / 14;
    for turn in 1..=turns {
        let mut command = site.command(&["--output", "none"]);
        if let Some(step) = STEPS.get(turn % 7) {
            command.env("FAILPOINTS", format!("databases::{step}=1*off->1*return(abort)"));
        }
        let mut running = RunningProcess::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        for share in [0.3, 0.6, 1.0] {
            site.grow_to((turn as f64 - 1.0 + share) / turns as f64);
            std::thread::sleep(Duration::from_millis(random.random_range(50..300)));
            if let Some((epoch, answers, sums)) = shown(&database) {
                assert_eq!(answers, sums, "at epoch {epoch} the changes add up to the answers");
                last_epoch = epoch;
            }
        }
        running.try_signal(Signal::SIGKILL);
        running.wait();
        if turn % 4 == 0 {
            assert_mysql_shows(&database, &site.run_to_end());
        }
    }
    assert!(last_epoch > 0, "no cut was seen");
    assert_mysql_shows(&database, &site.run_to_end());
    // Rows that others changed are restored.
    database.sql("DELETE FROM users_joined_by_year LIMIT 1");
    database.sql("UPDATE popular_category_by_year SET category = 'tampered' LIMIT 2");
    assert_mysql_shows(&database, &site.run_to_end());
    let comment = "SELECT table_comment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = \
                   'users_joined_by_year'";
    assert!(database.sql(comment)[0].contains("SELECT"), "the comment has the SQL");
}

#[test]
fn mysql_that_is_down_is_caught_up_and_a_later_writer_takes_over() {
    if skips_mysql() {
        return;
    }
    let mut server = MysqlServer::start(None);
    let serve = "[serve]\nlisten = \"127.0.0.1:0\"";
    let (site, other, name) = {
        let database = server.database();
        (mysql_site(&database, serve), mysql_site(&database, serve), database.name.clone())
    };
    server.kill();
    site.grow_to(0.4);
    let mut serving = serve_mysql(&site);
    serving.wait_until_ready();
    wait_until("it says that the database is down", || serving.log().contains("cannot be written to the database"));
    server.restart();
    wait_until_mysql_shows(&serving, &server.database_named(&name));
    assert_eq!(database_status(&serving)["connected"], true);
    // Another column is refused, and the other answers go on.
    let database = server.database_named(&name);
    database.sql("ALTER TABLE users_joined_by_year DROP COLUMN number_users_joined");
    site.grow_to(0.7);
    wait_until("it names what is wrong", || {
        database_status(&serving)["refused"].to_string().contains("`number_users_joined` (bigint) is missing")
    });
    database.sql("DROP TABLE users_joined_by_year");
    wait_until_mysql_shows(&serving, &database);
    other.grow_to(0.9);
    let later = serve_mysql(&other);
    wait_until_mysql_shows(&later, &database);
    site.grow_to(1.0);
    assert_eq!(serving.running.wait().code(), Some(75), "{}", serving.log());
    assert!(serving.log().contains("has taken over"), "{}", serving.log());
    later.stop();
}
