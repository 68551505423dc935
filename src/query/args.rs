//! Command-line arguments of `pinflow query`.

use std::io::IsTerminal;
use std::path::PathBuf;

use pinflow_core::secret::SecretFrom;

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

    /// Address of the run's HTTP API: a URL, HOST:PORT, or a PORT of this machine
    #[arg(long, value_name = "URL", env = "PINFLOW_AT", default_value = "http://127.0.0.1:7461", value_parser = parse_server_url)]
    pub at: url::Url,

    /// Where to read the token from [default: env:PINFLOW_TOKEN, if it is set]
    #[arg(long, value_name = "env:NAME|file:PATH", value_parser = parse_token_source)]
    pub token: Option<SecretFrom>,

    /// PEM file with certificates to trust, in addition to the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
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

/// Parses the server's URL. The default scheme is http, the default host this machine.
fn parse_server_url(text: &str) -> Result<url::Url, String> {
    let text = text.trim();
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match text.strip_prefix(':').unwrap_or(text) {
        port if is_port(port) => format!("http://127.0.0.1:{port}"),
        _ if text.contains("://") => text.to_owned(),
        _ => format!("http://{text}"),
    };
    let example = "write a URL such as https://pinflow.example.com, or HOST:PORT";
    let url = url::Url::parse(&whole).map_err(|error| format!("{error}; {example}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(format!("{scheme}:// is not served by pinflow; {example}")),
    }
}

fn parse_token_source(text: &str) -> Result<SecretFrom, &'static str> {
    SecretFrom::try_from(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_url_may_be_a_url_or_host_and_port_or_port() {
        for (text, url) in [
            ("http://127.0.0.1:7461", "http://127.0.0.1:7461/"),
            ("https://pinflow.example.com/posts", "https://pinflow.example.com/posts"),
            ("127.0.0.1:7461", "http://127.0.0.1:7461/"),
            ("localhost:7461", "http://localhost:7461/"),
            ("[::1]:7461", "http://[::1]:7461/"),
            ("pinflow.example.com", "http://pinflow.example.com/"),
            (":7461", "http://127.0.0.1:7461/"),
            ("7461", "http://127.0.0.1:7461/"),
        ] {
            assert_eq!(parse_server_url(text).map(|url| url.to_string()), Ok(url.to_owned()), "{text}");
        }
        for text in ["", "ftp://x", "localhost:x", "http://", "99999", ":"] {
            let error = parse_server_url(text).expect_err(text);
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
        }
    }
}
