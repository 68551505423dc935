//! Serving: answers as of an epoch, every face at the same one.

mod answer_hub;
mod answer_view;
mod history;
mod http;
mod latency;
mod render;
mod screen;
mod stdout;

pub use answer_hub::{AnswerHub, AnswerSubscription, EpochChanges, ReadConsistency, SubscriptionStart};
pub use answer_view::AnswerView;
pub use http::{HttpConfig, HttpError, HttpServer, ServeTokens};
pub use stdout::{StdoutClosed, StdoutFormat, StdoutSettings, StdoutWriter};
