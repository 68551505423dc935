//! A connection to PostgreSQL.

use std::fmt::Write;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use pinflow_core::secret::Secret;
use pinflow_dataflows::answer::{AnswerCell, ColumnType};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as DriverSslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Config, Row};

use super::address::{PostgresAddress, PostgresSslMode};
use super::tls::PostgresTls;
use crate::dialect::{DatabaseDialect, format_time};
use crate::error::{DatabaseError, DatabaseErrorKind};
use crate::session::{DatabaseSession, InsertTarget, RowIterator, RowVisitor};

/// How long connecting may take, including TLS and authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the server may take for a statement, or for the next part of a result.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long sent bytes may stay unacknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows are sent in parts of this many bytes.
const COPY_BYTES: usize = 64 << 10;
/// Microseconds from 1970 to 2000, from which PostgreSQL counts.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Settings of each session. A lock that another session holds is an error that is retried, and the server ends this
/// session if its transaction stays idle: otherwise a process that vanished would hold the lock of the writer for hours.
const SESSION_SETUP: &str = "SET application_name = 'pinflow'; SET standard_conforming_strings = on; \
    SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'; SET client_encoding = 'UTF8'; \
    SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'";

/// A connection to PostgreSQL.
pub(crate) struct PostgresSession {
    client: Client,
    connection: JoinHandle<()>,
}

impl PostgresSession {
    /// Connects to a database.
    ///
    /// # Errors
    /// If the server cannot be reached within 15 seconds, or refuses the account or the TLS settings.
    pub(crate) async fn connect(address: &PostgresAddress) -> Result<PostgresSession, DatabaseError> {
        let tls = PostgresTls::new(address)?;
        let config = driver_config(address);
        let connecting = config.connect(tls).await_within(CONNECT_TIMEOUT);
        let (client, connection) = connecting.await?.map_err(|error| connect_error(&error))?;
        let connection = tokio::spawn(async move {
            // Its error is also that of the statement that was under way.
            let _ = connection.await;
        });
        let session = PostgresSession { client, connection };
        session
            .client
            .batch_execute(SESSION_SETUP)
            .await_within(CALL_TIMEOUT)
            .await?
            .map_err(|error| to_error(&error))?;
        Ok(session)
    }
}

fn driver_config(address: &PostgresAddress) -> Config {
    let mut config = Config::new();
    config.user(&address.user).dbname(&address.database).port(address.port).host(&address.host);
    if let Some(password) = &address.password {
        config.password(Secret::expose(password));
    }
    config.ssl_mode(match address.ssl_mode {
        // Nobody listens in on a Unix socket.
        _ if address.is_socket() => DriverSslMode::Disable,
        PostgresSslMode::Disable => DriverSslMode::Disable,
        PostgresSslMode::Prefer => DriverSslMode::Prefer,
        PostgresSslMode::Require | PostgresSslMode::VerifyCa | PostgresSslMode::VerifyFull => DriverSslMode::Require,
    });
    config.tcp_user_timeout(TCP_USER_TIMEOUT).keepalives_idle(TCP_USER_TIMEOUT);
    config
}

/// A future that fails if it takes too long.
trait AwaitWithin: Future + Sized {
    async fn await_within(self, limit: Duration) -> Result<Self::Output, DatabaseError> {
        tokio::time::timeout(limit, self).await.map_err(|_| DatabaseError::no_reply())
    }
}

impl<F: Future> AwaitWithin for F {}

#[async_trait]
impl DatabaseSession for PostgresSession {
    fn dialect(&self) -> DatabaseDialect {
        DatabaseDialect::Postgres
    }

    async fn execute(&mut self, sql: &str) -> Result<u64, DatabaseError> {
        let changed = self.client.execute(sql, &[]).await_within(CALL_TIMEOUT).await?;
        changed.map_err(|error| to_error(&error))
    }

