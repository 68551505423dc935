//! Security: accepted and rejected connections, and secrets that are never printed.

use pinflow_testkit::create_temp_dir;
use pinflow_testkit::kafka::broker::{BrokerListener, KafkaBroker, PASSWORD, USER};
use pinflow_testkit::kafka::{KafkaConfigFile, path_text, skipped, write_connection_config};
use pinflow_testkit::{EndedRun, run, run_with};

/// Lists topics, the smallest request that needs mutual authentication.
fn list(place: &KafkaConfigFile) -> EndedRun {
    run(["topics", "list", "--connection", place.config()])
}

fn tls(listener: BrokerListener, more: &str) -> KafkaConfigFile {
    let broker = KafkaBroker::shared();
    let ca = broker.certificates().authority();
    KafkaConfigFile::new(&format!(
        "brokers = '{}'\ntls = {{ ca = '{}'{more} }}\n",
        broker.address(listener),
        path_text(&ca)
    ))
}

#[test]
fn valid_certificate_is_accepted() {
    if skipped() {
        return;
    }
    let ended = list(&tls(BrokerListener::Tls, ""));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.stderr.contains("WARN"), "an encrypted connection is nothing to warn of: {ended:?}");
}

#[test]
fn invalid_certificates_are_rejected_with_the_reason() {
    if skipped() {
        return;
    }
    for listener in [BrokerListener::WrongHost, BrokerListener::Expired, BrokerListener::SelfSigned] {
        let ended = list(&tls(listener, ""));
        let says = "the certificate has expired, is for another host, or its authority is not trusted";
        assert!(ended.code == 1 && ended.stderr.contains(says), "{listener:?}: {ended:?}");
    }
    let broker = KafkaBroker::shared();
    let untrusted = list(&KafkaConfigFile::new(&format!(
        "brokers = '{}'\nsecurity = 'tls'\n",
        broker.address(BrokerListener::Tls)
    )));
    assert!(untrusted.code == 1 && untrusted.stderr.contains("tls = { ca"), "{untrusted:?}");
}

#[test]
fn unverified_certificates_need_the_danger_option_and_are_warned_about() {
    if skipped() {
        return;
    }
    for listener in [BrokerListener::WrongHost, BrokerListener::Expired, BrokerListener::SelfSigned] {
        let ended = list(&tls(listener, ", danger_accept_invalid_certs = true"));
        assert_eq!(ended.code, 0, "{listener:?}: {ended:?}");
        assert!(ended.stderr.contains("WARN") && ended.stderr.contains("danger_accept_invalid_certs"), "{ended:?}");
    }
}

#[test]
fn client_certificate_is_sent_to_a_broker_that_requires_it() {
    if skipped() {
        return;
    }
    let certificates = KafkaBroker::shared().certificates();
    let ours = |name: &str| {
        let (certificate, key) = (certificates.certificate(name), certificates.key(name));
        format!(", certificate = '{}', key = '{}'", path_text(&certificate), path_text(&key))
    };
    let ended = list(&tls(BrokerListener::Mutual, &ours("client")));
    assert_eq!(ended.code, 0, "{ended:?}");
    for (what, ended) in [
        ("none", list(&tls(BrokerListener::Mutual, ""))),
        ("one that nobody vouches for", list(&tls(BrokerListener::Mutual, &ours("self_signed")))),
    ] {
        assert!(ended.code == 1 && ended.stderr.contains("tls = { certificate"), "{what}: {ended:?}");
    }
}

#[test]
fn correct_password_is_accepted_and_wrong_password_rejected() {
    if skipped() {
        return;
    }
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] {
        let place = write_connection_config(BrokerListener::Sasl, mechanism, USER);
        let ended = list(&place);
        assert_eq!(ended.code, 0, "{mechanism}: {ended:?}");
        let list = ["topics", "list", "--connection", place.config()];
        let wrong = run_with(list, &[("PINFLOW_TEST_PASSWORD", "canary-that-is-wrong")]);
        assert!(wrong.code == 1 && wrong.stderr.contains("check sasl username and password"), "{mechanism}: {wrong:?}");
        assert!(!wrong.stderr.contains("canary-that-is-wrong"), "{mechanism}: {wrong:?}");
    }
}

#[test]
fn plaintext_to_a_tls_listener_fails_with_the_setting_to_use() {
    if skipped() {
        return;
    }
    let ended = run(["topics", "list", "--brokers", &KafkaBroker::shared().address(BrokerListener::Tls)]);
    assert!(ended.code == 1 && ended.stderr.contains("security = \"tls\""), "{ended:?}");
    let certificates = KafkaBroker::shared().certificates().authority();
    let text =
        format!("brokers = '{}'\ntls = {{ ca = '{}' }}\n", KafkaBroker::shared().plaintext(), path_text(&certificates));
    let ended = list(&KafkaConfigFile::new(&text));
    assert!(ended.code == 1 && ended.stderr.contains("the broker does not use TLS on this port"), "{ended:?}");
}

/// At the most verbose log level, with librdkafka's debug log, in success and in failure.
#[test]
fn secrets_are_never_printed() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let place = create_temp_dir();
    let file = place.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ca = broker.certificates().authority();
    for mechanism in ["SCRAM-SHA-256", "PLAIN"] {
        for from in [format!("file:{}", path_text(&file)), "env:PINFLOW_TEST_PASSWORD".to_owned()] {
            let configured = KafkaConfigFile::new(&format!(
                "brokers = '{}'\ntls = {{ ca = '{}' }}\nproperties = {{ debug = 'all' }}\n\
                 sasl = {{ mechanism = '{mechanism}', username = '{USER}', password = '{from}' }}\n",
                broker.address(BrokerListener::Sasl),
                path_text(&ca)
            ));
            let loud = [("RUST_LOG", "trace")];
            let arguments = ["topics", "create", "canary", "--connection", configured.config()];
            let ended = run_with(arguments, &loud);
            assert_eq!(ended.code, 0, "{}", ended.stdout);
            assert!(ended.stderr.contains("\"TRACE\"") && ended.stderr.contains("\"librdkafka\""), "it was loud");
            let sent = run_with(
                ["emit", "--inds", "5", "--to", "kafka://", "--topic", "canary", "--connection", configured.config()],
                &loud,
            );
            assert_eq!(sent.code, 0, "{}", sent.stdout);
            for said in [&ended.stdout, &ended.stderr, &sent.stdout, &sent.stderr] {
                assert!(!said.contains(PASSWORD), "{mechanism} {from}: the password was shown");
            }
        }
    }
    // A password in the configuration itself is refused, and the error does not contain it.
    let inline = KafkaConfigFile::new(&format!(
        "brokers = '{}'\nsasl = {{ mechanism = 'PLAIN', username = '{USER}', password = '{PASSWORD}' }}\n\
         properties = {{ 'sasl.password' = '{PASSWORD}' }}\n",
        broker.address(BrokerListener::Sasl)
    ));
    let ended = list(&inline);
    assert!(ended.code == 2 && !ended.stderr.contains(PASSWORD), "{ended:?}");
    // A file that other users can read is refused too.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let exposed = KafkaConfigFile::new(&format!(
        "brokers = '{}'\nsasl = {{ mechanism = 'PLAIN', username = '{USER}', password = 'file:{}' }}\n",
        broker.address(BrokerListener::Sasl),
        path_text(&file)
    ));
    let ended = list(&exposed);
    assert!(ended.code == 2 && ended.stderr.contains("chmod 600") && !ended.stderr.contains(PASSWORD), "{ended:?}");
}
