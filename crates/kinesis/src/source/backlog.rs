//! Counts the shards of a stream whose backlog is not yet read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The number of shards of one stream that still have a backlog.
#[derive(Debug, Default, Clone)]
pub(super) struct StreamBacklog {
    shards: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

/// Counts one shard as having a backlog until it is dropped.
#[derive(Debug)]
pub(super) struct ShardBacklog(StreamBacklog);

impl StreamBacklog {
    /// Counts a shard from now on.
    pub(super) fn add_shard(&self) -> ShardBacklog {
        self.shards.fetch_add(1, Ordering::Relaxed);
        ShardBacklog(self.clone())
    }

    /// Whether the backlog of every counted shard was read.
    pub(super) fn is_read(&self) -> bool {
        self.shards.load(Ordering::Relaxed) == 0
    }

    /// Waits until the backlog of a shard was read.
    pub(super) async fn wait_for_change(&self) {
        self.changed.notified().await;
    }
}

impl Drop for ShardBacklog {
    fn drop(&mut self) {
        self.0.shards.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}
