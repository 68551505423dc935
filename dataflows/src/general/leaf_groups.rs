//! The groups of the leaves of all questions.

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use pinflow_sql::hash::row_hash;
use pinflow_sql::incremental::GroupTable;

use super::GeneralQuestion;
use super::operators::{EpochState, WorkerShare, refuse_wrong_state};
use super::question_commands::{CommandLog, QuestionCommand};
use super::question_costs::{CountedState, QuestionCosts};
use super::updates::{LeafId, LeafResult, LeafUpdate};
use crate::answer::StateDisposal;
use crate::hash::KeyedState;

/// The groups of all leaves on one worker.
pub(super) struct LeafGroups {
    tables: HashMap<LeafId, LeafTable, KeyedState>,
    touched: Vec<LeafId>,
    share: WorkerShare,
    commands: CommandLog,
    disposal: StateDisposal,
}

/// The groups of one leaf.
struct LeafTable {
    table: GroupTable,
    costs: Rc<QuestionCosts>,
    touched: bool,
    name: Arc<str>,
    counted: CountedState,
}

impl LeafTable {
    fn count_costs(&mut self) {
        self.counted.count(&self.costs, self.table.usage());
    }
}

impl LeafGroups {
    pub(super) fn new(share: WorkerShare, commands: CommandLog, disposal: StateDisposal) -> LeafGroups {
        LeafGroups { tables: HashMap::default(), touched: Vec::new(), share, commands, disposal }
    }

    /// Adds the groups of a question. A group that exists without rows has a row from now on, on the worker that
    /// holds it.
    fn add_question(&mut self, question: &GeneralQuestion, output: &mut Vec<LeafResult>) {
        for (leaf, definition) in (0..).zip(&question.program.leaves) {
            let Some(group) = &definition.group else { continue };
            let id = LeafId { question: question.id.number(), leaf };
            let mut held = LeafTable {
                table: GroupTable::new(Arc::clone(group)),
                costs: Rc::clone(&question.costs),
                touched: false,
                name: Arc::clone(&question.name),
                counted: CountedState::default(),
            };
            if group.has_single_group() && self.share.owns(row_hash(&[])) {
                let rows = held.table.initial_rows(&held.costs.faults);
                output.extend(rows.into_iter().map(|(row, diff)| LeafResult::Row(id, row, diff)));
                held.count_costs();
            }
            self.tables.insert(id, held);
        }
    }
}

impl LeafGroups {
    fn execute(&mut self, command: &QuestionCommand, output: &mut Vec<LeafResult>) {
        match command {
            QuestionCommand::Add(added) => self.add_question(&added.question, output),
            QuestionCommand::BeginFill(_) => {}
            QuestionCommand::Drop(id, _) => {
                let dropped = self.tables.extract_if(|leaf, _| leaf.question == id.number());
                let dropped: Vec<GroupTable> = dropped.map(|(_, held)| held.table).collect();
                self.disposal.dispose_of(dropped);
            }
        }
    }
}

impl EpochState for LeafGroups {
    type Input = LeafUpdate;
    type Output = LeafResult;

    fn apply(&mut self, epoch: u64, input: Vec<Vec<LeafUpdate>>) -> Vec<LeafResult> {
        let mut output = Vec::new();
        for command in &*self.commands.of_epoch(epoch) {
            self.execute(command, &mut output);
        }
        for update in input.into_iter().flatten() {
            let Some(leaf) = update.leaf() else {
                output.push(LeafResult::Notice { worker: self.share.worker as u64 });
                continue;
            };
            // A leaf without groups has no table.
            let Some(held) = self.tables.get_mut(&leaf) else {
                if let LeafUpdate::Row { row, diff, .. } = update {
                    output.push(LeafResult::Row(leaf, row, diff));
                }
                continue;
            };
            if !held.touched {
                held.touched = true;
                self.touched.push(leaf);
            }
            match update {
                LeafUpdate::Row { row, diff, .. } => held.table.update(&row, diff),
                LeafUpdate::Partial { group, .. } => held.table.merge(&group),
                LeafUpdate::Notice { .. } => {}
            }
        }
        for leaf in self.touched.drain(..) {
            let Some(held) = self.tables.get_mut(&leaf) else { continue };
            held.touched = false;
            let faults = &held.costs.faults;
            let finished =
                held.table.finish_epoch(faults, &mut |row, diff| output.push(LeafResult::Row(leaf, row, diff)));
            if let Err(error) = finished {
                refuse_wrong_state(&held.name, epoch, error);
            }
            held.count_costs();
        }
        output
    }
}
