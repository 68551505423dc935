//! Questions that are added to a running pinflow: where they are kept, how a start takes them up, and how they are
//! changed over HTTP.
//!
//! With tables, an added question is a file beside them. It is written before the engine gets the question, and deleted
//! before the engine drops it, so that after a crash at any moment the question is there or not there. What the engine
//! refuses is undone.

mod editor;
mod load;
mod store;

pub(crate) use editor::{EditorSettings, LiveQuestionEditor};
pub(crate) use load::{check_stored_questions, load_stored_questions};
