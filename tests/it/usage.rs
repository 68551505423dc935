//! Usage errors on the command line and in configurations: their messages and exit codes.

use std::path::Path;
use std::process::Command;

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, pinflow, succeed};

/// Runs a command that must fail with this exit code. Returns its stderr.
fn stderr_of(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{command:?}: stdout is for data");
    stderr
}

#[test]
fn usage_errors_of_every_command_exit_with_2() {
    let place = create_temp_dir();
    std::fs::write(place.path().join("bad.toml"), "[tables]\nulr = 1\n").unwrap();
    for arguments in [
        &["run", "nowhere.toml"][..],
        &["run", "nowhere"],
        &["run", "bad.toml"],
        &["run", "bad.toml", "--listen", "localhost"],
        &["run", "bad.toml", "--no-such-flag"],
        &["check", "nowhere.toml"],
        &["check", "bad.toml"],
        &["gateway", "nowhere.toml"],
        &["gateway", "bad.toml"],
        &["table", "data", "--connection", "nowhere.toml"],
        &["table", "gs://bucket/data"],
        &["table", "nowhere"],
        &["table", "nowhere", "--verify"],
        &["table", "nowhere", "doctor"],
        &["table", "data", "vacuum", "--keep", "1"],
        &["topics", "list", "--connection", "nowhere.toml"],
        &["topics", "list", "--brokers", "localhost:x"],
        &["streams", "list", "--connection", "nowhere.toml"],
        &["streams", "list", "--endpoint", "nowhere"],
        &["streams", "delete", "--region", "eu-west-1"],
        &["query", "--at", "ftp://localhost"],
        &["query", "users_joined_by_year", "--follow", "--format", "csv"],
        &["query", "--token", "env:PINFLOW_TEST_NO_SUCH_VARIABLE"],
        &["query", "--ca", "nowhere.pem"],
        &["query", "--ca", "bad.toml"],
        &["emit", "--to", "posts", "--inds", "0"],
        &["emit", "--to", "kafka://localhost:9092/x", "--connection", "nowhere.toml"],
        &["emit", "--to", "kafka://localhost:x/y"],
        &["emit", "--from", "mysql:///x", "--to", "-"],
        &["emit", "--from", "nowhere", "--to", "-"],
        &["emit", "--to", "https://localhost/x", "--prefix", "x", "--ca", "nowhere.pem"],
        &["emit", "--to", "http://pinflow.test/x", "--prefix", "x", "--token", "env:HOME"],
    ] {
        let mut command = pinflow(arguments);
        let stderr = stderr_of(command.current_dir(place.path()).env_remove("MYSQL_HOST"), 2);
        assert!(!stderr.trim().is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn yaml_and_json_configurations_are_rejected_with_their_toml_form() {
    let place = create_temp_dir();
    let run = |name: &str, text: &str| {
        std::fs::write(place.path().join(name), text).unwrap();
        stderr_of(pinflow(["run", name]).current_dir(place.path()), 2)
    };
    let yaml = run("conf.yaml", "pipeline: posts\nsource:\n- kind: recording\n  path: recordings\n");
    assert!(yaml.contains("conf.yaml is YAML; a configuration is a TOML file"), "{yaml}");
    assert!(yaml.contains("[[source]]\nkind = \"recording\"\npath = \"recordings\""), "{yaml}");
    let json = run("x.json", "{\"tables\": {\"url\": \"data\"}}");
    assert!(json.contains("x.json is JSON") && json.contains("[tables]\nurl = \"data\""), "{json}");
    let renamed = run("pinflow.conf", "[tables]\nurl = \"data\"\n");
    assert!(renamed.contains("rename it to pinflow.toml"), "{renamed}");
}

#[test]
fn configuration_with_upper_case_extension_and_byte_order_mark_is_accepted() {
    let place = create_temp_dir();
    emit(&place.path().join("recording"), 20, 20, 3, &[]);
    let path = place.path().join("C.TOML");
    std::fs::write(&path, "\u{feff}[[source]]\nkind = \"recording\"\npath = \"recording\"\n").unwrap();
    succeed(pinflow(["run", "--output", "none"]).arg(&path));
}

#[test]
fn address_without_a_host_means_localhost_everywhere() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 20, 20, 5, &[]);
    for listen in ["localhost:0", ":0", "0"] {
        let flags = ["--listen", listen];
        let serving =
            ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, ""), &flags);
        serving.wait_until_ready();
        assert!(serving.http.address.ip().is_loopback(), "{listen}");
        let port = serving.http.address.port();
        for at in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!(":{port}"), port.to_string()] {
            let listed = succeed(&mut pinflow(["query", "--at", &at])).stdout;
            assert!(String::from_utf8(listed).unwrap().contains("users_joined_by_year"), "{at}");
        }
        serving.stop();
    }
    for listen in ["\"localhost:0\"", "\":0\"", "0"] {
        let config = configure_followed_recording(place.path(), &recording, &format!("[serve]\nlisten = {listen}\n"));
        succeed(pinflow(["check"]).arg(&config));
    }
}

#[test]
fn refused_connection_is_reported_once_with_a_hint() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stderr = stderr_of(&mut pinflow(["query", "--at", &free.to_string()]), 1);
    assert_eq!(stderr.matches("refused").count(), 1, "{stderr}");
    assert!(stderr.contains(&free.to_string()) && stderr.contains("does a run serve there"), "{stderr}");
    for words in ["client error", "tcp connect error", "error sending request"] {
        assert!(!stderr.contains(words), "{stderr}");
    }
}

#[test]
fn missing_aws_region_is_reported_in_one_line() {
    let alone = |command: &mut Command| {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        let empty = Path::new("/dev/null");
        command.env("AWS_CONFIG_FILE", empty).env("AWS_SHARED_CREDENTIALS_FILE", empty);
        // Disable instance metadata with an address where nothing listens.
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
        stderr_of(command, 2)
    };
    for arguments in [&["table", "s3://posts/x"][..], &["streams", "list"]] {
        let stderr = alone(&mut pinflow(arguments));
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains("no AWS region is configured; set AWS_REGION"), "{arguments:?}: {stderr}");
    }
}
