//! TLS settings: `ssl-mode` and `ssl-ca`, as in MySQL's own client.

use std::path::PathBuf;

use mysql_async::SslOpts;

/// How a connection is protected: the modes of MySQL's client (reference manual, "Command Options for Encrypted
/// Connections").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SslMode {
    Disabled,
    /// TLS if the server offers it. An attacker on the network can prevent that, or impersonate the server.
    Preferred,
    /// TLS without verification of the certificate.
    Required,
    /// TLS. The certificate must be signed by a trusted authority, for any name.
    VerifyCa,
    /// TLS. The certificate must be signed by a trusted authority, for the requested host.
    VerifyIdentity,
}

const SSL_MODE_NAMES: [(&str, SslMode); 5] = [
    ("DISABLED", SslMode::Disabled),
    ("PREFERRED", SslMode::Preferred),
    ("REQUIRED", SslMode::Required),
    ("VERIFY_CA", SslMode::VerifyCa),
    ("VERIFY_IDENTITY", SslMode::VerifyIdentity),
];

impl SslMode {
    /// Parses a name in any case, with `-` or `_`.
    pub(super) fn parse_name(name: &str) -> Option<SslMode> {
        let name = name.to_ascii_uppercase().replace('-', "_");
        SSL_MODE_NAMES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
    }

    /// The name as written in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        SSL_MODE_NAMES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| *name)
    }

    /// Whether the server's certificate is verified.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(self, SslMode::VerifyCa | SslMode::VerifyIdentity)
    }
}

/// The TLS settings of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SslSettings {
    /// The `ssl-mode`.
    pub mode: SslMode,
    /// The `ssl-ca`: a PEM file with the only authorities to trust. `None`: those of `SSL_CERT_FILE`, if that is set,
    /// and Mozilla's.
    pub authorities: Option<PathBuf>,
}

impl SslSettings {
    /// The settings for the driver. `None` is a connection without TLS.
    pub(super) fn ssl_opts(&self) -> Option<SslOpts> {
        let options = match self.mode {
            SslMode::Disabled => return None,
            SslMode::Preferred | SslMode::Required => {
                return Some(SslOpts::default().with_danger_accept_invalid_certs(true));
            }
            SslMode::VerifyCa | SslMode::VerifyIdentity => SslOpts::default(),
        };
        Some(match (&self.authorities, std::env::var_os("SSL_CERT_FILE")) {
            (Some(path), _) => options.with_root_certs(vec![path.clone().into()]).with_disable_built_in_roots(true),
            (None, Some(path)) => options.with_root_certs(vec![PathBuf::from(path).into()]),
            (None, None) => options,
        })
    }
}

/// A name in the certificate, taken from rustls's error text. `VERIFY_CA` connects under it: the driver cannot skip the
/// name check, because its own switch matches error texts that rustls no longer uses.
pub(super) fn presented_name(presented: &[String]) -> Option<String> {
    let inside = |text: &str, before: &str, after: &str| {
        Some(text.strip_prefix(before)?.strip_suffix(after)?.replacen('*', "any", 1))
    };
    presented.iter().find_map(|name| inside(name, "DnsName(\"", "\")").or_else(|| inside(name, "IpAddress(", ")")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_mode_is_parsed_in_every_spelling() {
        assert_eq!(SslMode::parse_name("REQUIRED"), Some(SslMode::Required));
        assert_eq!(SslMode::parse_name("verify-ca"), Some(SslMode::VerifyCa));
        assert_eq!(SslMode::parse_name("Verify_Identity").map(SslMode::name), Some("VERIFY_IDENTITY"));
        assert_eq!(SslMode::parse_name("on"), None);
    }

    #[test]
    fn presented_name_is_taken_from_rustls_error() {
        let names = |names: &[&str]| presented_name(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["DnsName(\"*.db.example\")"]).as_deref(), Some("any.db.example"));
        assert_eq!(names(&["DirectoryName", "IpAddress(10.0.0.1)"]).as_deref(), Some("10.0.0.1"));
        assert_eq!(names(&[]), None);
    }
}
