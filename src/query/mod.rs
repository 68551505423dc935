//! `pinflow query`: reads answers and changes from a run that serves over HTTP.

mod args;
mod client;
mod connection;
mod error;
mod events;
mod render;

use std::io::Write;

use serde_json::Value;

pub use args::{QueryArgs, QueryFormat};
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
