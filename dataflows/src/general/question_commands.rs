//! What the operators are told of questions that come and go.
//!
//! Each worker keeps the commands for its own operators, by the epoch in which they take effect. An operator executes
//! those of an epoch when it applies the epoch, before the data of the epoch. Data of a question can arrive from another
//! worker before the command of this one, but it waits until the epoch is complete on all workers: then this worker has
//! given its command, too.
//!
//! Commands do not flow through the dataflow, where each further input would cost time in every epoch. In an epoch with
//! commands, a worker sends a *notice* to itself along the streams that exist anyway, so that the operators apply the
//! epoch even if it has no data.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::GeneralQuestion;
use crate::answer::QuestionId;
use crate::joins::ColumnCosts;

/// A change of the questions of a running graph.
#[derive(Debug, Clone)]
pub(crate) enum QuestionCommand {
    /// A question of the general path is added.
    Add(Rc<AddedQuestion>),
    /// All rows of the tables that the question needs were given: its answer is to be filled.
    BeginFill(QuestionId),
    /// A question of either path is dropped, and with it columns that no other question reads: each by relation and
    /// index.
    Drop(QuestionId, Rc<[(usize, usize)]>),
}

/// The commands of one worker, by epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommandLog(Rc<RefCell<BTreeMap<u64, Rc<[QuestionCommand]>>>>);

impl CommandLog {
    /// Adds a command to those of an epoch.
    pub(crate) fn push(&self, epoch: u64, command: QuestionCommand) {
        let mut log = self.0.borrow_mut();
        let commands = log.entry(epoch).or_default();
        *commands = commands.iter().cloned().chain([command]).collect();
    }

    /// The commands of an epoch, in order.
    pub(super) fn of_epoch(&self, epoch: u64) -> Rc<[QuestionCommand]> {
        self.0.borrow().get(&epoch).cloned().unwrap_or_default()
    }

    /// Removes the commands of an epoch, once all operators have executed them.
    pub(super) fn remove(&self, epoch: u64) {
        self.0.borrow_mut().remove(&epoch);
    }
}

/// A question that is added.
#[derive(Debug)]
pub(crate) struct AddedQuestion {
    pub(crate) question: GeneralQuestion,
    /// The extra columns that no other question reads.
    pub(crate) new_columns: Vec<NewColumn>,
    pub(crate) fill: FillStart,
}

/// An extra column that is added with a question.
#[derive(Debug, Clone)]
pub(crate) struct NewColumn {
    pub(crate) relation: usize,
    pub(crate) index: usize,
    pub(crate) costs: Rc<ColumnCosts>,
}

/// When the answer of an added question is filled with what the graph holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FillStart {
    /// Never: the graph is empty.
    Empty,
    /// At once.
    Now,
    /// Once rows of the tables were given.
    AfterRows,
}
