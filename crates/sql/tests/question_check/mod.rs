//! Whatever text a user writes: it is bound or refused without a panic and without much work, and what is bound has the
//! same answer from changes as in batch. The fuzz target and the test of mutated texts check the same.

// Two tests include this module.
#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pinflow_sql::bind::{QuestionParameters, bind_question};
use pinflow_sql::catalog::{CatalogRelation, POSTS};
use pinflow_sql::datum::{Datum, Row, SqlType};
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::incremental::{GroupTable, KeyedInput, LeafScratch, RowUpdate, StateError, UpperState};
use pinflow_sql::naive::evaluate;
use pinflow_sql::plan::QueryPlan;
use pinflow_sql::split::{MaintainedPlan, maintain_plan};

/// The most operators that a bound plan has.
const MAX_OPERATORS: usize = 1_000;
/// The longest explanation of a bound plan, bytes: a measure of its expressions.
const MAX_EXPLANATION: usize = 4_000_000;
/// The longest message about a refused text, bytes.
const MAX_MESSAGE: usize = 100_000;
/// The longest that a text may take to be bound or refused. Tests run several at a time, also without optimisation.
const BIND_TIME_MAX: Duration = Duration::from_secs(10);
/// Plans with more joins or unnested lists are not evaluated: each can multiply the rows.
const MAX_MULTIPLYING: usize = 5;

/// The rows of all relations.
type CheckedRows = [Vec<Row>; 3];

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOutcome {
    /// It was refused.
    Refused,
    /// It was bound.
    Bound,
    /// It was bound, and its answers were compared.
    Compared,
}

/// Checks a text.
pub fn check_question(text: &str) -> TextOutcome {
    static PARAMETERS: LazyLock<QuestionParameters> = LazyLock::new(|| {
        QuestionParameters::from([
            ("ties".to_owned(), Datum::text("all")),
            ("top".to_owned(), Datum::Long(1)),
            ("median".to_owned(), Datum::text("exact")),
        ])
    });
    let begun = Instant::now();
    let bound = bind_question("question", text, &POSTS, &PARAMETERS);
    assert!(begun.elapsed() < BIND_TIME_MAX, "{:?} to bind\n{text}", begun.elapsed());
    let question = match bound {
        Ok(question) => question,
        Err(error) => {
            let message = error.to_string();
            assert!(!error.problems.is_empty() && message.len() < MAX_MESSAGE, "{} bytes for\n{text}", message.len());
            return TextOutcome::Refused;
        }
    };
    let (mut operators, mut multiplying) = (0, 0);
    count_operators(&question.plan, &mut operators, &mut multiplying);
    assert!(operators <= MAX_OPERATORS, "{operators} operators for\n{text}");
    assert!(question.explain(&POSTS).len() < MAX_EXPLANATION, "{text}");
    let maintained = maintain_plan(&question.plan, &POSTS);
    if multiplying > MAX_MULTIPLYING {
        return TextOutcome::Bound;
    }
    compare_answers(&question.plan, maintained, text);
    TextOutcome::Compared
}

fn count_operators(plan: &QueryPlan, operators: &mut usize, multiplying: &mut usize) {
    *operators += 1;
    *multiplying += usize::from(matches!(plan, QueryPlan::Join { .. } | QueryPlan::Unnest { .. }));
    plan.inputs().into_iter().for_each(|input| count_operators(input, operators, multiplying));
}

/// The answer after each of a few epochs in which rows come, change and go.
fn compare_answers(plan: &QueryPlan, maintained: MaintainedPlan, text: &str) {
    let epochs: [fn(i64) -> bool; 4] = [|ind| ind < 3, |ind| ind != 1, |_| true, |ind| ind == 4];
    let mut run = FuzzedQuestion::start(maintained).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut before: CheckedRows = Default::default();
    for (epoch, is_there) in epochs.into_iter().enumerate() {
        let after: CheckedRows = [0, 1, 2].map(|relation| rows_of(&POSTS.relations[relation], relation, is_there));
        run.apply(&before, &after).unwrap_or_else(|error| panic!("{error}: {text}"));
        let mut expected: BTreeMap<Row, i64> = BTreeMap::new();
        for row in evaluate(plan, &after, &FaultCounter::default()) {
            *expected.entry(row).or_insert(0) += 1;
        }
        assert_eq!(run.answer, expected, "epoch {epoch}: {text}");
        before = after;
    }
}

