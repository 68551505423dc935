//! A problem of a setting, found by the code that uses it. That code knows the key, but not where the key was
//! written. `config` adds the file, line and column, or the command-line flag.

use std::fmt;

/// A problem of one key of a configuration table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// The path of the key within its table, as in `tls.key`. Empty for the table itself.
    pub key: String,
    /// The problem, and what to do.
    pub what: String,
    /// Another key, as a path within the same table, that this one contradicts: an error names the lines of both.
    pub conflicts_with: Option<String>,
    /// Whether the written value helps to understand the error. Never set for secrets.
    pub shows_value: bool,
}

impl KeyProblem {
    /// A problem of a key.
    #[must_use]
    pub fn new(key: impl Into<String>, what: impl Into<String>) -> KeyProblem {
        KeyProblem { key: key.into(), what: what.into(), conflicts_with: None, shows_value: false }
    }

    /// A problem of a whole table.
    #[must_use]
    pub fn table(what: impl Into<String>) -> KeyProblem {
        KeyProblem::new("", what)
    }

    /// A value that is out of its range, such as `1 to 10000` or `at least 1`.
    #[must_use]
    pub fn range(key: impl Into<String>, range: impl fmt::Display) -> KeyProblem {
        KeyProblem { shows_value: true, ..KeyProblem::new(key, format!("must be {range}")) }
    }

    /// The same problem, which is a contradiction between its key and `other`.
    #[must_use]
    pub fn conflicts_with(self, other: impl Into<String>) -> KeyProblem {
        KeyProblem { conflicts_with: Some(other.into()), ..self }
    }

    /// The same problem with its key relative to the parent table, which has this table under the key `table`.
    #[must_use]
    pub fn within(self, table: &str) -> KeyProblem {
        let inside = |key: &str| if key.is_empty() { table.to_owned() } else { format!("{table}.{key}") };
        KeyProblem { key: inside(&self.key), conflicts_with: self.conflicts_with.as_deref().map(inside), ..self }
    }

    /// Each problem as text, for settings that come from flags.
    #[must_use]
    pub fn texts(problems: &[KeyProblem]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.key, self.what) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_within_a_table_has_the_longer_path() {
        let problem = KeyProblem::new("key", "is missing").conflicts_with("ca").within("tls").within("kafka");
        assert_eq!(problem.to_string(), "kafka.tls.key: is missing");
        assert_eq!(problem.conflicts_with.as_deref(), Some("kafka.tls.ca"));
        assert_eq!(KeyProblem::table("is empty").within("tables").to_string(), "tables: is empty");
    }
}
