//! Topics are read completely: each record once, through crashes of pinflow and of brokers.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rdkafka::admin::{AdminOptions, NewPartitions};

use pinflow_testkit::kafka::broker::{KafkaBroker, block_on};
use pinflow_testkit::kafka::site::{PostsSite, STREAMS, SendingThread, lines};
use pinflow_testkit::kafka::skipped;
use pinflow_testkit::{pinflow, wait_until};

/// Default number of posts per stream that are sent while the program reads. `PINFLOW_KAFKA_INDS` overrides it.
const DEFAULT_INDS: u32 = 10_000;
/// Default number of kills. `PINFLOW_KAFKA_KILLS` overrides it.
const DEFAULT_KILLS: u32 = 10;

fn env_or_default(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn posts_sent_during_a_run_are_answered_and_stored_once() {
    if skipped() {
        return;
    }
    let site = PostsSite::new(KafkaBroker::shared(), 4);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    site.emit(env_or_default("PINFLOW_KAFKA_INDS", DEFAULT_INDS), 31, &["--malformed", "0.01", "--order", "emulator"]);
    live.wait_until_caught_up(&site.ends());
    let snapshot = live.stop();
    site.assert_answers_and_rows(&snapshot);
    let sources = snapshot.cut["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 12);
    for source in sources {
        assert_eq!(source["lag"], 0, "{source}");
        assert_eq!(source["lag_ms"], 0, "{source}");
        assert_eq!(source["end"], source["position"], "{source}");
    }
}

#[test]
fn run_killed_at_any_moment_loses_and_repeats_nothing() {
    if skipped() {
        return;
    }
    let site = PostsSite::new(KafkaBroker::shared(), 4);
    let recording = site.recording(env_or_default("PINFLOW_KAFKA_INDS", DEFAULT_INDS), 32, &["--malformed", "0.01"]);
    let config = site.configure("");
    let kills = env_or_default("PINFLOW_KAFKA_KILLS", DEFAULT_KILLS);
    let streams = STREAMS.map(|stream| (site.topic(stream), lines(&recording, stream)));
    let share = streams[0].1.len() / kills as usize + 1;
    let mut sending = site.producer();
    for kill in 0..kills as usize {
        let live = site.run(&config, &[]);
        for (topic, lines) in &streams {
            for (number, line) in (0..).zip(lines).skip(kill * share).take(share) {
                sending.send(topic, number % 4, Some(line));
            }
        }
        sending.flush();
        // From before the first partition starts to the middle of commits.
        let life = Duration::from_millis(20 + (kill as u64 * 7_919) % 900);
        std::thread::sleep(life);
        live.running.signal(Signal::SIGKILL);
    }
    site.finish(&config);
}

#[test]
fn crashed_or_frozen_broker_is_retried() {
    if skipped() {
        return;
    }
    let mut broker = KafkaBroker::start_dedicated("");
    let site = PostsSite::new(&broker, 4);
    let recording = site.recording(2_000, 33, &[]);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    site.send(&recording, 4);
    live.wait_until_read(&site.ends());
    broker.kill();
    wait_until("it says that no broker responds", || live.log().contains("no broker responds"));
    broker.start_again();
    site.send(&recording, 4);
    live.wait_until_read(&site.ends());
    broker.terminate();
    broker.start_again();
    broker.freeze(true);
    std::thread::sleep(Duration::from_secs(2));
    broker.freeze(false);
    site.send(&recording, 4);
    live.wait_until_read(&site.ends());
    assert!(live.log().contains("Kafka can be reached again"), "{}", live.log());
    site.assert_answers_and_rows(&live.stop());
}

#[test]
fn run_stops_within_its_deadline_while_no_broker_responds() {
    if skipped() {
        return;
    }
    let mut broker = KafkaBroker::start_dedicated("");
    let site = PostsSite::new(&broker, 1);
    let recording = site.recording(100, 34, &[]);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    site.send(&recording, 1);
    live.wait_until_read(&site.ends());
    let held = site.list_stored_positions();
    broker.freeze(true);
    std::thread::sleep(Duration::from_secs(2));
    let asked = Instant::now();
    live.stop();
    assert!(asked.elapsed() < Duration::from_secs(25), "it took {:?}", asked.elapsed());
    pinflow_testkit::kafka::site::assert_each_once(&held, &site.tables());
    broker.kill();
}

#[test]
fn added_partition_is_read_from_its_beginning() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::new(broker, 1);
    let recording = site.recording(500, 35, &[]);
    let config = site.configure("start = \"latest\"");
    let live = site.run(&config, &[]);
    wait_until("it has begun", || live.source(&format!("kafka/{}/0", site.topic("user"))).is_some());
    let add = |count| {
        let topics = STREAMS.map(|stream| site.topic(stream));
        let more: Vec<_> = topics.iter().map(|topic| NewPartitions::new(topic, count)).collect();
        let made = block_on(broker.admin().create_partitions(&more, &AdminOptions::new())).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    };
    add(3);
    // Before the monitor checks, so these records are the first of the new partitions.
    site.send(&recording, 3);
    live.wait_until_read(&site.ends());
    live.stop();
    // Also while no run reads.
    add(5);
    site.send(&recording, 5);
    site.finish(&config);
}

#[test]
fn configured_start_point_is_kept_after_a_crash() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::new(broker, 1);
    let topic = site.topic("user");
    let config_of = |start: &str| {
        let config = site.configure_topics(&format!("user = \"{topic}\""), &format!("start = \"{start}\""));
        let _ = std::fs::remove_dir_all(site.tables());
        config
    };
    let user = |ind: u32| format!("{{\"ind\":{ind},\"age\":20}}");
    let mut sending = SendingThread::new(&broker.plaintext(), &[]);
    let mut send = |inds: std::ops::Range<u32>| {
        inds.for_each(|ind| sending.send(&topic, 0, Some(user(ind).as_bytes())));
        sending.flush();
    };
    send(0..10);
    std::thread::sleep(Duration::from_millis(50));
    let moment = jiff::Timestamp::now();
    std::thread::sleep(Duration::from_millis(50));
    send(10..20);
    let name = format!("kafka/{topic}/0");
    let first = || pinflow_testkit::ledger::deliveries(&site.tables()).keys().map(|(_, position, _)| *position).min();
    for (start, begins) in [("earliest", 0), (moment.to_string().as_str(), 10)] {
        let live = site.run(&config_of(start), &[]);
        wait_until("it has read to the end", || live.position(&name) == Some(20));
        live.stop();
        assert_eq!(first(), Some(begins), "{start}");
    }
    // `latest`, killed after the start and before the first record: records that arrive meanwhile are not skipped.
    let config = config_of("latest");
    let live = site.run(&config, &[]);
    let durable =
        || live.cut().is_some_and(|cut| cut["durable_epoch"] == cut["epoch"] && cut["sources"][0]["position"] == "20");
    wait_until("it has begun, and that is durable", durable);
    live.running.signal(Signal::SIGKILL);
    drop(live);
    send(20..25);
    let live = site.run(&config, &[]);
    wait_until("it has read to the end", || live.position(&name) == Some(25));
    live.stop();
    assert_eq!(first(), Some(20));
    assert_eq!(pinflow_testkit::ledger::deliveries(&site.tables()).len(), 5);
}

#[test]
fn slow_sink_pauses_partitions_and_bounds_memory() {
    if skipped() {
        return;
    }
    let site = PostsSite::new(KafkaBroker::shared(), 4);
    // Some 60 MB.
    let recording = site.recording(60_000, 36, &[]);
    site.send(&recording, 4);
    let config = site.configure("");
    let mut command = pinflow(["run"]);
    let log = std::fs::File::create(site.place.path().join("log")).unwrap();
    command.arg(&config).args(["--output", "none"]).env("RUST_LOG", "pinflow=debug").stderr(log);
    // Each commit takes much longer than a short wait.
    command.env("FAILPOINTS", "engine::commit=sleep(2500)");
    let mut running = pinflow_testkit::RunningProcess::start(&mut command);
    let said = || std::fs::read_to_string(site.place.path().join("log")).unwrap();
    let mut most = 0;
    wait_until("the partitions were paused a few times", || {
        assert!(running.try_wait().is_none(), "{}", said());
        most = most.max(running.memory_bytes());
        said().matches("partitions are paused").count() >= 3
    });
    running.signal(Signal::SIGKILL);
    running.wait();
    assert!(most < 400 << 20, "{} MiB", most >> 20);
    site.finish(&config);
}
