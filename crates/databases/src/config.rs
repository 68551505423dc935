//! `[answers.postgres]` and `[answers.mysql]`: writes the answers to tables of a database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::{Secret, SecretFrom};
use pinflow_mysql::DatabaseAddress;
use serde::Deserialize;

use crate::dialect::DatabaseDialect;
use crate::error::DatabaseError;
use crate::postgres::PostgresAddress;

/// Which answers a database shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseRead {
    /// Those of all complete epochs.
    Live,
    /// Only those whose rows are committed to the tables of the run.
    Durable,
}

/// `[answers.postgres]`: writes the answers to tables of PostgreSQL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresAnswersConfig {
    /// `postgres://USER@HOST:PORT/DATABASE`, or `env:NAME` or `file:PATH` with such a URL.
    pub url: String,
    /// The password of the user. Without it: that of the URL, or `PGPASSWORD`.
    pub password: Option<SecretFrom>,
    /// The schema of the tables. It is created if it does not exist.
    #[serde(default = "PostgresAnswersConfig::default_schema")]
    pub schema: String,
    /// Whether to write a table of each answer's changes.
    #[serde(default)]
    pub changes: bool,
    /// For how long changes are kept one by one, seconds. Older ones are replaced by their sum. 0 keeps all.
    #[serde(default = "default_changes_keep_secs")]
    pub changes_keep_secs: u64,
    /// The least time between two writes, seconds.
    #[serde(default = "default_every_secs")]
    pub every_secs: f64,
    /// Which answers are written. By default durable ones, or live ones in a run without tables.
    pub read: Option<DatabaseRead>,
}

/// `[answers.mysql]`: writes the answers to tables of MySQL or MariaDB.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MySqlAnswersConfig {
    /// `mysql://USER@HOST:PORT/DATABASE`, or `env:NAME` or `file:PATH` with such a URL.
    pub url: String,
    /// The password of the user. Without it: that of the URL, or `MYSQL_PWD`.
    pub password: Option<SecretFrom>,
    /// Whether to write a table of each answer's changes.
    #[serde(default)]
    pub changes: bool,
    /// For how long changes are kept one by one, seconds. Older ones are replaced by their sum. 0 keeps all.
    #[serde(default = "default_changes_keep_secs")]
    pub changes_keep_secs: u64,
    /// The least time between two writes, seconds.
    #[serde(default = "default_every_secs")]
    pub every_secs: f64,
    /// Which answers are written. By default durable ones, or live ones in a run without tables.
    pub read: Option<DatabaseRead>,
}

fn default_every_secs() -> f64 {
    1.0
}

/// Seven days.
fn default_changes_keep_secs() -> u64 {
    604_800
}

impl PostgresAnswersConfig {
    fn default_schema() -> String {
        "pinflow".to_owned()
    }

    /// The problems of the configuration, each with a hint. `has_tables`: whether the run has tables.
    #[must_use]
    pub fn problems(&self, base: &Path, has_tables: bool) -> Vec<KeyProblem> {
        let mut problems = shared_problems(self.every_secs, self.read, has_tables);
        let is_reserved = self.schema.starts_with("pg_") || self.schema == "information_schema";
        if self.schema.is_empty() || self.schema.len() > 63 || self.schema.contains('\0') || is_reserved {
            problems.push(KeyProblem::range("schema", "a name of 1 to 63 bytes that does not begin with pg_"));
        }
        if let Some(url) = written_url(&self.url)
            && let Err(error) = PostgresAddress::resolve(url, base, |_| Some("unknown".to_owned()))
        {
            problems.push(KeyProblem::new("url", error.what));
        }
        problems
    }
}

