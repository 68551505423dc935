//! What is still open: the epoch that takes blocks, and the window that epochs are added to.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::flight::Cut;
use crate::position::{Epoch, PartitionId, Reached};

/// A window is full with this many bytes of messages, however few they are: few large ones must not fill the memory.
const WINDOW_BYTES_MAX: usize = 256 << 20;

/// The epoch that takes blocks.
pub(super) struct Open {
    pub(super) epoch: Epoch,
    pub(super) ends: BTreeMap<PartitionId, Cut>,
    pub(super) bytes: usize,
    /// When it last was closed: the next one closes an epoch's length after that.
    pub(super) opened: Instant,
    pub(super) holds: bool,
}

impl Open {
    pub(super) fn new(epoch: Epoch) -> Open {
        Open { epoch, ends: BTreeMap::new(), bytes: 0, opened: Instant::now(), holds: false }
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
    /// Rows of epochs which have passed.
    pub(super) passed: u64,
    /// Partitions that moved in epochs which have passed.
    pub(super) reached: BTreeMap<PartitionId, Reached>,
}

impl OpenWindow {
    pub(super) fn is_full(&self, rows_max: u64) -> bool {
        self.rows >= rows_max || self.bytes >= WINDOW_BYTES_MAX
    }
}
