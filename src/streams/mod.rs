//! `pinflow streams`: creates, lists, describes, reshards and deletes streams of Amazon Kinesis.

mod args;
mod error;
mod render;

use std::io::Write;

pub use args::{StreamsArgs, StreamsFormat};
pub use error::StreamsCommandError;

use args::{ReshardAction, StreamAction};

use pinflow_core::error_text::error_text;
use pinflow_kinesis::{StreamAdmin, StreamError, StreamOutcome};

/// Runs the command and prints the result for each stream. Returns `false` if any stream failed.
///
/// # Errors
/// If the arguments are invalid, or the output cannot be written.
pub async fn run(args: StreamsArgs, out: &mut (dyn Write + Send)) -> Result<bool, StreamsCommandError> {
    let (command, region) = args.command.split();
    let streams = StreamAdmin::connect(region.connection()?).await?;
    let format = region.format;
    let mut succeeded = true;
    match command {
        StreamAction::List(prefix) => {
            let names = streams.list_names().await?;
            let wanted = |name: &&String| prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()));
            render::names(names.iter().filter(wanted), format, out)?;
        }
        StreamAction::Describe(named) => {
            let names = if named.has_names() { named.names()? } else { streams.list_names().await? };
            for name in names {
                match streams.describe(&name).await {
                    Ok((summary, shards)) => render::stream(&name, &summary, &shards, format, out)?,
                    Err(error) => succeeded &= report_failure(&name, error, format, out)?,
                }
            }
        }
        StreamAction::Create(named, shape) => {
            for name in named.names()? {
                let outcome = streams.create(&shape.spec_for(&name)).await;
                succeeded &= print_outcome(&name, outcome, format, out)?;
            }
        }
        StreamAction::Delete(named) => {
            for name in named.names()? {
                let outcome = streams.delete(&name).await;
                succeeded &= print_outcome(&name, outcome, format, out)?;
            }
        }
        StreamAction::Reshard(name, shards) => {
            let outcome = match &shards {
                ReshardAction::Split { shard, at } => streams.split_shard(&name, shard, *at).await,
                ReshardAction::Merge { one, other } => streams.merge_shards(&name, one, other).await,
                ReshardAction::Scale(count) => streams.scale_shards(&name, *count).await,
            };
            succeeded &= print_outcome(&name, outcome, format, out)?;
        }
    }
    Ok(succeeded)
}

fn print_outcome(
    name: &str,
    outcome: Result<StreamOutcome, StreamError>,
    format: StreamsFormat,
    out: &mut dyn Write,
) -> Result<bool, StreamsCommandError> {
    match outcome {
        Ok(outcome) => {
            render::outcome(name, outcome, format, out)?;
            Ok(true)
        }
        Err(error) => report_failure(name, error, format, out),
    }
}

/// Prints an error of one stream, so that the command continues with the others. An error of the connection ends it.
fn report_failure(
    name: &str,
    error: StreamError,
    format: StreamsFormat,
    out: &mut dyn Write,
) -> Result<bool, StreamsCommandError> {
    match error {
        StreamError::Connection(_) => Err(error.into()),
        error => {
            render::failure(name, &error_text(&error), format, out)?;
            Ok(false)
        }
    }
}
