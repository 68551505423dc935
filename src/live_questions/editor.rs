//! Changes the questions of a run: compiles them, stores them, and gives them to the engine.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::{Question, QuestionName, QuestionOrigin, QuestionSet};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::store::QuestionStore;
use crate::config::{QuestionText, compile_as};
use crate::question::{answer_json, answer_question, count_rows_to_read, explain_question, inspect_whole_tables};
use pinflow_core::error_text::error_text;
use pinflow_databases::{DatabaseTarget, check_questions};
use pinflow_delta::answers::AnswerTablesConfig;
use pinflow_engine::{QuestionControl, QuestionRefusal};
use pinflow_serving::{
    AcceptedQuestion, DraftProblem, InvalidQuestion, QuestionDraft, QuestionEditError, QuestionEditor,
};
use pinflow_sql::diagnostics::{QuestionError, QuestionProblem};
use pinflow_storage::{Location, StorageError};

/// The most rows of tables that a running process reads in order to try a question.
const MAX_TRIED_ROWS: u64 = 2_000_000;

/// What an editor needs to know of a run.
pub(crate) struct EditorSettings {
    /// The options of the questions.
    pub(crate) options: GraphOptions,
    /// The questions of the start.
    pub(crate) questions: QuestionSet,
    /// Where the tables are.
    pub(crate) tables: Option<Location>,
    /// Where the tables of answers are, their settings, and the pipeline that they belong to.
    pub(crate) answer_tables: Option<(AnswerTablesConfig, Location, String)>,
    /// The databases that answers are written to.
    pub(crate) databases: Vec<DatabaseTarget>,
    /// The stored questions that the run does not answer.
    pub(crate) invalid: Vec<InvalidQuestion>,
    /// The way to the engine.
    pub(crate) control: QuestionControl,
}

/// Changes the questions of a run, one at a time.
pub(crate) struct LiveQuestionEditor {
    options: GraphOptions,
    /// The questions of the program and of the configuration, which cannot be changed.
    fixed: QuestionSet,
    tables: Option<Location>,
    /// `None` without tables: then added questions live as long as the run.
    store: Option<QuestionStore>,
    answer_tables: Option<(AnswerTablesConfig, Location, String)>,
    databases: Vec<DatabaseTarget>,
    invalid: Mutex<Vec<InvalidQuestion>>,
    control: QuestionControl,
    /// Held during a change, so that the store and the engine change in the same order.
    turn: AsyncMutex<()>,
    /// One question is tried at a time.
    tries: Arc<Semaphore>,
}

impl LiveQuestionEditor {
    /// The editor of a run.
    pub(crate) fn new(settings: EditorSettings) -> LiveQuestionEditor {
        let EditorSettings { options, questions, tables, answer_tables, databases, invalid, control } = settings;
        let added = questions.iter().filter(|(_, question)| question.origin == QuestionOrigin::Added);
        let fixed = added.fold(questions.clone(), |fixed, (id, _)| fixed.without_question(id));
        LiveQuestionEditor {
            options,
            fixed,
            store: tables.clone().map(QuestionStore::new),
            tables,
            answer_tables,
            databases,
            invalid: Mutex::new(invalid),
            control,
            turn: AsyncMutex::default(),
            tries: Arc::new(Semaphore::new(1)),
        }
    }

    fn compile(&self, draft: &QuestionDraft) -> Result<Question, QuestionEditError> {
        let QuestionDraft { name, sql } = draft;
        let text = QuestionText { name: name.clone(), label: name.to_string(), sql: sql.clone() };
        compile_as(&text, &self.options, QuestionOrigin::Added).map_err(|error| invalid_text(&error))
    }

    /// Refuses the names of questions that cannot be changed.
    fn check_is_not_fixed(&self, name: &QuestionName, changes: bool) -> Result<(), QuestionEditError> {
        let fixed = self.fixed.iter().find(|(_, other)| other.name.eq_ignore_ascii_case(name));
        let Some((_, other)) = fixed else { return Ok(()) };
        Err(match other.origin {
            _ if !changes => refusal(&QuestionRefusal::NameInUse(other.name.clone())),
            QuestionOrigin::BuiltIn => refusal(&QuestionRefusal::BuiltIn(other.name.clone())),
            _ => refusal(&QuestionRefusal::Configured(other.name.clone())),
        })
    }

    /// Refuses a question whose answer could not be written to its tables.
    async fn check_answer_tables(&self, question: &Question) -> Result<(), QuestionEditError> {
        self.check_database_tables(question)?;
        let Some((config, root, pipeline)) = &self.answer_tables else { return Ok(()) };
        let refused = |error| QuestionEditError::Refused(error_text(&error));
        // The tables of other added questions were checked with those of the start.
        let (set, _) = self
            .fixed
            .with_question(question.clone())
            .map_err(|error| QuestionEditError::NameInUse(error.to_string()))?;
        config.check_questions(&set).map_err(refused)?;
        config.check_existing_tables(question, root, pipeline).await.map_err(refused)
    }

