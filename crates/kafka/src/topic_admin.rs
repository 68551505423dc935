//! Creates, lists, describes and deletes topics.
//!
//! Metadata is read with a consumer; changes go through librdkafka's admin client. The admin client cannot fetch tokens
//! (rust-rdkafka issue 757). With MSK IAM, topics can therefore be listed and described (without their settings), but not
//! created or deleted.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigEntry, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use serde::Serialize;

use super::client_context::{ClientPurpose, KafkaContext};
use super::connection::KafkaConnection;
use super::connection_error::KafkaConnectionError;
use super::metadata::{self, ClusterUnreachable};
use pinflow_core::user_error::{ExitStatus, UserError};

/// Timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum wait until a new topic is usable: its metadata must reach all brokers.
const TOPIC_USABLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The topic setting that selects the clock of record timestamps.
const TIME_SETTING: &str = "message.timestamp.type";
/// The value that selects the broker's clock, which a producer cannot set.
const BROKER_TIME: &str = "LogAppendTime";

/// Administers the topics of a cluster.
pub struct TopicAdmin {
    connection: KafkaConnection,
    observer: BaseConsumer<KafkaContext>,
    /// `None` if librdkafka's admin client cannot authenticate.
    admin: Option<AdminClient<KafkaContext>>,
}

/// The requested properties of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// The name of the topic.
    pub name: String,
    /// Number of partitions; by default the brokers' `num.partitions`.
    pub partitions: Option<i32>,
    /// Replication factor; by default the brokers' `default.replication.factor`.
    pub replication: Option<i32>,
    /// Topic settings, such as `retention.ms`.
    pub settings: Vec<(String, String)>,
}

impl TopicSpec {
    /// The settings of a new topic: the requested ones and, unless they say otherwise, timestamps by the broker's
    /// clock.
    fn settings_of_new(&self) -> impl Iterator<Item = (&str, &str)> {
        let says_time = self.settings.iter().any(|(key, _)| key == TIME_SETTING);
        let wanted = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        wanted.chain((!says_time).then_some((TIME_SETTING, BROKER_TIME)))
    }
}

/// The result of [`TopicAdmin::create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnsuredTopic {
    /// Whether the topic was created or existed.
    pub outcome: TopicOutcome,
    /// A risk of an existing topic, and what to do about it.
    pub risk: Option<String>,
}

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicOutcome {
    /// The topic was created.
    Created,
    /// The topic existed, with the requested properties.
    Exists,
    /// The topic was deleted.
    Deleted,
    /// The topic did not exist.
    Absent,
}

/// Description of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicInfo {
    /// The name of the topic.
    pub topic: String,
    /// The partitions in the order of their numbers.
    pub partitions: Vec<PartitionInfo>,
    /// Settings that override the brokers' defaults; `None` if they cannot be read.
    pub settings: Option<Vec<(String, String)>>,
}

/// Description of a partition. Values that are unknown while it has no leader are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionInfo {
    /// The number of the partition.
    pub partition: i32,
    /// The broker that leads the partition; negative if there is none.
    pub leader: i32,
    /// The brokers that hold a replica.
    pub replicas: Vec<i32>,
    /// The replicas that are in sync.
    pub isr: Vec<i32>,
    /// The oldest available offset.
    pub low: Option<i64>,
    /// The offset of the next record.
    pub high: Option<i64>,
}

