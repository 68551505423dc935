//! pinflow keeps live answers over streams of posts and writes their cleaned rows to Delta Lake, exactly once.
//!
//! The pure computation is the crate [`pinflow_dataflows`]; here is everything that touches the world.
//! `ARCHITECTURE.md` walks a record through the rooms:
//!
//! - [`sources`]: bytes with their positions, nothing else;
//! - [`engine`]: worker threads, epochs, back-pressure: the only room that knows timely and tokio at once;
//! - [`sinks`]: tables, Arrow and the commit protocol: the only room that knows Arrow;
//! - [`archive`]: messages as they were received, in immutable objects;
//! - [`serving`]: answers as of an epoch;
//! - [`kafka`]: how to speak to a Kafka cluster; knows neither sources nor messages;
//! - [`kinesis`]: how to speak to Amazon Kinesis; knows neither sources nor messages;
//! - [`mysql`]: a client for MySQL and MariaDB; knows no posts;
//! - `aws`: regions, profiles and endpoints, the same for every service;
//! - [`key_problem`]: what is wrong with a setting, before it is known where it was written;
//! - [`backoff`]: retry intervals with jitter;
//! - [`http`]: what every HTTP server here has: a port, limits, tokens;
//! - [`gateway`]: a front door over HTTP for records;
//! - [`storage`]: folders and buckets behind one interface; knows neither tables nor messages;
//! - [`output`]: standard output whose reader may go away;
//! - [`shutdown`]: how the process is asked to stop;
//! - [`secret`]: where secrets come from, and that nobody sees them;
//! - [`terminal`]: text for terminals, which nothing from outside steers;
//! - [`emit`]: `pinflow emit`: generates, replays and sends posts;
//! - [`table`], [`topics`], [`streams`]: what tables, topics and streams hold, for people; [`query`]: what a run that
//!   serves answers;
//! - [`config`], [`cli`], [`run`](mod@run): what was typed becomes what is meant, and is wired together.

pub mod archive;
mod aws;
pub mod backoff;
pub mod check;
pub mod cli;
pub mod config;
pub mod emit;
pub mod engine;
pub mod error_text;
pub mod file_limit;
pub mod finding;
pub mod gateway;
pub mod http;
pub mod kafka;
pub mod key_problem;
pub mod kinesis;
pub mod mysql;
pub mod output;
mod panics;
pub mod position;
pub mod publish;
pub mod query;
pub mod run;
pub mod secret;
pub mod serving;
pub mod shutdown;
pub mod sinks;
pub mod sources;
pub mod storage;
pub mod streams;
pub mod table;
pub mod telemetry;
pub mod terminal;
pub mod topics;
pub mod usage;

pub use pinflow_dataflows as dataflows;