    /// Refuses a question whose answer could not have its tables in a database.
    fn check_database_tables(&self, question: &Question) -> Result<(), QuestionEditError> {
        let set = self.fixed.with_question(question.clone());
        let (set, _) = set.map_err(|error| QuestionEditError::NameInUse(error.to_string()))?;
        for database in &self.databases {
            let checked = check_questions(database, database.has_changes(), &set);
            checked.map_err(|error| QuestionEditError::Refused(error.to_string()))?;
        }
        Ok(())
    }

    /// Stores a question of a new name. `false` if one of this name is stored already.
    async fn create_file(store: &QuestionStore, draft: &QuestionDraft) -> Result<bool, QuestionEditError> {
        let created = store.create(&draft.name, &draft.sql).await;
        if created.is_err() {
            // It may be stored nevertheless.
            undo(&draft.name, store.delete(&draft.name).await);
        }
        created.map_err(|error| not_stored(&error))
    }

    /// Adds a question to the engine, which may know one of this name or not.
    async fn accept(
        &self,
        question: Question,
        replaces: bool,
        is_stored: bool,
    ) -> Result<AcceptedQuestion, QuestionRefusal> {
        let id = match replaces {
            false => self.control.add(question).await?,
            true => match self.control.replace(question.clone()).await {
                // The engine does not know a stored question that it could not answer.
                Err(QuestionRefusal::UnknownName(_)) if is_stored => self.control.add(question).await?,
                replaced => replaced?,
            },
        };
        Ok(AcceptedQuestion { id, is_stored: self.store.is_some() })
    }

    /// Forgets that a stored question could not be answered: it is another one now, or none.
    fn forget_invalid(&self, name: &QuestionName) {
        self.invalid.lock().retain(|stored| stored.name != *name);
    }

    async fn answer_over_tables(
        &self,
        question: Question,
        tables: &Location,
        limit: Option<usize>,
    ) -> Result<Value, QuestionEditError> {
        let failed = |error| QuestionEditError::Storage(error_text(&error));
        let contents = inspect_whole_tables(tables).await.map_err(failed)?;
        let (bound, duplicates) = (question.bound, self.options.duplicates);
        let rows = count_rows_to_read(&bound, &contents);
        if rows > MAX_TRIED_ROWS {
            let text = format!(
                "the tables that it reads have {rows} rows, and a running pinflow tries a question over at most \
                 {MAX_TRIED_ROWS}; use `pinflow question try` in another process"
            );
            return Err(QuestionEditError::Refused(text));
        }
        let asked = Arc::clone(&bound);
        let answer = tokio::task::spawn_blocking(move || answer_question(&asked, &contents, duplicates, |_, _| {}));
        let answer = answer.await.map_err(|panic| QuestionEditError::Storage(panic.to_string()))?.map_err(failed)?;
        Ok(answer_json(&question.name, &bound, &answer, limit))
    }
}

#[async_trait]
impl QuestionEditor for LiveQuestionEditor {
    async fn add_question(&self, draft: QuestionDraft) -> Result<AcceptedQuestion, QuestionEditError> {
        let question = self.compile(&draft)?;
        self.check_is_not_fixed(&draft.name, false)?;
        self.check_answer_tables(&question).await?;
        let _turn = self.turn.lock().await;
        if let Some(store) = &self.store {
            // A bucket cannot tell the file of another question from its own, if they are equal.
            let is_in_use = store.read(&draft.name).await.map_err(|error| not_stored(&error))?.is_some();
            if is_in_use || !Self::create_file(store, &draft).await? {
                return Err(refusal(&QuestionRefusal::NameInUse(draft.name)));
            }
        }
        let accepted = self.accept(question, false, false).await;
        if accepted.is_err()
            && let Some(store) = &self.store
        {
            undo(&draft.name, store.delete(&draft.name).await);
        }
        accepted.map_err(|refused| refusal(&refused))
    }

