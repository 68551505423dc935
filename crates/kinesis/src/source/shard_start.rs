//! Decides where each shard of a stream starts. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::config::KinesisStart;
use crate::ShardInfo;
use pinflow_core::position::{PartitionProgress, Position, ResumeHint};

/// The stored positions of a stream's shards, by shard id.
pub(super) type StoredShards = BTreeMap<String, PartitionProgress>;

/// Where one shard starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardStart {
    /// An earlier run read it to its end.
    Ended,
    /// At its stored position.
    Resumed(PartitionProgress),
    /// At this position, which must be durable before any record is read.
    Fresh(PartitionProgress),
}

/// Where a listed shard starts.
pub(super) fn start_of_shard(
    shard: &ShardInfo,
    listed: &[ShardInfo],
    stored: &StoredShards,
    start: KinesisStart,
    now_ms: u64,
) -> ShardStart {
    match stored.get(&shard.id) {
        Some(reached) if reached.next == Position::END => ShardStart::Ended,
        Some(reached) => ShardStart::Resumed(*reached),
        None if stored.is_empty() => ShardStart::Fresh(configured_start(start, now_ms)),
        // It resulted from a split or merge while no run was active, and starts at its oldest record.
        None => ShardStart::Fresh(oldest_record(earliest_creation_ms(shard, listed, stored).unwrap_or(now_ms))),
    }
}

/// A lower bound of the creation time of a shard: its parents, or theirs, were still read at that time.
fn earliest_creation_ms(shard: &ShardInfo, listed: &[ShardInfo], stored: &StoredShards) -> Option<u64> {
    let of_parent = |parent: &String| match stored.get(parent) {
        Some(reached) => Some(reached.hint.caught_up_ms()),
        None => earliest_creation_ms(listed.iter().find(|shard| shard.id == *parent)?, listed, stored),
    };
    shard.parents.iter().filter_map(of_parent).min()
}

/// The configured start of a shard without a stored position. The start time is stored in place of the fingerprint.
fn configured_start(start: KinesisStart, now_ms: u64) -> PartitionProgress {
    let moment_ms = match start {
        KinesisStart::TrimHorizon => 0,
        KinesisStart::Latest => now_ms,
        KinesisStart::At(moment) => u64::try_from(moment.as_millisecond()).unwrap_or(0),
    };
    PartitionProgress { fingerprint: moment_ms, ..oldest_record(now_ms) }
}

/// At the oldest record of a shard in which no record arrived before this time.
pub(super) fn oldest_record(caught_ms: u64) -> PartitionProgress {
    PartitionProgress { hint: ResumeHint::caught_up(caught_ms), ..PartitionProgress::NONE }
}

/// Shards that were not read to their end and no longer exist: those with a stored position, and those that were
/// created and expired since, which only their children reveal.
pub(super) fn missing_shards(listed: &[ShardInfo], stored: &StoredShards) -> Vec<(String, PartitionProgress)> {
    let is_listed = |id: &String| listed.iter().any(|shard| shard.id == *id);
    let open = stored.iter().filter(|(id, reached)| !is_listed(id) && reached.next != Position::END);
    let mut gone: Vec<_> = open.map(|(id, reached)| (id.clone(), *reached)).collect();
    if !stored.is_empty() {
        let born_since = listed.iter().filter(|shard| !stored.contains_key(&shard.id));
        gone.extend(unknown_parents(born_since, |id| stored.contains_key(id) || is_listed(id)));
    }
    gone
}

/// Unknown parents of new shards. Parents of the stream's first shards do not count, because they had expired before
/// the stream was first read.
pub(super) fn unknown_parents<'a>(
    born_since: impl Iterator<Item = &'a ShardInfo>,
    is_known: impl Fn(&String) -> bool,
) -> Vec<(String, PartitionProgress)> {
    let parents = born_since.flat_map(|shard| &shard.parents);
    let unknown: BTreeSet<&String> = parents.filter(|parent| !is_known(parent)).collect();
    unknown.into_iter().map(|parent| (parent.clone(), PartitionProgress::NONE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> ShardInfo {
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        ShardInfo { id: id.to_owned(), parents, hash_keys: Default::default(), is_closed: false }
    }

    fn stored(shards: &[(&str, Position, u64)]) -> StoredShards {
        let reached = |(id, next, ms): &(&str, Position, u64)| {
            (
                (*id).to_owned(),
                PartitionProgress { next: *next, hint: ResumeHint::caught_up(*ms), ..PartitionProgress::NONE },
            )
        };
        shards.iter().map(reached).collect()
    }

    #[test]
    fn shards_of_new_stream_start_at_configured_start() {
        let (listed, none) = ([shard("b", &["a"])], StoredShards::new());
        let fresh = |start| start_of_shard(&listed[0], &listed, &none, start, 50);
        let hint = ResumeHint::CaughtUpMs(50);
        let at = |fingerprint| ShardStart::Fresh(PartitionProgress { fingerprint, hint, ..PartitionProgress::NONE });
        assert_eq!(fresh(KinesisStart::TrimHorizon), at(0));
        assert_eq!(fresh(KinesisStart::Latest), at(50));
        assert!(missing_shards(&listed, &none).is_empty(), "parents that had expired before do not count");
    }

    #[test]
    fn new_shard_starts_at_oldest_record_with_earliest_creation_time() {
        let known = stored(&[("a", Position::END, 7), ("b", 5.into(), 9)]);
        let listed = [shard("b", &["a"]), shard("c", &["a", "b"]), shard("d", &["c"])];
        let begin = |at: usize| start_of_shard(&listed[at], &listed, &known, KinesisStart::Latest, 50);
        assert_eq!(begin(0), ShardStart::Resumed(known["b"]));
        assert_eq!(begin(1), ShardStart::Fresh(oldest_record(7)));
        assert_eq!(begin(2), ShardStart::Fresh(oldest_record(7)), "by its parent's parents");
        assert_eq!(start_of_shard(&shard("a", &[]), &listed, &known, KinesisStart::Latest, 50), ShardStart::Ended);
    }

    #[test]
    fn missing_shard_that_was_not_read_to_its_end_is_reported() {
        let known = stored(&[("a", Position::END, 7), ("b", 5.into(), 9), ("c", 6.into(), 9)]);
        // `d` was created and expired since. Only its child reveals it.
        let listed = [shard("c", &["a"]), shard("e", &["c", "d"])];
        assert_eq!(
            missing_shards(&listed, &known),
            [("b".to_owned(), known["b"]), ("d".to_owned(), PartitionProgress::NONE)]
        );
    }
}
