//! What can be typed.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::secret::SecretFrom;

/// Ask a running pinflow that serves over HTTP: `[serve]` in its configuration, or run --listen.
#[derive(Debug, clap::Args)]
pub struct QueryArgs {
    /// Which answer. Without one: lists them with their columns
    pub answer: Option<String>,

    /// Only rows with this value in a grouping column; the same column again: with one of the values
    #[arg(value_name = "COLUMN=VALUE", value_parser = pair, requires = "answer", conflicts_with = "follow")]
    pub filter: Vec<(String, String)>,

    /// In which form. By default a table on a terminal, JSON elsewhere; with --follow JSON Lines
    #[arg(long, value_enum)]
    pub format: Option<Form>,

    /// Go on with every change, until interrupted
    #[arg(long, requires = "answer")]
    pub follow: bool,

    /// Only rows that are committed to the tables
    #[arg(long, requires = "answer")]
    pub durable: bool,

    /// Where it serves
    #[arg(long, value_name = "URL", env = "PINFLOW_AT", default_value = "http://127.0.0.1:7461")]
    pub at: url::Url,

    /// Where the token comes from: env:NAME or file:PATH. By default env:PINFLOW_TOKEN, if that is set
    #[arg(long, value_name = "FROM", value_parser = secret)]
    pub token: Option<SecretFrom>,

    /// Certificates (PEM) to trust beside the system's own
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// The form of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people.
    Table,
    /// One JSON object: rows and what they are as of.
    Json,
    /// A JSON object a line: rows, or changes.
    Ndjson,
    /// Comma-separated values.
    Csv,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Table => "table",
            Form::Json => "json",
            Form::Ndjson => "ndjson",
            Form::Csv => "csv",
        }
    }
}

impl QueryArgs {
    /// The form that is meant.
    pub(super) fn form(&self) -> Form {
        let by_default = if std::io::stdout().is_terminal() { Form::Table } else { Form::Json };
        self.format.unwrap_or(by_default)
    }

    /// What stands behind the question mark.
    pub(super) fn filters(&self) -> Vec<(String, String)> {
        let mut filters = self.filter.clone();
        if self.durable {
            filters.push(("read".to_owned(), "durable".to_owned()));
        }
        filters
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write COLUMN=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn secret(text: &str) -> Result<SecretFrom, &'static str> {
    SecretFrom::try_from(text.to_owned())
}
