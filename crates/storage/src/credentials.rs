//! The credential chain of the AWS SDK as a provider for the object store.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

/// Time before expiry at which credentials are renewed. Retries of a request keep its first signature, so that it must
/// stay valid for a while.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// Time for which credentials without an expiry are cached: the file that they came from may change.
const UNLIMITED_CACHE_TIME: Duration = Duration::from_secs(900);
/// Timeout for the chain, which may ask other machines.
const CHAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Provides credentials of the chain, cached until shortly before they expire.
pub(super) struct AwsCredentialChain {
    provider: SharedCredentialsProvider,
    cached: Mutex<Option<CachedCredential>>,
}

struct CachedCredential {
    credential: Arc<AwsCredential>,
    /// When they are requested again.
    renew_at: SystemTime,
    expires_at: SystemTime,
}

/// Why a request could not be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialChainError {
    #[error("find AWS credentials")]
    Credentials(#[source] aws_credential_types::provider::error::CredentialsError),
    #[error("find AWS credentials: the chain did not answer within {} s", CHAIN_TIMEOUT.as_secs())]
    TimedOut,
}

impl AwsCredentialChain {
    pub(super) fn new(provider: SharedCredentialsProvider) -> AwsCredentialChain {
        AwsCredentialChain { provider, cached: Mutex::default() }
    }

    async fn fetch_credentials(&self) -> Result<Credentials, CredentialChainError> {
        let result = tokio::time::timeout(CHAIN_TIMEOUT, self.provider.provide_credentials()).await;
        result.map_err(|_| CredentialChainError::TimedOut)?.map_err(CredentialChainError::Credentials)
    }
}

// Written by hand so that no secret is ever printed.
impl fmt::Debug for AwsCredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsCredentialChain")
    }
}

#[async_trait]
impl CredentialProvider for AwsCredentialChain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut cached = self.cached.lock().await;
        let now = SystemTime::now();
        if let Some(valid) = cached.as_ref().filter(|cached| now < cached.renew_at) {
            return Ok(Arc::clone(&valid.credential));
        }
        match self.fetch_credentials().await {
            Ok(found) => {
                let credential = Arc::new(AwsCredential {
                    key_id: found.access_key_id().to_owned(),
                    secret_key: found.secret_access_key().to_owned(),
                    token: found.session_token().map(str::to_owned),
                });
                let expires_at = found.expiry().unwrap_or(now + UNLIMITED_CACHE_TIME);
                let renew_at = expires_at.checked_sub(RENEW_BEFORE_EXPIRY).unwrap_or(now);
                *cached = Some(CachedCredential { credential: Arc::clone(&credential), renew_at, expires_at });
                Ok(credential)
            }
            // The cached credentials stay valid until they expire. The chain may have recovered by then.
            Err(error) => match cached.as_ref().filter(|cached| now < cached.expires_at) {
                Some(valid) => Ok(Arc::clone(&valid.credential)),
                None => {
                    Err(object_store::Error::Unauthenticated { path: "credentials".to_owned(), source: error.into() })
                }
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_credential_types::provider::{error::CredentialsError, future};

    use super::*;

    /// Provides `most` numbered credentials, each valid for `secs`.
    #[derive(Debug)]
    struct NumberedCredentials {
        secs: Option<u64>,
        given: AtomicU64,
        most: u64,
    }

    impl ProvideCredentials for NumberedCredentials {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.given.fetch_add(1, Ordering::Relaxed);
            if number >= self.most {
                return future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no more")));
            }
            let expires = self.secs.map(|secs| SystemTime::now() + Duration::from_secs(secs));
            let given = Credentials::new(number.to_string(), "secret", None, expires, "test");
            future::ProvideCredentials::ready(Ok(given))
        }
    }

    async fn keys(secs: Option<u64>, most: u64) -> Vec<Option<String>> {
        let chain = AwsCredentialChain::new(SharedCredentialsProvider::new(NumberedCredentials {
            secs,
            given: AtomicU64::new(0),
            most,
        }));
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(chain.get_credential().await.ok().map(|credential| credential.key_id.clone()));
        }
        keys
    }

    fn some(keys: [&str; 3]) -> Vec<Option<String>> {
        keys.map(|key| Some(key.to_owned())).into()
    }

    #[tokio::test]
    async fn credentials_are_renewed_only_shortly_before_expiry() {
        assert_eq!(keys(None, 9).await, some(["0", "0", "0"]));
        assert_eq!(keys(Some(3_600), 9).await, some(["0", "0", "0"]));
        assert_eq!(keys(Some(60), 9).await, some(["0", "1", "2"]));
    }

    #[tokio::test]
    async fn cached_credentials_are_used_until_expiry_when_renewal_fails() {
        assert_eq!(keys(Some(60), 1).await, some(["0", "0", "0"]));
        assert_eq!(keys(Some(0), 1).await, [Some("0".to_owned()), None, None]);
    }
}
