//! `pinflow check` for a Kafka cluster: connects and tries everything that reading requires.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::client_context::{ClientPurpose, KafkaContext};
use super::connection::KafkaConnection;
use super::metadata;
use pinflow_core::error_text::error_text;
use pinflow_core::finding::Finding;

/// Maximum wait for each response.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a cluster, describes each topic and reads one record of it. Changes nothing. Blocks for up to
/// `CHECK_TIMEOUT` for each request that gets no response. `group` is the reader's consumer group; no permission
/// depends on it.
#[must_use]
pub fn check_cluster(connection: &KafkaConnection, base: &Path, topics: &[String], group: &str) -> Vec<Finding> {
    let problems = connection.validate(base);
    if !problems.is_empty() {
        return problems.iter().map(|problem| Finding::Problem(problem.to_string())).collect();
    }
    let mut findings: Vec<_> = connection.warnings().into_iter().map(Finding::Risk).collect();
    let observer = match connection.create_observer(base) {
        Ok(observer) => observer,
        Err(error) => return append_finding(findings, error_finding(error)),
    };
    let cluster = match metadata::fetch_metadata(&observer, &connection.brokers, None, CHECK_TIMEOUT) {
        Ok(cluster) => cluster,
        Err(error) => return append_finding(findings, error_finding(error)),
    };
    let id = observer.client().fetch_cluster_id(CHECK_TIMEOUT).unwrap_or_else(|| "without an id".to_owned());
    let brokers = cluster.brokers().len();
    let s = if brokers == 1 { "" } else { "s" };
    findings.push(Finding::Passed(format!("kafka {}: cluster {id}, {brokers} broker{s}", connection.brokers)));
    for topic in topics {
        match check_topic(connection, base, &observer, topic, group) {
            Ok(what) => findings.push(Finding::Passed(what)),
            Err(what) => findings.push(Finding::Problem(what)),
        }
    }
    findings
}

fn error_finding(error: impl std::error::Error + Send + Sync + 'static) -> Finding {
    Finding::Problem(error_text(&error))
}

fn append_finding(mut findings: Vec<Finding>, last: Finding) -> Vec<Finding> {
    findings.push(last);
    findings
}

/// Describes the contents of a topic, or what is wrong with it.
fn check_topic(
    connection: &KafkaConnection,
    base: &Path,
    observer: &BaseConsumer<KafkaContext>,
    name: &str,
    group: &str,
) -> Result<String, String> {
    let metadata = metadata::fetch_metadata(observer, &connection.brokers, Some(name), CHECK_TIMEOUT);
    let metadata = metadata.map_err(|error| error.to_string())?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let topic = topic.ok_or_else(|| {
        format!("topic {name}: the cluster returned no metadata for it; check its name and the Describe permission")
    })?;
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
            return Err(format!(
                "topic {name} does not exist or is not visible. Create it with `pinflow topics create {name}`, or grant \
                 Describe on Topic {name} (MSK: kafka-cluster:DescribeTopic)"
            ));
        }
        Some(code) => {
            return Err(format!("topic {name}: metadata cannot be read: {code}{}", permission_hint(code, name)));
        }
    }
    let (records, held) = sum_watermarks(observer, topic)?;
    let count = topic.partitions().len();
    let s = if count == 1 { "" } else { "s" };
    let holds = format!("topic {name}: {count} partition{s}, {records} records");
    match held {
        None => Ok(format!("{holds}; read permission cannot be checked while the topic is empty")),
        Some((partition, low)) => {
            read_one_record(connection, base, name, partition, low, group)?;
            Ok(format!("{holds}, readable"))
        }
    }
}

/// The number of offsets in a topic, and the first offset of a partition that is not empty.
fn sum_watermarks(
    observer: &BaseConsumer<KafkaContext>,
    topic: &MetadataTopic,
) -> Result<(i64, Option<(i32, i64)>), String> {
    let name = topic.name();
    let (mut records, mut held) = (0, None);
    for partition in topic.partitions() {
        let id = partition.id();
        if partition.leader() < 0 {
            return Err(format!("topic {name}: partition {id} has no leader; start its brokers"));
        }
        let marks = observer.fetch_watermarks(name, id, CHECK_TIMEOUT);
        let (low, high) = marks.map_err(|error| match error.rdkafka_error_code() {
            Some(code) => {
                format!(
                    "topic {name}: the offsets of partition {id} cannot be read: {code}{}",
                    permission_hint(code, name)
                )
            }
            None => format!("topic {name}: the offsets of partition {id} cannot be read: {error}"),
        })?;
        records += high - low;
        if high > low && held.is_none() {
            held = Some((id, low));
        }
    }
    Ok((records, held))
}

/// Checks the read permission by fetching one record.
fn read_one_record(
    connection: &KafkaConnection,
    base: &Path,
    name: &str,
    partition: i32,
    low: i64,
    group: &str,
) -> Result<(), String> {
    let read_error = |error: KafkaError| match error.rdkafka_error_code() {
        Some(code) => format!("topic {name} cannot be read: {code}{}", permission_hint(code, name)),
        None => format!("topic {name} cannot be read: {error}"),
    };
    let (mut settings, client) =
        connection.client_config(base, ClientPurpose::Consumer).map_err(|error| error.to_string())?;
    // librdkafka assigns no partition without a group id.
    settings.set("group.id", group).set("enable.partition.eof", "true").set("fetch.message.max.bytes", "65536");
    let reader: BaseConsumer<KafkaContext> = settings.create_with_context(client).map_err(read_error)?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(name, partition, Offset::Offset(low)).map_err(read_error)?;
    reader.assign(&assignment).map_err(read_error)?;
    let start = Instant::now();
    while start.elapsed() < CHECK_TIMEOUT {
        match reader.poll(Duration::from_millis(200)) {
            // At the end of the partition: it only contains transaction markers, but reading is permitted.
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) if is_topic_error(&error) => return Err(read_error(error)),
            // Errors of a connection are retried by the client; errors of the group do not matter.
            Some(Err(_)) | None => {}
        }
    }
    Err(format!(
        "topic {name} cannot be read: no record arrived within {} s; an open transaction may block reading",
        CHECK_TIMEOUT.as_secs()
    ))
}

fn is_topic_error(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::OffsetOutOfRange))
}

/// The missing permission, if the error is about one.
fn permission_hint(code: RDKafkaErrorCode, name: &str) -> String {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => format!(
            "; grant Describe and Read on Topic {name} (MSK: kafka-cluster:DescribeTopic and kafka-cluster:ReadData)"
        ),
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "; grant Describe on the Cluster (MSK: kafka-cluster:Connect)".to_owned()
        }
        _ => String::new(),
    }
}
