//! The questions of a run that change: decides when a question is added, completed, stopped and removed. A pure state machine.
//!
//! The driver passes it requests and reports, and carries out its commands. It does no I/O and reads no clock.
//!
//! # A question from its request to its answer
//!
//! ```text
//! request ─▶ waiting ─▶ walking ──────────────────────────────────────▶ live
//!               │          ▲ BeginFill in the open epoch
//!               │          │
//!               └─▶ window end ─▶ snapshot ─▶ reading     (only if rows of the tables are needed)
//! ```
//!
//! # Invariants
//!
//! 1. **One order.** All workers get a command in the same open epoch.
//! 2. **Whole answers.** A question is live from the first epoch at whose end all workers have completed it. That epoch has
//!    its answer as a whole, and no changes of it are shown before or in that epoch.
//! 3. **No gap.** A question and the one that it replaces change places in one epoch.
//! 4. **One at a time.** At most one question fills. Others wait in the order of their requests.
//! 5. **Nothing left.** After the epoch in which a question is removed, no change of it is shown. Its id is not used again.
//!
//! `simulation` checks them at each step of random histories.

mod fill;
mod requests;
#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pinflow_dataflows::answer::{AnswerChange, LiveAnswer};
use pinflow_dataflows::graph::{DuplicatePolicy, FillProgress, QuestionUsage};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionName, QuestionOrigin, QuestionSet, ReadColumns};
use tokio::time::Instant;

pub(crate) use self::fill::ShownChanges;

use self::fill::{FillStage, QuestionFill};
use self::requests::describe_columns;
use super::limits::{exceeded_limit, exceeded_rows};
use super::{QuestionPhase, QuestionState};
use crate::QuestionLimits;
use pinflow_core::position::Epoch;

/// What the registry knows of the run.
#[derive(Debug, Clone)]
pub(crate) struct RegistryPolicy {
    pub(crate) workers: usize,
    pub(crate) duplicates: DuplicatePolicy,
    pub(crate) has_tables: bool,
    pub(crate) limits: QuestionLimits,
}

/// A command for the driver.
#[derive(Debug)]
pub(crate) enum RegistryCommand {
    /// Close the open epoch as the last of a window.
    EndWindow,
    /// Tell all workers in the open epoch that a question begins. `reads_tables`: its fill waits for rows of the tables.
    AddQuestion { id: QuestionId, question: Arc<Question>, reads_tables: bool },
    /// Tell all workers in the open epoch that the rows of the tables were given.
    BeginFill { id: QuestionId },
    /// Tell all workers in the open epoch that a question ends. Read none of its rows any more.
    DropQuestion { id: QuestionId },
}

/// Something to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RegistryNotice {
    /// A question was accepted.
    Accepted { name: QuestionName, replaces: bool },
    /// A question is complete, and its answer is shown since this epoch.
    Completed { name: QuestionName, epoch: Epoch, rows: usize, requested_at: Instant },
    /// Dropping a question was accepted.
    Dropped { name: QuestionName },
    /// A question was stopped. `epoch`: the first one without it.
    Stopped { name: QuestionName, epoch: Epoch, reason: Arc<str> },
}

/// Rows of the tables that the question that fills needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotOrder {
    pub(crate) question: QuestionId,
    pub(crate) duplicates: DuplicatePolicy,
    pub(crate) columns: ReadColumns,
}

/// A question that was requested and is not live.
#[derive(Debug, Clone)]
struct RequestedQuestion {
    id: QuestionId,
    question: Arc<Question>,
    replaces: Option<QuestionId>,
    requested_at: Instant,
}

/// A command that waits to be given in an open epoch.
#[derive(Debug)]
enum PendingCommand {
    EndWindow,
    Add,
    BeginFill,
    /// `reason`: why a live question is stopped.
    Drop {
        id: QuestionId,
        reason: Option<Arc<str>>,
    },
}

/// The end of a live question.
#[derive(Debug)]
struct QuestionRemoval {
    /// The first epoch without it.
    epoch: Epoch,
    id: QuestionId,
    /// Why it was stopped. `None` if it was dropped.
    reason: Option<Arc<str>>,
}

