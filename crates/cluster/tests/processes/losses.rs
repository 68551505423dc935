//! Killed and frozen processes of formed clusters.

use std::time::Duration;

use crate::TestCase;
use crate::processes::{ClusterSpec, NodeProcess, check_formed};

pub(crate) const TESTS: &[TestCase] = &[
    ("killed_process_under_load_ends_all_others_with_70", killed_process_ends_all_others),
    ("frozen_process_is_lost_after_the_bound", frozen_process_is_lost_after_the_bound),
    ("process_that_was_frozen_for_less_than_the_bound_is_not_lost", short_freeze_is_not_noticed),
];

/// Rounds without pauses and with more in flight than the sockets can hold, so that timely's queues are long.
const HEAVY_LOAD: &str = "pause_millis=0\nrecords=200000\nin_flight=12\nworkers=2";

fn killed_process_ends_all_others() {
    let rounds = std::env::var("PINFLOW_CLUSTER_LOSS_ROUNDS").map_or(1, |text| text.parse().unwrap());
    for (processes, load) in [(2, ""), (2, HEAVY_LOAD), (3, HEAVY_LOAD)].repeat(rounds) {
        for victim in 0..processes {
            let cluster = ClusterSpec::on_loopback(processes, load);
            let mut nodes = cluster.start_all();
            check_formed(&nodes);
            std::thread::sleep(Duration::from_millis(100));
            nodes[victim].send_signal("KILL");
            let mut killed = nodes.remove(victim);
            killed.wait_for_exit();
            let lines: Vec<String> = nodes.iter_mut().map(NodeProcess::check_lost_peer).collect();
            // A process can name another survivor that ended before it.
            let named = format!("process {victim} ({})", cluster.addresses[victim]);
            assert!(lines.iter().any(|line| line.contains(&named)), "{named}: {lines:?}");
        }
    }
}

fn frozen_process_is_lost_after_the_bound() {
    for victim in 0..2 {
        let cluster = ClusterSpec::on_loopback(2, "silent_millis=2000");
        let mut nodes = cluster.start_all();
        check_formed(&nodes);
        nodes[victim].send_signal("STOP");
        let line = nodes[1 - victim].check_lost_peer();
        let expected = format!("process {victim} ({}) has been silent for 2 s", cluster.addresses[victim]);
        assert!(line.contains(&expected), "{line}");
        nodes[victim].send_signal("CONT");
        nodes[victim].check_lost_peer();
    }
}

fn short_freeze_is_not_noticed() {
    let mut nodes = ClusterSpec::on_loopback(2, "silent_millis=6000\nrounds=2500").start_all();
    check_formed(&nodes);
    for victim in &nodes {
        victim.send_signal("STOP");
        std::thread::sleep(Duration::from_secs(1));
        victim.send_signal("CONT");
    }
    for node in &mut nodes {
        assert_eq!(node.wait_for_exit().code(), Some(0), "{}", node.stderr());
    }
}
