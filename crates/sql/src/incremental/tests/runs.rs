//! A question as a worker maintains it: leaves, groups and the upper plan in one process.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::histories::KeyedTables;
use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::incremental::{
    GroupTable, KeyedInput, LeafProgram, LeafScratch, PartialGroups, RowUpdate, StateError, StateUsage, UpperState,
};
use crate::split::MaintainedPlan;

/// A question with all of its state.
pub(super) struct QuestionRun {
    program: MaintainedPlan,
    groups: Vec<Option<GroupTable>>,
    /// Whether counts and sums are added up before they come to the groups.
    combine: bool,
    upper: UpperState,
    scratch: LeafScratch,
    faults: FaultCounter,
    /// The answer: the sum of all changes.
    pub(super) answer: BTreeMap<Row, i64>,
    /// The number of changes in the last epoch.
    pub(super) changes: usize,
    /// The most rows that are emitted in an epoch. `None` while the question is filled.
    pub(super) budget: Option<usize>,
}

impl QuestionRun {
    pub(super) fn start(program: MaintainedPlan, combine: bool) -> Result<QuestionRun, StateError> {
        let mut run = QuestionRun::new(program, combine);
        run.begin()?;
        Ok(run)
    }

    /// A question that is filled: nothing is emitted before a budget is set.
    pub(super) fn start_filled(program: MaintainedPlan, combine: bool) -> Result<QuestionRun, StateError> {
        let mut run = QuestionRun::new(program, combine);
        run.groups.iter_mut().flatten().for_each(GroupTable::hold_rows);
        run.upper.hold_rows();
        run.begin()?;
        Ok(run)
    }

    fn new(program: MaintainedPlan, combine: bool) -> QuestionRun {
        let groups = program.leaves.iter().map(|leaf| leaf.group.clone().map(GroupTable::new)).collect();
        let upper = UpperState::new(&program.upper);
        let (scratch, faults, answer) = (LeafScratch::default(), FaultCounter::default(), BTreeMap::new());
        QuestionRun { program, groups, combine, upper, scratch, faults, answer, changes: 0, budget: None }
    }

    fn begin(&mut self) -> Result<(), StateError> {
        let run = self;
        let first = run.upper.start(&run.faults)?;
        run.add_to_answer(first);
        let mut initial = Vec::new();
        for (leaf, table) in run.groups.iter_mut().enumerate() {
            let rows = table.as_mut().map(|table| table.initial_rows(&run.faults)).unwrap_or_default();
            initial.extend(rows.into_iter().map(|(row, diff)| (leaf, row, diff)));
        }
        let changes = run.upper.apply(initial, &run.faults)?;
        run.add_to_answer(changes);
        Ok(())
    }

    /// Whether all rows were emitted.
    pub(super) fn is_filled(&self) -> bool {
        !self.upper.holds_rows() && !self.groups.iter().flatten().any(GroupTable::holds_rows)
    }

    /// Applies the changes of these keys.
    pub(super) fn apply(&mut self, before: &KeyedTables, after: &KeyedTables, keys: &[i64]) -> Result<(), StateError> {
        let mut leaf_updates = Vec::new();
        let mut budget = self.budget;
        for leaf in 0..self.program.leaves.len() {
            self.update_leaf(leaf, before, after, keys, &mut leaf_updates)?;
            if let (Some(table), Some(budget)) = (&mut self.groups[leaf], &mut budget) {
                table.emit_rows(budget, &self.faults, &mut |row, diff| leaf_updates.push((leaf, row, diff)));
            }
        }
        let has_all = !self.groups.iter().flatten().any(GroupTable::holds_rows);
        let changes = match &mut budget {
            Some(budget) if has_all => self.upper.emit_rows(leaf_updates, budget, &self.faults)?,
            _ => self.upper.apply(leaf_updates, &self.faults)?,
        };
        self.add_to_answer(changes);
        Ok(())
    }

    /// The size of all state.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = self.upper.usage();
        self.groups.iter().flatten().for_each(|table| usage.add(table.usage()));
        usage
    }

    fn update_leaf(
        &mut self,
        index: usize,
        before: &KeyedTables,
        after: &KeyedTables,
        keys: &[i64],
        leaf_updates: &mut Vec<(usize, Row, i64)>,
    ) -> Result<(), StateError> {
        let leaf = &self.program.leaves[index];
        let mut partial =
            leaf.group.as_ref().filter(|_| self.combine).and_then(|spec| PartialGroups::new(Arc::clone(spec)));
        let mut table = self.groups[index].as_mut();
        for key in keys {
            let (old, new) = (key_input(&self.program, before, *key), key_input(&self.program, after, *key));
            check_row_program(&leaf.program, &old, &self.scratch);
            check_row_program(&leaf.program, &new, &self.scratch);
            leaf.program.changes(&old, &new, &self.scratch, &self.faults, &mut |row, diff| match (
                &mut partial,
                &mut table,
            ) {
                (Some(partial), _) => partial.update(row, diff),
                (None, Some(table)) => table.update(row, diff),
                (None, None) => leaf_updates.push((index, row.into(), diff)),
            });
        }
        if let Some(table) = table {
            let partial = partial.iter_mut().flat_map(|partial| partial.take_groups(usize::MAX));
            partial.for_each(|group| table.merge(&group));
            table.finish_epoch(&self.faults, &mut |row, diff| leaf_updates.push((index, row, diff)))?;
        }
        Ok(())
    }

    fn add_to_answer(&mut self, changes: Vec<RowUpdate>) {
        self.changes = changes.len();
        for (row, diff) in changes {
            let count = self.answer.entry(row).or_insert(0);
            *count += diff;
        }
        self.answer.retain(|_, count| *count != 0);
    }
}

/// With one row of each scan the leaf's row program must give what its operators give, and without one of them nothing.
fn check_row_program(leaf: &LeafProgram, rows: &KeyedInput, scratch: &LeafScratch) {
    let Some(program) = leaf.row_program() else { return };
    let counts = |scan: &usize| rows.scans[*scan].iter().map(|(_, count)| count).collect::<Vec<_>>();
    let counts: Vec<Vec<i64>> = leaf.scans().iter().map(counts).collect();
    let has_none = counts.iter().any(Vec::is_empty);
    if !has_none && counts.iter().any(|counts| counts != &[1]) {
        return;
    }
    let mut expected = Vec::new();
    leaf.evaluate(rows, scratch, &FaultCounter::default(), &mut |row, count| expected.push((row.to_vec(), count)));
    let mut made = Vec::new();
    if !has_none {
        let value_of =
            |(scan, column): &(usize, usize)| rows.scans[*scan].iter().next().map(|(row, _)| row[*column].clone());
        let mut values: Vec<Datum> = program.reads().iter().filter_map(value_of).collect();
        if program.make_row(&mut values, &mut Vec::new(), &FaultCounter::default()) {
            made.push((values, 1));
        }
    }
    assert_eq!(made, expected, "{program:?} over {rows:?}");
}

fn key_input(program: &MaintainedPlan, tables: &KeyedTables, key: i64) -> KeyedInput {
    let faults = FaultCounter::default();
    let mut input = KeyedInput::new(program.scans.len());
    for (scan, rows) in program.scans.iter().zip(&mut input.scans) {
        for (row, count) in tables.rows[scan.relation].get(&key).into_iter().flatten() {
            let values: Vec<Datum> = scan.columns.iter().map(|column| column.eval(row, &faults).into_owned()).collect();
            rows.push(values, *count);
        }
    }
    input
}
