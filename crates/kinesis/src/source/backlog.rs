//! Counts the shards of a stream that have not yet read what they held when reading began.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The shards of one stream that are behind.
#[derive(Debug, Default, Clone)]
pub(super) struct StreamBacklog {
    shards: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

/// One shard that is behind, until this is dropped.
#[derive(Debug)]
pub(super) struct ShardBacklog(StreamBacklog);

impl StreamBacklog {
    /// Counts a shard that is read from now on.
    pub(super) fn add_shard(&self) -> ShardBacklog {
        self.shards.fetch_add(1, Ordering::Relaxed);
        ShardBacklog(self.clone())
    }

    /// Whether every shard that was counted has been read up to its end, once.
    pub(super) fn is_read(&self) -> bool {
        self.shards.load(Ordering::Relaxed) == 0
    }

    /// Waits until a shard is no longer behind.
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
