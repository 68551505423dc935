//! `pinflow verify`: recomputes the durable answers of a running pinflow from its tables, and compares them.
//!
//! A durable answer names the epoch that it belongs to. The tables are opened at the versions that have the rows of that
//! epoch and no others, so the run can go on meanwhile. The answers are computed by the evaluator in batch, which shares
//! the plan and the evaluation of expressions with the incremental path, and nothing else.

mod args;
mod compare;
mod compute;
mod error;
mod render;
mod served_answers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use reqwest::StatusCode;

pub use args::{VerificationArgs, VerificationFormat};
pub use error::VerificationError;

use compare::{AnswerVerdict, VerifiedAnswer, compare_rows};
use compute::{AnswerToCompute, compute_answers};
use render::VerificationReport;
use served_answers::{DurableAnswers, read_durable_answers};

use crate::query::{QueryClient, QueryError};
use crate::table_location::connect_tables;
use pinflow_core::error_text::error_text;
use pinflow_core::user_error::ExitStatus;
use pinflow_delta::{DeltaError, inspect_at_epoch};
use pinflow_terminal::{sanitize_line, write_error_line};

/// How often the answers are read again, because a file of their version was removed by a vacuum meanwhile.
const MAX_ATTEMPTS: u32 = 3;

/// Verifies the answers of a run and prints the result.
///
/// # Errors
/// If the answers or the tables cannot be read, or the output cannot be written.
pub async fn run(args: VerificationArgs, out: &mut (dyn Write + Send)) -> Result<ExitStatus, VerificationError> {
    let client = QueryClient::new(&args.address).map_err(|error| VerificationError::Run(Box::new(error)))?;
    let mut attempt = 1;
    let report = loop {
        let served = read_durable_answers(&client).await?;
        match verify_answers(&args, served).await {
            Err(VerificationError::Tables(DeltaError::MissingFile { .. })) if attempt < MAX_ATTEMPTS => attempt += 1,
            verified => break verified?,
        }
    };
    report.write(args.format, out)?;
    let status = report.exit_status()?;
    if !args.no_report {
        show_in_run(&client, &report).await;
    }
    Ok(status)
}

/// Sends the result to the run, for its `/status` and its page. A reader may not do that. The result stays what it is.
async fn show_in_run(client: &QueryClient, report: &VerificationReport) {
    match client.post_json("/verification", &report.to_result_json()).await {
        Ok(_) => {}
        Err(QueryError::Rejected { status, .. }) if status == StatusCode::FORBIDDEN => write_error_line(
            "the run's /status and page do not show this result: that needs the admin token. --no-report omits this line",
        ),
        Err(error) => write_error_line(&format!(
            "the run's /status and page do not show this result: {}",
            sanitize_line(&error_text(&error))
        )),
    }
}

/// Compares what a run has served with its tables.
async fn verify_answers(
    args: &VerificationArgs,
    served: DurableAnswers,
) -> Result<VerificationReport, VerificationError> {
    let begun = Instant::now();
    let tables_at = tables_of_run(args, &served)?;
    let location = connect_tables(&tables_at, args.connection.as_deref()).await?;
    let tables = inspect_at_epoch(&location, &served.pipeline, &served.committed, served.epoch)
        .await
        .map_err(VerificationError::Tables)?;
    let (chosen, skipped) = served.choose_questions(&args.answers)?;
    write_error_line(&format!(
        "verifying {} answers at epoch {} over {}",
        chosen.len(),
        served.epoch,
        tables_at.display()
    ));
    let (versions, questions) = (tables.iter().map(|table| (table.table, table.version)).collect(), chosen);
    let (options, text_bytes_max) = (served.options, served.text_bytes_max);
    let computing =
        tokio::task::spawn_blocking(move || compute_answers(questions, &tables, options.duplicates, text_bytes_max));
    let computed = computing.await.map_err(|panic| VerificationError::Panicked(panic.to_string()))?;
    let computed = computed.map_err(VerificationError::Tables)?;
    let mut answers: Vec<_> =
        computed.answers.into_iter().map(|(question, rows)| judge_answer(&question, &rows, &served, args)).collect();
    answers.extend(skipped);
    answers.sort_by(|one, other| one.answer.cmp(&other.answer));
    Ok(VerificationReport {
        started_at: served.started_at,
        epoch: served.epoch,
        as_of: served.as_of,
        tables: tables_at.display().to_string(),
        versions,
        rows_read: computed.rows_read,
        seconds: begun.elapsed().as_secs_f64(),
        answers,
    })
}

fn judge_answer(
    question: &AnswerToCompute,
    computed: &[String],
    served: &DurableAnswers,
    args: &VerificationArgs,
) -> VerifiedAnswer {
    let answer = question.name.clone();
    let rows = served.answers.get(&answer).map(Vec::as_slice).unwrap_or_default();
    VerifiedAnswer { answer, verdict: AnswerVerdict::Compared(compare_rows(computed, rows, args.differences)) }
}

/// Where the tables are: where the flag says, or else where the run writes them.
fn tables_of_run(args: &VerificationArgs, served: &DurableAnswers) -> Result<PathBuf, VerificationError> {
    if let Some(given) = &args.tables {
        return Ok(given.clone());
    }
    let url = served.tables_url.as_deref().ok_or(VerificationError::NoTables)?;
    let is_here = url.starts_with("s3://") || Path::new(url).exists();
    if is_here { Ok(url.into()) } else { Err(VerificationError::TablesElsewhere(url.to_owned())) }
}
