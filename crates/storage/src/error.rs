//! Errors of storage, and a hint for each that a user can act on.

use std::error::Error;

use pinflow_core::user_error::{ExitStatus, UserError};
/// Why a location cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The configuration is invalid: each problem with its hint.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// No AWS region is configured.
    #[error(
        "no AWS region is configured; set AWS_REGION, or write region = \"eu-west-1\" under [objects] or in the profile"
    )]
    NoRegion,
    /// The SDK has no credential provider.
    #[error("the AWS credential chain is empty")]
    NoCredentialChain,
    /// The local folder that a user named does not exist.
    #[error("find {location}")]
    NotFound {
        /// The folder.
        location: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A local folder cannot be found, resolved or created.
    #[error("{what} {location}")]
    Disk {
        /// The operation, as a verb.
        what: &'static str,
        /// The folder.
        location: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The disk of the folder is not mounted.
    #[error(
        "{location} is empty, and nothing is mounted at {mount_point}, which {listed_in} lists: mount it and start again. \
         If {location} is meant to be made on the disk below, remove that entry"
    )]
    Unmounted {
        /// The folder.
        location: String,
        /// A mount point at or above the folder.
        mount_point: String,
        /// The file that lists the mount point.
        listed_in: String,
    },
    /// A request to the store failed.
    #[error("{what} {location}: {}; {}", error_summary(cause), hint(cause).unwrap_or("check the store, and start again"))]
    Request {
        /// The operation, as a verb.
        what: &'static str,
        /// Where.
        location: String,
        /// Why. Part of the message already, so not a `source`.
        cause: object_store::Error,
    },
    /// The store ignores conditional puts, so that two writers would overwrite each other's commits.
    #[error(
        "{location}: its store took a second put of a file that was to be put only if it is absent (If-None-Match: * is \
         ignored), so that two writers would overwrite each other's commits; use a store with conditional writes"
    )]
    NoConditionalPut {
        /// Where.
        location: String,
    },
}

impl UserError for StorageError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            StorageError::Invalid(_) | StorageError::NoRegion | StorageError::NotFound { .. } => ExitStatus::BadUsage,
            _ => ExitStatus::Failed,
        }
    }
}

/// The error and its causes in one line. A cause whose text is already there is not repeated. Of an XML response only
/// the code and the message are kept.
#[must_use]
pub fn error_summary(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    let Some(code) = xml_tag(&text, "Code") else { return text };
    match xml_tag(&text, "Message") {
        Some(message) => format!("the store says {code}: {message}"),
        None => format!("the store says {code}"),
    }
}

fn xml_tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    Some(after.split_once("</")?.0)
}

/// What the user can do about the error; `None` if it is not one of the known ones.
#[must_use]
pub fn hint(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        text.push_str(&cause.to_string());
        text.push('\n');
        next = cause.source();
    }
    let contains_any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let hints: [(&[&str], &str); 9] = [
        (&["RequestTimeTooSkewed"], "set this machine's clock"),
        (&["NoSuchBucket"], "create the bucket, or correct its name in the url"),
        (
            &["ExpiredToken", "TokenRefreshRequired", "RequestExpired"],
            "the AWS credentials have expired; renew them (aws sso login, or where you got them)",
        ),
        (
            &["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"],
            "the AWS credentials are not those of this store; correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
        ),
        (
            &["find AWS credentials"],
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role",
        ),
        (
            &["AccessDenied", "AllAccessDisabled", "403 Forbidden"],
            "allow s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject under the prefix",
        ),
        (
            &[
                "PermanentRedirect",
                "AuthorizationHeaderMalformed",
                "IllegalLocationConstraint",
                "incorrectly configured region",
                "301 Moved",
                "307 Temporary",
            ],
            "the bucket is in another region, or behind another endpoint; correct region or endpoint under [objects]",
        ),
        (
            &["certificate", "UnknownIssuer", "CertificateUnknown"],
            "the store's certificate is not trusted; name its authority in SSL_CERT_FILE, or correct the endpoint's host",
        ),
        (
            &["tcp connect", "dns error", "Connection refused", "error sending request", "timed out"],
            "the store cannot be reached; check that it is running, and endpoint and region under [objects]",
        ),
    ];
    hints.into_iter().find(|(words, _)| contains_any(words)).map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_error(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn error_in_xml_is_summarised_by_code_and_message() {
        let xml = "status 404: <?xml?><Error><Code>NoSuchBucket</Code><Message>It is gone</Message></Error>";
        assert_eq!(error_summary(&store_error(xml)), "the store says NoSuchBucket: It is gone");
        assert_eq!(hint(&store_error(xml)), Some("create the bucket, or correct its name in the url"));
        assert!(error_summary(&store_error("torn")).contains("torn") && hint(&store_error("torn")).is_none());
    }
}
