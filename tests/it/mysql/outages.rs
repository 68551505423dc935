//! A database that goes down and comes back.

use nix::sys::signal::Signal;

use super::{STREAMS, ind, read_messages, run, skipped};
use pinflow_testkit::mysql::MysqlServer;
use pinflow_testkit::{RunningProcess, create_temp_dir, pinflow, wait_until};

/// A separate server with this many rows in each table, and its URL.
fn start_filled(rows: u32) -> (MysqlServer, String) {
    let server = MysqlServer::start(None);
    let url = {
        let database = server.database();
        database.fill(rows);
        database.url()
    };
    (server, url)
}

#[test]
fn killed_database_is_retried_and_no_draw_is_lost_or_repeated() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (mut server, url) = start_filled(800);
    let flags = ["--draws", "original", "--rate", "3000", "--count", "4000"];
    let (to, log) = (place.path().join("drawn"), place.path().join("log"));
    let mut command = pinflow(["emit", "--from", &url, "--to"]);
    command.arg(&to).args(flags).stderr(std::fs::File::create(&log).unwrap());
    let mut drawing = RunningProcess::start(&mut command);
    let messages =
        || STREAMS.map(|stream| std::fs::read_to_string(to.join(format!("{stream}.jsonl"))).unwrap_or_default());
    let count = || messages().iter().map(|text| text.lines().count()).sum::<usize>();
    for _ in 0..2 {
        let before = count();
        // The tables have 800 of 11,001 offsets, so one draw in 14 finds a row.
        wait_until("rows are drawn", || count() > before + 20);
        let noticed = || std::fs::read_to_string(&log).unwrap().matches("trying again until it is back").count();
        let times = noticed();
        server.kill();
        wait_until("its absence is noticed", || noticed() > times);
        server.restart();
    }
    assert!(drawing.wait().success(), "{}", std::fs::read_to_string(&log).unwrap());
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("4000 draws") && said.contains("the database was away 2 times"), "{said}");
    let whole = place.path().join("whole");
    let undisturbed = run(["emit", "--from", &url, "--to", whole.to_str().unwrap()].into_iter().chain(flags));
    assert_eq!(undisturbed.code, 0, "{undisturbed:?}");
    for stream in STREAMS {
        assert!(
            read_messages(&to, stream) == read_messages(&whole, stream),
            "{stream}: each draw once, and in its order"
        );
    }
}

#[test]
fn database_not_yet_up_is_retried() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (mut server, url) = start_filled(50);
    server.kill();
    let log = place.path().join("log");
    let mut command = pinflow(["emit", "--from", &url, "--count", "100", "--rate", "1M", "--to"]);
    command.arg(place.path().join("drawn")).stderr(std::fs::File::create(&log).unwrap());
    let mut drawing = RunningProcess::start(&mut command);
    let said = || std::fs::read_to_string(&log).unwrap();
    wait_until("it says that nobody answers", || said().contains("trying again"));
    server.restart();
    assert!(drawing.wait().success(), "{}", said());
    let rows = read_messages(&place.path().join("drawn"), "user");
    assert!(rows.len() == 100 && rows.iter().all(|row| ind(row) < 50));
}

#[test]
fn signal_ends_emit_while_the_database_is_down() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (mut server, url) = start_filled(50);
    let log = place.path().join("log");
    let mut command = pinflow(["emit", "--from", &url, "--rate", "300", "--to"]);
    command.arg(place.path().join("drawn")).stderr(std::fs::File::create(&log).unwrap());
    let mut drawing = RunningProcess::start(&mut command);
    let said = || std::fs::read_to_string(&log).unwrap();
    wait_until("it draws", || {
        std::fs::read_to_string(place.path().join("drawn/user.jsonl")).is_ok_and(|text| !text.is_empty())
    });
    server.kill();
    wait_until("its absence is noticed", || said().contains("trying again until it is back"));
    drawing.signal(Signal::SIGTERM);
    assert!(drawing.wait().success(), "{}", said());
    let drawn = read_messages(&place.path().join("drawn"), "user").len();
    assert!(said().contains(&format!("--skip {drawn} continues with the next draw")), "{drawn}: {}", said());
}
