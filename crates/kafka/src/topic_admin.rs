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
use super::connection::{KafkaConnection, KafkaConnectionError};
use super::metadata::{self, ClusterUnreachable};
use pinflow_core::user_error::{ExitStatus, UserError};

/// Longest wait for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait until a topic that was made can be used: brokers tell one another.
const TOPIC_USABLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The setting that says whose clock a record's time is read from.
const TIME_SETTING: &str = "message.timestamp.type";
/// Its value for the broker's clock, which a sender cannot set.
const BROKER_TIME: &str = "LogAppendTime";

/// A cluster whose topics are looked at and changed.
pub struct TopicAdmin {
    connection: KafkaConnection,
    observer: BaseConsumer<KafkaContext>,
    /// Absent where librdkafka's admin client cannot sign in.
    admin: Option<AdminClient<KafkaContext>>,
}

/// A topic that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Partitions; by default what the brokers' `num.partitions` says.
    pub partitions: Option<i32>,
    /// Copies of each partition; by default what the brokers' `default.replication.factor` says.
    pub replication: Option<i32>,
    /// Settings of the topic, such as `retention.ms`.
    pub settings: Vec<(String, String)>,
}

impl TopicSpec {
    /// The settings of a topic that is to be made: what is wanted and, if that says nothing else, times by the broker's
    /// clock.
    fn settings_of_new(&self) -> impl Iterator<Item = (&str, &str)> {
        let says_time = self.settings.iter().any(|(key, _)| key == TIME_SETTING);
        let wanted = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        wanted.chain((!says_time).then_some((TIME_SETTING, BROKER_TIME)))
    }
}

/// A topic after it was seen to that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnsuredTopic {
    /// What became of it.
    pub outcome: TopicOutcome,
    /// Why it works and is risky, and what to do; only of a topic that was there.
    pub risk: Option<String>,
}

/// What became of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicOutcome {
    /// It was made.
    Created,
    /// It was there, as it is wanted.
    Exists,
    /// It was deleted.
    Deleted,
    /// There was none.
    Absent,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicInfo {
    /// Its name.
    pub topic: String,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionInfo>,
    /// Settings that were made for it, where they may be read.
    pub settings: Option<Vec<(String, String)>>,
}

/// A partition of a topic. What is unknown while it has no leader is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; none if below 0.
    pub leader: i32,
    /// The brokers that hold a copy.
    pub replicas: Vec<i32>,
    /// Those of them that are up to date.
    pub isr: Vec<i32>,
    /// The oldest offset it holds.
    pub low: Option<i64>,
    /// The offset of the next record.
    pub high: Option<i64>,
}

