//! How ranks and medians are meant: options that hold for all questions.

use std::fmt::{Display, Formatter};
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Which rows of equal value are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ties {
    /// The one with the smallest label, byte by byte. Ranks count rows.
    #[default]
    First,
    /// All of them. Ranks count distinct values.
    All,
}

/// How many ranks of a group are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// This many.
    Ranks(NonZeroU32),
    /// All.
    All,
}

impl Default for Top {
    fn default() -> Top {
        Top::Ranks(NonZeroU32::MIN)
    }
}

/// The median of an even count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Median {
    /// The mean of the two middle values.
    #[default]
    Exact,
    /// The lower of them, the element at rank ⌈n/2⌉, as Spark's `percentile_approx` says it.
    Lower,
}

/// All of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Which rows of equal value are listed.
    pub ties: Ties,
    /// How many ranks of a group are listed.
    pub top: Top,
    /// The median of an even count.
    pub median: Median,
}

/// An option was given a value that it does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {known}")]
pub struct NoSuchTerm {
    /// What was given.
    pub given: String,
    /// What there is.
    pub known: &'static str,
}

impl NoSuchTerm {
    /// `given` is none of `known`.
    #[must_use]
    pub fn new(given: &str, known: &'static str) -> NoSuchTerm {
        NoSuchTerm { given: given.to_owned(), known }
    }
}

impl FromStr for Ties {
    type Err = NoSuchTerm;

    fn from_str(given: &str) -> Result<Ties, NoSuchTerm> {
        match given {
            "first" => Ok(Ties::First),
            "all" => Ok(Ties::All),
            _ => Err(NoSuchTerm::new(given, "first, all")),
        }
    }
}

impl FromStr for Median {
    type Err = NoSuchTerm;

    fn from_str(given: &str) -> Result<Median, NoSuchTerm> {
        match given {
            "exact" => Ok(Median::Exact),
            "lower" => Ok(Median::Lower),
            _ => Err(NoSuchTerm::new(given, "exact, lower")),
        }
    }
}

impl FromStr for Top {
    type Err = NoSuchTerm;

    fn from_str(given: &str) -> Result<Top, NoSuchTerm> {
        match given {
            "all" => Ok(Top::All),
            _ => given.parse().map(Top::Ranks).map_err(|_| NoSuchTerm::new(given, "all, 1, 2, 3, …")),
        }
    }
}

impl Display for Ties {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ties::First => "first",
            Ties::All => "all",
        })
    }
}

impl Display for Median {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Median::Exact => "exact",
            Median::Lower => "lower",
        })
    }
}

impl Display for Top {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Top::Ranks(ranks) => ranks.fmt(f),
            Top::All => f.write_str("all"),
        }
    }
}

/// From a whole number, or from text.
impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Top, D::Error> {
        struct TopVisitor;

        impl Visitor<'_> for TopVisitor {
            type Value = Top;

            fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of ranks from 1, or \"all\"")
            }

            fn visit_i64<E: Error>(self, ranks: i64) -> Result<Top, E> {
                let some = u32::try_from(ranks).ok().and_then(NonZeroU32::new);
                some.map(Top::Ranks).ok_or_else(|| E::invalid_value(Unexpected::Signed(ranks), &self))
            }

            fn visit_u64<E: Error>(self, ranks: u64) -> Result<Top, E> {
                let some = u32::try_from(ranks).ok().and_then(NonZeroU32::new);
                some.map(Top::Ranks).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(ranks), &self))
            }

            fn visit_str<E: Error>(self, given: &str) -> Result<Top, E> {
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
    fn options_are_read_from_text_and_from_json() {
        assert_eq!("all".parse(), Ok(Top::All));
        assert_eq!("1".parse(), Ok(Top::default()));
        assert!("0".parse::<Top>().is_err() && "-1".parse::<Top>().is_err() && "".parse::<Top>().is_err());
        assert_eq!(serde_json::from_str::<Top>("3").ok().map(|top| top.to_string()), Some("3".to_owned()));
        assert_eq!(serde_json::from_str::<Top>(r#""all""#).ok(), Some(Top::All));
        assert!(serde_json::from_str::<Top>("0").is_err() && serde_json::from_str::<Top>("-1").is_err());
        assert_eq!(serde_json::from_str::<Ties>(r#""all""#).ok(), Some(Ties::All));
        assert_eq!("lower".parse(), Ok(Median::Lower));
        assert_eq!("All".parse::<Ties>().expect_err("lower case").to_string(), "`All` is none of first, all");
    }
}