    async fn replace_question(&self, draft: QuestionDraft) -> Result<AcceptedQuestion, QuestionEditError> {
        let question = self.compile(&draft)?;
        self.check_is_not_fixed(&draft.name, true)?;
        self.check_answer_tables(&question).await?;
        let _turn = self.turn.lock().await;
        let mut before = None;
        if let Some(store) = &self.store {
            before = store.read(&draft.name).await.map_err(|error| not_stored(&error))?;
            if let Err(error) = store.replace(&draft.name, &draft.sql).await {
                // It may be stored nevertheless.
                undo(&draft.name, restore(store, &draft.name, before.as_deref()).await);
                return Err(not_stored(&error));
            }
        }
        let accepted = self.accept(question, true, before.is_some()).await;
        match (&accepted, &self.store) {
            (Ok(_), _) => self.forget_invalid(&draft.name),
            (Err(_), None) => {}
            (Err(_), Some(store)) => {
                undo(&draft.name, restore(store, &draft.name, before.as_deref()).await);
            }
        }
        accepted.map_err(|refused| refusal(&refused))
    }

    async fn drop_question(&self, name: &QuestionName) -> Result<(), QuestionEditError> {
        self.check_is_not_fixed(name, true)?;
        let _turn = self.turn.lock().await;
        let mut before = None;
        if let Some(store) = &self.store {
            before = store.read(name).await.map_err(|error| not_stored(&error))?;
            store.delete(name).await.map_err(|error| not_stored(&error))?;
        }
        match self.control.drop(name.clone()).await {
            Ok(_) => {}
            // The engine does not know a stored question that it could not answer.
            Err(QuestionRefusal::UnknownName(_)) if before.is_some() => {}
            Err(refused) => {
                if let Some(store) = &self.store {
                    undo(name, restore(store, name, before.as_deref()).await);
                }
                return Err(refusal(&refused));
            }
        }
        self.forget_invalid(name);
        Ok(())
    }

    fn explain_question(&self, draft: &QuestionDraft) -> Result<Value, QuestionEditError> {
        let explanation = explain_question(&self.compile(draft)?);
        serde_json::to_value(explanation).map_err(|error| QuestionEditError::Refused(error.to_string()))
    }

    async fn try_question(&self, draft: QuestionDraft, limit: Option<usize>) -> Result<Value, QuestionEditError> {
        let question = self.compile(&draft)?;
        let Some(tables) = &self.tables else {
            let text = "a question is tried over the tables, and this run has none; add [tables] to the configuration";
            return Err(QuestionEditError::Refused(text.to_owned()));
        };
        let busy = |_| QuestionEditError::Busy("another question is being tried; try again when it is done".to_owned());
        let _turn = Arc::clone(&self.tries).try_acquire_owned().map_err(busy)?;
        self.answer_over_tables(question, tables, limit).await
    }

    fn can_try(&self) -> bool {
        self.tables.is_some()
    }

    fn invalid_questions(&self) -> Vec<InvalidQuestion> {
        self.invalid.lock().clone()
    }
}

/// Puts the file of a question back as it was before a change. `None`: there was none.
async fn restore(store: &QuestionStore, name: &QuestionName, before: Option<&[u8]>) -> Result<(), StorageError> {
    match before {
        Some(contents) => store.replace_bytes(name, contents).await,
        None => store.delete(name).await,
    }
}

/// Logs that a change of the stored question could not be undone.
fn undo(name: &QuestionName, undone: Result<(), StorageError>) {
    if let Err(error) = undone {
        tracing::error!(
            question = %name,
            reason = error_text(&error),
            "the stored question could not be put back as it was before a change that failed; the next start takes it up as it is stored"
        );
    }
}

fn not_stored(error: &StorageError) -> QuestionEditError {
    QuestionEditError::Storage(format!(
        "the question could not be stored, and nothing was changed: {}",
        error_text(error)
    ))
}

fn refusal(refused: &QuestionRefusal) -> QuestionEditError {
    let text = refused.to_string();
    match refused {
        QuestionRefusal::NameInUse(_) => QuestionEditError::NameInUse(text),
        QuestionRefusal::UnknownName(_) => QuestionEditError::Unknown(text),
        QuestionRefusal::BuiltIn(_) | QuestionRefusal::Configured(_) => QuestionEditError::NotEditable(text),
        QuestionRefusal::NeedsTablesToKeep(_) | QuestionRefusal::NeedsTablesForColumns { .. } => {
            QuestionEditError::Refused(text)
        }
        QuestionRefusal::TooManyWaiting(_) => QuestionEditError::Busy(text),
        QuestionRefusal::RunEnded => QuestionEditError::NotReady(text),
    }
}

fn invalid_text(error: &QuestionError) -> QuestionEditError {
    let problem = |QuestionProblem { span, message }: &QuestionProblem| DraftProblem {
        line: span.map(|span| span.line),
        column: span.map(|span| span.column),
        length: span.map(|span| span.width),
        message: message.clone(),
    };
    let problems = error.problems.iter().map(problem).collect();
    QuestionEditError::Invalid { message: error.to_string(), problems }
}
