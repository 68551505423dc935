//! Secrets: where they come from, and that they are shown to nobody.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where a secret comes from, as it is written in a configuration: `env:NAME` or `file:PATH`. Never the secret itself.
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

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not there, or no text.
    #[error("environment variable {0} is not set; export it before pinflow starts")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("read secret {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:o}); chmod 600 it", path = .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// There is nothing in it.
    #[error("{0} is empty; put the secret into it")]
    Empty(String),
}

impl TryFrom<String> for SecretFrom {
    type Error = &'static str;

    fn try_from(text: String) -> Result<SecretFrom, &'static str> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(SecretFrom::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(SecretFrom::File(PathBuf::from(path))),
            // The text may be the secret, so it is not repeated.
            _ => Err("a secret must not be in a configuration: write \"env:NAME\" or \"file:PATH\""),
        }
    }
}

impl SecretFrom {
    /// Reads it anew: a secret that was changed since is found. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// If it is not there, is empty, or stands in a file that others can read.
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
        // Editors and `echo` end a file with a line break, which belongs to no password.
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() { Err(SecretError::Empty(name)) } else { Ok(Secret(secret.to_owned())) }
    }
}

/// Checks that only its owner can read a file. What systemd hands to a service as credentials is private by its folder.
///
/// # Errors
/// If others can read it, or it is not there.
pub fn check_private(path: &Path) -> Result<(), SecretError> {
    let failed = |cause| SecretError::Read { path: path.to_owned(), cause };
    let found = std::fs::metadata(path).map_err(failed)?;
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder));
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 || handed_over { Ok(()) } else { Err(SecretError::Exposed { path: path.to_owned(), mode }) }
}

impl Secret {
    /// Holds a text that must not be shown, however it came here.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The secret itself, for the one place that needs it.
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
    fn a_file_must_be_its_owners_alone() {
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
    fn an_empty_or_missing_secret_is_an_error() {
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
