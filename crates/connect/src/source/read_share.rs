//! Which process of a cluster reads what.

/// The share of the sources that one process reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadShare {
    /// The number of the process.
    pub process: usize,
    /// How many processes there are.
    pub processes: usize,
}

impl ReadShare {
    /// The share of the only process.
    pub const ALL: ReadShare = ReadShare { process: 0, processes: 1 };

    /// Whether this process reads the partition with this number of a topic. Consecutive partitions are read by
    /// consecutive processes. The first ones of several topics are not all read by the same process.
    #[must_use]
    pub fn has_partition(self, topic: &str, partition: usize) -> bool {
        (hash_name(topic) + partition) % self.processes == self.process
    }

    /// Whether this process reads the whole of something with this name.
    #[must_use]
    pub fn has_whole(self, name: &str) -> bool {
        self.has_partition(name, 0)
    }

    /// Whether this process reads what the configuration gives to a process. With fewer processes than that, they take
    /// turns, so that a configuration stays right when their number changes.
    #[must_use]
    pub fn has_assigned(self, process: usize) -> bool {
        process % self.processes == self.process
    }
}

/// FNV-1a. All processes are the same build, but a hasher with a random seed would differ between them.
fn hash_name(name: &str) -> usize {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // Enough bits to be even, and few enough that adding a partition number cannot overflow.
    (hash >> 40) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_read_by_one_process_and_shares_differ_by_one() {
        for processes in 1..8 {
            for topic in ["pin", "geo", "user", "12ab.pin"] {
                let readers = |partition| {
                    (0..processes)
                        .filter(move |process| {
                            ReadShare { process: *process, processes }.has_partition(topic, partition)
                        })
                        .collect::<Vec<_>>()
                };
                let mut counts = vec![0; processes];
                for partition in 0..12 {
                    let found = readers(partition);
                    assert_eq!(found.len(), 1, "{topic}/{partition} in {processes} processes");
                    counts[found[0]] += 1;
                }
                let (least, most) = (counts.iter().min(), counts.iter().max());
                assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{counts:?}");
            }
        }
    }

    #[test]
    fn assigned_source_is_read_by_one_process_of_any_number() {
        for (processes, assigned, reader) in [(1, 0, 0), (1, 3, 0), (2, 1, 1), (2, 2, 0), (3, 2, 2)] {
            for process in 0..processes {
                assert_eq!(ReadShare { process, processes }.has_assigned(assigned), process == reader);
            }
        }
    }
}
