//! The bytes that `pinflow question list` and `explain` report for a question, compared with the allocator.

use peak_alloc::PeakAlloc;
use pinflow_dataflows::answer::LiveAnswer;
use pinflow_dataflows::graph::{GraphOptions, QuestionSet, WorkerGraph, WorkerPlacement, measure_question};
use pinflow_dataflows::questions::{Question, QuestionOrigin, QuestionPath};
use pinflow_dataflows::record::{Geo, Lineage, Pin, User};
use pinflow_dataflows::symbol::Symbol;
use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::{Datum, Row, SqlType};
use pinflow_sql::expr::{ExprKind, ScalarExpr};
use pinflow_sql::split::maintain_plan;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const INDS: u64 = 20_000;
const LONG_TEXT: &str = "a title that does not fit in its value: ";

/// The questions, and how many groups they have.
const SHAPES: [(&str, u64); 16] = [
    ("SELECT poster_name, count(*) AS n, max(follower_count) AS most FROM pin GROUP BY poster_name", 4_000),
    ("SELECT title, count(*) AS n FROM pin GROUP BY title", INDS),
    ("SELECT poster_name, sum(follower_count) AS s, avg(follower_count) AS m, stddev(follower_count) AS d FROM pin
      GROUP BY poster_name", 4_000),
    ("SELECT category, count(DISTINCT title) AS titles FROM pin GROUP BY category", 20),
    ("SELECT DISTINCT title, category FROM pin", INDS),
    ("SELECT category, median(follower_count) AS m, count(*) AS n FROM pin GROUP BY category", 20),
    ("SELECT poster_name, median(follower_count) AS m, mode(category) AS c FROM pin GROUP BY poster_name", 4_000),
    ("SELECT country, age, median(follower_count) AS m FROM pin JOIN geo USING (ind) JOIN user USING (ind)
      GROUP BY country, age", 130),
    ("SELECT poster_name, max_by(title, follower_count) AS best FROM pin GROUP BY poster_name", 4_000),
    ("SELECT category, string_agg(poster_name, ',' ORDER BY follower_count) AS posters FROM pin GROUP BY category", 20),
    ("SELECT ind, category, rank() OVER (PARTITION BY category ORDER BY follower_count) AS place FROM pin", 20),
    ("SELECT ind, title, follower_count FROM pin WHERE follower_count > 10", INDS),
    ("SELECT ind, title FROM pin ORDER BY follower_count DESC LIMIT 100", 1),
    ("SELECT ind, title, mean FROM pin JOIN (SELECT category, avg(follower_count) AS mean FROM pin GROUP BY category)
      USING (category)", 20),
    ("SELECT country, regr_slope(follower_count, age) AS slope FROM pin JOIN geo USING (ind) JOIN user USING (ind)
      GROUP BY country", 130),
    ("SELECT poster_name, covar_pop(follower_count, age) AS c FROM pin JOIN user USING (ind) GROUP BY poster_name", 4_000),
];

fn text(value: &str) -> Datum {
    Datum::text(value)
}

/// The rows of an `ind`, in the order of the catalog.
fn rows_of(ind: u64) -> [Row; 3] {
    let mixed = (ind * 7_919 % 99_991) as i64;
    let value = |relation: usize, column: &str, ty: SqlType| match (relation, column) {
        (_, "ind") => Datum::Long(ind as i64),
        (_, "title") => text(&format!("{LONG_TEXT}{mixed:08}")),
        (_, "poster_name") => text(&format!("poster {}", mixed % 4_000)),
        (_, "category") => text(&format!("category {}", mixed / 4_000 % 20)),
        (_, "country") => text(&format!("country {}", mixed % 130)),
        (_, "age") => Datum::Long(20 + mixed % 10),
        (_, "follower_count") => Datum::Long(11 + mixed),
        (_, "timestamp" | "date_joined") => Datum::Time(1_500_000_000_000_000 + mixed * 1_000_000),
        (_, _) if ty == SqlType::Text => text("x"),
        _ => Datum::Null,
    };
    [0, 1, 2].map(|relation| {
        POSTS.relations[relation].columns.iter().map(|column| value(relation, column.name, column.ty)).collect()
    })
}

fn compile(sql: &str) -> Question {
    let name = "measured".parse().expect("a valid name");
    Question::compile(name, sql, GraphOptions::default(), QuestionOrigin::Configured).expect("compiles")
}

/// What the texts of columns have on the heap.
fn owned_bytes(relation: usize, expr: &ScalarExpr) -> usize {
    match expr.kind {
        ExprKind::Column(column) if POSTS.relations[relation].columns[column].name == "title" => LONG_TEXT.len() + 8,
        _ => 0,
    }
}

/// Applies all rows in a graph with these questions. Returns the bytes that are allocated then, without the answer.
fn allocate_state(questions: QuestionSet) -> usize {
    timely::execute_directly(move |worker| {
        let before = ALLOCATOR.current_usage();
        let placement = WorkerPlacement::OneProcess;
        let mut graph =
            WorkerGraph::install(worker, placement, 0, GraphOptions::default(), &questions, |_, _| {}, |_, _, _| {});
        let mut epoch = 0;
        for ind in 0..INDS {
            let [pin, geo, user] = rows_of(ind);
            let lineage = Lineage { arrived_at: None, source: Symbol::new("p"), position: ind.into(), sub: 0 };
            graph.pin(lineage, &Pin::from_values(&pin));
            graph.geo(lineage, &Geo::from_values(&geo));
            graph.user(lineage, &User::from_values(&user));
            if ind % 500 == 499 {
                epoch += 1;
                graph.advance_to(epoch);
                while graph.frontier() < epoch {
                    worker.step();
                }
            }
        }
        ALLOCATOR.current_usage() - before
    })
}

fn all_rows() -> Vec<Vec<Row>> {
    let mut relations = vec![Vec::new(); 3];
    for ind in 0..INDS {
        relations.iter_mut().zip(rows_of(ind)).for_each(|(rows, row)| rows.push(row));
    }
    relations
}

/// The bytes that an answer takes: those that are free when it is dropped.
fn allocated_by(answer: LiveAnswer) -> usize {
    let before = ALLOCATOR.current_usage();
    drop(answer);
    before - ALLOCATOR.current_usage()
}

/// How far a figure is from another one, per cent.
fn percent(said: usize, allocated: usize) -> f64 {
    100.0 * said as f64 / allocated as f64 - 100.0
}

// The only test of this binary: others would allocate meanwhile.
#[test]
fn memory_of_questions_is_within_a_fifth_of_the_reported_bytes() {
    // The first run makes the symbols, which stay.
    allocate_state(QuestionSet::default());
    let without = allocate_state(QuestionSet::default());
    let (mut wrong, mut table) = (0, String::new());
    for (sql, groups) in SHAPES {
        let question = compile(sql);
        let (questions, _) = QuestionSet::default().with_question(question.clone()).expect("the only one");
        let allocated = allocate_state(questions).saturating_sub(without);
        let measured = measure_question(&question, GraphOptions::default(), all_rows()).expect("fits");
        let maintained = maintain_plan(&question.bound.plan, &POSTS);
        let estimate = maintained.estimate_state(&owned_bytes);
        let columns: usize = maintained.scans.iter().map(|scan| extra_bytes(scan.relation, &scan.columns)).sum();
        let estimated = estimate.bytes(groups as usize, INDS as usize) + columns * INDS as usize;
        let answer_rows = measured.answer.row_count();
        let answer_said = measured.answer.held_bytes();
        let answer_estimated = LiveAnswer::bytes_of_rows(answer_rows, answer_rows * estimate.answer.row_bytes);
        let answer_allocated = allocated_by(measured.answer);
        let said = measured.usage.bytes as usize;
        let is_fast = matches!(question.path, QuestionPath::Compact(_));
        let mut compare = |what: &str, said: usize, allocated: usize| {
            // Less than 100 kB is the noise of buffers.
            let off = percent(said, allocated);
            let is_wrong = off.abs() > 20.0 && allocated > 100_000;
            wrong += usize::from(is_wrong);
            let mark = if is_wrong { "  WRONG" } else { "" };
            table += &format!("{off:6.1} % {what}: {said} said, {allocated} allocated: {sql}{mark}\n");
        };
        compare("measured", said, allocated);
        compare("measured answer", answer_said, answer_allocated);
        if !is_fast {
            compare("estimated", estimated, allocated);
            // How long the joined texts become is not known without the rows.
            if !sql.contains("string_agg") {
                compare("estimated answer", answer_estimated, answer_allocated);
            }
        }
        assert_eq!(estimate.answer.rows(groups as usize, INDS as usize), answer_rows, "{sql}");
    }
    assert_eq!(wrong, 0, "\n{table}");
}

/// What the values of columns take that are not held anyway, for each row.
fn extra_bytes(relation: usize, columns: &[ScalarExpr]) -> usize {
    let is_held = |expr: &&ScalarExpr| match expr.kind {
        ExprKind::Column(column) => POSTS.relations[relation].columns[column].held,
        _ => false,
    };
    columns.iter().filter(|expr| !is_held(expr)).map(|expr| size_of::<Datum>() + owned_bytes(relation, expr)).sum()
}
