//! The reference: the SQL beside each question, run by SQLite over the cleaned rows.
//!
//! Which rows count is computed in SQL too, so nothing here is shared with the graph but the question's text and
//! its column types. `crates/testkit` includes this file: if this crate's own tests took it from there, Cargo would compile
//! this crate twice.

// Each test that includes this file uses a part of it, and only `testkit` publishes it.
#![allow(dead_code, unreachable_pub)]

use std::cell::Cell;

use pinflow_dataflows::answer::{AnswerCell, AnswerRow, ColumnType};
use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions, RankLimit};
use pinflow_dataflows::questions::Question;
use pinflow_dataflows::record::{Geo, Lineage, Pin, User};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement, params};

/// An SQLite database with the cleaned rows, their lineage and epoch, and the tables that the questions read.
pub struct SqlOracle {
    connection: Connection,
    /// The cut that these tables are of; `None` if rows were added since. Many questions are asked of one cut, and to
    /// decide which rows count takes longer than to answer them.
    current_cut: Cell<Option<(u64, DuplicatePolicy)>>,
}

/// As many prepared statements as there are questions, fills and inserts, and some more.
const STATEMENT_CACHE_CAPACITY: usize = 64;

const LINEAGE: &str = "epoch INTEGER, _arrived_at INTEGER, _source TEXT, _position TEXT, _sub INTEGER";

/// The streams, each with the columns that questions read.
const STREAMS: [(&str, &str); 3] = [
    ("pin", "ind, follower_count, poster_name, category"),
    ("geo", "ind, country, \"timestamp\""),
    ("user", "ind, user_name, age, date_joined"),
];

impl Default for SqlOracle {
    fn default() -> Self {
        let connection = Connection::open_in_memory().expect("memory");
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_CAPACITY);
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection
            .create_scalar_function("year", 1, flags, |context| Ok(context.get::<Option<i64>>(0)?.map(utc_year)))
            .expect("a function");
        for (stream, columns) in STREAMS {
            let schema =
                format!("CREATE TABLE {stream}_rows ({LINEAGE}, {columns}); CREATE TABLE \"{stream}\" ({columns})");
            connection.execute_batch(&schema).expect("tables");
        }
        SqlOracle { connection, current_cut: Cell::new(None) }
    }
}

impl SqlOracle {
    /// Adds a cleaned pin of an epoch.
    pub fn insert_pin(&self, epoch: u64, lineage: Lineage, row: &Pin<'_>) {
        let Pin { ind, follower_count, poster_name, category, .. } = row;
        let values = params![ind.cast_signed(), *follower_count, poster_name.as_deref(), category.as_deref()];
        self.insert("pin", epoch, lineage, values);
    }

    /// Adds a cleaned geo post of an epoch.
    pub fn insert_geo(&self, epoch: u64, lineage: Lineage, row: &Geo<'_>) {
        self.insert("geo", epoch, lineage, params![row.ind.cast_signed(), row.country.as_deref(), row.timestamp]);
    }

    /// Adds a cleaned user of an epoch.
    pub fn insert_user(&self, epoch: u64, lineage: Lineage, row: &User<'_>) {
        self.insert(
            "user",
            epoch,
            lineage,
            params![row.ind.cast_signed(), row.user_name.as_deref(), row.age, row.date_joined],
        );
    }

    /// The result of the question's SQL over the rows up to an epoch, in its order.
    pub fn query_answer(&self, question: &Question, options: GraphOptions, epoch: u64) -> Vec<AnswerRow> {
        let cut = Some((epoch, options.duplicates));
        if self.current_cut.replace(cut) != cut {
            self.fill_tables(epoch, options.duplicates);
        }
        let mut statement = self.connection.prepare_cached(reference_sql(question)).expect("the question's SQL");
        bind_options(&mut statement, options);
        let mut answer = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().expect("a row") {
            let cells = question.columns().iter().enumerate();
            let cells = cells.map(|(at, column)| read_cell(column.kind, row.get_ref(at).expect("a column"))).collect();
            answer.push(AnswerRow(cells));
        }
        answer
    }

