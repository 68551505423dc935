//! The upper plans of all questions.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use pinflow_sql::datum::Row;
use pinflow_sql::incremental::{StateError, UpperState};

use super::GeneralQuestion;
use super::operators::{EpochState, WorkerShare, refuse_wrong_state};
use super::question_commands::{CommandLog, QuestionCommand};
use super::question_costs::{CountedState, QuestionCosts};
use super::updates::{LeafId, LeafResult, question_hash};
use crate::answer::{AnswerCell, AnswerChange, AnswerRow, AnswerUpdate, QuestionId, StateDisposal};

/// The upper plans of the questions on one worker. Only the worker that owns a question has rows of it.
pub(super) struct UpperPlans {
    plans: HashMap<u32, HeldPlan>,
    share: WorkerShare,
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
    pub(super) fn new(share: WorkerShare, commands: CommandLog, disposal: StateDisposal) -> UpperPlans {
        UpperPlans { plans: HashMap::new(), share, commands, disposal }
    }

    /// Adds a question. The worker that owns it gives the rows that its answer has without rows of the leaves.
    fn add_question(&mut self, epoch: u64, question: &GeneralQuestion, output: &mut Vec<AnswerUpdate>) {
        let mut held = HeldPlan {
            state: UpperState::new(&question.program.upper),
            id: question.id,
            costs: Rc::clone(&question.costs),
            name: Arc::clone(&question.name),
            counted: CountedState::default(),
        };
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
            QuestionCommand::Add(added) => self.add_question(epoch, &added.question, output),
            QuestionCommand::BeginFill(_) => {}
            QuestionCommand::Drop(id, _) => {
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
            if let LeafResult::Row(LeafId { question, leaf }, row, diff) = result {
                by_question.entry(question).or_default().push((leaf.into(), row, diff));
            }
        }
        for (question, updates) in by_question {
            let Some(held) = self.plans.get_mut(&question) else { continue };
            let rows = held.state.apply(updates, &held.costs.faults);
            held.emit_changes(epoch, rows, &mut output);
        }
        output
    }
}
