//! What the HTTP server needs in order to change the questions of a run. The program implements it: it owns the store,
//! the compiler's options and the way to the engine.

use std::fmt;

use async_trait::async_trait;
use pinflow_dataflows::questions::{QuestionId, QuestionName};
use serde::Serialize;
use serde_json::Value;

/// Changes the questions of a run, one at a time.
#[async_trait]
pub trait QuestionEditor: Send + Sync + 'static {
    /// Adds a question. Returns once the engine has accepted it. It fills afterwards.
    ///
    /// # Errors
    /// [`QuestionEditError::NameInUse`] if there is one of this name, and all that can be wrong with its text.
    async fn add_question(&self, draft: QuestionDraft) -> Result<AcceptedQuestion, QuestionEditError>;

    /// Replaces the added question of this name. The old one is answered until the new one is filled.
    ///
    /// # Errors
    /// [`QuestionEditError::Unknown`] if there is none, and all that can be wrong with the text.
    async fn replace_question(&self, draft: QuestionDraft) -> Result<AcceptedQuestion, QuestionEditError>;

    /// Drops the added question of this name.
    ///
    /// # Errors
    /// [`QuestionEditError::Unknown`] if there is none, [`QuestionEditError::NotEditable`] if it was not added live.
    async fn drop_question(&self, name: &QuestionName) -> Result<(), QuestionEditError>;

    /// What `pinflow question explain --format json` prints. Nothing is changed.
    ///
    /// # Errors
    /// [`QuestionEditError::Invalid`]
    fn explain_question(&self, draft: &QuestionDraft) -> Result<Value, QuestionEditError>;

    /// What `pinflow question try --format json` prints: the answer over the tables, at most `limit` rows of it.
    ///
    /// # Errors
    /// [`QuestionEditError::Busy`] while another one is tried, [`QuestionEditError::Refused`] if that is too much for a
    /// running process.
    async fn try_question(&self, draft: QuestionDraft, limit: Option<usize>) -> Result<Value, QuestionEditError>;

    /// Whether there are tables over which a question can be tried.
    fn can_try(&self) -> bool;

    /// The stored questions that the run does not answer.
    fn invalid_questions(&self) -> Vec<InvalidQuestion>;
}

/// A question that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionDraft {
    /// The name of its answer.
    pub name: QuestionName,
    /// The text.
    pub sql: String,
}

/// A question that the engine has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedQuestion {
    /// Its id.
    pub id: QuestionId,
    /// Whether a restart keeps it.
    pub is_stored: bool,
}

/// A stored question that the run does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidQuestion {
    /// The name.
    pub name: QuestionName,
    /// The text, as far as it could be read.
    pub sql: String,
    /// Why it is not answered.
    pub reason: String,
}

/// A problem of a question's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DraftProblem {
    /// The line, from 1. `None` if the whole text is the problem.
    pub line: Option<usize>,
    /// The column, in characters, from 1.
    pub column: Option<usize>,
    /// The number of characters.
    pub length: Option<usize>,
    /// What is wrong, and what would work instead.
    pub message: String,
}

/// Why a question is not changed, explained or tried. Each text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuestionEditError {
    /// The text is wrong.
    Invalid {
        /// All problems as text, as the command line prints them.
        message: String,
        /// All problems, by their places.
        problems: Vec<DraftProblem>,
    },
    /// There is no such question.
    Unknown(String),
    /// There is a question of this name.
    NameInUse(String),
    /// The question was not added live.
    NotEditable(String),
    /// The run cannot do it.
    Refused(String),
    /// The run cannot do it yet.
    NotReady(String),
    /// Another question is being tried.
    Busy(String),
    /// The store or the tables failed.
    Storage(String),
}

impl fmt::Display for QuestionEditError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            QuestionEditError::Invalid { message: text, .. }
            | QuestionEditError::Unknown(text)
            | QuestionEditError::NameInUse(text)
            | QuestionEditError::NotEditable(text)
            | QuestionEditError::Refused(text)
            | QuestionEditError::NotReady(text)
            | QuestionEditError::Busy(text)
            | QuestionEditError::Storage(text) => text,
        })
    }
}

impl std::error::Error for QuestionEditError {}