    async fn read_rows(&mut self, sql: &str, kinds: &[ColumnType], visit: RowVisitor<'_>) -> Result<(), DatabaseError> {
        let none: [&str; 0] = [];
        let rows = self.client.query_raw(sql, none).await_within(CALL_TIMEOUT).await?;
        let mut rows = std::pin::pin!(rows.map_err(|error| to_error(&error))?);
        while let Some(row) = rows.next().await_within(CALL_TIMEOUT).await? {
            let row = row.map_err(|error| to_error(&error))?;
            let cells = kinds.iter().enumerate().map(|(at, kind)| read_cell(&row, at, *kind));
            visit(cells.collect::<Result<_, _>>()?)?;
        }
        Ok(())
    }

    async fn insert_rows(&mut self, target: &InsertTarget, rows: RowIterator<'_>) -> Result<u64, DatabaseError> {
        let sql = format!("COPY {} ({}) FROM STDIN", target.table, target.columns);
        let sink = self.client.copy_in::<_, Bytes>(&sql).await_within(CALL_TIMEOUT).await?;
        let mut sink = std::pin::pin!(sink.map_err(|error| to_error(&error))?);
        let mut part = BytesMut::new();
        for row in rows {
            write_copy_line(&row, &mut part);
            if part.len() >= COPY_BYTES {
                let sent = sink.send(part.split().freeze()).await_within(CALL_TIMEOUT).await?;
                sent.map_err(|error| to_error(&error))?;
            }
        }
        if !part.is_empty() {
            sink.send(part.freeze()).await_within(CALL_TIMEOUT).await?.map_err(|error| to_error(&error))?;
        }
        sink.finish().await_within(CALL_TIMEOUT).await?.map_err(|error| to_error(&error))
    }

    async fn close(self: Box<Self>) {
        let PostgresSession { client, connection } = *self;
        drop(client);
        // It ends once the server has the farewell.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, connection).await;
    }
}

/// A `timestamptz` in microseconds since 1970.
struct TimeMicros(i64);

