//! The shards of a stream and which of them may be read now. No I/O.
//!
//! A shard that is split, or merged with another, accepts no more records; its children replace it. Records of a partition
//! key are in the parents before they are in the children. So a child may be read only after all its parents (two after a
//! merge) were delivered completely.

use std::collections::BTreeMap;

use crate::ShardInfo;

/// The shards of a stream, those that have ended included.
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
    /// For its parents, or for its beginning to be durable.
    Waiting,
    Reading,
    Ended,
}

impl ShardGraph {
    /// Takes up a shard; whether it was not known before. `ended`: everything of it was read by an earlier run.
    pub(super) fn add(&mut self, shard: &ShardInfo, ended: bool) -> bool {
        if self.shards.contains_key(&shard.id) {
            return false;
        }
        let state = if ended { ShardState::Ended } else { ShardState::Waiting };
        self.shards.insert(shard.id.clone(), ShardNode { parents: shard.parents.clone(), state });
        true
    }

    /// Whether a shard was taken up.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.shards.contains_key(id)
    }

    /// Shards that wait, and whose parents have ended.
    ///
    /// A parent that nobody knows had expired before the stream was first opened: nothing of it can be read.
    pub(super) fn ready_shards(&self) -> Vec<String> {
        let is_ended = |parent: &String| self.shards.get(parent).is_none_or(|node| node.state == ShardState::Ended);
        let ready = self
            .shards
            .iter()
            .filter(|(_, node)| node.state == ShardState::Waiting && node.parents.iter().all(is_ended));
        ready.map(|(id, _)| id.clone()).collect()
    }

    /// A shard is read from now on.
    pub(super) fn mark_reading(&mut self, id: &str) {
        self.set_state(id, ShardState::Reading);
    }

    /// Everything of a shard was handed over.
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
    fn a_child_waits_for_both_its_parents() {
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
    fn what_ended_before_is_not_read_again_and_expired_parents_hold_nobody_up() {
        let mut graph = ShardGraph::default();
        graph.add(&shard("b", &["a"]), true);
        graph.add(&shard("c", &["b"]), false);
        graph.add(&shard("e", &["d"]), false);
        assert_eq!(graph.ready_shards(), ["c", "e"]);
    }
}
