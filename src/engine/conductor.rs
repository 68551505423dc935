//! The conductor: cuts epochs and windows, hands out blocks, and hands on what has passed.

mod launch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::all_rejected::{AllRejected, AllRejectedWatch};
use super::committer::{Batches, Received, ToCommit};
use super::crew::WorkerEnd;
use super::flight::{Cut, Flights, Flying};
use super::known::Known;
use super::memory::{HeldMemory, MemoryAction, MemoryGuard, resident_bytes};
use super::open::{Open, OpenWindow};
use super::stop::{Outcome, SERVING_GRACE, sleep_after_stop};
use super::sweeps::TextSweeps;
use super::worker::{Order, Report};
use super::{EngineError, Frame, Gauges, Settings, Totals};
use crate::archive::Moved;
use crate::position::{Epoch, PartitionId, Position, Reached};
use crate::sinks::{PartitionReached, Sink, SinkError, Stored, Window};
use crate::sources::{Block, DurableFrontier, Event, Partition, Records};

pub use launch::Engine;

/// Why the run is ending.
struct Ending {
    stopped: bool,
    /// The last epoch has been closed.
    closed: bool,
}

struct Conductor<S: Sink> {
    memory: MemoryGuard,
    sweeps: TextSweeps,
    /// Why the run ends early, though everything that was read is still finished.
    failure: Option<EngineError>,
    /// The memory is above its limit: free texts even if they have not grown.
    sweep_demanded: bool,
    settings: Settings,
    has_tables: bool,
    archives: bool,
    /// The messages of windows that were cut and not handed over, oldest first.
    raw: VecDeque<Vec<(PartitionId, Records)>>,
    workers: Vec<WorkerEnd>,
    windows: mpsc::Sender<ToCommit<S>>,
    frames: mpsc::Sender<Frame>,
    durable_frontier: DurableFrontier,
    /// Windows on their way to the disk, by their last epoch, with the positions they settle.
    settling: VecDeque<(Epoch, Vec<(PartitionId, Position)>)>,
    gauges: Arc<Gauges>,
    partitions: BTreeMap<PartitionId, Known>,
    flights: Flights<Batches<S>>,
    open: Open,
    window: OpenWindow,
    windows_flying: usize,
    passed: Epoch,
    /// The last epoch that was handed to serving.
    shown: Epoch,
    /// When the last epoch that passed was closed.
    as_of: Timestamp,
    durable: Epoch,
    rebuilding: bool,
    /// The first epoch whose answers may be shown; known once all rows have been read back.
    opens_at: Option<Epoch>,
    /// Readers that have not yet sent all that was there when they started.
    backlogs: usize,
    /// The first epoch that holds all of it.
    complete_at: Option<Epoch>,
    ending: Option<Ending>,
    stop: watch::Receiver<bool>,
    /// Nobody takes passed epochs any more.
    is_unserved: bool,
    totals: Totals,
    all_rejected: AllRejectedWatch,
}

