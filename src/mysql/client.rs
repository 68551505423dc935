//! The calls. Values come as the server writes them as text, which is what the original's driver reads, too.

use std::sync::Once;
use std::time::Duration;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, SslOpts};

use super::address::DatabaseAddress;
use super::error::{MySqlError, MySqlErrorKind};
use super::tls::{SslMode, presented_name};
use crate::secret::Secret;

/// How long connecting may take, TLS and authentication included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call may take. Those that read whole tables have no such bound.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// After so long a silence the kernel asks whether the server is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// What each connection is told first: texts are UTF-8, moments are UTC, and nothing is cut to fit in silence.
const SESSION_SETUP: [&str; 3] =
    ["SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00'", "SET SESSION sql_mode = 'STRICT_ALL_TABLES'"];

/// A connection to a database.
pub struct MySqlClient {
    conn: Conn,
    is_encrypted: bool,
}

/// What the text of a column's values is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A number in decimal digits; it may begin with zeros.
    Decimal,
    /// A number in binary digits: what is written is its shortest text.
    Float,
    /// A date with a time, a space between.
    DateTime,
    /// Anything else: text, or bytes that need not be text.
    Text,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: ColumnKind,
}

/// A value that is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// Any number.
    Float(f64),
    /// Text, or a moment as text.
    Text(String),
}

/// A value that was read; `None` is NULL.
pub type TextCell = Option<Vec<u8>>;

/// The rows that answer one statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultSet {
    /// What stands in each.
    pub columns: Vec<ResultColumn>,
    /// The rows, in the order they came.
    pub rows: Vec<Vec<TextCell>>,
}

impl MySqlClient {
    /// Connects.
    ///
    /// # Errors
    /// Whatever keeps it from that; nothing is tried again.
    pub async fn connect(address: &DatabaseAddress) -> Result<MySqlClient, MySqlError> {
        install_crypto_provider();
        let connect_with = |tls| open_connection(address, tls);
        let tls = address.tls.ssl_opts();
        match connect_with(tls.clone()).await {
            Err(fault) if fault.kind == MySqlErrorKind::Tls && address.tls.mode == SslMode::Preferred => {
                if fault.what.contains("does not offer TLS") { connect_with(None).await } else { Err(fault) }
            }
            // The authority is right already, for names are compared last; any of its names will do.
            Err(MySqlError { presented: Some(names), kind, what }) if address.tls.mode == SslMode::VerifyCa => {
                let tls = tls
                    .zip(presented_name(&names))
                    .map(|(tls, name)| tls.with_danger_tls_hostname_override(Some(name)));
                if tls.is_none() {
                    let what = format!("{what}; it must have one, for the driver to verify it");
                    return Err(MySqlError { kind, what, presented: None });
                }
                connect_with(tls).await
            }
            other => other,
        }
    }

    /// Whether what is said cannot be listened to.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Does something that has no answer.
    ///
    /// # Errors
    /// [`MySqlError`].
    pub async fn execute(&mut self, sql: &str) -> Result<(), MySqlError> {
        with_timeout(self.conn.query_drop(sql)).await
    }

    /// Asks; several statements, with a semicolon between, in one go. Each has an answer of its own.
    ///
    /// # Errors
    /// [`MySqlError`], of the first statement that fails.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<ResultSet>, MySqlError> {
        with_timeout(async {
            let mut answers = Vec::new();
            let mut result = self.conn.query_iter(sql).await?;
            while let Some(columns) = result.columns() {
                let columns = columns.iter().map(to_result_column).collect();
                let rows: Vec<Row> = result.collect().await?;
                answers.push(ResultSet { columns, rows: rows.into_iter().map(to_cells).collect() });
            }
            Ok(answers)
        })
        .await
    }

    /// Asks for very many rows, and hands each on as it comes.
    ///
    /// # Errors
    /// [`MySqlError`].
    pub async fn query_each(&mut self, sql: &str, mut row: impl FnMut(Vec<TextCell>)) -> Result<(), MySqlError> {
        let mut result = self.conn.query_iter(sql).await?;
        while let Some(next) = result.next().await? {
            row(to_cells(next));
        }
        Ok(())
    }

    /// Writes rows: `sql` has a question mark for each of `values`.
    ///
    /// # Errors
    /// [`MySqlError`].
    pub async fn execute_with(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<(), MySqlError> {
        let values = values.into_iter().map(|value| match value {
            SqlValue::Null => mysql_async::Value::NULL,
            SqlValue::Integer(number) => mysql_async::Value::Int(number),
            SqlValue::Float(number) => mysql_async::Value::Double(number),
            SqlValue::Text(text) => mysql_async::Value::Bytes(text.into_bytes()),
        });
        with_timeout(self.conn.exec_drop(sql, Params::Positional(values.collect()))).await
    }

    /// Says goodbye, so that the server does not count an aborted connection.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.conn.disconnect()).await;
    }
}

/// Two crates of cryptography are compiled in, for other crates' sake; rustls wants to be told which one is meant.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
}

async fn open_connection(address: &DatabaseAddress, tls: Option<SslOpts>) -> Result<MySqlClient, MySqlError> {
    let is_encrypted = tls.is_some();
    let options = OptsBuilder::default()
        .ip_or_hostname(address.host.as_str())
        .tcp_port(address.port)
        .user(Some(address.user.as_str()))
        .pass(address.password.as_ref().map(Secret::expose))
        .db_name(Some(address.database.as_str()))
        .ssl_opts(tls)
        // What was asked for is this host and port, and not whatever socket it may have.
        .prefer_socket(false)
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .setup(SESSION_SETUP.to_vec());
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, Conn::new(Opts::from(options))).await;
    Ok(MySqlClient { conn: opened.map_err(|_| MySqlError::no_response())??, is_encrypted })
}

async fn with_timeout<T>(call: impl Future<Output = mysql_async::Result<T>>) -> Result<T, MySqlError> {
    Ok(tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(|_| MySqlError::no_response())??)
}

fn to_result_column(column: &mysql_async::Column) -> ResultColumn {
    use ColumnType::{
        MYSQL_TYPE_DATETIME, MYSQL_TYPE_DATETIME2, MYSQL_TYPE_DECIMAL, MYSQL_TYPE_DOUBLE, MYSQL_TYPE_FLOAT,
        MYSQL_TYPE_INT24, MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG, MYSQL_TYPE_NEWDECIMAL, MYSQL_TYPE_SHORT,
        MYSQL_TYPE_TIMESTAMP, MYSQL_TYPE_TIMESTAMP2, MYSQL_TYPE_TINY, MYSQL_TYPE_YEAR,
    };
    let kind = match column.column_type() {
        MYSQL_TYPE_TINY
        | MYSQL_TYPE_SHORT
        | MYSQL_TYPE_INT24
        | MYSQL_TYPE_LONG
        | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL
        | MYSQL_TYPE_YEAR => ColumnKind::Decimal,
        MYSQL_TYPE_FLOAT | MYSQL_TYPE_DOUBLE => ColumnKind::Float,
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 | MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => {
            ColumnKind::DateTime
        }
        _ => ColumnKind::Text,
    };
    ResultColumn { name: column.name_str().into_owned(), kind }
}

fn to_cells(row: Row) -> Vec<TextCell> {
    let texts = row.unwrap().into_iter().map(|value| match value {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(text) => Some(text),
        // Answers to questions without parameters are text.
        other => Some(other.as_sql(true).into_bytes()),
    });
    texts.collect()
}
