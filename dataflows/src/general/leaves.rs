//! Evaluates the questions of the general path for the changed rows of an `ind`.

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use pinflow_sql::datum::{Datum, Row};
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::incremental::{KeyedInput, LeafScratch, PartialGroups, ScannedRows};
use pinflow_sql::split::MaintainedPlan;

use super::scan_columns::ColumnSource;
use super::updates::{LeafId, LeafUpdate};
use super::{ExtraColumns, GeneralQuestion};
use crate::hash::KeyedState;
use crate::joins::{JoinedRow, KeyChangeConsumer, RelationSet, RowsOfKey};
use crate::record::Ind;
use crate::version::ExtraValues;

/// The leaves of all questions of the general path, on one worker.
pub(crate) struct GeneralLeaves {
    questions: Vec<QuestionLeaves>,
    /// The relations that have extra columns.
    with_extra: RelationSet,
    scratch: LeafScratch,
}

/// The leaves of one question.
struct QuestionLeaves {
    program: Arc<MaintainedPlan>,
    scans: Vec<QuestionScan>,
    leaves: Vec<LeafOutput>,
    before: KeyedInput,
    after: KeyedInput,
    /// What is read of all rows, where every delivery counts.
    kept: HashMap<Ind, KeyedInput, KeyedState>,
    faults: Rc<FaultCounter>,
}

/// What a question reads of a relation.
struct QuestionScan {
    /// The relation alone.
    relation: RelationSet,
    /// Where the columns come from.
    sources: Vec<ColumnSource>,
}

impl QuestionScan {
    /// The values of a row of the relation.
    fn values(&self, ind: Ind, row: &JoinedRow<'_>, extra: &ExtraValues) -> impl Iterator<Item = Datum> {
        self.sources.iter().map(move |source| source.read(ind, row, extra))
    }
}

/// What a leaf makes in the current epoch.
struct LeafOutput {
    id: LeafId,
    /// The relations that it reads.
    relations: RelationSet,
    /// Counts and sums of groups, if that is all the leaf's groups need.
    partial: Option<PartialGroups>,
    /// The number of leading values of a row that are the key of its group.
    key_len: Option<u16>,
    rows: Vec<(Row, i64)>,
}

impl GeneralLeaves {
    /// The leaves of these questions. Columns that are not held of every row are added to `extra`.
    pub(crate) fn new(questions: &[GeneralQuestion], workers: usize, extra: &mut ExtraColumns) -> GeneralLeaves {
        let questions: Vec<_> =
            questions.iter().map(|question| QuestionLeaves::new(question, workers, extra)).collect();
        let with_extra = (0..3).filter(|relation| !extra.of_relation(*relation).is_empty()).collect::<Vec<_>>();
        GeneralLeaves { questions, with_extra: RelationSet::of(&with_extra), scratch: LeafScratch::default() }
    }
}

impl GeneralLeaves {
    /// Adds a row that counts beside all others of its `ind`.
    pub(super) fn add_kept_row(&mut self, ind: Ind, relation: RelationSet, row: &JoinedRow<'_>, extra: &ExtraValues) {
        for question in self.questions.iter_mut().filter(|question| question.reads(relation)) {
            question.add_kept_row(ind, relation, (row, extra), &self.scratch);
        }
    }

    /// Ends an epoch: gives what its changes add up to.
    pub(super) fn emit_epoch(&mut self, emit: &mut dyn FnMut(LeafUpdate)) {
        for leaf in self.questions.iter_mut().flat_map(|question| &mut question.leaves) {
            let (id, key_len) = (leaf.id, leaf.key_len);
            if let Some(partial) = &mut leaf.partial {
                for group in partial.take_groups() {
                    emit(LeafUpdate::Partial { leaf: id, group });
                }
            }
            for (row, diff) in leaf.rows.drain(..) {
                emit(LeafUpdate::Row { leaf: id, key_len, row, diff });
            }
        }
    }
}

impl LeafOutput {
    fn add(&mut self, row: &[Datum], diff: i64) {
        match &mut self.partial {
            Some(partial) => partial.update(row, diff),
            None => self.rows.push((row.into(), diff)),
        }
    }
}

