//! The groups of the leaves of all questions.

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use pinflow_sql::hash::row_hash;
use pinflow_sql::incremental::GroupTable;

use super::group_fills::GroupFills;
use super::operators::{EpochState, WorkerShare, refuse_wrong_state};
use super::question_commands::{AddedQuestion, CommandLog, FillStart, QuestionCommand};
use super::question_costs::{CountedState, QuestionCosts};
use super::updates::{FillReport, LeafId, LeafResult, LeafUpdate, question_hash};
use crate::answer::StateDisposal;
use crate::hash::KeyedState;
use crate::joins::WalkStep;

/// The groups of all leaves on one worker.
pub(super) struct LeafGroups {
    tables: HashMap<LeafId, LeafTable, KeyedState>,
    touched: Vec<LeafId>,
    fills: GroupFills,
    share: WorkerShare,
    /// The most groups that are emitted in one epoch.
    step: WalkStep,
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
    pub(super) fn new(
        (share, step): (WorkerShare, WalkStep),
        commands: CommandLog,
        disposal: StateDisposal,
    ) -> LeafGroups {
        let (tables, touched, fills) = (HashMap::default(), Vec::new(), GroupFills::default());
        LeafGroups { tables, touched, fills, share, step, commands, disposal }
    }

    /// Adds the groups of a question. A group that exists without rows has a row from now on, on the worker that
    /// holds it, unless the question is filled first.
    fn add_question(&mut self, AddedQuestion { question, fill, .. }: &AddedQuestion, output: &mut Vec<LeafResult>) {
        let is_filled = *fill != FillStart::Empty;
        if is_filled {
            self.fills.add(question.id.number());
        }
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
            if is_filled {
                held.table.hold_rows();
            }
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
            QuestionCommand::Add(added) => self.add_question(added, output),
            QuestionCommand::BeginFill(_) => {}
            QuestionCommand::Drop(id, _) => {
                self.fills.remove(id.number());
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
            match update {
                // A leaf without groups has no table.
                LeafUpdate::Row { leaf, row, diff } => output.push(LeafResult::Row(leaf, row, diff)),
                LeafUpdate::Rows { leaf, rows } => {
                    if let Some(table) = self.touch_table(leaf) {
                        table.update_rows(&rows);
                    }
                }
                LeafUpdate::Partial { leaf, group } => {
                    if let Some(table) = self.touch_table(leaf) {
                        table.merge(&group);
                    }
                }
                LeafUpdate::Notice { .. } => output.push(LeafResult::Notice { worker: self.share.worker as u64 }),
                LeafUpdate::Fill(report) => self.fills.record(&report, self.share.worker),
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
        self.emit_filled_groups(&mut output);
        output
    }

    fn needs_next_epoch(&self) -> bool {
        self.fills.is_under_way()
    }
}

impl LeafGroups {
    /// The table of a leaf, which has updates in this epoch. `None` if the leaf has no groups.
    fn touch_table(&mut self, leaf: LeafId) -> Option<&mut GroupTable> {
        let held = self.tables.get_mut(&leaf)?;
        if !held.touched {
            held.touched = true;
            self.touched.push(leaf);
        }
        Some(&mut held.table)
    }

    /// Emits some groups of the questions whose leaves have given all rows, and reports how far each question is.
    fn emit_filled_groups(&mut self, output: &mut Vec<LeafResult>) {
        let mut budget = self.step.get() as usize;
        for (question, (done, total)) in self.fills.begun() {
            let has_all = self.fills.get(question).is_some_and(|fill| fill.has_all_rows(self.share.workers));
            let tables = self.tables.iter_mut().filter(|(leaf, _)| leaf.question == question);
            let (mut emitted, mut groups, mut holds_rows) = (0, 0, !has_all);
            for (leaf, held) in tables {
                if has_all {
                    let faults = &held.costs.faults;
                    let mut emit = |row, diff| output.push(LeafResult::Row(*leaf, row, diff));
                    held.table.emit_rows(&mut budget, faults, &mut emit);
                }
                let (of_table, of_groups) = held.table.emitted_groups();
                (emitted, groups) = (emitted + of_table as u64, groups + of_groups as u64);
                holds_rows |= held.table.holds_rows();
            }
            let (done, total) = (done + emitted, total + groups);
            self.report_fill(FillReport { to: 0, from: 0, question, done, total, is_last: !holds_rows }, output);
        }
    }

    /// Tells the upper plan on this worker how far the groups are, and the one that has rows if that is over.
    fn report_fill(&mut self, report: FillReport, output: &mut Vec<LeafResult>) {
        let (worker, workers) = (self.share.worker as u64, self.share.workers as u64);
        let owner = question_hash(report.question) % workers;
        let told = (0..workers).filter(|to| *to == worker || (report.is_last && *to == owner));
        output.extend(told.map(|to| LeafResult::Fill(FillReport { to, from: worker, ..report })));
        if report.is_last {
            self.fills.remove(report.question);
        }
    }
}
