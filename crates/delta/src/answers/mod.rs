//! Writes answers to small Delta tables, for tools that read nothing else. `‹folder›/‹answer›` has the current rows,
//! and `‹folder›/‹answer›_changes` has all their changes.
//!
//! A write stores the difference between the table and the answer, and the tables are the only state. So an unknown
//! outcome, a crash and a restart are handled alike, and no change is written twice. A failed write is reported, and
//! the next write retries it. It does not block the run.

mod rows;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pinflow_dataflows::answer::AnswerRow;
use pinflow_dataflows::questions::{Question, QuestionId, QuestionSet};
use serde::Deserialize;

use crate::DeltaError;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::position::Epoch;
use pinflow_storage::{Location, LocationSpec};
use table::AnswerTable;

/// `[answers.delta]`: writes the answers to Delta tables.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerTablesConfig {
    /// The folder of the tables, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Whether to write a table of each answer's current rows. Each write replaces them.
    #[serde(default = "AnswerTablesConfig::default_current")]
    pub current: bool,
    /// Whether to write a table of each answer's changes. Each write appends to it.
    #[serde(default)]
    pub changes: bool,
    /// The least time between two writes, seconds. Changes that are undone in between are not written.
    #[serde(default = "AnswerTablesConfig::default_every_secs")]
    pub every_secs: f64,
    /// How long replaced rows can be read as older versions, seconds.
    #[serde(default = "AnswerTablesConfig::default_keep_secs")]
    pub keep_secs: u64,
}

impl AnswerTablesConfig {
    fn default_current() -> bool {
        true
    }
    fn default_every_secs() -> f64 {
        60.0
    }
    fn default_keep_secs() -> u64 {
        3_600
    }

    /// Parses the location of the tables. Relative paths are resolved against `base`.
    ///
    /// # Errors
    /// If the URL is invalid, with a hint.
    pub fn root(&self, base: &Path) -> Result<LocationSpec, String> {
        LocationSpec::parse(&self.url, base, "[answers.delta] url")
    }

    /// The forms of the tables to write.
    fn forms(&self) -> Vec<AnswerTableForm> {
        let forms = [(AnswerTableForm::Current, self.current), (AnswerTableForm::Changes, self.changes)];
        forms.into_iter().filter(|(_, wanted)| *wanted).map(|(form, _)| form).collect()
    }

    /// Checks that the answer to each of these questions can have its tables.
    ///
    /// # Errors
    /// [`DeltaError::AnswerColumn`] if Delta takes no column of this name, [`DeltaError::AnswerFolder`] if two tables would
    /// share a folder.
    pub fn check_questions(&self, questions: &QuestionSet) -> Result<(), DeltaError> {
        check_tables(questions, &self.forms())
    }

    /// Checks that tables that exist for the answer to a question have its columns, and belong to the pipeline.
    ///
    /// # Errors
    /// [`DeltaError::Schema`] if they have other columns, as after a question of this name with other columns.
    pub async fn check_existing_tables(
        &self,
        question: &Question,
        root: &Location,
        pipeline: &str,
    ) -> Result<(), DeltaError> {
        let root = root.prepare_for_writing().await?;
        for form in self.forms() {
            let keep = Duration::from_secs(self.keep_secs);
            let asked = (QuestionId::new(0), Arc::new(question.clone()), form);
            AnswerTable::new(&root, asked, pipeline, keep)?.check_existing().await?;
        }
        Ok(())
    }

    /// The problems of the configuration, each with a hint.
    pub fn problems(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems: Vec<_> = self.root(base).err().map(|what| KeyProblem::new("url", what)).into_iter().collect();
        if !(self.current || self.changes) {
            problems.push(KeyProblem::table("nothing is written: set current or changes to true, or remove the table"));
        }
        if !(0.1..=86_400.0).contains(&self.every_secs) {
            problems.push(KeyProblem::range("every_secs", "0.1 to 86400"));
        }
        problems
    }
}

/// Which rows a table of an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerTableForm {
    /// The current rows of the answer.
    Current,
    /// All rows that were added or removed, with `_epoch`, `_as_of` and `_diff`.
    Changes,
}

impl AnswerTableForm {
    /// The name, and the folder, of an answer's table.
    pub(crate) fn name(self, question: &Question) -> String {
        match self {
            AnswerTableForm::Current => question.name.to_string(),
            AnswerTableForm::Changes => format!("{}_changes", question.name),
        }
    }
}

