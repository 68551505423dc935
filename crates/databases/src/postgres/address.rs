//! Where to connect and as whom: a URL, then the environment variables of libpq.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use pinflow_core::secret::Secret;
use url::Url;

use crate::error::DatabaseError;

const DEFAULT_PORT: u16 = 5432;

/// How a connection is protected: the modes of libpq ("SSL Support" in its manual).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PostgresSslMode {
    Disable,
    /// TLS if the server offers it. An attacker on the network can prevent that, or impersonate the server.
    Prefer,
    /// TLS without verification of the certificate.
    Require,
    /// TLS. The certificate must be signed by a trusted authority, for any name.
    VerifyCa,
    /// TLS. The certificate must be signed by a trusted authority, for the requested host.
    VerifyFull,
}

const SSL_MODES: [(&str, PostgresSslMode); 5] = [
    ("disable", PostgresSslMode::Disable),
    ("prefer", PostgresSslMode::Prefer),
    ("require", PostgresSslMode::Require),
    ("verify-ca", PostgresSslMode::VerifyCa),
    ("verify-full", PostgresSslMode::VerifyFull),
];

impl PostgresSslMode {
    /// Whether the server's certificate is verified.
    pub(crate) fn verifies(self) -> bool {
        matches!(self, PostgresSslMode::VerifyCa | PostgresSslMode::VerifyFull)
    }
}

/// A database of PostgreSQL, and the account to connect with.
pub(crate) struct PostgresAddress {
    /// Host name or IP address without brackets, or the folder of a Unix socket.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) ssl_mode: PostgresSslMode,
    /// A PEM file with the only authorities to trust. `None`: those of `SSL_CERT_FILE`, if that is set, and Mozilla's.
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) password: Option<Secret>,
    pub(crate) is_password_in_url: bool,
}

/// The parameters of a URL.
#[derive(Default)]
struct UrlParameters {
    ssl_mode: Option<PostgresSslMode>,
    authorities: Option<String>,
    host: Option<String>,
}

impl PostgresAddress {
    /// Resolves an address from a URL and the variables `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`. Paths are
    /// relative to `base`.
    ///
    /// # Errors
    /// What is wrong with the URL or missing. The text does not contain the URL, which may have a password.
    pub(crate) fn resolve(
        url: &str,
        base: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<PostgresAddress, DatabaseError> {
        let refused = |what: String| DatabaseError::settings(what);
        let form = "write postgres://USER@HOST:PORT/DATABASE, with odd characters as %XX";
        let url = Url::parse(url).map_err(|error| refused(format!("the URL cannot be read ({error}); {form}")))?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err(refused(format!("the URL does not begin with postgres://; {form}")));
        }
        let decoded = |what: &str, text: &str| match text {
            "" => Ok(None),
            text => match percent_decode_str(text).decode_utf8() {
                Ok(text) => Ok(Some(text.into_owned())),
                Err(_) => Err(refused(format!("the {what} in the URL is not UTF-8 after decoding its %XX"))),
            },
        };
        let parameters = read_parameters(&url)?;
        let host = decoded("host", url.host_str().unwrap_or_default().trim_matches(['[', ']']))?;
        let user = decoded("user", url.username())?;
        let password = decoded("password", url.password().unwrap_or_default())?;
        let database = decoded("database", url.path().trim_matches('/'))?;
        let first_given = |url: Option<String>, what: &str, name: &str| {
            let missing = || refused(format!("no {what} is given; write it in the URL, or set {name}"));
            url.or_else(|| environment(name)).ok_or_else(missing)
        };
        let user = first_given(user, "user", "PGUSER")?;
        let port = match (url.port(), environment("PGPORT")) {
            (Some(port), _) => port,
            (None, Some(port)) => port.parse().unwrap_or(DEFAULT_PORT),
            (None, None) => DEFAULT_PORT,
        };
        let by_default =
            if parameters.authorities.is_some() { PostgresSslMode::VerifyFull } else { PostgresSslMode::Prefer };
        let ssl_mode = parameters.ssl_mode.unwrap_or(by_default);
        if parameters.authorities.is_some() && !ssl_mode.verifies() {
            let what = "sslrootcert needs sslmode=verify-ca or verify-full; change sslmode, or remove sslrootcert";
            return Err(refused(what.to_owned()));
        }
        Ok(PostgresAddress {
            host: first_given(parameters.host.or(host), "host", "PGHOST")?,
            port,
            // As libpq does.
            database: database.or_else(|| environment("PGDATABASE")).unwrap_or_else(|| user.clone()),
            user,
            ssl_mode,
            authorities: parameters.authorities.map(|path| base.join(path)),
            is_password_in_url: password.is_some(),
            password: password.or_else(|| environment("PGPASSWORD")).map(Secret::new),
        })
    }

