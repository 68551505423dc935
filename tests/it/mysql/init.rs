//! `pinflow emit --init-mysql`: the three tables are created completely or not at all.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{STREAMS, TABLES, generate_posts, read_messages, run, skipped};
use pinflow_testkit::mysql::MysqlServer;
use pinflow_testkit::{RunningProcess, create_temp_dir, pinflow, wait_until};

#[test]
fn existing_tables_are_replaced_on_request_only() {
    if skipped() {
        return;
    }
    let database = MysqlServer::shared().database();
    let url = database.url();
    let filled = run(["emit", "--init-mysql", &url, "--inds", "700"]);
    assert!(filled.code == 0 && filled.stderr.contains("700 rows in each of pinterest_data"), "{filled:?}");
    assert!(TABLES.iter().all(|table| database.count(table) == 700));
    let first = || database.sql("SELECT unique_id FROM pinterest_data ORDER BY `index` LIMIT 1");
    let before = first();
    let refused = run(["emit", "--init-mysql", &url, "--inds", "10", "--seed", "7"]);
    assert!(refused.code == 1 && refused.stderr.contains("--replace replaces them"), "{refused:?}");
    assert_eq!((first(), database.count("user_data")), (before.clone(), 700), "a refusal changes nothing");
    let replaced = run(["emit", "--init-mysql", &url, "--inds", "10", "--seed", "7", "--replace"]);
    assert!(replaced.code == 0 && TABLES.iter().all(|table| database.count(table) == 10), "{replaced:?}");
    assert_ne!(first(), before, "another seed makes other posts");
    assert_eq!(database.sql("SHOW TABLES").len(), 3, "nothing of ours is left beside them");
}

#[test]
fn old_tables_stay_until_new_ones_are_complete() {
    if skipped() {
        return;
    }
    let database = MysqlServer::shared().database();
    database.fill(300);
    let mut filling =
        RunningProcess::start(&mut pinflow(["emit", "--init-mysql", &database.url(), "--inds", "150k", "--replace"]));
    wait_until("the last table is being filled", || {
        database.sql("SHOW TABLES").iter().any(|table| table == "user_data_pinflow_new")
    });
    std::thread::sleep(Duration::from_millis(20));
    filling.signal(Signal::SIGKILL);
    filling.wait();
    assert!(TABLES.iter().all(|table| database.count(table) == 300), "nobody sees tables that are half full");
    let again = run(["emit", "--init-mysql", &database.url(), "--inds", "20", "--replace"]);
    assert!(again.code == 0 && TABLES.iter().all(|table| database.count(table) == 20), "{again:?}");
    assert_eq!(database.sql("SHOW TABLES").len(), 3, "what the dead one left is gone");
}

#[test]
fn only_tables_of_requested_streams_are_created() {
    if skipped() {
        return;
    }
    let database = MysqlServer::shared().database();
    let ended = run(["emit", "--init-mysql", &database.url(), "--inds", "5", "--streams", "geo"]);
    assert!(ended.code == 0 && database.sql("SHOW TABLES") == ["geolocation_data"], "{ended:?}");
    database.sql("CREATE VIEW user_data AS SELECT ind FROM geolocation_data");
    let refused = run(["emit", "--init-mysql", &database.url(), "--inds", "5", "--replace"]);
    assert!(refused.code == 1 && refused.stderr.contains("user_data is a VIEW"), "{refused:?}");
}

#[test]
fn every_drawn_row_equals_the_generated_post() {
    if skipped() {
        return;
    }
    let (place, database) = (create_temp_dir(), MysqlServer::shared().database());
    database.fill(3000);
    let posts = generate_posts(&place.path().join("made"), 3000, 100);
    let to = place.path().join("drawn");
    let ended =
        run(["emit", "--from", &database.url(), "--to", to.to_str().unwrap(), "--count", "20000", "--rate", "1M"]);
    assert!(ended.code == 0 && ended.stderr.contains("20000 draws, 60000 messages"), "{ended:?}");
    let mut seen = std::collections::BTreeSet::new();
    for (stream, posts) in STREAMS.iter().zip(&posts) {
        let drawn = read_messages(&to, stream);
        assert_eq!(drawn.len(), 20_000);
        for row in &drawn {
            assert_eq!(*row, posts[super::ind(row)], "{stream}");
            seen.insert(super::ind(row));
        }
    }
    assert!(seen.len() > 2950, "{} of 3,000 rows were drawn in 20,000 draws", seen.len());
    let text = std::fs::read_to_string(to.join("pin.jsonl")).unwrap();
    assert!(text.chars().any(|character| u32::from(character) > 0xffff), "astral characters survive");
}
