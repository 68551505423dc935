//! HTTP client of a run that serves.

use std::path::Path;
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::connection::RunAddress;
use super::error::QueryError;
use pinflow_core::error_text::error_text;
use pinflow_core::secret::{Secret, SecretFrom};
use pinflow_http::{check_token_transport, read_ca_certificates};

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time without bytes. A run sends a keep-alive comment every 15 seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests to one run.
pub(crate) struct QueryClient {
    http: reqwest::Client,
    at: url::Url,
    token: Option<Secret>,
}

impl QueryClient {
    /// A client of the run at an address.
    ///
    /// # Errors
    /// If the token or the certificates cannot be read, or the token would be sent in the clear.
    pub(crate) fn new(args: &RunAddress) -> Result<QueryClient, QueryError> {
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
        let mut request = self.http.get(self.url(path, params));
        if let Some(id) = last {
            request = request.header("last-event-id", id);
        }
        self.send(request).await
    }

    /// Sends the text of a question with POST. Returns the reply's JSON.
    ///
    /// # Errors
    /// As [`QueryClient::send_get`].
    pub(crate) async fn post_text(
        &self,
        path: &str,
        params: &[(String, String)],
        text: String,
    ) -> Result<Value, QueryError> {
        let request =
            self.http.post(self.url(path, params)).header("content-type", "text/plain; charset=utf-8").body(text);
        parse_reply(self.send(request).await?).await
    }

    /// Sends JSON with POST. Returns the reply's JSON.
    ///
    /// # Errors
    /// As [`QueryClient::send_get`].
    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Result<Value, QueryError> {
        let request = self.http.post(self.url(path, &[])).header("content-type", "application/json");
        parse_reply(self.send(request.body(body.to_string())).await?).await
    }

    /// Sends a DELETE. Returns the reply's JSON.
    ///
    /// # Errors
    /// As [`QueryClient::send_get`].
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, QueryError> {
        parse_reply(self.send(self.http.delete(self.url(path, &[]))).await?).await
    }

    fn url(&self, path: &str, params: &[(String, String)]) -> url::Url {
        let mut url = self.at.clone();
        url.set_path(&format!("{}{path}", self.at.path().trim_end_matches('/')));
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        url
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Response, QueryError> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let unreachable = |error| QueryError::Unreachable { at: Box::new(self.at.clone()), reason: error_text(&error) };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let error: Option<Value> = serde_json::from_slice(&body).ok();
        let field = |name: &str| error.as_ref().and_then(|error| error[name].as_str()).map(str::to_owned);
        let (name, message) = (field("error"), field("message"));
        let message = message.unwrap_or_else(|| "no error message".to_owned());
        Err(QueryError::Rejected { at: Box::new(self.at.clone()), status, name: name.unwrap_or_default(), message })
    }

    /// The body of a GET.
    ///
    /// # Errors
    /// As [`QueryClient::send_get`].
    pub(crate) async fn get_bytes(&self, path: &str, params: &[(String, String)]) -> Result<Vec<u8>, QueryError> {
        let response = self.send_get(path, params, None).await?;
        Ok(response.bytes().await.map_err(QueryError::ReadAnswer)?.to_vec())
    }

    /// The JSON of a GET.
    ///
    /// # Errors
    /// As [`QueryClient::send_get`].
    pub(crate) async fn get_json(&self, path: &str, params: &[(String, String)]) -> Result<Value, QueryError> {
        serde_json::from_slice(&self.get_bytes(path, params).await?).map_err(QueryError::ParseAnswer)
    }
}

async fn parse_reply(response: Response) -> Result<Value, QueryError> {
    let bytes = response.bytes().await.map_err(QueryError::ReadAnswer)?;
    serde_json::from_slice(&bytes).map_err(QueryError::ParseAnswer)
}