    /// The address as a URL without the password, for messages.
    pub(crate) fn redacted_url(&self) -> String {
        let PostgresAddress { host, port, user, database, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("postgres://{user}@{host}:{port}/{database}")
    }

    /// Whether the host is the folder of a Unix socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

fn read_parameters(url: &Url) -> Result<UrlParameters, DatabaseError> {
    let mut parameters = UrlParameters::default();
    for (name, value) in url.query_pairs() {
        match &*name {
            "sslmode" => {
                let mode = SSL_MODES.iter().find(|(known, _)| *known == value).map(|(_, mode)| *mode);
                let unknown = "unknown sslmode; use disable, prefer, require, verify-ca or verify-full";
                parameters.ssl_mode = Some(mode.ok_or_else(|| DatabaseError::settings(unknown))?);
            }
            "sslrootcert" => parameters.authorities = Some(value.into_owned()),
            "host" => parameters.host = Some(value.into_owned()),
            _ => {
                let what =
                    format!("the URL has the unknown parameter `{name}`; known are sslmode, sslrootcert and host");
                return Err(DatabaseError::settings(what));
            }
        }
    }
    Ok(parameters)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resolve(url: &str) -> Result<PostgresAddress, DatabaseError> {
        PostgresAddress::resolve(url, Path::new("/base"), |_| None)
    }

    #[test]
    fn url_with_all_parts_is_resolved() {
        let address = resolve("postgres://me%40home:p%2Fw@db.example.com:5433/posts?sslmode=require").unwrap();
        assert_eq!(address.redacted_url(), "postgres://me@home@db.example.com:5433/posts");
        assert_eq!(address.password.as_ref().map(Secret::expose), Some("p/w"));
        assert!(address.is_password_in_url && address.ssl_mode == PostgresSslMode::Require);
        let address = resolve("postgresql://me@[::1]/?sslrootcert=ca.pem").unwrap();
        assert_eq!(address.redacted_url(), "postgres://me@[::1]:5432/me");
        assert_eq!(address.authorities, Some(PathBuf::from("/base/ca.pem")));
        assert_eq!(address.ssl_mode, PostgresSslMode::VerifyFull);
        let socket = resolve("postgres://me@localhost/posts?host=/run/postgresql").unwrap();
        assert!(socket.is_socket() && socket.database == "posts");
    }

    #[test]
    fn environment_follows_the_url() {
        let environment = |name: &str| Some(if name == "PGPORT" { "5434" } else { "environment" }.to_owned());
        let address = PostgresAddress::resolve("postgres://url", Path::new(""), environment).unwrap();
        assert_eq!(address.redacted_url(), "postgres://environment@url:5434/environment");
        assert!(!address.is_password_in_url && address.password.is_some());
    }

    #[test]
    fn error_names_the_problem_without_the_password() {
        for (url, fault) in [
            ("postgres://me:canary@db:port/x", "cannot be read"),
            ("mysql://me:canary@db/x", "postgres://"),
            ("postgres://me:canary@db/x?ssl=1", "unknown parameter `ssl`"),
            ("postgres://me:canary@db/x?sslmode=on", "unknown sslmode"),
            ("postgres://me:canary@db/x?sslmode=require&sslrootcert=a.pem", "verify-full"),
            ("postgres://me:%FFcanary@db/x", "not UTF-8"),
            ("postgres://:canary@db/x", "no user is given"),
        ] {
            let error = resolve(url).err().unwrap().to_string();
            assert!(error.contains(fault) && !error.contains("canary"), "{url}: {error}");
        }
    }
}
