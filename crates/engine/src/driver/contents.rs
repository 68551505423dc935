//! The contents of epochs and windows in flight. They are opaque to the scheduler.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Instant;

use jiff::Timestamp;
use pinflow_dataflows::graph::AnswerChange;
use pinflow_dataflows::ingest::IngestCounts;
use pinflow_dataflows::record::Micros;

use crate::protocol::{GivenWork, ReadCounts, WindowBatches};
use crate::scheduler::SchedulerPayload;
use pinflow_connect::sink::WindowSink;
use pinflow_connect::source::BlockRecords;
use pinflow_core::position::{PartitionId, PartitionProgress, Position, ResumeHint};

/// The payload types of the engine's scheduler.
pub(super) struct EnginePayload<S>(PhantomData<S>);

impl<S: WindowSink> SchedulerPayload for EnginePayload<S> {
    type Work = GivenWork;
    type EpochRows = EpochRows<WindowBatches<S>>;
    type EpochAnswers = EpochAnswers;
    type WindowContents = WindowContents<WindowBatches<S>>;
}

/// The end of an epoch in one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpochEnd {
    pub(super) next: Position,
    pub(super) fingerprint: u64,
    pub(super) hint: ResumeHint,
    /// Remaining records, if the source knows.
    pub(super) lag: Option<u64>,
    /// The lag in milliseconds, if the source knows.
    pub(super) lag_ms: Option<u64>,
    /// The arrival time of its last record. `None` without records, or if the source knows no times.
    pub(super) arrived_at: Option<Micros>,
}

/// The reads of an epoch.
pub(super) struct EpochRows<B> {
    /// The end of the epoch in each partition that moved.
    pub(super) ends: BTreeMap<PartitionId, EpochEnd>,
    pub(super) read: BTreeMap<PartitionId, ReadCounts>,
    pub(super) counts: IngestCounts,
    /// The encoded rows of the window, if this is its last epoch.
    pub(super) batches: Vec<B>,
}

impl<B> Default for EpochRows<B> {
    fn default() -> EpochRows<B> {
        EpochRows { ends: BTreeMap::new(), read: BTreeMap::new(), counts: IngestCounts::default(), batches: Vec::new() }
    }
}

/// The answer changes of an epoch.
#[derive(Debug, Default)]
pub(super) struct EpochAnswers {
    /// When the epoch was closed.
    pub(super) as_of: Timestamp,
    /// When its first record was taken from a source. `None` without records.
    pub(super) first_record_at: Option<Instant>,
    pub(super) changes: Vec<AnswerChange>,
}

/// The contents of a window.
pub(super) struct WindowContents<B> {
    /// When its last epoch was closed.
    pub(super) cut_at: Option<Instant>,
    /// The messages as received, if they are archived.
    pub(super) messages: Vec<(PartitionId, BlockRecords)>,
    /// Rows of its passed epochs.
    pub(super) rows: u64,
    /// The positions of the partitions that moved in its passed epochs.
    pub(super) reached: BTreeMap<PartitionId, PartitionProgress>,
    /// The rows that the workers encoded.
    pub(super) batches: Vec<B>,
}

impl<B> Default for WindowContents<B> {
    fn default() -> WindowContents<B> {
        WindowContents { cut_at: None, messages: Vec::new(), rows: 0, reached: BTreeMap::new(), batches: Vec::new() }
    }
}
