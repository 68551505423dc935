//! Options that define rankings and medians for all questions: `ties`, `top` and `median`.

use std::fmt::{Display, Formatter};
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Which labels of equal value are listed (option `ties`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TieRule {
    /// Only the one with the smallest label, compared byte by byte. Ranks count rows.
    #[default]
    First,
    /// All of them. Ranks count distinct values.
    All,
}

/// How many ranks of a group are listed (option `top`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankLimit {
    /// At most this many ranks.
    Ranks(NonZeroU32),
    /// All ranks.
    All,
}

impl Default for RankLimit {
    fn default() -> RankLimit {
        RankLimit::Ranks(NonZeroU32::MIN)
    }
}

/// The median of an even number of values (option `median`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MedianMethod {
    /// The mean of the two middle values.
    #[default]
    Exact,
    /// The lower of the two, the element at rank ⌈n/2⌉. Spark's `percentile_approx` gives the same.
    Lower,
}

/// The options of rankings and medians.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// Which rows of equal value are listed.
    pub ties: TieRule,
    /// How many ranks of a group are listed.
    pub top: RankLimit,
    /// The median of an even count.
    pub median: MedianMethod,
}

/// An option was given an unknown value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {known}")]
pub struct UnknownOption {
    /// The value that was given.
    pub given: String,
    /// The values that are known.
    pub known: &'static str,
}

impl UnknownOption {
    /// The value `given` is not among the `known` ones.
    #[must_use]
    pub fn new(given: &str, known: &'static str) -> UnknownOption {
        UnknownOption { given: given.to_owned(), known }
    }
}

impl FromStr for TieRule {
    type Err = UnknownOption;

    fn from_str(given: &str) -> Result<TieRule, UnknownOption> {
        match given {
            "first" => Ok(TieRule::First),
            "all" => Ok(TieRule::All),
            _ => Err(UnknownOption::new(given, "first, all")),
        }
    }
}

impl FromStr for MedianMethod {
    type Err = UnknownOption;

    fn from_str(given: &str) -> Result<MedianMethod, UnknownOption> {
        match given {
            "exact" => Ok(MedianMethod::Exact),
            "lower" => Ok(MedianMethod::Lower),
            _ => Err(UnknownOption::new(given, "exact, lower")),
        }
    }
}

impl FromStr for RankLimit {
    type Err = UnknownOption;

    fn from_str(given: &str) -> Result<RankLimit, UnknownOption> {
        match given {
            "all" => Ok(RankLimit::All),
            _ => given.parse().map(RankLimit::Ranks).map_err(|_| UnknownOption::new(given, "all, 1, 2, 3, …")),
        }
    }
}

impl Display for TieRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TieRule::First => "first",
            TieRule::All => "all",
        })
    }
}

impl Display for MedianMethod {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MedianMethod::Exact => "exact",
            MedianMethod::Lower => "lower",
        })
    }
}

impl Display for RankLimit {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            RankLimit::Ranks(ranks) => ranks.fmt(f),
            RankLimit::All => f.write_str("all"),
        }
    }
}

/// Accepts a whole number or a string.
impl<'de> Deserialize<'de> for RankLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RankLimit, D::Error> {
        struct TopVisitor;

        impl Visitor<'_> for TopVisitor {
            type Value = RankLimit;

            fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of ranks from 1, or \"all\"")
            }

            fn visit_i64<E: Error>(self, ranks: i64) -> Result<RankLimit, E> {
                let some = u32::try_from(ranks).ok().and_then(NonZeroU32::new);
                some.map(RankLimit::Ranks).ok_or_else(|| E::invalid_value(Unexpected::Signed(ranks), &self))
            }

            fn visit_u64<E: Error>(self, ranks: u64) -> Result<RankLimit, E> {
                let some = u32::try_from(ranks).ok().and_then(NonZeroU32::new);
                some.map(RankLimit::Ranks).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(ranks), &self))
            }

            fn visit_str<E: Error>(self, given: &str) -> Result<RankLimit, E> {
                given.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(TopVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_from_text_and_json() {
        assert_eq!("all".parse(), Ok(RankLimit::All));
        assert_eq!("1".parse(), Ok(RankLimit::default()));
        assert!(
            "0".parse::<RankLimit>().is_err() && "-1".parse::<RankLimit>().is_err() && "".parse::<RankLimit>().is_err()
        );
        assert_eq!(serde_json::from_str::<RankLimit>("3").ok().map(|top| top.to_string()), Some("3".to_owned()));
        assert_eq!(serde_json::from_str::<RankLimit>(r#""all""#).ok(), Some(RankLimit::All));
        assert!(serde_json::from_str::<RankLimit>("0").is_err() && serde_json::from_str::<RankLimit>("-1").is_err());
        assert_eq!(serde_json::from_str::<TieRule>(r#""all""#).ok(), Some(TieRule::All));
        assert_eq!("lower".parse(), Ok(MedianMethod::Lower));
        assert_eq!("All".parse::<TieRule>().expect_err("lower case").to_string(), "`All` is none of first, all");
    }
}
