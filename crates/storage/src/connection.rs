//! The `[objects]` table of a configuration: how buckets are reached.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use serde::Deserialize;
use url::{Host, Url};

use super::credentials::AwsCredentialChain;
use super::error::StorageError;
use pinflow_aws as aws;
use pinflow_core::key_problem::KeyProblem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The region for S3-compatible servers, which only use it as a part of the signature.
const DEFAULT_REGION: &str = "us-east-1";
/// Retries inside one call. They only bridge short faults: callers retry by themselves, and log it.
const MAX_CALL_RETRIES: usize = 4;

/// How buckets are reached.
///
/// Credentials come from the default chain of the AWS SDK: environment, profile, SSO, process, web identity, container,
/// instance. A configuration never contains them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConnection {
    /// The region of the bucket. Default: `AWS_REGION`, then the profile.
    pub region: Option<String>,
    /// A profile of the AWS configuration files. Default: `AWS_PROFILE`.
    pub profile: Option<String>,
    /// The URL of an S3-compatible server. Default: `AWS_ENDPOINT_URL`, then the profile, then Amazon S3.
    pub endpoint: Option<String>,
    /// Where a request names the bucket. Default: in the path for another endpoint, in the host for Amazon S3.
    pub addressing: Option<BucketAddressing>,
    /// Timeout of one request in seconds. It must suffice to transfer a file of 32 MiB.
    pub timeout_secs: u64,
    /// Allows an unencrypted endpoint on another machine. Anyone on the network path can then read and change the data.
    pub danger_allow_http: bool,
}

/// Where a request names the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BucketAddressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`: virtual hosts.
    Host,
}

impl Default for StorageConnection {
    fn default() -> StorageConnection {
        StorageConnection {
            region: None,
            profile: None,
            endpoint: None,
            addressing: None,
            timeout_secs: 30,
            danger_allow_http: false,
        }
    }
}

impl StorageConnection {
    /// Returns every problem with its hint.
    #[must_use]
    pub fn validate(&self) -> Vec<KeyProblem> {
        let mut problems = aws::validate_settings(self.region.as_deref(), self.endpoint.as_deref());
        if let Some(Ok(url)) = self.endpoint.as_deref().map(aws::parse_endpoint) {
            problems.extend(self.unencrypted_problem(&url).map(|what| KeyProblem::new("endpoint", what)));
        }
        if !(1..=600).contains(&self.timeout_secs) {
            problems.push(KeyProblem::range("timeout_secs", "1 to 600"));
        }
        problems
    }

    /// The problem with an address that is unencrypted and must not be.
    fn unencrypted_problem(&self, url: &Url) -> Option<String> {
        let exposed = aws::is_exposed(url) && !self.danger_allow_http;
        exposed.then(|| {
            format!("{url} is not encrypted and not on this machine; use https, or set danger_allow_http = true")
        })
    }

    /// The URL of an endpoint, if it may be used.
    fn endpoint_url(&self, endpoint: &str) -> Result<Url, String> {
        let url = aws::parse_endpoint(endpoint)?;
        self.unencrypted_problem(&url).map_or(Ok(url), Err)
    }

    /// The time after which a call is no longer retried.
    fn retry_timeout(&self) -> Duration {
        Duration::from_secs(2 * self.timeout_secs)
    }

    /// The longest that a call may take, all attempts together.
    pub(super) fn call_timeout(&self) -> Duration {
        // The last attempt may begin just before the retry timeout, and take its full timeout.
        self.retry_timeout() + Duration::from_secs(self.timeout_secs) + 2 * CONNECT_TIMEOUT
    }

    /// Opens a bucket as a store. Credentials are resolved at the first request.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] with every problem; [`StorageError::NoRegion`].
    pub(super) async fn open_bucket(&self, bucket: &str) -> Result<AmazonS3, StorageError> {
        let problems = self.validate();
        if !problems.is_empty() {
            return Err(StorageError::Invalid(problems.iter().map(|problem| format!("[objects] {problem}")).collect()));
        }
        let sdk = aws::config_loader(self.region.as_deref(), self.profile.as_deref()).load().await;
        let endpoint = self.endpoint.clone().or_else(|| sdk.endpoint_url().map(str::to_owned));
        let region = match (sdk.region(), &endpoint) {
            (Some(region), _) => region.to_string(),
            (None, Some(_)) => DEFAULT_REGION.to_owned(),
            (None, None) => return Err(StorageError::NoRegion),
        };
        let credentials = sdk.credentials_provider().ok_or(StorageError::NoCredentialChain)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_credentials(Arc::new(AwsCredentialChain::new(credentials)))
            // Commits depend on it. `conditional_put_probe` proves that the server honours it.
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig {
                backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
                max_retries: MAX_CALL_RETRIES,
                retry_timeout: self.retry_timeout(),
            });
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(Duration::from_secs(self.timeout_secs));
        // The wildcard of a certificate covers one label; a bucket name with dots has several.
        let by_default =
            if endpoint.is_some() || bucket.contains('.') { BucketAddressing::Path } else { BucketAddressing::Host };
        let addressing = self.addressing.unwrap_or(by_default);
        if let Some(endpoint) = endpoint {
            let mut url = self.endpoint_url(&endpoint).map_err(|what| StorageError::Invalid(vec![what]))?;
            options = options.with_allow_http(url.scheme() == "http");
            if let (BucketAddressing::Host, Some(Host::Domain(host))) = (addressing, url.host()) {
                let host = format!("{bucket}.{host}");
                let named = url.set_host(Some(&host));
                named.map_err(|error| StorageError::Invalid(vec![format!("endpoint of host {host}: {error}")]))?;
            }
            builder = builder.with_endpoint(url.as_str().trim_end_matches('/'));
        }
        let virtual_host = addressing == BucketAddressing::Host;
        let builder = builder.with_virtual_hosted_style_request(virtual_host).with_client_options(options);
        builder.build().map_err(|cause| StorageError::Request {
            what: "connect to",
            location: bucket.to_owned(),
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_endpoint(endpoint: &str) -> StorageConnection {
        StorageConnection { endpoint: Some(endpoint.to_owned()), ..StorageConnection::default() }
    }

    #[test]
    fn invalid_settings_are_reported() {
        assert!(StorageConnection::default().validate().is_empty());
        let faulty =
            StorageConnection { region: Some("Ireland!".to_owned()), timeout_secs: 0, ..with_endpoint("minio") };
        assert_eq!(faulty.validate().len(), 3);
    }

    #[test]
    fn unencrypted_remote_endpoint_needs_danger_allow_http() {
        let problems = with_endpoint("http://minio:9000").validate();
        assert!(problems.len() == 1 && problems[0].what.contains("danger_allow_http"), "{problems:?}");
        assert!(
            StorageConnection { danger_allow_http: true, ..with_endpoint("http://minio:9000") }.validate().is_empty()
        );
    }
}
