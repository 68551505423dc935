//! The systemd unit of `examples/deploy` matches the exit codes of pinflow.

use std::path::Path;
use std::process::Command;

use pinflow_testkit::{create_temp_dir, pinflow};

fn unit() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy/pinflow.service")).unwrap()
}

/// The values of a setting of the unit.
fn settings<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_unit_restarts_after_outages_but_not_after_permanent_errors() {
    let (place, unit) = (create_temp_dir(), unit());
    // The unit survives an outage of any length: the number of restarts is unlimited, and no step before the start fails.
    assert_eq!(settings(&unit, "StartLimitIntervalSec"), ["0"]);
    assert_eq!(settings(&unit, "Restart"), ["on-failure"]);
    assert!(settings(&unit, "ExecStartPre").is_empty());
    let prevented: Vec<i32> =
        settings(&unit, "RestartPreventExitStatus")[0].split(' ').map(|code| code.parse().unwrap()).collect();
    let exit_code = |text: &str| {
        let config = place.path().join("flow.toml");
        std::fs::write(&config, text).unwrap();
        pinflow(["run", "--output", "none"]).arg(config).output().unwrap().status.code().unwrap()
    };
    let source = "[[source]]\nkind = \"kafka\"\nbrokers = \"127.0.0.1:1\"\ntopics = { geo = \"12ab.geo\" }\n";
    let away = exit_code(source);
    assert!(away != 0 && !prevented.contains(&away), "{away}");
    let wrong = exit_code(&source.replace("brokers", "brokes"));
    assert!(prevented.contains(&wrong), "{wrong}");
    assert!(prevented.contains(&75));
}

#[test]
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn systemd_unit_passes_systemd_analyze() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        eprintln!("no systemd-analyze on this machine: the unit is not verified");
        return;
    };
    assert!(version.status.success());
    let place = create_temp_dir();
    let path = place.path().join("pinflow.service");
    std::fs::write(&path, unit().replace("/usr/local/bin/pinflow", env!("CARGO_BIN_EXE_pinflow"))).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!said.contains("pinflow.service:"), "{said}");
}
