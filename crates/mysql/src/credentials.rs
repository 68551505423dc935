//! Reads a credentials file: `db_creds.yaml`, as the posting emulator has it.
//!
//! ```yaml
//! HOST: database.example.com
//! USER: posts
//! PASSWORD: ":t%;secret"
//! DATABASE: pinterest_data
//! PORT: 3306
//! ```
//!
//! Keys are case-insensitive, and may begin with `RDS_`, `DB_` or `MYSQL_`. Other keys are ignored: such files often
//! hold more than this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use pinflow_core::secret::{Secret, SecretError, check_private};

/// The contents of a credentials file. All values are optional.
#[derive(Default)]
pub(super) struct DatabaseCredentials {
    pub(super) host: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    pub(super) port: Option<u16>,
}

/// Why a credentials file cannot be used. No variant repeats what the file contains.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DatabaseCredentialsError {
    /// The file cannot be read, or other users can read it.
    #[error(transparent)]
    Unread(#[from] SecretError),
    /// The file is not a YAML map of scalars.
    #[error(
        "{path}{at} is not a list of KEY: value, one a line, as YAML; put a value with odd characters in quotes",
        path = .path.display()
    )]
    NotYaml {
        path: PathBuf,
        /// Line and column of the error, if known: `, line 2, column 5,`.
        at: String,
    },
    /// Two keys have the same meaning and different values.
    #[error("{path} has {what} twice, with different values", path = .path.display())]
    Twice {
        path: PathBuf,
        /// The meaning of the keys: `PASSWORD`.
        what: &'static str,
    },
    /// The port is not a number from 1 to 65535.
    #[error("{path}: PORT is not a number from 1 to 65535", path = .path.display())]
    Port { path: PathBuf },
}

/// Optional prefixes of keys.
const KEY_PREFIXES: [&str; 3] = ["RDS_", "DB_", "MYSQL_"];

/// Key without prefix, and its meaning.
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
    /// Reads a file. It must be readable only by its owner.
    pub(super) fn read(path: &Path) -> Result<DatabaseCredentials, DatabaseCredentialsError> {
        check_private(path)?;
        let failed = |cause| SecretError::Read { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        DatabaseCredentials::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<DatabaseCredentials, DatabaseCredentialsError> {
        let CredentialEntries(values) = serde_saphyr::from_str(text).map_err(|error| {
            // The parser's message may quote a password: only the location is used.
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

/// The known keys of a file, by their meaning, with their values.
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

/// A scalar as written in the file: a password of digits stays text.
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
    fn every_known_spelling_of_keys_is_read() {
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
    fn password_that_looks_like_another_type_stays_text() {
        for password in ["0123", "1e5", "true", "null2", "12:30", "0x1F", "1_000", "yes"] {
            let creds = parse(&format!("PASSWORD: {password}\n")).unwrap_or_else(|error| panic!("{error}: {password}"));
            assert_eq!(creds.password.as_ref().map(Secret::expose), Some(password));
        }
    }

    #[test]
    fn error_names_the_problem_without_the_secret() {
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
