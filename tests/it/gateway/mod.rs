//! The gateway over real sockets, writing to real brokers, real Kinesis servers and files.

mod access;
mod files;
mod hostile;
mod kafka;
mod kinesis;
mod unusual_clients;
mod wire;
