//! The driver's outputs: passed epochs for serving, windows for the committer.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::EngineDriver;
use super::contents::{EpochAnswers, EpochEnd, EpochRows, WindowContents};
use crate::EpochFrame;
use crate::all_rejected::AllRejected;
use crate::protocol::{CommitRequest, ReadCounts, WindowBatches};
use crate::questions::ShownChanges;
use crate::stop::{SERVING_GRACE, sleep_after_stop};
use pinflow_connect::sink::{PartitionReached, PositionChange, RawWindow, ReceivedMessages, Window, WindowSink};
use pinflow_connect::source::Partition;
use pinflow_core::position::{Epoch, PartitionId, PartitionProgress, Position};

impl<S: WindowSink> EngineDriver<S> {
    /// Counts the rows of an epoch that has passed the graph, and adds them to its window.
    pub(super) fn pass_epoch(&mut self, epoch: Epoch, rows: EpochRows<WindowBatches<S>>) {
        let rows_before = self.totals.rows;
        rows.read.into_iter().for_each(|(partition, read)| self.count_rows(partition, read));
        self.all_rejected.judge_ended_sources(epoch).iter().for_each(AllRejected::log_warning);
        let reached: Vec<_> =
            rows.ends.into_iter().map(|(partition, end)| (partition, self.move_partition(partition, end))).collect();
        if self.has_tables {
            let window = self.scheduler.window_of_mut(epoch);
            window.rows += self.totals.rows - rows_before;
            window.reached.extend(reached);
            window.batches.extend(rows.batches);
        } else {
            self.settle(reached.iter().map(|(partition, reached)| (*partition, reached.next)).collect());
        }
        self.metrics.counts.lock().merge(&rows.counts);
        if self.scheduler.rebuilt_in() == Some(epoch) {
            self.warn_of_long_texts();
        }
        self.publish_lag();
        self.publish_durable_epoch();
        self.metrics.rows.store(self.totals.rows, Relaxed);
        self.metrics.rejected.store(self.totals.rejected, Relaxed);
        self.metrics.epoch.store(epoch, Relaxed);
    }

    fn count_rows(&mut self, partition: PartitionId, read: ReadCounts) {
        let state = self.partitions.get_mut(&partition).expect("read from a known partition");
        state.read += read;
        state.reached.rows += read.rows;
        self.all_rejected.count_read(&state.partition.name, read).iter().for_each(AllRejected::log_warning);
        self.totals.rows += read.rows;
        self.totals.rejected += read.rejected;
    }

    /// Records how far a partition was read at the end of an epoch.
    fn move_partition(&mut self, partition: PartitionId, end: EpochEnd) -> PartitionProgress {
        let state = self.partitions.get_mut(&partition).expect("an epoch ends in a known partition");
        state.reached = PartitionProgress {
            next: end.next,
            rows: state.reached.rows,
            fingerprint: end.fingerprint,
            hint: end.hint,
        };
        state.lag = end.lag;
        state.lag_ms = end.lag_ms;
        state.arrived_at = end.arrived_at.or(state.arrived_at);
        state.reached
    }

    /// Logs, once all rows are read back, that some stored texts count as null.
    fn warn_of_long_texts(&self) {
        let texts = self.metrics.stored_texts_too_long.load(Relaxed);
        if texts > 0 {
            tracing::warn!(
                texts,
                "stored texts are longer than [engine] text_bytes_max and count as null in the answers; \
                 their rows in the tables stay as they are"
            );
        }
    }

    fn publish_durable_epoch(&self) {
        if let Some(durable) = self.scheduler.durable_epoch() {
            self.metrics.durable_epoch.store(durable, Relaxed);
        }
    }

