//! `pinflow emit --from mysql://…`: which rows are drawn, in which order, and how they are written.

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use serde_json::{Value, json};

use super::{STREAMS, ind, read_messages, run, skipped};
use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::mysql::MysqlServer;
use pinflow_testkit::{RunningProcess, create_temp_dir, find_real_posts, last_snapshot, pinflow, succeed, wait_until};

/// The first draws of the original posting emulator with its seed, computed by Python.
const ORIGINAL_DRAWS: [usize; 24] = [
    7528, 2863, 5730, 8304, 8731, 1313, 4315, 10794, 5494, 5069, 2923, 3089, 6063, 3454, 7554, 6145, 10625, 2959, 9875,
    2418, 3156, 428, 7343, 2074,
];

#[test]
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn original_draws_match_the_python_emulator() {
    if skipped() {
        return;
    }
    let (place, database) = (create_temp_dir(), MysqlServer::shared().database());
    database.fill(11_149);
    let to = place.path().join("drawn");
    let flags = ["--draws", "original", "--seed", "100", "--rate", "1M", "--count", "20000"];
    let ended = run(["emit", "--from", &database.url(), "--to", to.to_str().unwrap()].into_iter().chain(flags));
    assert_eq!(ended.code, 0, "{ended:?}");
    let drawn: Vec<usize> = read_messages(&to, "pin").iter().map(ind).collect();
    assert_eq!(drawn[..ORIGINAL_DRAWS.len()], ORIGINAL_DRAWS);
    for stream in ["geo", "user"] {
        assert!(read_messages(&to, stream).iter().map(ind).eq(drawn.iter().copied()), "{stream} takes the rows of pin");
    }
    let Some(real) = find_real_posts() else {
        eprintln!("no recorded order beside this checkout: only the first draws are compared");
        return;
    };
    let order = std::fs::read_to_string(real.join("emulator_order.csv")).unwrap();
    let order: Vec<usize> =
        order.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(drawn == order, "all 20,000 draws are the original's");
}

#[test]
fn skip_continues_the_same_sequence_of_draws() {
    if skipped() {
        return;
    }
    let database = MysqlServer::shared().database();
    database.fill(500);
    for draws in ["uniform", "original"] {
        let messages = |flags: &[&str]| {
            let arguments = ["emit", "--from", &database.url(), "--to", "-", "--draws", draws, "--rate", "1M"];
            let ended = run(arguments.into_iter().chain(flags.iter().copied()));
            assert_eq!(ended.code, 0, "{ended:?}");
            ended.stdout
        };
        let whole = messages(&["--count", "600"]);
        assert_eq!(messages(&["--count", "200"]) + &messages(&["--skip", "200", "--limit", "400"]), whole, "{draws}");
        assert_ne!(messages(&["--count", "600", "--seed", "5"]), whole, "{draws}");
        let keys: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(keys.chunks(3).all(|draw| draw.iter().all(|row| ind(row) == ind(&draw[0]))), "draws stand together");
    }
}

#[test]
fn rows_are_serialized_like_the_original_emulator() {
    if skipped() {
        return;
    }
    let database = MysqlServer::shared().database();
    database.sql(
        "CREATE TABLE geolocation_data (ind BIGINT UNSIGNED, `timestamp` DATETIME, latitude FLOAT, longitude DECIMAL(9,4),
         country TEXT, extra DATETIME(3), day DATE, zeros INT(5) ZEROFILL);
         INSERT INTO geolocation_data VALUES (18446744073709551615, '2020-08-28 03:52:47', -89.9787, -173.293,
         'Lao \\'s \"🎄\"\\n', '2020-01-01 00:00:00.250', '2020-01-02', 42)",
    );
    let line = |flags: &[&str]| {
        let arguments = ["emit", "--from", &database.url(), "--to", "-", "--streams", "geo", "--count", "1"];
        let ended = run(arguments.into_iter().chain(flags.iter().copied()));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stderr.contains("has no index on its key"), "{ended:?}");
        ended.stdout
    };
    assert_eq!(
        line(&["--rate", "100"]),
        "{\"ind\":18446744073709551615,\"timestamp\":\"2020-08-28T03:52:47\",\"latitude\":-89.9787,\"longitude\":-173.2930,\
         \"country\":\"Lao 's \\\"🎄\\\"\\n\",\"extra\":\"2020-01-01T00:00:00.250\",\"day\":\"2020-01-02\",\"zeros\":42}\n"
    );
    assert!(line(&["--times", "space"]).contains("\"timestamp\":\"2020-08-28 03:52:47\""));
    database.sql("UPDATE geolocation_data SET ind = 1, `timestamp` = NULL, latitude = NULL, country = NULL");
    let row: Value = serde_json::from_str(&line(&["--rate", "100"])).unwrap();
    assert_eq!([&row["timestamp"], &row["latitude"], &row["country"]], [&Value::Null; 3]);
    assert_eq!(row["ind"], json!(1));
}

#[test]
fn missing_rows_are_reported_and_skipped() {
    if skipped() {
        return;
    }
    let (place, database) = (create_temp_dir(), MysqlServer::shared().database());
    database.fill(600);
    database.sql("DELETE FROM geolocation_data WHERE ind >= 500");
    let to = place.path().join("drawn");
    let flags = ["--count", "900", "--rate", "1M"];
    let ended = run(["emit", "--from", &database.url(), "--to", to.to_str().unwrap()].into_iter().chain(flags));
    assert_eq!(ended.code, 0, "{ended:?}");
    let drawn: Vec<usize> = read_messages(&to, "user").iter().map(ind).collect();
    let expected: Vec<usize> = drawn.iter().copied().filter(|ind| *ind < 500).collect();
    assert!(drawn.len() == 900 && expected.len() < 900);
    assert_eq!(read_messages(&to, "geo").iter().map(ind).collect::<Vec<_>>(), expected);
    let missing = format!("geolocation_data: {} rows that were drawn are not there", 900 - expected.len());
    assert!(ended.stderr.contains(&missing) && ended.stderr.contains("geolocation_data has no row 5"), "{ended:?}");
    database.sql("DELETE FROM pinterest_data; DELETE FROM geolocation_data; DELETE FROM user_data");
    let empty = run(["emit", "--from", &database.url(), "--to", "-"]);
    assert!(empty.code == 1 && empty.stderr.contains("hold no rows"), "{empty:?}");
}

