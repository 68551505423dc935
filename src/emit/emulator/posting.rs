//! Draws that are sent, and the account of them.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use anyhow::Context;
use pinflow_dataflows::record::Stream;
use tokio::runtime::Runtime;

use super::database::{Database, Found, Outcome};
use super::pace::Pace;
use super::rows::{self, Times};
use super::sequence::Sequence;
use crate::emit::EmitArgs;
use crate::emit::acks::PendingMessage;
use crate::emit::delivery::Delivery;
use crate::emit::progress::write_line;
use crate::emit::resend::{Outlet, is_closed};

/// So many rows that were not there are told one by one.
const TOLD: u64 = 10;

/// What is sent where, and what became of it.
pub(super) struct Posting {
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
    pub(super) fn new(args: &EmitArgs, outlets: Vec<Outlet>) -> Posting {
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
    pub(super) fn all(
        &mut self,
        args: &EmitArgs,
        runtime: &Runtime,
        database: &mut Database<'_>,
        delivery: &Delivery,
    ) -> anyhow::Result<()> {
        let mut sequence = Sequence::new(args.draws, args.seed(), args.skip());
        let mut pace = Pace::new(args.rate.map(|rate| rate / args.chosen().len() as f64));
        let count = args.count.unwrap_or(u64::MAX);
        while self.draws < count {
            let next = async {
                tokio::select! {
                    biased;
                    () = delivery.stop.requested() => Outcome::Stopped,
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
            match self.send(found, database, args.skip()) {
                Err(error) if is_closed(&error) => return Ok(()),
                sent => sent?,
            }
            self.draws += offsets.len() as u64;
            self.outlets.iter().for_each(|outlet| outlet.acks.end_draws(args.skip() + self.draws));
        }
        Ok(())
    }

    fn send(&mut self, found: Vec<Found>, database: &Database<'_>, skipped: u64) -> anyhow::Result<()> {
        let resume_draw = skipped + self.draws;
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
            // What was drawn together is continued together.
            outlet.acks.register((0..messages).map(|_| PendingMessage { posts: 1, resume_draw }));
            let sent = outlet.destination.send(&text).and_then(|()| outlet.destination.flush());
            sent.with_context(|| format!("write {}", outlet.acks.name))?;
            self.messages += messages;
            self.bytes += text.len() as u64;
        }
        Ok(())
    }

    fn miss(&mut self, stream: Stream, offset: u64, database: &Database<'_>) {
        let (table, rows) = database.table(stream);
        let missing = self.missing.entry(table).or_default();
        *missing += 1;
        if *missing <= TOLD {
            let rest = if *missing == TOLD { "; others are only counted" } else { "" };
            write_line(&format!("{table} has no row {offset}, of {rows}: nothing is sent for it{rest}"));
        }
    }

    /// Waits until all that was sent is there.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        for outlet in std::mem::take(&mut self.outlets) {
            match outlet.destination.finish() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(error).with_context(|| format!("write {}", outlet.acks.name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What was sent, in words.
    pub(super) fn summary(&self) -> String {
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
        lines.join("\n")
    }
}
