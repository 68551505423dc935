//! The original's posting emulator: rows drawn from the three tables of a MySQL database, posted one after the other;
//! and the tables filled with made posts, for whoever has none.
//!
//! The rooms:
//!
//! - `tables`: the three tables; `fill`: makes and fills them;
//! - `sequence`: which row each draw takes, and the pause before it;
//! - `survey`: finds the row at an offset quickly;
//! - `database`: asks, and waits while the database is away;
//! - `pace`: when to draw;
//! - `rows`: a row as the message that the original posts.
//!
//! A draw takes the row at the same offset of all three tables, as the original does. What is read is sent before the
//! next rows are read, so a row is as it was just before its message.

mod database;
mod fill;
mod pace;
mod rows;
mod sequence;
mod survey;
mod tables;

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use anyhow::{Context, bail};
use pinflow_dataflows::record::Stream;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub use rows::Times;
pub use sequence::Draws;

use super::EmitArgs;
use super::progress::say;
use super::resend::{Outlet, is_closed};
use crate::mysql::Address;
use database::{Database, Found, Outcome};
use pace::Pace;
use sequence::Sequence;

pub(super) use fill::fill;

/// So many rows that were not there are told one by one.
const TOLD: u64 = 10;

/// Draws rows from a database and sends them, until so many draws are made or a signal comes.
///
/// # Errors
/// If the database cannot be drawn from, or what was drawn cannot be sent.
pub(super) fn run(
    args: &EmitArgs,
    url: &str,
    outlets: impl FnOnce() -> anyhow::Result<Vec<Outlet>>,
) -> anyhow::Result<()> {
    let address = address(args, url)?;
    let runtime = runtime()?;
    let stop = stop_on_signal(&runtime)?;
    let opened = runtime.block_on(Database::open(address, args.chosen(), stop.clone()))?;
    let Outcome::Done(mut database) = opened else { return Ok(()) };
    if database.is_empty() {
        bail!("the tables hold no rows; pinflow emit --init-mysql URL --replace fills them");
    }
    let mut posting = Posting::new(args, outlets()?);
    let ended = posting.all(args, &runtime, &mut database, stop);
    runtime.block_on(database.close());
    let ended = ended.and_then(|()| posting.finish());
    say(&posting.summary(args));
    ended
}

/// Where the database is. Says so where the password stands for all to see.
fn address(args: &EmitArgs, url: &str) -> anyhow::Result<Address> {
    let address = Address::read(url, args.creds.as_deref())?;
    if address.is_password_in_url {
        say("warning: everybody on this machine can see the password in the URL (ps), and the shell remembers it; \
             MYSQL_PWD or --creds FILE keep it to themselves");
    }
    Ok(address)
}

fn runtime() -> anyhow::Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let built = runtime.worker_threads(1).thread_name("mysql").enable_all().build();
    built.context("start a thread for the database")
}

/// The first signal asks for an end after what is under way; the second one does not wait for it.
fn stop_on_signal(runtime: &Runtime) -> io::Result<watch::Receiver<bool>> {
    let _entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopped) = watch::channel(false);
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.send_replace(true) {
                say("pinflow: stopped at once; what was on its way may or may not have arrived");
                std::process::exit(1);
            }
            say("stopping: finishing what is on its way; a second signal stops at once");
        }
    });
    Ok(stopped)
}

/// What is sent where, and what became of it.
struct Posting {
    /// Taken when they are finished.
    outlets: Vec<Outlet>,
    times: Times,
    began: Instant,
    draws: u64,
    messages: u64,
    bytes: u64,
    /// Rows that were not there, by table.
    missing: BTreeMap<&'static str, u64>,
    /// Rows that JSON cannot say, by table and column.
    unsaid: BTreeMap<String, u64>,
    absences: u64,
}

impl Posting {
    fn new(args: &EmitArgs, outlets: Vec<Outlet>) -> Posting {
        Posting {
            outlets,
            times: args.times,
            began: Instant::now(),
            draws: 0,
            messages: 0,
            bytes: 0,
            missing: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            absences: 0,
        }
    }

