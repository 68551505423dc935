//! Detects partitions that stopped moving although they have records.
//!
//! librdkafka can stop fetching a partition when its leader moves, without an error (librdkafka issues 4492, 4340 and
//! 2625). A long run must recover without an operator, so a partition that stays behind its end is fetched again from its
//! own next offset. That changes nothing if it waits for a good reason, such as an open transaction.

use std::time::{Duration, Instant};

/// How long a partition stands still before it is fetched anew for the first time. Twice as long each further time.
const FIRST_RETRY_AFTER: Duration = Duration::from_secs(10);
/// The longest wait between two such tries.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(300);
/// Who has not looked for this long was busy with something else, and knows nothing of how long a partition stood.
const MAX_POLL_GAP: Duration = Duration::from_secs(3);

/// How a partition moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartitionStallDetector {
    /// Where it stands.
    next: u64,
    /// Since when.
    since: Instant,
    /// When that was last looked at.
    looked: Instant,
    /// How often it was fetched anew there, and when it is to be next.
    tries: u32,
    due: Instant,
}

/// What is to be done about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StallState {
    /// Nothing.
    Ok,
    /// It has stood still for too long: fetch it anew.
    Stalled(Duration),
    /// It had stood so long, and moves again since it was fetched anew.
    Recovered(Duration),
}

impl PartitionStallDetector {
    pub(super) fn new(next: u64, now: Instant) -> PartitionStallDetector {
        PartitionStallDetector { next, since: now, looked: now, tries: 0, due: now + FIRST_RETRY_AFTER }
    }

    /// Looks at a partition; `may_stand`: it has nothing more, or nobody answers.
    pub(super) fn update(&mut self, next: u64, may_stand: bool, now: Instant) -> StallState {
        let (stood, tries) = (now - self.since, self.tries);
        let was_away = now - self.looked > MAX_POLL_GAP;
        if next != self.next || may_stand || was_away {
            *self = PartitionStallDetector::new(next, now);
            return if tries > 0 && !may_stand && !was_away { StallState::Recovered(stood) } else { StallState::Ok };
        }
        self.looked = now;
        if now < self.due {
            return StallState::Ok;
        }
        self.tries += 1;
        self.due = now + FIRST_RETRY_AFTER.saturating_mul(1 << self.tries.min(8)).min(MAX_RETRY_INTERVAL);
        StallState::Stalled(stood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said in each of so many seconds, by second.
    fn states_by_second(
        stall: &mut PartitionStallDetector,
        from: Instant,
        seconds: std::ops::Range<u64>,
        next: u64,
        idle: bool,
    ) -> Vec<(u64, StallState)> {
        seconds
            .map(|second| (second, stall.update(next, idle, from + Duration::from_secs(second))))
            .filter(|(_, verdict)| *verdict != StallState::Ok)
            .collect()
    }

    #[test]
    fn a_partition_that_stands_is_fetched_anew_less_and_less_often() {
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
    fn who_moves_or_has_nothing_more_is_left_alone() {
        let start = Instant::now();
        let mut stall = PartitionStallDetector::new(0, start);
        for second in 1..100 {
            assert_eq!(stall.update(second / 9, false, start + Duration::from_secs(second)), StallState::Ok);
        }
        let later = start + Duration::from_secs(100);
        assert_eq!(states_by_second(&mut stall, later, 0..100, 11, true), []);
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let start = Instant::now();
        let mut stall = PartitionStallDetector::new(0, start);
        assert_eq!(stall.update(0, false, start + Duration::from_secs(60)), StallState::Ok);
        assert_eq!(states_by_second(&mut stall, start, 61..70, 0, false), []);
        assert_eq!(states_by_second(&mut stall, start, 70..71, 0, false).len(), 1);
    }
}
