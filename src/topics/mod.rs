//! `pinflow topics`: creates, lists, describes and deletes topics of a Kafka cluster.

mod args;
mod error;
mod render;

use std::io::Write;

pub use args::{TopicsArgs, TopicsFormat};
pub use error::TopicsCommandError;

use args::TopicAction;

use pinflow_core::error_text::error_text;
use pinflow_kafka::{TopicAdmin, TopicError};

/// Runs the command and prints the result for each topic. Returns `false` if any topic failed.
///
/// # Errors
/// If the arguments are invalid, the cluster cannot be reached, or the output cannot be written.
pub async fn run(args: TopicsArgs, out: &mut (dyn Write + Send)) -> Result<bool, TopicsCommandError> {
    let (command, cluster) = args.command.split();
    let (connection, base) = cluster.connection()?;
    let topics = TopicAdmin::connect(connection, &base)?;
    let format = cluster.format;
    let mut succeeded = true;
    match command {
        TopicAction::List => {
            let names = topics.list_names()?;
            render::names(names.iter().filter(|name| cluster.includes_topic(name)), format, out)?;
        }
        TopicAction::Describe => {
            let names = if cluster.has_names() { cluster.names()? } else { topics.list_names()? };
            let mut found = Vec::new();
            for name in names {
                match topics.describe(&name).await {
                    Ok(topic) => found.push(topic),
                    Err(error) => succeeded &= report_failure(&name, error, format, out)?,
                }
            }
            render::topics(&found, format, out)?;
        }
        TopicAction::Create(shape) => {
            for name in cluster.names()? {
                match topics.create(&shape.spec_for(&name)).await {
                    Ok(ensured) => render::created_topic(&name, &ensured, format, out)?,
                    Err(error) => succeeded &= report_failure(&name, error, format, out)?,
                }
            }
        }
        TopicAction::Delete => {
            for name in cluster.names()? {
                match topics.delete(&name).await {
                    Ok(outcome) => render::outcome(&name, outcome, format, out)?,
                    Err(error) => succeeded &= report_failure(&name, error, format, out)?,
                }
            }
        }
    }
    Ok(succeeded)
}

/// Prints an error of one topic, so that the command continues with the others. An error of the cluster ends it.
fn report_failure(
    name: &str,
    error: TopicError,
    format: TopicsFormat,
    out: &mut dyn Write,
) -> Result<bool, TopicsCommandError> {
    match error {
        TopicError::Connection(_) | TopicError::Unreachable(_) => Err(error.into()),
        error => {
            render::failure(name, &error_text(&error), format, out)?;
            Ok(false)
        }
    }
}
