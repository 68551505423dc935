//! Serving: answers as of an epoch, every face at the same one.

mod board;
mod history;
mod http;
mod latency;
mod render;
mod screen;
mod stdout;
mod view;

pub use board::{Board, Following, Passed, Read, Start};
pub use http::{HttpConfig, HttpError, HttpServer, Tokens};
pub use stdout::{Closed, Format, Stdout, StdoutSettings};
pub use view::View;
