//! Connections and queries. Values are read as the text that the server sends (the text protocol), as the driver of the
//! posting emulator reads them.

use std::sync::Once;
use std::time::Duration;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, SslOpts};

use super::address::DatabaseAddress;
use super::error::{MySqlError, MySqlErrorKind};
use super::tls::{SslMode, presented_name};
use pinflow_core::secret::Secret;

/// How long connecting may take, including TLS and authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a statement may take. Queries that stream whole tables are not limited.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection is silent before TCP keepalive probes are sent.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Statements that set up each session: UTF-8 text, UTC times, and no silent truncation of values.
const SESSION_SETUP: [&str; 3] =
    ["SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00'", "SET SESSION sql_mode = 'STRICT_ALL_TABLES'"];

/// A connection to a database.
pub struct MySqlClient {
    conn: Conn,
    is_encrypted: bool,
}

/// What the text of a column's values means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A decimal number. It may have leading zeros (`ZEROFILL`).
    Decimal,
    /// A floating-point number.
    Float,
    /// `YYYY-MM-DD hh:mm:ss`, with a fraction if the column has one.
    DateTime,
    /// Anything else: text, or bytes that need not be UTF-8.
    Text,
}

/// A column of a [`ResultSet`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ResultColumn {
    pub name: String,
    pub kind: ColumnKind,
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum SqlValue {
    Null,
    Integer(i64),
    Float(f64),
    /// Text, or a time as text.
    Text(String),
}

/// A value as the server sent it, as text. `None` is NULL.
pub type TextCell = Option<Vec<u8>>;

/// The result of one statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct ResultSet {
    pub columns: Vec<ResultColumn>,
    /// The rows, in the order of the server.
    pub rows: Vec<Vec<TextCell>>,
}

impl MySqlClient {
    /// Connects to a database.
    ///
    /// With `ssl-mode=PREFERRED`, connects without TLS if the server does not offer it.
    ///
    /// # Errors
    /// If the server cannot be reached within 15 seconds, or refuses the account or the TLS settings.
    pub async fn connect(address: &DatabaseAddress) -> Result<MySqlClient, MySqlError> {
        install_crypto_provider();
        let connect_with = |tls| open_connection(address, tls);
        let tls = address.tls.ssl_opts();
        match connect_with(tls.clone()).await {
            Err(error) if error.kind == MySqlErrorKind::Tls && address.tls.mode == SslMode::Preferred => {
                if error.what.contains("does not offer TLS") { connect_with(None).await } else { Err(error) }
            }
            // The driver cannot skip only the name check, which rustls does last. So the chain is valid by now: connect
            // again under a name that is in the certificate.
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

    /// Whether the connection uses TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Executes a statement without a result.
    ///
    /// # Errors
    /// If the statement fails, or takes longer than 60 seconds.
    pub async fn execute(&mut self, sql: &str) -> Result<(), MySqlError> {
        with_timeout(self.conn.query_drop(sql)).await
    }

    /// Executes a statement without a result, and returns the number of rows that it changed.
    ///
    /// # Errors
    /// As [`MySqlClient::execute`].
    pub async fn execute_counted(&mut self, sql: &str) -> Result<u64, MySqlError> {
        self.execute(sql).await?;
        Ok(self.conn.affected_rows())
    }

    /// Runs one or more statements, separated by semicolons, in one round trip. Returns one result for each.
    ///
    /// # Errors
    /// The error of the first statement that fails, or a timeout after 60 seconds.
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

    /// Runs a query with a large result, and calls `row` for each row as it arrives.
    ///
    /// # Errors
    /// If the query fails. There is no timeout.
    pub async fn query_each(&mut self, sql: &str, mut row: impl FnMut(Vec<TextCell>)) -> Result<(), MySqlError> {
        let mut result = self.conn.query_iter(sql).await?;
        while let Some(next) = result.next().await? {
            row(to_cells(next));
        }
        Ok(())
    }

    /// Executes a statement with one `?` for each of `values`.
    ///
    /// # Errors
    /// If the statement fails, or takes longer than 60 seconds.
    pub async fn execute_with(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<(), MySqlError> {
        let values = values.into_iter().map(|value| match value {
            SqlValue::Null => mysql_async::Value::NULL,
            SqlValue::Integer(number) => mysql_async::Value::Int(number),
            SqlValue::Float(number) => mysql_async::Value::Double(number),
            SqlValue::Text(text) => mysql_async::Value::Bytes(text.into_bytes()),
        });
        with_timeout(self.conn.exec_drop(sql, Params::Positional(values.collect()))).await
    }

    /// Closes the connection in order. Otherwise the server counts it as aborted (`Aborted_clients`).
    pub async fn close(self) {
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.conn.disconnect()).await;
    }
}

/// Selects the cryptography of rustls. Other dependencies compile in a second provider, so rustls cannot choose by
/// itself.
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
        // The driver would otherwise switch to a Unix socket if the server has one.
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
        // The text protocol has only text and NULL.
        other => Some(other.as_sql(true).into_bytes()),
    });
    texts.collect()
}
