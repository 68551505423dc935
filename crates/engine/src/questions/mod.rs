//! Questions that are added, replaced and dropped while the engine runs.
//!
//! A [`QuestionControl`] sends requests. The driver accepts or refuses each of them at once, and the `registry`, a pure
//! state machine, decides what follows and when. One question fills at a time; the others wait.
//!
//! Nobody outside the engine sees an answer that is not complete. While a question fills, the driver keeps its rows. The
//! frame of the epoch in which all workers have completed it is the first whose set has the question, and it has the whole
//! answer.

mod control;
mod limits;
mod registry;
mod state;

pub use control::{QuestionControl, QuestionRefusal, QuestionRequests};
pub use state::{QuestionPhase, QuestionState};

pub(super) use control::QuestionRequest;
pub(super) use registry::{
    QuestionRegistry, RegistryCommand, RegistryNotice, RegistryPolicy, ShownChanges, SnapshotOrder,
};
