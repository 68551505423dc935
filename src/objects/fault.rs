//! What can stand between us and a bucket, and what a person can do about it.

use std::error::Error;

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// What is configured cannot be meant; each fault with its mend.
    #[error("{}", .0.join("\n"))]
    Faulty(Vec<String>),
    /// Nobody says where the bucket is.
    #[error(
        "no AWS region is configured; set AWS_REGION, or write region = \"eu-west-1\" under [objects] or in the profile"
    )]
    NoRegion,
    /// The SDK was built without a chain of credentials.
    #[error("the AWS credential chain is empty")]
    NoChain,
    /// A folder of this machine that cannot be named or made.
    #[error("{what} {place}")]
    Disk {
        /// What was being done, as a verb.
        what: &'static str,
        /// The folder.
        place: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The disk that is meant to be there is not mounted.
    #[error(
        "{place} is empty, and nothing is mounted at {mount_point}, which {listed_in} lists: mount it and start again. \
         If {place} is meant to be made on the disk below, remove that entry"
    )]
    Unmounted {
        /// The folder.
        place: String,
        /// At or above it.
        mount_point: String,
        /// The file that says what is mounted there.
        listed_in: String,
    },
    /// The store does not answer as it must.
    #[error("{what} {place}: {}; {}", plain(cause), mend(cause).unwrap_or("see to the store, and start again"))]
    Reach {
        /// What was being done, as a verb.
        what: &'static str,
        /// Where.
        place: String,
        /// Why; said already.
        cause: object_store::Error,
    },
    /// Two writers would overwrite each other's commits.
    #[error(
        "{place}: its store took a second put of a file that was to be put only if it is absent (If-None-Match: * is \
         ignored), so that two writers would overwrite each other's commits; use a store with conditional writes"
    )]
    Unconditional {
        /// Where.
        place: String,
    },
}

/// The error and its causes in one line, without repeating what a cause already says; of an answer in XML only what is
/// for people.
#[must_use]
pub fn plain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    let Some(code) = tag(&text, "Code") else { return text };
    match tag(&text, "Message") {
        Some(message) => format!("the store says {code}: {message}"),
        None => format!("the store says {code}"),
    }
}

fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    Some(after.split_once("</")?.0)
}

/// What a person can do, where the error tells.
#[must_use]
pub fn mend(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        text.push_str(&cause.to_string());
        text.push('\n');
        next = cause.source();
    }
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let mends: [(&[&str], &str); 9] = [
        (&["RequestTimeTooSkewed"], "set this machine's clock"),
        (&["NoSuchBucket"], "make the bucket, or correct its name in the url"),
        (
            &["ExpiredToken", "TokenRefreshRequired", "RequestExpired"],
            "the AWS credentials have expired; renew them (aws sso login, or whoever hands them out)",
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
            "the store cannot be reached; see whether endpoint and region under [objects] are right, and whether it runs",
        ),
    ];
    mends.into_iter().find(|(words, _)| says(words)).map(|(_, mend)| mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn an_answer_in_xml_is_told_by_its_words() {
        let xml = "status 404: <?xml?><Error><Code>NoSuchBucket</Code><Message>It is gone</Message></Error>";
        assert_eq!(plain(&answer(xml)), "the store says NoSuchBucket: It is gone");
        assert_eq!(mend(&answer(xml)), Some("make the bucket, or correct its name in the url"));
        assert!(plain(&answer("torn")).contains("torn") && mend(&answer("torn")).is_none());
    }
}
