//! Decides where each shard of a stream starts. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::config::KinesisStart;
use crate::ShardInfo;
use pinflow_core::position::{PartitionProgress, Position, ResumeHint};

/// What the tables know of a stream's shards, by their names.
pub(super) type StoredShards = BTreeMap<String, PartitionProgress>;

/// Where one shard begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardStart {
    /// Everything of it was read by an earlier run.
    Ended,
    /// The tables know of it.
    Resumed(PartitionProgress),
    /// They do not: this is to be made durable before anything of it is read.
    Fresh(PartitionProgress),
}

/// Where a listed shard begins at a start.
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
        // It took the place of others while nobody looked, and begins at its oldest record.
        None => ShardStart::Fresh(oldest_record(earliest_creation_ms(shard, listed, stored).unwrap_or(now_ms))),
    }
}

/// A moment before which a shard cannot have been born: its parents were still read then, or theirs.
fn earliest_creation_ms(shard: &ShardInfo, listed: &[ShardInfo], stored: &StoredShards) -> Option<u64> {
    let of_parent = |parent: &String| match stored.get(parent) {
        Some(reached) => Some(reached.hint.caught_up_ms()),
        None => earliest_creation_ms(listed.iter().find(|shard| shard.id == *parent)?, listed, stored),
    };
    shard.parents.iter().filter_map(of_parent).min()
}

/// Where a shard of a stream begins that the tables know nothing of: the moment stands where later the hash of the last
/// record stands.
fn configured_start(start: KinesisStart, now_ms: u64) -> PartitionProgress {
    let moment_ms = match start {
        KinesisStart::TrimHorizon => 0,
        KinesisStart::Latest => now_ms,
        KinesisStart::At(moment) => u64::try_from(moment.as_millisecond()).unwrap_or(0),
    };
    PartitionProgress { fingerprint: moment_ms, ..oldest_record(now_ms) }
}

/// At the oldest record of a shard in which nothing arrived before this moment.
pub(super) fn oldest_record(caught_ms: u64) -> PartitionProgress {
    PartitionProgress { hint: ResumeHint::caught_up(caught_ms), ..PartitionProgress::NONE }
}

/// Shards that were not read to their end, and are not there any more: those that the tables know, and those that came
/// and went since they were last written, of which only the children tell.
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

/// Parents that nobody knows of shards that were not there before. Those of a stream's first shards are nobody's: they
/// had expired before it was first read.
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
    fn shards_of_an_unknown_stream_begin_where_the_start_says() {
        let (listed, none) = ([shard("b", &["a"])], StoredShards::new());
        let fresh = |start| start_of_shard(&listed[0], &listed, &none, start, 50);
        let hint = ResumeHint::CaughtUpMs(50);
        let at = |fingerprint| ShardStart::Fresh(PartitionProgress { fingerprint, hint, ..PartitionProgress::NONE });
        assert_eq!(fresh(KinesisStart::TrimHorizon), at(0));
        assert_eq!(fresh(KinesisStart::Latest), at(50));
        assert!(missing_shards(&listed, &none).is_empty(), "parents that had expired before are nobody's");
    }

    #[test]
    fn shards_born_later_begin_at_their_oldest_record_and_know_how_old_that_can_be() {
        let known = stored(&[("a", Position::END, 7), ("b", 5.into(), 9)]);
        let listed = [shard("b", &["a"]), shard("c", &["a", "b"]), shard("d", &["c"])];
        let begin = |at: usize| start_of_shard(&listed[at], &listed, &known, KinesisStart::Latest, 50);
        assert_eq!(begin(0), ShardStart::Resumed(known["b"]));
        assert_eq!(begin(1), ShardStart::Fresh(oldest_record(7)));
        assert_eq!(begin(2), ShardStart::Fresh(oldest_record(7)), "by its parent's parents");
        assert_eq!(start_of_shard(&shard("a", &[]), &listed, &known, KinesisStart::Latest, 50), ShardStart::Ended);
    }

    #[test]
    fn what_was_not_read_to_its_end_and_is_gone_is_named() {
        let known = stored(&[("a", Position::END, 7), ("b", 5.into(), 9), ("c", 6.into(), 9)]);
        // `d` came and went since; only its child tells.
        let listed = [shard("c", &["a"]), shard("e", &["c", "d"])];
        assert_eq!(
            missing_shards(&listed, &known),
            [("b".to_owned(), known["b"]), ("d".to_owned(), PartitionProgress::NONE)]
        );
    }
}
