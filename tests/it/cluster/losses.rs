//! Processes that are killed, frozen or replaced: the others end with 70, and a restart loses and repeats nothing.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow_delta::FAILPOINTS;
use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::ledger::{assert_each_line_once, deliveries};
use pinflow_testkit::{RunningProcess, last_snapshot, pinflow, succeed, wait_until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{ClusterSite, ConfigLines, FENCED, PEER_LOST, TestCluster};

/// Default number of rounds. `PINFLOW_CLUSTER_KILLS` overrides it.
const DEFAULT_KILL_ROUNDS: u64 = 16;
/// The failpoints of a cluster, besides those of the tables.
const CLUSTER_FAILPOINTS: [&str; 5] = [
    "cluster::block",
    "cluster::before_close",
    "cluster::after_close",
    "cluster::before_written",
    "cluster::after_written",
];

/// Many small windows, and time to kill between them.
fn small_windows() -> ConfigLines<'static> {
    ConfigLines {
        source: "rate_per_sec = 40000",
        tables: "commit_rows_max = 1500\ncommit_age_secs_max = 0.05",
        more: "[engine]\nepoch_ms = 3\nworkers = 1",
    }
}

/// Asserts that a run which ends has everything once, and the right answers.
fn assert_ends_right(site: &ClusterSite, cluster: &TestCluster) {
    cluster.run_to_end(&["--output", "snapshots"]);
    let answered = last_snapshot(&cluster.stdout(0));
    assert_each_line_once(&site.recording(), &site.tables());
    assert_answers_equal_batch(&site.tables(), GraphOptions::default(), &answered);
    succeed(pinflow(["table"]).arg(site.tables()).arg("--verify"));
}

/// Waits until the leader has committed something.
fn wait_until_committed(cluster: &TestCluster) {
    wait_until("a window is committed", || cluster.log(0).contains("committed"));
}

/// The lines of a log that name a lost process.
fn lines_of_loss(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with("pinflow: ")).collect()
}

/// Asserts how the processes that were not killed have ended: with 70 and one line, and no panic.
fn assert_ended_by_loss(cluster: &TestCluster, codes: &[Option<i32>], victim: usize) {
    for (process, code) in codes.iter().enumerate().filter(|(process, _)| *process != victim) {
        let log = cluster.log(process);
        assert_eq!(*code, Some(PEER_LOST), "process {process} after the loss of {victim}:\n{log}");
        let lines = lines_of_loss(&log);
        assert!(lines.len() == 1 && lines[0].contains("of the cluster"), "process {process}: {lines:?}");
        assert!(!log.contains("panicked"), "process {process}:\n{log}");
    }
    let stdout = String::from_utf8(cluster.stdout(0)).unwrap();
    assert!(stdout.lines().all(|line| line.starts_with('{')), "only data on stdout:\n{stdout}");
}

#[test]
fn loss_of_any_process_ends_the_others_with_70_and_one_line() {
    let site = ClusterSite::new(60_000, small_windows());
    for victim in [1, 2, 0] {
        let cluster = site.cluster(3);
        let running = cluster.start(&["--output", "changes"]);
        wait_until_committed(&cluster);
        running[victim].signal(Signal::SIGKILL);
        let codes = cluster.wait(running);
        assert_eq!(codes[victim], None);
        assert_ended_by_loss(&cluster, &codes, victim);
        // One that ends late may name another one that ended because of the loss.
        let named = format!("process {victim} of the cluster");
        let others = (0..3).filter(|process| *process != victim);
        assert!(others.clone().any(|process| cluster.log(process).contains(&named)), "{named}: {}", cluster.log(0));
    }
}

