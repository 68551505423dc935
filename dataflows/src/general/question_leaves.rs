//! Evaluates one question of the general path for the changed rows of an `ind`.

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::incremental::{KeyedInput, LeafScratch, ScannedRows, StateUsage};
use pinflow_sql::split::{MaintainedPlan, QuestionLeaf};

use super::leaf_output::LeafOutput;
use super::question_commands::{AddedQuestion, FillStart};
use super::question_costs::{CountedState, QuestionCosts, SampleClock};
use super::scan_columns::QuestionScan;
use super::single_rows::SingleRows;
use super::updates::{FillReport, LeafId, LeafUpdate};
use crate::answer::QuestionId;
use crate::hash::KeyedState;
use crate::joins::{JoinedRow, RelationSet, RowsOfKey, text_count};
use crate::keys::KeyId;
use crate::record::Ind;
use crate::version::ExtraValues;

/// The leaves of one question.
pub(super) struct QuestionLeaves {
    pub(super) id: QuestionId,
    program: Arc<MaintainedPlan>,
    scans: Rc<[QuestionScan]>,
    /// The relations that the leaves read.
    relations: RelationSet,
    leaves: Vec<OpenLeaf>,
    before: KeyedInput,
    after: KeyedInput,
    pub(super) fill: FillPhase,
    /// The extra columns, by relation, whose values are given with rows of the tables.
    filled_columns: [Vec<usize>; POSTS.relations.len()],
    kept: KeptRows,
    costs: Rc<QuestionCosts>,
}

/// How much of the state an answer covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FillPhase {
    /// No key: rows of the tables have to come first.
    AwaitsRows,
    /// No key: a walk begins at the end of the epoch. Where every delivery counts, all rows were given, and groups may wait.
    AwaitsWalk,
    /// The keys below `next`, and those from `end` on, which came after the walk had begun. Changes of the others are not
    /// the question's business yet. So the walk ends, however many keys come.
    Walks {
        /// The key that is walked over next.
        next: KeyId,
        /// The key before which the walk ends.
        end: KeyId,
    },
    /// All keys.
    Complete,
}

/// What is read of all rows, where every delivery counts.
#[derive(Default)]
struct KeptRows {
    by_ind: RowsByInd,
    /// By scan, whether its rows are kept: whether a later row of the same `ind` can be joined or compared with them.
    is_kept: Vec<bool>,
    /// A row that is added.
    added: ScannedRows,
    /// The rows of an `ind` of which none are kept.
    nothing: KeyedInput,
    usage: StateUsage,
    counted: CountedState,
    /// How many rows came from the tables.
    filled: u64,
}

/// Rows that are kept, by `ind`.
type RowsByInd = HashMap<Ind, KeyedInput, KeyedState>;

impl KeptRows {
    fn of_program(program: &MaintainedPlan) -> KeptRows {
        let needs_others = |scan: usize| {
            let mut leaves = program.leaves.iter().map(|leaf| &leaf.program);
            leaves.any(|leaf| leaf.scans().contains(&scan) && (!leaf.is_multilinear() || leaf.scans().len() > 1))
        };
        let scans = program.scans.len();
        let (is_kept, nothing) = ((0..scans).map(needs_others).collect(), KeyedInput::new(scans));
        KeptRows { is_kept, nothing, ..KeptRows::default() }
    }
}

/// Adds the size of rows that are kept.
fn count_rows(rows: &ScannedRows, usage: &mut StateUsage) {
    for (row, _) in rows.iter() {
        usage.rows += 1;
        usage.bytes += size_of::<i64>() + row.iter().map(Datum::allocated_bytes).sum::<usize>();
        usage.texts += row.iter().map(text_count).sum::<usize>();
    }
}

/// A leaf, and what it has made.
struct OpenLeaf {
    /// The relations that it reads.
    relations: RelationSet,
    /// How it is evaluated if at most one row of each relation counts and that is all it needs.
    single_rows: Option<SingleRows>,
    output: LeafOutput,
}

impl OpenLeaf {
    fn new(id: LeafId, leaf: &QuestionLeaf, scans: &[QuestionScan], workers: usize) -> OpenLeaf {
        let read = leaf.program.scans().iter();
        let relations = read.fold(RelationSet::default(), |set, scan| set.with(scans[*scan].relation));
        let single_rows = leaf.program.row_program().map(|program| SingleRows::new(program, relations, scans));
        OpenLeaf { relations, single_rows, output: LeafOutput::new(id, leaf, workers) }
    }
}

