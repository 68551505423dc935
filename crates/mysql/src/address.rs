//! Resolves which database to connect to, and as which user.
//!
//! Each value is resolved in this order: URL, credentials file (`--creds`), environment. The environment variables are
//! those of MySQL's own client and container image: `MYSQL_HOST`, `MYSQL_TCP_PORT`, `MYSQL_USER`, `MYSQL_PWD`,
//! `MYSQL_DATABASE`.

use std::path::{Path, PathBuf};

use url::Url;

use super::credentials::{DatabaseCredentials, DatabaseCredentialsError};
use super::tls::{SslMode, SslSettings};
use pinflow_core::secret::Secret;
use pinflow_core::user_error::{ExitStatus, UserError};

const DEFAULT_PORT: u16 = 3306;

/// The schemes of database URLs. `mysql+pymysql` is SQLAlchemy's, which the posting emulator uses.
const URL_SCHEMES: [&str; 3] = ["mysql", "mysql+pymysql", "mariadb"];

/// A database, and the account to connect with.
#[allow(missing_docs)]
pub struct DatabaseAddress {
    /// Host name or IP address, without brackets.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub tls: SslSettings,
    /// Whether the password was in the URL, where other users of the machine can see it (`ps`).
    pub is_password_in_url: bool,
    pub(super) password: Option<Secret>,
}

/// Why no address could be resolved. No variant holds the URL, which may contain a password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseAddressError {
    /// The URL cannot be parsed.
    #[error(
        "the URL of the database cannot be read ({0}); write mysql://USER@HOST:PORT/DATABASE, with odd characters as %XX"
    )]
    NotUrl(url::ParseError),
    /// A part of the URL is not UTF-8 after percent-decoding. The part is named, its value is not.
    #[error("the {0} in the database URL is not UTF-8 after decoding its %XX; encode it as UTF-8")]
    NotText(&'static str),
    /// An unknown query parameter.
    #[error("the database URL has the unknown parameter `{0}`; known are ssl-mode and ssl-ca")]
    Unknown(String),
    /// An unknown `ssl-mode`.
    #[error("unknown ssl-mode; use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")]
    NoMode,
    /// `ssl-ca` with a mode that does not verify certificates.
    #[error("ssl-ca needs ssl-mode=VERIFY_CA or VERIFY_IDENTITY, not {0}; change ssl-mode, or remove ssl-ca")]
    IdleAuthority(&'static str),
    /// A required value is missing from the URL, the credentials file and the environment.
    #[error(
        "no {0} is given; write it in the database URL (mysql://USER@HOST:PORT/DATABASE), as {1} in the --creds file, or set {2}"
    )]
    Missing(&'static str, &'static str, &'static str),
    /// `MYSQL_TCP_PORT` is not a port.
    #[error("MYSQL_TCP_PORT is not a number from 1 to 65535")]
    Port,
    /// The credentials file cannot be read.
    #[error("read --creds")]
    DatabaseCredentials(#[from] DatabaseCredentialsError),
}

impl UserError for DatabaseAddressError {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

/// Whether `text` is a database URL, by its scheme.
#[must_use]
pub fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| URL_SCHEMES.contains(&scheme))
}

impl DatabaseAddress {
    /// Resolves an address from a URL, an optional credentials file and the environment.
    ///
    /// # Errors
    /// If one of them cannot be read, or a required value is missing from all of them.
    pub fn resolve_from(url: &str, creds: Option<&Path>) -> Result<DatabaseAddress, DatabaseAddressError> {
        let creds = creds.map(DatabaseCredentials::read).transpose()?.unwrap_or_default();
        DatabaseAddress::resolve(url, creds, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn resolve(
        url: &str,
        creds: DatabaseCredentials,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<DatabaseAddress, DatabaseAddressError> {
        let url = Url::parse(url).map_err(DatabaseAddressError::NotUrl)?;
        let tls = parse_ssl_settings(&url)?;
        let decoded = |what, text: &str| decode_percent(text).ok_or(DatabaseAddressError::NotText(what));
        let part = |what, text: &str| match text {
            "" => Ok(None),
            text => decoded(what, text).map(Some),
        };
        let in_url = url.password().map(|password| decoded("password", password)).transpose()?;
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()).filter(|host| !host.is_empty());
        let user = part("user", url.username())?;
        let database = part("database", url.path().trim_matches('/'))?;
        let port = match environment("MYSQL_TCP_PORT") {
            _ if url.port().or(creds.port).is_some() => None,
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0).ok_or(DatabaseAddressError::Port)?),
            None => None,
        };
        let first_given =
            |url: Option<String>, creds: Option<String>, name| url.or(creds).or_else(|| environment(name));
        Ok(DatabaseAddress {
            host: first_given(host, creds.host, "MYSQL_HOST").ok_or(DatabaseAddressError::Missing(
                "host",
                "HOST",
                "MYSQL_HOST",
            ))?,
            port: url.port().or(creds.port).or(port).unwrap_or(DEFAULT_PORT),
            user: first_given(user, creds.user, "MYSQL_USER").ok_or(DatabaseAddressError::Missing(
                "user",
                "USER",
                "MYSQL_USER",
            ))?,
            database: first_given(database, creds.database, "MYSQL_DATABASE").ok_or(DatabaseAddressError::Missing(
                "database",
                "DATABASE",
                "MYSQL_DATABASE",
            ))?,
            tls,
            is_password_in_url: in_url.is_some(),
            password: in_url.map(Secret::new).or(creds.password).or_else(|| environment("MYSQL_PWD").map(Secret::new)),
        })
    }

