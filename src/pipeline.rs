//! A pipeline inside another program: start it, iterate over the changes of each epoch, read an answer.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use pinflow_dataflows::answer::{AnswerCell, AnswerChange, AnswerRow, AnswerSchema};
use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::{QuestionName, QuestionSet};
use serde::{Serialize, Serializer};
use tokio::sync::watch;

use crate::config::{Config, ConfigError, ConfigFile, ConfigUse};
use crate::run::{RunError, run_embedded};
use pinflow_core::user_error::user_error_text;
use pinflow_engine::{EpochFrame, RunOutcome};
use pinflow_serving::AnswerView;

/// Epochs that are buffered for the program. The pipeline waits while the buffer is full.
const EPOCHS_BUFFERED: usize = 64;

/// A configured pipeline that is not started yet.
#[derive(Debug, Clone)]
pub struct Pipeline {
    config: Config,
}

/// Why a pipeline cannot start or continue, and what to do. Committed rows are safe, and a new run resumes there.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The configuration cannot be read, or is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no answer of this name.
    #[error("there is no answer {name:?}; the answers are {}", known.join(", "))]
    UnknownAnswer {
        #[allow(missing_docs)]
        name: String,
        /// The names of the answers.
        known: Vec<String>,
    },
    /// Reading, computing or writing failed.
    #[error("{}", user_error_text(.0.as_ref()))]
    Failed(Box<RunError>),
    /// The system cannot start a thread.
    #[error("start the pipeline's threads")]
    Thread(#[from] std::io::Error),
    /// The pipeline panicked.
    #[error("the pipeline panicked. This is a bug in pinflow; what is committed is safe, a restart resumes there")]
    Panicked,
}

impl Pipeline {
    /// A pipeline over a folder of recorded posts or one recorded file, with every setting at its default and without
    /// tables. It ends once everything is read.
    #[must_use]
    pub fn from_folder(path: impl AsRef<Path>) -> Pipeline {
        Pipeline { config: Config::recording(path.as_ref()) }
    }

    /// The pipeline of a configuration file. Everything in it applies, also tables and serving over HTTP, except
    /// `[output]`, `[telemetry]` and `[gateway]`: stdout and logging belong to your program.
    ///
    /// # Errors
    /// [`PipelineError::Config`] with everything that is wrong with the file.
    pub fn from_config(path: impl AsRef<Path>) -> Result<Pipeline, PipelineError> {
        Ok(Pipeline { config: ConfigFile::read(path.as_ref())?.finish(ConfigUse::Run)? })
    }

    /// Ends the pipeline once it has read everything that exists at the start. Without this, a live source never ends.
    #[must_use]
    pub fn until_caught_up(mut self) -> Pipeline {
        self.config.until_caught_up = true;
        self
    }

    /// Starts reading on new threads.
    ///
    /// # Errors
    /// [`PipelineError::Thread`]. Errors of sources and tables are returned by the first [`RunningPipeline::next_epoch`].
    pub fn start(self) -> Result<RunningPipeline, PipelineError> {
        let stop = watch::Sender::new(false);
        let stop_request = stop.clone();
        let (to_program, epochs) = sync_channel(EPOCHS_BUFFERED);
        let view = AnswerView::new(self.config.question_set());
        let run = move || {
            // delta-rs needs a runtime with several threads.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pinflow").build()?;
            let outcome = runtime.block_on(run_embedded(self.config, to_program, stop_request));
            // A read that hangs must not block the program.
            runtime.shutdown_background();
            outcome.map_err(|error| PipelineError::Failed(Box::new(error)))
        };
        let thread = thread::Builder::new().name("pinflow".to_owned()).spawn(run)?;
        let outcome = RunOutcome::stopped_early();
        Ok(RunningPipeline { stop, epochs: Some(epochs), thread: Some(thread), view, outcome, is_open: false })
    }
}

/// A running pipeline. It waits while you do not take its epochs.
///
/// Dropping it stops it, as [`RunningPipeline::stop`] does, and only logs how it ended.
pub struct RunningPipeline {
    stop: watch::Sender<bool>,
    /// `None` after the last epoch.
    epochs: Option<Receiver<EpochFrame>>,
    /// `None` after the thread was joined.
    thread: Option<JoinHandle<Result<RunOutcome, PipelineError>>>,
    view: AnswerView,
    outcome: RunOutcome,
    /// Whether at least one epoch was available to the program.
    is_open: bool,
}

