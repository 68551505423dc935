//! Which shards may be read now. No I/O here.
//!
//! A shard that is split, or merged with another, takes no more records; its children take its place. The records of a
//! key stand in the parents before they stand in the children, so a child may be read only once everything of its
//! parents, both of them after a merge, was handed over.

use std::collections::BTreeMap;

use crate::kinesis::Shard;

/// The shards of a stream, those that have ended included.
#[derive(Debug, Default)]
pub(super) struct Tree {
    shards: BTreeMap<String, Node>,
}

#[derive(Debug)]
struct Node {
    parents: Vec<String>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// For its parents, or for its beginning to be durable.
    Waits,
    IsRead,
    HasEnded,
}

impl Tree {
    /// Takes up a shard; whether it was not known before. `ended`: everything of it was read by an earlier run.
    pub(super) fn learn(&mut self, shard: &Shard, ended: bool) -> bool {
        if self.shards.contains_key(&shard.id) {
            return false;
        }
        let state = if ended { State::HasEnded } else { State::Waits };
        self.shards.insert(shard.id.clone(), Node { parents: shard.parents.clone(), state });
        true
    }

    /// Whether a shard was taken up.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.shards.contains_key(id)
    }

    /// Shards that wait, and whose parents have ended.
    ///
    /// A parent that nobody knows had expired before the stream was first opened: nothing of it can be read.
    pub(super) fn ready(&self) -> Vec<String> {
        let has_ended = |parent: &String| self.shards.get(parent).is_none_or(|node| node.state == State::HasEnded);
        let ready =
            self.shards.iter().filter(|(_, node)| node.state == State::Waits && node.parents.iter().all(has_ended));
        ready.map(|(id, _)| id.clone()).collect()
    }

    /// A shard is read from now on.
    pub(super) fn begin(&mut self, id: &str) {
        self.set(id, State::IsRead);
    }

    /// Everything of a shard was handed over.
    pub(super) fn end(&mut self, id: &str) {
        self.set(id, State::HasEnded);
    }

    fn set(&mut self, id: &str, state: State) {
        if let Some(node) = self.shards.get_mut(id) {
            node.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        Shard {
            id: id.to_owned(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            hash_keys: Default::default(),
            is_closed: false,
        }
    }

    #[test]
    fn a_child_waits_for_both_its_parents() {
        let mut tree = Tree::default();
        for one in [shard("a", &[]), shard("b", &[]), shard("c", &["a", "b"]), shard("d", &["c"])] {
            assert!(tree.learn(&one, false));
            assert!(!tree.learn(&one, false));
        }
        assert_eq!(tree.ready(), ["a", "b"]);
        tree.begin("a");
        tree.begin("b");
        tree.end("a");
        assert!(tree.ready().is_empty());
        tree.end("b");
        assert_eq!(tree.ready(), ["c"]);
        tree.begin("c");
        tree.end("c");
        assert_eq!(tree.ready(), ["d"]);
    }

    #[test]
    fn what_ended_before_is_not_read_again_and_expired_parents_hold_nobody_up() {
        let mut tree = Tree::default();
        tree.learn(&shard("b", &["a"]), true);
        tree.learn(&shard("c", &["b"]), false);
        tree.learn(&shard("e", &["d"]), false);
        assert_eq!(tree.ready(), ["c", "e"]);
    }
}
