//! Tokens for Amazon MSK's IAM access control: a presigned `kafka-cluster:Connect` request, used as OAUTHBEARER token.
//!
//! The token format is that of `aws-msk-iam-sasl-signer`. Credentials come from the default chain of the AWS SDK:
//! environment, profile, SSO, process, web identity, container, instance. librdkafka asks for the next token after four
//! fifths of a token's lifetime, and authenticates again before the session ends, on idle connections too. So a token must
//! not outlive the credentials that signed it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::Region;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use rdkafka::client::OAuthToken;

use pinflow_aws as aws;

/// The AWS profile and region that tokens are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IamTokenSigner {
    pub(crate) region: String,
    /// A profile of the AWS configuration files; by default the one that `AWS_PROFILE` names.
    pub(crate) profile: Option<String>,
}

/// Maximum wait for credentials: a credential chain may send requests.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a token cannot be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("create a token for MSK: start a thread")]
    Thread(#[source] std::io::Error),
    #[error("create a token for MSK: panicked")]
    Panicked,
    #[error("create a token for MSK: the AWS credential chain did not answer within {} s", CREDENTIALS_TIMEOUT.as_secs())]
    TimedOut,
    #[error("create a token for MSK: the AWS credential chain is empty")]
    NoChain,
    #[error(
        "create a token for MSK: find AWS credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or \
         give the machine a role)"
    )]
    Credentials(#[source] aws_credential_types::provider::error::CredentialsError),
    #[error("create a token for MSK: the AWS credentials have expired; renew them")]
    Expired,
    #[error("create a token for MSK: sign it: {0}")]
    Sign(String),
}

impl IamTokenSigner {
    /// Creates a token that is valid as long as its signature and its credentials.
    ///
    /// Runs on its own thread and runtime, because librdkafka may call from any thread, including those of a runtime.
    /// Nothing is cached between tokens, so rotated credentials are found.
    pub(crate) fn create_token(&self) -> Result<OAuthToken, TokenError> {
        let make = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(TokenError::Thread)?;
            runtime.block_on(async {
                tokio::time::timeout(CREDENTIALS_TIMEOUT, self.sign_token()).await.unwrap_or(Err(TokenError::TimedOut))
            })
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("msk-token".to_owned()).spawn_scoped(scope, make);
            thread.map_err(TokenError::Thread)?.join().unwrap_or(Err(TokenError::Panicked))
        })
    }

    async fn sign_token(&self) -> Result<OAuthToken, TokenError> {
        let region = Region::new(self.region.clone());
        let sdk = aws::config_loader(Some(&self.region), self.profile.as_deref()).load().await;
        let chain = sdk.credentials_provider().ok_or(TokenError::NoChain)?;
        let credentials = chain.provide_credentials().await.map_err(TokenError::Credentials)?;
        let credentials_end = credentials.expiry().map(unix_millis);
        if credentials_end.is_some_and(|end| end <= unix_millis(SystemTime::now())) {
            return Err(TokenError::Expired);
        }
        let provider = SharedCredentialsProvider::new(credentials);
        let signed = aws_msk_iam_sasl_signer::generate_auth_token_from_credentials_provider(region, provider).await;
        let (token, token_end) = signed.map_err(|error| TokenError::Sign(error.to_string()))?;
        let lifetime_ms = credentials_end.map_or(token_end, |end| end.min(token_end));
        // librdkafka requires a name, but the identity is in the token.
        Ok(OAuthToken { token, principal_name: "pinflow".to_owned(), lifetime_ms })
    }
}

fn unix_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The region in a broker's host name: `….kafka.REGION.amazonaws.com`, `….kafka-serverless.REGION.amazonaws.com`.
pub(crate) fn region_from_host(host: &str) -> Option<&str> {
    let (inside, _) = host.split_once(".amazonaws.com")?;
    let (before, region) = inside.rsplit_once('.')?;
    let service = before.rsplit('.').next()?;
    ["kafka", "kafka-serverless"].contains(&service).then_some(region).filter(|region| !region.is_empty())
}

#[cfg(test)]
mod tests {
    use super::region_from_host;

    #[test]
    fn region_is_parsed_from_msk_host_name() {
        for (host, region) in [
            ("b-1.posts.ab12cd.c2.kafka.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("boot-x1y2.c1.kafka-serverless.us-east-1.amazonaws.com", Some("us-east-1")),
            ("b-2.posts.ab12cd.c3.kafka.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("b-1-public.posts.ab12cd.c2.kafka.ap-south-1.amazonaws.com", Some("ap-south-1")),
            ("ec2.eu-west-1.amazonaws.com", None),
            ("localhost", None),
            ("amazonaws.com", None),
        ] {
            assert_eq!(region_from_host(host), region, "{host}");
        }
    }
}
