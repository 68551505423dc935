//! The questions of a running graph, as the worker that gives commands to the operators knows them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pinflow_sql::catalog::POSTS;
use pinflow_sql::incremental::StateUsage;

use super::question_programs::CompactAnswer;
use super::{DuplicatePolicy, StateSizes};
use crate::aggregates::GroupCounts;
use crate::answer::{QuestionId, QuestionUsage};
use crate::general::{
    AddedQuestion, ColumnLease, ExtraColumns, FillPlan, FillStart, GeneralQuestion, QuestionCommand, RelationColumns,
};
use crate::joins::ColumnCosts;
use crate::questions::Question;

/// The questions of a graph on one worker.
pub(super) struct RunningQuestions {
    duplicates: DuplicatePolicy,
    compact: BTreeMap<QuestionId, Rc<Cell<GroupCounts>>>,
    general: BTreeMap<QuestionId, RunningQuestion>,
    extra: ExtraColumns,
    /// The faults of questions that were dropped.
    dropped_faults: u64,
}

/// A question of the general path.
struct RunningQuestion {
    question: GeneralQuestion,
    lease: ColumnLease,
    /// What it needs of the rows of the tables, until all were given.
    plan: Option<FillPlan>,
}

impl RunningQuestions {
    /// Only questions of the fast path.
    pub(super) fn new(duplicates: DuplicatePolicy, compact: Vec<CompactAnswer>) -> RunningQuestions {
        let (general, extra) = (BTreeMap::new(), ExtraColumns::default());
        RunningQuestions { duplicates, compact: compact.into_iter().collect(), general, extra, dropped_faults: 0 }
    }

    /// Adds a question, and returns the command for the operators.
    pub(super) fn add_question(&mut self, id: QuestionId, question: &Question, fill: FillStart) -> QuestionCommand {
        let program = question.general_program();
        let (scans, lease) = self.extra.lease_columns(&program);
        let question = GeneralQuestion {
            id,
            name: question.name.as_str().into(),
            program: Arc::clone(&program),
            scans,
            costs: Rc::default(),
        };
        assert!(
            fill != FillStart::Now || lease.added.is_empty() && self.duplicates == DuplicatePolicy::Latest,
            "question {} needs rows of the tables",
            question.name
        );
        let plan = (fill == FillStart::AfterRows).then(|| match self.duplicates {
            DuplicatePolicy::Latest => FillPlan::of_added_columns(&question, &lease, &self.extra),
            DuplicatePolicy::Keep => FillPlan::of_scans(&question, &self.extra),
        });
        if plan.is_none() {
            self.extra.set_filled(&lease);
        }
        let new_columns = lease.added.clone();
        self.general.insert(id, RunningQuestion { question: question.clone(), lease, plan });
        QuestionCommand::Add(Rc::new(AddedQuestion { question, new_columns, fill }))
    }

    /// What a question needs of the rows of the tables. `None` if it needs nothing or was dropped.
    pub(super) fn fill_plan(&self, id: QuestionId) -> Option<&FillPlan> {
        self.general.get(&id).and_then(|running| running.plan.as_ref())
    }

    /// Says that all rows of the tables were given. `None` if the question does not wait for them.
    pub(super) fn begin_fill(&mut self, id: QuestionId) -> Option<QuestionCommand> {
        let running = self.general.get_mut(&id)?;
        running.plan.take()?;
        self.extra.set_filled(&running.lease);
        Some(QuestionCommand::BeginFill(id))
    }

    /// Drops a question. `None` if there is none.
    pub(super) fn drop_question(&mut self, id: QuestionId) -> Option<QuestionCommand> {
        if self.compact.remove(&id).is_some() {
            return Some(QuestionCommand::Drop(id, Rc::default()));
        }
        let RunningQuestion { question, lease, .. } = self.general.remove(&id)?;
        let column_faults = self.column_faults();
        let freed = self.extra.return_columns(&lease);
        self.dropped_faults += question.costs.faults.count() + column_faults - self.column_faults();
        Some(QuestionCommand::Drop(id, freed))
    }

    /// Whether there are questions of the general path.
    pub(super) fn has_general(&self) -> bool {
        !self.general.is_empty()
    }

    /// The extra columns of each relation.
    pub(super) fn extra_columns(&self) -> [RelationColumns; POSTS.relations.len()] {
        [0, 1, 2].map(|relation| self.extra.of_relation(relation))
    }

    fn column_faults(&self) -> u64 {
        self.extra.costs().map(|costs| costs.faults.count()).sum()
    }

    /// What each question costs, in the order of their ids.
    pub(super) fn usage(&self) -> Vec<QuestionUsage> {
        let compact = self.compact.iter().map(|(id, counts)| {
            let counts = counts.get();
            let (groups, rows, bytes) = (counts.groups as u64, counts.entries as u64, counts.bytes() as u64);
            QuestionUsage { groups, rows, bytes, ..QuestionUsage::none(*id) }
        });
        let general = self.general.iter().map(|(id, running)| {
            let mut usage = running.question.costs.usage(*id);
            for costs in running.lease.costs() {
                usage.faults += costs.faults.count();
                usage.bytes += costs.bytes() as u64;
                usage.texts += costs.texts() as u64;
            }
            usage
        });
        let mut all: Vec<_> = compact.chain(general).collect();
        all.sort_unstable_by_key(|usage| usage.question);
        all
    }

    /// Adds the state of all questions to a sum.
    pub(super) fn add_sizes(&self, sizes: &mut StateSizes) {
        let mut compact = GroupCounts::default();
        self.compact.values().for_each(|counts| compact += counts.get());
        let mut general = StateUsage::default();
        let mut faults = self.dropped_faults + self.column_faults();
        for RunningQuestion { question, .. } in self.general.values() {
            general.add(question.costs.state());
            faults += question.costs.faults.count();
        }
        sizes.groups += compact.groups + general.groups;
        sizes.entries += compact.entries + general.rows;
        sizes.group_bytes += compact.bytes();
        sizes.general_bytes += general.bytes + self.extra.costs().map(ColumnCosts::bytes).sum::<usize>();
        sizes.faults += faults;
    }
}
