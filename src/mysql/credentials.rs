//! Credentials in a file, as the original system has them: a `db_creds.yaml`.
//!
//! ```yaml
//! HOST: database.example.com
//! USER: posts
//! PASSWORD: ":t%;secret"
//! DATABASE: pinterest_data
//! PORT: 3306
//! ```
//!
//! Keys in any case, and with `RDS_`, `DB_` or `MYSQL_` before them, as they were seen in the wild. Other keys are left
//! alone: such files hold much else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::secret::{Secret, SecretError, check_private};

/// What a file says; nothing of it must be there.
#[derive(Default)]
pub(super) struct DatabaseCredentials {
    pub(super) host: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    pub(super) port: Option<u16>,
}

/// Why a file of credentials cannot be used. Nothing of what stands in it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseCredentialsError {
    /// It cannot be read, or others can read it.
    #[error(transparent)]
    Unread(#[from] SecretError),
    /// It is not what it must be.
    #[error(
        "{path}{at} is not a list of KEY: value, one a line, as YAML; put a value with odd characters in quotes",
        path = .path.display()
    )]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// Line and column, where they are known.
        at: String,
    },
    /// Two keys mean the same, and say different things.
    #[error("{path} has {what} twice, with different values", path = .path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// What is there twice.
        what: &'static str,
    },
    /// The port is none.
    #[error("{path}: PORT is not a number from 1 to 65535", path = .path.display())]
    Port {
        /// The file.
        path: PathBuf,
    },
}

/// What may stand before a key.
const KEY_PREFIXES: [&str; 3] = ["RDS_", "DB_", "MYSQL_"];

/// What each key means, without its prefix.
const KEY_MEANINGS: [(&str, &str); 9] = [
    ("HOST", "HOST"),
    ("HOSTNAME", "HOST"),
    ("USER", "USER"),
    ("USERNAME", "USER"),
    ("PASSWORD", "PASSWORD"),
    ("DATABASE", "DATABASE"),
    ("DB", "DATABASE"),
    ("NAME", "DATABASE"),
    ("PORT", "PORT"),
];

impl DatabaseCredentials {
    /// Reads a file that only its owner can read.
    pub(super) fn read(path: &Path) -> Result<DatabaseCredentials, DatabaseCredentialsError> {
        check_private(path)?;
        let failed = |cause| SecretError::Read { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        DatabaseCredentials::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<DatabaseCredentials, DatabaseCredentialsError> {
        let CredentialEntries(values) = serde_saphyr::from_str(text).map_err(|error| {
            // Its own words may hold a password.
            let at = error.location().filter(|at| at.line() > 0);
            let at = at.map_or(String::new(), |at| format!(", line {}, column {},", at.line(), at.column()));
            DatabaseCredentialsError::NotYaml { path: path.to_owned(), at }
        })?;
        let mut found: BTreeMap<&str, String> = BTreeMap::new();
        for (what, value) in values {
            if found.get(what).is_some_and(|before| *before != value) {
                return Err(DatabaseCredentialsError::Twice { path: path.to_owned(), what });
            }
            found.insert(what, value);
        }
        let port = found.remove("PORT").map(|port| {
            let port = port.parse().ok().filter(|port| *port > 0);
            port.ok_or_else(|| DatabaseCredentialsError::Port { path: path.to_owned() })
        });
        Ok(DatabaseCredentials {
            host: found.remove("HOST"),
            user: found.remove("USER"),
            password: found.remove("PASSWORD").map(Secret::new),
            database: found.remove("DATABASE"),
            port: port.transpose()?,
        })
    }
}

fn meaning_of_key(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_uppercase();
    let plain = KEY_PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(&key);
    KEY_MEANINGS.iter().find(|(name, _)| *name == plain).map(|(_, what)| *what)
}

/// What is said of those things that matter, with what it means. Whatever else stands there is left alone.
struct CredentialEntries(Vec<(&'static str, String)>);

impl<'de> Deserialize<'de> for CredentialEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CredentialEntries, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = CredentialEntries;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("keys with values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CredentialEntries, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    match meaning_of_key(&key) {
                        Some(what) => {
                            let value = map.next_value::<Option<PlainScalar>>()?;
                            entries.extend(value.map(|PlainScalar(text)| (what, text)));
                        }
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(CredentialEntries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// A value as it is written: a password of digits stays a text.
struct PlainScalar(String);

impl<'de> Deserialize<'de> for PlainScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PlainScalar, D::Error> {
        struct PlainScalarVisitor;
        impl Visitor<'_> for PlainScalarVisitor {
            type Value = PlainScalar;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<PlainScalar, E> {
                Ok(PlainScalar(text.to_owned()))
            }
        }
        deserializer.deserialize_str(PlainScalarVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseCredentials, DatabaseCredentialsError> {
        DatabaseCredentials::parse(text, Path::new("db_creds.yaml"))
    }

    #[test]
    fn every_spelling_of_the_original_is_read() {
        for text in [
            "HOST: db.example.com\nUSER: posts\nPASSWORD: :t%;canary\nDATABASE: pinterest_data\nPORT: 3307\n",
            "RDS_HOST: db.example.com\nRDS_USER: posts\nRDS_PASSWORD: ':t%;canary'\nRDS_DATABASE: pinterest_data\nRDS_PORT: '3307'\n",
            "host: db.example.com\nuser: posts\npassword: \":t%;canary\"\ndatabase: pinterest_data\nport: 3307\nDATABASE_TYPE: mysql\n",
            "---\ndb_host: db.example.com # ours\nDb_User: posts\ndb_password: :t%;canary\ndb_name: pinterest_data\nport: 3307\n",
        ] {
            let creds = parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(creds.host.as_deref(), Some("db.example.com"), "{text}");
            assert_eq!(creds.user.as_deref(), Some("posts"), "{text}");
            assert_eq!(creds.password.as_ref().map(Secret::expose), Some(":t%;canary"), "{text}");
            assert_eq!((creds.database.as_deref(), creds.port), (Some("pinterest_data"), Some(3307)), "{text}");
        }
    }

    #[test]
    fn passwords_that_look_like_something_else_stay_as_they_are() {
        for password in ["0123", "1e5", "true", "null2", "12:30", "0x1F", "1_000", "yes"] {
            let creds = parse(&format!("PASSWORD: {password}\n")).unwrap_or_else(|error| panic!("{error}: {password}"));
            assert_eq!(creds.password.as_ref().map(Secret::expose), Some(password));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, entries) in [
            ("PASSWORD: [canary\n", "db_creds.yaml, line"),
            ("- canary\n", "db_creds.yaml"),
            ("HOST: a\nPASSWORD: [canary]\n", "db_creds.yaml, line 2"),
            ("PORT: canary\n", "PORT is not a number"),
            ("PORT: 0\n", "PORT is not a number"),
            ("PASSWORD: canary\nRDS_PASSWORD: canary2\n", "has PASSWORD twice"),
        ] {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text} is refused")).to_string();
            assert!(error.contains(entries) && !error.contains("canary"), "{text}: {error}");
        }
        assert!(parse("aws:\n  key: [1]\nHOST: a\n").is_ok_and(|creds| creds.host.is_some()), "others are left alone");
    }
}
