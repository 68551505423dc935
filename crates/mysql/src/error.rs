//! Classifies errors of the server and the driver, and names the remedy.

use mysql_async::{DriverError, Error, IoError, ServerError, TlsError};
use rustls::CertificateError;

/// Classes of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MySqlErrorKind {
    /// The server is unreachable, shutting down or overloaded. A retry can succeed.
    Unavailable,
    /// User or password are wrong, or the host is not allowed.
    Denied,
    /// The account lacks a privilege.
    Forbidden,
    NoDatabase,
    NoTable,
    NoColumn,
    /// The server or the transaction is read-only.
    ReadOnly,
    /// The disk or the table space is full.
    Full,
    /// TLS is not offered, is required, or the certificate is not trusted.
    Tls,
    Other,
}

/// An error of the server or the driver, displayed with its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{what}{}", error_hint(*.kind, .what))]
#[allow(missing_docs)]
pub struct MySqlError {
    pub kind: MySqlErrorKind,
    /// The message of the server or the driver.
    pub what: String,
    /// The names in the certificate, if the requested one is not among them.
    pub(super) presented: Option<Vec<String>>,
}

impl MySqlError {
    /// Whether a retry can succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.kind == MySqlErrorKind::Unavailable
    }

    /// The server did not respond in time.
    pub(super) fn no_response() -> MySqlError {
        MySqlError::new(MySqlErrorKind::Unavailable, "the server does not answer".to_owned())
    }

    fn new(kind: MySqlErrorKind, what: String) -> MySqlError {
        MySqlError { kind, what, presented: None }
    }
}

/// The class of an error code (MySQL reference manual, "Server Error Message Reference"). MariaDB shares the codes.
fn kind_of_code(number: u16) -> MySqlErrorKind {
    match number {
        // Too many connections; shutdown; network; lock waits, deadlocks; killed connections.
        1040 | 1053 | 1152..=1161 | 1203 | 1205 | 1213 | 1226 | 1317 | 1927 | 3024 | 4031 => {
            MySqlErrorKind::Unavailable
        }
        1045 | 1130 | 1131 | 1132 | 1133 | 1251 | 1698 | 1862 | 3118 | 4151 => MySqlErrorKind::Denied,
        1044 | 1142 | 1143 | 1227 => MySqlErrorKind::Forbidden,
        1049 => MySqlErrorKind::NoDatabase,
        1054 => MySqlErrorKind::NoColumn,
        1051 | 1146 => MySqlErrorKind::NoTable,
        1290 | 1792 | 1836 => MySqlErrorKind::ReadOnly,
        1021 | 1114 => MySqlErrorKind::Full,
        3159 => MySqlErrorKind::Tls,
        _ => MySqlErrorKind::Other,
    }
}

/// The remedy, appended to the message.
fn error_hint(kind: MySqlErrorKind, what: &str) -> &'static str {
    match kind {
        MySqlErrorKind::Denied => {
            "; the password comes from the URL, PASSWORD in the file of --creds, or MYSQL_PWD, and the account must be \
             for the host that asks"
        }
        MySqlErrorKind::Forbidden => {
            "; GRANT SELECT to read, and CREATE, ALTER, INSERT, DROP and SELECT for --init-mysql"
        }
        MySqlErrorKind::NoDatabase => "; CREATE DATABASE … CHARACTER SET utf8mb4 makes it",
        MySqlErrorKind::NoTable => "; pinflow emit --init-mysql makes the three tables",
        MySqlErrorKind::ReadOnly => "; name the primary server",
        MySqlErrorKind::Full => "; free space on the server's disk",
        MySqlErrorKind::Tls if what.contains("insecure transport") => "; ssl-mode=REQUIRED, or PREFERRED, speaks TLS",
        MySqlErrorKind::Tls if what.contains("UnknownIssuer") => {
            "; name the authority that signed it with ssl-ca=FILE in the URL"
        }
        MySqlErrorKind::Tls if what.contains("not valid for name") => {
            "; ask for the host by a name in the certificate, or leave the name out with ssl-mode=VERIFY_CA"
        }
        MySqlErrorKind::Tls if what.contains("does not offer TLS") => {
            "; only ssl-mode=DISABLED or PREFERRED connects without"
        }
        _ => "",
    }
}

