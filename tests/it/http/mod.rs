//! `[serve]` over real sockets.

mod access;
mod answers;
mod changes;
mod consistency;
mod framing;
mod openapi;
mod page;
mod proxy;
mod query;
mod ranges;
mod shared_replies;
mod status;
