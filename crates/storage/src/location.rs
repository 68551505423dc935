//! A storage location that was reached: a local folder, or a prefix in a bucket.

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use super::conditional_put_probe::probe_conditional_put;
use super::connection::StorageConnection;
use super::error::StorageError;
use super::fsync_store::{FsyncStore, create_folder};
use super::location_spec::LocationSpec;
use super::mount_points::find_unmounted_point;

/// A local folder, or a prefix in a bucket, with the store that reads and writes it.
#[derive(Debug, Clone)]
pub struct Location {
    /// As shown to users: a folder, or `s3://bucket/prefix`.
    name: PathBuf,
    /// Rooted at the root of the file system, or of the bucket.
    store: Arc<dyn ObjectStore>,
    /// `None` for a local folder.
    bucket: Option<String>,
    call_timeout: Duration,
}

const DISK_CALL_TIMEOUT: Duration = Duration::from_secs(60);

impl Location {
    /// A local folder. It need not exist.
    #[must_use]
    pub fn from_folder(path: &FilePath) -> Location {
        let store = Arc::new(FsyncStore::default());
        Location { name: path.to_owned(), store, bucket: None, call_timeout: DISK_CALL_TIMEOUT }
    }

    /// Connects to a configured location. A bucket is listed once, to prove that it can be read. Nothing is written.
    ///
    /// # Errors
    /// If a bucket cannot be reached or read. The error says what to do.
    pub async fn connect(spec: &LocationSpec, connection: &StorageConnection) -> Result<Location, StorageError> {
        let bucket = match spec {
            LocationSpec::Folder(path) => return Ok(Location::from_folder(path)),
            LocationSpec::Bucket { bucket, .. } => bucket,
        };
        let store = Arc::new(connection.open_bucket(bucket).await?);
        let (name, call_timeout) = (spec.to_string().into(), connection.call_timeout());
        let location = Location { name, store, bucket: Some(bucket.clone()), call_timeout };
        let prefix = location.prefix()?;
        // The first page proves that listing is allowed.
        let listed = location.store.list(Some(&prefix)).try_next().await;
        listed.map_err(|cause| StorageError::Request { what: "list", location: location.to_string(), cause })?;
        Ok(location)
    }

    /// Checks that an empty folder is not at or below the mount point of a disk that is not mounted.
    ///
    /// # Errors
    /// [`StorageError::Unmounted`] if it is. Also if the folder cannot be read.
    pub fn check_mounted(&self) -> Result<(), StorageError> {
        let Some(folder) = self.local_folder() else { return Ok(()) };
        let failed = |what| move |cause| StorageError::Disk { what, location: self.to_string(), cause };
        let absolute = std::path::absolute(folder).map_err(failed("resolve"))?;
        match find_unmounted_point(&absolute).map_err(failed("read"))? {
            None => Ok(()),
            Some(point) => Err(StorageError::Unmounted {
                location: self.to_string(),
                mount_point: point.path.display().to_string(),
                listed_in: point.listed_in.display().to_string(),
            }),
        }
    }

    /// Prepares the location for a writer, and returns it under its canonical name. A folder is created if it is
    /// missing, but not on the mount point of an unmounted disk. A bucket must prove that it honours conditional puts.
    ///
    /// # Errors
    /// If the folder's disk is not mounted, the folder cannot be created, or the bucket cannot be written or ignores conditional puts.
    pub async fn prepare_for_writing(&self) -> Result<Location, StorageError> {
        if self.bucket.is_some() {
            probe_conditional_put(self).await?;
            return Ok(self.clone());
        }
        self.check_mounted()?;
        let failed = |what| move |cause| StorageError::Disk { what, location: self.to_string(), cause };
        let absolute = std::path::absolute(&self.name).map_err(failed("resolve"))?;
        create_folder(&absolute).map_err(failed("create"))?;
        let name = absolute.canonicalize().map_err(failed("resolve"))?;
        Ok(Location { name, ..self.clone() })
    }

