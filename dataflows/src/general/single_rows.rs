//! Evaluates a leaf where at most one row of each relation counts.

use pinflow_sql::datum::Datum;
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::incremental::RowProgram;

use super::leaf_output::LeafOutput;
use super::scan_columns::{ColumnSource, QuestionScan};
use crate::joins::{RelationSet, RowsOfKey};

/// Evaluates the row program of a leaf for the rows of an `ind`.
pub(super) struct SingleRows {
    /// Where the values come from that the program reads, each with the index of its relation.
    reads: Box<[(usize, ColumnSource)]>,
    /// The relations of the leaf: without a row of one of them there is no row.
    relations: RelationSet,
    before: Vec<Datum>,
    after: Vec<Datum>,
    spare: Vec<Datum>,
}

impl SingleRows {
    pub(super) fn new(program: &RowProgram, relations: RelationSet, scans: &[QuestionScan]) -> SingleRows {
        let source_of = |(scan, column): &(usize, usize)| {
            let scan = &scans[*scan];
            (scan.relation_index(), scan.sources()[*column].clone())
        };
        let reads = program.reads().iter().map(source_of).collect();
        let (before, after, spare) = (Vec::new(), Vec::new(), Vec::new());
        SingleRows { reads, relations, before, after, spare }
    }

    /// Adds to the output what a change of the rows makes. Faults are counted for the rows after it.
    pub(super) fn add_change(
        &mut self,
        program: &RowProgram,
        (before, after): (&RowsOfKey<'_>, &RowsOfKey<'_>),
        faults: &FaultCounter,
        output: &mut LeafOutput,
    ) {
        let SingleRows { reads, relations, spare, .. } = self;
        let mut make_row = |rows: &RowsOfKey<'_>, row: &mut Vec<Datum>, faults: &FaultCounter| {
            row.clear();
            rows.present.contains(*relations) && {
                row.extend(reads.iter().map(|(of, source)| source.read(rows.ind, &rows.row, rows.extra[*of])));
                program.make_row(row, spare, faults)
            }
        };
        let had_row = make_row(before, &mut self.before, &FaultCounter::default());
        let has_row = make_row(after, &mut self.after, faults);
        if had_row && has_row && self.before == self.after {
            return;
        }
        if had_row {
            output.take_row(&mut self.before, -1);
        }
        if has_row {
            output.take_row(&mut self.after, 1);
        }
    }
}
