//! Reads rows from a database, and reconnects after an outage.

use std::time::{Duration, Instant};

use pinflow_dataflows::record::Stream;
use tokio::time::sleep;

use super::offset_index::{DatabaseTable, InspectTableCause, InspectTableError};
use crate::delivery::DeliveryTracker;
use crate::error::EmitError;
use crate::progress::write_line;
use pinflow_core::backoff::Backoff;
use pinflow_core::error_text::error_text;
use pinflow_mysql::{DatabaseAddress, MySqlClient, ResultSet, SslMode};

/// How long the database may be unreachable before the first draw: it may be starting.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
/// First and longest wait before a reconnect.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often a continuing outage is logged.
const RETRY_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The minimum time between two inspections of the tables.
const MIN_INSPECT_INTERVAL: Duration = Duration::from_secs(60);
/// Inspecting may take one part in this many of the time.
const INSPECT_TIME_FACTOR: u32 = 50;

/// A database, and the tables of the selected streams.
pub(super) struct SourceDatabase<'d> {
    address: DatabaseAddress,
    streams: Vec<Stream>,
    /// The stop request, and the retry status during an outage.
    delivery: &'d DeliveryTracker,
    /// `None` during an outage.
    client: Option<MySqlClient>,
    tables: Vec<DatabaseTable>,
    /// When to inspect the tables again.
    due: Instant,
    /// The number of outages.
    pub(super) outages: u64,
}

/// What a draw found in the table of one stream.
pub(super) struct DrawnRow {
    pub(super) stream: Stream,
    /// The offset of the row, from 0.
    pub(super) offset: u64,
    /// One row, or none if there is no row at the offset.
    pub(super) rows: ResultSet,
}

/// A result, unless a stop request came first.
pub(super) enum UntilStopped<T> {
    Done(T),
    Stopped,
}

