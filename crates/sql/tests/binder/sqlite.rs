//! Questions give the rows that SQLite gives for the same text: the binder's plans, evaluated in batch.

use pinflow_sql::catalog::{GEO_RELATION, PIN_RELATION, POSTS, USER_RELATION};
use pinflow_sql::datum::{Datum, Row};
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::naive::evaluate;
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::bound;

/// The rows of pin, geo and user, in this order.
pub(crate) type RandomTables = [Vec<Row>; 3];

/// How many cases are tried. `PINFLOW_SQL_CASES` sets another number.
pub(crate) fn case_count() -> u32 {
    std::env::var("PINFLOW_SQL_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(256)
}

/// The columns that have values; all others are null.
const COLUMNS: [(usize, &str, ValueKind); 8] = [
    (PIN_RELATION, "ind", ValueKind::Key),
    (PIN_RELATION, "follower_count", ValueKind::Number),
    (PIN_RELATION, "category", ValueKind::Word),
    (GEO_RELATION, "ind", ValueKind::Key),
    (GEO_RELATION, "country", ValueKind::Word),
    (USER_RELATION, "ind", ValueKind::Key),
    (USER_RELATION, "age", ValueKind::Number),
    (USER_RELATION, "user_name", ValueKind::Word),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    Key,
    Number,
    Word,
}

fn arb_value(kind: ValueKind) -> BoxedStrategy<Datum> {
    match kind {
        ValueKind::Key => (0i64..5).prop_map(Datum::Long).boxed(),
        ValueKind::Number => prop_oneof![1 => Just(Datum::Null), 4 => (0i64..4).prop_map(Datum::Long)].boxed(),
        ValueKind::Word => {
            prop_oneof![1 => Just(Datum::Null), 4 => "[a-c]".prop_map(|word| Datum::text(&word))].boxed()
        }
    }
}

fn arb_row(relation: usize) -> impl Strategy<Value = Row> {
    let columns = POSTS.relations[relation].columns;
    let values: Vec<BoxedStrategy<Datum>> = columns
        .iter()
        .map(|column| {
            let known = COLUMNS.iter().find(|known| known.0 == relation && known.1 == column.name);
            known.map_or_else(|| Just(Datum::Null).boxed(), |known| arb_value(known.2))
        })
        .collect();
    values.prop_map(Vec::into_boxed_slice)
}

pub(crate) fn arb_tables() -> impl Strategy<Value = RandomTables> {
    let rows = |relation| prop::collection::vec(arb_row(relation), 0..6);
    (rows(PIN_RELATION), rows(GEO_RELATION), rows(USER_RELATION)).prop_map(|(pin, geo, user)| [pin, geo, user])
}

fn load(tables: &RandomTables) -> Connection {
    let connection = Connection::open_in_memory().expect("a database");
    connection.execute_batch("PRAGMA case_sensitive_like = ON").expect("a setting");
    for (relation, rows) in POSTS.relations.iter().zip(tables) {
        let names: Vec<String> = relation.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        connection
            .execute_batch(&format!("CREATE TABLE \"{}\" ({})", relation.name, names.join(", ")))
            .expect("a table");
        let marks = vec!["?"; names.len()].join(", ");
        let mut insert =
            connection.prepare(&format!("INSERT INTO \"{}\" VALUES ({marks})", relation.name)).expect("sql");
        for row in rows {
            let values = row.iter().map(|value| match value {
                Datum::Long(value) => rusqlite::types::Value::Integer(*value),
                Datum::Text(text) => rusqlite::types::Value::Text(text.to_string()),
                _ => rusqlite::types::Value::Null,
            });
            insert.execute(rusqlite::params_from_iter(values)).expect("a row");
        }
    }
    connection
}

/// What SQLite gives, sorted, as texts.
fn expected_rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let width = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cells: Vec<String> = (0..width)
            .map(|index| match row.get_ref(index).expect("a value") {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(value) => value.to_string(),
                ValueRef::Real(value) => format!("{value:.6}"),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Blob(_) => "blob".to_owned(),
            })
            .collect();
        Ok(cells.join("|"))
    });
    let mut rows: Vec<String> = rows.expect("rows").map(|row| row.expect("a row")).collect();
    rows.sort();
    rows
}