impl MySqlAnswersConfig {
    /// The problems of the configuration, each with a hint. `has_tables`: whether the run has tables.
    #[must_use]
    pub fn problems(&self, has_tables: bool) -> Vec<KeyProblem> {
        let mut problems = shared_problems(self.every_secs, self.read, has_tables);
        if written_url(&self.url).is_some_and(|url| !pinflow_mysql::is_url(url)) {
            problems.push(KeyProblem::new("url", "must begin with mysql://, as in mysql://USER@HOST:PORT/DATABASE"));
        }
        problems
    }
}

/// The URL, if it is written in the configuration.
fn written_url(url: &str) -> Option<&str> {
    (!url.starts_with("env:") && !url.starts_with("file:")).then_some(url)
}

fn shared_problems(every_secs: f64, read: Option<DatabaseRead>, has_tables: bool) -> Vec<KeyProblem> {
    let mut problems = Vec::new();
    if !(0.1..=86_400.0).contains(&every_secs) {
        problems.push(KeyProblem::range("every_secs", "0.1 to 86400"));
    }
    if read == Some(DatabaseRead::Durable) && !has_tables {
        problems.push(KeyProblem::new("read", "\"durable\" needs [tables]; add [tables], or write read = \"live\""));
    }
    problems
}

/// A database to write to.
#[derive(Debug, Clone)]
pub enum DatabaseTarget {
    /// A schema of PostgreSQL.
    Postgres(PostgresAnswersConfig),
    /// A database of MySQL or MariaDB.
    MySql(MySqlAnswersConfig),
}

/// An address with everything that a connection needs.
pub(crate) enum ResolvedAddress {
    Postgres(PostgresAddress),
    MySql(DatabaseAddress),
}

impl DatabaseTarget {
    /// Its name in the configuration and in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            DatabaseTarget::Postgres(_) => "postgres",
            DatabaseTarget::MySql(_) => "mysql",
        }
    }

    /// Whether to write a table of each answer's changes.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        match self {
            DatabaseTarget::Postgres(config) => config.changes,
            DatabaseTarget::MySql(config) => config.changes,
        }
    }

    /// For how long changes are kept one by one. `None`: for ever.
    pub(crate) fn changes_keep(&self) -> Option<Duration> {
        let secs = match self {
            DatabaseTarget::Postgres(config) => config.changes_keep_secs,
            DatabaseTarget::MySql(config) => config.changes_keep_secs,
        };
        (secs > 0).then(|| Duration::from_secs(secs))
    }

    /// The least time between two writes, seconds.
    #[must_use]
    pub fn every_secs(&self) -> f64 {
        match self {
            DatabaseTarget::Postgres(config) => config.every_secs,
            DatabaseTarget::MySql(config) => config.every_secs,
        }
    }

    /// Which answers are written, in a run with or without tables.
    #[must_use]
    pub fn read(&self, has_tables: bool) -> DatabaseRead {
        let read = match self {
            DatabaseTarget::Postgres(config) => config.read,
            DatabaseTarget::MySql(config) => config.read,
        };
        read.unwrap_or(if has_tables { DatabaseRead::Durable } else { DatabaseRead::Live })
    }

    pub(crate) fn dialect(&self) -> DatabaseDialect {
        match self {
            DatabaseTarget::Postgres(_) => DatabaseDialect::Postgres,
            DatabaseTarget::MySql(_) => DatabaseDialect::MySql,
        }
    }

    /// A table's name in quotes, with its schema.
    pub(crate) fn qualified_name(&self, table: &str) -> String {
        let dialect = self.dialect();
        match self {
            DatabaseTarget::Postgres(config) => {
                format!("{}.{}", dialect.quote_name(&config.schema), dialect.quote_name(table))
            }
            DatabaseTarget::MySql(_) => dialect.quote_name(table),
        }
    }

    /// The schema in `information_schema`, as an expression.
    pub(crate) fn schema_expression(&self) -> String {
        match self {
            DatabaseTarget::Postgres(config) => self.dialect().quote_text(&config.schema),
            DatabaseTarget::MySql(_) => "DATABASE()".to_owned(),
        }
    }

    /// Reads URL and password from where they are, each time: a password that was rotated is found.
    pub(crate) fn resolve_address(&self, base: &Path) -> Result<ResolvedAddress, DatabaseError> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let password = |from: &Option<SecretFrom>| from.as_ref().map(|from| from.read(base)).transpose();
        match self {
            DatabaseTarget::Postgres(config) => {
                let url = read_url(&config.url, base)?;
                let mut address = PostgresAddress::resolve(url.expose(), base, environment)?;
                address.is_password_in_url &= written_url(&config.url).is_some();
                address.password = password(&config.password)?.or(address.password);
                Ok(ResolvedAddress::Postgres(address))
            }
            DatabaseTarget::MySql(config) => {
                let url = read_url(&config.url, base)?;
                let mut address = DatabaseAddress::resolve_from(url.expose(), None)?;
                address.is_password_in_url &= written_url(&config.url).is_some();
                address.tls.authorities = address.tls.authorities.take().map(|path: PathBuf| base.join(path));
                if let Some(password) = password(&config.password)? {
                    address.set_password(password);
                }
                Ok(ResolvedAddress::MySql(address))
            }
        }
    }
}

