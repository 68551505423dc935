//! Command-line arguments of `pinflow query`.

use std::io::IsTerminal;

use super::connection::RunAddress;

/// Ask a running pinflow that serves over HTTP: `[serve]` in its configuration, or run --listen.
#[derive(Debug, clap::Args)]
pub struct QueryArgs {
    /// The answer to print. Without one, all answers are listed with their columns
    pub answer: Option<String>,

    /// Only rows with this value in a column. null=COLUMN: only rows without a value there. If a column is given several times, rows with any of its values
    #[arg(value_name = "COLUMN=VALUE", value_parser = parse_filter, requires = "answer", conflicts_with = "follow")]
    pub filter: Vec<(String, String)>,

    /// Output format [default: table on a terminal, json elsewhere, ndjson with --follow]
    #[arg(long, value_enum)]
    pub format: Option<QueryFormat>,

    /// Print every further change, until interrupted
    #[arg(long, requires = "answer")]
    pub follow: bool,

    /// Print the answer of the last committed epoch, which a crash cannot take back
    #[arg(long, requires = "answer")]
    pub durable: bool,

    #[command(flatten)]
    pub address: RunAddress,
}

/// The command line of `pinflow answer-names`.
#[derive(Debug, clap::Args)]
pub struct AnswerNamesArgs {
    /// Only the questions that were added while the run goes on
    #[arg(long)]
    pub added: bool,

    #[command(flatten)]
    pub address: RunAddress,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum QueryFormat {
    /// A table to read
    Table,
    /// One JSON object: the rows, and the epoch and time they belong to
    Json,
    /// One JSON object per line: rows, or changes
    Ndjson,
    /// Comma-separated values
    Csv,
}

impl QueryFormat {
    pub(super) fn format_name(self) -> &'static str {
        match self {
            QueryFormat::Table => "table",
            QueryFormat::Json => "json",
            QueryFormat::Ndjson => "ndjson",
            QueryFormat::Csv => "csv",
        }
    }
}

impl QueryArgs {
    /// The given format, or the default: a table on a terminal, else JSON.
    pub(super) fn output_format(&self) -> QueryFormat {
        let by_default = if std::io::stdout().is_terminal() { QueryFormat::Table } else { QueryFormat::Json };
        self.format.unwrap_or(by_default)
    }

    /// Whether the output is for programs.
    pub(crate) fn is_data(&self) -> bool {
        self.output_format() != QueryFormat::Table
    }

    /// The query parameters of the request.
    pub(super) fn query_params(&self) -> Vec<(String, String)> {
        let mut filters = self.filter.clone();
        if self.durable {
            filters.push(("read".to_owned(), "durable".to_owned()));
        }
        filters
    }
}

fn parse_filter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write COLUMN=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
