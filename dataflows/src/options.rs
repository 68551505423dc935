//! The options that hold for all questions, as the configuration table `questions` gives them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::aggregates::{MedianMethod, QueryOptions, RankLimit, TieRule, UnknownOption};

/// Whether repeats of an `ind` count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicatePolicy {
    /// Each stream holds at most one row per `ind`: the one with the greatest version.
    #[default]
    Latest,
    /// Every delivery counts, and joins multiply.
    Keep,
}

/// What holds for all questions; see the contract for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphOptions {
    /// Whether repeats of an `ind` count.
    pub duplicates: DuplicatePolicy,
    /// Which rows of equal value are listed.
    pub ties: TieRule,
    /// How many ranks per group.
    pub top: RankLimit,
    /// The median of an even count.
    pub median: MedianMethod,
}

impl GraphOptions {
    pub(crate) fn query_options(&self) -> QueryOptions {
        QueryOptions { ties: self.ties, top: self.top, median: self.median }
    }
}

impl FromStr for DuplicatePolicy {
    type Err = UnknownOption;

    fn from_str(given: &str) -> Result<DuplicatePolicy, UnknownOption> {
        match given {
            "latest" => Ok(DuplicatePolicy::Latest),
            "keep" => Ok(DuplicatePolicy::Keep),
            _ => Err(UnknownOption::new(given, "latest, keep")),
        }
    }
}

impl fmt::Display for DuplicatePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DuplicatePolicy::Latest => "latest",
            DuplicatePolicy::Keep => "keep",
        })
    }
}