fn rows_of(relation: &CatalogRelation, number: usize, is_there: fn(i64) -> bool) -> Vec<Row> {
    // Each relation lacks another ind.
    let inds = (0..5).filter(|ind| *ind != number as i64 + 1 && is_there(*ind));
    let value = |ind: i64, position: usize, ty: SqlType| {
        if position == relation.key {
            return Datum::Long(ind);
        }
        match (ty, (ind + position as i64) % 3) {
            (_, 0) => Datum::Null,
            (SqlType::Long, place) => Datum::Long(place * 20 + 5),
            (SqlType::Time, place) => Datum::Time(1_500_000_000_000_000 + place * 86_400_000_000),
            (SqlType::Doubles, place) => Datum::List([Datum::Double(place as f64), Datum::Double(0.5)].into()),
            (_, place) => Datum::text(["art", "travel,art,a text beyond 24 bytes"][usize::from(place == 1)]),
        }
    };
    let row =
        |ind| relation.columns.iter().enumerate().map(|(position, column)| value(ind, position, column.ty)).collect();
    inds.map(row).collect()
}

/// A question as a worker maintains it.
struct FuzzedQuestion {
    maintained: MaintainedPlan,
    groups: Vec<Option<GroupTable>>,
    upper: UpperState,
    faults: FaultCounter,
    answer: BTreeMap<Row, i64>,
}

impl FuzzedQuestion {
    fn start(maintained: MaintainedPlan) -> Result<FuzzedQuestion, StateError> {
        let groups = maintained.leaves.iter().map(|leaf| leaf.group.clone().map(GroupTable::new)).collect();
        let upper = UpperState::new(&maintained.upper);
        let mut run =
            FuzzedQuestion { maintained, groups, upper, faults: FaultCounter::default(), answer: BTreeMap::new() };
        let first = run.upper.start(&run.faults)?;
        run.add(first);
        let mut initial = Vec::new();
        for (leaf, table) in run.groups.iter_mut().enumerate() {
            let rows = table.as_mut().map(|table| table.initial_rows(&run.faults)).unwrap_or_default();
            initial.extend(rows.into_iter().map(|(row, diff)| (leaf, row, diff)));
        }
        let changes = run.upper.apply(initial, &run.faults)?;
        run.add(changes);
        Ok(run)
    }

    fn apply(&mut self, before: &CheckedRows, after: &CheckedRows) -> Result<(), StateError> {
        let (mut updates, scratch) = (Vec::new(), LeafScratch::default());
        for (index, leaf) in self.maintained.leaves.iter().enumerate() {
            for ind in 0..5 {
                let (old, new) = (self.input_of(before, ind), self.input_of(after, ind));
                let groups = &mut self.groups[index];
                leaf.program.changes(&old, &new, &scratch, &self.faults, &mut |row, diff| match groups {
                    Some(table) => table.update(row, diff),
                    None => updates.push((index, row.into(), diff)),
                });
            }
            if let Some(table) = &mut self.groups[index] {
                table.finish_epoch(&self.faults, &mut |row, diff| updates.push((index, row, diff)))?;
            }
        }
        let changes = self.upper.apply(updates, &self.faults)?;
        self.add(changes);
        Ok(())
    }

    fn input_of(&self, tables: &CheckedRows, ind: i64) -> KeyedInput {
        let mut input = KeyedInput::new(self.maintained.scans.len());
        for (scan, rows) in self.maintained.scans.iter().zip(&mut input.scans) {
            for row in tables[scan.relation].iter().filter(|row| row[0] == Datum::Long(ind)) {
                let values = scan.columns.iter().map(|column| column.eval(row, &self.faults).into_owned());
                rows.push(values.collect::<Vec<_>>(), 1);
            }
        }
        input
    }

    fn add(&mut self, changes: Vec<RowUpdate>) {
        for (row, diff) in changes {
            *self.answer.entry(row).or_insert(0) += diff;
        }
        self.answer.retain(|_, count| *count != 0);
    }
}
