//! The question that fills: its stage, the progress of each worker, and its rows, which are not shown yet.

use std::collections::VecDeque;
use std::sync::Arc;

use pinflow_dataflows::answer::{AnswerChange, InconsistentChange, LiveAnswer};
use pinflow_dataflows::graph::FillProgress;
use pinflow_dataflows::questions::{Question, QuestionId, ReadColumns};

use super::RequestedQuestion;
use crate::questions::{QuestionPhase, QuestionState};
use pinflow_core::position::Epoch;

/// What an epoch shows.
#[derive(Debug)]
pub(crate) struct ShownChanges {
    /// The changes of the answers that were there before.
    pub(crate) changes: Vec<AnswerChange>,
    /// The answer that is complete since this epoch.
    pub(crate) completed: Option<(QuestionId, LiveAnswer)>,
}

/// What a question that fills waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FillStage {
    /// The end of a window, after which the tables can be read.
    AwaitsWindowEnd,
    /// The tables as of the end of the window that ends with `after`.
    AwaitsSnapshot { after: Epoch, columns: ReadColumns },
    /// Rows of the tables.
    Reading { given: u64, total: u64 },
    /// The workers, which fill a step further with each epoch since `from`.
    Walking { from: Epoch },
}

/// What a worker has filled.
#[derive(Debug, Default)]
struct WorkerFill {
    /// Reports of epochs that have not passed.
    reports: VecDeque<(Epoch, FillProgress)>,
    /// The last report of a passed epoch.
    reached: Option<FillProgress>,
}

/// The question that fills.
#[derive(Debug)]
pub(super) struct QuestionFill {
    requested: RequestedQuestion,
    pub(super) stage: FillStage,
    /// Rows read from the tables.
    rows_read: u64,
    workers: Vec<WorkerFill>,
    /// Its rows at the end of the last passed epoch.
    answer: LiveAnswer,
}

impl QuestionFill {
    pub(super) fn new(requested: RequestedQuestion, stage: FillStage, workers: usize) -> QuestionFill {
        let answer = requested.question.empty_table();
        let workers = (0..workers).map(|_| WorkerFill::default()).collect();
        QuestionFill { requested, stage, rows_read: 0, workers, answer }
    }

    pub(super) fn id(&self) -> QuestionId {
        self.requested.id
    }

    pub(super) fn question(&self) -> &Arc<Question> {
        &self.requested.question
    }

    pub(super) fn is_walking(&self) -> bool {
        matches!(self.stage, FillStage::Walking { .. })
    }

    /// The workers fill it from this epoch on.
    pub(super) fn begin_walk(&mut self, from: Epoch) {
        self.stage = FillStage::Walking { from };
    }

    /// All rows of the tables were given. The workers have not been told yet.
    pub(super) fn finish_reading(&mut self) {
        if let FillStage::Reading { given, .. } = self.stage {
            self.rows_read = given;
        }
        self.begin_walk(Epoch::MAX);
    }

    pub(super) fn record_progress(&mut self, worker: usize, epoch: Epoch, progress: FillProgress) {
        // Before that, a worker has nothing to do and so seems to be done.
        let counts = matches!(self.stage, FillStage::Walking { from } if epoch >= from);
        if let Some(worker) = self.workers.get_mut(worker).filter(|_| counts) {
            worker.reports.push_back((epoch, progress));
        }
    }

    pub(super) fn apply_changes(&mut self, changes: &[AnswerChange]) -> Result<(), InconsistentChange> {
        self.answer.apply(changes.iter().map(|change| (&change.row, change.diff)))
    }

    /// Whether all workers have completed it at the end of this epoch, which has passed.
    pub(super) fn is_complete_at(&mut self, epoch: Epoch) -> bool {
        self.workers.iter_mut().for_each(|worker| worker.advance_to(epoch));
        self.workers.iter().all(WorkerFill::is_complete)
    }

    pub(super) fn answer_rows(&self) -> u64 {
        self.answer.row_count() as u64
    }

    pub(super) fn state(&self) -> QuestionState {
        let (done, total) = self.progress();
        self.requested.state(QuestionPhase::Filling { done, total })
    }

    /// What is done of all that must be done. Nothing is known of the walk while rows are read, except that it takes less time.
    fn progress(&self) -> (u64, u64) {
        match self.stage {
            FillStage::AwaitsWindowEnd | FillStage::AwaitsSnapshot { .. } => (0, 0),
            FillStage::Reading { given, total } => (given, total),
            FillStage::Walking { .. } => {
                let reached = self.workers.iter().filter_map(|worker| worker.reached);
                let (done, total) = reached.fold((0, 0), |sum, it| (sum.0 + it.done, sum.1 + it.total));
                (self.rows_read + done, self.rows_read + total)
            }
        }
    }

    pub(super) fn into_answer(self) -> (RequestedQuestion, LiveAnswer) {
        (self.requested, self.answer)
    }
}

impl WorkerFill {
    fn advance_to(&mut self, epoch: Epoch) {
        while let Some((_, progress)) = self.reports.pop_front_if(|(reported, _)| *reported <= epoch) {
            self.reached = Some(progress);
        }
    }

    fn is_complete(&self) -> bool {
        self.reached.is_some_and(|progress| progress.done >= progress.total)
    }
}
