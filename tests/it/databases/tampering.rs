//! Tables and rows that others changed.

use pinflow_testkit::postgres::PostgresServer;
use pinflow_testkit::wait_until;

use super::{DatabaseSite, assert_shows_snapshot, built_in_names, database_status, skips_postgres, wait_until_written};

#[test]
fn rows_that_others_changed_are_restored_by_the_next_start() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, "");
    site.grow_to(0.6);
    site.run_to_end();
    for sql in [
        "DELETE FROM pinflow.users_joined_by_year WHERE _row = 1",
        "UPDATE pinflow.popular_category_by_year SET category = 'tampered' WHERE _row <= 2",
        "INSERT INTO pinflow.popular_category_by_country (_row, category) VALUES (999, 'stray')",
        "TRUNCATE pinflow.median_followers_by_join_year",
        "INSERT INTO pinflow.pinflow_cut VALUES (999999, now(), false)",
        "DELETE FROM pinflow.users_joined_by_year_changes WHERE _change = 1",
        "DROP TABLE pinflow.median_followers_by_age_group",
    ] {
        database.sql(sql);
    }
    assert_shows_snapshot(&database, &site.run_to_end());
    // A backup of an earlier moment, with the writer's row of that moment.
    let tables = database.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'pinflow'").remove(0);
    let tables: Vec<String> = tables.into_iter().map(|row| row[0].clone().unwrap()).collect();
    for table in &tables {
        database.sql(&format!("CREATE TABLE public.\"{table}\" AS SELECT * FROM pinflow.\"{table}\""));
    }
    site.grow_to(1.0);
    site.run_to_end();
    for table in &tables {
        let restore =
            format!("TRUNCATE pinflow.\"{table}\"; INSERT INTO pinflow.\"{table}\" SELECT * FROM public.\"{table}\"");
        database.sql(&restore);
    }
    assert_shows_snapshot(&database, &site.run_to_end());
}

#[test]
fn backup_that_is_restored_during_a_run_is_caught_up() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, "[serve]\nlisten = \"127.0.0.1:0\"");
    site.grow_to(0.4);
    let serving = site.serve();
    let names = built_in_names();
    wait_until_written(&serving, &database, &names);
    let mut save = "BEGIN".to_owned();
    let mut restore = "BEGIN; LOCK pinflow.pinflow_writer".to_owned();
    let kept = ["pinflow_writer".to_owned(), "pinflow_cut".to_owned()];
    for table in names.iter().flat_map(|name| [name.clone(), format!("{name}_changes")]).chain(kept) {
        save += &format!("; CREATE TABLE public.\"{table}\" AS SELECT * FROM pinflow.\"{table}\"");
        restore += &format!(
            "; DELETE FROM pinflow.\"{table}\"; INSERT INTO pinflow.\"{table}\" SELECT * FROM public.\"{table}\""
        );
    }
    database.sql(&(save + "; COMMIT"));
    site.grow_to(0.7);
    wait_until_written(&serving, &database, &names);
    database.sql(&(restore + "; COMMIT"));
    site.grow_to(0.9);
    wait_until_written(&serving, &database, &names);
    serving.stop();
    assert_shows_snapshot(&database, &site.run_to_end());
}

#[test]
fn changed_table_is_refused_by_its_column_while_others_go_on() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    // A table of somebody else.
    database.sql("CREATE TABLE pinflow.popular_category_by_year (a int); ALTER TABLE pinflow.popular_category_by_year OWNER TO pinflow; INSERT INTO pinflow.popular_category_by_year VALUES (7)");
    let site = DatabaseSite::new(&database, "[serve]\nlisten = \"127.0.0.1:0\"");
    site.grow_to(0.5);
    let serving = site.serve();
    let tampered = ["popular_category_by_year", "users_joined_by_year", "median_followers_by_join_year"];
    let others: Vec<String> = built_in_names().into_iter().filter(|name| !tampered.contains(&name.as_str())).collect();
    wait_until_written(&serving, &database, &others);
    assert_eq!(database.value("SELECT a::text FROM pinflow.popular_category_by_year").as_deref(), Some("7"));
    database.sql("ALTER TABLE pinflow.users_joined_by_year DROP COLUMN number_users_joined");
    database.sql("ALTER TABLE pinflow.median_followers_by_join_year ALTER COLUMN median_follower_count TYPE text");
    site.grow_to(1.0);
    wait_until_written(&serving, &database, &others);
    wait_until("it names what is wrong", || {
        let refused = database_status(&serving)["refused"].to_string();
        let all = [
            "`popular_category_by_year` exists and was not made by pinflow",
            "table `users_joined_by_year`: the column `number_users_joined` (bigint) is missing",
            "column `median_follower_count` is text and was made as double precision",
        ];
        all.iter().all(|text| refused.contains(text))
    });
    for text in ["`number_users_joined`", "`median_follower_count` is text"] {
        assert!(serving.log().lines().any(|line| line.contains(text) && line.contains("ERROR")), "{}", serving.log());
    }
    // What it says to do helps.
    for table in tampered {
        database.sql(&format!("DROP TABLE pinflow.\"{table}\""));
    }
    wait_until_written(&serving, &database, &built_in_names());
    serving.stop();
    assert_shows_snapshot(&database, &site.run_to_end());
}
