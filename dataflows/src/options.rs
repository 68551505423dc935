//! The options of all questions: the table `questions` of the configuration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::aggregates::{MedianMethod, RankLimit, TieRule, UnknownOption};

/// Whether repeated deliveries of an `ind` count (option `duplicates`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicatePolicy {
    /// Each stream has at most one row per `ind`: the one with the greatest version.
    #[default]
    Latest,
    /// Every delivery counts, and joins multiply.
    Keep,
}

/// The options of all questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphOptions {
    /// Whether repeated deliveries of an `ind` count.
    pub duplicates: DuplicatePolicy,
    /// Which labels of equal value are listed.
    pub ties: TieRule,
    /// How many ranks of a group are listed.
    pub top: RankLimit,
    /// The median of an even number of values.
    pub median: MedianMethod,
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
