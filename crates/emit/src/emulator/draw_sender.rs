//! Sends what was drawn, and counts it.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use pinflow_dataflows::record::Stream;
use tokio::runtime::Runtime;

use super::database::{DrawnRow, SourceDatabase, UntilStopped};
use super::pacer::DrawPacer;
use super::row_json::{self, TimeFormat};
use super::sequence::DrawSequence;
use crate::EmitArgs;
use crate::acks::PendingMessage;
use crate::delivery::DeliveryTracker;
use crate::error::EmitError;
use crate::progress::write_line;
use crate::routes::DestinationRoute;

/// Missing rows that are reported one by one.
const MAX_LOGGED_MISSING_ROWS: u64 = 10;

/// Sends draws to their destinations, and counts them.
pub(super) struct DrawSender {
    /// Empty once they are finished.
    routes: Vec<DestinationRoute>,
    times: TimeFormat,
    began: Instant,
    draws: u64,
    messages: u64,
    bytes: u64,
    /// Rows that did not exist, by table.
    missing: BTreeMap<&'static str, u64>,
    /// Rows with a value that JSON cannot represent, by table and column.
    unsendable: BTreeMap<String, u64>,
    outages: u64,
}

impl DrawSender {
    pub(super) fn new(args: &EmitArgs, routes: Vec<DestinationRoute>) -> DrawSender {
        DrawSender {
            routes,
            times: args.times,
            began: Instant::now(),
            draws: 0,
            messages: 0,
            bytes: 0,
            missing: BTreeMap::new(),
            unsendable: BTreeMap::new(),
            outages: 0,
        }
    }

    /// Draws and sends until the end, or until a destination is closed.
    pub(super) fn send_draws(
        &mut self,
        args: &EmitArgs,
        runtime: &Runtime,
        database: &mut SourceDatabase<'_>,
        delivery: &DeliveryTracker,
    ) -> Result<(), EmitError> {
        let mut sequence = DrawSequence::new(args.draws, args.rng_seed(), args.skipped_draws());
        let mut pacer = DrawPacer::new(args.rate.map(|rate| rate / args.selected_streams().len() as f64));
        let count = args.count.unwrap_or(u64::MAX);
        while self.draws < count {
            let next = async {
                tokio::select! {
                    biased;
                    () = delivery.stop.requested() => UntilStopped::Stopped,
                    draws = pacer.next_draws(&mut sequence, database.longest_table_rows(), count - self.draws) => UntilStopped::Done(draws),
                }
            };
            let UntilStopped::Done(offsets) = runtime.block_on(next) else { return Ok(()) };
            let UntilStopped::Done(found) = runtime.block_on(database.fetch_rows(&offsets))? else { return Ok(()) };
            if self.outages < database.outages {
                // The draws that fell due during an outage are not made up for at once.
                self.outages = database.outages;
                pacer.restart();
            }
            match self.send_rows(found, database, args.skipped_draws()) {
                Err(error) if error.is_closed_pipe() => return Ok(()),
                sent => sent?,
            }
            self.draws += offsets.len() as u64;
            self.routes.iter().for_each(|route| route.acks.end_draws(args.skipped_draws() + self.draws));
        }
        Ok(())
    }

    fn send_rows(
        &mut self,
        found: Vec<DrawnRow>,
        database: &SourceDatabase<'_>,
        skipped: u64,
    ) -> Result<(), EmitError> {
        let resume_draw = skipped + self.draws;
        let mut texts = vec![(Vec::new(), 0); self.routes.len()];
        for DrawnRow { stream, offset, rows } in found {
            let Some(route) = self.routes.iter().position(|route| route.streams.contains(&stream)) else {
                continue;
            };
            let Some(row) = rows.rows.first() else {
                self.count_missing(stream, offset, database);
                continue;
            };
            let (text, messages) = &mut texts[route];
            let start = text.len();
            match row_json::write_row(&rows.columns, row, self.times, text) {
                Ok(()) => {
                    text.push(b'\n');
                    *messages += 1;
                }
                Err(column) => {
                    text.truncate(start);
                    let (table, _) = database.table_name_and_rows(stream);
                    *self.unsendable.entry(format!("{table}.{column}")).or_default() += 1;
                }
            }
        }
        for (route, (text, messages)) in self.routes.iter_mut().zip(texts) {
            // Rows of one query continue at the same draw.
            route.acks.register((0..messages).map(|_| PendingMessage { posts: 1, resume_draw }));
            let sent = route.destination.send(&text).and_then(|()| route.destination.flush());
            sent.map_err(EmitError::io(format!("write {}", route.acks.name)))?;
            self.messages += messages;
            self.bytes += text.len() as u64;
        }
        Ok(())
    }

    fn count_missing(&mut self, stream: Stream, offset: u64, database: &SourceDatabase<'_>) {
        let (table, rows) = database.table_name_and_rows(stream);
        let missing = self.missing.entry(table).or_default();
        *missing += 1;
        if *missing <= MAX_LOGGED_MISSING_ROWS {
            let rest = if *missing == MAX_LOGGED_MISSING_ROWS { "; others are only counted" } else { "" };
            write_line(&format!("{table} has no row {offset}, of {rows}: nothing is sent for it{rest}"));
        }
    }

    /// Waits until all destinations have everything.
    pub(super) fn finish(&mut self) -> Result<(), EmitError> {
        for route in std::mem::take(&mut self.routes) {
            match route.destination.finish() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(EmitError::Io { what: format!("write {}", route.acks.name), cause: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A summary for standard error.
    pub(super) fn summary(&self) -> String {
        let secs = self.began.elapsed().as_secs_f64();
        let DrawSender { draws, messages, bytes, .. } = self;
        let mut lines = vec![format!(
            "{draws} draws, {messages} messages, {:.1} MB, in {secs:.2} s: {:.0} a second",
            *bytes as f64 / 1e6,
            *messages as f64 / secs.max(1e-9)
        )];
        lines.extend(
            self.missing.iter().map(|(table, rows)| format!("{table}: {rows} rows that were drawn are not there")),
        );
        let unsendable = |(column, rows): (&String, &u64)| {
            format!("{column}: {rows} values are no text or number, their rows were not sent")
        };
        lines.extend(self.unsendable.iter().map(unsendable));
        if self.outages > 0 {
            lines.push(format!("the database was away {} times", self.outages));
        }
        lines.join("\n")
    }
}