/// Why a topic cannot be described or changed.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The client cannot be created.
    #[error(transparent)]
    Connection(#[from] KafkaConnectionError),
    /// No broker responded.
    #[error(transparent)]
    Unreachable(#[from] ClusterUnreachable),
    /// The topic does not exist.
    #[error("topic {0} does not exist; create it with `pinflow topics create {0}`")]
    Absent(String),
    /// The topic exists with other properties than requested.
    #[error("topic {name} exists, with {found}, not {wanted}; delete it or choose another name")]
    Different {
        /// The name of the topic.
        name: String,
        /// The property that differs.
        found: String,
        /// The requested value.
        wanted: String,
    },
    /// The brokers reject the request.
    #[error("{verb} topic {name}: {what}{}", rejection_hint(*code, verb, name))]
    Refused {
        /// The operation.
        verb: &'static str,
        /// The name of the topic.
        name: String,
        /// The brokers' message.
        what: String,
        /// The brokers' error code.
        code: RDKafkaErrorCode,
    },
    /// The request failed.
    #[error("{verb} topic {name}")]
    Failed {
        /// The operation.
        verb: &'static str,
        /// The name of the topic.
        name: String,
        /// The client's error.
        #[source]
        cause: KafkaError,
    },
    /// librdkafka's admin client cannot fetch tokens, so it cannot use `MSK_IAM`.
    #[error(
        "{verb} topic {name}: with MSK_IAM pinflow can read and write topics, but not create or delete them, because the Kafka \
         client's admin API cannot fetch tokens; use Apache Kafka's kafka-topics.sh with aws-msk-iam-auth, or SCRAM"
    )]
    NoToken {
        /// The operation.
        verb: &'static str,
        /// The name of the topic.
        name: String,
    },
}

impl UserError for TopicError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            TopicError::Connection(error) => error.exit_code(),
            _ => ExitStatus::Failed,
        }
    }
}

/// What to do about a rejected request.
fn rejection_hint(code: RDKafkaErrorCode, verb: &str, name: &str) -> String {
    use RDKafkaErrorCode as Code;
    let hint = match code {
        Code::TopicAuthorizationFailed => match verb {
            "create" => format!("grant Create on Topic {name}, or on the Cluster"),
            "delete" => format!("grant Delete on Topic {name}"),
            _ => format!("grant Describe and DescribeConfigs on Topic {name}"),
        },
        Code::ClusterAuthorizationFailed => "grant Create on the Cluster".to_owned(),
        Code::InvalidReplicationFactor => "the cluster has fewer brokers: choose a smaller --replication".to_owned(),
        Code::InvalidPartitions => "choose at least one partition".to_owned(),
        Code::InvalidTopic => "use 1 to 249 letters, digits, `.`, `_` and `-`".to_owned(),
        Code::InvalidConfig => "correct --config: the brokers reject a name or a value".to_owned(),
        Code::PolicyViolation => "the cluster's policy forbids it: ask its administrator".to_owned(),
        _ => return String::new(),
    };
    format!(" ({hint})")
}

impl TopicAdmin {
    /// Connects to a cluster. `base` resolves relative paths of the connection.
    ///
    /// # Errors
    /// If the connection is invalid.
    pub fn connect(connection: KafkaConnection, base: &Path) -> Result<TopicAdmin, KafkaConnectionError> {
        let observer = connection.create_observer(base)?;
        let admin = if connection.is_iam() {
            None
        } else {
            let (settings, client) = connection.client_config(base, ClientPurpose::Admin)?;
            let made = settings.create_with_context::<_, AdminClient<KafkaContext>>(client);
            Some(made.map_err(|error| connection.creation_error(&error))?)
        };
        Ok(TopicAdmin { connection, observer, admin })
    }

    /// The names of all visible topics, except internal ones.
    ///
    /// # Errors
    /// [`ClusterUnreachable`].
    pub fn list_names(&self) -> Result<Vec<String>, ClusterUnreachable> {
        let metadata = metadata::fetch_metadata(&self.observer, &self.connection.brokers, None, REQUEST_TIMEOUT)?;
        let mut names: Vec<_> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
        names.retain(|name| !name.starts_with("__"));
        names.sort();
        Ok(names)
    }

    /// Describes a topic and its partitions.
    ///
    /// # Errors
    /// If the topic does not exist or is not visible.
    pub async fn describe(&self, name: &str) -> Result<TopicInfo, TopicError> {
        let partitions = self.find_partitions(name)?.ok_or_else(|| TopicError::Absent(name.to_owned()))?;
        let settings = self.fetch_settings(name).await?;
        let settings = settings
            .map(|settings| settings.into_iter().filter(is_topic_override).filter_map(name_and_value).collect());
        Ok(TopicInfo { topic: name.to_owned(), partitions, settings })
    }

