//! Writes one table of an answer.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deltalake::arrow::error::ArrowError;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add};
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path as ObjectPath;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, checkpoints};
use jiff::Timestamp;
use pinflow_dataflows::questions::{Question, QuestionId};

use super::AnswerTableForm;
use super::rows::{self, EpochTime, RowDiffs};
use crate::{
    DeltaError, PIPELINE_PROPERTY, TableLog, active_files, check_format, create_table_folder, library_error,
    table_builder, table_properties,
};
use pinflow_core::position::Epoch;
use pinflow_storage::Location;

/// The number of commits between two checkpoints of the log.
const CHECKPOINT_COMMITS: u64 = 20;

/// A table of an answer.
pub(super) struct AnswerTable {
    pub(super) answer: QuestionId,
    question: Arc<Question>,
    form: AnswerTableForm,
    pipeline: String,
    log: TableLog,
    /// How long replaced files are kept.
    keep: Duration,
    /// `None` after a failed write: then the table must be read again.
    open: Option<OpenAnswerTable>,
    /// Unreferenced files, with the time since when.
    unreferenced: VecDeque<(Instant, String)>,
}

/// The loaded table with its rows.
struct OpenAnswerTable {
    handle: DeltaTable,
    held: RowDiffs,
}

impl AnswerTable {
    pub(super) fn new(
        root: &Location,
        (answer, question, form): (QuestionId, Arc<Question>, AnswerTableForm),
        pipeline: &str,
        keep: Duration,
    ) -> Result<AnswerTable, DeltaError> {
        let log = TableLog::new(&root.join(&form.name(&question)))?;
        let pipeline = pipeline.to_owned();
        Ok(AnswerTable { answer, question, form, pipeline, log, keep, open: None, unreferenced: VecDeque::new() })
    }

    /// The rows of the table, each with how often it is there.
    #[cfg(test)]
    pub(super) fn held_rows(&self) -> RowDiffs {
        self.open.as_ref().map(|open| open.held.clone()).unwrap_or_default()
    }

    /// Creates the table, or reads its rows.
    pub(super) async fn open(&mut self) -> Result<(), DeltaError> {
        let handle = match self.log.newest_version().await? {
            None => self.create_table().await?,
            Some(_) => self.load_table().await?,
        };
        let files = active_files(&handle, &self.log)?;
        let (schema, form) = (Arc::clone(&self.question.schema), self.form);
        let files: Vec<_> = files.into_iter().map(|file| file.at).collect();
        let active: BTreeSet<String> =
            files.iter().filter_map(|file| Some(file.path.file_name()?.to_str()?.to_owned())).collect();
        let held = tokio::task::spawn_blocking(move || {
            let mut held = RowDiffs::new();
            for file in files {
                let read = rows::read_rows(schema.columns(), form, file.open()?, &mut held);
                read.map_err(|cause| arrow_error("read", &file.path, cause))?;
            }
            Ok::<_, DeltaError>(held)
        });
        let held = held.await.map_err(|_| DeltaError::Died { what: "reading an answer's table" })??;
        self.find_unreferenced_files(&active).await?;
        self.open = Some(OpenAnswerTable { handle, held });
        Ok(())
    }

    /// Checks that the table, if it exists, has the columns of the answer.
    pub(super) async fn check_existing(&self) -> Result<(), DeltaError> {
        match self.log.newest_version().await? {
            None => Ok(()),
            Some(_) => self.load_table().await.map(drop),
        }
    }

