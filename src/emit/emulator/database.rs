//! A database that is drawn from, through its absences.

use std::time::{Duration, Instant};

use anyhow::Context;
use pinflow_dataflows::record::Stream;
use tokio::time::sleep;

use super::survey::{Cause, SurveyError, Table};
use crate::backoff::Backoff;
use crate::emit::delivery::Delivery;
use crate::emit::progress::write_line;
use crate::mysql::{Address, Client, Mode, Rows};

/// How long a database may be away before the first draw: it may just be starting.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bounds of the wait before it is asked again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often it is said that it is still away.
const REPEAT: Duration = Duration::from_secs(10);
/// Tables are looked at again after so long,
const SURVEY: Duration = Duration::from_secs(60);
/// and so seldom that looking takes no more than this part of the time.
const SURVEY_SHARE: u32 = 50;

/// A database with the tables of some streams.
pub(super) struct Database<'d> {
    address: Address,
    streams: Vec<Stream>,
    /// Whether no more is wanted; and who shows that the database is away.
    delivery: &'d Delivery,
    /// `None` while it is away.
    client: Option<Client>,
    tables: Vec<Table>,
    /// When to look at the tables again.
    due: Instant,
    /// How often it went away.
    pub(super) absences: u64,
}

/// What a draw found in the table of a stream.
pub(super) struct Found {
    pub(super) stream: Stream,
    /// Which row was drawn, counted from 0.
    pub(super) offset: u64,
    /// One row; none if there is no such row.
    pub(super) rows: Rows,
}

/// Whether something was done, or a signal came first.
pub(super) enum Outcome<T> {
    Done(T),
    Stopped,
}

