//! What the processes of a cluster serve, and questions that are added to it.

use std::net::TcpListener;

use nix::sys::signal::Signal;
use pinflow_testkit::http_client::HttpClient;
use pinflow_testkit::{pinflow, succeed, wait_until};
use serde_json::Value;

use super::{ClusterSite, ConfigLines, PEER_LOST, TestCluster};

/// Starts a cluster whose processes all serve, and returns their clients.
fn serve(cluster: &TestCluster) -> (Vec<pinflow_testkit::RunningProcess>, Vec<HttpClient>) {
    let ports: Vec<_> = cluster.addresses.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = ports.iter().map(|port| port.local_addr().unwrap()).collect();
    drop(ports);
    let listen = |process: usize, command: &mut std::process::Command| {
        command.args(["--listen", &addresses[process].to_string()]);
    };
    let running = cluster.start_with(&["--output", "none", "--workers", "1"], listen);
    let clients: Vec<_> = addresses.into_iter().map(HttpClient::new).collect();
    for client in &clients {
        wait_until("a process is ready", || client.try_send("GET", "/readyz", b"") == Some(200));
    }
    (running, clients)
}

#[test]
fn leader_serves_answers_and_processes_and_followers_send_to_it() {
    let site = ClusterSite::new(3_000, ConfigLines { source: "follow = true", ..ConfigLines::default() });
    let cluster = site.cluster(3);
    let (running, clients) = serve(&cluster);
    wait_until("everything is read", || clients[0].json("/status")["this_run"]["read"].as_u64() >= Some(9_000));
    let status = clients[0].json("/status");
    let processes = status["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 3);
    let read: u64 = processes.iter().map(|process| process["read"].as_u64().unwrap()).sum();
    assert_eq!(Some(read), status["this_run"]["read"].as_u64(), "{status}");
    for (number, process) in processes.iter().enumerate() {
        assert_eq!(process["address"], cluster.addresses[number]);
        assert_eq!((&process["is_leader"], process["workers"].as_u64()), (&Value::Bool(number == 0), Some(1)));
        assert!(process["read"].as_u64() > Some(0) && process["resident_bytes"].as_u64() > Some(0), "{process}");
        assert!(process["silent_seconds"].as_f64() < Some(10.0), "{process}");
    }
    assert!(clients[0].get("/metrics").text().contains("pinflow_cluster_workers{process=\"2\"} 1"));
    // The leader has rejected a third of them at most.
    let rejected = status["this_run"]["rejected"].as_u64().unwrap();
    wait_until("the rejections of followers are shown", || {
        let shown = clients[0].json("/rejected?limit=256").as_array().unwrap().len() as u64;
        shown > rejected * 2 / 3 && rejected > 30
    });
    for follower in &clients[1..] {
        for path in ["/", "/answers", "/status", "/nowhere"] {
            let reply = follower.get(path);
            assert_eq!((reply.status, &reply.json()["error"]), (421, &Value::from("not_the_leader")), "{path}");
            assert!(reply.text().contains(&cluster.addresses[0]), "{}", reply.text());
        }
        assert_eq!(follower.get("/healthz").status, 200);
        let metrics = follower.get("/metrics");
        assert!(metrics.text().contains("pinflow_records_total "), "{}", metrics.text());
    }
    running[0].signal(Signal::SIGTERM);
    assert_eq!(cluster.wait(running), [Some(0), Some(PEER_LOST), Some(PEER_LOST)]);
}

#[test]
fn questions_added_to_a_cluster_are_verified_and_stay_over_a_restart() {
    let lines = ConfigLines {
        source: "follow = true",
        tables: "commit_age_secs_max = 0.2",
        more: "[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true\n",
    };
    let site = ClusterSite::new(3_000, lines);
    let (by_category, titles) = (site.path().join("by_category.sql"), site.path().join("titles.sql"));
    std::fs::write(&by_category, "SELECT category, count(*) AS pins FROM pin GROUP BY 1").unwrap();
    // The titles are not in memory: they are read from the tables.
    std::fs::write(&titles, "SELECT length(title) AS length, count(*) AS pins FROM pin GROUP BY 1").unwrap();
    let cluster = site.cluster(2);
    let (running, clients) = serve(&cluster);
    let at = clients[0].address.to_string();
    wait_until("everything is read", || clients[0].json("/status")["this_run"]["read"].as_u64() >= Some(9_000));
    for file in [&by_category, &titles] {
        succeed(pinflow(["question", "add", "--at", &at]).arg(file));
    }
    wait_until("everything is durable", || {
        let status = clients[0].json("/status");
        status["epoch"] == status["durable_epoch"]
    });
    succeed(&mut pinflow(["verify", "--at", &at]));
    let answers = ["by_category", "titles"].map(|name| clients[0].json(&format!("/answers/{name}"))["rows"].clone());
    assert!(answers.iter().all(|rows| rows.as_array().is_some_and(|rows| !rows.is_empty())));
    running[1].signal(Signal::SIGTERM);
    assert_eq!(cluster.wait(running), [Some(PEER_LOST), Some(0)]);
    // A larger cluster has them, too.
    let cluster = site.cluster(3);
    let (running, clients) = serve(&cluster);
    for (name, before) in ["by_category", "titles"].iter().zip(&answers) {
        wait_until("the question is answered", || clients[0].json(&format!("/answers/{name}"))["rows"] == *before);
    }
    succeed(&mut pinflow(["question", "drop", "titles", "--at", &clients[0].address.to_string()]));
    running[0].signal(Signal::SIGTERM);
    cluster.wait(running);
}
