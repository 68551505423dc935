//! Requests to change the questions of a running engine.

use pinflow_dataflows::questions::{Question, QuestionId, QuestionName};
use tokio::sync::{mpsc, oneshot};

/// The most requests that wait for the driver.
const MAX_PENDING_REQUESTS: usize = 16;

/// Changes the questions of a running engine. Clones control the same engine.
#[derive(Debug, Clone)]
pub struct QuestionControl {
    requests: mpsc::Sender<QuestionRequest>,
}

/// The engine's end of a [`QuestionControl`].
#[derive(Debug)]
pub struct QuestionRequests {
    pub(crate) receiver: mpsc::Receiver<QuestionRequest>,
}

/// A request, and where its reply goes.
#[derive(Debug)]
pub(crate) struct QuestionRequest {
    pub(crate) change: QuestionChange,
    pub(crate) reply: oneshot::Sender<Result<QuestionId, QuestionRefusal>>,
}

/// A change of the questions.
#[derive(Debug)]
pub(crate) enum QuestionChange {
    /// Add a question of a name that is not in use.
    Add(Box<Question>),
    /// Put a question in the place of the added one of its name.
    Replace(Box<Question>),
    /// Remove everything of this name.
    Drop(QuestionName),
}

/// Why the engine did not accept a change of its questions. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionRefusal {
    /// There is one of this name, in this or another case.
    #[error("there is a question named `{0}` already; replace it, drop it, or choose another name")]
    NameInUse(QuestionName),
    /// There is none of this name.
    #[error("there is no question named `{0}`")]
    UnknownName(QuestionName),
    /// It is part of the program.
    #[error("`{0}` is a built-in question, and cannot be replaced or dropped; add yours under another name")]
    BuiltIn(QuestionName),
    /// It is in the configuration.
    #[error(
        "`{0}` is a [[question]] of the configuration, and cannot be replaced or dropped in a running pipeline; change \
         the configuration and restart"
    )]
    Configured(QuestionName),
    /// It counts every delivery, and the earlier ones are kept in tables only.
    #[error(
        "`{0}` cannot be added to a running pipeline without [tables]: with duplicates = \"keep\" it is computed from \
         the rows in the tables. Write tables, or make it a [[question]] of the configuration and start again"
    )]
    NeedsTablesToKeep(QuestionName),
    /// It reads columns that the graph does not hold, and that are kept in tables only.
    #[error(
        "`{name}` cannot be added to a running pipeline without [tables]: it reads {columns}, which no question has read \
         so far. Write tables, or make it a [[question]] of the configuration and start again"
    )]
    NeedsTablesForColumns {
        /// The question.
        name: QuestionName,
        /// The columns, as `pin.title, geo.coordinates`.
        columns: String,
    },
    /// Too many wait already.
    #[error("{0} questions wait to be filled already; try again later")]
    TooManyWaiting(usize),
    /// The run has ended or is about to.
    #[error("the run has ended or is stopping, so its questions do not change any more")]
    RunEnded,
}

impl QuestionControl {
    /// A control and the end of it that goes into the engine.
    #[must_use]
    pub fn channel() -> (QuestionControl, QuestionRequests) {
        let (requests, receiver) = mpsc::channel(MAX_PENDING_REQUESTS);
        (QuestionControl { requests }, QuestionRequests { receiver })
    }

    /// Adds a question. It always takes the general path. Returns its id once it is accepted; its answer is shown once
    /// it is complete.
    ///
    /// # Errors
    /// [`QuestionRefusal`]
    pub async fn add(&self, question: Question) -> Result<QuestionId, QuestionRefusal> {
        self.request(QuestionChange::Add(Box::new(question))).await
    }

    /// Puts a question in the place of the added one of its name. The old answer is shown until the new one is complete,
    /// and the two are swapped in one epoch. Returns the new id once the question is accepted.
    ///
    /// # Errors
    /// [`QuestionRefusal`]
    pub async fn replace(&self, question: Question) -> Result<QuestionId, QuestionRefusal> {
        self.request(QuestionChange::Replace(Box::new(question))).await
    }

    /// Removes the added question of this name, and what would replace it. Returns the id of the live one, or of the other.
    ///
    /// # Errors
    /// [`QuestionRefusal`]
    pub async fn drop(&self, name: QuestionName) -> Result<QuestionId, QuestionRefusal> {
        self.request(QuestionChange::Drop(name)).await
    }

    async fn request(&self, change: QuestionChange) -> Result<QuestionId, QuestionRefusal> {
        let (reply, answer) = oneshot::channel();
        let request = QuestionRequest { change, reply };
        // The engine drops its end when the run ends.
        self.requests.send(request).await.map_err(|_| QuestionRefusal::RunEnded)?;
        answer.await.unwrap_or(Err(QuestionRefusal::RunEnded))
    }
}

impl QuestionRequests {
    /// Requests of an engine whose questions nobody changes.
    #[must_use]
    pub fn none() -> QuestionRequests {
        QuestionControl::channel().1
    }
}
