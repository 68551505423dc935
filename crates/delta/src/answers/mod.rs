//! Answers as small Delta tables, for tools that read nothing else: `‹folder›/‹answer›` holds the rows as they are, and
//! `‹folder›/‹answer›_changes` every change of them.
//!
//! Nothing here is remembered between two writes but what the tables themselves hold: what is written is the difference
//! between that and the answer. So a write whose outcome is unknown, a crash and a restart all mend in the same way, and
//! no change stands there twice. A failure is told, and the next write tries again; it holds nothing up.

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

/// `[answers.delta]`: the answers as tables.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerTablesConfig {
    /// Where the tables lie: a folder, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Whether each answer's current rows are kept, replaced at each write.
    #[serde(default = "AnswerTablesConfig::default_current")]
    pub current: bool,
    /// Whether each answer's changes are kept, added at each write.
    #[serde(default)]
    pub changes: bool,
    /// Least time between two writes, seconds. What changed back in between is no change.
    #[serde(default = "AnswerTablesConfig::default_every_secs")]
    pub every_secs: f64,
    /// How long rows that were replaced can still be read as older versions, seconds.
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

    /// Where they are to lie. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// What it cannot be, and the mend.
    pub fn root(&self, base: &Path) -> Result<LocationSpec, String> {
        LocationSpec::parse(&self.url, base, "[answers.delta] url")
    }

    /// What is wrong, each with its mend.
    pub fn faults(&self, base: &Path) -> Vec<KeyProblem> {
        let mut faults: Vec<_> = self.root(base).err().map(|what| KeyProblem::new("url", what)).into_iter().collect();
        if !(self.current || self.changes) {
            faults.push(KeyProblem::table("nothing is written: set current or changes to true, or remove the table"));
        }
        if !(0.1..=86_400.0).contains(&self.every_secs) {
            faults.push(KeyProblem::range("every_secs", "0.1 to 86400"));
        }
        faults
    }
}

/// Which rows a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerTableForm {
    /// Those that the answer has.
    Current,
    /// Each that came or went, with `_epoch`, `_as_of` and `_diff`.
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

/// The answers' tables.
pub struct AnswerTables(Vec<AnswerTable>);

impl AnswerTables {
    /// Opens the tables, or creates them. `pipeline` is who they belong to.
    ///
    /// # Errors
    /// Whatever is wrong with one of them.
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

    /// Brings the tables to what the answers are. `rows` are those of an answer, by its index.
    ///
    /// Gives back what failed; what did not is written, and what did is taken up again the next time.
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