/// The state of the questions of a run. The module lists its invariants.
#[derive(Debug)]
pub(crate) struct QuestionRegistry {
    policy: RegistryPolicy,
    /// The last shown epoch.
    shown: Epoch,
    /// The questions with an answer at its end.
    live: QuestionSet,
    /// The rows of the answers that have limits, at its end.
    answer_rows: BTreeMap<QuestionId, i64>,
    waiting: VecDeque<RequestedQuestion>,
    fill: Option<QuestionFill>,
    stopped: Vec<QuestionState>,
    removals: Vec<QuestionRemoval>,
    /// Questions that were dropped, with the epoch of the command. Up to it the graph may report changes of them.
    dropped: Vec<(QuestionId, Epoch)>,
    pending: VecDeque<PendingCommand>,
    notices: Vec<RegistryNotice>,
    has_ended: bool,
}

impl QuestionRegistry {
    pub(crate) fn new(policy: RegistryPolicy, live: QuestionSet) -> QuestionRegistry {
        QuestionRegistry {
            policy,
            shown: 0,
            answer_rows: limited_questions(&live).map(|id| (id, 0)).collect(),
            live,
            waiting: VecDeque::new(),
            fill: None,
            stopped: Vec::new(),
            removals: Vec::new(),
            dropped: Vec::new(),
            pending: VecDeque::new(),
            notices: Vec::new(),
            has_ended: false,
        }
    }

    /// The questions with an answer at the end of the last shown epoch.
    pub(crate) fn live(&self) -> &QuestionSet {
        &self.live
    }

    /// The questions without an answer.
    pub(crate) fn states(&self) -> Arc<[QuestionState]> {
        let waiting = self.waiting.iter().map(|requested| requested.state(QuestionPhase::Waiting));
        self.stopped.iter().cloned().chain(self.fill.iter().map(QuestionFill::state)).chain(waiting).collect()
    }

    /// Whether a question fills a step further with each epoch.
    pub(crate) fn is_walking(&self) -> bool {
        self.fill.as_ref().is_some_and(QuestionFill::is_walking) && !self.has_ended
    }

    /// Whether there are questions that have limits.
    pub(crate) fn has_limits(&self) -> bool {
        self.fill.is_some() || !self.answer_rows.is_empty()
    }

    /// The question whose rows are read from the tables.
    pub(crate) fn reads_rows_of(&self) -> Option<QuestionId> {
        let fill = self.fill.as_ref().filter(|_| !self.has_ended)?;
        matches!(fill.stage, FillStage::Reading { .. }).then(|| fill.id())
    }

