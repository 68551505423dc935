//! What the HTTP clients of pinflow share: reading trusted certificate authorities, and which servers may get a token.

use std::path::{Path, PathBuf};

use pinflow_core::user_error::{ExitStatus, UsageError, UserError};
use reqwest::{Certificate, Url};

/// Why the file of `--ca` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// The file cannot be read.
    #[error("read --ca {}", path.display())]
    Read {
        #[allow(missing_docs)]
        path: PathBuf,
        #[allow(missing_docs)]
        #[source]
        cause: std::io::Error,
    },
    /// The file is not in PEM format.
    #[error("parse --ca {}", path.display())]
    Parse {
        #[allow(missing_docs)]
        path: PathBuf,
        #[allow(missing_docs)]
        #[source]
        cause: reqwest::Error,
    },
    /// The file has no certificate, for example because it is a key.
    #[error("--ca {} holds no certificate; name a file in PEM format", .0.display())]
    NoCertificate(PathBuf),
}

impl UserError for CaFileError {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

/// Reads the certificate authorities that a client trusts in addition to those of the system, from a PEM file.
///
/// # Errors
/// If the file cannot be read, is not PEM, or has no certificate.
pub fn read_ca_certificates(path: &Path) -> Result<Vec<Certificate>, CaFileError> {
    let pem = std::fs::read(path).map_err(|cause| CaFileError::Read { path: path.to_owned(), cause })?;
    let certificates = Certificate::from_pem_bundle(&pem);
    let certificates = certificates.map_err(|cause| CaFileError::Parse { path: path.to_owned(), cause })?;
    if certificates.is_empty() {
        return Err(CaFileError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

/// Checks that a token is sent over TLS, or does not leave this machine.
///
/// # Errors
/// If the URL is that of another machine without TLS.
pub fn check_token_transport(url: &Url) -> Result<(), UsageError> {
    if url.scheme() == "https" || is_loopback(url) {
        return Ok(());
    }
    Err(UsageError::new(format!("the token would be sent to {url} unencrypted; use https")))
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        // IPv6 addresses are written in brackets.
        Some(host) => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            address.is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn token_needs_tls_except_on_this_machine() {
        for (url, is_allowed) in [
            ("https://example.com", true),
            ("http://localhost:7461", true),
            ("http://127.0.0.1:7461", true),
            ("http://[::1]:7461", true),
            ("http://example.com", false),
            ("http://10.0.0.1", false),
            ("http://[2001:db8::1]", false),
        ] {
            assert_eq!(check_token_transport(&url.parse().unwrap()).is_ok(), is_allowed, "{url}");
        }
    }

    #[test]
    fn ca_file_without_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(read_ca_certificates(&path), Err(CaFileError::Read { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(read_ca_certificates(&path), Err(CaFileError::NoCertificate(_))));
    }
}
