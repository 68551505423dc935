//! What a leaf of a question makes, until it is sent to its groups.

use std::sync::Arc;

use pinflow_sql::datum::{Datum, Row};
use pinflow_sql::incremental::PartialGroups;
use pinflow_sql::split::QuestionLeaf;

use super::updates::{LeafId, LeafUpdate};

/// The most groups of a leaf whose sums wait for the end of a walk. More are given during the walk: they take memory that no
/// limit counts, and few of them are met again soon.
const WAITING_GROUPS_MAX: usize = 16_384;

/// What a leaf has made since its updates were last taken.
pub(super) struct LeafOutput {
    id: LeafId,
    /// Counts and sums of groups, if that is all the leaf's groups need.
    partial: Option<PartialGroups>,
    /// The number of leading values of a row that are the key of its group.
    key_len: Option<u16>,
    rows: Vec<(Row, i64)>,
    /// The groups that waited after the last epoch.
    left_groups: usize,
}

impl LeafOutput {
    pub(super) fn new(id: LeafId, leaf: &QuestionLeaf, workers: usize) -> LeafOutput {
        // Adding up on one worker would only be another hash table.
        let group = leaf.group.as_ref().filter(|_| workers > 1);
        let partial = group.and_then(|group| PartialGroups::new(Arc::clone(group)));
        let key_len = leaf.group.as_ref().map(|group| group.key_len() as u16);
        LeafOutput { id, partial, key_len, rows: Vec::new(), left_groups: 0 }
    }

    /// Adds a row `diff` times.
    pub(super) fn add_row(&mut self, row: &[Datum], diff: i64) {
        match &mut self.partial {
            Some(partial) => partial.update(row, diff),
            None => self.rows.push((row.into(), diff)),
        }
    }

    /// The same, and takes the values of the row.
    pub(super) fn take_row(&mut self, row: &mut Vec<Datum>, diff: i64) {
        match &mut self.partial {
            Some(partial) => partial.update(row, diff),
            None => self.rows.push((row.drain(..).collect(), diff)),
        }
    }

    /// The number of groups that wait to be sent.
    pub(super) fn waiting_groups(&self) -> usize {
        self.partial.as_ref().map_or(0, PartialGroups::len)
    }

    /// Gives all that was made.
    pub(super) fn emit_updates(&mut self, emit: &mut dyn FnMut(LeafUpdate)) {
        self.emit_groups(usize::MAX, emit);
    }

    /// Gives what was made in an epoch of a walk that fills the question, or after it while groups wait. During the walk the
    /// sums of groups wait for its end, so that each is sent once. Then `step` of them are given in an epoch, and as
    /// many as came in it: however many come, it ends.
    pub(super) fn emit_walk_updates(&mut self, is_walking: bool, step: usize, emit: &mut dyn FnMut(LeafUpdate)) {
        let waiting = self.waiting_groups();
        if is_walking && waiting <= WAITING_GROUPS_MAX {
            return self.emit_groups(0, emit);
        }
        self.emit_groups(step.saturating_add(waiting - self.left_groups), emit);
    }

    /// Gives all rows, and what was added up for `most_groups` groups at most.
    fn emit_groups(&mut self, most_groups: usize, emit: &mut dyn FnMut(LeafUpdate)) {
        let (leaf, key_len) = (self.id, self.key_len);
        if let Some(partial) = &mut self.partial {
            for group in partial.take_groups(most_groups) {
                emit(LeafUpdate::Partial { leaf, group });
            }
        }
        for (row, diff) in self.rows.drain(..) {
            emit(LeafUpdate::Row { leaf, key_len, row, diff });
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
    fn groups_wait_for_the_end_of_a_walk_and_are_given_in_steps() {
        let mut output = output_of_groups();
        for _ in 0..5 {
            add_groups(&mut output, 0..100);
            assert_eq!(emitted_groups(|emit| output.emit_walk_updates(true, 30, emit)), 0);
        }
        let steps: Vec<_> = (0..5).map(|_| emitted_groups(|emit| output.emit_walk_updates(false, 30, emit))).collect();
        assert_eq!(steps, [30, 30, 30, 10, 0]);
        add_groups(&mut output, 0..7);
        assert_eq!(emitted_groups(|emit| output.emit_updates(emit)), 7);
    }

    #[test]
    fn groups_that_wait_become_fewer_however_many_come() {
        let mut output = output_of_groups();
        add_groups(&mut output, 0..1_000);
        output.emit_walk_updates(true, 100, &mut |_| {});
        for epoch in 1..=10 {
            // More groups come in each epoch than a step has.
            add_groups(&mut output, 1_000 * epoch..1_000 * (epoch + 1));
            output.emit_walk_updates(false, 100, &mut |_| {});
            assert_eq!(output.waiting_groups(), 1_000 - 100 * epoch);
        }
    }

    #[test]
    fn no_more_groups_wait_than_may_however_many_a_walk_meets() {
        let mut output = output_of_groups();
        for epoch in 0..10 {
            add_groups(&mut output, 5_000 * epoch..5_000 * (epoch + 1));
            output.emit_walk_updates(true, 100, &mut |_| {});
            assert!(output.waiting_groups() <= WAITING_GROUPS_MAX, "{}", output.waiting_groups());
        }
        assert!(output.waiting_groups() > WAITING_GROUPS_MAX / 2);
    }
}
