//! The local disk as an object store that survives a loss of power.
//!
//! `LocalFileSystem` of `object_store` 0.13 never syncs: after a loss of power the newest commit may be empty
//! or torn, although its writer was told that it is there. Here every file is written aside, synced, linked to
//! its name, and the folder synced, before the writer is told. A file never shows half-written.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// The local disk, rooted at `/`; see the module.
#[derive(Debug, Default)]
pub struct Synced {
    inner: LocalFileSystem,
}

impl std::fmt::Display for Synced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Synced")
    }
}

#[async_trait]
impl ObjectStore for Synced {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let absent = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "put_opts with PutMode::Update".to_owned(),
                    implementer: self.to_string(),
                });
            }
        };
        let path = self.inner.path_to_filesystem(location)?;
        let name = location.clone();
        let put = move || write(&path, &payload, absent).map_err(|cause| translate(&name, cause));
        tokio::task::spawn_blocking(put).await.map_err(|source| Error::JoinError { source })??;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let target = Synced { inner: self.inner.clone() };
        Ok(Box::new(Parts { target, location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.sync(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync(to).await?;
        // Else the old name could be there again after a loss of power.
        let left = self.inner.path_to_filesystem(from)?;
        let name = from.clone();
        let sync = move || sync_folder(&left).map_err(|cause| translate(&name, cause));
        tokio::task::spawn_blocking(sync).await.map_err(|source| Error::JoinError { source })?
    }
}

impl Synced {
    async fn sync(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        let name = location.clone();
        let sync = move || {
            let synced = File::open(&path).and_then(|file| file.sync_all()).and_then(|()| sync_folder(&path));
            synced.map_err(|cause| translate(&name, cause))
        };
        tokio::task::spawn_blocking(sync).await.map_err(|source| Error::JoinError { source })?
    }
}

/// An upload in parts: they are small here (checkpoints), so they are kept until the last and put as one.
#[derive(Debug)]
struct Parts {
    target: Synced,
    location: Path,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(async { Ok(()) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = PutPayload::from_iter(std::mem::take(&mut self.parts));
        self.target.put_opts(&self.location, payload, PutMode::Overwrite.into()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

/// Writes a file so that it is whole under its name, or not there.
fn write(path: &FilePath, payload: &PutPayload, absent: bool) -> io::Result<()> {
    // Listings leave names that end in # and digits out, as they do for the store's own staged files.
    let aside = PathBuf::from(format!("{}#{}", path.display(), uuid::Uuid::new_v4().as_u128()));
    let mut file = match File::create_new(&aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(path.parent().unwrap_or(FilePath::new("/")))?;
            File::create_new(&aside)?
        }
        other => other?,
    };
    let written = payload.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    let named =
        written.and_then(|()| if absent { std::fs::hard_link(&aside, path) } else { std::fs::rename(&aside, path) });
    if absent || named.is_err() {
        // What remains of a staged file is invisible; that it could not be removed hurts nobody.
        let _ = std::fs::remove_file(&aside);
    }
    named?;
    sync_folder(path)
}

/// A file that was being written when its process died. Stores do not list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// How long it was not written to; zero if the clock was set back.
    pub age: Duration,
}

/// The files in a folder that were left by writers which died, and those of writers that are at it: these are young.
///
/// # Errors
/// If the folder cannot be read. One that is not there has none.
pub fn find_leftovers(folder: &FilePath) -> io::Result<Vec<Leftover>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let staged = name.to_str().and_then(|name| name.rsplit_once('#'));
        let is_staged =
            staged.is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        // One that is gone by now was finished.
        if let (true, Ok(metadata)) = (is_staged, entry.metadata()) {
            let age = metadata.modified()?.elapsed().unwrap_or_default();
            found.push(Leftover { path: entry.path(), bytes: metadata.len(), age });
        }
    }
    Ok(found)
}

/// Syncs the folder in which a name stands.
fn sync_folder(path: &FilePath) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Creates a folder and those above it, each one synced into the one above. `folder` is absolute.
///
/// # Errors
/// If one cannot be created or synced.
pub fn create_folder(folder: &FilePath) -> io::Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    if folder.is_dir() {
        // A process that made it may have died before the name was safe. A folder above that may not be read was not
        // made by one of ours.
        return match sync_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    if let Some(above) = folder.parent() {
        create_folder(above)?;
    }
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(folder),
    }
}

fn translate(location: &Path, cause: io::Error) -> Error {
    let path = location.to_string();
    let kind = cause.kind();
    let source = Box::new(cause);
    match kind {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source },
        io::ErrorKind::NotFound => Error::NotFound { path, source },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source },
        _ => Error::Generic { store: "Synced", source },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    fn names(folder: &FilePath) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn location(folder: &FilePath, name: &str) -> Path {
        Path::from_absolute_path(folder.join(name)).unwrap()
    }

    #[tokio::test]
    async fn a_file_is_put_once_and_leaves_nothing_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Synced::default();
        let at = location(folder.path(), "new/er/0.json");
        store.put_opts(&at, "one".into(), PutMode::Create.into()).await.unwrap();
        let again = store.put_opts(&at, "two".into(), PutMode::Create.into()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "one");
        store.put(&at, "three".into()).await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "three");
        assert_eq!(names(&folder.path().join("new/er")), ["0.json"]);
    }

    #[tokio::test]
    async fn parts_become_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Synced::default();
        let at = location(folder.path(), "checkpoint");
        let mut upload = store.put_multipart(&at).await.unwrap();
        upload.put_part("a".into()).await.unwrap();
        upload.put_part("b".into()).await.unwrap();
        assert!(names(folder.path()).is_empty());
        upload.complete().await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "ab");
    }

    #[tokio::test]
    async fn what_a_crash_left_aside_is_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("0.json#123"), "half").unwrap();
        let store = Synced::default();
        let prefix = Path::from_absolute_path(folder.path()).unwrap();
        let listed: Vec<ObjectMeta> = store.list(Some(&prefix)).try_collect().await.unwrap();
        assert!(listed.is_empty());
        std::fs::write(folder.path().join("0.json#no"), "another file").unwrap();
        let found = find_leftovers(folder.path()).unwrap();
        assert_eq!(found.iter().map(|it| it.bytes).collect::<Vec<_>>(), [4]);
        assert!(find_leftovers(&folder.path().join("nowhere")).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let at = location(folder.path(), "file/0.json");
        assert!(Synced::default().put(&at, "x".into()).await.is_err());
    }
}
