//! Tables of changes whose old changes are replaced by their sum.

use std::thread::sleep;
use std::time::Duration;

use pinflow_testkit::mysql::MysqlServer;
use pinflow_testkit::postgres::PostgresServer;

use super::mysql::{assert_mysql_shows, mysql_site, skips_mysql};
use super::{DatabaseSite, assert_shows_snapshot, skips_postgres};

/// Whole seconds for which the tests keep changes.
const KEPT: &str = "changes_keep_secs = 1\n";

/// Runs to the end of four parts of a recording, each more than a second after the one before.
fn run_in_parts(site: &DatabaseSite, mut check: impl FnMut(&pinflow_testkit::ProcessOutput)) {
    for part in 1..=4 {
        if part > 1 {
            sleep(Duration::from_millis(1_100));
        }
        site.grow_to(f64::from(part) / 4.0);
        check(&site.run_to_end());
    }
}

#[test]
fn old_changes_are_replaced_by_their_sum() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let (kept, all) = (DatabaseSite::new(&database, KEPT), DatabaseSite::new(&database, "schema = \"whole\"\n"));
    database.sql("CREATE SCHEMA whole AUTHORIZATION pinflow");
    let number = |sql: &str| database.value(sql).unwrap().parse::<u64>().unwrap();
    let old = "FROM pinflow.users_joined_by_year_changes WHERE _as_of < (SELECT max(_as_of) FROM \
               pinflow.users_joined_by_year_changes) - interval '1 second'";
    let mut last_key = 0;
    run_in_parts(&kept, |snapshot| {
        assert_shows_snapshot(&database, snapshot);
        let removed = number(&format!("SELECT count(*)::text {old} AND _diff < 0"));
        assert_eq!(removed, 0, "what an old change removed is gone with it");
    });
    assert!(number(&format!("SELECT count(*)::text {old}")) > 0, "the sum of old changes is kept");
    run_in_parts(&all, |_| {
        let key = number("SELECT max(_change)::text FROM whole.users_joined_by_year_changes");
        assert!(key > last_key, "keys grow");
        last_key = key;
    });
    let rows = |schema: &str| number(&format!("SELECT count(*)::text FROM {schema}.users_joined_by_year_changes"));
    assert!(rows("pinflow") < rows("whole"), "{} of {} rows", rows("pinflow"), rows("whole"));
}

#[test]
fn mysql_replaces_old_changes_by_their_sum() {
    if skips_mysql() {
        return;
    }
    let database = MysqlServer::shared().database();
    let site = mysql_site(&database, KEPT);
    run_in_parts(&site, |snapshot| assert_mysql_shows(&database, snapshot));
    let old = "SELECT COUNT(*) FROM users_joined_by_year_changes WHERE _diff < 0 AND _as_of < (SELECT MAX(_as_of) FROM \
               users_joined_by_year_changes) - INTERVAL 1 SECOND";
    assert_eq!(database.sql(old), ["0"]);
}