/// Runs a cluster until one process is killed, at a random moment or at a step. Returns whether all ended before that.
fn run_until_killed(cluster: &TestCluster, round: u64, random: &mut StdRng) -> bool {
    let processes = cluster.addresses.len();
    let victim = random.random_range(0..processes);
    let step = match victim {
        0 => FAILPOINTS[random.random_range(0..FAILPOINTS.len())],
        // A follower puts files, and has steps of its own.
        _ => {
            let files: Vec<_> = FAILPOINTS.into_iter().filter(|name| name.ends_with("_file")).collect();
            let steps = [&files[..], &CLUSTER_FAILPOINTS].concat();
            steps[random.random_range(0..steps.len())]
        }
    };
    let at_step = round.is_multiple_of(2);
    let passes = random.random_range(0..4);
    let arm = |process: usize, command: &mut Command| {
        if at_step && process == victim {
            command.env("FAILPOINTS", format!("{step}={passes}*off->1*return(abort)"));
        }
    };
    let mut running = cluster.start_with(&["--output", "none"], arm);
    if !at_step {
        let life = Duration::from_millis(random.random_range(10..900));
        let born = Instant::now();
        while born.elapsed() < life && running[victim].try_wait().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        running[victim].try_signal(Signal::SIGKILL);
    }
    let is_forming = |running: &mut Vec<RunningProcess>| {
        // A process that died while the cluster formed is waited for.
        running.iter_mut().any(|process| process.try_wait().is_some())
            && !(0..processes).any(|process| cluster.log(process).contains("the cluster is formed"))
    };
    let start = Instant::now();
    while running.iter_mut().any(|process| process.try_wait().is_none()) {
        if is_forming(&mut running) && start.elapsed() > Duration::from_secs(1) {
            running.iter().for_each(|process| process.try_signal(Signal::SIGKILL));
        }
        assert!(start.elapsed() < Duration::from_secs(60), "round {round}: not all processes end after {step}");
        std::thread::sleep(Duration::from_millis(2));
    }
    let codes = cluster.wait(running);
    let may_end = [None, Some(0), Some(PEER_LOST)];
    let logs = || (0..processes).map(|process| cluster.log(process)).collect::<Vec<_>>().join("---\n");
    assert!(codes.iter().all(|code| may_end.contains(code)), "round {round}, {step}: {codes:?}\n{}", logs());
    codes.iter().all(|code| *code == Some(0))
}

#[test]
fn cluster_killed_at_any_moment_loses_and_repeats_nothing() {
    let rounds = std::env::var("PINFLOW_CLUSTER_KILLS")
        .ok()
        .map_or(DEFAULT_KILL_ROUNDS, |n| n.parse().expect("PINFLOW_CLUSTER_KILLS is a number"));
    let mut random = StdRng::seed_from_u64(41);
    let mut site = ClusterSite::new(12_000, small_windows());
    for round in 0..rounds {
        let cluster = site.cluster(2 + (round % 2) as usize);
        if run_until_killed(&cluster, round, &mut random) {
            assert_ends_right(&site, &cluster);
            site = ClusterSite::new(12_000, small_windows());
        }
    }
    assert_ends_right(&site, &site.cluster(2));
}

#[test]
fn frozen_process_counts_as_lost_after_the_limit() {
    let lines = small_windows();
    let more = format!("{}\n[cluster]\nprocesses = []\nsilent_secs_max = 2", lines.more);
    let site = ClusterSite::new(60_000, ConfigLines { more: &more, ..lines });
    for frozen in [1, 0] {
        let cluster = site.cluster(2);
        let mut running = cluster.start(&["--output", "none"]);
        wait_until_committed(&cluster);
        running[frozen].signal(Signal::SIGSTOP);
        let other = 1 - frozen;
        assert_eq!(running[other].wait().code(), Some(PEER_LOST), "{}", cluster.log(other));
        assert!(cluster.log(other).contains("silent for 2 s"), "{}", cluster.log(other));
        running[frozen].signal(Signal::SIGCONT);
        assert_eq!(running[frozen].wait().code(), Some(PEER_LOST), "{}", cluster.log(frozen));
    }
    assert_ends_right(&site, &site.cluster(2));
}

#[test]
fn freeze_that_is_shorter_than_the_limit_goes_unnoticed() {
    let lines = small_windows();
    let more = format!("{}\n[cluster]\nprocesses = []\nsilent_secs_max = 60", lines.more);
    let site = ClusterSite::new(30_000, ConfigLines { more: &more, ..lines });
    let cluster = site.cluster(2);
    let running = cluster.start(&["--output", "none"]);
    wait_until_committed(&cluster);
    for frozen in [1, 0] {
        running[frozen].signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_secs(1));
        running[frozen].signal(Signal::SIGCONT);
    }
    assert_eq!(cluster.wait(running), [Some(0), Some(0)], "{}{}", cluster.log(0), cluster.log(1));
    assert_ends_right(&site, &cluster);
}

#[test]
fn follower_that_ends_while_the_leader_opens_the_tables_ends_the_run() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let site = ClusterSite::new(600, small_windows());
        let cluster = site.cluster(3);
        let open_slowly = |process: usize, command: &mut Command| {
            if process == 0 {
                command.env("FAILPOINTS", "delta::user::before_create=sleep(6000)");
            }
        };
        let running = cluster.start_with(&["--output", "none"], open_slowly);
        wait_until("the cluster is formed", || {
            (0..3).all(|process| cluster.log(process).contains("cluster is formed"))
        });
        running[2].signal(signal);
        let codes = cluster.wait(running);
        let own = (signal == Signal::SIGTERM).then_some(0);
        assert_eq!(codes, [Some(PEER_LOST), Some(PEER_LOST), own], "{}{}", cluster.log(0), cluster.log(2));
        let named = match signal {
            Signal::SIGTERM => "another process of the cluster was asked to stop",
            _ => "process 2 of the cluster",
        };
        assert!(cluster.log(0).contains(named), "{}", cluster.log(0));
        assert!(!cluster.log(0).contains("sources are started"), "{}", cluster.log(0));
        assert_ends_right(&site, &cluster);
    }
}

