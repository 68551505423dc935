//! Keeps the answers' tables at what is durable: every so often, and once more when the run is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::serving::{AnswerHub, ReadConsistency};
use crate::sinks::answers::AnswerTables;

/// Writes what the board shows until `over` turns true, and then its last.
///
/// Only answers whose rows are committed are written, where rows are: so a table never shows what a crash could take
/// back. A failure is said once, and again when it is over; the run goes on meanwhile.
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
        // A sender that has gone is a run that is over.
        let last = tokio::select! {
            _ = over.wait_for(|over| *over) => true,
            _ = tick.tick() => false,
        };
        if let Some(view) = answer_hub.current_view(read).filter(|view| view.open) {
            let rows = |answer: usize| view.answer(answer).rows().cloned().collect::<BTreeSet<_>>();
            let failed = tables.bring_to(view.epoch, view.as_of, rows).await;
            let behind = failed.len();
            match failed.into_iter().next() {
                Some(error) if !failing || last => {
                    let error = anyhow::Error::from(error);
                    tracing::warn!(tables = behind, reason = format!("{error:#}"), "answers' tables are behind");
                }
                None if failing => tracing::info!("the answers' tables are written again"),
                _ => {}
            }
            failing = behind > 0;
        }
        if last {
            return;
        }
    }
}
