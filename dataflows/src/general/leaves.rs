//! Evaluates the questions of the general path for the changed rows of an `ind`.
//!
//! A question that is added while the graph runs is filled by a walk: it covers the keys below a cursor, which passes
//! some keys in each epoch. The rows of a key that it passes are evaluated as if they had just come. Changes of the rows
//! of keys above it are not the question's business before, unless the key came after the walk had begun. So each key is counted exactly once, with the rows that it has
//! when the cursor passes, and no snapshot is needed.

use std::rc::Rc;

use pinflow_sql::incremental::LeafScratch;

use super::kept_rows::KeptInput;
use super::operators::WorkerShare;
use super::question_commands::{CommandLog, NewColumn, QuestionCommand};
use super::question_costs::SampleClock;
use super::question_leaves::{FillPhase, QuestionLeaves};
use super::updates::{FillReport, LeafUpdate};
use crate::answer::StateDisposal;
use crate::joins::{ExtraSlabs, FillInput, JoinedRow, KeyChangeConsumer, RelationSet, RowsOfKey, WalkStep};
use crate::keys::KeyId;

/// The leaves of all questions of the general path, on one worker.
pub(crate) struct GeneralLeaves {
    questions: Vec<QuestionLeaves>,
    scratch: LeafScratch,
    share: WorkerShare,
    /// The most groups of a leaf that are sent in one epoch at the end of a fill.
    step: WalkStep,
    commands: CommandLog,
    clock: SampleClock,
    disposal: StateDisposal,
}

impl GeneralLeaves {
    /// No questions yet.
    pub(crate) fn new(
        (share, step): (WorkerShare, &WalkStep),
        commands: &CommandLog,
        clock: &SampleClock,
        disposal: &StateDisposal,
    ) -> GeneralLeaves {
        let (questions, scratch, step) = (Vec::new(), LeafScratch::default(), Rc::clone(step));
        let (commands, clock, disposal) = (commands.clone(), Rc::clone(clock), disposal.clone());
        GeneralLeaves { questions, scratch, share, step, commands, clock, disposal }
    }

    /// Begins to apply an epoch where every delivery counts. A question covers all rows from the epoch on in which it is
    /// added.
    pub(super) fn begin_kept_epoch(&mut self, epoch: u64) {
        self.commands.of_epoch(epoch).iter().for_each(|command| self.change_questions(command));
    }

    /// Gives notice of the commands of an epoch to the next operators.
    fn emit_notice(&self, epoch: u64, emit: &mut dyn FnMut(LeafUpdate)) {
        if !self.commands.of_epoch(epoch).is_empty() {
            emit(LeafUpdate::Notice { worker: self.share.worker as u64 });
        }
    }

    fn change_questions(&mut self, command: &QuestionCommand) {
        match command {
            QuestionCommand::Add(added) => self.questions.push(QuestionLeaves::new(added, self.share.workers)),
            QuestionCommand::BeginFill(id) => {
                let begins = self.questions.iter_mut().filter(|it| it.id == *id && it.fill == FillPhase::AwaitsRows);
                begins.for_each(|question| question.fill = FillPhase::AwaitsWalk);
            }
            QuestionCommand::Drop(id, _) => {
                let dropped = self.questions.extract_if(.., |question| question.id == *id);
                dropped.filter_map(QuestionLeaves::into_kept_rows).for_each(|rows| self.disposal.dispose_of(rows));
            }
        }
    }

    /// Adds a row that counts beside all others of its `ind`, or one of the tables.
    pub(super) fn add_kept_row(&mut self, input: &KeptInput) {
        let (scratch, clock) = (&self.scratch, &self.clock);
        match input {
            KeptInput::Row { ind, row, extra } => {
                let (relation, row) = (row.relation(), row.as_joined());
                for question in self.questions.iter_mut().filter(|question| question.reads(relation)) {
                    question.add_kept_row((*ind, relation), (&row, extra), scratch, clock);
                }
            }
            KeptInput::Other(FillInput::Notice { .. }) => {}
            KeptInput::Other(FillInput::Row(fill)) => {
                let relation = RelationSet::of(&[fill.relation.into()]);
                for question in self.questions.iter_mut().filter(|it| it.id.number() == fill.question) {
                    question.add_filled_row((fill.ind, relation), &fill.values, scratch, clock);
                }
            }
        }
    }

