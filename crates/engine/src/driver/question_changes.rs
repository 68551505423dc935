//! Changes of the questions: requests, commands to the workers, and rows of the tables for the question that fills.

use pinflow_dataflows::graph::AnswerChange;
use pinflow_dataflows::questions::QuestionId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::EngineDriver;
use crate::failpoint::run_failpoint;
use crate::memory::QUESTION_MEMORY_GRACE;
use crate::protocol::{GivenWork, WorkerCommand, WorkerQuestionChange, stored_chunk_bytes};
use crate::questions::{QuestionRequest, RegistryCommand, RegistryNotice, ShownChanges};
use crate::scheduler::SchedulerEvent;
use pinflow_connect::sink::{SinkError, StoredChunk, StoredSnapshot, WindowSink};
use pinflow_core::error_text::error_text;
use pinflow_core::position::Epoch;

type ChunkResult = Result<Box<dyn StoredChunk>, SinkError>;

/// Rows of the tables for the question that fills.
#[derive(Default)]
pub(super) struct SnapshotRows(Option<(QuestionId, mpsc::Receiver<ChunkResult>)>);

impl SnapshotRows {
    pub(super) fn is_reading(&self) -> bool {
        self.0.is_some()
    }

    /// The next chunk with the question that it is for; without a chunk after the last one. Never ready if nothing is read.
    pub(super) async fn next_chunk(&mut self) -> (QuestionId, Option<ChunkResult>) {
        match &mut self.0 {
            Some((question, chunks)) => (*question, chunks.recv().await),
            None => std::future::pending().await,
        }
    }
}

impl<S: WindowSink> EngineDriver<S> {
    /// Accepts or refuses a request. `None`: there will be no others.
    pub(super) fn on_question_request(&mut self, request: Option<QuestionRequest>) {
        let Some(QuestionRequest { change, reply }) = request else { return };
        let answer = self.questions.request(change, Instant::now());
        if answer.is_ok() {
            run_failpoint("question::accepted");
            // Shows its state, even if no record arrives.
            self.schedule_event(SchedulerEvent::StatusChanged);
        }
        // The client may have gone meanwhile; the change is made nevertheless.
        let _ = reply.send(answer);
    }

    /// Carries out the changes of the questions that are due in the open epoch.
    pub(super) fn change_questions(&mut self) {
        if self.scheduler.is_ending() {
            self.questions.end();
        }
        let may_begin = self.scheduler.rebuilt_in().is_some() && !self.scheduler.memory_is_over();
        while let Some(command) = self.questions.next_command(self.scheduler.open_epoch(), may_begin) {
            match command {
                RegistryCommand::EndWindow => self.schedule_event(SchedulerEvent::WindowEndDemanded),
                RegistryCommand::AddQuestion { id, question, reads_tables } => {
                    self.tell_workers(&WorkerQuestionChange::Add { id, question, with_rows: reads_tables });
                }
                RegistryCommand::BeginFill { id } => self.tell_workers(&WorkerQuestionChange::BeginFill { id }),
                RegistryCommand::DropQuestion { id } => self.tell_workers(&WorkerQuestionChange::Drop { id }),
            }
        }
        if self.fill_rows.0.as_ref().is_some_and(|(id, _)| self.questions.reads_rows_of() != Some(*id)) {
            self.fill_rows = SnapshotRows::default();
        }
        self.log_notices();
    }

    /// Lets all workers change the questions in the open epoch.
    fn tell_workers(&mut self, change: &WorkerQuestionChange) {
        self.workers.change_questions(change);
        // The epoch must end even if no record arrives.
        self.schedule_event(SchedulerEvent::StatusChanged);
    }

    pub(super) fn begin_reading(&mut self, question: QuestionId, StoredSnapshot { rows, chunks }: StoredSnapshot) {
        if self.questions.on_snapshot(question, rows) {
            self.fill_rows = SnapshotRows(Some((question, chunks)));
        }
    }

    pub(super) fn on_fill_rows(&mut self, (id, chunk): (QuestionId, Option<ChunkResult>)) {
        let open_epoch = self.scheduler.open_epoch();
        match chunk {
            Some(Ok(rows)) => {
                run_failpoint("question::filling");
                self.questions.on_rows_given(rows.len() as u64);
                let (count, bytes) = (rows.len() as u64, stored_chunk_bytes(rows.as_ref()));
                let work = GivenWork::Command(WorkerCommand::FillRows { id, rows });
                self.schedule_event(SchedulerEvent::FillRowsTaken { work, rows: count, bytes });
            }
            Some(Err(error)) => {
                let reason =
                    format!("the rows in the tables cannot be read: {}; replace it to try again", error_text(&error));
                self.questions.stop_fill_of(id, open_epoch, reason.into());
            }
            None => self.questions.on_rows_end(open_epoch),
        }
    }

    /// Stops the question that fills if the memory stays above its limit: the run must not end because of it.
    pub(super) fn relieve_memory(&mut self) {
        if self.scheduler.memory_over_for(Instant::now()).is_some_and(|time| time >= QUESTION_MEMORY_GRACE) {
            let reason = "the memory stayed above [engine] memory_max while it was filled; raise memory_max, or narrow it \
                          with WHERE";
            self.questions.stop_filling(self.scheduler.open_epoch(), reason.into());
        }
    }

    /// Ends an epoch for the questions. Returns what to show.
    pub(super) fn show_questions(&mut self, epoch: Epoch, changes: Vec<AnswerChange>) -> ShownChanges {
        if self.questions.is_walking() {
            run_failpoint("question::filling");
        }
        if !self.questions.has_limits() {
            return self.questions.show_epoch(epoch, changes);
        }
        let (usage, open_epoch) = (self.metrics.question_usage(), self.scheduler.open_epoch());
        // First, so that a question that exceeds a limit as it is completed is never shown, and the one that it would
        // replace stays.
        self.questions.check_limits(&usage, open_epoch);
        let shown = self.questions.show_epoch(epoch, changes);
        self.questions.check_limits(&usage, open_epoch);
        shown
    }

    fn log_notices(&mut self) {
        for notice in self.questions.take_notices() {
            match notice {
                RegistryNotice::Accepted { name, replaces } => {
                    tracing::info!(question = %name, replaces, "question added");
                }
                RegistryNotice::Completed { name, epoch, rows, requested_at } => {
                    let seconds = requested_at.elapsed().as_secs_f64();
                    tracing::info!(question = %name, epoch, rows, seconds, "question complete");
                }
                RegistryNotice::Dropped { name } => tracing::info!(question = %name, "question dropped"),
                RegistryNotice::Stopped { name, epoch, reason } => {
                    tracing::warn!(question = %name, epoch, %reason, "question stopped");
                }
            }
        }
    }
}