impl ResolvedAddress {
    /// The address as a URL without the password.
    pub(crate) fn redacted_url(&self) -> String {
        match self {
            ResolvedAddress::Postgres(address) => address.redacted_url(),
            ResolvedAddress::MySql(address) => address.redacted_url(),
        }
    }

    /// Whether the password is written in the configuration.
    pub(crate) fn is_password_in_url(&self) -> bool {
        match self {
            ResolvedAddress::Postgres(address) => address.is_password_in_url,
            ResolvedAddress::MySql(address) => address.is_password_in_url,
        }
    }
}

/// The URL, read from a variable or a file if the text says so.
fn read_url(url: &str, base: &Path) -> Result<Secret, DatabaseError> {
    match written_url(url) {
        Some(url) => Ok(Secret::new(url.to_owned())),
        None => Ok(SecretFrom::try_from(url.to_owned()).map_err(DatabaseError::settings)?.read(base)?),
    }
}

#[cfg(test)]
impl DatabaseTarget {
    pub(crate) fn postgres_for_tests() -> DatabaseTarget {
        DatabaseTarget::Postgres(PostgresAnswersConfig {
            url: "postgres://me@localhost/answers".to_owned(),
            password: None,
            schema: "pinflow".to_owned(),
            changes: true,
            changes_keep_secs: 0,
            every_secs: 1.0,
            read: None,
        })
    }

    pub(crate) fn mysql_for_tests() -> DatabaseTarget {
        DatabaseTarget::MySql(MySqlAnswersConfig {
            url: "mysql://me@localhost/answers".to_owned(),
            password: None,
            changes: true,
            changes_keep_secs: 0,
            every_secs: 1.0,
            read: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_of_a_configuration_is_named_without_the_password() {
        let DatabaseTarget::Postgres(config) = DatabaseTarget::postgres_for_tests() else { return };
        assert!(config.problems(Path::new(""), true).is_empty());
        for (url, schema, every_secs, read, key) in [
            ("postgres://me:canary@host:port/x", "pinflow", 1.0, None, "url"),
            ("mysql://me:canary@host/x", "pinflow", 1.0, None, "url"),
            ("postgres://me@host/x", "pg_mine", 1.0, None, "schema"),
            ("postgres://me@host/x", "pinflow", 0.0, None, "every_secs"),
            ("postgres://me@host/x", "pinflow", 1.0, Some(DatabaseRead::Durable), "read"),
        ] {
            let (url, schema) = (url.to_owned(), schema.to_owned());
            let problems = PostgresAnswersConfig { url, schema, every_secs, read, ..config.clone() }
                .problems(Path::new(""), false);
            let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
            assert_eq!(keys, [key], "{problems:?}");
            assert!(!format!("{problems:?}").contains("canary"));
        }
    }
}
