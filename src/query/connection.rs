//! How commands reach a running pinflow over HTTP.

use std::path::PathBuf;

use pinflow_core::secret::SecretFrom;

/// The address of a run, and what it takes to be let in.
#[derive(Debug, Clone, clap::Args)]
pub struct RunAddress {
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