    /// The location under its canonical name. A bucket is returned unchanged.
    ///
    /// # Errors
    /// If a local folder does not exist.
    pub fn resolve_existing(&self) -> Result<Location, StorageError> {
        if self.bucket.is_some() {
            return Ok(self.clone());
        }
        let failed = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound => StorageError::NotFound { location: self.to_string(), cause },
            _ => StorageError::Disk { what: "find", location: self.to_string(), cause },
        };
        Ok(Location { name: self.name.canonicalize().map_err(failed)?, ..self.clone() })
    }

    /// The same location read and written through `store`, which must have the same root.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn ObjectStore>) -> Location {
        Location { store, ..self }
    }

    /// A folder inside this one.
    #[must_use]
    pub fn join(&self, name: &str) -> Location {
        Location { name: self.name.join(name), ..self.clone() }
    }

    /// The name as shown to users: a folder, or `s3://bucket/prefix`.
    #[must_use]
    pub fn name(&self) -> &FilePath {
        &self.name
    }

    /// The folder; `None` for a bucket.
    #[must_use]
    pub fn local_folder(&self) -> Option<&FilePath> {
        self.bucket.is_none().then_some(&self.name)
    }

    /// The longest that one call to the store may take, its retries included.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// The store that holds the location. Its paths are those of [`Location::object_path`].
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The path of the location in its store.
    ///
    /// # Errors
    /// If a folder's name is not absolute, or cannot be expressed as a store path.
    pub fn prefix(&self) -> Result<Path, StorageError> {
        match &self.bucket {
            Some(bucket) => {
                let name = self.name.to_string_lossy();
                let prefix = name.strip_prefix(&format!("s3://{bucket}")).unwrap_or_default();
                Ok(Path::from(prefix))
            }
            None => Path::from_absolute_path(&self.name).map_err(|_| {
                let folder = self.name.display().to_string();
                let what =
                    "its name is not UTF-8, contains control characters, or is not absolute; choose another folder";
                StorageError::Invalid(vec![format!("`{}`: {what}", folder.escape_debug())])
            }),
        }
    }

    /// The path of a file of this location in its store. `name` may contain slashes.
    ///
    /// # Errors
    /// As [`Location::prefix`].
    pub fn object_path(&self, name: &str) -> Result<Path, StorageError> {
        let prefix = self.prefix()?;
        Ok(Path::from_iter(prefix.parts().chain(Path::from(name).parts())))
    }

    /// A path of the store as shown to users: `/folder/file`, or `s3://bucket/key`.
    #[must_use]
    pub fn display_path(&self, path: &Path) -> String {
        match &self.bucket {
            Some(bucket) => format!("s3://{bucket}/{path}"),
            None => format!("/{path}"),
        }
    }

    /// The URL of a location in a bucket, with a slash at the end; `None` for a local folder.
    #[must_use]
    pub fn bucket_url(&self) -> Option<Url> {
        self.bucket.as_ref()?;
        Url::parse(&format!("{}/", self.name.to_string_lossy())).ok()
    }

    /// The files and folders directly inside the location.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub async fn list_entries(&self) -> Result<LocationEntries, StorageError> {
        let prefix = self.prefix()?;
        let failed = |cause| StorageError::Request { what: "list", location: self.to_string(), cause };
        let listed = self.store.list_with_delimiter(Some(&prefix)).await.map_err(failed)?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        let files = listed.objects.iter().map(|object| (name(&object.location), object.size)).collect();
        Ok(LocationEntries { files, folders: listed.common_prefixes.iter().map(name).collect() })
    }
}

/// The files and folders directly inside a [`Location`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocationEntries {
    /// Names of files, with their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// Names of folders.
    pub folders: Vec<String>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.display().fmt(f)
    }
}

impl From<&FilePath> for Location {
    fn from(path: &FilePath) -> Location {
        Location::from_folder(path)
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Location {
        Location::from_folder(&path)
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Location {
        Location::from_folder(path)
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Location {
        location.clone()
    }
}
