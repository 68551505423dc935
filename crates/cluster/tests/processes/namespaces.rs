//! Cut networks: two processes in network namespaces, and a router between them.

use std::process::Command;
use std::time::Duration;

use crate::TestCase;
use crate::processes::{ClusterSpec, NodeProcess, check_formed};

pub(crate) const TESTS: &[TestCase] = &[
    ("cut_network_is_a_loss_on_both_sides", || run_in_namespaces(cut_network_is_a_loss_on_both_sides)),
    ("network_cut_in_one_direction_is_a_loss_on_both_sides", || run_in_namespaces(one_way_cut_is_a_loss)),
    ("network_that_is_restored_in_time_is_not_noticed", || run_in_namespaces(restored_network_is_not_noticed)),
];

/// Skips the tests of this file.
const SKIP_VARIABLE: &str = "PINFLOW_SKIP_NETNS";

/// Less than the time after which unacknowledged data is a loss.
const SHORT_CUT: Duration = Duration::from_secs(3);

/// Two namespaces and a router, removed when dropped.
struct TestNetwork {
    prefix: String,
}

fn run_ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).status().is_ok_and(|status| status.success())
}

impl TestNetwork {
    fn new() -> Option<TestNetwork> {
        let prefix = format!("pf{}", std::process::id() % 100_000);
        let network = TestNetwork { prefix: prefix.clone() };
        let p = &prefix;
        let mut commands = vec![format!("netns add {p}r")];
        for (side, subnet) in [("a", 1), ("b", 2)] {
            commands.extend([
                format!("netns add {p}{side}"),
                format!("link add {p}{side}0 netns {p}{side} type veth peer name {p}r{side} netns {p}r"),
                format!("-n {p}{side} addr add 10.77.{subnet}.2/24 dev {p}{side}0"),
                format!("-n {p}r addr add 10.77.{subnet}.1/24 dev {p}r{side}"),
                format!("-n {p}{side} link set {p}{side}0 up"),
                format!("-n {p}r link set {p}r{side} up"),
                format!("-n {p}{side} route add default via 10.77.{subnet}.1"),
            ]);
        }
        let is_made = commands.iter().all(|command| run_ip(command)) && network.set_forwarding(true);
        is_made.then_some(network)
    }

    /// Whether the router passes packets on.
    fn set_forwarding(&self, forwards: bool) -> bool {
        let script = format!("echo {} > /proc/sys/net/ipv4/ip_forward", u8::from(forwards));
        let arguments = ["netns", "exec", &format!("{}r", self.prefix), "sh", "-c", &script];
        Command::new("ip").args(arguments).status().is_ok_and(|status| status.success())
    }

    /// Drops what is sent to the second process only.
    fn cut_one_way(&self) {
        assert!(run_ip(&format!("-n {}r route add blackhole 10.77.2.2/32", self.prefix)));
    }

    fn start_all(&self, common: &str) -> Vec<NodeProcess> {
        let addresses = vec!["10.77.1.2:7801".to_owned(), "10.77.2.2:7801".to_owned()];
        let secret = "s".repeat(32);
        let common = format!("danger_unencrypted=yes\nsecret={secret}\n{common}");
        let cluster = ClusterSpec { addresses, common };
        let start =
            |(index, side)| NodeProcess::start(&cluster.spec(index, ""), Some(&format!("{}{side}", self.prefix)));
        ["a", "b"].into_iter().enumerate().map(start).collect()
    }
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        for side in ["a", "b", "r"] {
            run_ip(&format!("netns del {}{side}", self.prefix));
        }
    }
}

fn run_in_namespaces(test: fn(&TestNetwork)) {
    if std::env::var(SKIP_VARIABLE).is_ok_and(|value| value == "1") {
        println!("SKIPPED: {SKIP_VARIABLE} is set, so no network is cut");
        return;
    }
    let has_ip = Command::new("ip").arg("-V").output().is_ok();
    assert!(has_ip, "there is no program ip: apt-get install iproute2, or set {SKIP_VARIABLE}=1");
    let Some(network) = TestNetwork::new() else {
        panic!("network namespaces are not permitted here: run as root, or set {SKIP_VARIABLE}=1 to skip this test");
    };
    test(&network);
}

fn cut_network_is_a_loss_on_both_sides(network: &TestNetwork) {
    let mut nodes = network.start_all("");
    check_formed(&nodes);
    assert!(network.set_forwarding(false));
    nodes.iter_mut().for_each(|node| drop(node.check_lost_peer()));
}

fn one_way_cut_is_a_loss(network: &TestNetwork) {
    let mut nodes = network.start_all("");
    check_formed(&nodes);
    network.cut_one_way();
    nodes.iter_mut().for_each(|node| drop(node.check_lost_peer()));
}

fn restored_network_is_not_noticed(network: &TestNetwork) {
    let mut nodes = network.start_all("rounds=1500");
    check_formed(&nodes);
    assert!(network.set_forwarding(false));
    std::thread::sleep(SHORT_CUT);
    assert!(network.set_forwarding(true));
    for node in &mut nodes {
        assert_eq!(node.wait_for_exit().code(), Some(0), "{}", node.stderr());
    }
}
