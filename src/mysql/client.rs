//! The calls. Values come as the server writes them as text, which is what the original's driver reads, too.

use std::sync::Once;
use std::time::Duration;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, SslOpts};

use super::address::Address;
use super::fault::{Fault, Kind};
use super::tls::{Mode, any_name};
use crate::secret::Secret;

/// How long connecting may take, TLS and authentication included.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a call may take. Those that read whole tables have no such bound.
const CALL: Duration = Duration::from_secs(60);
/// After so long a silence the kernel asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What each connection is told first: texts are UTF-8, moments are UTC, and nothing is cut to fit in silence.
const SETUP: [&str; 3] =
    ["SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00'", "SET SESSION sql_mode = 'STRICT_ALL_TABLES'"];

/// A connection to a database.
pub struct Client {
    conn: Conn,
    is_encrypted: bool,
}

/// What the text of a column's values is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A number in decimal digits; it may begin with zeros.
    Number,
    /// A number in binary digits: what is written is its shortest text.
    Fraction,
    /// A date with a time, a space between.
    Moment,
    /// Anything else: text, or bytes that need not be text.
    Text,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub form: Form,
}

/// A value that is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number.
    Whole(i64),
    /// Any number.
    Fraction(f64),
    /// Text, or a moment as text.
    Text(String),
}

/// A value that was read; `None` is NULL.
pub type Cell = Option<Vec<u8>>;

/// The rows that answer one statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// What stands in each.
    pub columns: Vec<Column>,
    /// The rows, in the order they came.
    pub rows: Vec<Vec<Cell>>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Whatever keeps it from that; nothing is tried again.
    pub async fn connect(address: &Address) -> Result<Client, Fault> {
        use_one_provider();
        let open = |tls| open(address, tls);
        let tls = address.tls.options();
        match open(tls.clone()).await {
            Err(fault) if fault.kind == Kind::Tls && address.tls.mode == Mode::Preferred => {
                if fault.what.contains("does not offer TLS") { open(None).await } else { Err(fault) }
            }
            // The authority is right already, for names are compared last; any of its names will do.
            Err(Fault { presented: Some(names), kind, what }) if address.tls.mode == Mode::VerifyCa => {
                let tls =
                    tls.zip(any_name(&names)).map(|(tls, name)| tls.with_danger_tls_hostname_override(Some(name)));
                if tls.is_none() {
                    let what = format!("{what}; it must have one, for the driver to verify it");
                    return Err(Fault { kind, what, presented: None });
                }
                open(tls).await
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
    /// [`Fault`].
    pub async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        timed(self.conn.query_drop(sql)).await
    }

    /// Asks; several statements, with a semicolon between, in one go. Each has an answer of its own.
    ///
    /// # Errors
    /// [`Fault`], of the first statement that fails.
    pub async fn ask(&mut self, sql: &str) -> Result<Vec<Rows>, Fault> {
        timed(async {
            let mut answers = Vec::new();
            let mut result = self.conn.query_iter(sql).await?;
            while let Some(columns) = result.columns() {
                let columns = columns.iter().map(column).collect();
                let rows: Vec<Row> = result.collect().await?;
                answers.push(Rows { columns, rows: rows.into_iter().map(cells).collect() });
            }
            Ok(answers)
        })
        .await
    }

    /// Asks for very many rows, and hands each on as it comes.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn each(&mut self, sql: &str, mut row: impl FnMut(Vec<Cell>)) -> Result<(), Fault> {
        let mut result = self.conn.query_iter(sql).await?;
        while let Some(next) = result.next().await? {
            row(cells(next));
        }
        Ok(())
    }

    /// Writes rows: `sql` has a question mark for each of `values`.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn write(&mut self, sql: &str, values: Vec<Value>) -> Result<(), Fault> {
        let values = values.into_iter().map(|value| match value {
            Value::Null => mysql_async::Value::NULL,
            Value::Whole(number) => mysql_async::Value::Int(number),
            Value::Fraction(number) => mysql_async::Value::Double(number),
            Value::Text(text) => mysql_async::Value::Bytes(text.into_bytes()),
        });
        timed(self.conn.exec_drop(sql, Params::Positional(values.collect()))).await
    }

    /// Says goodbye, so that the server does not count an aborted connection.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CONNECT, self.conn.disconnect()).await;
    }
}

/// Two crates of cryptography are compiled in, for other crates' sake; rustls wants to be told which one is meant.
fn use_one_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
}

async fn open(address: &Address, tls: Option<SslOpts>) -> Result<Client, Fault> {
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
        .tcp_keepalive(Some(KEEPALIVE))
        .setup(SETUP.to_vec());
    let opened = tokio::time::timeout(CONNECT, Conn::new(Opts::from(options))).await;
    Ok(Client { conn: opened.map_err(|_| Fault::silence())??, is_encrypted })
}

async fn timed<T>(call: impl Future<Output = mysql_async::Result<T>>) -> Result<T, Fault> {
    Ok(tokio::time::timeout(CALL, call).await.map_err(|_| Fault::silence())??)
}

fn column(column: &mysql_async::Column) -> Column {
    use ColumnType::{
        MYSQL_TYPE_DATETIME, MYSQL_TYPE_DATETIME2, MYSQL_TYPE_DECIMAL, MYSQL_TYPE_DOUBLE, MYSQL_TYPE_FLOAT,
        MYSQL_TYPE_INT24, MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG, MYSQL_TYPE_NEWDECIMAL, MYSQL_TYPE_SHORT,
        MYSQL_TYPE_TIMESTAMP, MYSQL_TYPE_TIMESTAMP2, MYSQL_TYPE_TINY, MYSQL_TYPE_YEAR,
    };
    let form = match column.column_type() {
        MYSQL_TYPE_TINY
        | MYSQL_TYPE_SHORT
        | MYSQL_TYPE_INT24
        | MYSQL_TYPE_LONG
        | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL
        | MYSQL_TYPE_YEAR => Form::Number,
        MYSQL_TYPE_FLOAT | MYSQL_TYPE_DOUBLE => Form::Fraction,
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 | MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => Form::Moment,
        _ => Form::Text,
    };
    Column { name: column.name_str().into_owned(), form }
}

fn cells(row: Row) -> Vec<Cell> {
    let texts = row.unwrap().into_iter().map(|value| match value {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(text) => Some(text),
        // Answers to questions without parameters are text.
        other => Some(other.as_sql(true).into_bytes()),
    });
    texts.collect()
}
