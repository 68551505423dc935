//! How the processes of a cluster find each other, and how they end in order.

use nix::sys::signal::Signal;
use pinflow_testkit::ledger::deliveries;
use pinflow_testkit::{create_temp_dir, pinflow, wait_until};

use super::{ClusterSite, ConfigLines, PEER_LOST, free_addresses};

#[test]
fn signal_at_any_process_commits_and_ends_all() {
    for asked in [0, 1, 2] {
        let lines =
            ConfigLines { source: "rate_per_sec = 20000", more: "[engine]\nworkers = 1", ..ConfigLines::default() };
        let site = ClusterSite::new(60_000, lines);
        let cluster = site.cluster(3);
        let running = cluster.start(&["--output", "none"]);
        wait_until("rows are read", || cluster.log(0).contains("sources are started"));
        std::thread::sleep(std::time::Duration::from_millis(400));
        running[asked].signal(Signal::SIGTERM);
        let codes = cluster.wait(running);
        for (process, code) in codes.iter().enumerate() {
            let expected = if process == asked { 0 } else { PEER_LOST };
            assert_eq!(*code, Some(expected), "process {process} of {asked}:\n{}", cluster.log(process));
        }
        let rows = deliveries(&site.tables());
        assert!(!rows.is_empty() && rows.values().all(|count| *count == 1), "what was read is committed once");
    }
}

#[test]
fn processes_that_differ_name_what_differs_and_wait() {
    let site = ClusterSite::new(600, ConfigLines::default());
    let cluster = site.cluster(2);
    let mut leader = cluster.command(0, &["--output", "none", "--workers", "1"]);
    let mut leader = pinflow_testkit::RunningProcess::start(&mut leader);
    let mut other = cluster.command(1, &["--output", "none", "--workers", "2"]);
    let mut other = pinflow_testkit::RunningProcess::start(&mut other);
    wait_until("the difference is named", || cluster.log(0).contains("runs 2 workers, this one 1"));
    assert!(!site.tables().exists(), "no table is touched before the cluster is formed");
    other.signal(Signal::SIGTERM);
    assert_eq!(other.wait().code(), Some(0), "{}", cluster.log(1));
    // The leader goes on to wait, and forms with one that fits.
    let mut follower = cluster.command(1, &["--output", "none", "--workers", "1"]);
    let mut follower = pinflow_testkit::RunningProcess::start(&mut follower);
    assert_eq!((leader.wait().code(), follower.wait().code()), (Some(0), Some(0)), "{}", cluster.log(0));
}

#[test]
fn wrong_settings_of_a_cluster_are_refused_with_what_to_do() {
    let site = ClusterSite::new(600, ConfigLines::default());
    let addresses = free_addresses(2).join(",");
    let refused = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = pinflow(["run", "--output", "none"]);
        let output = command.arg(&site.config).args(arguments).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let cases: [(&[&str], &str); 5] = [
        (&["--cluster", &addresses], "--process N"),
        (&["--cluster", &addresses, "--process", "2"], "process 2 does not exist"),
        (&["--cluster", &addresses, "--process", "x"], "from 0, or auto"),
        (&["--cluster", "a:1,b:1", "--process", "0"], "has no secret"),
        (&["--cluster", "a,b", "--process", "0"], "has no port"),
    ];
    for (arguments, expected) in cases {
        let said = refused(arguments, &[]);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    // A folder is only one place for all processes if they are on one machine.
    let config = std::fs::read_to_string(&site.config).unwrap();
    let open = "[cluster]\nprocesses = [\"a:1\", \"b:1\"]\nsecret = \"env:SECRET\"\ndanger_unencrypted = true\n";
    std::fs::write(&site.config, format!("{config}{open}")).unwrap();
    let secret = [("SECRET", "0123456789abcdef0123456789abcdef")];
    assert!(refused(&["--process", "0"], &secret).contains("[tables] url is a folder of this machine"));
    let in_bucket = config.replace("url = \"data\"", "url = \"s3://bucket/data\"");
    std::fs::write(&site.config, format!("{in_bucket}[archive]\nurl = \"raw\"\n{open}")).unwrap();
    assert!(refused(&["--process", "0"], &secret).contains("[archive] url is a folder of this machine (raw)"));
    std::fs::write(&site.config, format!("{config}{open}")).unwrap();
    let local = ["--process", "0", "--cluster", addresses.as_str()];
    assert!(refused(&local, &[("SECRET", "short")]).contains("has 5 bytes"));
    assert!(refused(&local, &[]).contains("SECRET is not set"));
}

#[test]
fn check_reports_addresses_port_and_role_of_a_process() {
    let site = ClusterSite::new(600, ConfigLines::default());
    let addresses = free_addresses(2);
    let check = |process: &str| {
        let mut command = pinflow(["check", "--process", process, "--cluster", &addresses.join(",")]);
        let output = command.arg(&site.config).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = check("1");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("process 1 of the cluster follows, and can listen on {}", addresses[1])), "{said}");
    let _taken = std::net::TcpListener::bind(&addresses[0]).unwrap();
    let (code, said) = check("0");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("process 0 of the cluster cannot listen on {}", addresses[0])), "{said}");
}

#[test]
fn process_number_comes_from_the_environment_and_one_process_needs_none() {
    let site = ClusterSite::new(600, ConfigLines::default());
    let place = create_temp_dir();
    let mut alone = pinflow(["run", "--output", "none", "--cluster", "127.0.0.1:1"]);
    assert!(alone.arg(&site.config).arg("--tables").arg(place.path().join("data")).status().unwrap().success());
    let cluster = site.cluster(2);
    let start = |process: &str| {
        let mut command = pinflow(["run", "--output", "none", "--cluster", &cluster.addresses.join(",")]);
        pinflow_testkit::RunningProcess::start(command.arg(&site.config).env("PINFLOW_PROCESS", process))
    };
    let mut processes = [start("1"), start("0")];
    assert!(processes.iter_mut().all(|process| process.wait().success()));
}