impl<'d> SourceDatabase<'d> {
    /// Connects, and inspects the tables.
    ///
    /// # Errors
    /// If that fails for good, or does not succeed within 30 seconds.
    pub(super) async fn open(
        address: DatabaseAddress,
        streams: Vec<Stream>,
        delivery: &'d DeliveryTracker,
    ) -> Result<UntilStopped<SourceDatabase<'d>>, EmitError> {
        let due = Instant::now();
        let mut database =
            SourceDatabase { address, streams, delivery, client: None, tables: Vec::new(), due, outages: 0 };
        let UntilStopped::Done(()) = database.connect_or_stop(Some(STARTUP_TIMEOUT)).await? else {
            return Ok(UntilStopped::Stopped);
        };
        database.log_connection();
        Ok(UntilStopped::Done(database))
    }

    /// The number of rows of the longest table. At least one.
    pub(super) fn longest_table_rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).max().unwrap_or(0).max(1)
    }

    /// Whether all tables are empty.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.rows == 0)
    }

    /// The name of a stream's table, and its number of rows at the last inspection.
    pub(super) fn table_name_and_rows(&self, stream: Stream) -> (&'static str, u64) {
        let table = self.tables.iter().find(|table| table.schema.stream == stream);
        table.map_or(("", 0), |table| (table.schema.name, table.rows))
    }

    /// Reads the rows at these offsets of every table, draw by draw, in one round trip. Waits during an outage.
    ///
    /// # Errors
    /// If a statement fails for another reason than an outage.
    pub(super) async fn fetch_rows(&mut self, offsets: &[u64]) -> Result<UntilStopped<Vec<DrawnRow>>, EmitError> {
        loop {
            if self.client.is_some() && Instant::now() >= self.due {
                // If this fails, the query for the rows fails, too, and is handled there.
                drop(self.inspect_tables().await);
            }
            let Some(client) = &mut self.client else {
                self.outages += 1;
                match self.connect_or_stop(None).await? {
                    UntilStopped::Done(()) => continue,
                    UntilStopped::Stopped => return Ok(UntilStopped::Stopped),
                }
            };
            let mut queries = Vec::with_capacity(offsets.len() * self.tables.len());
            for offset in offsets {
                queries
                    .extend(self.tables.iter().map(|table| (table.schema.stream, *offset, table.select_row(*offset))));
            }
            let sql: Vec<&str> = queries.iter().filter_map(|(_, _, sql)| sql.as_deref()).collect();
            if sql.is_empty() {
                return Ok(UntilStopped::Done(match_answers(queries, Vec::new())));
            }
            match client.query(&sql.join(";")).await {
                Ok(answers) => return Ok(UntilStopped::Done(match_answers(queries, answers))),
                Err(error) if error.may_pass() => {
                    tracing::warn!(place = %self.address.redacted_url(), "{error}; trying again until it is back");
                    self.client = None;
                }
                Err(error) => {
                    let what = format!("draw rows from {}", self.address.redacted_url());
                    return Err(EmitError::Statement { what, cause: error });
                }
            }
        }
    }

    /// Closes the connection in order.
    pub(super) async fn close(self) {
        if let Some(client) = self.client {
            client.close().await;
        }
    }

    /// Connects until it succeeds or `patience` is over. `None` waits without end.
    async fn connect_or_stop(&mut self, patience: Option<Duration>) -> Result<UntilStopped<()>, EmitError> {
        let delivery = self.delivery;
        tokio::select! {
            () = delivery.stop.requested() => Ok(UntilStopped::Stopped),
            connected = self.keep_connecting(patience) => connected.map(UntilStopped::Done),
        }
    }

    async fn keep_connecting(&mut self, patience: Option<Duration>) -> Result<(), EmitError> {
        let began = Instant::now();
        let (mut backoff, mut logged) = (Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1), None);
        for attempt in 1.. {
            let error = match self.try_connecting().await {
                Ok(()) => break,
                Err(error) => error,
            };
            let is_over = patience.is_some_and(|patience| began.elapsed() >= patience);
            if !error.may_pass || is_over {
                return Err(error.error);
            }
            let (wait, reason) = (backoff.next_wait(), error_text(&error.error));
            self.delivery.note_retry(&reason, attempt, wait);
            if logged.is_none_or(|logged: Instant| logged.elapsed() >= RETRY_LOG_INTERVAL) {
                logged = Some(Instant::now());
                tracing::warn!(attempt, next_retry_secs = wait.as_secs_f64(), "{reason}; trying again");
            }
            sleep(wait).await;
        }
        self.delivery.report_success("");
        if logged.is_some() || patience.is_none() {
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(place = %self.address.redacted_url(), seconds, "the database is there");
        }
        Ok(())
    }

    async fn try_connecting(&mut self) -> Result<(), ConnectFailure> {
        let connected = MySqlClient::connect(&self.address).await.map_err(|error| ConnectFailure {
            may_pass: error.may_pass(),
            error: EmitError::Statement { what: format!("connect to {}", self.address.redacted_url()), cause: error },
        });
        self.client = Some(connected?);
        self.inspect_tables()
            .await
            .map_err(|error| ConnectFailure { may_pass: error.may_pass(), error: EmitError::Table(Box::new(error)) })
    }

    /// Inspects the tables. Any MySQL error counts as an outage.
    async fn inspect_tables(&mut self) -> Result<(), InspectTableError> {
        let Some(client) = &mut self.client else { return Ok(()) };
        let began = Instant::now();
        let mut tables = Vec::new();
        for stream in &self.streams {
            match DatabaseTable::inspect(client, *stream).await {
                Ok(table) => tables.push(table),
                Err(error) => {
                    if matches!(error.cause, InspectTableCause::MySqlError(_)) {
                        self.client = None;
                    }
                    return Err(error);
                }
            }
        }
        self.tables = tables;
        self.due = Instant::now() + MIN_INSPECT_INTERVAL.max(began.elapsed() * INSPECT_TIME_FACTOR);
        Ok(())
    }

    /// Reports the address, the number of rows and the protection of the connection. Warns about what is risky or slow.
    fn log_connection(&self) {
        let rows: Vec<String> =
            self.tables.iter().map(|table| format!("{} {} rows", table.schema.name, table.rows)).collect();
        let mode = self.address.tls.mode;
        let protection = match &self.client {
            Some(client) if client.is_encrypted() && mode.verifies() => format!("TLS, verified ({})", mode.name()),
            Some(client) if client.is_encrypted() => format!("TLS, server not verified (ssl-mode={})", mode.name()),
            _ => format!("not encrypted (ssl-mode={})", mode.name()),
        };
        write_line(&format!("{}: {}; {protection}", self.address.redacted_url(), rows.join(", ")));
        if !self.address.is_local() && !mode.verifies() && mode != SslMode::Disabled {
            write_line("warning: nothing proves that this is the database; ssl-mode=VERIFY_IDENTITY in the URL does");
        }
        for table in &self.tables {
            let name = table.schema.name;
            if !table.is_indexed() && table.rows > 0 {
                write_line(&format!(
                    "{name} has no index on its key: each draw walks over the rows before it; CREATE INDEX helps"
                ));
            }
            if !table.lacks.is_empty() {
                write_line(&format!("{name} has no column {}; its messages lack that", table.lacks.join(", ")));
            }
        }
    }
}

struct ConnectFailure {
    may_pass: bool,
    error: EmitError,
}

/// Pairs each query with its result. Offsets without a query have none.
fn match_answers(queries: Vec<(Stream, u64, Option<String>)>, answers: Vec<ResultSet>) -> Vec<DrawnRow> {
    let mut answers = answers.into_iter();
    let found = queries.into_iter().map(|(stream, offset, query)| {
        let rows = query.and_then(|_| answers.next()).unwrap_or_default();
        DrawnRow { stream, offset, rows }
    });
    found.collect()
}