    /// Connects with another password.
    pub fn set_password(&mut self, password: Secret) {
        self.password = Some(password);
    }

    /// The address as a URL without the password, for messages.
    #[must_use]
    pub fn redacted_url(&self) -> String {
        let DatabaseAddress { host, port, user, database, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("mysql://{user}@{host}:{port}/{database}")
    }

    /// Whether the server is on this machine, so that the network cannot be observed.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let loopback = self.host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        self.host == "localhost" || loopback
    }
}

fn parse_ssl_settings(url: &Url) -> Result<SslSettings, DatabaseAddressError> {
    let (mut mode, mut authorities) = (None, None);
    for (name, value) in url.query_pairs() {
        match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "ssl-mode" => mode = Some(SslMode::parse_name(&value).ok_or(DatabaseAddressError::NoMode)?),
            "ssl-ca" => authorities = Some(PathBuf::from(&*value)),
            // SQLAlchemy's URLs end with it. The session always uses utf8mb4.
            "charset" if value.eq_ignore_ascii_case("utf8mb4") => {}
            _ => return Err(DatabaseAddressError::Unknown(name.into_owned())),
        }
    }
    // MySQL's client, too, verifies the certificate if an authority is given.
    let by_default = if authorities.is_some() { SslMode::VerifyCa } else { SslMode::Preferred };
    let mode = mode.unwrap_or(by_default);
    if authorities.is_some() && !mode.verifies() {
        return Err(DatabaseAddressError::IdleAuthority(mode.name()));
    }
    Ok(SslSettings { mode, authorities })
}

/// Decodes `%XX`. An incomplete escape stays as it is. `None` if the result is not UTF-8.
fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let byte = behind.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digits =
                std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
            u8::from_str_radix(digits?, 16).ok()
        });
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse_url(url: &str) -> Result<DatabaseAddress, DatabaseAddressError> {
        DatabaseAddress::resolve(url, DatabaseCredentials::default(), |_| None)
    }

    fn error_text(url: &str) -> String {
        parse_url(url).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn url_with_all_parts_is_resolved() {
        let address =
            parse_url("mysql://me%40home:p%2Fw%3A%C3%A9%@db.example.com:3307/posts?ssl-mode=REQUIRED").unwrap();
        assert_eq!(address.redacted_url(), "mysql://me@home@db.example.com:3307/posts");
        assert_eq!(address.password.as_ref().map(Secret::expose), Some("p/w:é%"));
        assert!(address.is_password_in_url && !address.is_local());
        assert_eq!(address.tls, SslSettings { mode: SslMode::Required, authorities: None });
        let address = parse_url("mysql+pymysql://me@[::1]/posts?charset=utf8mb4").unwrap();
        assert_eq!(
            (address.redacted_url().as_str(), address.tls.mode),
            ("mysql://me@[::1]:3306/posts", SslMode::Preferred)
        );
        assert!(address.is_local() && address.password.is_none());
    }

    #[test]
    fn url_overrides_file_and_file_overrides_environment() {
        let creds = || DatabaseCredentials {
            host: Some("file".to_owned()),
            user: None,
            password: Some(Secret::new("of the file".to_owned())),
            database: Some("file".to_owned()),
            port: None,
        };
        let environment = |name: &str| Some(if name == "MYSQL_TCP_PORT" { "3310" } else { "environment" }.to_owned());
        let address = DatabaseAddress::resolve("mysql://url", creds(), environment).unwrap();
        assert_eq!(address.redacted_url(), "mysql://environment@url:3310/file");
        assert_eq!(address.password.as_ref().map(Secret::expose), Some("of the file"));
        assert!(!address.is_password_in_url);
        let address = DatabaseAddress::resolve("mysql://", creds(), environment).unwrap();
        assert_eq!(address.redacted_url(), "mysql://environment@file:3310/file");
        let address = DatabaseAddress::resolve("mysql://me:@url:1/x", creds(), environment).unwrap();
        assert_eq!(address.redacted_url(), "mysql://me@url:1/x");
    }

    #[test]
    fn error_names_the_problem_without_the_password() {
        for (url, fault) in [
            ("mysql://me:canary@db:port/x", "cannot be read"),
            ("mysql://me:canary@db/x?ssl=1", "unknown parameter `ssl`"),
            ("mysql://me:canary@db/x?ssl-mode=on", "unknown ssl-mode"),
            ("mysql://me:canary@db/x?ssl-mode=REQUIRED&ssl-ca=a.pem", "not REQUIRED"),
            ("mysql://me:%FFcanary@db/x", "not UTF-8"),
            ("mysql://:canary@db/x", "no user is given"),
            ("mysql://me:canary@db", "no database is given"),
            ("mysql:///x", "no host is given"),
        ] {
            let error_text = error_text(url);
            assert!(error_text.contains(fault) && !error_text.contains("canary"), "{url}: {error_text}");
        }
        assert_eq!(
            parse_url("mysql://me@db/x?ssl-ca=a.pem").unwrap().tls.mode,
            SslMode::VerifyCa,
            "as MySQL's client has it"
        );
    }

    #[test]
    fn is_url_accepts_only_database_schemes() {
        assert!(is_url("mysql://") && is_url("mysql+pymysql://a") && is_url("mariadb://a"));
        assert!(!is_url("mysql") && !is_url("recordings") && !is_url("kafka://mysql://"));
    }
}
