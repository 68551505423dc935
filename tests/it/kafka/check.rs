//! Findings of `pinflow check` about a Kafka cluster.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pinflow_kafka::{Finding, KafkaConnection, check_cluster};

use pinflow_testkit::create_temp_dir;
use pinflow_testkit::kafka::broker::{BrokerListener, DENIED_USER, KafkaBroker, PASSWORD};
use pinflow_testkit::kafka::{path_text, skipped};
use pinflow_testkit::run;

fn problems(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Problem(what) => Some(what.as_str()),
            Finding::Passed(_) | Finding::Risk(_) => None,
        })
        .collect()
}

fn check_topics(connection: &KafkaConnection, base: &Path, topics: &[&str]) -> Vec<Finding> {
    let topics: Vec<_> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    check_cluster(connection, base, &topics, "tests")
}

#[test]
fn check_reads_existing_topics_and_reports_missing_ones() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    broker.create_topic("checked.full", 2, &[]);
    broker.create_topic("checked.empty", 1, &[]);
    let to = format!("kafka://{}", broker.plaintext());
    assert_eq!(run(["emit", "--inds", "50", "--streams", "geo", "--to", &to, "--topic", "checked.full"]).code, 0);
    let connection = KafkaConnection::plaintext(&broker.plaintext());
    let findings = check_topics(&connection, Path::new(""), &["checked.full", "checked.empty", "checked.none"]);
    let [Finding::Passed(cluster), Finding::Passed(full), Finding::Passed(empty), Finding::Problem(none)] =
        &findings[..]
    else {
        panic!("{findings:?}")
    };
    assert!(cluster.contains("1 broker"), "{cluster}");
    assert!(full.contains("2 partitions, 50 records, readable"), "{full}");
    assert!(empty.contains("1 partition, 0 records"), "{empty}");
    assert!(none.contains("`pinflow topics create checked.none`"), "{none}");
}

#[test]
fn check_reports_a_missing_permission() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let place = create_temp_dir();
    let password = place.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    broker.create_topic("rights", 1, &[]);
    let to = format!("kafka://{}", broker.plaintext());
    assert_eq!(run(["emit", "--inds", "5", "--streams", "geo", "--to", &to, "--topic", "rights"]).code, 0);
    let connection: KafkaConnection = toml::from_str(&format!(
        "brokers = '{}'\ntls = {{ ca = '{}' }}\n\
         sasl = {{ mechanism = 'SCRAM-SHA-256', username = '{DENIED_USER}', password = 'file:password' }}\n",
        broker.address(BrokerListener::Sasl),
        path_text(&broker.certificates().authority())
    ))
    .unwrap();
    let allow = |operation: &str| {
        let principal = format!("User:{DENIED_USER}");
        let arguments =
            ["--add", "--force", "--allow-principal", &principal, "--operation", operation, "--topic", "rights"];
        broker.tool("org.apache.kafka.tools.AclCommand", &arguments);
    };
    let look = || check_topics(&connection, place.path(), &["rights"]);
    let unseen = look();
    assert!(problems(&unseen).iter().any(|fault| fault.contains("Describe")), "{unseen:?}");
    allow("Describe");
    let unread = look();
    assert!(
        problems(&unread).iter().any(|fault| fault.contains("grant Describe and Read on Topic rights")),
        "{unread:?}"
    );
    allow("Read");
    let well = look();
    assert_eq!(problems(&well), Vec::<&str>::new());
}

#[test]
fn invalid_configuration_is_reported_before_connecting() {
    let connection: KafkaConnection = toml::from_str(
        "brokers = 'localhost:x'\nsecurity = 'plaintext'\nsasl = { mechanism = 'MSK_IAM', region = 'eu-west-1' }",
    )
    .unwrap();
    let findings = check_topics(&connection, Path::new(""), &["a"]);
    assert_eq!(problems(&findings).len(), 2, "{findings:?}");
}

#[test]
fn unreachable_broker_is_reported_with_its_cause() {
    let findings = check_topics(&KafkaConnection::plaintext("127.0.0.1:1"), Path::new(""), &["a"]);
    assert!(problems(&findings).iter().any(|fault| fault.contains("nothing listens on that port")), "{findings:?}");
}