impl From<Error> for MySqlError {
    fn from(error: Error) -> MySqlError {
        match error {
            Error::Server(ServerError { code, message, .. }) => {
                MySqlError::new(kind_of_code(code), format!("the server reports error {code}: {message}"))
            }
            Error::Io(IoError::Tls(TlsError::Tls(error))) => from_tls_error(&error),
            Error::Io(IoError::Tls(error)) => MySqlError::new(MySqlErrorKind::Tls, format!("TLS: {error}")),
            Error::Io(IoError::Io(error)) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                inner.map_or_else(|| MySqlError::new(MySqlErrorKind::Unavailable, error.to_string()), from_tls_error)
            }
            Error::Driver(DriverError::NoClientSslFlagFromServer) => {
                MySqlError::new(MySqlErrorKind::Tls, "the server does not offer TLS".to_owned())
            }
            Error::Driver(DriverError::ConnectionClosed | DriverError::PoolDisconnected) => {
                MySqlError::new(MySqlErrorKind::Unavailable, "the server closed the connection".to_owned())
            }
            // Its text may contain the values of a row.
            Error::Driver(DriverError::FromRow { .. } | DriverError::FromValue { .. }) => {
                MySqlError::new(MySqlErrorKind::Other, "the server answers with values of another kind".to_owned())
            }
            error => MySqlError::new(MySqlErrorKind::Other, error.to_string()),
        }
    }
}

fn from_tls_error(error: &rustls::Error) -> MySqlError {
    let mut mysql_error = MySqlError::new(MySqlErrorKind::Tls, format!("TLS: {error}"));
    if let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = error {
        mysql_error.presented = Some(presented.clone());
    }
    mysql_error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_from_code(code: u16, message: &str) -> MySqlError {
        Error::Server(ServerError { code, message: message.to_owned(), state: "HY000".to_owned() }).into()
    }

    #[test]
    fn server_error_is_classified_with_its_remedy() {
        for (code, kind, remedy) in [
            (1045, MySqlErrorKind::Denied, "MYSQL_PWD"),
            (1049, MySqlErrorKind::NoDatabase, "CREATE DATABASE"),
            (1146, MySqlErrorKind::NoTable, "--init-mysql"),
            (1142, MySqlErrorKind::Forbidden, "GRANT SELECT"),
            (1290, MySqlErrorKind::ReadOnly, "primary"),
            (1114, MySqlErrorKind::Full, "free space"),
            (1053, MySqlErrorKind::Unavailable, ""),
            (1064, MySqlErrorKind::Other, ""),
        ] {
            let mysql_error = error_from_code(code, "words of the server");
            assert!(
                mysql_error.kind == kind && mysql_error.may_pass() == (kind == MySqlErrorKind::Unavailable),
                "{code}: {mysql_error}"
            );
            assert!(
                mysql_error.to_string().contains("words of the server") && mysql_error.to_string().contains(remedy),
                "{mysql_error}"
            );
        }
    }

    #[test]
    fn tls_error_inside_an_io_error_is_recognised() {
        let name = rustls::pki_types::ServerName::try_from("db.example").expect("a name");
        let context = CertificateError::NotValidForNameContext {
            expected: name,
            presented: vec!["DnsName(\"other.example\")".to_owned()],
        };
        let inner = rustls::Error::InvalidCertificate(context);
        let mysql_error = MySqlError::from(Error::Io(IoError::Io(std::io::Error::other(inner))));
        assert!(mysql_error.kind == MySqlErrorKind::Tls && mysql_error.presented.is_some(), "{mysql_error}");
        assert!(mysql_error.to_string().contains("VERIFY_CA"), "{mysql_error}");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(MySqlError::from(Error::Io(IoError::Io(refused))).may_pass());
    }
}