/// The tables of all answers.
pub struct AnswerTables {
    root: Location,
    pipeline: String,
    keep: Duration,
    forms: Vec<AnswerTableForm>,
    tables: Vec<AnswerTable>,
}

impl AnswerTables {
    /// Opens or creates the tables of `pipeline` for the answers to these questions.
    ///
    /// # Errors
    /// If a table cannot be read or created, or belongs to another pipeline. Before anything is created: as
    /// [`AnswerTablesConfig::check_questions`].
    pub async fn open(
        config: &AnswerTablesConfig,
        questions: &QuestionSet,
        root: &Location,
        pipeline: &str,
    ) -> Result<AnswerTables, DeltaError> {
        config.check_questions(questions)?;
        let (root, keep) = (root.prepare_for_writing().await?, Duration::from_secs(config.keep_secs));
        let (pipeline, forms) = (pipeline.to_owned(), config.forms());
        let mut opened = AnswerTables { root, pipeline, keep, forms, tables: Vec::new() };
        opened.adopt_questions(questions)?;
        for table in &mut opened.tables {
            table.open().await?;
        }
        Ok(opened)
    }

    /// Adds tables for new questions, which are opened when they are first written. Those of questions that are gone are
    /// left as they are.
    fn adopt_questions(&mut self, questions: &QuestionSet) -> Result<(), DeltaError> {
        self.tables.retain(|table| questions.get(table.answer).is_some());
        for (answer, question) in questions.iter() {
            if self.tables.iter().any(|table| table.answer == answer) {
                continue;
            }
            check_columns(question, &self.forms)?;
            for form in &self.forms {
                let asked = (answer, Arc::clone(question), *form);
                self.tables.push(AnswerTable::new(&self.root, asked, &self.pipeline, self.keep)?);
            }
        }
        Ok(())
    }

    /// Writes the difference between the tables and the answers to these questions. `rows` returns the rows of an answer,
    /// each with how often it is there, without hidden cells.
    ///
    /// Returns the errors of tables that could not be written. The next call retries these.
    pub async fn update_tables(
        &mut self,
        questions: &QuestionSet,
        epoch: Epoch,
        as_of: Timestamp,
        rows: impl Fn(QuestionId) -> BTreeMap<AnswerRow, i64>,
    ) -> Vec<DeltaError> {
        let mut failed: Vec<_> = self.adopt_questions(questions).err().into_iter().collect();
        for table in &mut self.tables {
            if let Err(error) = table.update_rows(rows(table.answer), epoch, as_of).await {
                failed.push(error);
            }
        }
        failed
    }
}

/// Characters that a column of a Delta table cannot have in its name, as long as names are not mapped.
const REFUSED_CHARACTERS: [char; 9] = [' ', ',', ';', '{', '}', '(', ')', '\n', '='];

/// Checks that each answer can have its tables.
fn check_tables(questions: &QuestionSet, forms: &[AnswerTableForm]) -> Result<(), DeltaError> {
    let mut folders = BTreeSet::new();
    for (_, question) in questions.iter() {
        check_columns(question, forms)?;
        for form in forms {
            let folder = form.name(question);
            if !folders.insert(folder.to_ascii_lowercase()) {
                return Err(DeltaError::AnswerFolder { answer: question.name.to_string(), folder });
            }
        }
    }
    Ok(())
}

