//! Writes answers to small Delta tables, for tools that read nothing else. `‹folder›/‹answer›` has the current rows,
//! and `‹folder›/‹answer›_changes` has all their changes.
//!
//! A write stores the difference between the table and the answer, and the tables are the only state. So an unknown
//! outcome, a crash and a restart are handled alike, and no change is written twice. A failed write is reported, and
//! the next write retries it. It does not block the run.

mod rows;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use pinflow_dataflows::answer::AnswerRow;
use pinflow_dataflows::questions::{self, Question};
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
            AnswerTableForm::Current => question.name.to_owned(),
            AnswerTableForm::Changes => format!("{}_changes", question.name),
        }
    }
}

/// The open tables of all answers.
pub struct AnswerTables(Vec<AnswerTable>);

impl AnswerTables {
    /// Opens or creates the tables of `pipeline`.
    ///
    /// # Errors
    /// If a table cannot be read or created, or belongs to another pipeline.
    pub async fn open(
        config: &AnswerTablesConfig,
        root: &Location,
        pipeline: &str,
    ) -> Result<AnswerTables, DeltaError> {
        let root = root.prepare_for_writing().await?;
        let forms = [(AnswerTableForm::Current, config.current), (AnswerTableForm::Changes, config.changes)];
        let mut tables = Vec::new();
        for (answer, question) in questions::ALL.iter().enumerate() {
            for (form, _) in forms.iter().filter(|(_, wanted)| *wanted) {
                let keep = std::time::Duration::from_secs(config.keep_secs);
                let table = AnswerTable::new(&root, (answer, question, *form), pipeline, keep);
                tables.push(table?);
            }
        }
        for table in &mut tables {
            table.open().await?;
        }
        Ok(AnswerTables(tables))
    }

    /// Writes the difference between the tables and the answers. `rows` returns the rows of an answer by its index.
    ///
    /// Returns the errors of tables that could not be written. The next call retries these.
    pub async fn update_tables(
        &mut self,
        epoch: Epoch,
        as_of: Timestamp,
        rows: impl Fn(usize) -> BTreeSet<AnswerRow>,
    ) -> Vec<DeltaError> {
        let mut failed = Vec::new();
        for table in &mut self.0 {
            let rows = rows(table.answer);
            if let Err(error) = table.update_rows(&rows, epoch, as_of).await {
                failed.push(error);
            }
        }
        failed
    }
}
