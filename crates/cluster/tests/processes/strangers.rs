//! Strangers at the port of a process that waits for its cluster.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::TestCase;
use crate::processes::{ClusterSpec, NodeProcess, PATIENT_TIMEOUT, check_formed};

pub(crate) const TESTS: &[TestCase] = &[
    ("strangers_neither_join_nor_delay_the_forming", strangers_neither_join_nor_delay),
    ("thousand_silent_connections_do_not_keep_a_peer_out", thousand_silent_connections_do_not_keep_a_peer_out),
    ("replayed_handshake_is_refused", replayed_handshake_is_refused),
    ("formed_cluster_has_no_open_port", formed_cluster_has_no_open_port),
];

const SECRET: &str = "secret=a-secret-that-has-at-least-32-bytes";

fn connect(address: &str) -> TcpStream {
    let started = std::time::Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) => assert!(started.elapsed() < PATIENT_TIMEOUT, "{address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends bytes and reads until the other side closes.
fn send_and_wait_for_close(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.set_read_timeout(Some(PATIENT_TIMEOUT)).unwrap();
    // The other side may close before it has read all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    answer
}

fn strangers_neither_join_nor_delay() {
    let cluster = ClusterSpec::on_loopback(2, SECRET);
    let leader = cluster.start(0);
    let address = &cluster.addresses[0];
    let silent = connect(address);
    drop(connect(address));
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0",
        b"\0\x10pinflow\x01\0\x01rbage!",
        &[0xff; 4096],
        &[0; 4096],
    ] {
        assert!(send_and_wait_for_close(address, garbage).is_empty());
    }
    leader.wait_for_log("refused a connection from");
    let nodes = [leader, cluster.start(1)];
    check_formed(&nodes);
    let line = nodes[0].wait_for_line("formed ");
    let refused: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(refused >= 7, "{line}");
    drop(silent);
}

fn thousand_silent_connections_do_not_keep_a_peer_out() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let cluster = ClusterSpec::on_loopback(2, SECRET);
    let leader = cluster.start(0);
    let strangers: Vec<TcpStream> = (0..1_000).map(|_| connect(&cluster.addresses[0])).collect();
    check_formed(&[leader, cluster.start(1)]);
    drop(strangers);
}

/// Passes the bytes of one connection on, and keeps what the client sent.
fn record_client(listener: TcpListener, server: String) -> Arc<Mutex<Vec<u8>>> {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&recorded);
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (mut client, mut server) = (client.unwrap(), connect(&server));
            let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    // Only the first connection is recorded.
                    if number == 0 {
                        kept.lock().unwrap().extend_from_slice(&buffer[..read]);
                    }
                    if server.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    recorded
}

fn replayed_handshake_is_refused() {
    // Process 2 is missing, so process 1 is linked and the port stays open.
    let cluster = ClusterSpec::on_loopback(3, SECRET);
    let leader = cluster.start(0);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let through_proxy =
        format!("processes={},{},{}", proxy.local_addr().unwrap(), cluster.addresses[1], cluster.addresses[2]);
    let recorded = record_client(proxy, cluster.addresses[0].clone());
    let follower = NodeProcess::start(&cluster.spec(1, &through_proxy), None);
    let started = std::time::Instant::now();
    // A hello of more than 100 bytes, and a proof.
    let bytes = loop {
        let bytes = recorded.lock().unwrap().clone();
        let length =
            bytes.get(..2).map_or(usize::MAX / 2, |length| usize::from(length[0]) << 8 | usize::from(length[1]));
        if bytes.len() >= 2 + length + 2 + 32 {
            break bytes;
        }
        assert!(started.elapsed() < PATIENT_TIMEOUT, "{}", follower.stderr());
        std::thread::sleep(Duration::from_millis(10));
    };
    let answer = send_and_wait_for_close(&cluster.addresses[0], &bytes);
    assert!(answer.ends_with(b"refused"), "{answer:?}");
    leader.wait_for_log(&format!("process 1 ({}) has another secret", cluster.addresses[1]));
    check_formed(&[leader, follower, cluster.start(2)]);
}

fn formed_cluster_has_no_open_port() {
    let cluster = ClusterSpec::on_loopback(2, &format!("{SECRET}\nrounds=1000"));
    let mut nodes = cluster.start_all();
    check_formed(&nodes);
    for address in &cluster.addresses {
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    for node in &mut nodes {
        assert_eq!(node.wait_for_exit().code(), Some(0), "{}", node.stderr());
    }
}