    async fn load_table(&self) -> Result<DeltaTable, DeltaError> {
        let mut handle = table_builder(&self.log)?.build().map_err(library_error("open", &self.log))?;
        handle.load().await.map_err(library_error("open", &self.log))?;
        let snapshot = handle.snapshot().map_err(library_error("open", &self.log))?;
        let path = || self.log.folder.clone();
        check_format(&self.log, snapshot.metadata().configuration())?;
        match snapshot.metadata().configuration().get(PIPELINE_PROPERTY) {
            Some(theirs) if *theirs == self.pipeline => {}
            Some(theirs) => {
                return Err(DeltaError::Pipeline { path: path(), theirs: theirs.clone(), ours: self.pipeline.clone() });
            }
            None => {
                return Err(DeltaError::Foreign {
                    path: path(),
                    what: format!("a Delta table without {PIPELINE_PROPERTY}"),
                });
            }
        }
        let schema =
            snapshot.metadata().parse_schema().map_err(|error| library_error("read", &self.log)(error.into()))?;
        let wanted = rows::delta_fields(self.question.columns(), self.form);
        let same = schema
            .fields()
            .zip(&wanted)
            .all(|(one, other)| one.name() == other.name() && one.data_type() == other.data_type());
        if !same || schema.fields().count() != wanted.len() {
            return Err(DeltaError::Schema {
                path: path(),
                what: "its columns are not those of the answer; move its folder away, or give the question another \
                       name"
                    .to_owned(),
            });
        }
        Ok(handle)
    }

    async fn create_table(&self) -> Result<DeltaTable, DeltaError> {
        create_table_folder(&self.log)?;
        // Keep the log as long as the versions: a table that is replaced every minute has many commits.
        let keep = format!("interval {} seconds", self.keep.as_secs());
        let retention = [
            ("delta.logRetentionDuration".to_owned(), Some(keep.clone())),
            ("delta.deletedFileRetentionDuration".to_owned(), Some(keep)),
        ];
        CreateBuilder::new()
            .with_log_store(table_builder(&self.log)?.build_storage().map_err(library_error("create", &self.log))?)
            .with_table_name(self.form.name(&self.question))
            .with_columns(rows::delta_fields(self.question.columns(), self.form))
            .with_raise_if_key_not_exists(false)
            .with_configuration(table_properties(&self.pipeline).into_iter().chain(retention))
            .await
            .map_err(library_error("create", &self.log))
    }

    /// Writes the difference between the table and these rows.
    pub(super) async fn update_rows(
        &mut self,
        wanted: RowDiffs,
        epoch: Epoch,
        as_of: Timestamp,
    ) -> Result<(), DeltaError> {
        if self.open.is_none() {
            self.open().await?;
        }
        let Some(OpenAnswerTable { handle, held }) = self.open.take() else { return Ok(()) };
        if held == wanted {
            self.open = Some(OpenAnswerTable { handle, held });
            return self.delete_expired_files().await;
        }
        let moment = EpochTime { epoch, as_of };
        let file = match self.form {
            AnswerTableForm::Current => wanted.clone(),
            AnswerTableForm::Changes => diff_rows(&held, &wanted),
        };
        let handle = self.write_rows(handle, file, moment).await?;
        self.open = Some(OpenAnswerTable { handle, held: wanted });
        self.delete_expired_files().await
    }