    /// The column names of the question's SQL.
    pub fn columns(&self, question: &Question) -> Vec<String> {
        let statement = self.connection.prepare(reference_sql(question)).expect("the question's SQL");
        statement.column_names().map(str::to_owned).collect()
    }

    fn insert(&self, stream: &str, epoch: u64, lineage: Lineage, values: &[&dyn rusqlite::ToSql]) {
        let Lineage { arrived_at, source, position, sub } = lineage;
        // Padded, so that text order is number order.
        let position = format!("{position:020}");
        let (epoch, source) = (epoch.cast_signed(), source.text());
        let text: &str = &source;
        let all = [params![epoch, arrived_at, text, position, sub], values].concat();
        let marks = vec!["?"; all.len()].join(", ");
        let insert = format!("INSERT INTO {stream}_rows VALUES ({marks})");
        self.connection.prepare_cached(&insert).expect("a table").execute(all.as_slice()).expect("a row");
        self.current_cut.set(None);
    }

    /// Fills the tables that the questions read with the rows that count at the end of an epoch.
    fn fill_tables(&self, epoch: u64, duplicates: DuplicatePolicy) {
        let every = duplicates == DuplicatePolicy::Keep;
        for (stream, columns) in STREAMS {
            // A row at or before the cut counts if every one does, or if it is the latest of its ind.
            let fill = format!(
                "INSERT INTO \"{stream}\" SELECT {columns} FROM (
                     SELECT {columns}, row_number() OVER (
                         PARTITION BY ind ORDER BY _arrived_at DESC, _source DESC, _position DESC, _sub DESC
                     ) AS place
                     FROM {stream}_rows WHERE epoch <= ?
                 ) WHERE ? OR place = 1"
            );
            let empty = format!("DELETE FROM \"{stream}\"");
            self.connection.prepare_cached(&empty).expect("a table").execute([]).expect("an empty table");
            let mut fill = self.connection.prepare_cached(&fill).expect("tables");
            fill.execute(params![epoch.cast_signed(), every]).expect("rows");
        }
    }
}

/// The SQL that SQLite runs for a question: its own, or, where SQLite has no such function, the same by other means.
fn reference_sql(question: &Question) -> &str {
    let name = question.name.as_str();
    match name.strip_prefix("general_").unwrap_or(name) {
        "median_followers_by_age_group" => include_str!("median_followers_by_age_group.sql"),
        "median_followers_by_join_year" => include_str!("median_followers_by_join_year.sql"),
        "median_followers_by_join_year_and_age_group" => {
            include_str!("median_followers_by_join_year_and_age_group.sql")
        }
        _ => &question.sql,
    }
}

fn bind_options(statement: &mut Statement<'_>, options: GraphOptions) {
    let top = match options.top {
        RankLimit::All => None,
        RankLimit::Ranks(ranks) => Some(ranks.get()),
    };
    let mut set = |name: &str, value: &dyn rusqlite::ToSql| {
        if let Some(at) = statement.parameter_index(name).expect("a name") {
            statement.raw_bind_parameter(at, value).expect("a parameter");
        }
    };
    set("$ties", &options.ties.to_string());
    set("$top", &top);
    set("$median", &options.median.to_string());
}

fn read_cell(kind: ColumnType, value: ValueRef<'_>) -> AnswerCell {
    match (kind, value) {
        (ColumnType::Long, ValueRef::Integer(value)) => AnswerCell::Long(value),
        (ColumnType::Text, ValueRef::Text(value)) => AnswerCell::text(std::str::from_utf8(value).expect("UTF-8")),
        (ColumnType::Double, ValueRef::Real(value)) => AnswerCell::Double(value),
        (kind, value) => panic!("{value:?} in a column of {kind:?}"),
    }
}

/// The UTC year of a moment in microseconds since 1970, by counting days: a different method than the graph's.
fn utc_year(moment: i64) -> i64 {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    let days_in = |year: i64| if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 };
    let (mut year, mut day) = (1970, moment.div_euclid(DAY));
    while day < 0 {
        year -= 1;
        day += days_in(year);
    }
    while day >= days_in(year) {
        day -= days_in(year);
        year += 1;
    }
    year
}
