//! The tasks that read the answers of a run besides stdout.

use std::sync::Arc;
use std::time::Duration;

use pinflow_dataflows::questions::QuestionSet;
use tokio::sync::{mpsc, watch};
use tokio::task;

use super::{FRAMES, RunError, serving_panicked};
use crate::config::Config;
use crate::live_questions::LiveQuestionEditor;
use crate::publish::{DatabaseTask, publish, start_database_tasks};
use pinflow_databases::{DatabaseRead, DatabaseWriter, WriterSettings, check_questions};
use pinflow_delta::answers::AnswerTables;
use pinflow_engine::{EngineMetrics, EpochFrame};
use pinflow_serving::{AnswerHub, HttpServer, ReadConsistency, ServedRun};
use pinflow_storage::Location;

/// The writers of the databases of a configuration, each with the answers that it writes.
fn database_writers(
    config: &Config,
    questions: &QuestionSet,
) -> Result<Vec<(ReadConsistency, DatabaseWriter)>, RunError> {
    let mut writers = Vec::new();
    for target in config.answers.databases() {
        check_questions(&target, target.has_changes(), questions)?;
        let read = match target.read(config.tables.is_some()) {
            DatabaseRead::Durable => ReadConsistency::Durable,
            DatabaseRead::Live => ReadConsistency::Live,
        };
        let (database, pipeline, base) = (target.name(), config.pipeline.clone(), config.base.clone());
        let writer = DatabaseWriter::new(WriterSettings { target, pipeline, base });
        writers.push((read, writer.map_err(|error| RunError::Database { database, error })?));
    }
    Ok(writers)
}

/// The tasks that read answers besides stdout: the HTTP server, the answer tables and the databases.
pub(super) struct ReaderTasks {
    /// The URL of the HTTP server.
    pub(super) url: Option<String>,
    tasks: Vec<task::JoinHandle<()>>,
    databases: Vec<DatabaseTask>,
    /// Publishes epochs in the answer hub, which the tasks read.
    showing: Option<task::JoinHandle<()>>,
    over: watch::Sender<bool>,
}

impl ReaderTasks {
    /// Starts the tasks. Returns the epochs for stdout.
    pub(super) async fn start(
        config: &Config,
        passed: mpsc::Receiver<EpochFrame>,
        metrics: &Arc<EngineMetrics>,
        editor: Arc<LiveQuestionEditor>,
        stop: &watch::Sender<bool>,
    ) -> Result<(ReaderTasks, mpsc::Receiver<EpochFrame>), RunError> {
        let (over, is_over) = watch::channel(false);
        let questions = config.question_set();
        let answer_hub = Arc::new(AnswerHub::new(&questions));
        let writers = database_writers(config, &questions)?;
        let mut readers = ReaderTasks { url: None, tasks: Vec::new(), databases: Vec::new(), showing: None, over };
        if let Some(serve) = &config.serve {
            let server = HttpServer::bind(serve, &config.base)?;
            let address = server.local_address().map_err(RunError::Address)?;
            let scheme = if serve.tls.is_some() { "https" } else { "http" };
            tracing::info!(%address, tls = serve.tls.is_some(), "answers are served over HTTP");
            readers.url = Some(format!("{scheme}://{address}"));
            metrics.enable_inspection();
            let run = ServedRun {
                answer_hub: Arc::clone(&answer_hub),
                engine_metrics: Arc::clone(metrics),
                pipeline: config.pipeline.clone(),
                options: config.questions,
                tables_url: config.tables_url().map_err(RunError::Url)?,
                text_bytes_max: config.engine.text_bytes_max,
                editor: Some(editor),
                databases: writers.iter().map(|(_, writer)| writer.status()).collect(),
            };
            readers.tasks.push(tokio::spawn(server.serve(run, is_over.clone())));
        }
        if let Some(answers) = &config.answers.delta {
            let root = answers.root(&config.base).map_err(RunError::Url)?;
            let root = Location::connect(&root, &config.objects).await?;
            let tables = AnswerTables::open(answers, &questions, &root, &config.pipeline).await?;
            let read = if config.tables.is_some() { ReadConsistency::Durable } else { ReadConsistency::Live };
            let every = Duration::from_secs_f64(answers.every_secs);
            readers.tasks.push(tokio::spawn(publish(Arc::clone(&answer_hub), read, tables, every, is_over.clone())));
        }
        readers.databases = start_database_tasks(writers, &answer_hub, stop, &is_over);
        if readers.tasks.is_empty() && readers.databases.is_empty() {
            return Ok((readers, passed));
        }
        let (on, to_serve) = mpsc::channel(FRAMES);
        readers.showing = Some(tokio::spawn(publish_frames(passed, answer_hub, on)));
        Ok((readers, to_serve))
    }

    /// Waits until the tasks have read everything.
    pub(super) async fn finish(self) -> Result<(), RunError> {
        // All epochs must be in the answer hub before it is closed.
        if let Some(showing) = self.showing {
            showing.await.map_err(serving_panicked)?;
        }
        self.over.send_replace(true);
        for task in self.tasks {
            task.await.map_err(serving_panicked)?;
        }
        for (database, task) in self.databases {
            task.await.map_err(serving_panicked)?.map_err(|error| RunError::Database { database, error })?;
        }
        Ok(())
    }
}

/// Publishes completed epochs in the answer hub and passes them on.
async fn publish_frames(
    mut passed: mpsc::Receiver<EpochFrame>,
    answer_hub: Arc<AnswerHub>,
    on: mpsc::Sender<EpochFrame>,
) {
    while let Some(frame) = passed.recv().await {
        answer_hub.publish_frame(&frame);
        // If stdout was closed, the run is ending; the remaining epochs are still published.
        let _ = on.send(frame).await;
    }
}
