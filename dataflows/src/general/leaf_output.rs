//! What a leaf of a question makes, until it is sent to its groups.

use std::sync::Arc;

use pinflow_sql::datum::{Datum, Row};
use pinflow_sql::incremental::{PartialGroups, RowCollector};
use pinflow_sql::split::QuestionLeaf;

use super::updates::{LeafId, LeafUpdate};

/// The most groups of a leaf whose sums wait for the end of a fill. More are given during it: they take memory that no
/// limit counts, and few of them are met again soon.
const WAITING_GROUPS_MAX: usize = 16_384;

/// What a leaf has made since its updates were last taken.
pub(super) struct LeafOutput {
    id: LeafId,
    made: LeafRows,
    workers: usize,
    /// The groups that waited after the last epoch.
    left_groups: usize,
}

/// What a leaf has made.
enum LeafRows {
    /// Counts and sums of groups, if that is all the leaf's groups need.
    Sums(PartialGroups),
    /// Rows for groups.
    ForGroups(RowCollector),
    /// Rows of a leaf without groups.
    Plain(Vec<(Row, i64)>),
}

impl LeafOutput {
    pub(super) fn new(id: LeafId, leaf: &QuestionLeaf, workers: usize) -> LeafOutput {
        let sums_of = |group| PartialGroups::new(group).filter(|_| workers > 1);
        let made = match &leaf.group {
            None => LeafRows::Plain(Vec::new()),
            // Adding up on one worker would only be another hash table.
            Some(group) => match sums_of(Arc::clone(group)) {
                Some(sums) => LeafRows::Sums(sums),
                None => LeafRows::ForGroups(RowCollector::new(group.key_len())),
            },
        };
        LeafOutput { id, made, workers, left_groups: 0 }
    }

    /// Adds a row `diff` times.
    pub(super) fn add_row(&mut self, row: &[Datum], diff: i64) {
        match &mut self.made {
            LeafRows::Sums(sums) => sums.update(row, diff),
            LeafRows::ForGroups(rows) => rows.push(row.iter().cloned(), diff),
            LeafRows::Plain(rows) => rows.push((row.into(), diff)),
        }
    }

    /// The same, and takes the values of the row.
    pub(super) fn take_row(&mut self, row: &mut Vec<Datum>, diff: i64) {
        match &mut self.made {
            LeafRows::Sums(sums) => sums.update(row, diff),
            LeafRows::ForGroups(rows) => rows.push(row.drain(..), diff),
            LeafRows::Plain(rows) => rows.push((row.drain(..).collect(), diff)),
        }
    }

    /// The number of groups that wait to be sent.
    pub(super) fn waiting_groups(&self) -> usize {
        match &self.made {
            LeafRows::Sums(sums) => sums.len(),
            LeafRows::ForGroups(_) | LeafRows::Plain(_) => 0,
        }
    }

    /// Gives all that was made.
    pub(super) fn emit_updates(&mut self, emit: &mut dyn FnMut(LeafUpdate)) {
        self.emit_groups(usize::MAX, emit);
    }

    /// Gives what was made in an epoch of a fill, or after it while groups wait. As long as the fill has more rows, the
    /// sums of groups wait for its end, so that each is sent once. Then `step` of them are given in an epoch, and as
    /// many as came in it: however many come, it ends.
    pub(super) fn emit_fill_updates(&mut self, has_more: bool, step: usize, emit: &mut dyn FnMut(LeafUpdate)) {
        let waiting = self.waiting_groups();
        if has_more && waiting <= WAITING_GROUPS_MAX {
            return self.emit_groups(0, emit);
        }
        self.emit_groups(step.saturating_add(waiting - self.left_groups), emit);
    }

    /// Gives all rows, and what was added up for `most_groups` groups at most.
    fn emit_groups(&mut self, most_groups: usize, emit: &mut dyn FnMut(LeafUpdate)) {
        let leaf = self.id;
        match &mut self.made {
            LeafRows::Sums(sums) => {
                sums.take_groups(most_groups).into_iter().for_each(|group| emit(LeafUpdate::Partial { leaf, group }));
            }
            LeafRows::ForGroups(collector) => {
                collector.take_rows(self.workers, &mut |rows| emit(LeafUpdate::Rows { leaf, rows }));
            }
            LeafRows::Plain(rows) => rows.drain(..).for_each(|(row, diff)| emit(LeafUpdate::Row { leaf, row, diff })),
        }
        self.left_groups = self.waiting_groups();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::GraphOptions;
    use crate::questions::{Question, QuestionOrigin};

    const SQL: &str = "SELECT category, count(*) AS posts FROM pin GROUP BY category";

    /// The output of a leaf with a group for each category, on one of two workers.
    fn output_of_groups() -> LeafOutput {
        let name = "by_category".parse().expect("a valid name");
        let question = Question::compile(name, SQL, GraphOptions::default(), QuestionOrigin::Added).expect("compiles");
        let program = question.general_program();
        LeafOutput::new(LeafId { question: 1, leaf: 0 }, &program.leaves[0], 2)
    }

    fn add_groups(output: &mut LeafOutput, groups: std::ops::Range<usize>) {
        groups.for_each(|group| output.add_row(&[Datum::text(&group.to_string())], 1));
    }

    fn emitted_groups(emit_updates: impl FnOnce(&mut dyn FnMut(LeafUpdate))) -> usize {
        let mut count = 0;
        emit_updates(&mut |update| {
            assert!(matches!(update, LeafUpdate::Partial { .. }), "{update:?}");
            count += 1;
        });
        count
    }

    #[test]
    fn groups_wait_for_the_end_of_a_fill_and_are_given_in_steps() {
        let mut output = output_of_groups();
        for _ in 0..5 {
            add_groups(&mut output, 0..100);
            assert_eq!(emitted_groups(|emit| output.emit_fill_updates(true, 30, emit)), 0);
        }
        let steps: Vec<_> = (0..5).map(|_| emitted_groups(|emit| output.emit_fill_updates(false, 30, emit))).collect();
        assert_eq!(steps, [30, 30, 30, 10, 0]);
        add_groups(&mut output, 0..7);
        assert_eq!(emitted_groups(|emit| output.emit_updates(emit)), 7);
    }

    #[test]
    fn groups_that_wait_become_fewer_however_many_come() {
        let mut output = output_of_groups();
        add_groups(&mut output, 0..1_000);
        output.emit_fill_updates(true, 100, &mut |_| {});
        for epoch in 1..=10 {
            // More groups come in each epoch than a step has.
            add_groups(&mut output, 1_000 * epoch..1_000 * (epoch + 1));
            output.emit_fill_updates(false, 100, &mut |_| {});
            assert_eq!(output.waiting_groups(), 1_000 - 100 * epoch);
        }
    }

    #[test]
    fn no_more_groups_wait_than_may_however_many_a_fill_meets() {
        let mut output = output_of_groups();
        for epoch in 0..10 {
            add_groups(&mut output, 5_000 * epoch..5_000 * (epoch + 1));
            output.emit_fill_updates(true, 100, &mut |_| {});
            assert!(output.waiting_groups() <= WAITING_GROUPS_MAX, "{}", output.waiting_groups());
        }
        assert!(output.waiting_groups() > WAITING_GROUPS_MAX / 2);
    }
}
