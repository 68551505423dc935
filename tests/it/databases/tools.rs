//! What SQL tools see of the tables: SQLAlchemy, pandas, psycopg, PyMySQL, JDBC and psql, as a role that may only read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use pinflow_testkit::mysql::{MysqlServer, PASSWORD};
use pinflow_testkit::postgres::{POSTGRES_PASSWORD, POSTGRES_PASSWORD_IN_URL, PostgresDatabase, PostgresServer};
use pinflow_testkit::readers::python;
use pinflow_testkit::{ProcessOutput, succeed, workspace_root};
use serde_json::{Value, json};

use super::mysql::{mysql_site, skips_mysql};
use super::{DatabaseSite, skips_postgres};

/// A question with a column of each type.
const QUESTION: &str = "[[question]]\nname = \"by_country\"\nsql = \"SELECT country, count(*) AS posts, \
    avg(ind) AS mean, count(*) > 1 AS several, max(timestamp) AS newest FROM geo GROUP BY country\"\n";

/// Runs a script in `tests/readers` that prints what it sees.
fn run_script(python: &Path, name: &str, arguments: &[&str]) -> Value {
    let script = workspace_root().join("tests/readers").join(name);
    let output = succeed(Command::new(python).arg(script).args(arguments));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Creates a role that may read what pinflow writes, as the guide describes it. Returns its URL.
fn create_reader(database: &PostgresDatabase<'_>) -> String {
    let role = format!(
        "DO $$ BEGIN CREATE ROLE readers LOGIN PASSWORD '{POSTGRES_PASSWORD}'; EXCEPTION WHEN duplicate_object OR \
         unique_violation THEN NULL; END $$"
    );
    database.sql(&role);
    database.sql("GRANT USAGE ON SCHEMA pinflow TO readers");
    database.sql("ALTER DEFAULT PRIVILEGES FOR ROLE pinflow IN SCHEMA pinflow GRANT SELECT ON TABLES TO readers");
    database.url().replace("pinflow@", &format!("readers:{POSTGRES_PASSWORD_IN_URL}@"))
}

/// Writes answers to a database. Returns the URL of a role that may read them, and what was written.
fn write_answers() -> (String, ProcessOutput) {
    let database = PostgresServer::shared().database();
    let reader = create_reader(&database);
    let site = DatabaseSite::new(&database, QUESTION);
    site.grow_to(0.5);
    (reader, site.run_to_end())
}

fn assert_sees_rows(seen: &Value, snapshot: &ProcessOutput) {
    let rows = &snapshot.answers["by_country"];
    let posts: u64 = rows.iter().map(|row| row["posts"].as_u64().unwrap()).sum();
    assert_eq!((seen["rows"].as_u64(), seen["posts"].as_u64()), (Some(rows.len() as u64), Some(posts)), "{seen}");
    let newest = rows.iter().filter_map(|row| row["newest"].as_str()).max().unwrap();
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).take(14).collect::<String>();
    assert_eq!(digits(seen["newest"].as_str().unwrap()), digits(newest), "{seen}");
    assert_eq!(seen["key"], json!(["_row"]));
    assert!(seen["comment"].as_str().unwrap().contains("GROUP BY country"), "{seen}");
    for table in ["by_country", "by_country_changes", "pinflow_cut", "users_joined_by_year"] {
        assert!(seen["tables"].as_array().unwrap().contains(&json!(table)), "{table}: {seen}");
    }
}

