//! The folder of a demo: its configuration, a question to add, the recording and the tables.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::DemoError;

/// The configuration, without `[serve] listen`, which is set when the demo starts.
const CONFIG: &str = include_str!("demo.toml");
/// A question that the demo suggests to add.
const QUESTION: &str = include_str!("../../examples/questions/pins_by_category.sql");

const CONFIG_NAME: &str = "demo.toml";

/// The folder of a demo. A temporary one is removed when dropped.
#[derive(Debug)]
pub(super) struct DemoFolder {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl DemoFolder {
    /// Creates the folder, or a temporary one, and the files in it.
    ///
    /// # Errors
    /// If it cannot be written, or holds something that is not a demo.
    pub(super) fn create(keep: Option<&Path>) -> Result<DemoFolder, DemoError> {
        let folder = match keep {
            Some(path) => DemoFolder { path: make_kept_folder(path)?, temporary: None },
            None => {
                let made = tempfile::Builder::new().prefix("pinflow-demo-").tempdir();
                let made = made.map_err(|cause| DemoError::io("make a folder in", &std::env::temp_dir(), cause))?;
                DemoFolder { path: made.path().to_owned(), temporary: Some(made) }
            }
        };
        for (path, text) in [(folder.config(), CONFIG), (folder.question(), QUESTION)] {
            // A kept demo may have been changed.
            if !path.exists() {
                fs::write(&path, text).map_err(|cause| DemoError::io("write", &path, cause))?;
            }
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG_NAME)
    }

    pub(super) fn question(&self) -> PathBuf {
        self.path.join("pins_by_category.sql")
    }

    pub(super) fn feed(&self) -> PathBuf {
        self.path.join("feed")
    }

    pub(super) fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Removes a temporary folder. Returns whether it did.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(super) fn remove_temporary(self) -> Result<bool, DemoError> {
        let Some(temporary) = self.temporary else { return Ok(false) };
        temporary.close().map_err(|cause| DemoError::io("remove", &self.path, cause))?;
        Ok(true)
    }
}

/// Makes the folder of `--keep`. One that is there must be empty or a demo.
fn make_kept_folder(path: &Path) -> Result<PathBuf, DemoError> {
    let failed = |what| move |cause| DemoError::io(what, path, cause);
    fs::create_dir_all(path).map_err(failed("make folder"))?;
    let path = fs::canonicalize(path).map_err(failed("find folder"))?;
    let mut entries = fs::read_dir(&path).map_err(failed("read folder"))?;
    let is_empty = match entries.next().transpose() {
        Ok(first) => first.is_none(),
        Err(cause) => return Err(DemoError::io("read folder", &path, cause)),
    };
    if is_empty || path.join(CONFIG_NAME).is_file() { Ok(path) } else { Err(DemoError::NotADemo(path)) }
}

impl DemoError {
    /// An I/O error with what was being done to which path.
    fn io(what: &str, path: &Path, cause: io::Error) -> DemoError {
        DemoError::Io { what: format!("{what} {}", path.display()), cause }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn temporary_folder_is_removed_and_a_kept_one_is_not() {
        let folder = DemoFolder::create(None).unwrap();
        let path = folder.path().to_owned();
        assert!(folder.config().is_file() && folder.question().is_file());
        assert!(folder.remove_temporary().unwrap());
        assert!(!path.exists());
        let place = tempfile::tempdir().unwrap();
        let kept = place.path().join("kept");
        assert!(!DemoFolder::create(Some(&kept)).unwrap().remove_temporary().unwrap());
        assert!(kept.join("demo.toml").is_file());
    }

    #[test]
    fn kept_demo_is_continued_with_its_changes_and_other_folders_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = DemoFolder::create(Some(place.path())).unwrap();
        fs::write(folder.config(), "changed").unwrap();
        let again = DemoFolder::create(Some(place.path())).unwrap();
        assert_eq!(fs::read_to_string(again.config()).unwrap(), "changed");
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("letter.txt"), "").unwrap();
        assert!(matches!(DemoFolder::create(Some(other.path())), Err(DemoError::NotADemo(_))));
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }
}