/// Why nothing can be said of a topic, or done with it.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// There is no client.
    #[error(transparent)]
    Connection(#[from] KafkaConnectionError),
    /// There is no broker.
    #[error(transparent)]
    Unreachable(#[from] ClusterUnreachable),
    /// It is not there.
    #[error("topic {0} does not exist; create it with `pinflow topics create {0}`")]
    Absent(String),
    /// It is there, but not as it is wanted.
    #[error("topic {name} exists, with {found}, not {wanted}; delete it or choose another name")]
    Different {
        /// Its name.
        name: String,
        /// What it has.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The brokers refuse.
    #[error("{verb} topic {name}: {what}{}", rejection_hint(*code, verb, name))]
    Refused {
        /// What was to be done.
        verb: &'static str,
        /// The topic.
        name: String,
        /// Why, in the brokers' words.
        what: String,
        /// The same as a code.
        code: RDKafkaErrorCode,
    },
    /// The question failed on its way.
    #[error("{verb} topic {name}")]
    Failed {
        /// What was to be done.
        verb: &'static str,
        /// The topic.
        name: String,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// librdkafka's admin client cannot fetch tokens.
    #[error(
        "{verb} topic {name}: with MSK_IAM pinflow can read and write topics, but not make or delete them, as the Kafka \
         client's admin part cannot fetch tokens; use Apache Kafka's kafka-topics.sh with aws-msk-iam-auth, or SCRAM"
    )]
    NoToken {
        /// What was to be done.
        verb: &'static str,
        /// The topic.
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

/// What to do about a refusal.
fn rejection_hint(code: RDKafkaErrorCode, verb: &str, name: &str) -> String {
    use RDKafkaErrorCode as Code;
    let mend = match code {
        Code::TopicAuthorizationFailed => match verb {
            "create" => format!("grant Create on Topic {name}, or on the Cluster"),
            "delete" => format!("grant Delete on Topic {name}"),
            _ => format!("grant Describe and DescribeConfigs on Topic {name}"),
        },
        Code::ClusterAuthorizationFailed => "grant Create on the Cluster".to_owned(),
        Code::InvalidReplicationFactor => "the cluster has fewer brokers: choose a smaller --replication".to_owned(),
        Code::InvalidPartitions => "choose at least one partition".to_owned(),
        Code::InvalidTopic => "names are of letters, digits, `.`, `_` and `-`, 249 at most".to_owned(),
        Code::InvalidConfig => "correct --config: the brokers do not know a name or a value".to_owned(),
        Code::PolicyViolation => "the cluster's policy forbids it: ask who runs it".to_owned(),
        _ => return String::new(),
    };
    format!(" ({mend})")
}

impl TopicAdmin {
    /// A cluster. `base` is what the connection's relative paths are relative to.
    ///
    /// # Errors
    /// If there is something wrong with the connection.
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

    /// The names of all topics that may be seen, but for the brokers' own.
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

    /// What a topic is and holds.
    ///
    /// # Errors
    /// If it is not there, or may not be seen.
    pub async fn describe(&self, name: &str) -> Result<TopicInfo, TopicError> {
        let partitions = self.find_partitions(name)?.ok_or_else(|| TopicError::Absent(name.to_owned()))?;
        let settings = self.fetch_settings(name).await?;
        let settings = settings
            .map(|settings| settings.into_iter().filter(is_topic_override).filter_map(name_and_value).collect());
        Ok(TopicInfo { topic: name.to_owned(), partitions, settings })
    }

    /// Sees to it that a topic is there as it is wanted. Returns when it can be used.
    ///
    /// # Errors
    /// If it may not be made, or is there with other partitions, copies or settings.
    pub async fn create(&self, wanted: &TopicSpec) -> Result<EnsuredTopic, TopicError> {
        let name = &wanted.name;
        let admin = self.admin_client("create", name)?;
        // A cluster that cannot be reached says why here, an admin client only that time is up.
        if self.find_partitions(name)?.is_some() {
            return self.compare_existing(wanted).await;
        }
        let replication = TopicReplication::Fixed(wanted.replication.unwrap_or(-1));
        let mut topic = NewTopic::new(name, wanted.partitions.unwrap_or(-1), replication);
        for (key, value) in wanted.settings_of_new() {
            topic = topic.set(key, value);
        }
        let answers = admin.create_topics([&topic], &admin_options()).await;
        match single_result(answers, "create", name)? {
            Err(RDKafkaErrorCode::TopicAlreadyExists) => self.compare_existing(wanted).await,
            Err(code) => Err(rejected_error("create", name, code)),
            Ok(()) => {
                self.wait_until_usable(name)?;
                Ok(EnsuredTopic { outcome: TopicOutcome::Created, risk: None })
            }
        }
    }

    /// Why a topic works and is risky, and what to do; `None` if it is not, or if its settings may not be read.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub async fn risk(&self, name: &str) -> Result<Option<String>, TopicError> {
        Ok(self.fetch_settings(name).await?.and_then(|settings| time_risk(name, &settings)))
    }

    /// Sees to it that a topic is not there. Returns when it is gone.
    ///
    /// # Errors
    /// If it may not be deleted.
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

    /// The partitions of a topic; `None` if it is not there.
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

    /// All settings of a topic; `None` where they may not be read.
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

    /// A topic that is there, against what is wanted.
    async fn compare_existing(&self, wanted: &TopicSpec) -> Result<EnsuredTopic, TopicError> {
        let name = &wanted.name;
        let different = |found: String, wanted: String| TopicError::Different { name: name.clone(), found, wanted };
        let parts = self.find_partitions(name)?.ok_or_else(|| TopicError::Absent(name.clone()))?;
        if let Some(count) = wanted.partitions.filter(|count| usize::try_from(*count) != Ok(parts.len())) {
            return Err(different(format!("{} partitions", parts.len()), count.to_string()));
        }
        let copies = parts.first().map_or(0, |part| part.replicas.len());
        if let Some(count) = wanted.replication.filter(|count| usize::try_from(*count) != Ok(copies)) {
            return Err(different(format!("{copies} copies of each partition"), count.to_string()));
        }
        let settings = self.fetch_settings(name).await?.unwrap_or_default();
        for (key, value) in &wanted.settings {
            let found = value_of(&settings, key);
            if found != Some(value.as_str()) {
                return Err(different(format!("{key}={}", found.unwrap_or("unknown")), format!("{key}={value}")));
            }
        }
        let wants_time = wanted.settings.iter().any(|(key, _)| key == TIME_SETTING);
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

/// The answer to a question about one topic.
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

/// What to say of a topic whose senders set the times of its records.
fn time_risk(name: &str, settings: &[ConfigEntry]) -> Option<String> {
    let found = value_of(settings, TIME_SETTING).filter(|value| *value != BROKER_TIME)?;
    Some(format!(
        "topic {name}: senders set the times of its records ({TIME_SETTING}={found}), so a wrong clock of theirs decides \
         which delivery of an ind counts. Have the brokers set them: kafka-configs.sh --alter --entity-type topics \
         --entity-name {name} --add-config {TIME_SETTING}={BROKER_TIME}"
    ))
}

/// Whether a setting was made for the topic, and is not the brokers' default.
fn is_topic_override(entry: &ConfigEntry) -> bool {
    entry.source == ConfigSource::DynamicTopic && !entry.is_sensitive
}

fn name_and_value(entry: ConfigEntry) -> Option<(String, String)> {
    entry.value.map(|value| (entry.name, value))
}
