//! What epochs and windows hold on their way. The scheduler carries it and never looks into it.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Instant;

use jiff::Timestamp;
use pinflow_dataflows::graph::AnswerChange;
use pinflow_dataflows::ingest::IngestCounts;
use pinflow_dataflows::record::Micros;

use crate::protocol::{ReadCounts, WindowBatches, WorkerCommand};
use crate::scheduler::SchedulerPayload;
use pinflow_connect::sink::WindowSink;
use pinflow_connect::source::BlockRecords;
use pinflow_core::position::{PartitionId, PartitionProgress, Position, ResumeHint};

/// What the engine's scheduler carries along.
pub(super) struct EnginePayload<S>(PhantomData<S>);

impl<S: WindowSink> SchedulerPayload for EnginePayload<S> {
    type Work = WorkerCommand;
    type EpochRows = EpochRows<WindowBatches<S>>;
    type EpochAnswers = EpochAnswers;
    type WindowContents = WindowContents<WindowBatches<S>>;
}

/// Where an epoch ends in one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpochEnd {
    pub(super) next: Position,
    pub(super) fingerprint: u64,
    pub(super) hint: ResumeHint,
    /// Records that the source still has, where it knows.
    pub(super) lag: Option<u64>,
    /// The same in milliseconds, where the source knows it so.
    pub(super) lag_ms: Option<u64>,
    /// When its last record arrived; `None` if it has none, or the source knows no times.
    pub(super) arrived_at: Option<Micros>,
}

/// What was read in an epoch.
pub(super) struct EpochRows<B> {
    /// Where it ends, in each partition that moved.
    pub(super) ends: BTreeMap<PartitionId, EpochEnd>,
    pub(super) read: BTreeMap<PartitionId, ReadCounts>,
    pub(super) counts: IngestCounts,
    /// What the workers encoded of its window, if it is the last epoch of that.
    pub(super) batches: Vec<B>,
}

impl<B> Default for EpochRows<B> {
    fn default() -> EpochRows<B> {
        EpochRows { ends: BTreeMap::new(), read: BTreeMap::new(), counts: IngestCounts::default(), batches: Vec::new() }
    }
}

/// What an epoch changed in the answers.
#[derive(Debug, Default)]
pub(super) struct EpochAnswers {
    /// When it was closed.
    pub(super) as_of: Timestamp,
    /// When its first record was taken from the sources; `None` if it has none.
    pub(super) first_record_at: Option<Instant>,
    pub(super) changes: Vec<AnswerChange>,
}

/// What a window holds.
pub(super) struct WindowContents<B> {
    /// Its messages as they were received, if they are archived.
    pub(super) messages: Vec<(PartitionId, BlockRecords)>,
    /// Rows of its epochs that have passed.
    pub(super) rows: u64,
    /// How far the partitions are read that moved in its epochs that have passed.
    pub(super) reached: BTreeMap<PartitionId, PartitionProgress>,
    /// What the workers encoded.
    pub(super) batches: Vec<B>,
}

impl<B> Default for WindowContents<B> {
    fn default() -> WindowContents<B> {
        WindowContents { messages: Vec::new(), rows: 0, reached: BTreeMap::new(), batches: Vec::new() }
    }
}
