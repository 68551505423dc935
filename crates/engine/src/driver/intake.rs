//! The driver's inputs: events of the sources, and rows read back from the tables.

use std::sync::atomic::Ordering::Relaxed;

use super::EngineDriver;
use super::contents::EpochEnd;
use crate::EngineError;
use crate::partition_state::PartitionState;
use crate::protocol::{WorkerBlock, WorkerCommand};
use crate::scheduler::SchedulerEvent;
use pinflow_connect::sink::{SinkError, StoredChunk, WindowSink};
use pinflow_connect::source::{Partition, RecordBlock, SourceEvent};
use pinflow_core::position::{PartitionId, PartitionProgress, Position};

/// Estimated size of a row read back from the tables without its texts, in bytes. It only balances the workers and bounds
/// the queue.
pub(super) const STORED_ROW_BYTES: usize = 64;

impl<S: WindowSink> EngineDriver<S> {
    pub(super) fn on_stored_rows(
        &mut self,
        chunk: Option<Result<Box<dyn StoredChunk>, SinkError>>,
    ) -> Result<(), EngineError> {
        match chunk {
            Some(Ok(rows)) => {
                self.metrics.rebuilt.fetch_add(rows.len() as u64, Relaxed);
                let bytes = rows.len() * STORED_ROW_BYTES + rows.text_bytes();
                self.schedule_event(SchedulerEvent::StoredRowsTaken { work: WorkerCommand::ReplayStored(rows), bytes });
                Ok(())
            }
            Some(Err(error)) => Err(EngineError::Rebuild(Box::new(error))),
            None => self.finish_rebuild(),
        }
    }

    fn finish_rebuild(&mut self) -> Result<(), EngineError> {
        // A decoder that panicked also closes the channel. Its rows would be missing from the answers.
        let (rebuilt, total) = (self.metrics.rebuilt.load(Relaxed), self.metrics.rebuild_total.load(Relaxed));
        if rebuilt != total {
            let what = format!("{rebuilt} rows were read back of {total}; what is committed is safe, start again");
            return Err(EngineError::Rebuild(what.into()));
        }
        tracing::info!(rows = rebuilt, "the answers are rebuilt from the tables");
        self.schedule_event(SchedulerEvent::RebuildFinished { can_sweep: self.sweeps.can_begin() });
        Ok(())
    }

    /// Handles an event of a source. `None` means that all sources have ended.
    pub(super) fn on_source_event(&mut self, event: Option<SourceEvent>) -> Result<(), EngineError> {
        match event {
            Some(SourceEvent::Opened(partition)) => self.open_partition(partition),
            Some(SourceEvent::Discovered(partitions)) => self.take_start_positions(partitions),
            Some(SourceEvent::Block(block)) => self.take_block(block),
            Some(SourceEvent::EndOffset { partition, end }) => self.record_source_end(partition, end),
            Some(SourceEvent::Blocked { source, cause }) => self.metrics.record_blocked_source(source, cause),
            Some(SourceEvent::Ended(partition)) => {
                if let Some(state) = self.partitions.get(&partition) {
                    self.all_rejected.mark_ended(&state.partition.name, self.scheduler.open_epoch());
                }
            }
            Some(SourceEvent::BacklogRead) => self.schedule_event(SchedulerEvent::BacklogRead),
            Some(SourceEvent::Failed(error)) => return Err(error.into()),
            None => self.schedule_event(SchedulerEvent::SourcesEnded),
        }
        Ok(())
    }

    fn open_partition(&mut self, partition: Partition) {
        let state = PartitionState::new(partition);
        self.partitions.insert(state.partition.id, state);
    }

    /// Handles a start position. It is stored like any other, but its source waits until it is durable.
    fn take_start_positions(&mut self, partitions: Vec<Partition>) {
        for partition in partitions {
            let (id, start) = (partition.id, partition.resumed.unwrap_or(PartitionProgress::NONE));
            self.open_partition(partition);
            let PartitionProgress { next, fingerprint, hint, .. } = start;
            let end = EpochEnd { next, fingerprint, hint, lag: None, lag_ms: None, arrived_at: None };
            self.scheduler.open_epoch_mut().0.ends.insert(id, end);
        }
        self.schedule_event(SchedulerEvent::StartPositionsTaken);
    }

    fn record_source_end(&mut self, partition: PartitionId, end: Position) {
        self.partitions.get_mut(&partition).expect("a partition is opened before its end is reported").end = Some(end);
        self.publish_lag();
        // A separate epoch shows it even if nothing can be read, for example before an open transaction.
        self.schedule_event(SchedulerEvent::StatusChanged);
    }

    fn take_block(&mut self, block: RecordBlock) {
        let state = self.partitions.get_mut(&block.partition).expect("a partition is opened before its blocks");
        let (source, stream_hint) = (state.source, state.partition.stream_hint);
        if let Some(now) = block.remaining_bytes {
            let before = std::mem::replace(&mut state.remaining_bytes, now);
            self.metrics.bytes_remaining.fetch_add(now.wrapping_sub(before), Relaxed);
        }
        let (rows, bytes) = (block.records.count(), block.records.bytes());
        self.metrics.bytes.fetch_add(bytes as u64, Relaxed);
        self.extend_open_epoch(&block, rows);
        if self.archives {
            self.scheduler.filling_window_mut().messages.push((block.partition, block.records.clone()));
        }
        let RecordBlock { partition, records, .. } = block;
        let work = WorkerCommand::ReadBlock(WorkerBlock { partition, source, stream_hint, records });
        self.schedule_event(SchedulerEvent::BlockTaken { work, rows, bytes });
    }

    /// Sets the end of the open epoch in the block's partition to the end of this block.
    fn extend_open_epoch(&mut self, block: &RecordBlock, rows: u64) {
        let (epoch_rows, answers) = self.scheduler.open_epoch_mut();
        if rows > 0 {
            answers.first_record_at.get_or_insert_with(std::time::Instant::now);
        }
        let RecordBlock { partition, next, fingerprint, hint, lag, lag_ms, .. } = *block;
        let mut end = EpochEnd { next, fingerprint, hint, lag, lag_ms, arrived_at: block.records.last_arrived_at() };
        if let Some(before) = epoch_rows.ends.get(&partition) {
            // A block without records only moves the position.
            end.arrived_at = end.arrived_at.or(before.arrived_at);
        }
        epoch_rows.ends.insert(partition, end);
    }

    pub(super) fn publish_lag(&self) {
        self.metrics.lag.store(self.partitions.values().filter_map(PartitionState::lag).sum(), Relaxed);
    }
}
