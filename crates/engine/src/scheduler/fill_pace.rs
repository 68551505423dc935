//! How much of a question is filled in one epoch: as much as takes a budget of time, so that records do not wait long.

use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::PassedEpochs;

/// The first step. A worker takes a few milliseconds for it.
const FIRST_STEP: u32 = 2_048;
/// The least step. Below it, the fixed costs of an epoch would be most of it.
const MIN_STEP: u32 = 256;
/// The greatest step, which also bounds the memory that the updates of one epoch take.
pub(super) const MAX_STEP: u32 = 65_536;
/// Limits of the budget.
const MIN_BUDGET: Duration = Duration::from_millis(2);
const MAX_BUDGET: Duration = Duration::from_millis(50);
/// The share of the budget that the fill has at least, however long the records take.
const MIN_SHARE_OF_BUDGET: f64 = 0.5;
/// What the fill has at least in a busy run, as a share of what epochs take that fill nothing. The budget alone would be so
/// little that a fill never ends.
const MIN_SHARE_OF_USUAL: f64 = 0.5;
/// The most that this share may be.
const MAX_BUSY_FILL: Duration = Duration::from_millis(250);
/// The share of an epoch's time that is counted as the fill's at least. The rest is counted as the records', which is an
/// estimate and may be too much.
const MIN_SHARE_OF_EPOCH: f64 = 0.2;
/// The share of the last epochs in the mean of what epochs take that fill nothing.
const USUAL_WEIGHT: f64 = 0.05;
/// The most time that is counted as the records', as a multiple of what epochs take that fill nothing. Where these have few
/// bytes, their time is mostly a fixed cost, and says little about epochs with many.
const MAX_TIMES_USUAL: f64 = 2.0;
/// The share of the last epochs in the mean of what epochs take that fill a question. The graph may work on two epochs at
/// once, which pass one right after the other: the first seems to take all of the time, and the second none.
const FILLING_WEIGHT: f64 = 0.25;
/// A graph that had nothing to do for this long is hardly as busy as it was before.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// Chooses the step of a fill: the most rows of the tables, or `ind`s, for each worker in one epoch.
///
/// It measures how long the graph works on an epoch, and takes off what the records of the epoch took before the fill. So a
/// fill is fast in a run that is idle, and makes way in one that is busy.
#[derive(Debug)]
pub(super) struct FillPace {
    step: u32,
    /// What an epoch may take, at least.
    budget: Duration,
    /// What epochs take that fill nothing, in the mean.
    usual: UsualEpochs,
    /// What epochs take that fill, in the mean. `None` before the first of a question.
    filling: Option<FillingEpochs>,
    /// When the last epoch passed.
    passed_at: Option<Instant>,
}

/// The mean of the last epochs that filled nothing.
#[derive(Debug, Clone, Copy, Default)]
struct UsualEpochs {
    /// Seconds.
    took: f64,
    /// Bytes of messages.
    bytes: f64,
}

impl UsualEpochs {
    fn observe(&mut self, took: f64, bytes: f64) {
        self.took += (took - self.took) * USUAL_WEIGHT;
        self.bytes += (bytes - self.bytes) * USUAL_WEIGHT;
    }

    /// After an idle time, the last epochs count for less.
    fn forget(&mut self, idle: Duration) {
        let left = (-idle.as_secs_f64() / IDLE_TIME.as_secs_f64()).exp();
        (self.took, self.bytes) = (self.took * left, self.bytes * left);
    }

    /// What an epoch with messages of this size takes beside a fill, seconds. Without any messages before it, all was fixed
    /// costs.
    fn time_for(&self, bytes: f64) -> f64 {
        let times = if self.bytes > 0.0 { (bytes / self.bytes).min(MAX_TIMES_USUAL) } else { 1.0 };
        self.took * times
    }
}

/// The mean of the last epochs that filled a question.
#[derive(Debug, Clone, Copy)]
struct FillingEpochs {
    /// Seconds.
    took: f64,
    /// Bytes of messages.
    bytes: f64,
    /// Rows of the tables, or `ind`s, for each worker.
    step: f64,
}

impl FillPace {
    /// A record waits for its own epoch and for the one before it in the graph. With half of the usual length for each of
    /// them, it waits about as long as otherwise.
    pub(super) fn new(epoch_length: Duration) -> FillPace {
        let budget = (epoch_length / 2).clamp(MIN_BUDGET, MAX_BUDGET);
        FillPace { step: FIRST_STEP, budget, usual: UsualEpochs::default(), filling: None, passed_at: None }
    }

    /// The step of the open epoch.
    pub(super) fn step(&self) -> u32 {
        self.step
    }

