//! MSK's access control by IAM, against a stub that validates tokens as MSK does.
//!
//! No broker is needed. What only Amazon's own service can prove is described in the README.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pinflow_kafka::{KafkaConnection, fetch_metadata};
use rdkafka::consumer::Consumer;

use pinflow_testkit::certificates::TestCertificates;
use pinflow_testkit::create_temp_dir;
use pinflow_testkit::kafka::msk_stub::{MskStub, TopicRights};
use pinflow_testkit::kafka::{KafkaConfigFile, path_text};
use pinflow_testkit::{EndedRun, run_with};

const ACCESS_KEY: &str = "AKIACANARYACCESSKEY";
const SECRET_KEY: &str = "canary/secret+key";
const SESSION_TOKEN: &str = "canary//session+token==";

fn rights() -> TopicRights {
    TopicRights {
        region: "eu-west-1",
        access_key: ACCESS_KEY,
        secret_key: SECRET_KEY,
        session_token: Some(SESSION_TOKEN),
        clock_ahead: Duration::ZERO,
    }
}

/// A stub and a configuration that connects to it.
fn site(rights: TopicRights, session: Duration, more: &str) -> (MskStub, KafkaConfigFile, tempfile::TempDir) {
    let place = create_temp_dir();
    let certificates = TestCertificates::make(place.path());
    let stub = MskStub::start(&certificates, rights, session);
    let configured = KafkaConfigFile::new(&format!(
        "brokers = '{}'\ntls = {{ ca = '{}' }}\nsasl = {{ mechanism = 'MSK_IAM', region = 'eu-west-1' }}\n{more}",
        stub.address(),
        path_text(&certificates.authority())
    ));
    (stub, configured, place)
}