impl<S: Sink> Conductor<S> {
    async fn conduct(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut stored: mpsc::Receiver<Result<Box<dyn Stored>, SinkError>>,
        mut reports: mpsc::UnboundedReceiver<Report<Batches<S>>>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(Outcome, Option<EngineError>), EngineError> {
        let mut stop_known = false;
        while !self.is_done() {
            let takes = self.has_credit() && self.ending.is_none();
            let clock = self.next_deadline();
            tokio::select! {
                biased;
                report = reports.recv() => self.on_report(report.expect("the conductor's own workers report")).await?,
                changed = stop.changed(), if !stop_known => {
                    stop_known = true;
                    // A closed channel asks for nothing.
                    if changed.is_ok() { self.end(true); }
                }
                chunk = stored.recv(), if takes && self.rebuilding => self.on_stored(chunk)?,
                event = events.recv(), if takes && !self.rebuilding => self.on_event(event)?,
                () = sleep_until(clock.unwrap_or_else(Instant::now)), if clock.is_some() => {}
            }
            self.check_memory();
            self.close_epoch_if_due();
        }
        self.finish(&mut reports).await
    }

    /// Whether blocks may be taken; if not, the feed fills and sources wait.
    fn has_credit(&self) -> bool {
        let policy = &self.settings.commit;
        self.flights.len() <= self.settings.epochs_in_flight_max
            && !self.memory.is_over()
            && self.open.bytes < self.settings.epoch_bytes_max
            && (self.windows_flying < policy.windows_in_flight_max || !self.window.is_full(policy))
    }

    fn on_stored(&mut self, chunk: Option<Result<Box<dyn Stored>, SinkError>>) -> Result<(), EngineError> {
        match chunk {
            Some(Ok(rows)) => {
                // Narrow rows are some 64 bytes; the figure only balances and bounds.
                let bytes = rows.len() * 64;
                self.gauges.rebuilt.fetch_add(rows.len() as u64, Relaxed);
                self.hand_out(Order::Stored(rows), bytes);
            }
            Some(Err(error)) => return Err(EngineError::Rebuild(Box::new(error))),
            None => {
                // A decoder that died would end the chunks too, and the answers would be short of its rows.
                let (rebuilt, total) = (self.gauges.rebuilt.load(Relaxed), self.gauges.rebuild_total.load(Relaxed));
                if rebuilt != total {
                    let what =
                        format!("{rebuilt} rows were read back of {total}; what is committed is safe, start again");
                    return Err(EngineError::Rebuild(what.into()));
                }
                self.rebuilding = false;
                tracing::info!(rows = rebuilt, "the answers are rebuilt from the tables");
                self.opens_at = Some(self.open.epoch);
                // The rebuilt answers are an epoch of their own, shown even if nothing follows, and durable already.
                self.close_epoch(false);
            }
        }
        Ok(())
    }

    fn on_event(&mut self, event: Option<Event>) -> Result<(), EngineError> {
        match event {
            Some(Event::Opened(partition)) => self.on_opened(partition),
            Some(Event::Begun(partitions)) => self.on_begun(partitions),
            Some(Event::Block(block)) => self.on_block(block),
            Some(Event::Ends { partition, end }) => self.on_ends(partition, end),
            Some(Event::Blocked { source, cause }) => self.gauges.note_blocked(source, cause),
            Some(Event::Ended(partition)) => {
                if let Some(known) = self.partitions.get(&partition) {
                    self.all_rejected.end(&known.partition.name, self.open.epoch);
                }
            }
            Some(Event::BacklogRead) => self.on_backlog_read(),
            Some(Event::Failed(error)) => return Err(error.into()),
            None => {
                self.complete_at.get_or_insert(self.open.epoch);
                self.end(false);
            }
        }
        Ok(())
    }

    fn on_opened(&mut self, partition: Partition) {
        let known = Known::new(partition);
        self.partitions.insert(known.partition.id, known);
    }

    /// Where partitions begin is a position like any other, only that its source waits for it.
    fn on_begun(&mut self, begun: Vec<Partition>) {
        for partition in begun {
            let (id, at) = (partition.id, partition.resumed);
            self.on_opened(partition);
            let at = at.unwrap_or(Reached::NOTHING);
            let (lag, lag_ms, arrived_at) = (None, None, None);
            let end = Cut { next: at.next, anchor: at.anchor, seek: at.seek, lag, lag_ms, arrived_at };
            self.open.ends.insert(id, end);
        }
        self.open.holds = true;
        self.window.since.get_or_insert_with(Instant::now);
        self.window.urgent = true;
    }

    fn on_ends(&mut self, partition: PartitionId, end: Position) {
        self.partitions.get_mut(&partition).expect("a partition is opened before its end is told").end = Some(end);
        // An epoch of its own shows it, even if nothing can be read: before an open transaction, say.
        self.open.holds = true;
        self.tell_lag();
    }

    fn on_backlog_read(&mut self) {
        self.backlogs = self.backlogs.saturating_sub(1);
        if self.backlogs == 0 {
            self.complete_at.get_or_insert(self.open.epoch);
            // An epoch of its own says so, even if nothing follows.
            self.open.holds = true;
        }
    }

    fn tell_lag(&self) {
        self.gauges.lag.store(self.partitions.values().filter_map(Known::lag).sum(), Relaxed);
    }

    fn on_block(&mut self, block: Block) {
        let known = self.partitions.get_mut(&block.partition).expect("a partition is opened before its blocks");
        let (source, carries) = (known.source, known.partition.carries);
        if let Some(now) = block.remaining_bytes {
            let before = std::mem::replace(&mut known.remaining_bytes, now);
            self.gauges.bytes_remaining.fetch_add(now.wrapping_sub(before), Relaxed);
        }
        let count = block.records.count();
        if count > 0 {
            self.open.first_record_at.get_or_insert_with(std::time::Instant::now);
        }
        let arrived_at = block.records.last_arrived_at();
        let Block { next, anchor, seek, lag, lag_ms, .. } = block;
        let mut end = Cut { next, anchor, seek, lag, lag_ms, arrived_at };
        if let Some(before) = self.open.ends.get(&block.partition) {
            // A block without records only moves the position.
            end.arrived_at = end.arrived_at.or(before.arrived_at);
        }
        self.open.ends.insert(block.partition, end);
        self.window.rows += count;
        self.window.since.get_or_insert_with(Instant::now);
        let bytes = block.records.bytes();
        self.window.bytes += bytes;
        self.gauges.bytes.fetch_add(bytes as u64, Relaxed);
        if self.archives {
            self.window.raw.push((block.partition, block.records.clone()));
        }
        self.hand_out(Order::Block { block, source, carries }, bytes);
    }

    /// Gives work of the open epoch to the worker that has least of it.
    fn hand_out(&mut self, order: Order, bytes: usize) {
        self.open.bytes += bytes;
        self.open.holds = true;
        let least = self.workers.iter_mut().min_by_key(|worker| worker.bytes).expect("at least one worker");
        least.bytes += bytes;
        least.order(order);
    }

    fn end(&mut self, stopped: bool) {
        self.ending.get_or_insert(Ending { stopped, closed: false });
    }

    fn next_deadline(&self) -> Option<Instant> {
        let room = self.flights.len() < self.settings.epochs_in_flight_max;
        let epoch = (room && self.open.holds).then(|| self.open.opened + self.settings.epoch);
        let commit = self.window.since.map(|since| since + self.settings.commit.age_max);
        let commit = commit.filter(|_| self.may_cut());
        let memory = self.memory.check_at().filter(|_| self.ending.is_none());
        [epoch, commit, memory].into_iter().flatten().min()
    }

    /// Measures the memory if it is time, and does what its limit demands.
    fn check_memory(&mut self) {
        let now = Instant::now();
        let is_time = self.ending.is_none() && self.memory.check_at().is_some_and(|at| now >= at);
        if !is_time {
            return;
        }
        // A worker may mark its rows a moment after their epoch has passed.
        self.sweeps.on_passed(self.passed);
        let resident = resident_bytes().unwrap_or(0);
        let action = self.memory.observe(resident, now);
        self.gauges.memory_is_over.store(self.memory.is_over(), Relaxed);
        match action {
            MemoryAction::Continue => {}
            MemoryAction::Pause { begins } => {
                if begins {
                    let held = self.held_memory(resident);
                    tracing::warn!("sources pause: {held}. Unused texts are freed, and the open window is committed");
                    self.window.urgent = true;
                    self.sweep_demanded = true;
                }
            }
            MemoryAction::GiveUp => {
                self.failure = Some(EngineError::Memory(Box::new(self.held_memory(resident))));
                self.end(true);
            }
        }
    }

    /// What holds how much now.
    fn held_memory(&self, resident: u64) -> HeldMemory {
        let (texts, bytes) = pinflow_dataflows::symbol::held_texts();
        HeldMemory {
            resident,
            max: self.settings.memory_max.unwrap_or(0),
            texts: pinflow_dataflows::graph::StateSize { records: texts, bytes },
            sizes: self.gauges.graph_sizes(),
            window: self.window.bytes as u64,
            blocks: self.open.bytes as u64,
        }
    }

    fn may_cut(&self) -> bool {
        self.has_tables && self.windows_flying < self.settings.commit.windows_in_flight_max
    }

    /// Whether the open window has reached a limit.
    fn window_is_due(&self) -> bool {
        let policy = &self.settings.commit;
        let old = self.window.since.is_some_and(|since| since.elapsed() >= policy.age_max);
        self.may_cut() && (old || self.window.urgent || self.window.is_full(policy))
    }

    fn close_epoch_if_due(&mut self) {
        if let Some(ending) = &mut self.ending {
            if !std::mem::replace(&mut ending.closed, true) {
                self.close_epoch(self.has_tables);
            }
            return;
        }
        let full = self.open.bytes >= self.settings.epoch_bytes_max;
        let aged = self.open.holds && self.open.opened.elapsed() >= self.settings.epoch;
        let cut = self.window_is_due();
        let room = self.flights.len() < self.settings.epochs_in_flight_max;
        // With the graph busy, waiting makes fewer and larger epochs, which cost less.
        let sweeps = self.sweep_demanded && !self.sweeps.is_under_way();
        if ((full || aged || sweeps) && room) || (cut && self.window.since.is_some()) {
            self.close_epoch(cut);
        }
    }

    fn close_epoch(&mut self, cut: bool) {
        let epoch = self.open.epoch;
        let open = std::mem::replace(&mut self.open, Open::new(epoch + 1));
        if cut {
            self.windows_flying += 1;
            self.raw.push_back(std::mem::take(&mut self.window.raw));
            (self.window.rows, self.window.bytes) = (0, 0);
            self.window.since = None;
            self.window.urgent = false;
        }
        self.flights.depart((epoch, Timestamp::now()), cut, open.first_record_at, open.ends);
        let sweep = self.sweeps.begin(epoch, std::mem::take(&mut self.sweep_demanded));
        for worker in &mut self.workers {
            worker.bytes = 0;
            worker.order(Order::Close { epoch, cut, sweep: sweep.clone() });
        }
    }

    async fn on_report(&mut self, report: Report<Batches<S>>) -> Result<(), EngineError> {
        match report {
            Report::Started { worker, thread } => {
                // Wake it for what it was told before its thread was known.
                thread.unpark();
                self.workers[worker].thread = Some(thread);
            }
            Report::Closed { epoch, read, counts, batches } => {
                let flying = self.flights.of(epoch);
                flying.closed += 1;
                flying.counts.merge(&counts);
                flying.batches.extend(batches);
                for (partition, read) in read {
                    *flying.read.entry(partition).or_default() += read;
                }
            }
            Report::Changes { epoch, changes } => self.flights.of(epoch).changes.extend(changes),
            Report::Passed { below } => {
                self.passed = below;
                self.sweeps.on_passed(below);
            }
            Report::Durable { epoch } => self.on_durable(epoch).await,
            Report::CommitFailed(error) => return Err(error),
            Report::Panicked { thread, message } => return Err(EngineError::Panicked { thread, message }),
        }
        while let Some(flying) = self.flights.arrive(self.passed, self.workers.len()) {
            self.on_passed(flying).await?;
        }
        Ok(())
    }

    async fn on_durable(&mut self, epoch: Epoch) {
        self.durable = epoch;
        self.windows_flying -= 1;
        while let Some((_, positions)) = self.settling.pop_front_if(|(last, _)| *last <= epoch) {
            self.durable_frontier.advance(positions);
        }
        self.gauges.durable_epoch.store(epoch, Relaxed);
        self.settle_empty_epochs(self.shown);
        // Whoever shows only what is committed would wait for the next record otherwise.
        self.show(self.frame()).await;
    }

    /// Counts epochs up to `passed` as durable if there is nothing to commit in them: they only tell how far sources are.
    fn settle_empty_epochs(&mut self, passed: Epoch) {
        if self.has_tables && self.windows_flying == 0 && self.window.reached.is_empty() && passed > self.durable {
            self.durable = passed;
            self.gauges.durable_epoch.store(passed, Relaxed);
        }
    }

    /// An epoch has passed the whole graph: its answers can be shown, and its window may be committed.
    async fn on_passed(&mut self, flying: Flying<Batches<S>>) -> Result<(), EngineError> {
        for (partition, read) in flying.read {
            let known = self.partitions.get_mut(&partition).expect("read from a known partition");
            known.read += read;
            known.reached.rows += read.rows;
            self.all_rejected.add(&known.partition.name, read).iter().for_each(AllRejected::warn);
            self.totals.rows += read.rows;
            self.window.passed += read.rows;
            self.totals.rejected += read.rejected;
        }
        self.all_rejected.judge_ended(flying.epoch).iter().for_each(AllRejected::warn);
        for (partition, end) in flying.ends {
            let known = self.partitions.get_mut(&partition).expect("cut in a known partition");
            known.reached = Reached { next: end.next, rows: known.reached.rows, anchor: end.anchor, seek: end.seek };
            known.lag = end.lag;
            known.lag_ms = end.lag_ms;
            known.arrived_at = end.arrived_at.or(known.arrived_at);
            if self.has_tables {
                self.window.reached.insert(partition, known.reached);
            } else {
                self.durable_frontier.advance([(partition, end.next)]);
            }
        }
        self.tell_lag();
        self.gauges.counts.lock().unwrap_or_else(PoisonError::into_inner).merge(&flying.counts);
        if self.opens_at == Some(flying.epoch) {
            self.warn_of_long_texts();
        }
        if self.has_tables && self.opens_at.is_none_or(|first| flying.epoch <= first) {
            // What was read back is in the tables.
            self.durable = flying.epoch;
            self.gauges.durable_epoch.store(flying.epoch, Relaxed);
        }
        self.gauges.rows.store(self.totals.rows, Relaxed);
        self.gauges.rejected.store(self.totals.rejected, Relaxed);
        self.gauges.epoch.store(flying.epoch, Relaxed);
        if flying.cut {
            self.hand_over_window(flying.epoch, flying.batches).await;
        }
        self.settle_empty_epochs(flying.epoch);
        // While rows are read back nothing may be shown, but the answers must learn of them.
        (self.shown, self.as_of) = (flying.epoch, flying.as_of);
        let changes = Arc::new(flying.changes);
        let first_record_at = flying.first_record_at;
        self.show(Frame { cut: flying.cut, changes, first_record_at, ..self.frame() }).await;
        Ok(())
    }

    /// Logs, once all rows are read back, that some stored texts count as null.
    fn warn_of_long_texts(&self) {
        let texts = self.gauges.stored_texts_too_long.load(Relaxed);
        if texts > 0 {
            tracing::warn!(
                texts,
                "stored texts are longer than [engine] text_bytes_max and count as null in the answers; \
                 their rows in the tables stay as they are"
            );
        }
    }

    async fn hand_over_window(&mut self, epoch: Epoch, batches: Vec<Batches<S>>) {
        let reached = std::mem::take(&mut self.window.reached);
        let moves = |(partition, reached): (&PartitionId, &Reached)| {
            let Partition { name, resumed, .. } = &self.partitions[partition].partition;
            let resumed = resumed.map_or(Position::START, |resumed| resumed.next);
            (name.clone(), Moved { resumed, next: reached.next })
        };
        let moved = if self.archives { reached.iter().map(moves).collect() } else { Vec::new() };
        let rows = std::mem::take(&mut self.window.passed);
        self.settling
            .push_back((epoch, reached.iter().map(|(partition, reached)| (*partition, reached.next)).collect()));
        let reached = reached
            .into_iter()
            .map(|(partition, reached)| {
                let partition = &self.partitions[&partition].partition;
                PartitionReached {
                    key: partition.key.clone(),
                    source: partition.name.clone(),
                    carries: partition.carries,
                    reached,
                }
            })
            .collect();
        let window = Window { epoch, rows, batches, reached };
        let last = self.ending.as_ref().is_some_and(|ending| ending.closed) && self.flights.len() == 0;
        let received =
            |(partition, records)| Received { source: self.partitions[&partition].partition.name.clone(), records };
        let raw = self.raw.pop_front().unwrap_or_default();
        let raw = raw.into_iter().map(received).collect();
        // A committer that has gone has reported why.
        let _ = self.windows.send(ToCommit { window, raw, moved, last }).await;
    }

    /// The last epoch that passed, as it stands now.
    fn frame(&self) -> Frame {
        Frame {
            epoch: self.shown,
            as_of: self.as_of,
            durable_epoch: self.has_tables.then_some(self.durable),
            cut: false,
            changes: Arc::default(),
            first_record_at: None,
            sources: self.partitions.values().map(|known| known.status(self.as_of)).collect(),
            open: self.opens_at.is_some_and(|first| self.shown >= first),
            complete: self.complete_at.is_some_and(|first| self.shown >= first),
            last: false,
        }
    }

    /// Exclusive, since what a sink collects can be sent to another thread with the conductor, but not shared.
    async fn show(&mut self, frame: Frame) {
        self.gauges.open.store(frame.open, Relaxed);
        if self.is_unserved {
            return;
        }
        tokio::select! {
            // Whoever was served has gone; the tables are still written.
            _ = self.frames.send(frame) => {}
            // Whoever is served takes nothing: that must not keep what was read from being committed.
            () = sleep_after_stop(self.stop.clone(), SERVING_GRACE) => {
                tracing::warn!(seconds = SERVING_GRACE.as_secs(), "answers are not taken any more; committing without");
                self.is_unserved = true;
            }
        }
    }

    /// Everything that was read is answered and, with tables, durable.
    fn is_done(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.closed) && self.flights.len() == 0 && self.windows_flying == 0
    }

    async fn finish(
        mut self,
        reports: &mut mpsc::UnboundedReceiver<Report<Batches<S>>>,
    ) -> Result<(Outcome, Option<EngineError>), EngineError> {
        self.all_rejected.judge_all().iter().for_each(AllRejected::warn);
        self.show(Frame { last: true, ..self.frame() }).await;
        // Without orders the workers close their inputs and end.
        let threads: Vec<_> = self.workers.drain(..).filter_map(|worker| worker.thread).collect();
        for thread in threads {
            thread.unpark();
        }
        reports.close();
        let stopped = self.ending.as_ref().is_some_and(|ending| ending.stopped);
        let counts = self.gauges.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((Outcome { totals: Totals { counts, ..self.totals }, stopped, epoch: self.shown }, self.failure))
    }
}
