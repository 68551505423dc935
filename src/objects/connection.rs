//! `[objects]`: how buckets are reached.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use serde::Deserialize;
use url::{Host, Url};

use super::credentials::Chain;
use super::fault::ObjectsError;
use crate::aws;
use crate::key_problem::KeyProblem;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Another server than Amazon's has regions in name only.
const ANY_REGION: &str = "us-east-1";
/// Whoever writes tries again by itself, and says so; this only bridges what is over in a moment.
const RETRIES: usize = 4;

/// How buckets are reached.
///
/// Credentials are those of the AWS SDK's default chain: environment, profile, SSO, process, web identity, container,
/// instance. They never stand in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connection {
    /// Where the bucket is; by default as `AWS_REGION` or the profile says.
    pub region: Option<String>,
    /// A profile of the AWS configuration files; by default the one that `AWS_PROFILE` names.
    pub profile: Option<String>,
    /// Another address than Amazon's own, as a URL; by default as `AWS_ENDPOINT_URL` or the profile says.
    pub endpoint: Option<String>,
    /// Where a request names the bucket: by default in the path for another endpoint, in the host for Amazon's own.
    pub addressing: Option<Addressing>,
    /// Longest wait for an answer, seconds. A file of 32 MiB must get through in it.
    pub timeout_secs: u64,
    /// Allows an endpoint of another machine that does not encrypt: whoever is on the way reads and changes everything.
    pub danger_allow_http: bool,
}

/// Where a request names the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`: virtual hosts.
    Host,
}

impl Default for Connection {
    fn default() -> Connection {
        Connection {
            region: None,
            profile: None,
            endpoint: None,
            addressing: None,
            timeout_secs: 30,
            danger_allow_http: false,
        }
    }
}

impl Connection {
    /// What is wrong, each with its mend.
    #[must_use]
    pub fn faults(&self) -> Vec<KeyProblem> {
        let mut faults = aws::validate_settings(self.region.as_deref(), self.endpoint.as_deref());
        if let Some(Ok(url)) = self.endpoint.as_deref().map(aws::parse_endpoint) {
            faults.extend(self.exposes(&url).map(|what| KeyProblem::new("endpoint", what)));
        }
        if !(1..=600).contains(&self.timeout_secs) {
            faults.push(KeyProblem::range("timeout_secs", "1 to 600"));
        }
        faults
    }

    /// What is wrong with an address that is not encrypted where it should be.
    fn exposes(&self, url: &Url) -> Option<String> {
        let exposed = aws::is_exposed(url) && !self.danger_allow_http;
        exposed.then(|| {
            format!("{url} is not encrypted and not on this machine; use https, or set danger_allow_http = true")
        })
    }

    /// An endpoint's address, if it may be used.
    fn address(&self, endpoint: &str) -> Result<Url, String> {
        let url = aws::parse_endpoint(endpoint)?;
        self.exposes(&url).map_or(Ok(url), Err)
    }

    /// How long a call is tried again.
    fn retrying(&self) -> Duration {
        Duration::from_secs(2 * self.timeout_secs)
    }

    /// How long a call may take, all attempts together.
    pub(super) fn patience(&self) -> Duration {
        // The last attempt begins after a pause, and takes its time.
        self.retrying() + Duration::from_secs(self.timeout_secs) + 2 * CONNECT
    }

    /// The bucket as a store. Credentials are looked for at the first call.
    ///
    /// # Errors
    /// [`ObjectsError`], with every fault, or if no region is known.
    pub(super) async fn bucket(&self, bucket: &str) -> Result<AmazonS3, ObjectsError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(ObjectsError::Faulty(faults.iter().map(|problem| format!("[objects] {problem}")).collect()));
        }
        let sdk = aws::config_loader(self.region.as_deref(), self.profile.as_deref()).load().await;
        let endpoint = self.endpoint.clone().or_else(|| sdk.endpoint_url().map(str::to_owned));
        let region = match (sdk.region(), &endpoint) {
            (Some(region), _) => region.to_string(),
            (None, Some(_)) => ANY_REGION.to_owned(),
            (None, None) => return Err(ObjectsError::NoRegion),
        };
        let credentials = sdk.credentials_provider().ok_or(ObjectsError::NoChain)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_credentials(Arc::new(Chain::new(credentials)))
            // Commits rest on it: `proof` shows that the server keeps it.
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig {
                backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
                max_retries: RETRIES,
                retry_timeout: self.retrying(),
            });
        let mut options =
            ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(Duration::from_secs(self.timeout_secs));
        // In a certificate a star stands for one name, and a bucket with dots is several.
        let by_default = if endpoint.is_some() || bucket.contains('.') { Addressing::Path } else { Addressing::Host };
        let addressing = self.addressing.unwrap_or(by_default);
        if let Some(endpoint) = endpoint {
            let mut url = self.address(&endpoint).map_err(|what| ObjectsError::Faulty(vec![what]))?;
            options = options.with_allow_http(url.scheme() == "http");
            if let (Addressing::Host, Some(Host::Domain(host))) = (addressing, url.host()) {
                let host = format!("{bucket}.{host}");
                let named = url.set_host(Some(&host));
                named.map_err(|error| ObjectsError::Faulty(vec![format!("endpoint of host {host}: {error}")]))?;
            }
            builder = builder.with_endpoint(url.as_str().trim_end_matches('/'));
        }
        let virtual_host = addressing == Addressing::Host;
        let builder = builder.with_virtual_hosted_style_request(virtual_host).with_client_options(options);
        builder.build().map_err(|cause| ObjectsError::Reach { what: "connect to", place: bucket.to_owned(), cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(endpoint: &str) -> Connection {
        Connection { endpoint: Some(endpoint.to_owned()), ..Connection::default() }
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        assert!(Connection::default().faults().is_empty());
        let faulty = Connection { region: Some("Ireland!".to_owned()), timeout_secs: 0, ..at("minio") };
        assert_eq!(faulty.faults().len(), 3);
    }

    #[test]
    fn an_open_connection_to_another_machine_takes_a_dangerous_word() {
        let faults = at("http://minio:9000").faults();
        assert!(faults.len() == 1 && faults[0].what.contains("danger_allow_http"), "{faults:?}");
        assert!(Connection { danger_allow_http: true, ..at("http://minio:9000") }.faults().is_empty());
    }
}