    /// Draws and sends until the end. Nobody reading any more is an end.
    fn all(
        &mut self,
        args: &EmitArgs,
        runtime: &Runtime,
        database: &mut Database,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut sequence = Sequence::new(args.draws, args.seed(), args.skip());
        let mut pace = Pace::new(args.rate.map(|rate| rate / args.chosen().len() as f64));
        let count = args.count.unwrap_or(u64::MAX);
        while self.draws < count {
            let next = async {
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => Outcome::Stopped,
                    draws = pace.next(&mut sequence, database.rows(), count - self.draws) => Outcome::Done(draws),
                }
            };
            let Outcome::Done(offsets) = runtime.block_on(next) else { return Ok(()) };
            let Outcome::Done(found) = runtime.block_on(database.fetch(&offsets))? else { return Ok(()) };
            if self.absences < database.absences {
                // What was not sent meanwhile is not caught up with at once.
                self.absences = database.absences;
                pace.restart();
            }
            match self.send(found, database) {
                Err(error) if is_closed(&error) => return Ok(()),
                sent => sent?,
            }
            self.draws += offsets.len() as u64;
        }
        Ok(())
    }

    fn send(&mut self, found: Vec<Found>, database: &Database) -> anyhow::Result<()> {
        let mut texts = vec![(Vec::new(), 0); self.outlets.len()];
        for Found { stream, offset, rows } in found {
            let Some(outlet) = self.outlets.iter().position(|outlet| outlet.streams.contains(&stream)) else {
                continue;
            };
            let Some(row) = rows.rows.first() else {
                self.miss(stream, offset, database);
                continue;
            };
            let (text, messages) = &mut texts[outlet];
            let start = text.len();
            match rows::write(&rows.columns, row, self.times, text) {
                Ok(()) => {
                    text.push(b'\n');
                    *messages += 1;
                }
                Err(column) => {
                    text.truncate(start);
                    let (table, _) = database.table(stream);
                    *self.unsaid.entry(format!("{table}.{column}")).or_default() += 1;
                }
            }
        }
        for (outlet, (text, messages)) in self.outlets.iter_mut().zip(texts) {
            let sent = outlet.destination.send(&text).and_then(|()| outlet.destination.flush());
            sent.with_context(|| format!("write {}", outlet.name))?;
            self.messages += messages;
            self.bytes += text.len() as u64;
        }
        Ok(())
    }

    fn miss(&mut self, stream: Stream, offset: u64, database: &Database) {
        let (table, rows) = database.table(stream);
        let missing = self.missing.entry(table).or_default();
        *missing += 1;
        if *missing <= TOLD {
            let rest = if *missing == TOLD { "; others are only counted" } else { "" };
            say(&format!("{table} has no row {offset}, of {rows}: nothing is sent for it{rest}"));
        }
    }

    /// Waits until all that was sent is there.
    fn finish(&mut self) -> anyhow::Result<()> {
        for outlet in std::mem::take(&mut self.outlets) {
            match outlet.destination.finish() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(error).with_context(|| format!("write {}", outlet.name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn summary(&self, args: &EmitArgs) -> String {
        let secs = self.began.elapsed().as_secs_f64();
        let Posting { draws, messages, bytes, .. } = self;
        let mut lines = vec![format!(
            "{draws} draws, {messages} messages, {:.1} MB, in {secs:.2} s: {:.0} a second",
            *bytes as f64 / 1e6,
            *messages as f64 / secs.max(1e-9)
        )];
        lines.extend(
            self.missing.iter().map(|(table, rows)| format!("{table}: {rows} rows that were drawn are not there")),
        );
        let unsaid = |(column, rows): (&String, &u64)| {
            format!("{column}: {rows} values are no text or number, their rows were not sent")
        };
        lines.extend(self.unsaid.iter().map(unsaid));
        if self.absences > 0 {
            lines.push(format!("the database was away {} times", self.absences));
        }
        if args.count.is_none_or(|count| *draws < count) {
            lines.push(format!("--skip {} goes on with the next draw", args.skip() + draws));
        }
        lines.join("\n")
    }
}
