//! Detects partitions that stopped moving although they have records.
//!
//! librdkafka can stop fetching a partition when its leader moves, without an error (librdkafka issues 4492, 4340 and
//! 2625). A long run must recover without an operator, so a partition that stays behind its end is fetched again from its
//! own next offset. That changes nothing if it waits for a good reason, such as an open transaction.

use std::time::{Duration, Instant};

/// How long a partition may stall before it is fetched again. Doubles with every attempt.
const FIRST_RETRY_AFTER: Duration = Duration::from_secs(10);
/// Maximum time between two attempts.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(300);
/// If the reader did not poll for this long, the elapsed time says nothing about the partition: reset the stall timer.
const MAX_POLL_GAP: Duration = Duration::from_secs(3);

/// The stall timer of one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartitionStallDetector {
    /// The next offset of the partition.
    next: u64,
    /// Since when `next` has not changed.
    since: Instant,
    /// When it was last updated.
    updated: Instant,
    /// How often the partition was fetched again at this offset, and when the next attempt is due.
    tries: u32,
    due: Instant,
}

/// What to do about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StallState {
    /// Nothing: it moves, or has no more records.
    Ok,
    /// It has stalled for this long: fetch it again.
    Stalled(Duration),
    /// It moves again after it stalled for this long and was fetched again.
    Recovered(Duration),
}

impl PartitionStallDetector {
    pub(super) fn new(next: u64, now: Instant) -> PartitionStallDetector {
        PartitionStallDetector { next, since: now, updated: now, tries: 0, due: now + FIRST_RETRY_AFTER }
    }

    /// Updates the timer. `may_stall`: the partition has no more records, or the brokers cannot be reached.
    pub(super) fn update(&mut self, next: u64, may_stall: bool, now: Instant) -> StallState {
        let (stalled_for, tries) = (now - self.since, self.tries);
        let has_gap = now - self.updated > MAX_POLL_GAP;
        if next != self.next || may_stall || has_gap {
            *self = PartitionStallDetector::new(next, now);
            return if tries > 0 && !may_stall && !has_gap {
                StallState::Recovered(stalled_for)
            } else {
                StallState::Ok
            };
        }
        self.updated = now;
        if now < self.due {
            return StallState::Ok;
        }
        self.tries += 1;
        self.due = now + FIRST_RETRY_AFTER.saturating_mul(1 << self.tries.min(8)).min(MAX_RETRY_INTERVAL);
        StallState::Stalled(stalled_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states other than `Ok`, with the second at which each occurs.
    fn states_by_second(
        stall: &mut PartitionStallDetector,
        from: Instant,
        seconds: std::ops::Range<u64>,
        next: u64,
        idle: bool,
    ) -> Vec<(u64, StallState)> {
        seconds
            .map(|second| (second, stall.update(next, idle, from + Duration::from_secs(second))))
            .filter(|(_, state)| *state != StallState::Ok)
            .collect()
    }

    #[test]
    fn stalled_partition_is_fetched_again_at_growing_intervals() {
        let start = Instant::now();
        let mut stall = PartitionStallDetector::new(7, start);
        let tries: Vec<u64> =
            states_by_second(&mut stall, start, 1..1_300, 7, false).into_iter().map(|(second, _)| second).collect();
        assert_eq!(tries, [10, 30, 70, 150, 310, 610, 910, 1210]);
        let moved = start + Duration::from_secs(1_300);
        assert_eq!(stall.update(8, false, moved), StallState::Recovered(Duration::from_secs(1_300)));
        assert_eq!(states_by_second(&mut stall, moved, 1..10, 8, false), []);
        assert_eq!(states_by_second(&mut stall, moved, 10..11, 8, false).len(), 1);
    }

    #[test]
    fn moving_or_caught_up_partition_is_not_stalled() {
        let start = Instant::now();
        let mut stall = PartitionStallDetector::new(0, start);
        for second in 1..100 {
            assert_eq!(stall.update(second / 9, false, start + Duration::from_secs(second)), StallState::Ok);
        }
        let later = start + Duration::from_secs(100);
        assert_eq!(states_by_second(&mut stall, later, 0..100, 11, true), []);
    }

    #[test]
    fn time_without_updates_does_not_count_as_stall() {
        let start = Instant::now();
        let mut stall = PartitionStallDetector::new(0, start);
        assert_eq!(stall.update(0, false, start + Duration::from_secs(60)), StallState::Ok);
        assert_eq!(states_by_second(&mut stall, start, 61..70, 0, false), []);
        assert_eq!(states_by_second(&mut stall, start, 70..71, 0, false).len(), 1);
    }
}
