//! Publishes the answers to their Delta tables at a fixed interval, and once more when the run ends. Gives them to the
//! writers of databases.

mod databases;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

pub use databases::{DatabaseTask, start_database_tasks};

use pinflow_core::error_text::error_text;
use pinflow_delta::answers::AnswerTables;
use pinflow_serving::{AnswerHub, ReadConsistency};

/// Publishes the latest answers every `every` until `over` turns true, then a last time.
///
/// With [`ReadConsistency::Durable`] only answers whose rows are committed are published, so a table never shows what a crash could
/// undo. A failure is logged once, and again when it has ended. Meanwhile the run continues.
pub async fn publish(
    answer_hub: Arc<AnswerHub>,
    read: ReadConsistency,
    mut tables: AnswerTables,
    every: Duration,
    mut over: watch::Receiver<bool>,
) {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        // A dropped sender means that the run is over.
        let last = tokio::select! {
            _ = over.wait_for(|over| *over) => true,
            _ = tick.tick() => false,
        };
        if let Some(view) = answer_hub.current_view(read).filter(|view| view.open) {
            let rows = |id| view.answer(id).map(|(_, table)| table.visible_counts()).unwrap_or_default();
            let failed = tables.update_tables(view.questions(), view.epoch, view.as_of, rows).await;
            let behind = failed.len();
            match failed.into_iter().next() {
                Some(error) if !failing || last => {
                    tracing::warn!(
                        tables = behind,
                        reason = error_text(&error),
                        "the tables of answers could not be written; trying again"
                    );
                }
                None if failing => tracing::info!("the tables of answers are written again"),
                _ => {}
            }
            failing = behind > 0;
        }
        if last {
            return;
        }
    }
}