    /// Creates a topic unless it exists with the requested properties. Returns once the topic is usable.
    ///
    /// # Errors
    /// If the topic cannot be created, or exists with other partitions, replicas or settings.
    pub async fn create(&self, spec: &TopicSpec) -> Result<EnsuredTopic, TopicError> {
        let name = &spec.name;
        let admin = self.admin_client("create", name)?;
        // An unreachable cluster is reported here with its cause. The admin client would only report a timeout.
        if self.find_partitions(name)?.is_some() {
            return self.compare_existing(spec).await;
        }
        let replication = TopicReplication::Fixed(spec.replication.unwrap_or(-1));
        let mut topic = NewTopic::new(name, spec.partitions.unwrap_or(-1), replication);
        for (key, value) in spec.settings_of_new() {
            topic = topic.set(key, value);
        }
        let answers = admin.create_topics([&topic], &admin_options()).await;
        match single_result(answers, "create", name)? {
            Err(RDKafkaErrorCode::TopicAlreadyExists) => self.compare_existing(spec).await,
            Err(code) => Err(rejected_error("create", name, code)),
            Ok(()) => {
                self.wait_until_usable(name)?;
                Ok(EnsuredTopic { outcome: TopicOutcome::Created, risk: None })
            }
        }
    }

    /// The risk of a topic's settings and what to do about it; `None` without a risk, or if the settings cannot be
    /// read.
    ///
    /// # Errors
    /// If the brokers do not respond.
    pub async fn risk(&self, name: &str) -> Result<Option<String>, TopicError> {
        Ok(self.fetch_settings(name).await?.and_then(|settings| time_risk(name, &settings)))
    }

    /// Deletes a topic if it exists. Returns once it is gone.
    ///
    /// # Errors
    /// If the topic cannot be deleted.
    pub async fn delete(&self, name: &str) -> Result<TopicOutcome, TopicError> {
        let admin = self.admin_client("delete", name)?;
        if self.find_partitions(name)?.is_none() {
            return Ok(TopicOutcome::Absent);
        }
        let answers = admin.delete_topics(&[name], &admin_options()).await;
        match single_result(answers, "delete", name)? {
            Ok(()) => Ok(TopicOutcome::Deleted),
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(TopicOutcome::Absent),
            Err(code) => Err(rejected_error("delete", name, code)),
        }
    }

    fn admin_client(&self, verb: &'static str, name: &str) -> Result<&AdminClient<KafkaContext>, TopicError> {
        self.admin.as_ref().ok_or_else(|| TopicError::NoToken { verb, name: name.to_owned() })
    }