    /// Ends an epoch where every delivery counts: a fill is complete once all rows of the tables were given, and what they
    /// add up to. Returns whether another epoch is needed for that.
    pub(super) fn finish_kept_epoch(&mut self, epoch: u64, emit: &mut dyn FnMut(LeafUpdate)) -> bool {
        self.finish_epoch_of_fills(epoch, QuestionLeaves::finish_rows_step, emit)
    }

    /// Gives what an epoch adds up to. Returns whether another one is needed for a fill.
    fn finish_epoch_of_fills(
        &mut self,
        epoch: u64,
        finish_step: impl Fn(&mut QuestionLeaves) -> Option<FillReport>,
        emit: &mut dyn FnMut(LeafUpdate),
    ) -> bool {
        self.emit_notice(epoch, emit);
        let mut is_under_way = false;
        for question in &mut self.questions {
            question.emit_updates(self.step.get() as usize, emit);
            if let Some(report) = finish_step(question) {
                is_under_way |= !report.is_last;
                emit_report(report, self.share, emit);
            }
        }
        is_under_way
    }
}

/// Tells the groups on this worker how far the leaves are filled, and those on all workers if that is over: they have all
/// rows once all leaves have given theirs.
fn emit_report(report: FillReport, share: WorkerShare, emit: &mut dyn FnMut(LeafUpdate)) {
    let worker = share.worker as u64;
    let told = (0..share.workers as u64).filter(|to| *to == worker || report.is_last);
    told.for_each(|to| emit(LeafUpdate::Fill(FillReport { to, from: worker, ..report })));
}

impl KeyChangeConsumer for GeneralLeaves {
    type Update = LeafUpdate;

    fn is_active(&self) -> bool {
        !self.questions.is_empty()
    }

    fn begin_epoch(&mut self, epoch: u64, extra: &mut ExtraSlabs) {
        for command in &*self.commands.of_epoch(epoch) {
            match command {
                QuestionCommand::Add(added) => {
                    for NewColumn { relation, index, costs } in &added.new_columns {
                        extra.add_column(*relation, *index, Rc::clone(costs));
                    }
                }
                QuestionCommand::Drop(_, columns) => {
                    columns.iter().for_each(|(relation, index)| extra.free_column(*relation, *index));
                }
                QuestionCommand::BeginFill(_) => {}
            }
            self.change_questions(command);
        }
    }

    fn rows_changed(&mut self, changed: RelationSet, before: &RowsOfKey<'_>, after: &RowsOfKey<'_>) {
        for question in &mut self.questions {
            if question.reads(changed) && question.covers(after.key) {
                question.rows_changed(changed, (before, after), &self.scratch, &self.clock);
            }
        }
    }

    fn filled_columns(&self, question: u32, relation: usize) -> Option<&[usize]> {
        let question = self.questions.iter().find(|it| it.id.number() == question);
        question.map(|question| question.filled_columns(relation))
    }

    fn begin_walks(&mut self, end: KeyId) {
        self.questions.iter_mut().for_each(|question| question.begin_walk(end));
    }

    fn next_walked_key(&self) -> Option<KeyId> {
        self.questions.iter().find_map(QuestionLeaves::next_walked_key)
    }

    fn walk_key(&mut self, rows: &RowsOfKey<'_>) {
        let walks = |question: &&mut QuestionLeaves| question.next_walked_key() == Some(rows.key);
        let Some(question) = self.questions.iter_mut().find(walks) else { return };
        if question.reads(rows.present) {
            let nothing = RowsOfKey { row: JoinedRow::NULL, present: RelationSet::default(), ..*rows };
            question.rows_changed(rows.present, (&nothing, rows), &self.scratch, &self.clock);
        }
        question.cover_next_key();
    }

    fn finish_epoch(&mut self, epoch: u64, emit: &mut dyn FnMut(LeafUpdate)) -> bool {
        self.finish_epoch_of_fills(epoch, QuestionLeaves::finish_walk_step, emit)
    }
}
