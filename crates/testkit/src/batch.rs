//! Batch answers for comparison: each question as SQL over the content of the tables.

use std::borrow::Cow;
use std::path::Path;

use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::QuestionSet;
use pinflow_dataflows::record::{Geo, Lineage, Pin, User};
use pinflow_dataflows::symbol::Symbol;
use rusqlite::types::Value;

use crate::ProcessOutput;
use crate::ledger::{TableRows, read};
use crate::oracle::SqlOracle;

/// A row with the names of its columns.
struct NamedAnswer<'a>(&'a TableRows, &'a [Value]);

impl NamedAnswer<'_> {
    fn get(&self, column: &str) -> &Value {
        let at = self.0.columns.iter().position(|name| name == column);
        &self.1[at.unwrap_or_else(|| panic!("no column {column}"))]
    }
    fn long(&self, column: &str) -> Option<i64> {
        match self.get(column) {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }
    fn text(&self, column: &str) -> Option<Cow<'_, str>> {
        match self.get(column) {
            Value::Text(value) => Some(Cow::Borrowed(value)),
            _ => None,
        }
    }
    fn micros(&self, column: &str) -> Option<i64> {
        let text = self.text(column)?;
        let at: jiff::Timestamp = format!("{}Z", text.replace(' ', "T")).parse().expect("a moment");
        Some(at.as_microsecond())
    }
    fn ind(&self) -> u64 {
        self.long("ind").and_then(|ind| u64::try_from(ind).ok()).expect("a key")
    }
    fn lineage(&self) -> Lineage {
        Lineage {
            arrived_at: self.micros("_arrived_at"),
            source: Symbol::new(&self.text("_source").expect("a source")),
            position: self.text("_position").and_then(|text| text.parse().ok()).expect("a position"),
            sub: self.long("_sub").and_then(|sub| u32::try_from(sub).ok()).expect("a number"),
        }
    }
}

/// Asserts that a snapshot equals the answers of the batch engine over the tables.
pub fn assert_answers_equal_batch(root: &Path, options: GraphOptions, snapshot: &ProcessOutput) {
    let oracle = SqlOracle::default();
    for table in ["pin", "geo", "user"] {
        let rows = read(&root.join(table));
        for row in &rows.rows {
            let row = NamedAnswer(&rows, row);
            match table {
                "pin" => oracle.insert_pin(1, row.lineage(), &pin(&row)),
                "geo" => oracle.insert_geo(1, row.lineage(), &geo(&row)),
                _ => oracle.insert_user(1, row.lineage(), &user(&row)),
            }
        }
    }
    for (_, question) in QuestionSet::built_in(options).iter() {
        let expected: Vec<_> = oracle
            .query_answer(question, options, 1)
            .iter()
            .map(|row| serde_json::to_value(row.with_columns(question.columns())).expect("JSON"))
            .collect();
        assert_eq!(snapshot.answers[question.name.as_str()], expected, "{}", question.name);
    }
}

fn pin<'a>(row: &'a NamedAnswer<'_>) -> Pin<'a> {
    Pin {
        ind: row.ind(),
        unique_id: None,
        title: None,
        description: None,
        follower_count: row.long("follower_count"),
        poster_name: row.text("poster_name"),
        tag_list: None,
        is_image_or_video: None,
        image_src: None,
        save_location: None,
        category: row.text("category"),
    }
}

fn geo<'a>(row: &'a NamedAnswer<'_>) -> Geo<'a> {
    Geo { ind: row.ind(), country: row.text("country"), coordinates: None, timestamp: row.micros("timestamp") }
}

fn user<'a>(row: &'a NamedAnswer<'_>) -> User<'a> {
    User {
        ind: row.ind(),
        user_name: row.text("user_name"),
        age: row.long("age").and_then(|age| u8::try_from(age).ok()),
        date_joined: row.micros("date_joined"),
    }
}
