//! How to speak to Amazon Kinesis Data Streams: credentials, region, endpoint, the calls, what their faults mean.
//!
//! What is configured as a [`KinesisConnection`] becomes an [`KinesisApi`]. The rooms:
//!
//! - `connection`: what can be said about how to connect, and every fault of it;
//! - `api`: the calls that reading and writing take, with what pinflow needs of the answers;
//! - `fan_out`: consumers to which records are pushed;
//! - `fault`: what a call that failed means: wait, ask for another iterator, or give up;
//! - `streams`: streams made, listed, described, split, merged, deleted;
//! - `check`: tries every permission that reading needs.
//!
//! Retries are ours: the SDK's own are switched off, for it does not know which of them could lose a record, nor share
//! a shard's limits fairly. This room knows neither sources nor what messages mean.

mod api;
mod check;
mod connection;
mod error;
mod fan_out;
mod service_clock;
mod stream_admin;

pub use api::{IteratorStart, KinesisApi, KinesisRecord, PutEntry, PutResult, ShardBatch, ShardInfo, StreamSummary};
pub use check::check_streams;
pub use connection::{KinesisConnection, KinesisConnectionError};
pub use error::{KinesisError, KinesisErrorKind};
pub use fan_out::ShardSubscription;
pub use stream_admin::{StreamAdmin, StreamError, StreamOutcome, StreamSpec};