    /// The partitions of a topic; `None` if the topic does not exist.
    fn find_partitions(&self, name: &str) -> Result<Option<Vec<PartitionInfo>>, TopicError> {
        let metadata = metadata::fetch_metadata(&self.observer, &self.connection.brokers, Some(name), REQUEST_TIMEOUT)?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(self.describe_partitions(topic))),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(None),
            Some(code) => Err(rejected_error("describe", name, code)),
        }
    }

    fn describe_partitions(&self, topic: &MetadataTopic) -> Vec<PartitionInfo> {
        let part = |found: &rdkafka::metadata::MetadataPartition| {
            let marks = (found.leader() >= 0)
                .then(|| self.observer.fetch_watermarks(topic.name(), found.id(), REQUEST_TIMEOUT).ok())
                .flatten();
            PartitionInfo {
                partition: found.id(),
                leader: found.leader(),
                replicas: found.replicas().to_vec(),
                isr: found.isr().to_vec(),
                low: marks.map(|(low, _)| low),
                high: marks.map(|(_, high)| high),
            }
        };
        let mut parts: Vec<_> = topic.partitions().iter().map(part).collect();
        parts.sort_by_key(|part| part.partition);
        parts
    }

    /// All settings of a topic; `None` if they cannot be read.
    async fn fetch_settings(&self, name: &str) -> Result<Option<Vec<ConfigEntry>>, TopicError> {
        let Some(admin) = &self.admin else { return Ok(None) };
        let answers = admin.describe_configs([&ResourceSpecifier::Topic(name)], &admin_options()).await;
        let answers = answers.map_err(|cause| call_error("describe", name, cause))?;
        match answers.into_iter().next() {
            Some(Ok(resource)) => Ok(Some(resource.entries)),
            Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed)) | None => Ok(None),
            Some(Err(code)) => Err(rejected_error("describe", name, code)),
        }
    }

    /// Compares an existing topic with the requested one.
    async fn compare_existing(&self, spec: &TopicSpec) -> Result<EnsuredTopic, TopicError> {
        let name = &spec.name;
        let different = |found: String, wanted: String| TopicError::Different { name: name.clone(), found, wanted };
        let parts = self.find_partitions(name)?.ok_or_else(|| TopicError::Absent(name.clone()))?;
        if let Some(count) = spec.partitions.filter(|count| usize::try_from(*count) != Ok(parts.len())) {
            return Err(different(format!("{} partitions", parts.len()), count.to_string()));
        }
        let copies = parts.first().map_or(0, |part| part.replicas.len());
        if let Some(count) = spec.replication.filter(|count| usize::try_from(*count) != Ok(copies)) {
            return Err(different(format!("{copies} replicas of each partition"), count.to_string()));
        }
        let settings = self.fetch_settings(name).await?.unwrap_or_default();
        for (key, value) in &spec.settings {
            let found = value_of(&settings, key);
            if found != Some(value.as_str()) {
                return Err(different(format!("{key}={}", found.unwrap_or("unknown")), format!("{key}={value}")));
            }
        }
        let wants_time = spec.settings.iter().any(|(key, _)| key == TIME_SETTING);
        let risk = if wants_time { None } else { time_risk(name, &settings) };
        Ok(EnsuredTopic { outcome: TopicOutcome::Exists, risk })
    }

    fn wait_until_usable(&self, name: &str) -> Result<(), TopicError> {
        let start = Instant::now();
        loop {
            let led = self.find_partitions(name)?.is_some_and(|parts| {
                !parts.is_empty() && parts.iter().all(|part| part.leader >= 0 && part.high.is_some())
            });
            if led || start.elapsed() > TOPIC_USABLE_TIMEOUT {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}

fn rejected_error(verb: &'static str, name: &str, code: RDKafkaErrorCode) -> TopicError {
    TopicError::Refused { verb, name: name.to_owned(), what: code.to_string(), code }
}

fn call_error(verb: &'static str, name: &str, cause: KafkaError) -> TopicError {
    TopicError::Failed { verb, name: name.to_owned(), cause }
}

/// Extracts the result of a request about one topic.
fn single_result(
    answers: Result<Vec<rdkafka::admin::TopicResult>, KafkaError>,
    verb: &'static str,
    name: &str,
) -> Result<Result<(), RDKafkaErrorCode>, TopicError> {
    let answers = answers.map_err(|cause| call_error(verb, name, cause))?;
    let answer = answers.into_iter().next().ok_or_else(|| call_error(verb, name, KafkaError::Canceled))?;
    Ok(answer.map(|_| ()).map_err(|(_, code)| code))
}

fn value_of<'a>(settings: &'a [ConfigEntry], key: &str) -> Option<&'a str> {
    settings.iter().find(|entry| entry.name == key).and_then(|entry| entry.value.as_deref())
}

/// The warning about a topic whose producers set the record timestamps.
fn time_risk(name: &str, settings: &[ConfigEntry]) -> Option<String> {
    let found = value_of(settings, TIME_SETTING).filter(|value| *value != BROKER_TIME)?;
    Some(format!(
        "topic {name}: producers set the timestamps of its records ({TIME_SETTING}={found}), so a producer with a wrong clock decides \
         which delivery of an ind counts. Let the brokers set them: kafka-configs.sh --alter --entity-type topics \
         --entity-name {name} --add-config {TIME_SETTING}={BROKER_TIME}"
    ))
}

/// Whether a setting overrides the brokers' default for this topic.
fn is_topic_override(entry: &ConfigEntry) -> bool {
    entry.source == ConfigSource::DynamicTopic && !entry.is_sensitive
}

fn name_and_value(entry: ConfigEntry) -> Option<(String, String)> {
    entry.value.map(|value| (entry.name, value))
}
