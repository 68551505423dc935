//! Probes that a store honours conditional puts: creating a file that exists must fail. Commits depend on it.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

use super::error::StorageError;
use super::location::Location;

/// Creates a file with a unique name twice. A store that accepts the second put would also overwrite commits.
pub(super) async fn probe_conditional_put(location: &Location) -> Result<(), StorageError> {
    let name = format!("_pinflow_proof_{}", uuid::Uuid::new_v4());
    let path = location.object_path(&name)?;
    let result = create_twice(location, &path).await;
    // Without permission to delete, the probe file stays: a few bytes under a name that table readers ignore.
    if let Err(cause) = location.store().delete(&path).await {
        tracing::debug!(place = %location.display_path(&path), "the probe file could not be deleted: {cause}");
    }
    result
}

async fn create_twice(location: &Location, path: &Path) -> Result<(), StorageError> {
    let put =
        || location.store().put_opts(path, "a marker of pinflow; it may be deleted".into(), PutMode::Create.into());
    let failed = |what| move |cause| StorageError::Request { what, location: location.to_string(), cause };
    match put().await {
        // `AlreadyExists` at the first put: its response was lost, and the store's client retried.
        Ok(_) | Err(Error::AlreadyExists { .. }) => {}
        Err(cause) => return Err(failed("write to")(cause)),
    }
    match put().await {
        Err(Error::AlreadyExists { .. }) => Ok(()),
        Ok(_) => Err(StorageError::NoConditionalPut { location: location.to_string() }),
        Err(cause) => Err(failed("prove conditional writes to")(cause)),
    }
}
