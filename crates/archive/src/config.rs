//! The `[archive]` table of a configuration.

use std::path::Path;

use serde::Deserialize;

use super::codec::ArchiveCompression;
use pinflow_core::key_problem::KeyProblem;
use pinflow_storage::LocationSpec;

/// `[archive]`: keeps every message as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// A folder, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// The most messages in one object.
    #[serde(default = "ArchiveConfig::flush_records")]
    pub flush_records: u64,
    /// Seconds for which messages are collected into an object. The tables are committed together with it, not earlier.
    #[serde(default = "ArchiveConfig::rotate_secs")]
    pub rotate_secs: u64,
    /// How objects are compressed.
    #[serde(default)]
    pub compression: ArchiveCompression,
}

impl ArchiveConfig {
    fn flush_records() -> u64 {
        100_000
    }
    fn rotate_secs() -> u64 {
        60
    }

    /// Parses `url`. Relative paths are resolved against `base`.
    ///
    /// # Errors
    /// As [`LocationSpec::parse`].
    pub fn location(&self, base: &Path) -> Result<LocationSpec, String> {
        LocationSpec::parse(&self.url, base, "[archive] url")
    }

    /// Returns every problem with its hint.
    #[must_use]
    pub fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems: Vec<_> =
            self.location(base).err().map(|what| KeyProblem::new("url", what)).into_iter().collect();
        if !(1..=10_000_000).contains(&self.flush_records) {
            problems.push(KeyProblem::range("flush_records", "1 to 10000000"));
        }
        if self.rotate_secs > 86_400 {
            problems.push(KeyProblem::range("rotate_secs", "0 to 86400"));
        }
        problems
    }
}
