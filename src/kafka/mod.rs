//! How to speak to a Kafka cluster: brokers, security, properties, tokens.
//!
//! What is configured as a [`Connection`] becomes the settings of a client of librdkafka and the [`Client`] that
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
mod client;
mod connection;
mod iam;
mod producer;
mod properties;
mod reach;
mod topics;
mod writer;

pub use crate::finding::Finding;
pub use check::check;
pub use client::{Client, Purpose};
pub use connection::{Brokers, Connection, ConnectionError, Mechanism, Sasl, Security, Tls};
pub(crate) use producer::{Listening, Reports, producer};
pub use properties::Properties;
pub use reach::{Unreachable, metadata};
pub use topics::{EnsuredTopic, Outcome, Part, Topic, TopicError, Topics, Wanted};
pub use writer::{Outgoing, Place, Unwritten, Writer};