/// What the bound plan gives, sorted, as texts.
fn actual_rows(tables: &RandomTables, sql: &str) -> Vec<String> {
    let question = bound(sql);
    let rows = evaluate(&question.plan, tables, &FaultCounter::default());
    let width = question.columns.len();
    let cell = |value: &Datum| match value {
        Datum::Null => "NULL".to_owned(),
        Datum::Bool(value) => i64::from(*value).to_string(),
        Datum::Long(value) => value.to_string(),
        Datum::Double(value) => format!("{value:.6}"),
        Datum::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    for row in &rows {
        for (value, column) in row.iter().zip(&question.columns) {
            assert!(column.nullable || !value.is_null(), "{} is null\n{sql}", column.name);
            assert!(value.is_null() || value.sql_type() == column.ty, "{} is {value:?}\n{sql}", column.name);
        }
    }
    let mut rows: Vec<String> =
        rows.iter().map(|row| row.iter().take(width).map(cell).collect::<Vec<_>>().join("|")).collect();
    rows.sort();
    rows
}

pub(crate) fn compare(tables: &RandomTables, sql: &str) {
    let expected = expected_rows(&load(tables), sql);
    let actual = actual_rows(tables, sql);
    assert_eq!(actual, expected, "\n{sql}\n{}", bound(sql).explain(&POSTS));
}

/// A relation in a FROM: its alias and columns.
#[derive(Debug, Clone)]
struct NamedSource {
    alias: String,
    relation: usize,
}

impl NamedSource {
    fn columns(&self, kinds: &[ValueKind]) -> Vec<String> {
        let own = COLUMNS.iter().filter(|column| column.0 == self.relation && kinds.contains(&column.2));
        own.map(|column| format!("{}.{}", self.alias, column.1)).collect()
    }

    fn name(&self) -> &'static str {
        POSTS.relations[self.relation].name
    }
}

/// A source of choices for the generator of texts.
struct TextChoices<'c> {
    bytes: &'c [u8],
    aliases: usize,
}

