//! Serves the answers on stdout and over HTTP. Every output shows complete epochs only.

mod answer_hub;
mod answer_view;
mod history;
mod http;
mod latency;
mod question_editor;
mod render;
mod screen;
mod stdout;

pub use answer_hub::{AnswerHub, AnswerSubscription, EpochChanges, ReadConsistency, SubscriptionStart};
pub use answer_view::AnswerView;
pub use http::{HttpConfig, HttpError, HttpServer, ServeTokens, ServedFollower, ServedRun, escape_formulas};
pub use question_editor::{
    AcceptedQuestion, DraftProblem, InvalidQuestion, QuestionDraft, QuestionEditError, QuestionEditor,
};
pub use stdout::{StdoutClosed, StdoutFormat, StdoutSettings, StdoutWriter};
