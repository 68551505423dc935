//! `pinflow check` for a Kafka cluster: connects, and tries everything that reading needs.

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

/// Longest wait for each answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Reaches a cluster, looks at topics, and reads a record of each; changes nothing. Blocks for a while where nobody
/// answers. `group` is the consumer group of the reader, which none of its rights depend on.
#[must_use]
pub fn check_cluster(connection: &KafkaConnection, base: &Path, topics: &[String], group: &str) -> Vec<Finding> {
    let faults = connection.validate(base);
    if !faults.is_empty() {
        return faults.iter().map(|problem| Finding::Fault(problem.to_string())).collect();
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
    findings.push(Finding::Well(format!("kafka {}: cluster {id}, {brokers} broker{s}", connection.brokers)));
    for topic in topics {
        match check_topic(connection, base, &observer, topic, group) {
            Ok(what) => findings.push(Finding::Well(what)),
            Err(what) => findings.push(Finding::Fault(what)),
        }
    }
    findings
}

fn error_finding(error: impl std::error::Error + Send + Sync + 'static) -> Finding {
    Finding::Fault(error_text(&error))
}

fn append_finding(mut findings: Vec<Finding>, last: Finding) -> Vec<Finding> {
    findings.push(last);
    findings
}

/// What a topic holds, or what is wrong with it.
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
                "topic {name} does not exist, or may not be seen: `pinflow topics create {name}` makes it; to see it takes \
                 the right to Describe on Topic {name} (MSK: kafka-cluster:DescribeTopic)"
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
        None => Ok(format!("{holds}; whether they may be read shows only once there are any")),
        Some((partition, low)) => {
            read_one_record(connection, base, name, partition, low, group)?;
            Ok(format!("{holds}, and they may be read"))
        }
    }
}

/// How many offsets a topic holds, and the first of a partition that holds any.
fn sum_watermarks(
    observer: &BaseConsumer<KafkaContext>,
    topic: &MetadataTopic,
) -> Result<(i64, Option<(i32, i64)>), String> {
    let name = topic.name();
    let (mut records, mut held) = (0, None);
    for partition in topic.partitions() {
        let id = partition.id();
        if partition.leader() < 0 {
            return Err(format!("topic {name}: partition {id} has no leader; brokers of it are down"));
        }
        let marks = observer.fetch_watermarks(name, id, CHECK_TIMEOUT);
        let (low, high) = marks.map_err(|error| match error.rdkafka_error_code() {
            Some(code) => {
                format!(
                    "topic {name}: the ends of partition {id} cannot be read: {code}{}",
                    permission_hint(code, name)
                )
            }
            None => format!("topic {name}: the ends of partition {id} cannot be read: {error}"),
        })?;
        records += high - low;
        if high > low && held.is_none() {
            held = Some((id, low));
        }
    }
    Ok((records, held))
}

/// Tries to read a record.
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
    // librdkafka assigns nothing without one.
    settings.set("group.id", group).set("enable.partition.eof", "true").set("fetch.message.max.bytes", "65536");
    let reader: BaseConsumer<KafkaContext> = settings.create_with_context(client).map_err(read_error)?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(name, partition, Offset::Offset(low)).map_err(read_error)?;
    reader.assign(&assignment).map_err(read_error)?;
    let asked = Instant::now();
    while asked.elapsed() < CHECK_TIMEOUT {
        match reader.poll(Duration::from_millis(200)) {
            // At its end: what there was is no record, but a mark of a transaction.
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) if is_topic_error(&error) => return Err(read_error(error)),
            // Of a connection, or of the group, which nothing depends on.
            Some(Err(_)) | None => {}
        }
    }
    Err(format!(
        "topic {name} cannot be read: no record came within {} s; a transaction that was never ended may stand in the way",
        CHECK_TIMEOUT.as_secs()
    ))
}

fn is_topic_error(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::OffsetOutOfRange))
}

/// Which right is missing.
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
