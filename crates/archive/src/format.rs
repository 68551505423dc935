//! The version of an archive: `resume/_format.json`.
//!
//! An archive without this file has version 1. The messages themselves need no version: they are as they were received.

use serde::{Deserialize, Serialize};

use super::writer::ArchiveError;
use pinflow_storage::Location;

/// The file, in pinflow's own folder of the archive.
const FORMAT_FILE: &str = "resume/_format.json";
/// The version that this program writes, and the latest that it reads.
const ARCHIVE_FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct ArchiveFormat {
    pinflow_archive: u32,
}

/// Whether the archive at a location has a version.
///
/// # Errors
/// [`ArchiveError::Later`] if a later pinflow has written it. Others if the file cannot be read.
pub async fn check_archive_format(location: &Location) -> Result<bool, ArchiveError> {
    let Some(bytes) = location.read_file(FORMAT_FILE).await? else { return Ok(false) };
    let unreadable =
        |cause: serde_json::Error| ArchiveError::Unreadable { object: display_name(location), cause: cause.into() };
    let ArchiveFormat { pinflow_archive: format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if format > ARCHIVE_FORMAT {
        return Err(ArchiveError::Later { object: display_name(location), format, known: ARCHIVE_FORMAT });
    }
    Ok(true)
}

/// Gives a version to an archive that has none.
///
/// # Errors
/// As [`check_archive_format`], and if the file cannot be written.
pub(super) async fn ensure_format(location: &Location) -> Result<(), ArchiveError> {
    if !check_archive_format(location).await? {
        let format = serde_json::json!(ArchiveFormat { pinflow_archive: ARCHIVE_FORMAT }).to_string();
        // Another writer may have created the same.
        location.create_file(FORMAT_FILE, format.as_bytes()).await?;
    }
    Ok(())
}

fn display_name(location: &Location) -> String {
    location.join(FORMAT_FILE).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn archive_gets_a_version_and_a_later_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::from_folder(folder.path());
        assert!(!check_archive_format(&location).await.unwrap(), "an archive without a version is one of version 1");
        ensure_format(&location).await.unwrap();
        ensure_format(&location).await.unwrap();
        let file = folder.path().join(FORMAT_FILE);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"pinflow_archive\":1}");
        std::fs::write(&file, "{\"pinflow_archive\":2,\"more\":true}").unwrap();
        let refused = check_archive_format(&location).await.unwrap_err().to_string();
        assert!(refused.contains("resume/_format.json was written by a later pinflow"), "{refused}");
        std::fs::write(&file, "{").unwrap();
        assert!(matches!(check_archive_format(&location).await, Err(ArchiveError::Unreadable { .. })));
    }
}
