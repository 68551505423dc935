//! The shards of a stream and which of them may be read now. No I/O.
//!
//! A shard that is split, or merged with another, accepts no more records; its children replace it. Records of a partition
//! key are in the parents before they are in the children. So a child may be read only after all its parents (two after a
//! merge) were delivered completely.

use std::collections::BTreeMap;

use crate::ShardInfo;

/// The shards of a stream, including those that have ended.
#[derive(Debug, Default)]
pub(super) struct ShardGraph {
    shards: BTreeMap<String, ShardNode>,
}

#[derive(Debug)]
struct ShardNode {
    parents: Vec<String>,
    state: ShardState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShardState {
    /// Waits for its parents to end, or for its start to be durable.
    Waiting,
    Reading,
    Ended,
}

impl ShardGraph {
    /// Adds a shard. Returns whether it is new. `ended`: an earlier run read it to its end.
    pub(super) fn add(&mut self, shard: &ShardInfo, ended: bool) -> bool {
        if self.shards.contains_key(&shard.id) {
            return false;
        }
        let state = if ended { ShardState::Ended } else { ShardState::Waiting };
        self.shards.insert(shard.id.clone(), ShardNode { parents: shard.parents.clone(), state });
        true
    }

    /// Whether a shard was added.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.shards.contains_key(id)
    }

    /// The waiting shards whose parents have ended.
    ///
    /// An unknown parent had expired before the stream was first read, so there is nothing to wait for.
    pub(super) fn ready_shards(&self) -> Vec<String> {
        let is_ended = |parent: &String| self.shards.get(parent).is_none_or(|node| node.state == ShardState::Ended);
        let ready = self
            .shards
            .iter()
            .filter(|(_, node)| node.state == ShardState::Waiting && node.parents.iter().all(is_ended));
        ready.map(|(id, _)| id.clone()).collect()
    }

    /// Marks a shard as being read.
    pub(super) fn mark_reading(&mut self, id: &str) {
        self.set_state(id, ShardState::Reading);
    }

    /// Marks a shard as delivered completely.
    pub(super) fn mark_ended(&mut self, id: &str) {
        self.set_state(id, ShardState::Ended);
    }

    fn set_state(&mut self, id: &str, state: ShardState) {
        if let Some(node) = self.shards.get_mut(id) {
            node.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> ShardInfo {
        ShardInfo {
            id: id.to_owned(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            hash_keys: Default::default(),
            is_closed: false,
        }
    }

    #[test]
    fn child_waits_for_both_parents() {
        let mut graph = ShardGraph::default();
        for one in [shard("a", &[]), shard("b", &[]), shard("c", &["a", "b"]), shard("d", &["c"])] {
            assert!(graph.add(&one, false));
            assert!(!graph.add(&one, false));
        }
        assert_eq!(graph.ready_shards(), ["a", "b"]);
        graph.mark_reading("a");
        graph.mark_reading("b");
        graph.mark_ended("a");
        assert!(graph.ready_shards().is_empty());
        graph.mark_ended("b");
        assert_eq!(graph.ready_shards(), ["c"]);
        graph.mark_reading("c");
        graph.mark_ended("c");
        assert_eq!(graph.ready_shards(), ["d"]);
    }

    #[test]
    fn ended_shard_is_not_read_again_and_expired_parent_does_not_block() {
        let mut graph = ShardGraph::default();
        graph.add(&shard("b", &["a"]), true);
        graph.add(&shard("c", &["b"]), false);
        graph.add(&shard("e", &["d"]), false);
        assert_eq!(graph.ready_shards(), ["c", "e"]);
    }
}
