//! Talks to Amazon Kinesis Data Streams: credentials, region, endpoint, calls, and the meaning of their errors.
//!
//! A [`KinesisConnection`] is the configuration; [`KinesisApi::connect`] turns it into a client.
//!
//! - `connection`: the configuration and its validation
//! - `api`: the calls for reading and writing, reduced to what pinflow needs
//! - `fan_out`: registered consumers and their subscriptions
//! - `error`: what a failed call means: wait, get another iterator, or give up
//! - `service_clock`: the clock of the service
//! - `stream_admin`: creates, lists, describes, splits, merges and deletes streams
//! - `check`: tries every permission that reading needs
//!
//! The SDK's retries are switched off: the SDK does not know which retries could lose a record, nor how to share a shard's
//! limits fairly. This module depends neither on sources nor on the meaning of messages.

mod api;
mod check;
pub mod config_keys;
mod connection;
mod error;
mod fan_out;
mod service_clock;
pub mod source;
mod stream_admin;

pub use api::{IteratorStart, KinesisApi, KinesisRecord, PutEntry, PutResult, ShardBatch, ShardInfo, StreamSummary};
pub use connection::{KinesisConnection, KinesisConnectionError};
pub use error::{KinesisError, KinesisErrorKind};
pub use fan_out::ShardSubscription;
pub use stream_admin::{StreamAdmin, StreamError, StreamOutcome, StreamSpec};
