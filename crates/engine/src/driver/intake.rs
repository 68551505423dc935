//! The driver's inputs: events of the sources, and rows read back from the tables.

use std::sync::atomic::Ordering::Relaxed;

use super::EngineDriver;
use super::contents::EpochEnd;
use super::source_inputs::SourceInput;
use super::stored_inputs::StoredInput;
use crate::EngineError;
use crate::cluster::{BlockSummary, SourceAnnouncement};
use crate::partition_state::PartitionState;
use crate::protocol::{GivenWork, WorkerBlock, WorkerCommand, stored_chunk_bytes};
use crate::scheduler::{BlockReaders, SchedulerEvent};
use pinflow_connect::sink::{SinkError, WindowSink};
use pinflow_connect::source::{BlockRecords, Partition, SourceError};
use pinflow_core::position::{PartitionId, PartitionProgress, Position};

impl<S: WindowSink> EngineDriver<S> {
    pub(super) fn on_stored_rows(&mut self, input: Option<Result<StoredInput, SinkError>>) -> Result<(), EngineError> {
        let (rows, bytes, work, process) = match input {
            Some(Ok(StoredInput::Chunk(chunk))) => {
                let (rows, bytes) = (chunk.len() as u64, stored_chunk_bytes(chunk.as_ref()));
                (rows, bytes, GivenWork::Command(WorkerCommand::ReplayStored(chunk)), 0)
            }
            Some(Ok(StoredInput::Held { process, rows, bytes })) => (rows, bytes, GivenWork::HeldRows, process),
            Some(Err(error)) => return Err(EngineError::Rebuild(Box::new(error))),
            None => return self.finish_rebuild(),
        };
        self.metrics.rebuilt.fetch_add(rows, Relaxed);
        self.schedule_event(SchedulerEvent::StoredRowsTaken { work, bytes, process });
        Ok(())
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
    pub(super) fn on_source_input(
        &mut self,
        input: Option<Result<SourceInput, SourceError>>,
    ) -> Result<(), EngineError> {
        let Some(input) = input else {
            self.schedule_event(SchedulerEvent::SourcesEnded);
            return Ok(());
        };
        let SourceInput { process, announced, records } = input?;
        match announced {
            SourceAnnouncement::Opened(partition) => self.open_partition(partition)?,
            SourceAnnouncement::Discovered(partitions) => {
                let ids = partitions.iter().map(|partition| partition.id).collect();
                partitions.into_iter().try_for_each(|partition| self.open_partition(partition))?;
                let released = self.start_barrier.add_partitions(ids);
                self.take_start_positions(released);
            }
            SourceAnnouncement::StartsAnnounced => {
                let released = self.start_barrier.end_source();
                self.take_start_positions(released);
            }
            SourceAnnouncement::Block(block) => match records {
                Some(records) => self.take_block(&block, records),
                None => {
                    self.count_block(&block);
                    self.schedule_block(&block, GivenWork::HeldBlock, BlockReaders::OfProcess(process));
                }
            },
            SourceAnnouncement::EndOffset { partition, end } => self.record_source_end(partition, end),
            SourceAnnouncement::Blocked { source, cause } => self.metrics.record_blocked_source(source, cause),
            SourceAnnouncement::Ended(partition) => {
                if let Some(state) = self.partitions.get(&partition) {
                    self.all_rejected.mark_ended(&state.partition.name, self.scheduler.open_epoch());
                }
            }
            SourceAnnouncement::BacklogRead => self.schedule_event(SchedulerEvent::BacklogRead),
        }
        Ok(())
    }

    fn open_partition(&mut self, partition: Partition) -> Result<(), EngineError> {
        // Sources of one process are compared before they start. Those of several processes meet only here.
        let is_same =
            |known: &&PartitionState| known.partition.key == partition.key && known.partition.id != partition.id;
        if let Some(known) = self.partitions.values().find(is_same) {
            let (one, other) = (known.partition.id.process(), partition.id.process());
            return Err(EngineError::Cluster(format!(
                "{} is read by process {one} and by process {other}; give each recording a different `name`",
                partition.name
            )));
        }
        tracing::debug!(partition = partition.name, process = partition.id.process(), "a partition is opened");
        let state = PartitionState::new(partition);
        self.partitions.insert(state.partition.id, state);
        Ok(())
    }

    /// Handles start positions. They are stored like any other, but their sources wait until they are durable.
    fn take_start_positions(&mut self, partitions: Vec<PartitionId>) {
        if partitions.is_empty() {
            return;
        }
        for id in partitions {
            let start = self.partitions[&id].partition.resumed.unwrap_or(PartitionProgress::NONE);
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

    /// Handles a block that this process has read.
    fn take_block(&mut self, block: &BlockSummary, records: BlockRecords) {
        self.count_block(block);
        let state = &self.partitions[&block.partition];
        let (source, stream_hint) = (state.source, state.partition.stream_hint);
        if self.archives {
            self.scheduler.filling_window_mut().messages.push((block.partition, records.clone()));
        }
        let work = WorkerCommand::ReadBlock(WorkerBlock { partition: block.partition, source, stream_hint, records });
        self.schedule_block(block, GivenWork::Command(work), BlockReaders::All);
    }

    fn count_block(&mut self, block: &BlockSummary) {
        let state = self.partitions.get_mut(&block.partition).expect("a partition is opened before its blocks");
        if let Some(now) = block.remaining_bytes {
            let before = std::mem::replace(&mut state.remaining_bytes, now);
            self.metrics.bytes_remaining.fetch_add(now.wrapping_sub(before), Relaxed);
        }
        self.metrics.bytes.fetch_add(block.bytes as u64, Relaxed);
        self.extend_open_epoch(block);
    }

    fn schedule_block(&mut self, block: &BlockSummary, work: GivenWork, readers: BlockReaders) {
        let (rows, bytes) = (block.rows, block.bytes);
        self.schedule_event(SchedulerEvent::BlockTaken { work, rows, bytes, readers });
    }

    /// Sets the end of the open epoch in the block's partition to the end of this block.
    fn extend_open_epoch(&mut self, block: &BlockSummary) {
        let (epoch_rows, answers) = self.scheduler.open_epoch_mut();
        if block.rows > 0 {
            answers.first_record_at.get_or_insert_with(std::time::Instant::now);
        }
        let BlockSummary { partition, next, fingerprint, hint, lag, lag_ms, arrived_at, .. } = *block;
        let mut end = EpochEnd { next, fingerprint, hint, lag, lag_ms, arrived_at };
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
