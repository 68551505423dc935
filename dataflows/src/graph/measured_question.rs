//! What a question holds over given rows: measured by running it in a graph of its own.

use std::cell::RefCell;
use std::rc::Rc;

use pinflow_sql::catalog::{CatalogRelation, POSTS};
use pinflow_sql::datum::{Datum, Row};

use super::{AnswerChange, GraphOptions, QuestionUsage, WorkerGraph, WorkerPlacement};
use crate::answer::{InconsistentChange, LiveAnswer};
use crate::questions::{Question, QuestionSet};
use crate::record::{Geo, Lineage, Pin, User};
use crate::symbol::Symbol;

/// The number of rows that are applied at once. It bounds the memory that the updates between two operators take.
const ROWS_PER_EPOCH: usize = 16_384;

/// What a question holds over rows, on one worker.
#[derive(Debug, Clone)]
pub struct MeasuredQuestion {
    /// The number of different `ind`.
    pub inds: usize,
    /// What the operators and the extra columns of the question hold.
    pub usage: QuestionUsage,
    /// The answer.
    pub answer: LiveAnswer,
}

/// Runs a question over the rows of all relations, in the order of the catalog, and measures what it holds. It takes as
/// much memory as a run with this question alone.
///
/// # Errors
/// [`InconsistentChange`] if the changes of the answer contradict each other, which is a bug of the dataflow.
pub fn measure_question(
    question: &Question,
    options: GraphOptions,
    rows: Vec<Vec<Row>>,
) -> Result<MeasuredQuestion, InconsistentChange> {
    let (questions, id) = QuestionSet::of_one(question.clone());
    let empty = question.empty_table();
    timely::execute_directly(move |worker| {
        let changes = Rc::new(RefCell::new(Vec::new()));
        let received = Rc::clone(&changes);
        let receive = move |_, more| received.borrow_mut().push(more);
        let placement = WorkerPlacement::OneProcess;
        let mut graph = WorkerGraph::install(worker, placement, 0, options, &questions, receive, |_, _, _| {});
        let (mut epoch, mut answer) = (0, empty);
        for (relation, rows) in rows.iter().enumerate() {
            for part in rows.chunks(ROWS_PER_EPOCH) {
                let first = epoch * ROWS_PER_EPOCH as u64;
                (first..).zip(part).for_each(|(number, row)| send_row(&mut graph, relation, row, number));
                epoch += 1;
                graph.advance_to(epoch);
                worker.step_while(|| graph.frontier() < epoch);
                apply_changes(&mut answer, &mut changes.borrow_mut())?;
            }
        }
        let usage = graph.question_usage().into_iter().find(|usage| usage.question == id);
        let usage = usage.unwrap_or_else(|| QuestionUsage::none(id));
        Ok(MeasuredQuestion { inds: graph.sizes().inds, usage, answer })
    })
}

fn apply_changes(answer: &mut LiveAnswer, epochs: &mut Vec<Vec<AnswerChange>>) -> Result<(), InconsistentChange> {
    epochs.drain(..).try_for_each(|changes| answer.apply(changes.iter().map(|change| (&change.row, change.diff))))
}

/// Sends a row as if it were the record of this number.
fn send_row(graph: &mut WorkerGraph, relation: usize, row: &[Datum], number: u64) {
    let lineage = lineage_of(&POSTS.relations[relation], row, number);
    match relation {
        0 => graph.pin(lineage, &Pin::from_values(row)),
        1 => graph.geo(lineage, &Geo::from_values(row)),
        _ => graph.user(lineage, &User::from_values(row)),
    }
}

/// The lineage of a row, with what its columns say of it. The number makes it unique.
fn lineage_of(relation: &CatalogRelation, row: &[Datum], number: u64) -> Lineage {
    let value = |name| relation.column(name).and_then(|index| row.get(index));
    let source = match value("_source") {
        Some(Datum::Text(source)) => Symbol::new(source),
        _ => Symbol::new("tables"),
    };
    let arrived_at = match value("_arrived_at") {
        Some(Datum::Time(micros)) => Some(*micros),
        _ => None,
    };
    Lineage { arrived_at, source, position: number.into(), sub: 0 }
}
