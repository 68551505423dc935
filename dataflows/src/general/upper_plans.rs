//! The upper plans of all questions.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use pinflow_sql::datum::Row;
use pinflow_sql::incremental::{StateError, UpperState};

use super::group_fills::GroupFills;
use super::operators::{EpochState, WorkerShare, refuse_wrong_state};
use super::question_commands::{AddedQuestion, CommandLog, FillStart, QuestionCommand};
use super::question_costs::{CountedState, QuestionCosts};
use super::updates::{LeafId, LeafResult, question_hash};
use crate::answer::{AnswerCell, AnswerChange, AnswerRow, AnswerUpdate, FillProgress, QuestionId, StateDisposal};
use crate::joins::WalkStep;

/// The upper plans of the questions on one worker. Only the worker that owns a question has rows of it.
pub(super) struct UpperPlans {
    plans: HashMap<u32, HeldPlan>,
    fills: GroupFills,
    share: WorkerShare,
    /// How many rows of a plan that is filled are emitted in one epoch.
    step: WalkStep,
    commands: CommandLog,
    disposal: StateDisposal,
}

/// The upper plan of one question.
struct HeldPlan {
    state: UpperState,
    id: QuestionId,
    costs: Rc<QuestionCosts>,
    name: Arc<str>,
    counted: CountedState,
}

impl UpperPlans {
    /// No plans yet.
    pub(super) fn new(
        (share, step): (WorkerShare, WalkStep),
        (commands, disposal): (CommandLog, StateDisposal),
    ) -> UpperPlans {
        let (plans, fills) = (HashMap::new(), GroupFills::default());
        UpperPlans { plans, fills, share, step, commands, disposal }
    }

    /// Adds a question. The worker that owns it gives the rows that its answer has without rows of the leaves.
    fn add_question(
        &mut self,
        epoch: u64,
        AddedQuestion { question, fill, .. }: &AddedQuestion,
        output: &mut Vec<AnswerUpdate>,
    ) {
        let mut held = HeldPlan {
            state: UpperState::new(&question.program.upper),
            id: question.id,
            costs: Rc::clone(&question.costs),
            name: Arc::clone(&question.name),
            counted: CountedState::default(),
        };
        if *fill != FillStart::Empty {
            self.fills.add(question.id.number());
            held.state.hold_rows();
        }
        if self.share.owns(question_hash(question.id.number())) {
            let rows = held.state.start(&held.costs.faults);
            held.emit_changes(epoch, rows, output);
        }
        self.plans.insert(question.id.number(), held);
    }
}

impl HeldPlan {
    fn emit_changes(&mut self, epoch: u64, rows: Result<Vec<(Row, i64)>, StateError>, output: &mut Vec<AnswerUpdate>) {
        let change = |(row, diff): (Row, i64)| {
            let row = AnswerRow(row.into_iter().map(AnswerCell::from).collect());
            AnswerUpdate::Change(AnswerChange { answer: self.id, row, diff })
        };
        match rows {
            Ok(rows) => output.extend(rows.into_iter().map(change)),
            Err(error) => refuse_wrong_state(&self.name, epoch, error),
        }
        self.counted.count(&self.costs, self.state.usage());
    }
}

impl UpperPlans {
    fn execute(&mut self, epoch: u64, command: &QuestionCommand, output: &mut Vec<AnswerUpdate>) {
        match command {
            QuestionCommand::Add(added) => self.add_question(epoch, added, output),
            QuestionCommand::BeginFill(_) => {}
            QuestionCommand::Drop(id, _) => {
                self.fills.remove(id.number());
                if let Some(held) = self.plans.remove(&id.number()) {
                    self.disposal.dispose_of(held.state);
                }
                output.push(AnswerUpdate::Drop(*id));
            }
        }
    }
}

impl EpochState for UpperPlans {
    type Input = LeafResult;
    type Output = AnswerUpdate;

    fn apply(&mut self, epoch: u64, input: Vec<Vec<LeafResult>>) -> Vec<AnswerUpdate> {
        let mut output = Vec::new();
        for command in &*self.commands.of_epoch(epoch) {
            self.execute(epoch, command, &mut output);
        }
        // This is the last operator that has commands.
        self.commands.remove(epoch);
        let mut by_question: BTreeMap<u32, Vec<(usize, Row, i64)>> = BTreeMap::new();
        for result in input.into_iter().flatten() {
            match result {
                LeafResult::Row(LeafId { question, leaf }, row, diff) => {
                    by_question.entry(question).or_default().push((leaf.into(), row, diff));
                }
                LeafResult::Fill(report) => self.fills.record(&report, self.share.worker),
                LeafResult::Notice { .. } => {}
            }
        }
        for (question, _) in self.fills.begun() {
            by_question.entry(question).or_default();
        }
        let mut budget = self.step.get() as usize;
        for (question, updates) in by_question {
            let Some(held) = self.plans.get_mut(&question) else { continue };
            let is_filled = self.fills.get(question).is_some_and(|fill| fill.has_all_rows(self.share.workers));
            let rows = match is_filled {
                true => held.state.emit_rows(updates, &mut budget, &held.costs.faults),
                false => held.state.apply(updates, &held.costs.faults),
            };
            held.emit_changes(epoch, rows, &mut output);
        }
        self.report_fills(&mut output);
        output
    }

    fn needs_next_epoch(&self) -> bool {
        self.fills.is_under_way()
    }
}

impl UpperPlans {
    /// Reports how far the questions that are filled are on this worker. The plan itself counts as one more.
    fn report_fills(&mut self, output: &mut Vec<AnswerUpdate>) {
        for (question, (done, total)) in self.fills.begun() {
            let (Some(fill), Some(held)) = (self.fills.get(question), self.plans.get(&question)) else { continue };
            let is_complete = match self.share.owns(question_hash(question)) {
                true => fill.has_all_rows(self.share.workers) && !held.state.holds_rows(),
                false => fill.is_own_last,
            };
            let progress =
                FillProgress { question: held.id, done: if is_complete { total + 1 } else { done }, total: total + 1 };
            output.push(AnswerUpdate::Fill(progress));
            if is_complete {
                self.fills.remove(question);
            }
        }
    }
}
