//! Killed processes of formed clusters.

use std::time::Duration;

use crate::TestCase;
use crate::processes::{ClusterSpec, NodeProcess, check_formed};

pub(crate) const TESTS: &[TestCase] =
    &[("killed_process_under_load_ends_all_others_with_70", killed_process_ends_all_others)];

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
