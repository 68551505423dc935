//! Credentials from URL, file and environment, and passwords that are never printed.

use std::os::unix::fs::PermissionsExt;

use super::{EndedRun, run, run_with, skipped};
use pinflow_testkit::create_temp_dir;
use pinflow_testkit::mysql::{MysqlServer, PASSWORD, PASSWORD_IN_URL, USER};

fn emit_from(url: &str, flags: &[&str], environment: &[(&str, &str)]) -> EndedRun {
    let arguments = ["emit", "--from", url, "--to", "-", "--count", "2", "--rate", "1000"];
    let ended = run_with(arguments.into_iter().chain(flags.iter().copied()), environment);
    for secret in [PASSWORD, PASSWORD_IN_URL] {
        assert!(!ended.stderr.contains(secret), "the password is shown: {}", ended.stderr);
    }
    ended
}

#[test]
fn credentials_are_read_from_url_file_and_environment() {
    if skipped() {
        return;
    }
    let (server, place) = (MysqlServer::shared(), create_temp_dir());
    let database = server.database();
    database.fill(30);
    let (port, name) = (server.port(), database.name.as_str());
    let in_url = emit_from(&database.url(), &[], &[]);
    assert!(in_url.code == 0 && in_url.stderr.contains("can see the password in the URL"), "{in_url:?}");
    let in_environment = emit_from(&database.url_with(USER), &[], &[("MYSQL_PWD", PASSWORD)]);
    assert!(in_environment.code == 0 && !in_environment.stderr.contains("warning"), "{in_environment:?}");
    let port_text = port.to_string();
    let all = [
        ("MYSQL_HOST", "127.0.0.1"),
        ("MYSQL_TCP_PORT", port_text.as_str()),
        ("MYSQL_USER", USER),
        ("MYSQL_PWD", PASSWORD),
        ("MYSQL_DATABASE", name),
    ];
    assert_eq!(emit_from("mysql://", &[], &all).code, 0);

    let file = place.path().join("db_creds.yaml");
    let path = file.to_str().unwrap();
    for text in [
        format!("HOST: 127.0.0.1\nUSER: {USER}\nPASSWORD: {PASSWORD}\nDATABASE: {name}\nPORT: {port}\n"),
        format!(
            "RDS_HOST: '127.0.0.1'\nRDS_USER: '{USER}'\nRDS_PASSWORD: '{PASSWORD}'\nRDS_DATABASE: '{name}'\nRDS_PORT: '{port}'\n"
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let by_file = emit_from("mysql://", &["--creds", path], &[]);
        assert!(by_file.code == 0 && by_file.stdout.lines().count() == 6, "{by_file:?}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = emit_from("mysql://", &["--creds", path], &[]);
        assert!(exposed.code == 2 && exposed.stderr.contains("chmod 600"), "{exposed:?}");
    }
}

#[test]
fn rejected_credentials_are_reported_with_a_hint() {
    if skipped() {
        return;
    }
    let database = MysqlServer::shared().database();
    database.fill(5);
    for (who, said) in [
        (format!("{USER}:canary"), "the password comes from the URL, PASSWORD in the file of --creds, or MYSQL_PWD"),
        (format!("{USER}:"), "Access denied"),
        (format!("nobody:{PASSWORD_IN_URL}"), "GRANT SELECT to read"),
    ] {
        let refused = emit_from(&database.url_with(&who), &[], &[]);
        assert!(refused.code == 1 && refused.stderr.contains(said), "{who}: {refused:?}");
        assert!(!refused.stderr.contains("canary"), "{refused:?}");
    }
    let nowhere = emit_from(&format!("{}x", database.url()), &[], &[]);
    assert!(nowhere.code == 1 && nowhere.stderr.contains("CREATE DATABASE"), "{nowhere:?}");
    let reader = database.url_with(&format!("reader:{PASSWORD_IN_URL}"));
    assert_eq!(emit_from(&reader, &[], &[]).code, 0, "to read is enough to draw");
    let refused = run(["emit", "--init-mysql", &reader, "--replace", "--inds", "5"]);
    assert!(refused.code == 1 && refused.stderr.contains("INSERT, DROP and SELECT for --init-mysql"), "{refused:?}");
    assert_eq!(database.count("user_data"), 5);
    let unsaid = emit_from("mysql://127.0.0.1", &[], &[]);
    assert!(unsaid.code == 2 && unsaid.stderr.contains("no user is given"), "{unsaid:?}");
}
