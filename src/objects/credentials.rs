//! The AWS SDK's credential chain as the object store asks for it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

/// Credentials are renewed this long before they expire: a request that is tried again is not signed anew.
const EARLY: Duration = Duration::from_secs(300);
/// Credentials that name no end may still be changed, in the file that they were read from.
const UNENDING: Duration = Duration::from_secs(900);
/// Longest wait for credentials: a credential chain asks other machines.
const PATIENCE: Duration = Duration::from_secs(30);

/// Credentials of the chain, kept until shortly before they expire.
pub(super) struct Chain {
    provider: SharedCredentialsProvider,
    held: Mutex<Option<Held>>,
}

struct Held {
    credential: Arc<AwsCredential>,
    /// When they are asked for anew.
    renew: SystemTime,
    /// When they are worth nothing.
    expires: SystemTime,
}

/// Why a request could not be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainError {
    #[error("find AWS credentials")]
    Credentials(#[source] aws_credential_types::provider::error::CredentialsError),
    #[error("find AWS credentials: the chain did not answer within {} s", PATIENCE.as_secs())]
    TimedOut,
}

impl Chain {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Chain {
        Chain { provider, held: Mutex::default() }
    }

    async fn ask(&self) -> Result<Credentials, ChainError> {
        let asked = tokio::time::timeout(PATIENCE, self.provider.provide_credentials()).await;
        asked.map_err(|_| ChainError::TimedOut)?.map_err(ChainError::Credentials)
    }
}

/// Nothing of them is ever shown.
impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain")
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut held = self.held.lock().await;
        let now = SystemTime::now();
        if let Some(held) = held.as_ref().filter(|held| now < held.renew) {
            return Ok(Arc::clone(&held.credential));
        }
        match self.ask().await {
            Ok(found) => {
                let credential = Arc::new(AwsCredential {
                    key_id: found.access_key_id().to_owned(),
                    secret_key: found.secret_access_key().to_owned(),
                    token: found.session_token().map(str::to_owned),
                });
                let expires = found.expiry().unwrap_or(now + UNENDING);
                let renew = expires.checked_sub(EARLY).unwrap_or(now);
                *held = Some(Held { credential: Arc::clone(&credential), renew, expires });
                Ok(credential)
            }
            // What is held is good for a while; whoever renews it may be back by then.
            Err(fault) => match held.as_ref().filter(|held| now < held.expires) {
                Some(held) => Ok(Arc::clone(&held.credential)),
                None => {
                    Err(object_store::Error::Unauthenticated { path: "credentials".to_owned(), source: fault.into() })
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

    /// Gives out numbered credentials that last for some seconds, until it has none.
    #[derive(Debug)]
    struct Numbered {
        secs: Option<u64>,
        given: AtomicU64,
        most: u64,
    }

    impl ProvideCredentials for Numbered {
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
        let chain = Chain::new(SharedCredentialsProvider::new(Numbered { secs, given: AtomicU64::new(0), most }));
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
    async fn they_are_renewed_before_they_expire_and_not_sooner() {
        assert_eq!(keys(None, 9).await, some(["0", "0", "0"]));
        assert_eq!(keys(Some(3_600), 9).await, some(["0", "0", "0"]));
        assert_eq!(keys(Some(60), 9).await, some(["0", "1", "2"]));
    }

    #[tokio::test]
    async fn what_is_held_serves_until_it_expires() {
        assert_eq!(keys(Some(60), 1).await, some(["0", "0", "0"]));
        assert_eq!(keys(Some(0), 1).await, [Some("0".to_owned()), None, None]);
    }
}
