//! The differences between PostgreSQL and MySQL in SQL text.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pinflow_dataflows::answer::{AnswerCell, ColumnType};

/// The first and the last moment of a `datetime` of MySQL, microseconds: the year 1000 to the last one of an answer.
const MYSQL_TIMES: std::ops::RangeInclusive<i64> = -30_610_224_000_000_000..=253_402_207_200_999_999;
/// The first moment of a `timestamptz` of PostgreSQL, microseconds: 4713 BC.
const POSTGRES_FIRST_TIME: i64 = -210_866_803_200_000_000;

/// A dialect of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseDialect {
    Postgres,
    MySql,
}

impl DatabaseDialect {
    /// An identifier in quotes.
    pub(crate) fn quote_name(self, name: &str) -> String {
        match self {
            DatabaseDialect::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            DatabaseDialect::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// Several identifiers in quotes, separated by commas.
    pub(crate) fn quote_names<'a>(self, names: impl IntoIterator<Item = &'a str>) -> String {
        let quoted: Vec<_> = names.into_iter().map(|name| self.quote_name(name)).collect();
        quoted.join(", ")
    }

    /// A text literal. The session has `standard_conforming_strings`, or no `NO_BACKSLASH_ESCAPES`.
    pub(crate) fn quote_text(self, text: &str) -> String {
        match self {
            DatabaseDialect::Postgres => format!("'{}'", text.replace('\0', "\u{fffd}").replace('\'', "''")),
            DatabaseDialect::MySql => {
                let mut quoted = String::with_capacity(text.len() + 2);
                quoted.push('\'');
                for c in text.chars() {
                    match c {
                        '\'' => quoted.push_str("''"),
                        '\\' => quoted.push_str("\\\\"),
                        '\0' => quoted.push_str("\\0"),
                        c => quoted.push(c),
                    }
                }
                quoted.push('\'');
                quoted
            }
        }
    }

    /// The type of a column in `CREATE TABLE`.
    pub(crate) fn type_name(self, kind: ColumnType) -> &'static str {
        match (self, kind) {
            (_, ColumnType::Long) => "bigint",
            (DatabaseDialect::Postgres, ColumnType::Text) => "text",
            // Compared byte by byte. A text of 64 KiB and more has no place in `text`.
            (DatabaseDialect::MySql, ColumnType::Text) => "longtext character set utf8mb4 collate utf8mb4_bin",
            (DatabaseDialect::Postgres, ColumnType::Double) => "double precision",
            (DatabaseDialect::MySql, ColumnType::Double) => "double",
            (_, ColumnType::Bool) => "boolean",
            (DatabaseDialect::Postgres, ColumnType::Time) => "timestamptz(6)",
            (DatabaseDialect::MySql, ColumnType::Time) => "datetime(6)",
        }
    }

