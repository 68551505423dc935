//! `pinflow query`: reads answers and changes from a run that serves over HTTP.

mod args;
mod client;
mod connection;
mod error;
mod events;
mod render;

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

pub use args::{AnswerNamesArgs, QueryArgs, QueryFormat};
pub(crate) use client::QueryClient;
pub use connection::RunAddress;
pub use error::QueryError;

use events::ChangeStream;

use pinflow_core::user_error::UsageError;

/// Runs the query and writes the result to `out`.
///
/// # Errors
/// If the server cannot be reached or returns an error, with the server's message.
pub async fn run(args: QueryArgs, out: &mut impl Write) -> Result<(), QueryError> {
    let client = QueryClient::new(&args.address)?;
    let Some(answer) = &args.answer else {
        let status = client.get_json("/status", &[]).await?;
        return Ok(render::write_answer_list(&status["answers"], args.output_format(), out)?);
    };
    let path = format!("/answers/{answer}");
    if args.follow {
        if args.output_format() == QueryFormat::Csv {
            let what = "changes cannot be written as CSV; use --follow with --format table or --format ndjson";
            return Err(UsageError::new(what).into());
        }
        return print_changes(&client, &args, &format!("{path}/changes"), out).await;
    }
    let mut params = args.query_params();
    match args.output_format() {
        QueryFormat::Table => {
            let answer = client.get_json(&path, &params).await?;
            render::write_table(&answer, out)?;
        }
        form => {
            params.push(("format".to_owned(), form.format_name().to_owned()));
            out.write_all(&client.get_bytes(&path, &params).await?)?;
            if form == QueryFormat::Json {
                out.write_all(b"\n")?;
            }
        }
    }
    Ok(out.flush()?)
}

/// How long a shell may wait for the names of the answers.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes the names of a run's answers to `out`, a line each, for the completion of shells. `only_added`: the names of the
/// questions that were added while it runs.
///
/// Shells expand what they complete, so a name with anything but letters, digits and underscores is left out. No run of
/// pinflow has one.
///
/// # Errors
/// If the server cannot be reached within two seconds or returns an error.
pub async fn write_answer_names(
    address: &RunAddress,
    only_added: bool,
    out: &mut impl Write,
) -> Result<(), QueryError> {
    let client = QueryClient::new(address)?;
    let (path, list, field) =
        if only_added { ("/questions", "questions", "name") } else { ("/status", "answers", "answer") };
    let asked = tokio::time::timeout(NAMES_TIMEOUT, client.get_json(path, &[])).await;
    let reply = asked.unwrap_or_else(|_| {
        Err(QueryError::Unreachable { at: Box::new(address.at.clone()), reason: "no reply".to_owned() })
    })?;
    let is_plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let listed = reply[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let chosen = listed.iter().filter(|entry| !only_added || entry["origin"] == "added");
    for name in chosen.filter_map(|entry| entry[field].as_str()).filter(is_plain) {
        writeln!(out, "{name}")?;
    }
    Ok(())
}

/// Prints changes until interrupted. After a lost connection it reconnects and resumes.
async fn print_changes(
    client: &QueryClient,
    args: &QueryArgs,
    path: &str,
    out: &mut impl Write,
) -> Result<(), QueryError> {
    let mut follow = ChangeStream::new(client, path, args.query_params());
    loop {
        let (kind, data) = follow.next_event().await?;
        let event: Value = serde_json::from_str(&data).map_err(QueryError::ParseEvent)?;
        match args.output_format() {
            QueryFormat::Table => render::write_event(&kind, &event, out)?,
            _ => writeln!(out, "{data}")?,
        }
        out.flush()?;
    }
}
