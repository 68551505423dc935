//! The archive as the committer sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::config::ArchiveConfig;
use super::lane::{Ground, Lane};
use super::raw::{Moved, Raw};
use crate::objects::{ObjectsError, Pauses, Place};

/// Partitions whose objects are put at the same time.
const ABREAST: usize = 8;

/// An open archive.
pub struct Archive {
    ground: Ground,
    /// By what rows' `_source` says; known from a partition's first message in this run.
    lanes: BTreeMap<String, Lane>,
}

/// Why the archive cannot be written. Faults that may heal are waited for.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be reached, or relied on.
    #[error(transparent)]
    Place(#[from] ObjectsError),
    /// Other messages stand there under the same name.
    #[error(
        "{object} is in the archive and does not hold what was read now: an archive belongs to the tables and the source \
         that it was begun with; name another [archive] url, or restore what was changed"
    )]
    Differs {
        /// The object.
        object: String,
    },
    /// What stands there is damaged.
    #[error("unpack {object}")]
    Unreadable {
        /// The object.
        object: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// An object could not be made.
    #[error("compress {object}")]
    Pack {
        /// The object.
        object: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A thread of the archive has died.
    #[error("compressing an object of the archive ended without a result; this is a bug in pinflow")]
    Died,
}

impl Archive {
    /// Opens it for writing; makes its folder, or proves its bucket. What it waits for is told through `pauses`.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub async fn open(config: ArchiveConfig, place: &Place, pauses: Pauses) -> Result<Archive, ArchiveError> {
        let place = place.for_writing().await?;
        Ok(Archive { ground: Ground { place, config, pauses }, lanes: BTreeMap::new() })
    }

    /// Makes the messages of a window durable; what is there already stays. Waits inside for faults that may heal.
    ///
    /// # Errors
    /// [`ArchiveError::Differs`] if other messages stand in their place; what is damaged.
    pub async fn store(&mut self, raw: Raw) -> Result<(), ArchiveError> {
        let Raw { mut sources, moved } = raw;
        let mut work = Vec::new();
        for (source, Moved { resumed, next }) in moved {
            let lane = match self.lanes.remove(&source) {
                Some(lane) => lane,
                None => Lane::open(&self.ground, &source, resumed).await?,
            };
            let lines = Arc::new(sources.remove(&source).unwrap_or_default());
            work.push((source, lane, lines, next));
        }
        assert!(sources.is_empty(), "a source with messages in a window moves in it");
        let ground = &self.ground;
        let stored = work.into_iter().map(|(source, mut lane, lines, next)| async move {
            lane.store(ground, &lines).await?;
            lane.note(ground, next).await?;
            Ok::<_, ArchiveError>((source, lane))
        });
        // Collected first: the closure's lifetimes are too general for the stream otherwise.
        let stored = futures::stream::iter(stored.collect::<Vec<_>>()).buffer_unordered(ABREAST);
        let lanes: Vec<(String, Lane)> = stored.try_collect().await?;
        self.lanes.extend(lanes);
        Ok(())
    }
}

/// Does what a failpoint was armed with; nothing without the feature.
pub(super) fn hit(name: &str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |what| if what.as_deref() == Some("abort") {
        std::process::abort()
    });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}
