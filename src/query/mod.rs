//! `pinflow query`: asks a run that serves over HTTP.

mod args;
mod client;
mod events;
mod render;

use std::io::Write;

use anyhow::Context;
use serde_json::Value;

pub use args::{QueryArgs, QueryFormat};

use client::QueryClient;
use events::ChangeStream;

use crate::usage::UsageError;

/// Asks, and writes what it hears to `out`.
///
/// # Errors
/// If there is nobody to ask, or the answer is a refusal, in the words of who refuses.
pub async fn run(args: QueryArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let client = QueryClient::new(&args)?;
    let Some(answer) = &args.answer else {
        let status = client.json("/status", &[]).await?;
        return render::list(&status["answers"], args.form(), out).context("write to stdout");
    };
    let path = format!("/answers/{answer}");
    if args.follow {
        if args.form() == QueryFormat::Csv {
            let what = "changes cannot be written as CSV; use --follow with --format table or --format ndjson";
            return Err(UsageError::new(what).into());
        }
        return follow(&client, &args, &format!("{path}/changes"), out).await;
    }
    let mut asked = args.filters();
    match args.form() {
        QueryFormat::Table => {
            let answer = client.json(&path, &asked).await?;
            render::table(&answer, out)?;
        }
        form => {
            asked.push(("format".to_owned(), form.name().to_owned()));
            out.write_all(&client.bytes(&path, &asked).await?)?;
            if form == QueryFormat::Json {
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush().context("write to stdout")
}

/// Follows for ever; a connection that is lost is made anew, and goes on where it was.
async fn follow(client: &QueryClient, args: &QueryArgs, path: &str, out: &mut impl Write) -> anyhow::Result<()> {
    let mut follow = ChangeStream::new(client, path, args.filters());
    loop {
        let (kind, data) = follow.next().await?;
        let event: Value = serde_json::from_str(&data).context("read an event")?;
        match args.form() {
            QueryFormat::Table => render::event(&kind, &event, out)?,
            _ => writeln!(out, "{data}")?,
        }
        out.flush().context("write to stdout")?;
    }
}
