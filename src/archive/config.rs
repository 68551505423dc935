//! `[archive]`: what can be said about it.

use std::path::Path;

use serde::Deserialize;

use super::pack::Compression;
use crate::key_problem::KeyProblem;
use crate::objects::Target;

/// `[archive]`: every message as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// Where it lies: a folder, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Messages in an object at the most.
    #[serde(default = "ArchiveConfig::flush_records")]
    pub flush_records: u64,
    /// How long messages are gathered for an object, seconds. The tables are committed with it, and not sooner.
    #[serde(default = "ArchiveConfig::rotate_secs")]
    pub rotate_secs: u64,
    /// How objects are compressed.
    #[serde(default)]
    pub compression: Compression,
}

impl ArchiveConfig {
    fn flush_records() -> u64 {
        100_000
    }
    fn rotate_secs() -> u64 {
        60
    }

    /// Where it is to lie. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// What it cannot be, and the mend.
    pub fn root(&self, base: &Path) -> Result<Target, String> {
        Target::parse(&self.url, base, "[archive] url")
    }

    /// What is wrong, each with its mend.
    #[must_use]
    pub fn faults(&self, base: &Path) -> Vec<KeyProblem> {
        let mut faults: Vec<_> = self.root(base).err().map(|what| KeyProblem::new("url", what)).into_iter().collect();
        if !(1..=10_000_000).contains(&self.flush_records) {
            faults.push(KeyProblem::range("flush_records", "1 to 10000000"));
        }
        if self.rotate_secs > 86_400 {
            faults.push(KeyProblem::range("rotate_secs", "0 to 86400"));
        }
        faults
    }
}
