//! Gives the answers of a run to the writers of databases.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pinflow_core::position::Epoch;
use pinflow_databases::{AnswerCut, AnswerSource, DatabaseError, DatabaseWriter, run_database_writer};
use pinflow_dataflows::answer::AnswerRow;
use pinflow_dataflows::questions::{QuestionId, QuestionSet};
use pinflow_serving::{AnswerHub, AnswerView, ReadConsistency};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The answers that a database shows.
struct HubSource {
    answer_hub: Arc<AnswerHub>,
    read: ReadConsistency,
}

impl AnswerSource for HubSource {
    fn current_cut(&self) -> Option<Arc<dyn AnswerCut>> {
        let view = self.answer_hub.current_view(self.read).filter(|view| view.open)?;
        Some(Arc::new(ViewCut { view }))
    }
}

struct ViewCut {
    view: AnswerView,
}

impl AnswerCut for ViewCut {
    fn questions(&self) -> &QuestionSet {
        self.view.questions()
    }

    fn epoch(&self) -> Epoch {
        self.view.epoch
    }

    fn as_of(&self) -> Timestamp {
        self.view.as_of
    }

    fn is_durable(&self) -> bool {
        self.view.durable_epoch.is_some_and(|durable| self.view.epoch <= durable)
    }

    fn changed_at(&self, question: QuestionId) -> Option<Epoch> {
        self.view.changed_at(question)
    }

    fn rows(&self, question: QuestionId) -> BTreeMap<AnswerRow, i64> {
        self.view.answer(question).map(|(_, table)| table.visible_counts()).unwrap_or_default()
    }
}

/// A task that writes to a database. It fails if another pinflow takes over.
pub type DatabaseTask = (&'static str, JoinHandle<Result<(), DatabaseError>>);

/// Starts a task for each writer, which writes the answers of the hub until `over` turns true. `stop` is requested if
/// another pinflow takes over.
pub fn start_database_tasks(
    writers: Vec<(ReadConsistency, DatabaseWriter)>,
    answer_hub: &Arc<AnswerHub>,
    stop: &watch::Sender<bool>,
    over: &watch::Receiver<bool>,
) -> Vec<DatabaseTask> {
    let start = |(read, writer): (ReadConsistency, DatabaseWriter)| {
        let name = writer.status().borrow().database;
        let source = Arc::new(HubSource { answer_hub: Arc::clone(answer_hub), read });
        let (stop, over) = (stop.clone(), over.clone());
        let task = tokio::spawn(async move {
            let ended = run_database_writer(writer, source, over).await;
            if ended.is_err() {
                stop.send_replace(true);
            }
            ended
        });
        (name, task)
    };
    writers.into_iter().map(start).collect()
}
