//! The questions with which a graph starts, by the path on which their answers are maintained.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use pinflow_sql::catalog::POSTS;

use crate::aggregates::{AggregateInput, AggregateSpec, GroupCounts};
use crate::joins::{JoinOutputs, JoinedRow, OutputFunction, RelationSet};
use crate::questions::{Question, QuestionId, QuestionOrigin, QuestionPath, QuestionSet};

/// A question of the fast path, with the size of its state on this worker.
pub(super) type CompactAnswer = (QuestionId, Rc<Cell<GroupCounts>>);

/// The questions with which a graph starts.
#[derive(Default)]
pub(super) struct QuestionPrograms {
    pub(super) aggregates: Vec<AggregateSpec>,
    pub(super) outputs: JoinOutputs<AggregateInput>,
    pub(super) general: Vec<(QuestionId, Arc<Question>)>,
}

impl QuestionPrograms {
    pub(super) fn new(questions: &QuestionSet) -> QuestionPrograms {
        let mut programs = QuestionPrograms::default();
        for (id, question) in questions.iter() {
            match &question.path {
                QuestionPath::Compact(compact) => {
                    let index =
                        u16::try_from(programs.aggregates.len()).expect("a run has fewer than 65,536 questions");
                    let take = compact.compile(&POSTS, index).expect("a recognized question compiles");
                    let is_dropped = Rc::new(Cell::new(false));
                    let output: OutputFunction<_> = match question.origin {
                        // These are never dropped.
                        QuestionOrigin::BuiltIn => take,
                        _ => {
                            let is_dropped = Rc::clone(&is_dropped);
                            Box::new(move |row: &JoinedRow<'_>| if is_dropped.get() { None } else { take(row) })
                        }
                    };
                    programs.outputs.push(RelationSet::of(&compact.relations), output);
                    programs.aggregates.push(AggregateSpec {
                        answer: id,
                        name: question.name.to_string(),
                        aggregate: compact.aggregate,
                        options: compact.options,
                        output: compact.output_order(),
                        counts: Rc::default(),
                        is_dropped,
                    });
                }
                QuestionPath::General(_) => programs.general.push((id, Arc::clone(question))),
            }
        }
        programs
    }

    /// The questions of the fast path.
    pub(super) fn compact_answers(&self) -> Vec<CompactAnswer> {
        self.aggregates.iter().map(|spec| (spec.answer, Rc::clone(&spec.counts))).collect()
    }
}
