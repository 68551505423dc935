//! The local disk as an object store that survives a power loss.
//!
//! Every file is written under a temporary name, synced, linked to its final name, and the folder is synced, before a
//! put returns. A file is never visible half-written.
//!
//! `LocalFileSystem` of `object_store` 0.13 never syncs: after a power loss the newest commit can be empty or torn,
//! although its put returned.

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

/// The local disk, rooted at `/`. Puts, copies and renames are durable when they return.
#[derive(Debug, Default)]
pub struct FsyncStore {
    inner: LocalFileSystem,
}

impl std::fmt::Display for FsyncStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FsyncStore")
    }
}

#[async_trait]
impl ObjectStore for FsyncStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let must_be_absent = match opts.mode {
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
        let put = move || write_durably(&path, &payload, must_be_absent).map_err(|cause| to_store_error(&name, cause));
        tokio::task::spawn_blocking(put).await.map_err(|source| Error::JoinError { source })??;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let store = FsyncStore { inner: self.inner.clone() };
        Ok(Box::new(BufferedUpload { store, location: location.clone(), parts: Vec::new() }))
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
        self.sync_file(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync_file(to).await?;
        // Otherwise the old name could reappear after a power loss.
        let left = self.inner.path_to_filesystem(from)?;
        let name = from.clone();
        let sync = move || sync_folder(&left).map_err(|cause| to_store_error(&name, cause));
        tokio::task::spawn_blocking(sync).await.map_err(|source| Error::JoinError { source })?
    }
}

impl FsyncStore {
    async fn sync_file(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        let name = location.clone();
        let sync = move || {
            let synced = File::open(&path).and_then(|file| file.sync_all()).and_then(|()| sync_folder(&path));
            synced.map_err(|cause| to_store_error(&name, cause))
        };
        tokio::task::spawn_blocking(sync).await.map_err(|source| Error::JoinError { source })?
    }
}

/// A multipart upload, buffered and put as one file. The only ones are checkpoints, which are small.
#[derive(Debug)]
struct BufferedUpload {
    store: FsyncStore,
    location: Path,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for BufferedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(async { Ok(()) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = PutPayload::from_iter(std::mem::take(&mut self.parts));
        self.store.put_opts(&self.location, payload, PutMode::Overwrite.into()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

/// Writes a file that is complete and durable under its name, or does not exist.
fn write_durably(path: &FilePath, payload: &PutPayload, must_be_absent: bool) -> io::Result<()> {
    // `LocalFileSystem` leaves names that end in # and digits out of listings: they are its own staged files.
    let staged = PathBuf::from(format!("{}#{}", path.display(), uuid::Uuid::new_v4().as_u128()));
    let mut file = match File::create_new(&staged) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(path.parent().unwrap_or(FilePath::new("/")))?;
            File::create_new(&staged)?
        }
        other => other?,
    };
    let written = payload.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    let named = written
        .and_then(|()| if must_be_absent { std::fs::hard_link(&staged, path) } else { std::fs::rename(&staged, path) });
    if must_be_absent || named.is_err() {
        // A staged file that cannot be removed is harmless: listings leave it out.
        let _ = std::fs::remove_file(&staged);
    }
    named?;
    sync_folder(path)
}

/// A temporary file of a put. It is left behind if the process dies during the put. Stores do not list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    #[allow(missing_docs)]
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// Time since the last write; zero if the clock was set back.
    pub age: Duration,
}

/// The staged files in a folder: those that dead writers left behind, and those of puts in progress, which are young.
///
/// # Errors
/// If the folder cannot be read. A folder that does not exist has no staged files.
pub fn find_staged_files(folder: &FilePath) -> io::Result<Vec<StagedFile>> {
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
        // A file that is gone by now was finished in the meantime.
        if let (true, Ok(metadata)) = (is_staged, entry.metadata()) {
            let age = metadata.modified()?.elapsed().unwrap_or_default();
            found.push(StagedFile { path: entry.path(), bytes: metadata.len(), age });
        }
    }
    Ok(found)
}

/// Syncs the folder that contains `path`.
pub(super) fn sync_folder(path: &FilePath) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Creates a folder and its missing parents, each of them synced into its own parent. `folder` must be absolute.
///
/// # Errors
/// If a folder cannot be created or synced.
pub fn create_folder(folder: &FilePath) -> io::Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    if folder.is_dir() {
        // The process that created it may have died before it was synced. A parent that may not be read was not
        // created by pinflow.
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

fn to_store_error(location: &Path, cause: io::Error) -> Error {
    let path = location.to_string();
    let kind = cause.kind();
    let source = Box::new(cause);
    match kind {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source },
        io::ErrorKind::NotFound => Error::NotFound { path, source },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source },
        _ => Error::Generic { store: "FsyncStore", source },
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
    async fn create_succeeds_once_and_leaves_no_staged_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsyncStore::default();
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
    async fn multipart_upload_becomes_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsyncStore::default();
        let at = location(folder.path(), "checkpoint");
        let mut upload = store.put_multipart(&at).await.unwrap();
        upload.put_part("a".into()).await.unwrap();
        upload.put_part("b".into()).await.unwrap();
        assert!(names(folder.path()).is_empty());
        upload.complete().await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "ab");
    }

    #[tokio::test]
    async fn staged_file_is_not_listed_and_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("0.json#123"), "half").unwrap();
        let store = FsyncStore::default();
        let prefix = Path::from_absolute_path(folder.path()).unwrap();
        let listed: Vec<ObjectMeta> = store.list(Some(&prefix)).try_collect().await.unwrap();
        assert!(listed.is_empty());
        std::fs::write(folder.path().join("0.json#no"), "another file").unwrap();
        let found = find_staged_files(folder.path()).unwrap();
        assert_eq!(found.iter().map(|it| it.bytes).collect::<Vec<_>>(), [4]);
        assert!(find_staged_files(&folder.path().join("nowhere")).unwrap().is_empty());
    }

    #[tokio::test]
    async fn put_below_a_file_fails() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let at = location(folder.path(), "file/0.json");
        assert!(FsyncStore::default().put(&at, "x".into()).await.is_err());
    }
}