fn check_columns(question: &Question, forms: &[AnswerTableForm]) -> Result<(), DeltaError> {
    let has_changes = forms.contains(&AnswerTableForm::Changes);
    let mut names: BTreeSet<String> = BTreeSet::new();
    for column in question.columns() {
        let refused = |c: char| REFUSED_CHARACTERS.contains(&c) || c.is_control();
        let what = if column.name.is_empty() {
            "its name is empty"
        } else if column.name.contains(refused) {
            "its name has a space, a control character or one of , ; { } ( ) ="
        } else if has_changes && rows::CHANGE_COLUMNS.iter().any(|name| column.name.eq_ignore_ascii_case(name)) {
            "the table of changes has a column of its own with this name"
        } else if !names.insert(column.name.to_lowercase()) {
            "another column has this name in another case"
        } else {
            continue;
        };
        return Err(DeltaError::AnswerColumn { answer: question.name.to_string(), column: column.name.clone(), what });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{
        AnswerCell, AnswerSchema, bool_column, double_column, long_column, text_column, time_column,
    };

    use pinflow_dataflows::graph::GraphOptions;

    use super::*;

    const BOTH_FORMS: [AnswerTableForm; 2] = [AnswerTableForm::Current, AnswerTableForm::Changes];

    fn question(name: &str, columns: &[&str]) -> Question {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, other) = built_in.iter().next().unwrap();
        let columns = columns.iter().map(|name| text_column(name)).collect();
        let schema = Arc::new(AnswerSchema::new(columns, 0, Vec::new()).unwrap());
        Question { name: name.parse().unwrap(), schema, ..Question::clone(other) }
    }

    #[test]
    fn column_that_no_delta_table_can_have_is_refused_with_a_hint() {
        for column in ["", "count(*)", "a b", "a\tb", "a=b", "x;y", "_Diff", "_epoch"] {
            let refused = check_columns(&question("mine", &["a", column]), &BOTH_FORMS).unwrap_err().to_string();
            assert!(refused.contains("mine") && refused.contains("AS"), "{refused}");
        }
        assert!(check_columns(&question("mine", &["a", "A"]), &BOTH_FORMS).is_err());
        assert!(check_columns(&question("mine", &["a", "é-\"'", "_as_of"]), &[AnswerTableForm::Current]).is_ok());
    }

    #[test]
    fn two_tables_in_one_folder_are_refused() {
        let set = |name: &str| {
            QuestionSet::built_in(GraphOptions::default()).with_question(question(name, &["a"])).unwrap().0
        };
        assert!(check_tables(&set("mine"), &BOTH_FORMS).is_ok());
        let refused = check_tables(&set("Users_joined_by_year_changes"), &BOTH_FORMS).unwrap_err();
        assert!(matches!(refused, DeltaError::AnswerFolder { .. }), "{refused}");
        assert!(check_tables(&set("Users_joined_by_year_changes"), &BOTH_FORMS[..1]).is_ok());
    }

    /// Both tables of one answer, as a new run reads them.
    async fn stored(
        site: &Location,
        config: &AnswerTablesConfig,
        questions: &QuestionSet,
        id: QuestionId,
    ) -> [RowCounts; 2] {
        let tables = AnswerTables::open(config, questions, site, "posts").await.unwrap().tables;
        let held: Vec<_> = tables.iter().filter(|table| table.answer == id).map(AnswerTable::held_rows).collect();
        held.try_into().unwrap()
    }

    type RowCounts = BTreeMap<AnswerRow, i64>;

    #[test]
    fn tables_of_a_question_that_is_added_and_removed_hold_rows_of_every_type() {
        let folder = tempfile::tempdir().unwrap();
        let site = Location::from_folder(folder.path());
        let config = AnswerTablesConfig {
            url: "unused".to_owned(),
            current: true,
            changes: true,
            every_secs: 60.0,
            keep_secs: 3_600,
        };
        let columns = vec![
            long_column("n").or_null(),
            text_column("text").or_null(),
            double_column("x").or_null(),
            bool_column("is_video").or_null(),
            time_column("first").or_null(),
        ];
        let schema = Arc::new(AnswerSchema::new(columns, 0, Vec::new()).unwrap());
        let mine = Question { schema, ..question("mine", &["a"]) };
        let none = QuestionSet::default();
        let (set, id) = none.with_question(mine).unwrap();
        let whole = AnswerRow::new([
            AnswerCell::Long(i64::MIN),
            AnswerCell::text("é\0"),
            AnswerCell::Double(-0.5),
            AnswerCell::Bool(false),
            AnswerCell::time(-1),
        ]);
        let empty = AnswerRow::new([const { AnswerCell::Null }; 5]);
        let rows = [RowCounts::from([(whole.clone(), 2), (empty.clone(), 1)]), RowCounts::from([(empty.clone(), 3)])];
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tables = AnswerTables::open(&config, &none, &site, "posts").await.unwrap();
            for (epoch, rows) in (1..).zip(&rows) {
                let failed = tables.update_tables(&set, epoch, Timestamp::UNIX_EPOCH, |_| rows.clone()).await;
                assert!(failed.is_empty(), "{failed:?}");
                assert_eq!(stored(&site, &config, &set, id).await, [rows.clone(), rows.clone()]);
            }
            let failed = tables.update_tables(&none, 3, Timestamp::UNIX_EPOCH, |_| RowCounts::new()).await;
            assert!(failed.is_empty() && tables.tables.is_empty(), "{failed:?}");
            assert_eq!(stored(&site, &config, &set, id).await, [rows[1].clone(), rows[1].clone()]);
        });
    }
}
