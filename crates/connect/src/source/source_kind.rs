//! A kind of source, from its configuration to its threads.
//!
//! A source crate exports one [`SourceKind`], and the program lists it. A run then calls, in this order: `read` for each
//! `[[source]]` of that kind, [`SourceConfig::validate`], [`SourceConfig::plan`] or [`SourceConfig::check`],
//! [`check_unique`], and [`PlannedSource::start`].

use std::any::Any;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use toml::de::ValueDeserializer;

use super::{AcceptedLoss, ReadShare, SourceContext, SourceError};
use crate::config_key::ConfigKey;
use pinflow_core::finding::Finding;
use pinflow_core::key_problem::KeyProblem;
use pinflow_storage::StorageConnection;

/// A kind of source.
#[derive(Debug, Clone, Copy)]
pub struct SourceKind {
    /// The value of `kind` in a `[[source]]`.
    pub name: &'static str,
    /// The other keys of such a table.
    pub keys: &'static [ConfigKey],
    /// Keys of which each identifies the kind: a table without `kind` that has one gets the errors of this kind.
    pub identifying_keys: &'static [&'static str],
    /// Reads the table. Its keys and types were checked before.
    pub read: fn(ValueDeserializer<'_>) -> Result<Arc<dyn SourceConfig>, toml::de::Error>,
}

impl SourceKind {
    /// A value for [`SourceKind::read`].
    ///
    /// # Errors
    /// The value that cannot be read, with its location.
    pub fn read_as<C: SourceConfig + DeserializeOwned>(
        table: ValueDeserializer<'_>,
    ) -> Result<Arc<dyn SourceConfig>, toml::de::Error> {
        Ok(Arc::new(C::deserialize(table)?))
    }
}

/// Settings of a run that its sources need.
#[derive(Debug, Clone, Copy)]
pub struct PlanContext<'a> {
    /// The folder that relative paths are resolved against.
    pub base: &'a Path,
    /// The name of the pipeline.
    pub pipeline: &'a str,
    /// Records that may be missing, of any source.
    pub accepted: &'a [AcceptedLoss],
    /// How buckets are reached.
    pub objects: &'a StorageConnection,
    /// What this process reads.
    pub share: ReadShare,
}

/// One `[[source]]`, as configured.
#[async_trait]
pub trait SourceConfig: Debug + Send + Sync + 'static {
    /// Every problem with its hint. Nothing is read or reached for it. Relative paths are resolved against `base`.
    fn validate(&self, base: &Path) -> Vec<KeyProblem>;

    /// Tries everything that reading needs, without changing or reading on anything.
    async fn check(&self, context: &PlanContext<'_>) -> Vec<Finding>;

    /// Whether a process with this share reads anything of it. Process 0 reads what cannot be shared.
    fn is_read_by(&self, share: ReadShare) -> bool {
        share.process == 0
    }

    /// Finds the partitions to read, without reading them. Only called in a process that reads something of it.
    ///
    /// # Errors
    /// Every problem, a line each.
    async fn plan(&self, context: &PlanContext<'_>) -> Result<Box<dyn PlannedSource>, SourceError>;
}

/// A source that is ready to start.
pub trait PlannedSource: Any + Debug + Send {
    /// A line for each way in which a partition of this source and one of `other` can have the same name. Sources of
    /// different kinds never can.
    fn name_conflicts(&self, other: &dyn PlannedSource) -> Vec<String>;

    /// Starts the threads that read. They end when the run is stopped, when everything is read, or after a failure, which
    /// they send to the engine.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    fn start(self: Box<Self>, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError>;
}

impl dyn PlannedSource {
    /// This source as one of kind `T`; `None` if it is of another kind.
    #[must_use]
    pub fn downcast_ref<T: PlannedSource>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Checks that no two partitions of these sources can have the same name.
///
/// # Errors
/// [`SourceError::Unusable`] with a line for each conflict.
pub fn check_unique(sources: &[Box<dyn PlannedSource>]) -> Result<(), SourceError> {
    let mut conflicts = Vec::new();
    for (at, one) in sources.iter().enumerate() {
        for conflict in sources[at + 1..].iter().flat_map(|other| one.name_conflicts(other.as_ref())) {
            if !conflicts.contains(&conflict) {
                conflicts.push(conflict);
            }
        }
    }
    if conflicts.is_empty() { Ok(()) } else { Err(SourceError::Unusable(conflicts.join("\n"))) }
}
