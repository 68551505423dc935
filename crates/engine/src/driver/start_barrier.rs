//! Holds start positions back until all sources have announced theirs, so that they are committed at once.

use pinflow_core::position::PartitionId;

/// The start positions of partitions that are new to the tables.
///
/// Several processes read the partitions of one topic. If the starts of some were committed, and the run died before
/// those of the others, these would pass for partitions that were added later, and would start at their oldest record.
#[derive(Debug, Default)]
pub(super) struct StartBarrier {
    /// Sources that have not announced theirs. 0 in a run of one process, where a source announces all at once.
    awaited: usize,
    held: Vec<PartitionId>,
}

impl StartBarrier {
    /// A barrier for so many sources.
    pub(super) fn new(awaited: usize) -> StartBarrier {
        StartBarrier { awaited, held: Vec::new() }
    }

    /// Takes partitions, and returns those that may be committed now.
    pub(super) fn add_partitions(&mut self, partitions: Vec<PartitionId>) -> Vec<PartitionId> {
        self.held.extend(partitions);
        self.release()
    }

    /// Notes that one more source has announced all of its partitions. Returns those that may be committed now.
    pub(super) fn end_source(&mut self) -> Vec<PartitionId> {
        self.awaited = self.awaited.saturating_sub(1);
        self.release()
    }

    fn release(&mut self) -> Vec<PartitionId> {
        if self.awaited == 0 { std::mem::take(&mut self.held) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u32]) -> Vec<PartitionId> {
        numbers.iter().copied().map(PartitionId).collect()
    }

    #[test]
    fn partitions_are_released_together_once_all_sources_have_announced_theirs() {
        let mut barrier = StartBarrier::new(2);
        assert_eq!(barrier.add_partitions(ids(&[0])), []);
        assert_eq!(barrier.end_source(), []);
        assert_eq!(barrier.add_partitions(ids(&[1, 2])), []);
        assert_eq!(barrier.end_source(), ids(&[0, 1, 2]));
        assert_eq!(barrier.add_partitions(ids(&[3])), ids(&[3]), "it was added later");
        assert_eq!(barrier.end_source(), []);
    }

    #[test]
    fn one_process_does_not_wait() {
        assert_eq!(StartBarrier::new(0).add_partitions(ids(&[5])), ids(&[5]));
    }
}