impl QuestionLeaves {
    /// Adds a row to those of its key. A leaf whose result is a sum over the rows of each scan needs only this row, with
    /// all of the other scans.
    fn add_kept_row(
        &mut self,
        ind: Ind,
        relation: RelationSet,
        (row, extra): (&JoinedRow<'_>, &ExtraValues),
        scratch: &LeafScratch,
    ) {
        let kept = self.kept.entry(ind).or_insert_with(|| KeyedInput::new(self.scans.len()));
        let before = self.program.leaves.iter().any(|leaf| !leaf.program.is_multilinear()).then(|| kept.clone());
        for (index, scan) in self.scans.iter().enumerate().filter(|(_, scan)| scan.relation == relation) {
            let mut added = ScannedRows::default();
            added.push(scan.values(ind, row, extra), 1);
            let others = std::mem::replace(&mut kept.scans[index], added);
            for (leaf, definition) in self.leaves.iter_mut().zip(&self.program.leaves) {
                if definition.program.is_multilinear() && definition.program.scans().contains(&index) {
                    definition.program.evaluate(kept, scratch, &self.faults, &mut |row, diff| leaf.add(row, diff));
                }
            }
            let added = std::mem::replace(&mut kept.scans[index], others);
            for (row, count) in added.iter() {
                kept.scans[index].push(row.iter().cloned(), count);
            }
        }
        let Some(before) = before else { return };
        for (leaf, definition) in self.leaves.iter_mut().zip(&self.program.leaves) {
            if !definition.program.is_multilinear() && leaf.relations.intersects(relation) {
                let mut emit = |row: &[Datum], diff| leaf.add(row, diff);
                definition.program.changes(&before, kept, scratch, &self.faults, &mut emit);
            }
        }
    }

    fn new(question: &GeneralQuestion, workers: usize, extra: &mut ExtraColumns) -> QuestionLeaves {
        let program = Arc::clone(&question.program);
        let scans: Vec<_> = program
            .scans
            .iter()
            .map(|scan| {
                let sources = scan.columns.iter().map(|column| ColumnSource::of_column(scan.relation, column, extra));
                QuestionScan { relation: RelationSet::of(&[scan.relation]), sources: sources.collect() }
            })
            .collect();
        let leaves = (0..).zip(&program.leaves).map(|(leaf, definition)| LeafOutput {
            id: LeafId { question: question.id.number(), leaf },
            relations: definition
                .program
                .scans()
                .iter()
                .fold(RelationSet::default(), |set, scan| set.with(scans[*scan].relation)),
            // Adding up on one worker would only be another hash table.
            partial: definition
                .group
                .as_ref()
                .filter(|_| workers > 1)
                .and_then(|group| PartialGroups::new(Arc::clone(group))),
            key_len: definition.group.as_ref().map(|group| group.key_len() as u16),
            rows: Vec::new(),
        });
        QuestionLeaves {
            leaves: leaves.collect(),
            before: KeyedInput::new(scans.len()),
            after: KeyedInput::new(scans.len()),
            kept: HashMap::default(),
            faults: Rc::clone(&question.faults),
            scans,
            program,
        }
    }

    fn reads(&self, changed: RelationSet) -> bool {
        self.leaves.iter().any(|leaf| leaf.relations.intersects(changed))
    }

    fn rows_changed(
        &mut self,
        changed: RelationSet,
        before: &RowsOfKey<'_>,
        after: &RowsOfKey<'_>,
        scratch: &LeafScratch,
    ) {
        read_scans(&self.scans, before, &mut self.before);
        read_scans(&self.scans, after, &mut self.after);
        for (leaf, definition) in self.leaves.iter_mut().zip(&self.program.leaves) {
            if leaf.relations.intersects(changed) {
                let mut emit = |row: &[Datum], diff| leaf.add(row, diff);
                definition.program.changes(&self.before, &self.after, scratch, &self.faults, &mut emit);
            }
        }
    }
}

/// Reads the rows of all scans.
fn read_scans(scans: &[QuestionScan], rows: &RowsOfKey<'_>, into: &mut KeyedInput) {
    into.clear();
    for (scan, scanned) in scans.iter().zip(&mut into.scans) {
        if rows.present.contains(scan.relation) {
            let extra = rows.extra[scan.relation.only_index()];
            scanned.push(scan.values(rows.ind, &rows.row, extra), 1);
        }
    }
}

impl KeyChangeConsumer<LeafUpdate> for GeneralLeaves {
    fn has_extra(&self, relation: RelationSet) -> bool {
        self.with_extra.contains(relation)
    }

    fn rows_changed(&mut self, changed: RelationSet, before: &RowsOfKey<'_>, after: &RowsOfKey<'_>) {
        for question in self.questions.iter_mut().filter(|question| question.reads(changed)) {
            question.rows_changed(changed, before, after, &self.scratch);
        }
    }

    fn finish_epoch(&mut self, emit: &mut dyn FnMut(LeafUpdate)) {
        self.emit_epoch(emit);
    }
}
