//! Writes at an interval, and retries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pinflow_core::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::cut::{AnswerCut, AnswerSource};
use crate::error::{DatabaseError, DatabaseErrorKind};
use crate::writer::DatabaseWriter;

/// The first wait after a failure, and the longest one.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How long the end of the run waits for the last write. What is not written then is written by the next run.
const FINAL_WRITE_GRACE: Duration = Duration::from_secs(15);
/// The same, for a database that did not answer before.
const FINAL_RETRY_GRACE: Duration = Duration::from_secs(5);

/// When the next attempt may be made.
struct RetryState {
    backoff: Backoff,
    /// `None` while writes succeed.
    next_at: Option<Instant>,
}

/// Writes the newest answers at the interval of the settings until `over` turns true, then a last time.
///
/// A failure is logged once, and again when it has ended. Meanwhile the run continues, and nothing waits for the writer.
///
/// # Errors
/// If another pinflow has taken over the tables. The writer has stopped then.
pub async fn run_database_writer(
    mut writer: DatabaseWriter,
    source: Arc<dyn AnswerSource>,
    mut over: watch::Receiver<bool>,
) -> Result<(), DatabaseError> {
    let mut tick = interval(Duration::from_secs_f64(writer.settings.target.every_secs()));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut retry = RetryState { backoff: Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1), next_at: None };
    loop {
        // A dropped sender means that the run is over.
        let last = tokio::select! {
            _ = over.wait_for(|over| *over) => true,
            _ = tick.tick() => false,
        };
        if let Some(cut) = source.current_cut().filter(|cut| !writer.has_written(&**cut)) {
            writer.state.send_modify(|state| {
                state.behind_since.get_or_insert_with(Instant::now);
            });
            if last || retry.next_at.is_none_or(|at| Instant::now() >= at) {
                let attempted = attempt_write(&mut writer, &cut, retry.next_at.is_some(), &mut over).await;
                note_outcome(&writer, &mut retry, attempted, last)?;
            }
        }
        if last {
            writer.close().await;
            return Ok(());
        }
    }
}

/// Writes a cut. A connection that was idle can be gone without notice: then a second attempt is made with another one.
async fn attempt_write(
    writer: &mut DatabaseWriter,
    cut: &Arc<dyn AnswerCut>,
    is_failing: bool,
    over: &mut watch::Receiver<bool>,
) -> Result<(), DatabaseError> {
    let mut may_repeat = writer.is_connected();
    let writing = async {
        loop {
            match writer.write_cut(cut).await {
                Err(error) if may_repeat && error.kind == DatabaseErrorKind::Unavailable => {
                    tracing::debug!(reason = error.what, "a write to the database failed; trying again");
                    may_repeat = false;
                }
                attempted => return attempted,
            }
        }
    };
    let grace = if is_failing { FINAL_RETRY_GRACE } else { FINAL_WRITE_GRACE };
    let over_for_long = async {
        let _ = over.wait_for(|over| *over).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        attempted = writing => attempted,
        () = over_for_long => Err(DatabaseError::no_reply()),
    }
}

/// Reports a failure at its beginning and at its end, and decides when to try again.
fn note_outcome(
    writer: &DatabaseWriter,
    retry: &mut RetryState,
    attempted: Result<(), DatabaseError>,
    last: bool,
) -> Result<(), DatabaseError> {
    let database = writer.settings.target.name();
    let Err(error) = attempted else {
        if retry.next_at.take().is_some() {
            tracing::info!(database, "the answers are written to the database again");
        }
        retry.backoff.reset();
        writer.state.send_modify(|state| {
            (state.is_connected, state.problem, state.behind_since) = (true, None, None);
        });
        return Ok(());
    };
    writer.state.send_modify(|state| {
        state.failures += 1;
        (state.is_connected, state.problem) = (false, Some(error.what.clone()));
    });
    if error.is_fenced() {
        tracing::error!(database, reason = error.what, "the answers are no longer written to the database");
        return Err(error);
    }
    if last {
        tracing::warn!(
            database,
            reason = error.what,
            "the last answers could not be written to the database; the next run writes them"
        );
    } else if retry.next_at.is_none() {
        tracing::warn!(database, reason = error.what, "the answers cannot be written to the database; trying again");
    }
    retry.next_at = Some(Instant::now() + retry.backoff.next_wait());
    Ok(())
}
