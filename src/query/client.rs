//! HTTP client of a run that serves.

use std::path::Path;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use super::QueryArgs;
use super::error::QueryError;
use pinflow_core::error_text::error_text;
use pinflow_core::secret::{Secret, SecretFrom};
use pinflow_http::{check_token_transport, read_ca_certificates};

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time without bytes. A run sends a keep-alive comment every 15 seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests to one run.
pub(super) struct QueryClient {
    http: reqwest::Client,
    at: url::Url,
    token: Option<Secret>,
}

impl QueryClient {
    pub(super) fn new(args: &QueryArgs) -> Result<QueryClient, QueryError> {
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
        // Do not follow redirects: the token must not reach another server.
        http = http.redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &args.ca {
            http = http.tls_certs_merge(read_ca_certificates(path)?);
        }
        let by_default = || std::env::var_os("PINFLOW_TOKEN").map(|_| SecretFrom::Env("PINFLOW_TOKEN".to_owned()));
        let from = args.token.clone().or_else(by_default);
        let token = from.map(|from| from.read(Path::new(""))).transpose().map_err(QueryError::Token)?;
        if token.is_some() {
            check_token_transport(&args.at)?;
        }
        let http = http.build().map_err(QueryError::HttpClient)?;
        Ok(QueryClient { http, at: args.at.clone(), token })
    }

    /// Sends a GET request. `last` is the id of the last event seen.
    ///
    /// # Errors
    /// If the server cannot be reached, or returns an error ([`QueryError::Rejected`]).
    pub(super) async fn send_get(
        &self,
        path: &str,
        params: &[(String, String)],
        last: Option<&str>,
    ) -> Result<Response, QueryError> {
        let mut url = self.at.clone();
        url.set_path(&format!("{}{path}", self.at.path().trim_end_matches('/')));
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        let mut request = self.http.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(id) = last {
            request = request.header("last-event-id", id);
        }
        let unreachable = |error| QueryError::Unreachable { at: self.at.clone(), reason: error_text(&error) };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let error: Option<Value> = serde_json::from_slice(&body).ok();
        let message = error.as_ref().and_then(|error| error["message"].as_str()).unwrap_or("no error message");
        Err(QueryError::Rejected { at: self.at.clone(), status, message: message.to_owned() })
    }

    pub(super) async fn get_bytes(&self, path: &str, params: &[(String, String)]) -> Result<Vec<u8>, QueryError> {
        let response = self.send_get(path, params, None).await?;
        Ok(response.bytes().await.map_err(QueryError::ReadAnswer)?.to_vec())
    }

    pub(super) async fn get_json(&self, path: &str, params: &[(String, String)]) -> Result<Value, QueryError> {
        serde_json::from_slice(&self.get_bytes(path, params).await?).map_err(QueryError::ParseAnswer)
    }
}
