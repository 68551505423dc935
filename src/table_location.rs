//! How commands reach the tables that a flag or a run names.

use std::path::Path;

use crate::config::{ConfigError, storage_connection};
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_storage::{Location, LocationSpec, StorageConnection, StorageError};

/// Why tables could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum TableLocationError {
    /// The connection settings of the bucket could not be read.
    #[error("read --connection")]
    Config(#[from] ConfigError),
    /// The location does not exist, or cannot be reached.
    #[error("reach the tables")]
    Location(#[from] StorageError),
}

impl UserError for TableLocationError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            TableLocationError::Config(error) => error.exit_code(),
            TableLocationError::Location(error) => error.exit_code(),
        }
    }
}

/// Connects to tables: a folder, or `s3://BUCKET/PREFIX` with the settings `[objects]` of the file `connection`. Whether
/// there is anything is not checked. `flag` is what names them on the command line.
///
/// # Errors
/// If the settings cannot be read, or the text is not a location, or it cannot be reached.
pub(crate) async fn connect_location(
    tables: &Path,
    connection: Option<&Path>,
    flag: &'static str,
) -> Result<Location, TableLocationError> {
    let settings = match connection {
        Some(path) => storage_connection(path)?,
        None => StorageConnection::default(),
    };
    // A path that is not UTF-8 can only be a folder.
    let target = match tables.to_str() {
        Some(text) => {
            LocationSpec::parse(text, Path::new(""), flag).map_err(|what| StorageError::Invalid(vec![what]))?
        }
        None => LocationSpec::Folder(tables.to_owned()),
    };
    Ok(Location::connect(&target, &settings).await?)
}

/// Connects to the tables that `--tables` names, which must exist.
///
/// # Errors
/// As [`connect_location`], and if there is nothing.
pub(crate) async fn connect_tables(tables: &Path, connection: Option<&Path>) -> Result<Location, TableLocationError> {
    let location = connect_location(tables, connection, "--tables").await?;
    location.resolve_existing()?;
    Ok(location)
}
