//! A folder, or what is one in a bucket.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use super::connection::Connection;
use super::fault::ObjectsError;
use super::mount_points::unmounted_point_of;
use super::proof::prove;
use super::synced::{Synced, create_folder};
use super::target::Target;

/// Where files lie.
#[derive(Debug, Clone)]
pub struct Place {
    /// As people know it: a folder, or `s3://bucket/prefix`.
    name: PathBuf,
    /// Rooted at the file system's root, or at the bucket's.
    store: Arc<dyn ObjectStore>,
    /// `None` on this machine.
    bucket: Option<String>,
    patience: Duration,
}

/// How long a disk may take for a file.
const DISK: Duration = Duration::from_secs(60);

impl Place {
    /// A folder of this machine.
    #[must_use]
    pub fn folder(path: &FilePath) -> Place {
        Place { name: path.to_owned(), store: Arc::new(Synced::default()), bucket: None, patience: DISK }
    }

    /// What is configured, reached: a bucket is asked for what it holds there. Nothing is written.
    ///
    /// # Errors
    /// Why a bucket cannot be reached or read, and the mend.
    pub async fn reach(target: &Target, connection: &Connection) -> Result<Place, ObjectsError> {
        let bucket = match target {
            Target::Folder(path) => return Ok(Place::folder(path)),
            Target::Bucket { bucket, .. } => bucket,
        };
        let store = Arc::new(connection.bucket(bucket).await?);
        let (name, patience) = (target.to_string().into(), connection.patience());
        let place = Place { name, store, bucket: Some(bucket.clone()), patience };
        let prefix = place.prefix()?;
        // A page of what is there, if anything is.
        let listed = place.store.list(Some(&prefix)).try_next().await;
        listed.map_err(|cause| ObjectsError::Reach { what: "list", place: place.to_string(), cause })?;
        Ok(place)
    }

    /// Makes sure that an empty folder is not the mount point of a disk that is not mounted, or below it.
    ///
    /// # Errors
    /// If it is, or if the folder cannot be read.
    pub fn check_mounted(&self) -> Result<(), ObjectsError> {
        let Some(folder) = self.on_disk() else { return Ok(()) };
        let failed = |what| move |cause| ObjectsError::Disk { what, place: self.to_string(), cause };
        let absolute = std::path::absolute(folder).map_err(failed("resolve"))?;
        match unmounted_point_of(&absolute).map_err(failed("read"))? {
            None => Ok(()),
            Some(point) => Err(ObjectsError::Unmounted {
                place: self.to_string(),
                mount_point: point.path.display().to_string(),
                listed_in: point.listed_in.display().to_string(),
            }),
        }
    }

    /// The place, made sure of for a writer: a folder is there, on the disk that it is meant to be on, and has its true
    /// name; a bucket is proved to keep conditional writes.
    ///
    /// # Errors
    /// What cannot be made, written, or relied on.
    pub async fn for_writing(&self) -> Result<Place, ObjectsError> {
        if self.bucket.is_some() {
            prove(self).await?;
            return Ok(self.clone());
        }
        self.check_mounted()?;
        let failed = |what| move |cause| ObjectsError::Disk { what, place: self.to_string(), cause };
        let absolute = std::path::absolute(&self.name).map_err(failed("resolve"))?;
        create_folder(&absolute).map_err(failed("create"))?;
        let name = absolute.canonicalize().map_err(failed("resolve"))?;
        Ok(Place { name, ..self.clone() })
    }

    /// The place under its true name, if it is there.
    ///
    /// # Errors
    /// If a folder is not there.
    pub fn found(&self) -> Result<Place, ObjectsError> {
        if self.bucket.is_some() {
            return Ok(self.clone());
        }
        let failed = |cause| ObjectsError::Disk { what: "find", place: self.to_string(), cause };
        Ok(Place { name: self.name.canonicalize().map_err(failed)?, ..self.clone() })
    }

    /// The same place through another store, which has the same root.
    #[must_use]
    pub fn through(self, store: Arc<dyn ObjectStore>) -> Place {
        Place { store, ..self }
    }

    /// A folder in this one.
    #[must_use]
    pub fn join(&self, name: &str) -> Place {
        Place { name: self.name.join(name), ..self.clone() }
    }

    /// Its name, as people know it.
    #[must_use]
    pub fn name(&self) -> &FilePath {
        &self.name
    }

    /// The folder, if it is one of this machine.
    #[must_use]
    pub fn on_disk(&self) -> Option<&FilePath> {
        self.bucket.is_none().then_some(&self.name)
    }

    /// How long a call to its store may take, all that is tried again inside of it included.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The store that it lies in.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Where it stands in its store.
    ///
    /// # Errors
    /// If the folder has no absolute name, or one that no store can name.
    pub fn prefix(&self) -> Result<Path, ObjectsError> {
        match &self.bucket {
            Some(bucket) => {
                let name = self.name.to_string_lossy();
                let prefix = name.strip_prefix(&format!("s3://{bucket}")).unwrap_or_default();
                Ok(Path::from(prefix))
            }
            None => Path::from_absolute_path(&self.name).map_err(|_| {
                let folder = self.name.display().to_string();
                let what = "its name is not UTF-8, holds control characters, or is not absolute; choose another folder";
                ObjectsError::Faulty(vec![format!("`{}`: {what}", folder.escape_debug())])
            }),
        }
    }

    /// Where a file of it stands in its store; `name` may lead through folders.
    ///
    /// # Errors
    /// As [`Place::prefix`].
    pub fn location(&self, name: &str) -> Result<Path, ObjectsError> {
        let prefix = self.prefix()?;
        Ok(Path::from_iter(prefix.parts().chain(Path::from(name).parts())))
    }

    /// A file of its store, as people know it.
    #[must_use]
    pub fn shown(&self, location: &Path) -> String {
        match &self.bucket {
            Some(bucket) => format!("s3://{bucket}/{location}"),
            None => format!("/{location}"),
        }
    }

    /// Its URL in its bucket, with a slash at the end; `None` on this machine.
    #[must_use]
    pub fn bucket_url(&self) -> Option<Url> {
        self.bucket.as_ref()?;
        Url::parse(&format!("{}/", self.name.to_string_lossy())).ok()
    }

    /// The names of the files and of the folders that stand in it, folders without what is in them.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub async fn entries(&self) -> Result<Entries, ObjectsError> {
        let prefix = self.prefix()?;
        let failed = |cause| ObjectsError::Reach { what: "list", place: self.to_string(), cause };
        let listed = self.store.list_with_delimiter(Some(&prefix)).await.map_err(failed)?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        let files = listed.objects.iter().map(|object| (name(&object.location), object.size)).collect();
        Ok(Entries { files, folders: listed.common_prefixes.iter().map(name).collect() })
    }
}

/// What stands in a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// Names of files, with their bytes.
    pub files: Vec<(String, u64)>,
    /// Names of folders.
    pub folders: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.display().fmt(f)
    }
}

impl From<&FilePath> for Place {
    fn from(path: &FilePath) -> Place {
        Place::folder(path)
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Place {
        Place::folder(&path)
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Place {
        Place::folder(path)
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}
