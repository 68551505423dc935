//! Talks to a Kafka cluster: connections, security, tokens, topics, and writing records.
//!
//! A [`KafkaConnection`] is the configuration of a cluster. It yields the settings of a librdkafka client and the
//! [`KafkaContext`] that receives the client's logs and errors.
//!
//! - `connection`: the configuration, its validation, and the client's settings
//! - `broker_list`, `security`: the parts of a connection: brokers, TLS and credentials
//! - `properties`: librdkafka's own properties, except those that pinflow's guarantees depend on
//! - `client_context`: where librdkafka's logs, errors and token requests go
//! - `metadata`: a cluster's metadata, or why it cannot be fetched
//! - `check`: tries everything that reading needs
//! - `producer`: creates a producer and reports the delivery of each record
//! - `topic_admin`: creates, lists, describes and deletes topics
//! - `record_writer`: writes single records and returns the offset of each
//! - `iam`: tokens for Amazon MSK's IAM access control
//!
//! This module depends neither on sources nor on the meaning of messages.

mod broker_list;
mod check;
mod client_context;
pub mod config_keys;
mod connection;
mod connection_error;
mod iam;
mod metadata;
mod producer;
mod properties;
mod record_writer;
mod security;
pub mod source;
mod topic_admin;

pub use broker_list::BrokerList;
pub use check::check_cluster;
pub use client_context::{ClientPurpose, KafkaContext};
pub use connection::KafkaConnection;
pub use connection_error::KafkaConnectionError;
pub use metadata::{ClusterUnreachable, fetch_metadata};
pub use pinflow_core::finding::Finding;
pub use producer::{DeliveryContext, DeliveryReports, create_producer};
pub use properties::LibrdkafkaProperties;
pub use record_writer::{OutgoingRecord, RecordMetadata, RecordWriteError, RecordWriter};
pub use security::{KafkaSasl, KafkaTls, SaslMechanism, TransportSecurity};
pub use topic_admin::{EnsuredTopic, PartitionInfo, TopicAdmin, TopicError, TopicInfo, TopicOutcome, TopicSpec};
