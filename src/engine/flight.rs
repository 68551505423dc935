//! Epochs on their way through the graph, and what is known of each so far.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use jiff::Timestamp;
use pinflow_dataflows::graph::AnswerChange;
use pinflow_dataflows::ingest::IngestCounts;
use pinflow_dataflows::record::Micros;

use super::worker::Read;
use crate::position::{Epoch, PartitionId, Position};

/// Where an epoch ends in one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) next: Position,
    pub(super) anchor: u64,
    pub(super) seek: u64,
    pub(super) lag: Option<u64>,
    /// The same in milliseconds, where the source knows it so.
    pub(super) lag_ms: Option<u64>,
    /// When its last record arrived; `None` if it has none, or the source knows no times.
    pub(super) arrived_at: Option<Micros>,
}

/// A closed epoch that has not passed.
#[derive(Debug)]
pub(super) struct Flying<B> {
    pub(super) epoch: Epoch,
    pub(super) as_of: Timestamp,
    /// Whether it is the last of its window.
    pub(super) cut: bool,
    /// When its first record was taken from the sources; `None` if it has none.
    pub(super) first_record_at: Option<Instant>,
    /// Where it ends, in each partition that moved.
    pub(super) ends: BTreeMap<PartitionId, Cut>,
    pub(super) read: BTreeMap<PartitionId, Read>,
    pub(super) counts: IngestCounts,
    pub(super) changes: Vec<AnswerChange>,
    pub(super) batches: Vec<B>,
    /// Workers that have read all of it.
    pub(super) closed: usize,
}

/// All of them, oldest first.
#[derive(Debug)]
pub(super) struct Flights<B> {
    flying: VecDeque<Flying<B>>,
}

impl<B> Flights<B> {
    pub(super) fn new() -> Flights<B> {
        Flights { flying: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }

    pub(super) fn depart(
        &mut self,
        (epoch, as_of): (Epoch, Timestamp),
        cut: bool,
        first_record_at: Option<Instant>,
        ends: BTreeMap<PartitionId, Cut>,
    ) {
        self.flying.push_back(Flying {
            epoch,
            as_of,
            cut,
            first_record_at,
            ends,
            read: BTreeMap::new(),
            counts: IngestCounts::default(),
            changes: Vec::new(),
            batches: Vec::new(),
            closed: 0,
        });
    }

    /// The epoch, which must be under way: workers report on an epoch only between its closing and its passing.
    pub(super) fn of(&mut self, epoch: Epoch) -> &mut Flying<B> {
        let first = self.flying.front().map_or(epoch, |oldest| oldest.epoch);
        let index = usize::try_from(epoch - first).expect("few epochs are under way");
        self.flying.get_mut(index).expect("a report is on an epoch that is under way")
    }

    /// The oldest epoch, if it lies below `below` and every worker has reported on it.
    pub(super) fn arrive(&mut self, below: Epoch, workers: usize) -> Option<Flying<B>> {
        self.flying.pop_front_if(|oldest| oldest.epoch < below && oldest.closed == workers)
    }
}