impl QuestionLeaves {
    pub(super) fn new(added: &AddedQuestion, workers: usize) -> QuestionLeaves {
        let question = &added.question;
        let (program, scans) = (Arc::clone(&question.program), Rc::clone(&question.scans));
        let id_of = |leaf| LeafId { question: question.id.number(), leaf };
        let leaves = (0..).zip(&program.leaves).map(|(index, leaf)| OpenLeaf::new(id_of(index), leaf, &scans, workers));
        let leaves: Vec<_> = leaves.collect();
        let added_of = |relation| added.new_columns.iter().filter(move |column| column.relation == relation);
        QuestionLeaves {
            id: question.id,
            relations: leaves.iter().fold(RelationSet::default(), |set, leaf| set.with(leaf.relations)),
            leaves,
            before: KeyedInput::new(scans.len()),
            after: KeyedInput::new(scans.len()),
            fill: match added.fill {
                FillStart::Empty => FillPhase::Complete,
                FillStart::Now => FillPhase::AwaitsWalk,
                FillStart::AfterRows => FillPhase::AwaitsRows,
            },
            filled_columns: [0, 1, 2].map(|relation| added_of(relation).map(|column| column.index).collect()),
            kept: KeptRows::of_program(&program),
            costs: Rc::clone(&question.costs),
            scans,
            program,
        }
    }

    /// Whether a change of rows of these relations can change the answer.
    pub(super) fn reads(&self, changed: RelationSet) -> bool {
        self.relations.intersects(changed)
    }

    /// Whether the answer covers a key.
    pub(super) fn covers(&self, key: KeyId) -> bool {
        match self.fill {
            FillPhase::Complete => true,
            FillPhase::Walks { next, end } => key < next || key >= end,
            FillPhase::AwaitsRows | FillPhase::AwaitsWalk => false,
        }
    }

    /// The extra columns of a relation that are given with rows of the tables, in their order.
    pub(super) fn filled_columns(&self, relation: usize) -> &[usize] {
        &self.filled_columns[relation]
    }

    /// Evaluates the leaves that read one of the changed relations.
    pub(super) fn rows_changed(
        &mut self,
        changed: RelationSet,
        (before, after): (&RowsOfKey<'_>, &RowsOfKey<'_>),
        scratch: &LeafScratch,
        clock: &SampleClock,
    ) {
        let costs = Rc::clone(&self.costs);
        costs.sample(clock, || {
            let mut are_read = false;
            for (leaf, definition) in self.leaves.iter_mut().zip(&self.program.leaves) {
                if !leaf.relations.intersects(changed) {
                    continue;
                }
                let OpenLeaf { single_rows, output, .. } = leaf;
                if let (Some(single_rows), Some(program)) = (single_rows, definition.program.row_program()) {
                    single_rows.add_change(program, (before, after), &costs.faults, output);
                    continue;
                }
                if !std::mem::replace(&mut are_read, true) {
                    read_scans(&self.scans, before, &mut self.before);
                    read_scans(&self.scans, after, &mut self.after);
                }
                let mut emit = |row: &[Datum], diff| output.add_row(row, diff);
                definition.program.changes(&self.before, &self.after, scratch, &costs.faults, &mut emit);
            }
        });
    }