#[test]
fn tools_of_postgres_see_types_keys_comments_and_rows() {
    let Some(python) = python().filter(|_| !skips_postgres()) else { return };
    let (reader, snapshot) = write_answers();
    let seen = run_script(
        &python,
        "databases.py",
        &[&reader.replace("postgres://", "postgresql+psycopg://"), "by_country", "pinflow"],
    );
    assert_sees_rows(&seen, &snapshot);
    let columns = json!({ "_row": "BIGINT", "country": "TEXT", "posts": "BIGINT", "mean": "DOUBLE PRECISION",
        "several": "BOOLEAN", "newest": "TIMESTAMP" });
    assert_eq!(seen["columns"], columns);
    let dtypes = json!({ "_row": "int64", "country": "str", "posts": "int64", "mean": "float64", "several": "bool",
        "newest": "datetime64[us, UTC]" });
    assert_eq!(seen["dtypes"], dtypes);
    let types = json!({ "_row": "int", "country": "str", "posts": "int", "mean": "float", "several": "bool",
        "newest": "datetime" });
    assert_eq!(seen["python"], types);

    let psql = |command: &str| {
        let output = Command::new("psql").arg(&reader).args(["--no-psqlrc", "-c", command]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), text)
    };
    let (_, described) = psql("\\d pinflow.by_country");
    for text in ["\"by_country_pkey\" PRIMARY KEY, btree (_row)", "timestamp(6) with time zone", "double precision"] {
        assert!(described.contains(text), "{text}: {described}");
    }
    let (is_allowed, refused) = psql("DELETE FROM pinflow.by_country");
    assert!(!is_allowed && refused.contains("permission denied"), "{refused}");
}

#[test]
fn jdbc_driver_of_postgres_sees_types_keys_comments_and_rows() {
    let Some(python) = python().filter(|_| !skips_postgres()) else { return };
    let (reader, snapshot) = write_answers();
    let (_, place) = reader.rsplit_once('@').unwrap();
    let url = format!("jdbc:postgresql://{place}");
    let seen = run_script(&python, "jdbc.py", &[&url, "readers", POSTGRES_PASSWORD, "pinflow", "by_country"]);
    assert_sees_rows(&seen, &snapshot);
    let columns = json!({ "_row": "int8", "country": "text", "posts": "int8", "mean": "float8", "several": "bool",
        "newest": "timestamptz" });
    assert_eq!(seen["columns"], columns);
    let classes = json!({ "_row": "java.lang.Long", "country": "java.lang.String", "posts": "java.lang.Long",
        "mean": "java.lang.Double", "several": "java.lang.Boolean", "newest": "java.sql.Timestamp" });
    assert_eq!(seen["classes"], classes);
}

#[test]
fn each_cut_is_announced_to_clients_that_listen() {
    let Some(python) = python().filter(|_| !skips_postgres()) else { return };
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, QUESTION);
    let mut listening = Command::new(&python)
        .arg(workspace_root().join("tests/readers/databases.py"))
        .arg(create_reader(&database))
        .arg("--listen")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "listening");
    site.grow_to(0.3);
    site.run_to_end();
    let announced: u64 = lines.next().unwrap().unwrap().parse().unwrap();
    assert!(listening.wait().unwrap().success());
    let written = database.value("SELECT epoch::text FROM pinflow.pinflow_cut").unwrap();
    assert!(announced <= written.parse().unwrap(), "{announced}, {written}");
}

#[test]
fn tools_of_mysql_see_types_keys_comments_and_rows() {
    let Some(python) = python().filter(|_| !skips_mysql()) else { return };
    let database = MysqlServer::shared().database();
    let site = mysql_site(&database, QUESTION);
    site.grow_to(0.5);
    let snapshot = site.run_to_end();
    // PyMySQL sends a password as Latin-1.
    database.sql("CREATE USER IF NOT EXISTS 'tools'@'%' IDENTIFIED BY 'tools'");
    database.sql(&format!("GRANT SELECT ON {}.* TO 'tools'@'%'", database.name));
    let url = database.url_with("tools:tools").replace("mysql://", "mysql+pymysql://");
    let seen = run_script(&python, "databases.py", &[&url, "by_country"]);
    assert_sees_rows(&seen, &snapshot);
    let columns: BTreeMap<String, String> = serde_json::from_value(seen["columns"].clone()).unwrap();
    for (name, kind) in [
        ("_row", "BIGINT"),
        ("country", "LONGTEXT"),
        ("posts", "BIGINT"),
        ("mean", "DOUBLE"),
        ("several", "TINYINT"),
        ("newest", "DATETIME"),
    ] {
        assert!(columns[name].starts_with(kind), "{name}: {columns:?}");
    }
    let dtypes = json!({ "_row": "int64", "country": "str", "posts": "int64", "mean": "float64", "several": "int64",
        "newest": "datetime64[us]" });
    assert_eq!(seen["dtypes"], dtypes);
    assert!(!seen.to_string().contains(PASSWORD));
}