impl<'d> Database<'d> {
    /// Connects, and looks at the tables.
    ///
    /// # Errors
    /// If that cannot be, or not within half a minute.
    pub(super) async fn open(
        address: Address,
        streams: Vec<Stream>,
        delivery: &'d Delivery,
    ) -> anyhow::Result<Outcome<Database<'d>>> {
        let due = Instant::now();
        let mut database = Database { address, streams, delivery, client: None, tables: Vec::new(), due, absences: 0 };
        let Outcome::Done(()) = database.connect(Some(PATIENCE)).await? else { return Ok(Outcome::Stopped) };
        database.introduce();
        Ok(Outcome::Done(database))
    }

    /// Rows of the longest table; at least one.
    pub(super) fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).max().unwrap_or(0).max(1)
    }

    /// Whether there is any row.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.rows == 0)
    }

    /// How many rows the table of a stream had when it was looked at, and its name.
    pub(super) fn table(&self, stream: Stream) -> (&'static str, u64) {
        let table = self.tables.iter().find(|table| table.known.stream == stream);
        table.map_or(("", 0), |table| (table.known.name, table.rows))
    }

    /// Reads the rows at some offsets of every table, draw by draw, in one question. Waits while the database is away.
    ///
    /// # Errors
    /// If the database refuses what it allowed before.
    pub(super) async fn fetch(&mut self, offsets: &[u64]) -> anyhow::Result<Outcome<Vec<Found>>> {
        loop {
            if self.client.is_some() && Instant::now() >= self.due {
                // Whatever fails here fails for the rows, too.
                drop(self.survey().await);
            }
            let Some(client) = &mut self.client else {
                self.absences += 1;
                match self.connect(None).await? {
                    Outcome::Done(()) => continue,
                    Outcome::Stopped => return Ok(Outcome::Stopped),
                }
            };
            let mut asked = Vec::with_capacity(offsets.len() * self.tables.len());
            for offset in offsets {
                asked.extend(self.tables.iter().map(|table| (table.known.stream, *offset, table.select(*offset))));
            }
            let sql: Vec<&str> = asked.iter().filter_map(|(_, _, sql)| sql.as_deref()).collect();
            if sql.is_empty() {
                return Ok(Outcome::Done(matched(asked, Vec::new())));
            }
            match client.ask(&sql.join(";")).await {
                Ok(answers) => return Ok(Outcome::Done(matched(asked, answers))),
                Err(fault) if fault.may_pass() => {
                    tracing::warn!(place = %self.address.shown(), "{fault}; trying again until it is back");
                    self.client = None;
                }
                Err(fault) => return Err(fault).with_context(|| format!("draw rows from {}", self.address.shown())),
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        if let Some(client) = self.client {
            client.close().await;
        }
    }

    /// Tries until it is there with its tables, or `patience` is over.
    async fn connect(&mut self, patience: Option<Duration>) -> anyhow::Result<Outcome<()>> {
        let delivery = self.delivery;
        tokio::select! {
            () = delivery.stop.requested() => Ok(Outcome::Stopped),
            connected = self.keep_connecting(patience) => connected.map(Outcome::Done),
        }
    }

    async fn keep_connecting(&mut self, patience: Option<Duration>) -> anyhow::Result<()> {
        let began = Instant::now();
        let (mut backoff, mut logged) = (Backoff::new(AGAIN.0, AGAIN.1), None);
        for attempt in 1.. {
            let error = match self.try_connecting().await {
                Ok(()) => break,
                Err(error) => error,
            };
            let is_over = patience.is_some_and(|patience| began.elapsed() >= patience);
            if !error.may_pass || is_over {
                return Err(error.error);
            }
            let (wait, reason) = (backoff.wait(), format!("{:#}", error.error));
            self.delivery.note_retry(&reason, attempt, wait);
            if logged.is_none_or(|logged: Instant| logged.elapsed() >= REPEAT) {
                logged = Some(Instant::now());
                tracing::warn!(attempt, next_retry_secs = wait.as_secs_f64(), "{reason}; trying again");
            }
            sleep(wait).await;
        }
        self.delivery.report_success("");
        if logged.is_some() || patience.is_none() {
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(place = %self.address.shown(), seconds, "the database is there");
        }
        Ok(())
    }

    async fn try_connecting(&mut self) -> Result<(), Failed> {
        let connected = Client::connect(&self.address).await.map_err(|fault| Failed {
            may_pass: fault.may_pass(),
            error: anyhow::Error::from(fault).context(format!("connect to {}", self.address.shown())),
        });
        self.client = Some(connected?);
        self.survey().await.map_err(|error| Failed { may_pass: error.may_pass(), error: error.into() })
    }

    /// Looks at the tables. A database that cannot be asked is away.
    async fn survey(&mut self) -> Result<(), SurveyError> {
        let Some(client) = &mut self.client else { return Ok(()) };
        let began = Instant::now();
        let mut tables = Vec::new();
        for stream in &self.streams {
            match Table::survey(client, *stream).await {
                Ok(table) => tables.push(table),
                Err(error) => {
                    if matches!(error.cause, Cause::Fault(_)) {
                        self.client = None;
                    }
                    return Err(error);
                }
            }
        }
        self.tables = tables;
        self.due = Instant::now() + SURVEY.max(began.elapsed() * SURVEY_SHARE);
        Ok(())
    }

    /// Says where rows come from, and what is risky or slow about it.
    fn introduce(&self) {
        let rows: Vec<String> =
            self.tables.iter().map(|table| format!("{} {} rows", table.known.name, table.rows)).collect();
        let mode = self.address.tls.mode;
        let protection = match &self.client {
            Some(client) if client.is_encrypted() && mode.verifies() => format!("TLS, verified ({})", mode.name()),
            Some(client) if client.is_encrypted() => format!("TLS, whoever answers (ssl-mode={})", mode.name()),
            _ => format!("not encrypted (ssl-mode={})", mode.name()),
        };
        write_line(&format!("{}: {}; {protection}", self.address.shown(), rows.join(", ")));
        if !self.address.is_local() && !mode.verifies() && mode != Mode::Disabled {
            write_line("warning: nothing proves that this is the database; ssl-mode=VERIFY_IDENTITY in the URL does");
        }
        for table in &self.tables {
            let name = table.known.name;
            if !table.is_quick() && table.rows > 0 {
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

struct Failed {
    may_pass: bool,
    error: anyhow::Error,
}

/// Each question with its answer; those that were not asked have none.
fn matched(asked: Vec<(Stream, u64, Option<String>)>, answers: Vec<Rows>) -> Vec<Found> {
    let mut answers = answers.into_iter();
    let found = asked.into_iter().map(|(stream, offset, question)| {
        let rows = question.and_then(|_| answers.next()).unwrap_or_default();
        Found { stream, offset, rows }
    });
    found.collect()
}