impl TextChoices<'_> {
    fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(*first) % count
    }

    fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    fn source(&mut self) -> NamedSource {
        self.aliases += 1;
        NamedSource { alias: format!("t{}", self.aliases), relation: self.below(3) }
    }

    fn column(&mut self, sources: &[NamedSource], kinds: &[ValueKind]) -> Option<String> {
        let columns: Vec<String> = sources.iter().flat_map(|source| source.columns(kinds)).collect();
        if columns.is_empty() { None } else { Some(columns[self.below(columns.len())].clone()) }
    }

    fn number(&mut self, sources: &[NamedSource]) -> String {
        match self.below(3) {
            0 => self.pick(&["0", "1", "2", "3"]).to_owned(),
            _ => self.column(sources, &[ValueKind::Key, ValueKind::Number]).unwrap_or_else(|| "1".to_owned()),
        }
    }

    fn atom(&mut self, sources: &[NamedSource]) -> String {
        let number = self.column(sources, &[ValueKind::Key, ValueKind::Number]).expect("every relation has a key");
        match self.below(8) {
            0 => format!("{number} {} {}", self.pick(&["=", "<>", "<", "<=", ">", ">="]), self.number(sources)),
            1 => format!("{number} IS {}NULL", self.pick(&["", "NOT "])),
            2 => format!("{number} {}IN (1, {}, 3)", self.pick(&["", "NOT "]), self.pick(&["2", "NULL"])),
            3 => format!("{number} {}BETWEEN {} AND 2", self.pick(&["", "NOT "]), self.number(sources)),
            4 => format!("CASE WHEN {number} > 1 THEN {} ELSE 2 END = 2", self.number(sources)),
            5 => format!("coalesce({number}, 2) = {}", self.number(sources)),
            6 => format!("{number} IS NOT DISTINCT FROM {}", self.number(sources)),
            _ => match self.column(sources, &[ValueKind::Word]) {
                Some(word) => {
                    format!("{word} {} {}", self.pick(&["=", "LIKE", "<"]), self.pick(&["'a'", "'b'", "NULL"]))
                }
                None => format!("{number} + 1 = {}", self.number(sources)),
            },
        }
    }

    /// A condition with subqueries.
    fn subquery_atom(&mut self, sources: &[NamedSource]) -> String {
        let inner = self.source();
        let outer = self.column(sources, &[ValueKind::Key, ValueKind::Number]).expect("every relation has a key");
        let member = self.column(std::slice::from_ref(&inner), &[ValueKind::Key, ValueKind::Number]).expect("a key");
        let name = format!("\"{}\" {}", inner.name(), inner.alias);
        let own = self.atom(std::slice::from_ref(&inner));
        let tie = match self.below(3) {
            0 => format!("WHERE {own}"),
            1 => format!("WHERE {}.ind = {outer}", inner.alias),
            _ => format!("WHERE {outer} = {}.ind AND {own}", inner.alias),
        };
        let not = self.pick(&["", "NOT "]);
        let value = self.column(sources, &[ValueKind::Key, ValueKind::Number]).expect("every relation has a key");
        match self.below(5) {
            0 => format!("{not}EXISTS (SELECT 1 FROM {name} {tie})"),
            1 | 2 => format!("{value} {not}IN (SELECT {member} FROM {name} {tie})"),
            3 => format!("{value} {} (SELECT max({member}) FROM {name} {tie})", self.pick(&["=", "<", ">="])),
            _ => format!("(SELECT count({member}) FROM {name} {tie}) {} 1", self.pick(&["=", "<"])),
        }
    }

    fn condition(&mut self, sources: &[NamedSource], depth: usize, subqueries: bool) -> String {
        match self.below(if depth == 0 { 3 } else { 7 }) {
            0 | 1 => self.atom(sources),
            2 if subqueries => self.subquery_atom(sources),
            2 => self.atom(sources),
            3 => format!("NOT ({})", self.condition(sources, depth - 1, subqueries)),
            4 => {
                let one = self.condition(sources, depth - 1, subqueries);
                format!("({one} OR {})", self.condition(sources, depth - 1, subqueries))
            }
            _ => {
                let one = self.condition(sources, depth - 1, subqueries);
                format!("{one} AND {}", self.condition(sources, depth - 1, subqueries))
            }
        }
    }

    /// A FROM with its sources, and what has to be in WHERE.
    fn from(&mut self) -> (String, Vec<NamedSource>, Option<String>) {
        let first = self.source();
        let mut text = format!("\"{}\" {}", first.name(), first.alias);
        let mut sources = vec![first];
        let mut ties = Vec::new();
        for _ in 0..self.below(3) {
            let next = self.source();
            let partner = sources[self.below(sources.len())].alias.clone();
            let tie = format!("{partner}.ind = {}.ind", next.alias);
            let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", ","]);
            sources.push(next.clone());
            if join == "," && !text.contains("JOIN") {
                text = format!("{text}, \"{}\" {}", next.name(), next.alias);
                ties.push(tie);
                continue;
            }
            let join = if join == "," || text.contains(',') { "JOIN" } else { join };
            let tie = if text.contains(',') {
                format!("{}.ind = {}.ind", sources[sources.len() - 2].alias, next.alias)
            } else {
                tie
            };
            let more = if self.below(2) == 0 && !text.contains(',') {
                format!(" AND {}", self.condition(&sources, 1, false))
            } else {
                String::new()
            };
            text = format!("{text} {join} \"{}\" {} ON {tie}{more}", next.name(), next.alias);
        }
        (text, sources, (!ties.is_empty()).then(|| ties.join(" AND ")))
    }

    fn rows_query(&mut self) -> String {
        let (from, sources, ties) = self.from();
        let mut conditions: Vec<String> = ties.into_iter().collect();
        for _ in 0..self.below(3) {
            conditions.push(self.condition(&sources, 2, true));
        }
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let key = self.column(&sources, &[ValueKind::Number, ValueKind::Word, ValueKind::Key]).expect("a key");
        let value = self.number(&sources);
        let other = self.column(&sources, &[ValueKind::Key, ValueKind::Number]).expect("a key");
        match self.below(5) {
            0 => format!("SELECT {key} AS k, {value} AS v, {other} AS w FROM {from}{filter}"),
            1 => format!("SELECT DISTINCT {key} AS k, {value} AS v FROM {from}{filter}"),
            2 => format!(
                "SELECT {key} AS k, count(*) AS n, sum({other}) AS s, min({value}) AS v, count(DISTINCT {other}) AS d, avg({other}) AS a FROM {from}{filter} GROUP BY {key} HAVING count(*) {} 1",
                self.pick(&[">=", ">", "="])
            ),
            3 => format!("SELECT count({value}) AS k, max({other}) AS v FROM {from}{filter}"),
            _ => format!(
                "SELECT {key} AS k, {other} AS v, count(*) OVER (PARTITION BY {key}) AS n, rank() OVER (ORDER BY {other} NULLS LAST, {key} NULLS LAST) AS r FROM {from}{filter}"
            ),
        }
    }

    fn query(&mut self) -> String {
        let inner = self.rows_query();
        match self.below(6) {
            0 => format!("SELECT q.k AS x, q.v AS y FROM ({inner}) q WHERE q.v {} 1", self.pick(&["=", ">", "<>"])),
            1 => format!(
                "WITH q AS ({inner}) SELECT a.k AS x, b.v AS y FROM q a JOIN q b ON a.v = b.v WHERE a.k IS NOT NULL"
            ),
            2 => format!(
                "WITH q AS ({inner}) SELECT v AS x FROM q {} SELECT v + 1 FROM q",
                self.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])
            ),
            3 => format!("SELECT k AS x, v AS y FROM ({inner}) AS q WHERE v = (SELECT min(ind) FROM pin) OR k IS NULL"),
            _ => inner,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: case_count(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_questions_give_the_rows_of_sqlite(tables in arb_tables(), choices in prop::collection::vec(any::<u8>(), 80)) {
        let sql = TextChoices { bytes: &choices, aliases: 0 }.query();
        compare(&tables, &sql);
    }
}