    /// Adds a row that counts beside all others of its `ind`.
    pub(super) fn add_kept_row(
        &mut self,
        (ind, relation): (Ind, RelationSet),
        (row, extra): (&JoinedRow<'_>, &ExtraValues),
        scratch: &LeafScratch,
        clock: &SampleClock,
    ) {
        let scans = Rc::clone(&self.scans);
        let add_values = |index: usize, rows: &mut ScannedRows| rows.push(scans[index].values(ind, row, extra), 1);
        self.add_scanned_row(ind, relation, &add_values, scratch, clock);
    }

    /// Adds a row of the tables, with the values of all scans of its relation, one scan after the other.
    pub(super) fn add_filled_row(
        &mut self,
        (ind, relation): (Ind, RelationSet),
        values: &[Datum],
        scratch: &LeafScratch,
        clock: &SampleClock,
    ) {
        self.kept.filled += 1;
        let scans = Rc::clone(&self.scans);
        let add_values = |index: usize, rows: &mut ScannedRows| {
            let before = scans[..index].iter().filter(|scan| scan.relation == relation);
            let start = before.map(|scan| scan.sources().len()).sum::<usize>();
            rows.push(values.iter().skip(start).take(scans[index].sources().len()).cloned(), 1);
        };
        self.add_scanned_row(ind, relation, &add_values, scratch, clock);
    }

    /// Adds a row to those of its key: `add_values` adds its values by scan. A leaf whose result is a sum over the rows of
    /// each scan needs only this row, with all of the other scans.
    fn add_scanned_row(
        &mut self,
        ind: Ind,
        relation: RelationSet,
        add_values: &dyn Fn(usize, &mut ScannedRows),
        scratch: &LeafScratch,
        clock: &SampleClock,
    ) {
        let costs = Rc::clone(&self.costs);
        let KeptRows { by_ind, is_kept, added, nothing, usage, .. } = &mut self.kept;
        let read = self.scans.iter().enumerate().filter(|(_, scan)| scan.relation == relation);
        let is_needed = read.clone().any(|(index, _)| is_kept[index]);
        let kept = if is_needed {
            by_ind.entry(ind).or_insert_with(|| {
                usage.bytes += size_of::<(Ind, KeyedInput)>() + self.scans.len() * size_of::<ScannedRows>();
                KeyedInput::new(self.scans.len())
            })
        } else {
            nothing
        };
        costs.sample(clock, || {
            let is_compared = self.program.leaves.iter().any(|leaf| !leaf.program.is_multilinear());
            let before = is_compared.then(|| kept.clone());
            for (index, _) in read {
                add_values(index, added);
                std::mem::swap(&mut kept.scans[index], added);
                for (leaf, definition) in self.leaves.iter_mut().zip(&self.program.leaves) {
                    if definition.program.is_multilinear() && definition.program.scans().contains(&index) {
                        definition
                            .program
                            .evaluate(kept, scratch, &costs.faults, &mut |row, diff| leaf.output.add_row(row, diff));
                    }
                }
                std::mem::swap(&mut kept.scans[index], added);
                if is_kept[index] {
                    count_rows(added, usage);
                    kept.scans[index].append(added);
                }
                added.clear();
            }
            let Some(before) = before else { return };
            for (leaf, definition) in self.leaves.iter_mut().zip(&self.program.leaves) {
                if !definition.program.is_multilinear() && leaf.relations.intersects(relation) {
                    let mut emit = |row: &[Datum], diff| leaf.output.add_row(row, diff);
                    definition.program.changes(&before, kept, scratch, &costs.faults, &mut emit);
                }
            }
        });
    }

    /// Begins the walk if it is due. It ends before the key `end`.
    pub(super) fn begin_walk(&mut self, end: KeyId) {
        if self.fill == FillPhase::AwaitsWalk {
            self.fill = FillPhase::Walks { next: 0, end };
        }
    }

    /// The key with which the walk goes on. `None` if none is under way or it is at its end.
    pub(super) fn next_walked_key(&self) -> Option<KeyId> {
        match self.fill {
            FillPhase::Walks { next, end } if next < end => Some(next),
            _ => None,
        }
    }

    /// Covers the key with which the walk goes on.
    pub(super) fn cover_next_key(&mut self) {
        if let FillPhase::Walks { next, .. } = &mut self.fill {
            *next += 1;
        }
    }

    /// Gives what the changes of the epoch add up to, of a fill in steps.
    pub(super) fn emit_updates(&mut self, step: usize, emit: &mut dyn FnMut(LeafUpdate)) {
        // Where only the latest row of an `ind` counts, nothing is made in `AwaitsRows`, because no key is covered yet.
        let has_more = self.fill == FillPhase::AwaitsRows || self.next_walked_key().is_some();
        for leaf in &mut self.leaves {
            match self.fill {
                FillPhase::Complete => leaf.output.emit_updates(emit),
                _ => leaf.output.emit_fill_updates(has_more, step, emit),
            }
        }
        let KeptRows { usage, counted, .. } = &mut self.kept;
        counted.count(&self.costs, *usage);
    }

    /// Ends an epoch of a fill by a walk. Returns how far it is, for any worker.
    pub(super) fn finish_walk_step(&mut self) -> Option<FillReport> {
        let FillPhase::Walks { next, end } = self.fill else { return None };
        let report = self.report(next.into(), end.into(), self.has_sent_groups());
        if report.is_last {
            self.fill = FillPhase::Complete;
        }
        Some(report)
    }

    /// Whether no groups wait.
    fn has_sent_groups(&self) -> bool {
        self.leaves.iter().all(|leaf| leaf.output.waiting_groups() == 0)
    }

    /// `are_sent`: no groups wait.
    fn report(&self, done: u64, total: u64, are_sent: bool) -> FillReport {
        FillReport { to: 0, from: 0, question: self.id.number(), done, total, is_last: are_sent && done == total }
    }

    /// The rows that are kept, to be freed. `None` if there are none.
    pub(super) fn into_kept_rows(self) -> Option<impl Send + 'static> {
        Some(self.kept.by_ind).filter(|rows| !rows.is_empty())
    }

    /// Ends an epoch of a fill by rows of the tables only. Returns how far it is once all of them were given, for any worker.
    pub(super) fn finish_rows_step(&mut self) -> Option<FillReport> {
        if self.fill != FillPhase::AwaitsWalk {
            return None;
        }
        let report = self.report(self.kept.filled, self.kept.filled, self.has_sent_groups());
        if report.is_last {
            self.fill = FillPhase::Complete;
        }
        Some(report)
    }
}

/// Reads the rows of all scans.
fn read_scans(scans: &[QuestionScan], rows: &RowsOfKey<'_>, into: &mut KeyedInput) {
    into.clear();
    for (scan, scanned) in scans.iter().zip(&mut into.scans) {
        if rows.present.contains(scan.relation) {
            let extra = rows.extra[scan.relation_index()];
            scanned.push(scan.values(rows.ind, &rows.row, extra), 1);
        }
    }
}
