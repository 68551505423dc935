//! A MariaDB that is full, read-only, or was written by a later version.

use pinflow_testkit::mysql::MysqlServer;
use pinflow_testkit::{SmallDisk, create_temp_dir, skip_without_tmpfs, wait_until};
use serde_json::Value;

use super::database_status;
use super::mysql::{assert_mysql_shows, mysql_site, serve_mysql, skips_mysql, wait_until_mysql_shows};

const SERVE: &str = "[serve]\nlisten = \"127.0.0.1:0\"";
const IS_DOWN: &str = "the answers cannot be written to the database; trying again";

#[test]
fn mysql_on_a_full_disk_is_reported_and_caught_up_once_there_is_space() {
    if skips_mysql() || skip_without_tmpfs() {
        return;
    }
    let place = create_temp_dir();
    let disk = SmallDisk::mount(&place.path().join("disk"), "120m");
    let server = MysqlServer::start_on(&disk.0);
    let database = server.database();
    let site = mysql_site(&database, SERVE);
    site.grow_to(0.1);
    let serving = serve_mysql(&site);
    wait_until_mysql_shows(&serving, &database);
    let filler = disk.fill();
    let read = || serving.http.json("/status")["all_time"]["read"].as_u64().unwrap();
    let before = read();
    site.grow_to(0.8);
    wait_until("it says why", || {
        let problem = database_status(&serving)["problem"].to_string();
        ["is full", "No space left"].iter().any(|words| problem.contains(words))
    });
    wait_until("it reads on", || read() > before + 500);
    assert_eq!(serving.log().matches(IS_DOWN).count(), 1, "{}", serving.log());
    std::fs::remove_file(filler).unwrap();
    wait_until_mysql_shows(&serving, &database);
    assert_eq!(database_status(&serving)["problem"], Value::Null);
    serving.stop();
    assert_mysql_shows(&database, &site.run_to_end());
}

#[test]
fn read_only_mysql_is_reported_and_written_once_it_can_be() {
    if skips_mysql() {
        return;
    }
    // A server of its own: the variable is one of the whole server.
    let server = MysqlServer::start(None);
    let database = server.database();
    let site = mysql_site(&database, SERVE);
    site.grow_to(0.5);
    database.sql("SET GLOBAL read_only = ON");
    let serving = serve_mysql(&site);
    let says_why = || {
        let status = database_status(&serving);
        status["problem"].as_str().is_some_and(|problem| problem.contains("read-only") || problem.contains("read_only"))
    };
    wait_until("it says why before the first write", says_why);
    database.sql("SET GLOBAL read_only = OFF");
    wait_until_mysql_shows(&serving, &database);
    assert_eq!(database_status(&serving)["problem"], Value::Null);
    // While it is connected, as after a failover.
    database.sql("SET GLOBAL read_only = ON");
    site.grow_to(0.8);
    wait_until("it says why", says_why);
    database.sql("SET GLOBAL read_only = OFF");
    wait_until_mysql_shows(&serving, &database);
    assert_eq!(serving.log().matches(IS_DOWN).count(), 2, "once for each outage: {}", serving.log());
    serving.stop();
    assert_mysql_shows(&database, &site.run_to_end());
}

#[test]
fn tables_of_a_later_version_are_not_written() {
    if skips_mysql() {
        return;
    }
    let database = MysqlServer::shared().database();
    let site = mysql_site(&database, SERVE);
    site.grow_to(0.2);
    site.run_to_end();
    let format = "SELECT columns FROM pinflow_tables WHERE name = 'pinflow_tables'";
    assert_eq!(database.sql(format), ["format 1"]);
    // What was written before there were versions has none.
    database.sql("DELETE FROM pinflow_tables WHERE name = 'pinflow_tables'");
    site.grow_to(0.4);
    assert_mysql_shows(&database, &site.run_to_end());
    database.sql("INSERT INTO pinflow_tables VALUES ('pinflow_tables', 'format 2', '')");
    let serving = serve_mysql(&site);
    wait_until("it says why", || database_status(&serving)["problem"].to_string().contains("later pinflow (format 2"));
    serving.stop();
}
