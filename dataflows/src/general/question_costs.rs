//! What a question of the general path costs on one worker.

use std::cell::Cell;
use std::rc::Rc;

use pinflow_sql::eval::FaultCounter;
use pinflow_sql::incremental::StateUsage;

use crate::answer::{QuestionId, QuestionUsage};

/// A clock: nanoseconds since some moment, that never go back. `None` until one is set.
pub(crate) type SampleClock = Rc<Cell<Option<fn() -> u64>>>;

/// One evaluation in this many is timed.
const EVALUATIONS_PER_SAMPLE: u64 = 64;

/// What a question costs. Its operators keep it up to date.
#[derive(Debug, Default)]
pub(crate) struct QuestionCosts {
    /// Operations without a result, except where extra columns are computed.
    pub(crate) faults: FaultCounter,
    /// The state of its groups, of its upper plan, and of the rows that are kept of each `ind`.
    pub(super) state: Cell<StateUsage>,
    evaluated: Cell<u64>,
    sampled: Cell<u64>,
    sampled_nanos: Cell<u64>,
}

impl QuestionCosts {
    /// The size of the state.
    pub(crate) fn state(&self) -> StateUsage {
        self.state.get()
    }

    /// The usage, without extra columns.
    pub(crate) fn usage(&self, question: QuestionId) -> QuestionUsage {
        let StateUsage { groups, rows, texts, bytes } = self.state.get();
        let (evaluated, sampled) = (self.evaluated.get(), self.sampled.get());
        let nanos = u128::from(self.sampled_nanos.get()) * u128::from(evaluated) / u128::from(sampled.max(1));
        QuestionUsage {
            question,
            groups: groups as u64,
            rows: rows as u64,
            bytes: bytes as u64,
            texts: texts as u64,
            faults: self.faults.count(),
            evaluated,
            nanos: u64::try_from(nanos).unwrap_or(u64::MAX),
        }
    }

    /// Evaluates the question for the rows of one `ind`, and counts that. Some evaluations are timed.
    pub(super) fn sample(&self, clock: &SampleClock, evaluate: impl FnOnce()) {
        let evaluated = self.evaluated.get();
        self.evaluated.set(evaluated + 1);
        let Some(now) = clock.get().filter(|_| evaluated.is_multiple_of(EVALUATIONS_PER_SAMPLE)) else {
            return evaluate();
        };
        let start = now();
        evaluate();
        self.sampled.set(self.sampled.get() + 1);
        self.sampled_nanos.set(self.sampled_nanos.get() + now().saturating_sub(start));
    }
}

/// The share that a part of the state has in the costs of its question.
#[derive(Debug, Default)]
pub(super) struct CountedState(StateUsage);

impl CountedState {
    /// Replaces what was counted of this part by what it is now.
    pub(super) fn count(&mut self, costs: &QuestionCosts, state: StateUsage) {
        let mut sum = costs.state.get();
        sum.add(state);
        sum.subtract(self.0);
        costs.state.set(sum);
        self.0 = state;
    }
}
