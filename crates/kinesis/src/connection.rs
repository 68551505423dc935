//! The configuration of a Kinesis connection: credentials profile, region, endpoint.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::retry::RetryConfig;
use serde::Deserialize;

use pinflow_aws as aws;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::user_error::{ExitStatus, UserError};

/// Timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a response, long enough for 10 MiB over a slow connection.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// How to connect to Kinesis.
///
/// Credentials come from the default chain of the AWS SDK: environment, profile, SSO, process, web identity, container,
/// instance. They are never in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KinesisConnection {
    /// The AWS region; by default `AWS_REGION` or that of the profile.
    pub region: Option<String>,
    /// A profile of the AWS configuration files; by default the one that `AWS_PROFILE` names.
    pub profile: Option<String>,
    /// A URL that replaces Amazon's endpoint, for an interface endpoint or a test server.
    pub endpoint: Option<String>,
}

/// Why a connection cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum KinesisConnectionError {
    /// The configuration is invalid: one text for each problem, with a hint.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// The region is unknown.
    #[error(
        "no AWS region is configured; set AWS_REGION, or write region = \"eu-west-1\" in the configuration or the profile"
    )]
    NoRegion,
}

impl UserError for KinesisConnectionError {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

impl KinesisConnection {
    /// Returns every problem with a hint.
    #[must_use]
    pub fn validate(&self) -> Vec<KeyProblem> {
        aws::validate_settings(self.region.as_deref(), self.endpoint.as_deref())
    }

    /// Returns warnings about settings that work but are unsafe.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let url = self.endpoint.as_deref().and_then(|endpoint| aws::parse_endpoint(endpoint).ok());
        let exposed = url
            .filter(aws::is_exposed)
            .map(|url| format!("the connection to {url} is not encrypted: others can read the records; use https"));
        exposed.into_iter().collect()
    }

    /// Loads the SDK configuration. Credentials are resolved at the first call.
    ///
    /// # Errors
    /// [`KinesisConnectionError`] with every problem, or if the region is unknown.
    pub async fn load_sdk_config(&self) -> Result<SdkConfig, KinesisConnectionError> {
        let problems = self.validate();
        if !problems.is_empty() {
            return Err(KinesisConnectionError::Invalid(KeyProblem::texts(&problems)));
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(RESPONSE_TIMEOUT)
            .build();
        let mut loader = aws::config_loader(self.region.as_deref(), self.profile.as_deref())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() { Err(KinesisConnectionError::NoRegion) } else { Ok(config) }
    }

    /// The endpoint or region, for messages.
    #[must_use]
    pub fn display_name(&self) -> String {
        match (&self.endpoint, &self.region) {
            (Some(endpoint), _) => format!("kinesis at {endpoint}"),
            (None, Some(region)) => format!("kinesis in {region}"),
            (None, None) => "kinesis".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_endpoint(endpoint: &str) -> KinesisConnection {
        KinesisConnection { endpoint: Some(endpoint.to_owned()), ..KinesisConnection::default() }
    }

    #[test]
    fn unencrypted_connection_to_another_machine_warns() {
        for (endpoint, warns) in
            [("http://127.0.0.1:1", false), ("http://localhost:1", false), ("https://x", false), ("http://x", true)]
        {
            assert_eq!(!with_endpoint(endpoint).warnings().is_empty(), warns, "{endpoint}");
        }
    }
}
