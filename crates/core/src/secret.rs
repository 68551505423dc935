//! Secrets: where they are read from, and a type that cannot be printed by accident.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::user_error::{ExitStatus, UserError};

/// Where a secret is read from, as written in a configuration: `env:NAME` or `file:PATH`. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretFrom {
    /// An environment variable.
    Env(String),
    /// A file that only its owner can read. A relative path is relative to the configuration file.
    File(PathBuf),
}

/// A secret in memory. It has no `Debug` and no `Display`, so that it cannot be logged by accident.
pub struct Secret(String);

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set, or is not valid Unicode.
    #[error("environment variable {0} is not set; export it before pinflow starts")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("read secret {path}", path = .path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        cause: std::io::Error,
    },
    /// Users other than the owner can read the file.
    #[error("{path} can be read by others (mode {mode:o}); chmod 600 it", path = .path.display())]
    Exposed {
        /// The path of the file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The secret is an empty text.
    #[error("{0} is empty; put the secret into it")]
    Empty(String),
}

impl UserError for SecretError {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

impl TryFrom<String> for SecretFrom {
    type Error = &'static str;

    fn try_from(text: String) -> Result<SecretFrom, &'static str> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(SecretFrom::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(SecretFrom::File(PathBuf::from(path))),
            // The text may be the secret, so the error does not contain it.
            _ => Err("a secret must not be in a configuration: write \"env:NAME\" or \"file:PATH\""),
        }
    }
}

impl SecretFrom {
    /// Reads the secret from its origin each time, so a rotated secret is found. `base` resolves relative paths.
    ///
    /// # Errors
    /// If the secret is missing or empty, or is in a file that other users can read.
    pub fn read(&self, base: &Path) -> Result<Secret, SecretError> {
        let (name, text) = match self {
            SecretFrom::Env(name) => {
                let text = std::env::var(name).map_err(|_| SecretError::NoVariable(name.clone()))?;
                (format!("environment variable {name}"), text)
            }
            SecretFrom::File(path) => {
                let path = base.join(path);
                check_private(&path)?;
                let text = std::fs::read_to_string(&path);
                let text = text.map_err(|cause| SecretError::Read { path: path.clone(), cause })?;
                (path.display().to_string(), text)
            }
        };
        // Editors and `echo` end a file with a line break, which is not part of the secret.
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() { Err(SecretError::Empty(name)) } else { Ok(Secret(secret.to_owned())) }
    }
}

/// Checks that only its owner can read a file. Credentials that systemd passes to a service are protected by their
/// directory.
///
/// # Errors
/// If other users can read the file, or it is missing.
pub fn check_private(path: &Path) -> Result<(), SecretError> {
    let failed = |cause| SecretError::Read { path: path.to_owned(), cause };
    let found = std::fs::metadata(path).map_err(failed)?;
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder));
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 || handed_over { Ok(()) } else { Err(SecretError::Exposed { path: path.to_owned(), mode }) }
}

impl Secret {
    /// Wraps a text that must not be printed.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The secret itself. Call it only where the secret is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn from(text: &str) -> Result<SecretFrom, &'static str> {
        SecretFrom::try_from(text.to_owned())
    }

    #[test]
    fn only_references_are_accepted_and_nothing_else_is_repeated() {
        assert_eq!(from("env:PASSWORD").unwrap(), SecretFrom::Env("PASSWORD".to_owned()));
        assert_eq!(from("file:a/b").unwrap(), SecretFrom::File(PathBuf::from("a/b")));
        for inline in ["hunter2", "", "env:", "file:", "ENV:hunter2", "https://hunter2"] {
            let refused = from(inline).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn secret_file_readable_by_others_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "canary\r\n").unwrap();
        let secret = from("file:password").unwrap();
        for (mode, private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match secret.read(folder.path()) {
                Ok(read) => assert!(private && read.expose() == "canary", "{mode:o}"),
                Err(error) => {
                    assert!(!private && error.to_string().contains("chmod 600"), "{mode:o}: {error}");
                    assert!(!error.to_string().contains("canary"));
                }
            }
        }
    }

    #[test]
    fn empty_or_missing_secret_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, "\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(from("file:empty").unwrap().read(folder.path()), Err(SecretError::Empty(_))));
        assert!(matches!(from("file:none").unwrap().read(folder.path()), Err(SecretError::Read { .. })));
        let absent = from("env:PINFLOW_TEST_NO_SUCH_VARIABLE").unwrap().read(folder.path());
        assert!(matches!(absent, Err(SecretError::NoVariable(_))));
    }
}
