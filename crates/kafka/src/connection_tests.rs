//! Tests of the configuration of a Kafka connection.

use super::*;

fn read(text: &str) -> KafkaConnection {
    toml::from_str(text).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    KeyProblem::texts(&read(text).validate(Path::new("/nowhere")))
}

#[test]
fn brokers_are_read_from_text_or_list() {
    for text in ["brokers = 'a:1,b:2'", "brokers = ['a:1', 'b:2']", "brokers = ' a:1 , b:2'"] {
        assert_eq!(read(text).brokers.to_string(), "a:1,b:2", "{text}");
        assert_eq!(problems(text), Vec::<String>::new());
    }
    for good in ["localhost", "[::1]:9092", "::1", "b-1.example.com:65535"] {
        assert_eq!(BrokerList::new(good).validate().len(), usize::from(good == "::1"), "{good}");
    }
    for bad in ["", "a:0", "a:65536", "a:b", "kafka://a:1", "a:1,,b:1", "a b:1", "[::1]9092"] {
        assert_eq!(BrokerList::new(bad).validate().len(), 1, "{bad}");
    }
}

#[test]
fn security_defaults_to_tls_if_tls_or_sasl_is_given() {
    assert_eq!(read("brokers = 'a:1'").effective_security(), TransportSecurity::Plaintext);
    assert_eq!(read("brokers = 'a:1'\ntls = {}").effective_security(), TransportSecurity::Tls);
    assert_eq!(read("brokers = 'a:1'\nsecurity = 'tls'").effective_security(), TransportSecurity::Tls);
    assert_eq!(read("brokers = 'a:1'\nsasl = { mechanism = 'MSK_IAM' }").effective_security(), TransportSecurity::Tls);
}

#[test]
fn plaintext_connection_warns_unless_broker_is_local() {
    for (brokers, warned) in [
        ("localhost:9092", false),
        ("127.0.0.1:9092,[::1]:9092", false),
        ("127.0.0.1:9092,kafka.example.com:9092", true),
        ("10.0.0.7", true),
    ] {
        assert_eq!(!KafkaConnection::plaintext(brokers).warnings().is_empty(), warned, "{brokers}");
    }
    assert!(read("brokers = 'kafka.example.com'\ntls = {}").warnings().is_empty());
    let blind = read("brokers = 'kafka.example.com'\ntls = { danger_accept_invalid_certs = true }");
    assert_eq!(blind.warnings().len(), 1);
}

#[test]
fn sasl_over_plaintext_is_rejected() {
    let sasl = "sasl = { mechanism = 'PLAIN', username = 'me', password = 'env:PATH' }";
    assert_eq!(problems(&format!("brokers = 'a:1'\n{sasl}")), Vec::<String>::new());
    let found = problems(&format!("brokers = 'localhost:1'\nsecurity = 'plaintext'\n{sasl}"));
    assert!(found.len() == 1 && found[0].contains("security = \"tls\""), "{found:?}");
}

#[test]
fn validation_reports_every_problem_at_once() {
    let found = problems(
        "brokers = 'a:1,b:x'\nsecurity = 'plaintext'\n\
         tls = { ca = 'no-ca.pem', certificate = 'no-cert.pem' }\n\
         sasl = { mechanism = 'SCRAM-SHA-512', region = 'x', password = 'env:PINFLOW_TEST_NO_SUCH_VARIABLE' }\n\
         properties = { acks = 1 }",
    );
    // One broker; plaintext with tls and with sasl; two files; no key, region, username or password; acks.
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn inline_secret_is_rejected_and_not_repeated() {
    for text in [
        "brokers = 'a:1'\nsasl = { mechanism = 'PLAIN', username = 'me', password = 'canary' }",
        "brokers = 'a:1'\ntls = { key_password = 'canary' }",
    ] {
        let refused = toml::from_str::<KafkaConnection>(text).unwrap_err();
        assert!(refused.message().contains("env:NAME") && !refused.message().contains("canary"), "{refused}");
    }
}

#[test]
fn iam_requires_region_and_rejects_username() {
    let host = "b-1.posts.ab12cd.c2.kafka.eu-west-1.amazonaws.com:9098";
    let connection = read(&format!("brokers = '{host}'\nsasl = {{ mechanism = 'MSK_IAM' }}"));
    assert_eq!(connection.resolve_region().as_deref(), Some("eu-west-1"));
    let written = read(&format!("brokers = '{host}'\nsasl = {{ mechanism = 'MSK_IAM', region = 'eu-north-1' }}"));
    assert_eq!(written.resolve_region().as_deref(), Some("eu-north-1"));
    let found = problems(&format!("brokers = '{host}'\nsasl = {{ mechanism = 'MSK_IAM', username = 'me' }}"));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn client_settings_contain_reserved_properties() {
    let connection = read("brokers = 'localhost:1'\nproperties = { 'client.id' = 'mine', 'fetch.min.bytes' = 7 }");
    let (reads, _) = connection.client_config(Path::new(""), ClientPurpose::Consumer).unwrap();
    for (name, value) in [
        ("bootstrap.servers", "localhost:1"),
        ("security.protocol", "plaintext"),
        ("auto.offset.reset", "error"),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "true"),
        ("client.id", "mine"),
        ("fetch.min.bytes", "7"),
    ] {
        assert_eq!(reads.get(name), Some(value), "{name}");
    }
    let (writes, _) = connection.client_config(Path::new(""), ClientPurpose::Producer).unwrap();
    assert_eq!((writes.get("enable.idempotence"), writes.get("acks")), (Some("true"), Some("all")));
}

#[test]
fn certificates_are_verified_unless_disabled_explicitly() {
    let settings = |text: &str| read(text).client_config(Path::new(""), ClientPurpose::Admin).unwrap().0;
    let verified = settings("brokers = 'localhost:1'\nsecurity = 'tls'");
    assert_eq!(verified.get("security.protocol"), Some("ssl"));
    // librdkafka verifies by default.
    let native = verified.create_native_config().unwrap();
    assert_eq!(native.get("enable.ssl.certificate.verification").unwrap(), "true");
    assert_eq!(native.get("ssl.endpoint.identification.algorithm").unwrap(), "https");
    let blind = settings("brokers = 'localhost:1'\ntls = { danger_accept_invalid_certs = true }");
    assert_eq!(blind.get("enable.ssl.certificate.verification"), Some("false"));
}
