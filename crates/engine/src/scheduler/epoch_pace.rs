//! The least time from one epoch to the next, by what the graph has to do.

use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::PassedEpochs;

/// What the graph takes for an epoch is at most one part in this many of the time from one epoch to the next, unless that
/// would be longer than the configured length. So the fixed costs of short epochs stay a small share of a core.
const GRAPH_TIME_FACTOR: u32 = 4;
/// The shortest length is the configured one divided by this. It bounds how often subscribers and files of the answers hear
/// of changes, whose costs the graph does not see.
const SHORTEST_DIVISOR: u32 = 5;
/// How much the time that the graph takes grows with one epoch, at most. A worker that has to wait for a core once is no
/// reason to make the next records wait.
const GROWTH_FACTOR_MAX: u32 = 2;
/// The share of the last epoch when the graph takes less time than before, as a divisor. One epoch with a single record
/// does not make a busy graph an idle one.
const SHRINK_DIVISOR: u32 = 4;

/// Chooses the least time from one epoch to the next.
///
/// Waiting makes fewer and larger epochs, which cost less, but each record waits for its epoch to close. A graph that has
/// little to do can be given a record nearly at once.
#[derive(Debug)]
pub(super) struct EpochPace {
    /// The configured length.
    longest: Duration,
    /// What the graph takes for an epoch, between what makes the shortest and the configured length.
    graph_time: Duration,
}

impl EpochPace {
    pub(super) fn new(epoch_length: Duration) -> EpochPace {
        EpochPace { longest: epoch_length, graph_time: epoch_length }
    }

    /// The least time from one epoch to the next. `is_idle`: no epoch is in the graph.
    pub(super) fn length(&self, is_idle: bool) -> Duration {
        if is_idle { (self.graph_time * GRAPH_TIME_FACTOR).min(self.longest) } else { self.longest }
    }

    /// Learns what the last epochs took, which passed just now.
    pub(super) fn observe_epochs(&mut self, passed: PassedEpochs, now: Instant) {
        let took = now.saturating_duration_since(passed.begun) / passed.count.max(1);
        let took = took.clamp(self.longest / SHORTEST_DIVISOR / GRAPH_TIME_FACTOR, self.longest);
        if took >= self.graph_time {
            self.graph_time = took.min(self.graph_time * GROWTH_FACTOR_MAX);
        } else {
            self.graph_time -= (self.graph_time - took) / SHRINK_DIVISOR;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(10);

    fn pace_after(epochs: impl IntoIterator<Item = Duration>) -> EpochPace {
        let mut pace = EpochPace::new(LENGTH);
        let begun = Instant::now();
        for took in epochs {
            pace.observe_epochs(PassedEpochs { begun, count: 1, message_bytes: 0, fills: 0, steps: 0 }, begun + took);
        }
        pace
    }

    #[test]
    fn length_is_a_multiple_of_what_the_graph_takes_within_limits() {
        let after = |took| pace_after([took; 40]).length(true);
        assert_eq!(EpochPace::new(LENGTH).length(true), LENGTH, "nothing is known yet");
        assert_eq!(after(Duration::from_micros(50)).as_millis(), 2);
        assert_eq!(after(Duration::from_micros(800)).as_millis(), 3);
        assert_eq!(after(Duration::from_millis(3)), LENGTH);
        assert_eq!(after(Duration::from_secs(2)), LENGTH);
        assert_eq!(pace_after([Duration::ZERO; 40]).length(false), LENGTH, "the graph is busy");
    }

    #[test]
    fn one_slow_epoch_hardly_counts_and_several_do() {
        let (quick, slow) = (Duration::from_micros(50), Duration::from_millis(30));
        let with_slow = |count| pace_after([quick; 40].into_iter().chain(std::iter::repeat_n(slow, count)));
        assert_eq!(with_slow(1).length(true).as_millis(), 4);
        assert_eq!(with_slow(3).length(true), LENGTH);
        let slow_then = |count| pace_after([slow; 5].into_iter().chain(std::iter::repeat_n(quick, count)));
        assert_eq!(slow_then(2).length(true), LENGTH, "one quick epoch does not make a busy graph an idle one");
        assert_eq!(slow_then(40).length(true).as_millis(), 2);
    }

    #[test]
    fn epochs_that_pass_together_share_their_time() {
        let mut pace = pace_after([Duration::ZERO; 40]);
        let begun = Instant::now();
        pace.observe_epochs(PassedEpochs { begun, count: 2, message_bytes: 0, fills: 0, steps: 0 }, begun + LENGTH / 5);
        assert_eq!(pace.length(true).as_millis(), 4);
    }
}