#[test]
fn invalid_source_tables_are_reported_with_a_hint() {
    if skipped() {
        return;
    }
    let database = MysqlServer::shared().database();
    let from = |flags: &[&str]| {
        let arguments = ["emit", "--from", &database.url(), "--to", "-", "--count", "3", "--rate", "100"];
        run(arguments.into_iter().chain(flags.iter().copied()))
    };
    let missing = from(&[]);
    assert!(missing.code == 1 && missing.stderr.contains("read the keys of table pinterest_data"), "{missing:?}");
    assert!(missing.stderr.contains("--init-mysql makes the three tables"), "{missing:?}");
    database.fill(20);
    database.sql("ALTER TABLE geolocation_data RENAME COLUMN ind TO number");
    let keyless = from(&[]);
    assert!(keyless.code == 1 && keyless.stderr.contains("geolocation_data: it has no column ind"), "{keyless:?}");
    // The tables of the emulator's first version had no such column.
    database.sql("ALTER TABLE pinterest_data DROP COLUMN poster_name");
    let older = from(&["--streams", "pin,user"]);
    assert!(older.code == 0 && older.stderr.contains("pinterest_data has no column poster_name"), "{older:?}");
    assert_eq!(older.stdout.lines().count(), 6);
}

#[test]
fn table_changed_during_emit_is_read_in_its_current_state() {
    if skipped() {
        return;
    }
    let (place, database) = (create_temp_dir(), MysqlServer::shared().database());
    database.fill(2000);
    let to = place.path().join("drawn");
    let mut drawing = RunningProcess::start(
        pinflow(["emit", "--from", &database.url(), "--rate", "6000", "--count", "6000", "--to"]).arg(&to),
    );
    let lines = || std::fs::read_to_string(to.join("user.jsonl")).map_or(0, |text| text.lines().count());
    wait_until("some rows are drawn", || lines() > 500);
    database.sql("UPDATE user_data SET age = 99; DELETE FROM user_data WHERE ind % 2 = 0");
    let changed = lines();
    assert!(drawing.wait().success());
    let rows = read_messages(&to, "user");
    assert!(changed < 5500, "it goes on after the change");
    let after = &rows[changed + 300..];
    assert!(after.iter().all(|row| row["age"] == 99 && ind(row) % 2 == 1), "no row is drawn from memory");
}

#[test]
fn signal_ends_emit_at_default_rate_and_skip_continues() {
    if skipped() {
        return;
    }
    let (place, database) = (create_temp_dir(), MysqlServer::shared().database());
    database.fill(400);
    let to = place.path().join("drawn");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let before = std::fs::read_to_string(to.join("user.jsonl")).map_or(0, |text| text.lines().count());
        let skip = before.to_string();
        let arguments = ["emit", "--from", &database.url(), "--skip", &skip, "--append", "--to"];
        let log = place.path().join("log");
        let mut command = pinflow(arguments);
        command.arg(&to).stderr(std::fs::File::create(&log).unwrap());
        let mut drawing = RunningProcess::start(&mut command);
        wait_until("three draws are made", || {
            std::fs::read_to_string(to.join("user.jsonl")).is_ok_and(|text| text.lines().count() >= before + 3)
        });
        drawing.signal(signal);
        assert!(drawing.wait().success());
        let said = std::fs::read_to_string(log).unwrap();
        let drawn = STREAMS.map(|stream| read_messages(&to, stream).len());
        assert!(drawn.iter().all(|count| *count == drawn[0]), "whole draws: {drawn:?}");
        assert!(said.contains(&format!("--skip {} continues with the next draw", drawn[0])), "{said}");
    }
    let drawn: Vec<usize> = read_messages(&to, "pin").iter().map(ind).collect();
    let count = drawn.len().to_string();
    let at_once =
        run(["emit", "--from", &database.url(), "--to", "-", "--streams", "pin", "--rate", "1M", "--count", &count]);
    let expected: Vec<usize> = at_once.stdout.lines().map(|line| ind(&serde_json::from_str(line).unwrap())).collect();
    assert_eq!(drawn, expected, "two halves are the whole");
}

#[test]
fn answers_over_drawn_rows_equal_a_batch_query() {
    if skipped() {
        return;
    }
    let (place, database) = (create_temp_dir(), MysqlServer::shared().database());
    database.fill(1500);
    let to = place.path().join("drawn");
    let flags = ["--draws", "original", "--rate", "1M", "--count", "9000"];
    let ended = run(["emit", "--from", &database.url(), "--to", to.to_str().unwrap()].into_iter().chain(flags));
    assert_eq!(ended.code, 0, "{ended:?}");
    let tables = place.path().join("tables");
    let output = succeed(pinflow(["run"]).arg(&to).arg("--tables").arg(&tables).args(["--output", "snapshots"]));
    let snapshot = last_snapshot(&output.stdout);
    assert!(!snapshot.answers["popular_category_by_country"].is_empty());
    assert_answers_equal_batch(&tables, GraphOptions::default(), &snapshot);
}
