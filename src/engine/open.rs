//! What is still open: the epoch that takes blocks, and the window that epochs are added to.

use std::collections::BTreeMap;
use std::time::Instant as ClockInstant;

use tokio::time::Instant;

use super::CommitPolicy;
use super::flight::Cut;
use crate::position::{Epoch, PartitionId, Reached};
use crate::sources::Records;

/// The epoch that takes blocks.
pub(super) struct Open {
    pub(super) epoch: Epoch,
    pub(super) ends: BTreeMap<PartitionId, Cut>,
    pub(super) bytes: usize,
    /// When it last was closed: the next one closes an epoch's length after that.
    pub(super) opened: Instant,
    pub(super) holds: bool,
    /// When its first record was taken from the sources.
    pub(super) first_record_at: Option<ClockInstant>,
}

impl Open {
    pub(super) fn new(epoch: Epoch) -> Open {
        Open { epoch, ends: BTreeMap::new(), bytes: 0, opened: Instant::now(), holds: false, first_record_at: None }
    }
}

/// The window that epochs are added to.
#[derive(Default)]
pub(super) struct OpenWindow {
    pub(super) rows: u64,
    pub(super) bytes: usize,
    pub(super) since: Option<Instant>,
    /// A source waits for it to be durable.
    pub(super) urgent: bool,
    /// Its messages as they were received, if they are archived.
    pub(super) raw: Vec<(PartitionId, Records)>,
    /// Rows of epochs which have passed.
    pub(super) passed: u64,
    /// Partitions that moved in epochs which have passed.
    pub(super) reached: BTreeMap<PartitionId, Reached>,
}

impl OpenWindow {
    pub(super) fn is_full(&self, policy: &CommitPolicy) -> bool {
        self.rows >= policy.rows_max || self.bytes >= policy.bytes_max
    }
}
