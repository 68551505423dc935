//! Each process reads a share of the sources: every record once, whichever process reads it and dies.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow_archive::object_name::ArchivePartition;
use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::kafka::broker::{KafkaBroker, block_on};
use pinflow_testkit::kafka::site::{PostsSite, STREAMS, lines};
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::{KinesisSite, with_credentials as kinesis_credentials};
use pinflow_testkit::ledger::{assert_each_line_once, deliveries};
use pinflow_testkit::{RunningProcess, emit, last_snapshot, wait_until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::admin::{AdminOptions, NewPartitions};
use serde_json::Value;

use super::{ClusterSite, ConfigLines, PEER_LOST, TestCluster};
use crate::objects::archive::{messages, objects};

/// Partitions of each topic.
const PARTITIONS: i32 = 4;
/// Default number of rounds. `PINFLOW_CLUSTER_KAFKA_KILLS` overrides it.
const DEFAULT_KILL_ROUNDS: u32 = 8;
/// Default number of `ind` that are sent in a round, one post of each stream. `PINFLOW_CLUSTER_KAFKA_INDS` overrides it.
const DEFAULT_ROUND_INDS: u32 = 1_000;
const TO_THE_END: [&str; 5] = ["--until-caught-up", "--output", "snapshots", "--workers", "1"];

/// What the log of a leader has for each commit.
const COMMIT_LINE: &str = "\"message\":\"committed\"";

/// The steps at which a follower can die while it reads.
const SOURCE_FAILPOINTS: [&str; 4] =
    ["cluster::before_source", "cluster::after_source", "cluster::block", "cluster::before_written"];

/// Runs a cluster until everything is read, and asserts that tables and answers are right.
fn finish(site: &PostsSite, cluster: &TestCluster) {
    cluster.run_to_end(&TO_THE_END);
    site.assert_answers_and_rows(&last_snapshot(&cluster.stdout(0)));
}

/// Arms a failpoint in one process.
fn arm(victim: usize, points: String) -> impl Fn(usize, &mut Command) {
    move |process, command| {
        if process == victim {
            command.env("FAILPOINTS", &points);
        }
    }
}

/// Waits until all processes have ended, and kills those that wait for one that died while the cluster formed.
fn wait_for_all(cluster: &TestCluster, mut running: Vec<RunningProcess>) -> Vec<Option<i32>> {
    let start = Instant::now();
    while running.iter_mut().any(|process| process.try_wait().is_none()) {
        let has_formed = (0..running.len()).any(|process| cluster.log(process).contains("the cluster is formed"));
        let someone_died = running.iter_mut().any(|process| process.try_wait().is_some());
        if someone_died && !has_formed && start.elapsed() > Duration::from_secs(1) {
            running.iter().for_each(|process| process.try_signal(Signal::SIGKILL));
        }
        assert!(start.elapsed() < Duration::from_secs(60), "not all processes end: {}", cluster.log(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    cluster.wait(running)
}

#[test]
fn partitions_of_kafka_are_shared_and_each_record_is_stored_once() {
    if pinflow_testkit::kafka::skipped() {
        return;
    }
    let site = PostsSite::new(KafkaBroker::shared(), PARTITIONS);
    let config = site.configure("");
    for (seed, processes) in [(51, 2), (52, 3), (53, 1)] {
        site.send(&site.recording(600, seed, &["--malformed", "0.01"]), PARTITIONS);
        let cluster = TestCluster::new(&config, site.place.path(), processes);
        finish(&site, &cluster);
        let read: Vec<_> = (0..processes).map(|process| partitions_read(&cluster, process)).collect();
        assert_eq!(read.iter().sum::<usize>(), 12, "{read:?}");
        assert!(read.iter().all(|count| *count >= 12 / processes - 1), "{read:?}");
    }
}

/// How many partitions a process reads, as the leader logs it.
fn partitions_read(cluster: &TestCluster, process: usize) -> usize {
    let log = cluster.log(0);
    let opened = log.lines().filter(|line| line.contains("a partition is opened"));
    opened.filter(|line| line.contains(&format!("\"process\":{process},"))).count()
}

#[test]
fn cluster_that_reads_kafka_is_killed_at_any_moment_and_loses_and_repeats_nothing() {
    if pinflow_testkit::kafka::skipped() {
        return;
    }
    let number = |name, default| std::env::var(name).map_or(default, |number| number.parse::<u32>().unwrap());
    let rounds = number("PINFLOW_CLUSTER_KAFKA_KILLS", DEFAULT_KILL_ROUNDS);
    let inds = number("PINFLOW_CLUSTER_KAFKA_INDS", DEFAULT_ROUND_INDS);
    let site = PostsSite::new(KafkaBroker::shared(), PARTITIONS);
    let recording = site.recording(inds * rounds, 55, &["--malformed", "0.01"]);
    let streams = STREAMS.map(|stream| (site.topic(stream), lines(&recording, stream)));
    let config = site.configure("");
    let share = streams[0].1.len() / rounds as usize + 1;
    let (mut sending, mut random) = (site.producer(), StdRng::seed_from_u64(43));
    for round in 0..rounds as usize {
        let processes = 2 + round % 2;
        let cluster = TestCluster::new(&config, site.place.path(), processes);
        let victim = random.random_range(0..processes);
        let passes = random.random_range(0..12);
        let step = SOURCE_FAILPOINTS[random.random_range(0..SOURCE_FAILPOINTS.len())];
        let points = if round % 2 == 0 { format!("{step}={passes}*off->1*return(abort)") } else { String::new() };
        let running = cluster.start_with(&["--output", "none", "--workers", "1"], arm(victim, points));
        for (topic, lines) in &streams {
            for (number, line) in (0..).zip(lines).skip(round * share).take(share) {
                sending.send(topic, number % PARTITIONS, Some(line));
            }
        }
        sending.flush();
        std::thread::sleep(Duration::from_millis(random.random_range(20..1_500)));
        running[victim].try_signal(Signal::SIGKILL);
        let codes = wait_for_all(&cluster, running);
        let may_end = [None, Some(PEER_LOST)];
        assert!(
            codes.iter().all(|code| may_end.contains(code)),
            "round {round}, {step}: {codes:?}\n{}",
            cluster.log(0)
        );
    }
    finish(&site, &TestCluster::new(&config, site.place.path(), 2));
}

#[test]
fn archive_has_each_message_once_although_the_processes_that_write_it_are_killed() {
    if pinflow_testkit::kafka::skipped() {
        return;
    }
    let site = PostsSite::new(KafkaBroker::shared(), PARTITIONS);
    let config = site.configure("");
    let archive = "[archive]\nurl = \"raw\"\nrotate_secs = 0\nflush_records = 100\n";
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + archive).unwrap();
    let steps = ["archive::before_put", "archive::after_put", "cluster::before_written", "cluster::after_written"];
    let recording = site.recording(2_000, 59, &["--malformed", "0.01"]);
    let streams = STREAMS.map(|stream| (site.topic(stream), lines(&recording, stream)));
    let (mut sending, rounds, mut met) = (site.producer(), steps.len(), 0);
    for (round, step) in steps.into_iter().enumerate() {
        let processes = 2 + round % 2;
        let cluster = TestCluster::new(&config, site.place.path(), processes);
        // The leader sends no `Written`, so it can die only before or after a put.
        let victim = if round == 0 { 0 } else { processes - 1 };
        let armed = arm(victim, format!("{step}=1*off->1*return(abort)"));
        let mut running = cluster.start_with(&["--output", "none", "--workers", "1"], armed);
        wait_until("the victim reads", || partitions_read(&cluster, victim) > 0);
        for (topic, lines) in &streams {
            let share = lines.len() / rounds;
            for (number, line) in (0..).zip(lines).skip(round * share).take(share) {
                sending.send(topic, number % PARTITIONS, Some(line));
                // Several windows, so that the step is met.
                if number % 100 == 0 {
                    sending.flush();
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        sending.flush();
        let start = Instant::now();
        while running[victim].try_wait().is_none() && start.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(10));
        }
        met += usize::from(running[victim].try_wait().is_some());
        running[victim].try_signal(Signal::SIGKILL);
        let codes = wait_for_all(&cluster, running);
        assert!(codes.iter().all(|code| [None, Some(PEER_LOST)].contains(code)), "{codes:?}\n{}", cluster.log(0));
    }
    for (topic, lines) in &streams {
        for (number, line) in (0..).zip(lines).skip(lines.len() / rounds * rounds) {
            sending.send(topic, number % PARTITIONS, Some(line));
        }
    }
    sending.flush();
    assert!(met >= rounds / 2, "only {met} of {rounds} processes died at their step");
    let cluster = TestCluster::new(&config, site.place.path(), 2);
    finish(&site, &cluster);
    assert!([0, 1].iter().all(|process| partitions_read(&cluster, *process) >= 5), "{}", cluster.log(0));
    let archived = objects(&site.place.path().join("raw"));
    assert_eq!(archived.len(), STREAMS.len() * PARTITIONS as usize);
    for (topic, lines) in &streams {
        for partition in 0..PARTITIONS as usize {
            let sent: Vec<_> = lines.iter().skip(partition).step_by(PARTITIONS as usize).cloned().map(Some).collect();
            let source = format!("kafka/{topic}/{partition}");
            assert_eq!(messages(&archived[&ArchivePartition::from_source(&source)], 0), sent, "{source}");
        }
    }
}

#[test]
fn latest_start_of_a_topic_is_the_same_for_all_processes_although_one_dies_first() {
    if pinflow_testkit::kafka::skipped() {
        return;
    }
    let site = PostsSite::new(KafkaBroker::shared(), PARTITIONS);
    let config = site.configure("start = \"latest\"");
    site.send(&site.recording(500, 56, &[]), PARTITIONS);
    let before = site.ends();
    // It dies before it says where its partitions start, when the leader has had time to store where its own do.
    let cluster = TestCluster::new(&config, site.place.path(), 2);
    let silent = arm(1, "cluster::before_source=pause".to_owned());
    let running = cluster.start_with(&["--output", "none", "--workers", "1"], silent);
    wait_until("the leader knows its partitions", || partitions_read(&cluster, 0) == 6);
    std::thread::sleep(Duration::from_secs(1));
    running[1].signal(Signal::SIGKILL);
    assert_eq!(cluster.wait(running), [Some(PEER_LOST), None], "{}", cluster.log(0));
    assert!(!cluster.log(0).contains(COMMIT_LINE), "{}", cluster.log(0));
    // Had the leader stored its starts alone, the other partitions would begin at their oldest record now.
    let cluster = TestCluster::new(&config, site.place.path(), 2);
    let running = cluster.start(&["--output", "none", "--workers", "1"]);
    wait_until("the starts are stored", || cluster.log(0).contains(COMMIT_LINE));
    site.send(&site.recording(500, 57, &[]), PARTITIONS);
    running[1].signal(Signal::SIGTERM);
    assert_eq!(cluster.wait(running), [Some(PEER_LOST), Some(0)]);
    cluster.run_to_end(&TO_THE_END);
    let stored = deliveries(&site.tables());
    for (partition, end) in site.ends() {
        let of_partition = stored.keys().filter(|(source, _, _)| *source == partition);
        let first = of_partition.map(|(_, position, _)| *position).min();
        assert_eq!(first, Some(before[&partition]), "{partition} up to {end}");
    }
}

#[test]
fn recordings_are_read_by_the_process_that_they_are_given_to() {
    let site = ClusterSite::new(600, ConfigLines::default());
    let second = site.path().join("second");
    emit(&second, 300, 300, 12, &[]);
    let add = |name: &str| {
        let text = std::fs::read_to_string(&site.config).unwrap();
        let source = format!("[[source]]\nkind = \"recording\"\npath = \"second\"\nprocess = 1\n{name}\n{text}");
        let config = site.path().join("two.toml");
        std::fs::write(&config, source).unwrap();
        config
    };
    let cluster = TestCluster::new(&add("name = \"second\""), site.path(), 3);
    cluster.run_to_end(&["--output", "snapshots"]);
    assert_eq!([0, 1, 2].map(|process| partitions_read(&cluster, process)), [3, 3, 0]);
    let sources = last_snapshot(&cluster.stdout(0)).cut["sources"].as_array().unwrap().len();
    assert_eq!(sources, 6);
    // One process reads both.
    let alone = TestCluster::new(&cluster.config, site.path(), 1);
    alone.run_to_end(&["--output", "snapshots"]);
    assert_eq!(last_snapshot(&alone.stdout(0)).answers, last_snapshot(&cluster.stdout(0)).answers);
    // Without a name their files would have the same names.
    std::fs::remove_dir_all(site.tables()).unwrap();
    let clashing = TestCluster::new(&add(""), site.path(), 2);
    let running = clashing.start(&["--output", "none"]);
    assert_eq!(clashing.wait(running), [Some(1), Some(PEER_LOST)], "{}", clashing.log(0));
    assert!(clashing.log(0).contains("is read by process"), "{}", clashing.log(0));
}

#[test]
fn cluster_that_reads_kinesis_is_killed_while_a_stream_is_resharded_and_loses_and_repeats_nothing() {
    if pinflow_testkit::kinesis::skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::new(&endpoint, &endpoint, 2);
    let config = site.configure("");
    let mut random = StdRng::seed_from_u64(44);
    for round in 0..4 {
        let processes = 2 + round % 2;
        let cluster = TestCluster::new(&config, site.place.path(), processes);
        let running = cluster.start_with(&["--output", "none", "--workers", "1"], with_credentials);
        site.send(&site.recording(150, 60 + u32::try_from(round).unwrap(), &["--malformed", "0.02"]));
        let stream = site.stream(["pin", "user"][round % 2]);
        site.probe.split(&stream, &site.probe.open(&stream)[0]);
        let victim = random.random_range(0..processes);
        std::thread::sleep(Duration::from_millis(random.random_range(100..2_500)));
        running[victim].try_signal(Signal::SIGKILL);
        let codes = wait_for_all(&cluster, running);
        assert!(codes.iter().all(|code| [None, Some(PEER_LOST)].contains(code)), "{codes:?}\n{}", cluster.log(0));
    }
    let cluster = TestCluster::new(&config, site.place.path(), 3);
    let codes = cluster.wait(cluster.start_with(&TO_THE_END, with_credentials));
    assert_eq!(codes, [Some(0); 3], "{}{}{}", cluster.log(0), cluster.log(1), cluster.log(2));
    site.assert_answers_and_rows(&last_snapshot(&cluster.stdout(0)));
    let shards: usize = STREAMS.map(|stream| site.probe.shards(&site.stream(stream)).len()).iter().sum();
    assert!(shards >= 6 + 4 * 2, "{shards}");
}

/// Adds credentials of Kinesis to the environment of a process.
fn with_credentials(_: usize, command: &mut Command) {
    let credentials = kinesis_credentials(Command::new(""));
    command.envs(credentials.get_envs().filter_map(|(name, value)| Some((name, value?))));
}

#[test]
fn stored_rows_are_read_back_by_all_processes() {
    let tables = "commit_rows_max = 500\ncommit_age_secs_max = 0.05\ncompact = false";
    let site =
        ClusterSite::new(2_000, ConfigLines { source: "rate_per_sec = 20000", tables, ..ConfigLines::default() });
    site.cluster(2).run_to_end(&["--output", "none", "--workers", "1"]);
    let cluster = site.cluster(3);
    cluster.run_to_end(&["--output", "snapshots", "--workers", "1"]);
    let rows_read = |process: usize| {
        let log = cluster.log(process);
        let line = log.lines().find(|line| line.contains("in the stored rows is read back"));
        let line: Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{log}"))).unwrap();
        line["rows"].as_u64().unwrap()
    };
    let all = deliveries(&site.tables()).len() as u64;
    for process in [1, 2] {
        assert!(rows_read(process) > all / 6 && rows_read(process) < all / 2, "{} of {all}", rows_read(process));
    }
    assert_each_line_once(&site.recording(), &site.tables());
    assert_answers_equal_batch(&site.tables(), GraphOptions::default(), &last_snapshot(&cluster.stdout(0)));
    // A file that is gone is found, whichever process was to read it.
    let pin = site.tables().join("pin");
    let files = std::fs::read_dir(&pin).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "parquet")).collect();
    files.sort();
    for file in files.iter().step_by(files.len().div_ceil(4)) {
        let aside = site.path().join("aside.parquet");
        std::fs::rename(file, &aside).unwrap();
        let broken = site.cluster(2);
        let running = broken.start(&["--output", "none", "--workers", "1"]);
        let codes = broken.wait(running);
        assert!(codes == [Some(1), Some(PEER_LOST)] || codes == [Some(PEER_LOST), Some(1)], "{codes:?}");
        std::fs::rename(&aside, file).unwrap();
    }
}

#[test]
fn partitions_added_during_a_run_are_shared_and_read_from_their_first_record() {
    if pinflow_testkit::kafka::skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::new(broker, 1);
    let config = site.configure("start = \"latest\"");
    let recording = site.recording(200, 58, &[]);
    let cluster = TestCluster::new(&config, site.place.path(), 2);
    let running = cluster.start(&["--output", "none", "--workers", "1"]);
    wait_until("the starts are stored", || cluster.log(0).contains(COMMIT_LINE));
    let topics = STREAMS.map(|stream| site.topic(stream));
    let more: Vec<_> = topics.iter().map(|topic| NewPartitions::new(topic, 5)).collect();
    let made = block_on(broker.admin().create_partitions(&more, &AdminOptions::new())).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    // Before a monitor checks, so these records are the first of the new partitions.
    site.send(&recording, 5);
    wait_until("all partitions are read", || {
        [0, 1].map(|process| partitions_read(&cluster, process)).iter().sum::<usize>() == 15
    });
    assert!([0, 1].iter().all(|process| partitions_read(&cluster, *process) >= 6), "{}", cluster.log(0));
    running[0].signal(Signal::SIGTERM);
    assert_eq!(cluster.wait(running), [Some(0), Some(PEER_LOST)]);
    finish(&site, &TestCluster::new(&config, site.place.path(), 3));
}
