//! How to speak to Amazon Kinesis Data Streams: credentials, region, endpoint, the calls, what their faults mean.
//!
//! What is configured as a [`Connection`] becomes an [`Api`]. The rooms:
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
mod clock;
mod connection;
mod fan_out;
mod fault;
mod streams;

pub use api::{Answer, Api, Begin, Put, Record, Shard, Summary, Written};
pub use check::check;
pub use connection::{Connection, ConnectionError};
pub use fan_out::Subscription;
pub use fault::{Fault, Kind};
pub use streams::{Outcome, StreamError, Streams, Wanted};
