//! Clusters over TLS.

use crate::TestCase;
use crate::certificates::{CertificateFolder, TestAuthority};
use crate::processes::{ClusterSpec, NodeProcess, check_formed};

pub(crate) const TESTS: &[TestCase] = &[
    ("cluster_over_tls_forms_and_ends_with_all_records", cluster_over_tls_forms_and_ends_with_all_records),
    ("killed_process_over_tls_ends_all_others_with_70", killed_process_over_tls_ends_all_others),
    ("certificate_of_another_authority_is_refused", certificate_of_another_authority_is_refused),
    ("certificate_for_another_host_is_refused", certificate_for_another_host_is_refused),
    ("plain_client_at_a_tls_port_is_refused", plain_client_at_a_tls_port_is_refused),
];

const HOST: &str = "127.0.0.1";

fn tls_line(folder: &CertificateFolder) -> String {
    format!("tls={}", folder.path().display())
}

fn start(cluster: &ClusterSpec, index: usize, folder: &CertificateFolder) -> NodeProcess {
    NodeProcess::start(&cluster.spec(index, &tls_line(folder)), None)
}

fn cluster_over_tls_forms_and_ends_with_all_records() {
    let authority = TestAuthority::new();
    let folder = authority.write_folder(HOST, &authority);
    let secret = "s".repeat(32);
    let cluster = ClusterSpec::on_loopback(3, &format!("secret={secret}\nrounds=100\nrecords=20000\nworkers=2"));
    let mut nodes: Vec<NodeProcess> = (0..3).map(|index| start(&cluster, index, &folder)).collect();
    check_formed(&nodes);
    let mut counted = 0;
    for node in &mut nodes {
        assert_eq!(node.wait_for_exit().code(), Some(0), "{}", node.stderr());
        counted += node.wait_for_line("counted ")["counted ".len()..].parse::<usize>().unwrap();
    }
    assert_eq!(counted, 3 * 2 * 100 * 20_000);
}

fn killed_process_over_tls_ends_all_others() {
    let authority = TestAuthority::new();
    let folder = authority.write_folder(HOST, &authority);
    let cluster = ClusterSpec::on_loopback(2, "pause_millis=0\nrecords=200000\nin_flight=12");
    for victim in 0..2 {
        let mut nodes: Vec<NodeProcess> = (0..2).map(|index| start(&cluster, index, &folder)).collect();
        check_formed(&nodes);
        nodes[victim].send_signal("KILL");
        nodes[1 - victim].check_lost_peer();
    }
}

fn certificate_of_another_authority_is_refused() {
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    let good = authority.write_folder(HOST, &authority);
    let cluster = ClusterSpec::on_loopback(2, "");
    let leader = start(&cluster, 0, &good);
    // One that trusts the leader but is not trusted, and one that does not trust it.
    let untrusted = other.write_folder(HOST, &authority);
    let wrong = start(&cluster, 1, &untrusted);
    wrong.wait_for_log(&format!("process 0 ({}) refuses the certificate of this process", cluster.addresses[0]));
    leader.wait_for_log("refused a connection from");
    drop(wrong);
    let distrusting = authority.write_folder(HOST, &other);
    let wrong = start(&cluster, 1, &distrusting);
    wrong.wait_for_log(&format!("process 0 ({}) has no valid certificate", cluster.addresses[0]));
    drop(wrong);
    check_formed(&[leader, start(&cluster, 1, &good)]);
}

fn certificate_for_another_host_is_refused() {
    let authority = TestAuthority::new();
    let (good, elsewhere) = (authority.write_folder(HOST, &authority), authority.write_folder("10.1.2.3", &authority));
    let cluster = ClusterSpec::on_loopback(2, "");
    let leader = start(&cluster, 0, &elsewhere);
    let follower = start(&cluster, 1, &good);
    follower.wait_for_log(&format!("process 0 ({}) has no valid certificate", cluster.addresses[0]));
    drop(leader);
    drop(follower);
    let leader = start(&cluster, 0, &good);
    let follower = start(&cluster, 1, &elsewhere);
    leader.wait_for_log(&format!("process 1 ({}) has no valid certificate", cluster.addresses[1]));
    drop(follower);
    check_formed(&[leader, start(&cluster, 1, &good)]);
}

fn plain_client_at_a_tls_port_is_refused() {
    let authority = TestAuthority::new();
    let folder = authority.write_folder(HOST, &authority);
    let cluster = ClusterSpec::on_loopback(2, "");
    let leader = start(&cluster, 0, &folder);
    let plain = cluster.start(1);
    leader.wait_for_log("refused a connection from");
    drop(plain);
    check_formed(&[leader, start(&cluster, 1, &folder)]);
}