    /// Adapts the step to what the last epochs took, which passed just now.
    pub(super) fn observe_epochs(&mut self, passed: PassedEpochs, now: Instant) {
        let begun = passed.begun;
        // While a question fills, there is always something to do, so what is usual stays.
        let idle = self.passed_at.map_or(Duration::ZERO, |before| begun.saturating_duration_since(before));
        self.usual.forget(idle);
        self.passed_at = Some(now);
        let took = now.saturating_duration_since(begun).as_secs_f64() / f64::from(passed.count);
        let bytes = passed.message_bytes as f64 / f64::from(passed.count);
        if passed.fills == 0 {
            self.usual.observe(took, bytes);
            // The next question may cost more than the last one.
            self.step = self.step.min(FIRST_STEP);
            self.filling = None;
            return;
        }
        let step = passed.steps as f64 / f64::from(passed.fills);
        let mean = self.filling.get_or_insert(FillingEpochs { took, bytes, step });
        mean.took += (took - mean.took) * FILLING_WEIGHT;
        mean.bytes += (bytes - mean.bytes) * FILLING_WEIGHT;
        mean.step += (step - mean.step) * FILLING_WEIGHT;
        // If the time of the records counted as the fill's, the step would become so small that it takes next to nothing.
        let records_time = self.usual.time_for(mean.bytes);
        let fill_time = (mean.took - records_time).max(mean.took * MIN_SHARE_OF_EPOCH);
        let budget = self.budget.as_secs_f64();
        let busy = (self.usual.took * MIN_SHARE_OF_USUAL).min(MAX_BUSY_FILL.as_secs_f64());
        let fill_budget = (budget - records_time).max(budget * MIN_SHARE_OF_BUDGET).max(busy);
        let fitting = mean.step * fill_budget / fill_time.max(f64::MIN_POSITIVE);
        let fitting = fitting.clamp(f64::from(self.step) / 4.0, f64::from(self.step) * 2.0);
        // What is in flight has other steps, of which nothing is known yet.
        let next = f64::midpoint(self.step.into(), fitting);
        self.step = (next as u32).clamp(MIN_STEP, MAX_STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_rng::SimRng;

    const LENGTH: Duration = Duration::from_millis(10);

    /// A graph in which an epoch takes some fixed time and some for each row, more or less.
    struct SimGraph {
        pace: FillPace,
        rng: SimRng,
        now: Instant,
        /// Epochs that were closed: when, and the step that they fill.
        in_flight: std::collections::VecDeque<(Instant, u32)>,
        passed_at: Instant,
        fixed_nanos: u64,
        nanos_per_row: u64,
        /// Of the records of an epoch.
        bytes: u64,
        /// The graph works on two epochs at once.
        in_pairs: bool,
        /// It has worked on the next one together with the last.
        next_is_done: bool,
    }

    impl SimGraph {
        fn new(seed: u64, fixed_nanos: u64, nanos_per_row: u64) -> SimGraph {
            let pace = FillPace::new(LENGTH);
            let in_flight = std::collections::VecDeque::new();
            let now = Instant::now();
            let (in_pairs, next_is_done) = (false, false);
            SimGraph {
                pace,
                rng: SimRng(seed),
                now,
                in_flight,
                passed_at: now,
                fixed_nanos,
                nanos_per_row,
                bytes: 0,
                in_pairs,
                next_is_done,
            }
        }

        /// Keeps two epochs in flight. Returns the step of the one that passes, and how long the graph took for it.
        fn pass_epoch(&mut self) -> (u32, Duration) {
            while self.in_flight.len() < 2 {
                self.in_flight.push_back((self.now, self.pace.step()));
            }
            let (closed_at, step) = self.in_flight.pop_front().expect("two epochs are in flight");
            let took = if std::mem::take(&mut self.next_is_done) {
                Duration::from_micros(50)
            } else {
                self.next_is_done = self.in_pairs;
                let next = self.in_flight.front().filter(|_| self.in_pairs).map(|(_, step)| *step);
                self.work_for(step) + next.map_or(Duration::ZERO, |step| self.work_for(step))
            };
            self.now += took;
            let begun = closed_at.max(self.passed_at);
            self.passed_at = self.now;
            self.pace.observe_epochs(
                PassedEpochs { begun, count: 1, message_bytes: self.bytes, fills: 1, steps: step.into() },
                self.now,
            );
            (step, took)
        }
    }

    impl SimGraph {
        fn work_for(&mut self, step: u32) -> Duration {
            let nanos = self.fixed_nanos + self.nanos_per_row * u64::from(step);
            Duration::from_nanos(nanos * self.rng.between(80, 120) / 100)
        }

        /// Passes epochs that fill nothing.
        fn pass_usual_epochs(&mut self, count: u32) {
            for _ in 0..count {
                let begun = self.now;
                self.now += Duration::from_nanos(self.fixed_nanos);
                self.passed_at = self.now;
                let passed = PassedEpochs { begun, count: 1, message_bytes: self.bytes, fills: 0, steps: 0 };
                self.pace.observe_epochs(passed, self.now);
            }
        }

        fn pass_epochs(&mut self, count: u32) {
            for _ in 0..count {
                self.pass_epoch();
            }
        }
    }

    #[test]
    fn epochs_take_about_the_budget_after_a_few_of_them() {
        for seed in 0..200 {
            let mut rng = SimRng(seed);
            let (fixed, per_row) = (rng.between(50_000, 1_000_000), rng.between(100, 10_000));
            let mut graph = SimGraph::new(seed, fixed, per_row);
            graph.in_pairs = seed % 2 == 1;
            graph.pass_epochs(12);
            let epochs: Vec<_> = (0..200).map(|_| graph.pass_epoch()).collect();
            let mean = epochs.iter().map(|(_, took)| took.as_secs_f64()).sum::<f64>() / 200.0;
            assert!((0.0035..0.0065).contains(&mean), "{mean} s with {fixed} ns and {per_row} ns/row");
            let most = epochs.iter().map(|(_, took)| *took).max().unwrap_or_default();
            // What the graph works on at once passes at once.
            let at_once = if graph.in_pairs { 2 } else { 1 };
            assert!(most < at_once * LENGTH, "{most:?} with {fixed} ns and {per_row} ns/row");
        }
    }

    #[test]
    fn busy_graph_gets_the_least_step_and_idle_one_recovers() {
        let mut graph = SimGraph::new(7, 30_000_000, 1_000);
        graph.pass_epochs(20);
        assert!(graph.pace.step() < 2 * MIN_STEP, "{}", graph.pace.step());
        (graph.fixed_nanos, graph.nanos_per_row) = (100_000, 10);
        graph.pass_epochs(40);
        assert_eq!(graph.pace.step(), MAX_STEP);
    }

    #[test]
    fn fill_keeps_its_share_of_epochs_whose_records_take_most_of_the_budget() {
        let flow = || SimGraph { bytes: 450_000, ..SimGraph::new(5, 4_500_000, 500) };
        let mut graph = flow();
        graph.pass_epochs(200);
        let misled = graph.pace.step();
        assert!(misled < 1_500, "{misled} rows without knowing what records take");
        let mut graph = flow();
        graph.pass_usual_epochs(200);
        graph.pass_epochs(60);
        let steps = (0..200).map(|_| graph.pass_epoch().0).map(f64::from).sum::<f64>() / 200.0;
        // Half of the budget of 5 ms, at half a microsecond for each row.
        assert!((3_500.0..6_500.0).contains(&steps), "{steps} rows");
    }

    #[test]
    fn fill_is_not_misled_by_what_an_epoch_of_few_bytes_took() {
        let mut graph = SimGraph { bytes: 300, ..SimGraph::new(11, 300_000, 500) };
        graph.pass_usual_epochs(200);
        (graph.bytes, graph.fixed_nanos) = (100_000, 1_500_000);
        graph.pass_epochs(60);
        let mean = (0..200).map(|_| graph.pass_epoch().1.as_secs_f64()).sum::<f64>() / 200.0;
        assert!((0.004..0.0065).contains(&mean), "{mean} s");
    }

    #[test]
    fn epoch_that_fills_in_a_busy_run_takes_half_as_long_again_as_the_others() {
        for bytes in [0, 8_000_000] {
            let mut graph = SimGraph { bytes, ..SimGraph::new(3, 80_000_000, 1_000) };
            graph.pass_usual_epochs(200);
            graph.pass_epochs(60);
            let epochs: Vec<_> = (0..200).map(|_| graph.pass_epoch().1.as_secs_f64()).collect();
            let mean = epochs.iter().sum::<f64>() / 200.0;
            assert!((0.11..0.13).contains(&mean), "{mean} s, of which 0.08 s are other work");
            // Once the run has been idle, the next fill takes no longer epochs than in any idle run.
            graph.in_flight.clear();
            (graph.now, graph.fixed_nanos, graph.bytes) = (graph.now + Duration::from_secs(5), 100_000, 0);
            graph.pass_epochs(20);
            let (_, took) = graph.pass_epoch();
            assert!(took < 2 * LENGTH / 2, "{took:?}");
        }
    }

    #[test]
    fn epochs_that_fill_nothing_or_pass_together_do_not_mislead() {
        let start = Instant::now();
        let mut pace = FillPace::new(LENGTH);
        let of = |begun, count, fills| PassedEpochs {
            begun,
            count,
            message_bytes: 0,
            fills,
            steps: u64::from(fills) * 2_048,
        };
        let begun = start + Duration::from_secs(3);
        pace.observe_epochs(of(begun, 1, 0), begun);
        assert_eq!(pace.step(), FIRST_STEP);
        // Two epochs of the budget each.
        pace.observe_epochs(of(begun, 2, 2), begun + LENGTH);
        assert_eq!(pace.step(), FIRST_STEP);
        // The time before the epoch was closed does not count.
        let begun = start + Duration::from_secs(9);
        pace.observe_epochs(of(begun, 1, 1), begun + LENGTH / 2);
        assert_eq!(pace.step(), FIRST_STEP);
        pace.observe_epochs(of(begun + LENGTH / 2, 1, 1), begun + LENGTH / 2);
        assert!(pace.step() > FIRST_STEP, "it took no time at all");
    }
}