    /// The run takes no more records: it ends without completing what fills.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        self.pending.clear();
    }

    /// The next command for the driver, which gives it in the epoch that is open now. `may_begin`: all rows of the tables are
    /// read back, so that another question may begin to fill.
    pub(crate) fn next_command(&mut self, open_epoch: Epoch, may_begin: bool) -> Option<RegistryCommand> {
        if self.has_ended {
            return None;
        }
        while self.fill.is_none() && may_begin && !self.waiting.is_empty() {
            self.begin_next_fill();
        }
        Some(match self.pending.pop_front()? {
            PendingCommand::EndWindow => RegistryCommand::EndWindow,
            PendingCommand::Add => self.add_question(open_epoch)?,
            PendingCommand::BeginFill => {
                let fill = self.fill.as_mut()?;
                fill.begin_walk(open_epoch);
                RegistryCommand::BeginFill { id: fill.id() }
            }
            PendingCommand::Drop { id, reason } => {
                if self.live.get(id).is_some() {
                    self.removals.push(QuestionRemoval { epoch: open_epoch, id, reason });
                }
                self.dropped.push((id, open_epoch));
                RegistryCommand::DropQuestion { id }
            }
        })
    }

    fn begin_next_fill(&mut self) {
        let Some(next) = self.waiting.pop_front() else { return };
        let columns = self.columns_to_read(&next.question);
        if let Some(columns) = columns.as_ref().filter(|_| !self.policy.has_tables) {
            // A question that read these columns was dropped while this one waited.
            let columns = describe_columns(columns);
            let reason =
                format!("no question reads {columns} any more, and without [tables] they cannot be read again");
            let state = next.state(QuestionPhase::Waiting);
            return self.push_stopped(state, self.shown + 1, reason.into());
        }
        let (command, stage) = match columns {
            Some(_) => (PendingCommand::EndWindow, FillStage::AwaitsWindowEnd),
            None => (PendingCommand::Add, FillStage::Walking { from: Epoch::MAX }),
        };
        self.pending.push_back(command);
        self.fill = Some(QuestionFill::new(next, stage, self.policy.workers));
    }

    /// What a question needs of the tables. `None` if the graph has it.
    fn columns_to_read(&self, question: &Question) -> Option<ReadColumns> {
        let ended = self.removals.iter().map(|removal| removal.id);
        let ended = ended.chain(self.pending.iter().filter_map(PendingCommand::dropped_question));
        let held = ended.fold(self.live.clone(), |set, id| set.without_question(id));
        ReadColumns::to_fill(self.policy.duplicates, &held, question)
    }

    fn add_question(&mut self, open_epoch: Epoch) -> Option<RegistryCommand> {
        let fill = self.fill.as_mut()?;
        let reads_tables = !fill.is_walking();
        if !reads_tables {
            fill.begin_walk(open_epoch);
        }
        Some(RegistryCommand::AddQuestion { id: fill.id(), question: Arc::clone(fill.question()), reads_tables })
    }

    /// A window ends with this epoch, and the next epoch is open.
    pub(crate) fn on_window_end(&mut self, last_epoch: Epoch) {
        if self.has_ended || self.fill.as_ref().is_none_or(|fill| fill.stage != FillStage::AwaitsWindowEnd) {
            return;
        }
        self.pending.retain(|command| !matches!(command, PendingCommand::EndWindow));
        // Another question may have been dropped since this one began.
        let Some(question) = self.fill.as_ref().map(|fill| Arc::clone(fill.question())) else { return };
        let columns = self.columns_to_read(&question).unwrap_or_default();
        if let Some(fill) = &mut self.fill {
            fill.stage = FillStage::AwaitsSnapshot { after: last_epoch, columns };
        }
        self.pending.push_back(PendingCommand::Add);
    }

    /// The rows to read as of the end of the window that ends with this epoch.
    pub(crate) fn snapshot_after(&self, last_epoch: Epoch) -> Option<SnapshotOrder> {
        let fill = self.fill.as_ref()?;
        match &fill.stage {
            FillStage::AwaitsSnapshot { after, columns } if *after == last_epoch => {
                let duplicates = self.policy.duplicates;
                Some(SnapshotOrder { question: fill.id(), duplicates, columns: columns.clone() })
            }
            _ => None,
        }
    }

    /// The tables hold this many rows for a question. Returns whether they are still needed.
    pub(crate) fn on_snapshot(&mut self, question: QuestionId, rows: u64) -> bool {
        let Some(fill) = self.fill.as_mut().filter(|fill| fill.id() == question) else { return false };
        fill.stage = FillStage::Reading { given: 0, total: rows };
        true
    }

    /// Rows were given to a worker.
    pub(crate) fn on_rows_given(&mut self, rows: u64) {
        if let Some(FillStage::Reading { given, .. }) = self.fill.as_mut().map(|fill| &mut fill.stage) {
            *given += rows;
        }
    }

    /// All rows were given.
    pub(crate) fn on_rows_end(&mut self, open_epoch: Epoch) {
        let Some(FillStage::Reading { given, total }) = self.fill.as_ref().map(|fill| &fill.stage) else { return };
        let (given, total) = (*given, *total);
        if given != total {
            let reason = format!("{given} rows were read of {total} in the tables; replace it to try again");
            return self.stop_filling(open_epoch, reason.into());
        }
        if let Some(fill) = &mut self.fill {
            fill.finish_reading();
        }
        self.pending.push_back(PendingCommand::BeginFill);
    }

    /// A worker's progress at the end of an epoch.
    pub(crate) fn record_progress(&mut self, worker: usize, epoch: Epoch, progress: FillProgress) {
        if let Some(fill) = self.fill.as_mut().filter(|fill| fill.id() == progress.question) {
            fill.record_progress(worker, epoch, progress);
        }
    }

    /// Ends the epoch, which has passed: removes and completes questions. Returns what to show.
    pub(crate) fn show_epoch(&mut self, epoch: Epoch, changes: Vec<AnswerChange>) -> ShownChanges {
        self.shown = epoch;
        self.remove_questions(epoch);
        self.dropped.retain(|(_, last)| *last >= epoch);
        if !self.has_hidden_changes() {
            self.count_rows(&changes);
            return ShownChanges { changes, completed: None };
        }
        let filling = self.fill.as_ref().map(QuestionFill::id);
        let (hidden, mut shown): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| Some(change.answer) == filling);
        if let Some(Err(error)) = self.fill.as_mut().map(|fill| fill.apply_changes(&hidden)) {
            self.stop_filling(epoch + 1, format!("{error}. This is a bug in pinflow").into());
        }
        self.stop_long_fill(epoch);
        let completed = self.complete_fill(epoch);
        // Now that the questions are those at the end of the epoch.
        shown.retain(|change| self.live.get(change.answer).is_some());
        self.count_rows(&shown);
        ShownChanges { changes: shown, completed }
    }

    /// Stops the question that fills if its answer has too many rows, before it can be shown.
    fn stop_long_fill(&mut self, epoch: Epoch) {
        let rows = self.fill.as_ref().map_or(0, QuestionFill::answer_rows);
        if rows > self.policy.limits.rows_max {
            self.stop_filling(epoch + 1, exceeded_rows(rows, &self.policy.limits).into());
        }
    }

    /// Counts the rows of the answers that have limits.
    fn count_rows(&mut self, changes: &[AnswerChange]) {
        if self.answer_rows.is_empty() {
            return;
        }
        for change in changes {
            if let Some(rows) = self.answer_rows.get_mut(&change.answer) {
                *rows += change.diff;
            }
        }
    }

    /// Whether the graph may report changes of a question that is not live.
    fn has_hidden_changes(&self) -> bool {
        let drops = self.pending.iter().any(|command| command.dropped_question().is_some());
        // After the end the workers are not told of drops any more.
        self.has_ended || self.fill.is_some() || drops || !self.dropped.is_empty()
    }

    fn remove_questions(&mut self, epoch: Epoch) {
        let removals: Vec<_> = self.removals.extract_if(.., |removal| removal.epoch <= epoch).collect();
        for QuestionRemoval { epoch, id, reason } in removals {
            let Some(question) = self.live.get(id).cloned() else { continue };
            self.live = self.live.without_question(id);
            self.answer_rows.remove(&id);
            if let Some(reason) = reason {
                let (name, phase) = (question.name.clone(), QuestionPhase::Waiting);
                self.push_stopped(QuestionState { name, id, question, phase, replaces: None }, epoch, reason);
            }
        }
    }

    /// Makes the question that fills live, if all workers have completed it. Returns its answer: a copy of all of its rows
    /// would make the epoch long.
    fn complete_fill(&mut self, epoch: Epoch) -> Option<(QuestionId, LiveAnswer)> {
        let fill = self.fill.take_if(|fill| fill.is_complete_at(epoch))?;
        let (requested, answer) = fill.into_answer();
        let RequestedQuestion { id, ref question, replaces, requested_at } = requested;
        if let Some(old) = replaces.filter(|old| self.live.get(*old).is_some()) {
            self.replace_live(old);
        }
        match self.live.with_reserved_question(id, Arc::clone(question)) {
            Ok(live) => self.live = live,
            // Requests of a name in use are refused.
            Err(error) => {
                self.pending.push_back(PendingCommand::Drop { id, reason: None });
                let state = requested.state(QuestionPhase::Waiting);
                self.push_stopped(state, epoch + 1, error.to_string().into());
                return None;
            }
        }
        self.answer_rows.insert(id, i64::try_from(answer.row_count()).unwrap_or(i64::MAX));
        self.stopped.retain(|state| !state.name.eq_ignore_ascii_case(&question.name));
        let (name, rows) = (question.name.clone(), answer.row_count());
        self.notices.push(RegistryNotice::Completed { name, epoch, rows, requested_at });
        Some((id, answer))
    }

    /// Removes a live question that another one replaces in this epoch.
    fn replace_live(&mut self, old: QuestionId) {
        if !self.is_going(old) {
            self.pending.push_back(PendingCommand::Drop { id: old, reason: None });
        }
        self.removals.retain(|removal| removal.id != old);
        self.live = self.live.without_question(old);
        self.answer_rows.remove(&old);
    }

    /// Stops the question that fills.
    pub(crate) fn stop_filling(&mut self, open_epoch: Epoch, reason: Arc<str>) {
        if let Some(requested) = self.cancel_fill() {
            self.push_stopped(requested.state(QuestionPhase::Waiting), open_epoch, reason);
        }
    }

    /// Stops a question that fills, if it is this one.
    pub(crate) fn stop_fill_of(&mut self, question: QuestionId, open_epoch: Epoch, reason: Arc<str>) {
        if self.fill.as_ref().is_some_and(|fill| fill.id() == question) {
            self.stop_filling(open_epoch, reason);
        }
    }

    /// Stops each question that holds more than it may, given what the workers hold in all.
    pub(crate) fn check_limits(&mut self, usage: &[QuestionUsage], open_epoch: Epoch) {
        for usage in usage {
            if let Some(reason) = exceeded_limit(&self.policy.limits, usage) {
                self.stop_question(usage.question, open_epoch, reason);
            }
        }
        let filling = self.fill.as_ref().map(|fill| (fill.id(), fill.answer_rows()));
        let rows = self.answer_rows.iter().map(|(id, rows)| (*id, u64::try_from(*rows).unwrap_or(0))).chain(filling);
        let over: Vec<_> = rows.filter(|(_, rows)| *rows > self.policy.limits.rows_max).collect();
        for (id, rows) in over {
            let reason = exceeded_rows(rows, &self.policy.limits);
            self.stop_question(id, open_epoch, reason);
        }
    }

    /// Stops a question that has limits.
    fn stop_question(&mut self, id: QuestionId, open_epoch: Epoch, reason: String) {
        if self.answer_rows.contains_key(&id) {
            if !self.has_ended && !self.is_going(id) {
                self.pending.push_back(PendingCommand::Drop { id, reason: Some(reason.into()) });
            }
        } else {
            self.stop_fill_of(id, open_epoch, reason.into());
        }
    }

    /// What to log since the last call.
    pub(crate) fn take_notices(&mut self) -> Vec<RegistryNotice> {
        std::mem::take(&mut self.notices)
    }

    /// Whether a live question is being removed.
    fn is_going(&self, id: QuestionId) -> bool {
        self.removals.iter().any(|removal| removal.id == id)
            || self.pending.iter().any(|command| command.dropped_question() == Some(id))
    }

    /// Forgets the question that fills, and tells the workers if they know it.
    fn cancel_fill(&mut self) -> Option<RequestedQuestion> {
        let fill = self.fill.take()?;
        let is_pending = |command: &PendingCommand| matches!(command, PendingCommand::Add);
        let is_known = fill.stage != FillStage::AwaitsWindowEnd && !self.pending.iter().any(is_pending);
        self.pending.retain(|command| command.dropped_question().is_some());
        if is_known {
            self.pending.push_back(PendingCommand::Drop { id: fill.id(), reason: None });
        }
        Some(fill.into_answer().0)
    }

    fn push_stopped(&mut self, state: QuestionState, epoch: Epoch, reason: Arc<str>) {
        self.notices.push(RegistryNotice::Stopped { name: state.name.clone(), epoch, reason: Arc::clone(&reason) });
        let state = QuestionState { phase: QuestionPhase::Stopped { epoch, reason }, ..state };
        self.stopped.retain(|other| !other.name.eq_ignore_ascii_case(&state.name));
        self.stopped.push(state);
    }
}

/// The questions that have limits.
fn limited_questions(questions: &QuestionSet) -> impl Iterator<Item = QuestionId> {
    questions.iter().filter(|(_, question)| question.origin != QuestionOrigin::BuiltIn).map(|(id, _)| id)
}
