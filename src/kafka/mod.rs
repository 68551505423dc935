//! How to speak to a Kafka cluster: brokers, security, properties, tokens.
//!
//! What is configured as a [`KafkaConnection`] becomes the settings of a client of librdkafka and the [`KafkaContext`] that
//! listens to it. The rooms:
//!
//! - `connection`: what can be said about a cluster, every fault of it, and the client's settings;
//! - `secret`: passwords, which come from the environment or from files and are shown to nobody;
//! - `properties`: librdkafka's own properties, passed through but for those that pinflow's guarantees rest on;
//! - `client`: what librdkafka has to say (logs, faults, its wish for a token) and where that goes;
//! - `reach`: a cluster's metadata, or why it cannot be had;
//! - `check`: tries all that reading needs;
//! - `producer`: a client that writes, and who hears what became of each record;
//! - `topics`: topics made, listed, described, deleted;
//! - `writer`: single records written, each with its place in the answer;
//! - `iam`: tokens for Amazon MSK's access control by IAM.
//!
//! This room knows neither sources nor what messages mean.

mod check;
mod client_context;
mod connection;
mod iam;
mod metadata;
mod producer;
mod properties;
mod record_writer;
mod topic_admin;

pub use crate::finding::Finding;
pub use check::check_cluster;
pub use client_context::{ClientPurpose, KafkaContext};
pub use connection::{
    BrokerList, KafkaConnection, KafkaConnectionError, KafkaSasl, KafkaTls, SaslMechanism, TransportSecurity,
};
pub use metadata::{ClusterUnreachable, fetch_metadata};
pub(crate) use producer::{DeliveryContext, DeliveryReports, create_producer};
pub use properties::LibrdkafkaProperties;
pub use record_writer::{OutgoingRecord, RecordMetadata, RecordWriteError, RecordWriter};
pub use topic_admin::{EnsuredTopic, PartitionInfo, TopicAdmin, TopicError, TopicInfo, TopicOutcome, TopicSpec};
