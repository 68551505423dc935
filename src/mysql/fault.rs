//! What a call that failed means.

use mysql_async::{DriverError, Error, IoError, ServerError, TlsError};
use rustls::CertificateError;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server is away, ends, or is too busy: it may pass.
    Away,
    /// The user or the password is not right.
    Denied,
    /// The user may not do this.
    Forbidden,
    /// There is no such database.
    NoDatabase,
    /// There is no such table.
    NoTable,
    /// There is no such column.
    NoColumn,
    /// TLS: not offered, demanded, or not trusted.
    Tls,
    /// Anything else.
    Other,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}{}", mend(*.kind, .what))]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: Kind,
    /// What the server or the driver says.
    pub what: String,
    /// Names that a certificate has, where the one that was asked for is not among them.
    pub(super) presented: Option<Vec<String>>,
}

impl Fault {
    /// Whether the same call may go well later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.kind == Kind::Away
    }

    /// Nothing came for too long.
    pub(super) fn silence() -> Fault {
        Fault::new(Kind::Away, "the server does not answer".to_owned())
    }

    fn new(kind: Kind, what: String) -> Fault {
        Fault { kind, what, presented: None }
    }
}

/// What an error number means (MySQL reference manual, "Server Error Message Reference"; MariaDB shares them).
fn of_number(number: u16) -> Kind {
    match number {
        // Too many connections; shutdown; network; lock waits, deadlocks; killed connections.
        1040 | 1053 | 1152..=1161 | 1203 | 1205 | 1213 | 1226 | 1317 | 1927 | 3024 | 4031 => Kind::Away,
        1045 | 1130 | 1131 | 1132 | 1133 | 1251 | 1698 | 1862 | 3118 | 4151 => Kind::Denied,
        1044 | 1142 | 1143 | 1227 | 1290 | 1836 => Kind::Forbidden,
        1049 => Kind::NoDatabase,
        1054 => Kind::NoColumn,
        1051 | 1146 => Kind::NoTable,
        3159 => Kind::Tls,
        _ => Kind::Other,
    }
}

/// What to do about it.
fn mend(kind: Kind, what: &str) -> &'static str {
    match kind {
        Kind::Denied => {
            "; the password comes from the URL, PASSWORD in the file of --creds, or MYSQL_PWD, and the account must be \
             for the host that asks"
        }
        Kind::Forbidden => "; GRANT SELECT to read, and CREATE, ALTER, INSERT, DROP and SELECT for --init-mysql",
        Kind::NoDatabase => "; CREATE DATABASE … CHARACTER SET utf8mb4 makes it",
        Kind::NoTable => "; pinflow emit --init-mysql makes the three tables",
        Kind::Tls if what.contains("insecure transport") => "; ssl-mode=REQUIRED, or PREFERRED, speaks TLS",
        Kind::Tls if what.contains("UnknownIssuer") => {
            "; name the authority that signed it with ssl-ca=FILE in the URL"
        }
        Kind::Tls if what.contains("not valid for name") => {
            "; ask for the host by a name in the certificate, or leave the name out with ssl-mode=VERIFY_CA"
        }
        Kind::Tls if what.contains("does not offer TLS") => "; only ssl-mode=DISABLED or PREFERRED connects without",
        _ => "",
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error {
            Error::Server(ServerError { code, message, .. }) => {
                Fault::new(of_number(code), format!("the server reports error {code}: {message}"))
            }
            Error::Io(IoError::Tls(TlsError::Tls(error))) => of_tls(&error),
            Error::Io(IoError::Tls(error)) => Fault::new(Kind::Tls, format!("TLS: {error}")),
            Error::Io(IoError::Io(error)) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                inner.map_or_else(|| Fault::new(Kind::Away, error.to_string()), of_tls)
            }
            Error::Driver(DriverError::NoClientSslFlagFromServer) => {
                Fault::new(Kind::Tls, "the server does not offer TLS".to_owned())
            }
            Error::Driver(DriverError::ConnectionClosed | DriverError::PoolDisconnected) => {
                Fault::new(Kind::Away, "the server closed the connection".to_owned())
            }
            // May hold a row: its kind is enough.
            Error::Driver(DriverError::FromRow { .. } | DriverError::FromValue { .. }) => {
                Fault::new(Kind::Other, "the server answers with values of another kind".to_owned())
            }
            error => Fault::new(Kind::Other, error.to_string()),
        }
    }
}

fn of_tls(error: &rustls::Error) -> Fault {
    let mut fault = Fault::new(Kind::Tls, format!("TLS: {error}"));
    if let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = error {
        fault.presented = Some(presented.clone());
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, message: &str) -> Fault {
        Error::Server(ServerError { code, message: message.to_owned(), state: "HY000".to_owned() }).into()
    }

    #[test]
    fn faults_say_what_to_do() {
        for (code, kind, mend) in [
            (1045, Kind::Denied, "MYSQL_PWD"),
            (1049, Kind::NoDatabase, "CREATE DATABASE"),
            (1146, Kind::NoTable, "--init-mysql"),
            (1142, Kind::Forbidden, "GRANT SELECT"),
            (1053, Kind::Away, ""),
            (1064, Kind::Other, ""),
        ] {
            let fault = of(code, "words of the server");
            assert!(fault.kind == kind && fault.may_pass() == (kind == Kind::Away), "{code}: {fault}");
            assert!(fault.to_string().contains("words of the server") && fault.to_string().contains(mend), "{fault}");
        }
    }

    #[test]
    fn what_rustls_says_is_found_inside_of_what_io_says() {
        let name = rustls::pki_types::ServerName::try_from("db.example").expect("a name");
        let context = CertificateError::NotValidForNameContext {
            expected: name,
            presented: vec!["DnsName(\"other.example\")".to_owned()],
        };
        let inner = rustls::Error::InvalidCertificate(context);
        let fault = Fault::from(Error::Io(IoError::Io(std::io::Error::other(inner))));
        assert!(fault.kind == Kind::Tls && fault.presented.is_some(), "{fault}");
        assert!(fault.to_string().contains("VERIFY_CA"), "{fault}");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(Fault::from(Error::Io(IoError::Io(refused))).may_pass());
    }
}