/// Another cluster on the same tables. Its logs are in another folder.
fn other_cluster(site: &ClusterSite) -> TestCluster {
    let folder = site.path().join("other");
    std::fs::create_dir(&folder).unwrap();
    TestCluster::new(&site.config, &folder, 2)
}

#[test]
fn cluster_that_is_replaced_by_another_one_ends_with_75_and_70() {
    let site = ClusterSite::new(60_000, small_windows());
    let first = site.cluster(2);
    let running = first.start(&["--output", "none"]);
    wait_until_committed(&first);
    other_cluster(&site).run_to_end(&["--output", "none"]);
    let codes = first.wait(running);
    assert_eq!(codes, [Some(FENCED), Some(PEER_LOST)], "{}{}", first.log(0), first.log(1));
    assert_each_line_once(&site.recording(), &site.tables());
    assert_ends_right(&site, &site.cluster(2));
}

#[test]
fn process_that_wakes_after_another_cluster_took_over_adds_nothing() {
    // Frozen for less than the limit. A leader is nearly always in the midst of a commit, a follower before a file.
    let more = "[engine]\nepoch_ms = 3\nworkers = 1\n[cluster]\nprocesses = []\nsilent_secs_max = 300";
    let steps = ["delta::geo::before_commit=sleep(150)", "delta::pin::before_file=sleep(150)"];
    for (frozen, step) in steps.into_iter().enumerate() {
        let site = ClusterSite::new(20_000, ConfigLines { more, ..small_windows() });
        let first = site.cluster(2);
        let slow = |process: usize, command: &mut Command| {
            if process == frozen {
                command.env("FAILPOINTS", step);
            }
        };
        let running = first.start_with(&["--output", "none"], slow);
        wait_until_committed(&first);
        running[frozen].signal(Signal::SIGSTOP);
        other_cluster(&site).run_to_end(&["--output", "none"]);
        assert_each_line_once(&site.recording(), &site.tables());
        running[frozen].signal(Signal::SIGCONT);
        let codes = first.wait(running);
        assert_eq!(codes, [Some(FENCED), Some(PEER_LOST)], "{step}: {}{}", first.log(0), first.log(1));
        assert_ends_right(&site, &site.cluster(2));
    }
}

#[test]
fn of_two_clusters_that_start_at_once_one_lives() {
    let rounds =
        std::env::var("PINFLOW_CLUSTER_DUELS").map_or(2, |n| n.parse().expect("PINFLOW_CLUSTER_DUELS is a number"));
    for _ in 0..rounds {
        let source = "follow = true\nrate_per_sec = 20000";
        let site = ClusterSite::new(4_000, ConfigLines { source, ..small_windows() });
        let clusters = [site.cluster(2), other_cluster(&site)];
        let mut running: Vec<_> = clusters.iter().map(|cluster| cluster.start(&["--output", "none"])).collect();
        wait_until("one cluster ends", || running.iter_mut().any(|cluster| cluster[0].try_wait().is_some()));
        let lives = usize::from(running[0][0].try_wait().is_some());
        let lost = clusters[1 - lives].wait(running.swap_remove(1 - lives));
        assert_eq!(lost, [Some(FENCED), Some(PEER_LOST)], "{}", clusters[1 - lives].log(0));
        wait_until("the other one reads everything", || deliveries(&site.tables()).values().sum::<usize>() >= 12_000);
        running[0][0].signal(Signal::SIGTERM);
        assert_eq!(clusters[lives].wait(running.remove(0)), [Some(0), Some(PEER_LOST)]);
        assert_each_line_once(&site.recording(), &site.tables());
    }
}

#[test]
fn number_of_processes_changes_between_runs_in_the_midst_of_a_stream() {
    let site = ClusterSite::new(30_000, small_windows());
    for processes in [1, 2, 3, 1, 2] {
        let cluster = site.cluster(processes);
        let running = cluster.start(&["--output", "none"]);
        wait_until_committed(&cluster);
        running[processes - 1].signal(Signal::SIGKILL);
        let codes = cluster.wait(running);
        if processes > 1 {
            assert_ended_by_loss(&cluster, &codes, processes - 1);
        }
    }
    assert_ends_right(&site, &site.cluster(3));
}