    /// Hands a window to the committer. Its positions are kept until it is durable.
    pub(super) async fn commit_window(&mut self, last_epoch: Epoch, is_last: bool) {
        let window = self.scheduler.window_of_mut(last_epoch);
        let (messages, batches) = (std::mem::take(&mut window.messages), std::mem::take(&mut window.batches));
        let cut_at = window.cut_at.unwrap_or_else(Instant::now);
        let (rows, partitions) = (window.rows, &self.partitions);
        let reached = window.reached.iter().map(|(id, reached)| (&partitions[id].partition, *reached));
        // The processes that read the others archive them.
        let is_archived = |partition: &Partition| self.archives && partition.id.process() == 0;
        let moved = reached.clone().filter(|(partition, _)| is_archived(partition)).map(|(partition, reached)| {
            let resumed = partition.resumed.map_or(Position::START, |resumed| resumed.next);
            (partition.name.clone(), PositionChange { resumed, next: reached.next })
        });
        let moved = moved.collect();
        let reached = reached.map(|(partition, reached)| PartitionReached {
            key: partition.key.clone(),
            source: partition.name.clone(),
            stream_hint: partition.stream_hint,
            reached,
        });
        let reached = reached.collect();
        // The committer adds the files of other processes.
        let window = Window { epoch: last_epoch, cut_at, rows, batches, reached, files: Vec::new() };
        let named = |(id, records)| ReceivedMessages { source: partitions[&id].partition.name.clone(), records };
        let raw = RawWindow { messages: messages.into_iter().map(named).collect(), moved };
        // A committer that ended has reported why.
        let snapshot = self.questions.snapshot_after(last_epoch);
        let _ = self.commits.send(CommitRequest { window, raw, snapshot, is_last }).await;
    }

    /// Handles a durable window: its sources can release its records.
    pub(super) fn settle_window(&mut self, window: &WindowContents<WindowBatches<S>>) {
        self.settle(window.reached.iter().map(|(partition, reached)| (*partition, reached.next)).collect());
    }

    /// Tells the sources of all processes how far their partitions are durable.
    fn settle(&self, positions: Vec<(PartitionId, Position)>) {
        self.workers.settle(&positions);
        self.durable_frontier.advance(positions);
    }

    /// Sends the changes of an epoch to serving. Also during a rebuild, so that serving has all answers when it ends.
    pub(super) async fn show_epoch(&mut self, epoch: Epoch, ends_window: bool, answers: EpochAnswers) {
        self.as_of = answers.as_of;
        let EpochAnswers { changes, first_record_at, .. } = answers;
        let ShownChanges { changes, completed } = self.show_questions(epoch, changes);
        let (changes, first_answers) = (Arc::new(changes), completed.into_iter().collect());
        let frame = EpochFrame { epoch, ends_window, changes, first_answers, first_record_at, ..self.last_frame() };
        self.send_frame(frame).await;
    }

    /// Sends the last epoch again, with the new durable epoch.
    pub(super) async fn show_durable(&mut self) {
        self.publish_durable_epoch();
        self.send_frame(self.last_frame()).await;
    }

    /// The frame of the last passed epoch, with current figures.
    pub(super) fn last_frame(&self) -> EpochFrame {
        EpochFrame {
            epoch: self.scheduler.shown_epoch(),
            as_of: self.as_of,
            durable_epoch: self.scheduler.durable_epoch(),
            ends_window: false,
            questions: self.questions.live().clone(),
            question_states: self.questions.states(),
            first_answers: Arc::new([]),
            changes: Arc::default(),
            first_record_at: None,
            sources: self.partitions.values().map(|state| state.status(self.as_of)).collect(),
            open: self.scheduler.is_rebuilt(),
            complete: self.scheduler.is_caught_up(),
            last: false,
        }
    }

    /// `&mut self`, because a sink's encoded rows are `Send` but not `Sync`.
    pub(super) async fn send_frame(&mut self, frame: EpochFrame) {
        self.metrics.open.store(frame.open, Relaxed);
        if self.is_unserved {
            return;
        }
        tokio::select! {
            // If the receiver is gone, the tables are still written.
            _ = self.frames.send(frame) => {}
            // A slow receiver must not delay commits.
            () = sleep_after_stop(self.stop.clone(), SERVING_GRACE) => {
                tracing::warn!(seconds = SERVING_GRACE.as_secs(), "answers are not taken any more; committing without");
                self.is_unserved = true;
            }
        }
    }
}
