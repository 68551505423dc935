//! Values of every type, rows that repeat, and texts that a database cannot hold.

use std::fs;

use pinflow_testkit::postgres::PostgresServer;
use serde_json::json;

use super::{DatabaseSite, assert_shows_snapshot, skips_postgres};

#[test]
fn rows_that_repeat_and_hostile_texts_are_stored_as_they_are() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let questions = "[[question]]\nname = \"texts\"\nsql = \"SELECT category, title FROM pin\"\n\
        [[question]]\nname = \"kinds\"\nsql = \"SELECT category, count(*) AS \\\"count (*)\\\", \
        avg(follower_count) AS mean, min(length(title)) > 3 AS is_long FROM pin GROUP BY category\"\n\
        [[question]]\nname = \"times\"\nsql = \"SELECT country, max(timestamp) AS newest FROM geo GROUP BY country\"\n";
    let site = DatabaseSite::new(&database, questions);
    let texts =
        ["it's", "a\\b\tc\nd\r", "\"; DROP TABLE x; --", "\\N", "\\.", "é😀\u{2028}", "", "same", "same", "same"];
    let pins: String = texts
        .iter()
        .enumerate()
        .map(|(ind, text)| {
            let pin = json!({ "index": ind, "unique_id": "u", "title": text, "description": "d", "follower_count": "3k",
                "poster_name": "p", "tag_list": "a", "is_image_or_video": "image", "image_src": "i",
                "save_location": "Local save in /data/x", "category": if ind % 2 == 0 { "it's" } else { "b\\" },
                "downloaded": 1 });
            format!("{pin}\n")
        })
        .collect();
    fs::write(site.path().join("posts/pin.jsonl"), pins).unwrap();
    let geo = json!({ "ind": 1, "timestamp": "2020-02-03T04:05:06.123456", "latitude": 1.5, "longitude": 2.5, "country": "fr" });
    fs::write(site.path().join("posts/geo.jsonl"), format!("{geo}\n")).unwrap();
    let mut snapshot = site.run_to_end();
    let times = snapshot.answers.remove("times").unwrap();
    assert!(times.len() == 1 && snapshot.answers["texts"].len() >= 8, "{snapshot:?}");
    assert_shows_snapshot(&database, &snapshot);
    let newest = database.value("SELECT newest AT TIME ZONE 'UTC' FROM pinflow.times").unwrap();
    let wanted = times[0]["newest"].as_str().unwrap().replace('T', " ").replace('Z', "");
    assert_eq!(newest, wanted);
    let repeated = "SELECT count(*)::text FROM pinflow.texts WHERE title = 'same'";
    assert_eq!(database.value(repeated).as_deref(), Some("3"));
    // Nothing is written that is there already.
    let last = "SELECT max(_change)::text FROM pinflow.texts_changes";
    let before = database.value(last);
    assert_shows_snapshot(&database, &{
        let mut again = site.run_to_end();
        again.answers.remove("times");
        again
    });
    assert_eq!(database.value(last), before);
}

#[test]
fn zero_characters_are_replaced_and_counted() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let question =
        "[[question]]\nname = \"texts\"\nsql = \"SELECT title FROM pin\"\n[serve]\nlisten = \"127.0.0.1:0\"\n";
    let site = DatabaseSite::new(&database, question);
    let pin = json!({ "index": 1, "title": "a\0b", "category": "c", "follower_count": "1" });
    fs::write(site.path().join("posts/pin.jsonl"), format!("{pin}\n")).unwrap();
    let serving = site.serve();
    pinflow_testkit::wait_until("it is written", || {
        database.try_sql("SELECT title FROM pinflow.texts").is_ok_and(|found| !found[0].is_empty())
    });
    assert_eq!(database.value("SELECT title FROM pinflow.texts").as_deref(), Some("a\u{fffd}b"));
    assert_eq!(super::database_status(&serving)["values_replaced"], 1);
    serving.stop();
}
