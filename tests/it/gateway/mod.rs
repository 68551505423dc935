//! The gateway over real sockets, in front of real brokers, real Kinesis servers and files.

mod access;
mod files;
mod hostile;
mod kafka;
mod kinesis;
mod unusual_clients;
mod wire;