    /// The same type as `information_schema.columns.data_type` names it.
    pub(crate) fn catalog_type(self, kind: ColumnType) -> &'static str {
        match (self, kind) {
            (_, ColumnType::Long) => "bigint",
            (DatabaseDialect::Postgres, ColumnType::Text) => "text",
            (DatabaseDialect::MySql, ColumnType::Text) => "longtext",
            (DatabaseDialect::Postgres, ColumnType::Double) => "double precision",
            (DatabaseDialect::MySql, ColumnType::Double) => "double",
            (DatabaseDialect::Postgres, ColumnType::Bool) => "boolean",
            (DatabaseDialect::MySql, ColumnType::Bool) => "tinyint",
            (DatabaseDialect::Postgres, ColumnType::Time) => "timestamp with time zone",
            (DatabaseDialect::MySql, ColumnType::Time) => "datetime",
        }
    }

    /// Whether `CREATE TABLE` and `ALTER TABLE` can be part of a transaction.
    pub(crate) fn has_transactional_ddl(self) -> bool {
        self == DatabaseDialect::Postgres
    }

    /// The value to store instead of one that the database cannot hold. `None` for a value that it can.
    pub(crate) fn replacement(self, cell: &AnswerCell) -> Option<AnswerCell> {
        match (self, cell) {
            // No text of PostgreSQL has NUL.
            (DatabaseDialect::Postgres, AnswerCell::Text(text)) => {
                text.contains('\0').then(|| AnswerCell::text(&text.replace('\0', "\u{fffd}")))
            }
            (DatabaseDialect::Postgres, AnswerCell::Time(micros)) => {
                (*micros < POSTGRES_FIRST_TIME).then_some(AnswerCell::Null)
            }
            (DatabaseDialect::MySql, AnswerCell::Double(value)) => (!value.is_finite()).then_some(AnswerCell::Null),
            (DatabaseDialect::MySql, AnswerCell::Time(micros)) => {
                (!MYSQL_TIMES.contains(micros)).then_some(AnswerCell::Null)
            }
            _ => None,
        }
    }

    /// A value as a literal of MySQL, appended to a statement.
    pub(crate) fn write_literal(self, cell: &AnswerCell, into: &mut String) {
        // Writing to a text does not fail.
        let _ = match cell {
            AnswerCell::Null => write!(into, "NULL"),
            AnswerCell::Long(value) => write!(into, "{value}"),
            AnswerCell::Bool(value) => write!(into, "{}", u8::from(*value)),
            // With an exponent it is a double. Without one it would be a decimal.
            AnswerCell::Double(value) => write!(into, "{value:e}"),
            AnswerCell::Text(text) => write!(into, "{}", self.quote_text(text)),
            AnswerCell::Time(micros) => write!(into, "'{}'", format_time(*micros)),
        };
    }
}

/// A moment in UTC as `2020-01-31 08:00:00.000000`.
pub(crate) fn format_time(micros: i64) -> String {
    let nanos = (micros.rem_euclid(1_000_000) * 1_000) as i32;
    // `Timestamp::from_microsecond` refuses the last second.
    let time = Timestamp::new(micros.div_euclid(1_000_000), nanos).unwrap_or_default();
    let time = time.to_zoned_datetime(TimeZone::UTC).datetime();
    format!(
        "{} {:02}:{:02}:{:02}.{:06}",
        time.date(),
        time.hour(),
        time.minute(),
        time.second(),
        micros.rem_euclid(1_000_000)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_stay_one_literal() {
        for (text, postgres, mysql) in [
            ("it's", "'it''s'", "'it''s'"),
            ("a\\' OR 1", "'a\\'' OR 1'", "'a\\\\'' OR 1'"),
            ("a\0b", "'a\u{fffd}b'", "'a\\0b'"),
        ] {
            assert_eq!(DatabaseDialect::Postgres.quote_text(text), postgres);
            assert_eq!(DatabaseDialect::MySql.quote_text(text), mysql);
        }
        assert_eq!(DatabaseDialect::Postgres.quote_name("a\"b"), "\"a\"\"b\"");
        assert_eq!(DatabaseDialect::MySql.quote_name("a`b"), "`a``b`");
    }

    #[test]
    fn values_that_a_database_cannot_hold_are_replaced() {
        let (postgres, mysql) = (DatabaseDialect::Postgres, DatabaseDialect::MySql);
        assert_eq!(postgres.replacement(&AnswerCell::text("a\0")), Some(AnswerCell::text("a\u{fffd}")));
        assert_eq!(mysql.replacement(&AnswerCell::text("a\0")), None);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(postgres.replacement(&AnswerCell::Double(value)), None);
            assert_eq!(mysql.replacement(&AnswerCell::Double(value)), Some(AnswerCell::Null));
        }
        assert_eq!(mysql.replacement(&AnswerCell::time(-62_000_000_000_000_000)), Some(AnswerCell::Null));
        assert_eq!(postgres.replacement(&AnswerCell::time(-62_000_000_000_000_000)), None);
        assert_eq!(format_time(*MYSQL_TIMES.start()), "1000-01-01 00:00:00.000000");
        assert_eq!(format_time(*MYSQL_TIMES.end()), "9999-12-30 22:00:00.999999");
    }

    #[test]
    fn times_and_doubles_are_written_in_full() {
        assert_eq!(format_time(-1), "1969-12-31 23:59:59.999999");
        let mut text = String::new();
        DatabaseDialect::MySql.write_literal(&AnswerCell::Double(0.1), &mut text);
        assert_eq!(text, "1e-1");
    }
}