impl RunningPipeline {
    /// Waits for the next epoch that changes an answer, and advances all answers to it. `None` once the pipeline has
    /// ended and everything that was read is durable.
    ///
    /// With tables the first epoch has every row of the answers as of the tables as an insert, so that the changes always
    /// add up to the answers. The calling thread blocks: in async code, call it on a thread that may block.
    ///
    /// # Errors
    /// Why the pipeline ended early. Later calls return `None`.
    pub fn next_epoch(&mut self) -> Result<Option<EpochUpdate>, PipelineError> {
        while let Some(frame) = self.epochs.as_ref().and_then(|epochs| epochs.recv().ok()) {
            self.view.apply(&frame);
            if !frame.open {
                // The answers are being rebuilt from the tables.
                continue;
            }
            let was_open = std::mem::replace(&mut self.is_open, true);
            let changes = if was_open { frame.all_changes().to_vec() } else { self.view.as_changes() };
            if !changes.is_empty() {
                let questions = self.view.questions();
                let changes = changes.iter().filter_map(|change| RowChange::new(change, questions)).collect();
                return Ok(Some(EpochUpdate { epoch: frame.epoch, changes }));
            }
        }
        self.epochs = None;
        self.join_thread().map(|()| None)
    }

    /// The rows of an answer as of the last epoch, in the order in which it lists them.
    ///
    /// # Errors
    /// [`PipelineError::UnknownAnswer`]
    pub fn answer(&self, name: &str) -> Result<Vec<NamedCells>, PipelineError> {
        let answers = self.view.answers().find(|(question, _)| question.name == name);
        let (question, answer) = answers.ok_or_else(|| PipelineError::UnknownAnswer {
            name: name.to_owned(),
            known: self.view.questions().names().map(ToString::to_string).collect(),
        })?;
        let named = |row: &AnswerRow| NamedCells::new(&question.schema, row);
        Ok(answer.rows().map(named).collect())
    }

    /// Stops reading, and waits until everything that was read is durable, for at most 18 seconds. Returns what was
    /// read.
    ///
    /// # Errors
    /// Why it could not end in order.
    pub fn stop(mut self) -> Result<RunSummary, PipelineError> {
        self.request_stop();
        self.join_thread()?;
        Ok(RunSummary { rows: self.outcome.totals.rows, rejected: self.outcome.totals.rejected })
    }

    fn request_stop(&mut self) {
        self.stop.send_replace(true);
        // The pipeline must not wait for the program any more.
        self.epochs = None;
    }

    /// Waits until the pipeline has ended.
    fn join_thread(&mut self) -> Result<(), PipelineError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.outcome = thread.join().map_err(|_| PipelineError::Panicked)??;
        Ok(())
    }
}

impl fmt::Debug for RunningPipeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunningPipeline").field("epoch", &self.view.epoch).finish_non_exhaustive()
    }
}

impl Iterator for RunningPipeline {
    type Item = Result<EpochUpdate, PipelineError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_epoch().transpose()
    }
}

impl Drop for RunningPipeline {
    fn drop(&mut self) {
        self.request_stop();
        if let Err(error) = self.join_thread() {
            tracing::warn!(%error, "a pipeline that was dropped has failed");
        }
    }
}

/// What a pipeline has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSummary {
    /// Rows read in this run, rejections included.
    pub rows: u64,
    /// Rows rejected in this run.
    pub rejected: u64,
}

/// The changes of one epoch. Answers as of an epoch are consistent with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochUpdate {
    /// The number of the epoch. It only grows.
    pub epoch: u64,
    /// What changed. A row that changes is deleted and inserted.
    pub changes: Vec<RowChange>,
}

/// A row that an answer gained or lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The name of the answer.
    pub answer: QuestionName,
    /// The row.
    pub row: NamedCells,
    /// How often it was inserted; negative if it was deleted.
    pub diff: i64,
}

impl RowChange {
    /// `None` if the change is of no question of the set.
    fn new(change: &AnswerChange, questions: &QuestionSet) -> Option<RowChange> {
        let question = questions.get(change.answer)?;
        let row = NamedCells::new(&question.schema, &change.row);
        Some(RowChange { answer: question.name.clone(), row, diff: change.diff })
    }
}

/// A row of an answer. It is displayed and serialized as a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCells {
    schema: Arc<AnswerSchema>,
    row: AnswerRow,
}

impl NamedCells {
    /// The cells of the columns, without hidden ones.
    fn new(schema: &Arc<AnswerSchema>, row: &AnswerRow) -> NamedCells {
        NamedCells { schema: Arc::clone(schema), row: AnswerRow::new(row.visible(schema.columns())) }
    }

    /// The names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.columns().iter().map(|column| column.name.as_str())
    }

    /// The value of a column; `None` if there is no such column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&AnswerCell> {
        self.row.0.get(self.columns().position(|name| name == column)?)
    }
}

impl Serialize for NamedCells {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.row.with_columns(self.schema.columns()).serialize(serializer)
    }
}

impl fmt::Display for NamedCells {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// The names of the answers to the built-in questions.
#[must_use]
pub fn answer_names() -> Vec<String> {
    QuestionSet::built_in(GraphOptions::default()).names().map(ToString::to_string).collect()
}
