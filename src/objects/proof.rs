//! Proves that a store keeps the one promise that commits rest on: a put of what must be absent succeeds once.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

use super::fault::ObjectsError;
use super::place::Place;

/// Puts a marker twice, under a name that nobody else has. A store that takes the second one overwrites commits.
pub(super) async fn prove(place: &Place) -> Result<(), ObjectsError> {
    let name = format!("_pinflow_proof_{}", uuid::Uuid::new_v4());
    let location = place.location(&name)?;
    let proved = twice(place, &location).await;
    // Where deleting is not allowed the marker stays: a few bytes, which no reader of tables looks at.
    if let Err(cause) = place.store().delete(&location).await {
        tracing::debug!(place = %place.shown(&location), "a marker could not be removed: {cause}");
    }
    proved
}

async fn twice(place: &Place, location: &Path) -> Result<(), ObjectsError> {
    let put =
        || place.store().put_opts(location, "a marker of pinflow; it may be deleted".into(), PutMode::Create.into());
    match put().await {
        // There already: an answer was lost on its way, and the store's client tried again.
        Ok(_) | Err(Error::AlreadyExists { .. }) => {}
        Err(cause) => return Err(ObjectsError::Reach { what: "write to", place: place.to_string(), cause }),
    }
    match put().await {
        Err(Error::AlreadyExists { .. }) => Ok(()),
        Ok(_) => Err(ObjectsError::Unconditional { place: place.to_string() }),
        Err(cause) => Err(ObjectsError::Reach { what: "prove conditional writes to", place: place.to_string(), cause }),
    }
}