/// Lists topics with credentials from the environment.
fn list(configured: &KafkaConfigFile, secret_key: &str, more: &[(&str, &str)]) -> EndedRun {
    let mut environment = vec![
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", secret_key),
        ("AWS_SESSION_TOKEN", SESSION_TOKEN),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    environment.extend(more);
    run_with(["topics", "list", "--connection", configured.config()], &environment)
}

#[test]
fn token_signed_with_the_known_key_is_accepted() {
    let (stub, configured, _place) = site(rights(), Duration::ZERO, "");
    let ended = list(&configured, SECRET_KEY, &[]);
    assert_eq!(ended.code, 0, "{ended:?} {:?}", stub.seen());
    let seen = stub.seen();
    assert!(seen.signed_in >= 1 && seen.tokens.len() == 1 && seen.refused.is_empty(), "{seen:?}");
}

#[test]
fn token_signed_with_another_key_is_rejected_and_reported() {
    let (stub, configured, _place) = site(rights(), Duration::ZERO, "");
    let ended = list(&configured, "another/secret", &[]);
    assert!(ended.code == 1 && ended.stderr.contains("Access denied"), "{ended:?}");
    let seen = stub.seen();
    assert!(seen.signed_in == 0 && seen.refused[0].contains("X-Amz-Signature"), "{seen:?}");
}

#[test]
fn expired_token_is_rejected() {
    let rights = TopicRights { clock_ahead: Duration::from_secs(901), ..rights() };
    let (stub, configured, _place) = site(rights, Duration::ZERO, "");
    let ended = list(&configured, SECRET_KEY, &[]);
    assert!(ended.code == 1 && ended.stderr.contains("it is over"), "{ended:?}");
    assert_eq!(stub.seen().signed_in, 0);
}

#[test]
fn missing_credentials_are_reported_with_their_possible_sources() {
    let (_stub, configured, place) = site(rights(), Duration::ZERO, "");
    let nothing = path_text(place.path()).to_owned() + "/none";
    let environment = [
        ("AWS_CONFIG_FILE", nothing.as_str()),
        ("AWS_SHARED_CREDENTIALS_FILE", nothing.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let ended = run_with(["topics", "list", "--connection", configured.config()], &environment);
    assert!(ended.code == 1 && ended.stderr.contains("AWS_PROFILE"), "{ended:?}");
}

#[test]
fn topic_creation_with_iam_is_refused_with_the_reason() {
    let (_stub, configured, _place) = site(rights(), Duration::ZERO, "");
    let environment = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    let ended = run_with(["topics", "create", "a", "--connection", configured.config()], &environment);
    assert!(ended.code == 1 && ended.stdout.contains("kafka-topics.sh"), "{ended:?}");
}

#[test]
fn credentials_and_tokens_are_never_printed() {
    let (stub, configured, _place) = site(rights(), Duration::ZERO, "properties = { debug = 'all' }\n");
    let ended = list(&configured, SECRET_KEY, &[("RUST_LOG", "trace")]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    for loud in ["\"TRACE\"", "\"librdkafka\"", "\"aws_"] {
        assert!(ended.stderr.contains(loud), "it was loud, {loud} among it");
    }
    let seen = stub.seen();
    let encoded = url::form_urlencoded::byte_serialize(SESSION_TOKEN.as_bytes()).collect::<String>();
    for secret in [SECRET_KEY, SESSION_TOKEN, &encoded, &seen.tokens[0], "X-Amz-Signature="] {
        let shown = ended.stderr.lines().find(|line| line.contains(secret));
        assert!(shown.is_none(), "{secret} was shown: {}", shown.unwrap_or_default());
    }
}

/// A profile whose credentials come from a process and expire after seconds. Each call is recorded in a file.
fn write_short_lived_profile(place: &Path, secs: u32) -> (PathBuf, PathBuf) {
    let (process, calls, config) = (place.join("credentials"), place.join("calls"), place.join("config"));
    let script = format!(
        "#!/bin/sh\necho called >> '{}'\n\
         printf '{{\"Version\":1,\"AccessKeyId\":\"{ACCESS_KEY}\",\"SecretAccessKey\":\"{SECRET_KEY}\",\
         \"SessionToken\":\"{SESSION_TOKEN}\",\"Expiration\":\"%s\"}}' \"$(date -u -d '+{secs} seconds' +%Y-%m-%dT%H:%M:%SZ)\"\n",
        path_text(&calls)
    );
    std::fs::write(&process, script).unwrap();
    std::fs::set_permissions(&process, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(&config, format!("[profile brief]\ncredential_process = {}\n", path_text(&process))).unwrap();
    (config, calls)
}

/// An idle client must renew its token before the credentials expire, and its session before the broker ends it.
#[test]
fn idle_connection_reauthenticates_with_new_tokens() {
    let place = create_temp_dir();
    let certificates = TestCertificates::make(place.path());
    let stub = MskStub::start(&certificates, rights(), Duration::from_secs(2));
    let (config, calls) = write_short_lived_profile(place.path(), 6);
    let connection = format!(
        "brokers = '{}'\ntls = {{ ca = '{}' }}\nsasl = {{ mechanism = 'MSK_IAM', region = 'eu-west-1', profile = 'brief' }}\n",
        stub.address(),
        path_text(&certificates.authority())
    );
    // In a separate process, because it has another environment.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kafka::msk::idle_client_process", "--ignored", "--nocapture"])
        .env("AWS_CONFIG_FILE", &config)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_ACCESS_KEY_ID")
        .env("PINFLOW_TEST_CONNECTION", connection)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let seen = stub.seen();
    assert!(output.status.success(), "{said} {seen:?}");
    assert_eq!((seen.cut, seen.refused.len()), (0, 0), "{seen:?}");
    // In twelve seconds: sessions of 2 s, renewed after 90 %, and tokens of 6 s, renewed after 80 %.
    assert!(seen.signed_in_anew >= 4, "{seen:?}");
    assert!(seen.tokens.len() >= 2, "{seen:?}");
    assert!(std::fs::read_to_string(calls).unwrap().lines().count() >= seen.tokens.len());
}

#[test]
#[ignore = "the other half of idle_connection_reauthenticates_with_new_tokens"]
fn idle_client_process() {
    let connection: KafkaConnection = toml::from_str(&std::env::var("PINFLOW_TEST_CONNECTION").unwrap()).unwrap();
    let observer = connection.create_observer(Path::new("")).unwrap();
    let patience = Duration::from_secs(10);
    fetch_metadata(&observer, &connection.brokers, None, patience).unwrap();
    let idle = Instant::now();
    while idle.elapsed() < Duration::from_secs(12) {
        assert!(observer.poll(Duration::from_millis(100)).is_none(), "there is nothing to read");
    }
    fetch_metadata(&observer, &connection.brokers, None, patience).unwrap();
    assert_eq!(observer.client().context().recent_errors(), Vec::<String>::new());
}
