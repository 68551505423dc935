//! Small files of a location. Each is read and written as a whole.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode};

use super::error::StorageError;
use super::fsync_store::sync_folder;
use super::location::Location;

impl Location {
    /// Reads a file of this location. `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read_file(&self, name: &str) -> Result<Option<Bytes>, StorageError> {
        let path = self.object_path(name)?;
        let read = async { self.store().get(&path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(self.request_error("read", &path, cause)),
        }
    }

    /// Creates a file of this location. It is durable when this returns. Returns `false`, and changes nothing, if there is
    /// another file of this name.
    ///
    /// # Errors
    /// If it cannot be written. The file may exist nevertheless.
    pub async fn create_file(&self, name: &str, contents: &[u8]) -> Result<bool, StorageError> {
        let path = self.object_path(name)?;
        match self.store().put_opts(&path, contents.to_vec().into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            // The response to the first attempt can be lost, so that a retry finds the file that it has written.
            Err(Error::AlreadyExists { .. }) => {
                Ok(self.bucket_url().is_some() && self.read_file(name).await?.as_deref() == Some(contents))
            }
            Err(cause) => Err(self.request_error("write", &path, cause)),
        }
    }

    /// Writes a file of this location, over another of its name. Readers see the old contents or the new ones. It is
    /// durable when this returns.
    ///
    /// # Errors
    /// If it cannot be written. The file may have the new contents nevertheless.
    pub async fn replace_file(&self, name: &str, contents: &[u8]) -> Result<(), StorageError> {
        let path = self.object_path(name)?;
        let put = self.store().put_opts(&path, contents.to_vec().into(), PutMode::Overwrite.into()).await;
        put.map(drop).map_err(|cause| self.request_error("write", &path, cause))
    }

    /// Deletes a file of this location, if there is one. It stays deleted after a power loss.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub async fn delete_file(&self, name: &str) -> Result<(), StorageError> {
        let path = self.object_path(name)?;
        match self.store().delete(&path).await {
            Ok(()) => {}
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(cause) => return Err(self.request_error("delete", &path, cause)),
        }
        let Some(folder) = self.local_folder() else { return Ok(()) };
        let file = folder.join(name);
        sync_folder(&file).map_err(|cause| StorageError::Disk {
            what: "sync the folder of",
            location: file.display().to_string(),
            cause,
        })
    }

    fn request_error(&self, what: &'static str, path: &Path, cause: Error) -> StorageError {
        StorageError::Request { what, location: self.display_path(path), cause }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn file_is_created_once_replaced_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let place = Location::from_folder(folder.path()).join("below");
        assert_eq!(place.read_file("a.sql").await.unwrap(), None);
        place.delete_file("a.sql").await.unwrap();
        assert!(place.create_file("a.sql", b"one").await.unwrap());
        assert!(!place.create_file("a.sql", b"two").await.unwrap());
        assert_eq!(place.read_file("a.sql").await.unwrap().unwrap(), "one");
        place.replace_file("a.sql", b"three").await.unwrap();
        assert_eq!(place.read_file("a.sql").await.unwrap().unwrap(), "three");
        assert_eq!(place.list_entries().await.unwrap().files, [("a.sql".to_owned(), 5)]);
        place.delete_file("a.sql").await.unwrap();
        assert_eq!(place.read_file("a.sql").await.unwrap(), None);
        assert!(place.create_file("a.sql", b"four").await.unwrap());
    }
}