    /// Writes a file and commits it. It replaces all others for current rows, and is appended for changes.
    async fn write_rows(
        &mut self,
        mut handle: DeltaTable,
        rows: RowDiffs,
        moment: EpochTime,
    ) -> Result<DeltaTable, DeltaError> {
        let mut actions = Vec::new();
        let mut replaced = Vec::new();
        let snapshot = handle.snapshot().map_err(library_error("read", &self.log))?;
        if self.form == AnswerTableForm::Current {
            for file in snapshot.log_data().iter() {
                replaced.push(file.path().into_owned());
                actions.push(Action::Remove(file.remove_action(true)));
            }
        }
        if !rows.is_empty() {
            actions.push(Action::Add(self.put_file(rows, moment).await?));
        }
        let mode = if self.form == AnswerTableForm::Current { SaveMode::Overwrite } else { SaveMode::Append };
        let operation = DeltaOperation::Write { mode, partition_by: None, predicate: None };
        let says = serde_json::json!({ "epoch": moment.epoch, "as_of": moment.as_of.to_string() });
        // No retries: two writers would undo each other forever. The loser reads the table again. Checkpoints are
        // created below.
        let properties = CommitProperties::default()
            .with_metadata([("pinflow".to_owned(), says)])
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot), handle.log_store(), operation)
            .await
            .map_err(library_error("commit to", &self.log))?;
        self.unreferenced.extend(replaced.into_iter().map(|name| (Instant::now(), name)));
        handle.update_incremental(None).await.map_err(library_error("read", &self.log))?;
        if let Some(version) = handle.version()
            && version % CHECKPOINT_COMMITS == 0
        {
            checkpoints::create_checkpoint(&handle, None)
                .await
                .map_err(library_error("create a checkpoint of", &self.log))?;
            checkpoints::cleanup_metadata(&handle, None).await.map_err(library_error("clean the log of", &self.log))?;
        }
        Ok(handle)
    }

    async fn put_file(&self, rows: RowDiffs, moment: EpochTime) -> Result<Add, DeltaError> {
        let (schema, form) = (Arc::clone(&self.question.schema), self.form);
        let number = rows::stored_rows(form, &rows);
        let encoded = tokio::task::spawn_blocking(move || rows::encode_rows(schema.columns(), form, &rows, moment));
        let encoded = encoded.await.map_err(|_| DeltaError::Died { what: "encoding an answer's table" })?;
        let bytes = encoded.map_err(|cause| arrow_error("encode for", &self.log.folder, cause))?;
        let name = format!("part-00000-{}-c000.snappy.parquet", uuid::Uuid::new_v4());
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let location = self.log.file_location(&name);
        let put = self.log.store().put(&location, bytes.into()).await;
        put.map_err(|cause| DeltaError::Store { what: "write", path: self.log.display_path(&location), cause })?;
        Ok(Add {
            path: name,
            partition_values: HashMap::new(),
            size,
            modification_time: Timestamp::now().as_millisecond(),
            data_change: true,
            stats: Some(serde_json::json!({ "numRecords": number }).to_string()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    }

    /// Finds data files that are not part of the table. Their retention starts now.
    async fn find_unreferenced_files(&mut self, active: &BTreeSet<String>) -> Result<(), DeltaError> {
        let known: BTreeSet<String> = self.unreferenced.iter().map(|(_, name)| name.clone()).collect();
        for (name, _) in self.log.place().list_entries().await?.files {
            let ours = name.starts_with("part-") && name.ends_with(".parquet");
            if ours && !active.contains(&name) && !known.contains(&name) {
                self.unreferenced.push_back((Instant::now(), name));
            }
        }
        Ok(())
    }

    /// Deletes unreferenced files whose retention is over. Active files are spared: a commit with an unknown outcome
    /// may have succeeded later.
    async fn delete_expired_files(&mut self) -> Result<(), DeltaError> {
        if self.unreferenced.front().is_none_or(|(since, _)| since.elapsed() < self.keep) {
            return Ok(());
        }
        if let Some(OpenAnswerTable { handle, .. }) = &self.open {
            let snapshot = handle.snapshot().map_err(library_error("read", &self.log))?;
            let active: BTreeSet<String> = snapshot.log_data().iter().map(|file| file.path().into_owned()).collect();
            self.unreferenced.retain(|(_, name)| !active.contains(name));
        }
        while let Some((_, name)) = self.unreferenced.front().filter(|(since, _)| since.elapsed() >= self.keep) {
            let location: ObjectPath = self.log.file_location(name);
            match self.log.store().delete(&location).await {
                Ok(()) | Err(deltalake::ObjectStoreError::NotFound { .. }) => {}
                Err(cause) => {
                    return Err(DeltaError::Store { what: "delete", path: self.log.display_path(&location), cause });
                }
            }
            self.unreferenced.pop_front();
        }
        Ok(())
    }
}

fn arrow_error(what: &'static str, path: &Path, cause: ArrowError) -> DeltaError {
    DeltaError::Library { what, path: path.to_owned(), cause: Box::new(cause.into()) }
}

/// The changes that turn `held` into `wanted`.
fn diff_rows(held: &RowDiffs, wanted: &RowDiffs) -> RowDiffs {
    let mut changes: RowDiffs = wanted.clone();
    for (row, count) in held {
        *changes.entry(row.clone()).or_default() -= count;
    }
    changes.retain(|_, diff| *diff != 0);
    changes
}
