//! Which names tables and columns can have, checked before a run starts and before a question is added.

use std::collections::BTreeSet;

use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_dataflows::questions::{Question, QuestionSet};

use crate::config::DatabaseTarget;
use crate::dialect::DatabaseDialect;
use crate::schema::{TableForm, own_columns};

/// The tables that belong to pinflow itself.
pub(crate) const OWN_TABLES: [&str; 3] = ["pinflow_cut", "pinflow_tables", "pinflow_writer"];
/// The columns that every table of PostgreSQL has already.
const POSTGRES_SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Why the answer to a question cannot have its tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTable {
    /// No table can have a column of this name.
    #[error(
        "[answers.{database}] answer `{answer}`: column {column:?} cannot be stored, because {what}; name it with AS, or \
         remove [answers.{database}]"
    )]
    Column {
        #[allow(missing_docs)]
        database: &'static str,
        #[allow(missing_docs)]
        answer: String,
        #[allow(missing_docs)]
        column: String,
        /// Why not.
        what: String,
    },
    /// No table can have this name.
    #[error(
        "[answers.{database}] answer `{answer}`: its table cannot be named `{table}`, because {what}; rename the question"
    )]
    Table {
        #[allow(missing_docs)]
        database: &'static str,
        #[allow(missing_docs)]
        answer: String,
        #[allow(missing_docs)]
        table: String,
        /// Why not.
        what: String,
    },
}

impl UserError for InvalidTable {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

/// Checks that the answer to each of these questions can have its tables.
///
/// # Errors
/// [`InvalidTable`] for the first one that cannot.
pub fn check_questions(target: &DatabaseTarget, changes: bool, questions: &QuestionSet) -> Result<(), InvalidTable> {
    let mut tables: BTreeSet<String> = OWN_TABLES.iter().map(|name| (*name).to_owned()).collect();
    for (_, question) in questions.iter() {
        for form in TableForm::wanted(changes) {
            check_table(target, question, *form, &mut tables)?;
        }
    }
    Ok(())
}

/// Checks one table. `taken` has the names of the others in lower case: some servers do not distinguish case.
fn check_table(
    target: &DatabaseTarget,
    question: &Question,
    form: TableForm,
    taken: &mut BTreeSet<String>,
) -> Result<(), InvalidTable> {
    let (dialect, database, answer) = (target.dialect(), target.name(), question.name.to_string());
    let table = form.table_name(&question.name);
    let longest = name_length_max(dialect);
    let what = if table.len() > longest {
        format!("it has {} bytes, and a name has at most {longest}", table.len())
    } else if !taken.insert(table.to_ascii_lowercase()) {
        "another table has this name already".to_owned()
    } else {
        return check_columns(target, question, form);
    };
    Err(InvalidTable::Table { database, answer, table, what })
}

fn check_columns(target: &DatabaseTarget, question: &Question, form: TableForm) -> Result<(), InvalidTable> {
    let (dialect, database) = (target.dialect(), target.name());
    let mut taken: BTreeSet<String> = own_columns(form).iter().map(|(name, _)| (*name).to_owned()).collect();
    for column in question.columns() {
        let what = match column_problem(dialect, &column.name) {
            Some(what) => what,
            None if !taken.insert(column_key(dialect, &column.name)) => {
                "another column of the table has this name".to_owned()
            }
            None => continue,
        };
        let (answer, column) = (question.name.to_string(), column.name.clone());
        return Err(InvalidTable::Column { database, answer, column, what });
    }
    Ok(())
}

/// The name in the form in which no other column may have it.
fn column_key(dialect: DatabaseDialect, name: &str) -> String {
    match dialect {
        DatabaseDialect::Postgres => name.to_owned(),
        DatabaseDialect::MySql => name.to_lowercase(),
    }
}

fn column_problem(dialect: DatabaseDialect, name: &str) -> Option<String> {
    let longest = name_length_max(dialect);
    let length = match dialect {
        DatabaseDialect::Postgres => name.len(),
        DatabaseDialect::MySql => name.chars().count(),
    };
    let is_system = dialect == DatabaseDialect::Postgres && POSTGRES_SYSTEM_COLUMNS.contains(&name);
    let is_outside = |c: char| c == '\0' || (dialect == DatabaseDialect::MySql && c > '\u{ffff}');
    Some(if name.is_empty() {
        "its name is empty".to_owned()
    } else if length > longest {
        let unit = if dialect == DatabaseDialect::Postgres { "bytes" } else { "characters" };
        format!("its name has {length} {unit}, and a name has at most {longest}")
    } else if is_system {
        "PostgreSQL has a system column of this name".to_owned()
    } else if name.contains(is_outside) {
        "its name has a character that no name can have".to_owned()
    } else if dialect == DatabaseDialect::MySql && name.ends_with(' ') {
        "its name ends with a space".to_owned()
    } else {
        return None;
    })
}

/// The most bytes of a name in PostgreSQL, or characters of one in MySQL. Names of answers are ASCII.
fn name_length_max(dialect: DatabaseDialect) -> usize {
    match dialect {
        DatabaseDialect::Postgres => 63,
        DatabaseDialect::MySql => 64,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use pinflow_dataflows::answer::{AnswerSchema, text_column};
    use pinflow_dataflows::graph::GraphOptions;

    use super::*;

    fn check(target: &DatabaseTarget, name: &str, columns: &[&str], changes: bool) -> Result<(), InvalidTable> {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, other) = built_in.iter().next().unwrap();
        let columns = columns.iter().map(|name| text_column(name)).collect();
        let schema = Arc::new(AnswerSchema::new(columns, 0, Vec::new()).unwrap());
        let question = Question { name: name.parse().unwrap(), schema, ..Question::clone(other) };
        check_questions(target, changes, &built_in.with_question(question).unwrap().0)
    }

    #[test]
    fn names_that_a_database_does_not_take_are_refused_with_a_hint() {
        let (postgres, mysql) = (DatabaseTarget::postgres_for_tests(), DatabaseTarget::mysql_for_tests());
        for target in [&postgres, &mysql] {
            for column in ["", "_row", "a\0", &"é".repeat(65)] {
                let refused = check(target, "mine", &["x", column], false).unwrap_err().to_string();
                assert!(refused.contains("`mine`") && refused.contains("AS"), "{refused}");
            }
            for column in ["_epoch", "_as_of", "_diff", "_change"] {
                assert!(
                    check(target, "mine", &[column], true).is_err() && check(target, "mine", &[column], false).is_ok()
                );
            }
            let long = "x".repeat(60);
            assert!(check(target, &long, &["x"], false).is_ok() && check(target, &long, &["x"], true).is_err());
            for table in ["pinflow_cut", "Pinflow_Writer"] {
                assert!(check(target, table, &["x"], false).is_err(), "{table}");
            }
            assert!(check(target, "Users_joined_by_year_changes", &["x"], true).is_err());
            assert!(check(target, "mine", &["count(*)", "a b", "select", "a`\"'b"], true).is_ok());
        }
        assert!(check(&postgres, "mine", &["ctid"], false).is_err() && check(&mysql, "mine", &["ctid"], false).is_ok());
        assert!(
            check(&postgres, "mine", &["a", "A"], false).is_ok() && check(&mysql, "mine", &["a", "A"], false).is_err()
        );
        assert!(check(&mysql, "mine", &["a "], false).is_err() && check(&mysql, "mine", &["😀"], false).is_err());
        assert!(check(&postgres, "mine", &[&"é".repeat(32)], false).is_err(), "64 bytes");
    }
}
