//! Forming, also while processes are killed, and the orderly end.

use std::time::{Duration, Instant};

use crate::TestCase;
use crate::processes::{ClusterSpec, NodeProcess, PATIENT_TIMEOUT, check_formed};

pub(crate) const TESTS: &[TestCase] = &[
    ("clusters_of_one_to_three_processes_form_and_end_with_all_records", clusters_form_and_end_with_all_records),
    ("cluster_forms_after_kills_at_random_moments", cluster_forms_after_kills_at_random_moments),
    ("mismatched_process_is_named_and_waited_for", mismatched_process_is_named_and_waited_for),
    ("port_in_use_is_named_and_waited_for", port_in_use_is_named_and_waited_for),
];

/// The kills of one round at most, and the longest time between two.
const KILLS_MAX: u64 = 12;
const KILL_INTERVAL_MILLIS_MAX: u64 = 120;

fn clusters_form_and_end_with_all_records() {
    for (processes, workers) in [(1, 2), (2, 1), (3, 2)] {
        let common = format!("workers={workers}\nrounds=50\nrecords=100\nsecret={}", "s".repeat(32));
        let mut nodes = ClusterSpec::on_loopback(processes, &common).start_all();
        let formed = check_formed(&nodes);
        let mut counted = 0;
        for node in &mut nodes {
            let status = node.wait_for_exit();
            assert_eq!(status.code(), Some(0), "{formed}: {}", node.stderr());
            assert!(!node.stderr().contains("panicked"), "{}", node.stderr());
            counted += node.wait_for_line("counted ")["counted ".len()..].parse::<usize>().unwrap();
        }
        assert_eq!(counted, processes * workers * 50 * 100);
    }
}

/// Restarts whatever has ended, as a supervisor does.
fn restart_ended(cluster: &ClusterSpec, nodes: &mut [NodeProcess]) {
    for (index, node) in nodes.iter_mut().enumerate() {
        if !node.is_running() {
            let code = node.wait_for_exit().code();
            assert!(matches!(code, None | Some(70)), "{code:?}: {}", node.stderr());
            assert!(!node.stderr().contains("panicked"), "{}", node.stderr());
            *node = cluster.start(index);
        }
    }
}

fn cluster_forms_after_kills_at_random_moments() {
    let rounds = std::env::var("PINFLOW_CLUSTER_KILL_ROUNDS").map_or(8, |text| text.parse().unwrap());
    let mut random = RandomNumbers(rounds);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let processes = 2 + usize::try_from(round % 2).unwrap();
        let cluster = ClusterSpec::on_loopback(processes, "");
        let mut nodes = cluster.start_all();
        for _ in 0..random.below(KILLS_MAX) {
            std::thread::sleep(Duration::from_millis(random.below(KILL_INTERVAL_MILLIS_MAX)));
            let victim = usize::try_from(random.below(processes as u64)).unwrap();
            if nodes[victim].is_running() {
                nodes[victim].send_signal("KILL");
            }
            restart_ended(&cluster, &mut nodes);
        }
        let quiet = Instant::now();
        while !is_formed(&nodes) {
            assert!(quiet.elapsed() < PATIENT_TIMEOUT, "round {round} does not form: {}", all_logs(&nodes));
            restart_ended(&cluster, &mut nodes);
            std::thread::sleep(Duration::from_millis(5));
        }
        slowest = slowest.max(quiet.elapsed());
    }
    println!("{rounds} rounds of kills; the slowest cluster formed {:.2} s after the last", slowest.as_secs_f64());
}

/// Whether all processes run, and are in the same generation and pass records.
fn is_formed(nodes: &[NodeProcess]) -> bool {
    let formed = |node: &NodeProcess| {
        let stdout = node.stdout();
        let line = stdout.lines().find(|line| line.starts_with("formed "))?;
        stdout.contains("passing").then(|| line.split(" refused").next().unwrap_or_default().to_owned())
    };
    let Some(first) = formed(&nodes[0]) else { return false };
    nodes.iter().all(|node| formed(node).is_some_and(|line| line == first))
}

fn all_logs(nodes: &[NodeProcess]) -> String {
    nodes.iter().map(NodeProcess::stderr).collect::<Vec<_>>().join("\n---\n")
}

fn mismatched_process_is_named_and_waited_for() {
    for (more, named) in [
        ("workers=4", "runs 4 workers, this one 1: set [engine] workers to the same number"),
        ("fingerprint=9", "has another configuration"),
        ("build=other", "runs build \"other\" of pinflow, this one \"test\""),
        ("secret=another-secret-of-at-least-32-bytes", "has another secret"),
        ("processes=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", ""),
    ] {
        let cluster = ClusterSpec::on_loopback(2, "secret=a-secret-that-has-at-least-32-bytes");
        let leader = cluster.start(0);
        if named.is_empty() {
            let list = format!("processes={},{},127.0.0.1:3", cluster.addresses[0], cluster.addresses[1]);
            let wrong = NodeProcess::start(&cluster.spec(1, &list), None);
            leader.wait_for_log("counts 3 processes, this one 2");
            drop(wrong);
        } else {
            let wrong = NodeProcess::start(&cluster.spec(1, more), None);
            leader.wait_for_log(&format!("process 1 ({}) {named}", cluster.addresses[1]));
            wrong.wait_for_log(&format!("process 0 ({}) ", cluster.addresses[0]));
            drop(wrong);
        }
        check_formed(&[leader, cluster.start(1)]);
    }
}

fn port_in_use_is_named_and_waited_for() {
    let cluster = ClusterSpec::on_loopback(2, "");
    let held = std::net::TcpListener::bind(&cluster.addresses[0]).unwrap();
    let nodes = cluster.start_all();
    nodes[0].wait_for_log(&format!("cannot listen at {}", cluster.addresses[0]));
    drop(held);
    check_formed(&nodes);
}

/// Numbers that differ from round to round.
struct RandomNumbers(u64);

impl RandomNumbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
