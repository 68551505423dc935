//! The answers as of the last passed epoch.

use std::sync::Arc;

use jiff::Timestamp;
use pinflow_dataflows::answer::AnswerTable;
use pinflow_dataflows::graph::Change;
use pinflow_dataflows::questions;

use crate::engine::{Frame, SourceStatus};
use crate::position::Epoch;

/// All answers, and the cut they are as of. Changes are applied whole epochs at a time.
pub struct View {
    /// One table an answer, in the order of [`questions::ALL`].
    pub answers: Vec<AnswerTable>,
    /// The epoch they are as of.
    pub epoch: Epoch,
    /// When it was closed.
    pub as_of: Timestamp,
    /// The last committed epoch, if there are tables.
    pub durable_epoch: Option<Epoch>,
    /// How far each source was read.
    pub sources: Arc<[SourceStatus]>,
    /// Whether answers may be shown.
    pub open: bool,
}

impl Default for View {
    fn default() -> View {
        View {
            answers: questions::ALL.iter().map(|question| AnswerTable::new(question)).collect(),
            epoch: 0,
            as_of: Timestamp::UNIX_EPOCH,
            durable_epoch: None,
            sources: Arc::new([]),
            open: false,
        }
    }
}

impl View {
    /// Moves on to the frame's epoch; gives back its changes.
    ///
    /// # Panics
    /// If a change does not fit the answer it changes: the graph is at fault, and nothing it said could be trusted.
    pub fn apply(&mut self, frame: Frame) -> Vec<Change> {
        for change in &frame.changes {
            if let Err(misfit) = self.answers[change.answer].apply(change) {
                panic!("epoch {}: {misfit}", frame.epoch);
            }
        }
        self.epoch = frame.epoch;
        self.as_of = frame.as_of;
        self.durable_epoch = frame.durable_epoch;
        self.sources = frame.sources;
        self.open = frame.open;
        frame.changes
    }
}