impl<'a> FromSql<'a> for TimeMicros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<TimeMicros, Box<dyn std::error::Error + Sync + Send>> {
        Ok(TimeMicros(i64::from_be_bytes(raw.try_into()?).saturating_add(POSTGRES_EPOCH_MICROS)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

fn read_cell(row: &Row, at: usize, kind: ColumnType) -> Result<AnswerCell, DatabaseError> {
    let cell = match kind {
        ColumnType::Long => row.try_get::<_, Option<i64>>(at).map(|value| value.map(AnswerCell::Long)),
        ColumnType::Text => row.try_get::<_, Option<&str>>(at).map(|value| value.map(AnswerCell::text)),
        ColumnType::Double => row.try_get::<_, Option<f64>>(at).map(|value| value.map(AnswerCell::Double)),
        ColumnType::Bool => row.try_get::<_, Option<bool>>(at).map(|value| value.map(AnswerCell::Bool)),
        ColumnType::Time => row
            .try_get::<_, Option<TimeMicros>>(at)
            .map(|value| value.map(|TimeMicros(micros)| AnswerCell::time(micros))),
    };
    // The driver's text may contain the value.
    let unreadable = |_| {
        let what = format!("column {} of the result is no {}", at + 1, kind.name());
        DatabaseError::new(DatabaseErrorKind::Statement, what)
    };
    Ok(cell.map_err(unreadable)?.unwrap_or(AnswerCell::Null))
}

/// Appends a row in the text format of `COPY`.
fn write_copy_line(row: &[AnswerCell], into: &mut BytesMut) {
    for (at, cell) in row.iter().enumerate() {
        if at > 0 {
            into.extend_from_slice(b"\t");
        }
        // Writing to a buffer does not fail.
        let _ = match cell {
            AnswerCell::Null => write!(into, "\\N"),
            AnswerCell::Long(value) => write!(into, "{value}"),
            AnswerCell::Bool(value) => write!(into, "{value}"),
            AnswerCell::Double(value) if value.is_infinite() => {
                write!(into, "{}", if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            AnswerCell::Double(value) => write!(into, "{value}"),
            AnswerCell::Text(text) => {
                write_copy_text(text, into);
                Ok(())
            }
            AnswerCell::Time(micros) => write!(into, "{}", copy_time(*micros)),
        };
    }
    into.extend_from_slice(b"\n");
}

fn write_copy_text(text: &str, into: &mut BytesMut) {
    for byte in text.bytes() {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\t' => into.extend_from_slice(b"\\t"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            byte => into.extend_from_slice(&[byte]),
        }
    }
}

/// A moment as PostgreSQL reads it. Years before 1 are written with BC.
fn copy_time(micros: i64) -> String {
    let text = format_time(micros);
    match text.strip_prefix('-').and_then(|rest| rest.split_once('-')) {
        // The year 0 is 1 BC.
        Some((year, rest)) => format!("{:04}-{rest}+00 BC", year.parse::<i64>().unwrap_or_default() + 1),
        None => match text.strip_prefix("0000-") {
            Some(rest) => format!("0001-{rest}+00 BC"),
            None => format!("{text}+00"),
        },
    }
}

fn connect_error(error: &tokio_postgres::Error) -> DatabaseError {
    let error = to_error(error);
    // Nothing is written yet: a retry can succeed once the server or the account was changed.
    DatabaseError::unavailable(error.what)
}

/// Classifies an error of the driver or the server (PostgreSQL manual, "PostgreSQL Error Codes").
fn to_error(error: &tokio_postgres::Error) -> DatabaseError {
    let Some(server) = error.as_db_error() else {
        // The display of the driver's error leaves out its cause.
        return DatabaseError::unavailable(pinflow_core::error_text::error_text(error));
    };
    let (code, message) = (server.code().code(), server.message());
    let hint = match *server.code() {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "; the password comes from `password`, the URL or PGPASSWORD"
        }
        SqlState::INVALID_CATALOG_NAME => "; CREATE DATABASE makes it",
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "; the guide \"Answers in databases\" has the privileges that pinflow needs"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => "; the server is a standby or read-only: name the primary in the URL",
        _ => "",
    };
    let about_statement = ["0A", "22", "23", "2B", "42", "54"].iter().any(|class| code.starts_with(class));
    let kind = if about_statement { DatabaseErrorKind::Statement } else { DatabaseErrorKind::Unavailable };
    DatabaseError::new(kind, format!("the server reports error {code}: {message}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_one_field_of_a_copy_line() {
        let mut line = BytesMut::new();
        let row = [
            AnswerCell::Null,
            AnswerCell::text("a\tb\\N\nc\r"),
            AnswerCell::Double(f64::NAN),
            AnswerCell::Double(f64::NEG_INFINITY),
            AnswerCell::Double(1e300),
            AnswerCell::Bool(true),
            AnswerCell::time(-1),
        ];
        write_copy_line(&row, &mut line);
        let text = std::str::from_utf8(&line).expect("it is text");
        let fields: Vec<_> = text.trim_end_matches('\n').split('\t').collect();
        assert_eq!(fields[..2], ["\\N", "a\\tb\\\\N\\nc\\r"]);
        assert_eq!((fields[2], fields[3], fields[5]), ("NaN", "-Infinity", "true"));
        assert_eq!(fields[4].parse(), Ok(1e300));
        assert_eq!(fields[6], "1969-12-31 23:59:59.999999+00");
    }

    #[test]
    fn times_before_year_one_are_written_with_bc() {
        assert_eq!(copy_time(-62_167_219_200_000_000), "0001-01-01 00:00:00.000000+00 BC");
        assert_eq!(copy_time(-62_198_755_200_000_000), "0002-01-01 00:00:00.000000+00 BC");
    }
}
