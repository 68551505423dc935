//! Takes up the stored questions at a start.

use pinflow_databases::check_questions;
use pinflow_dataflows::questions::{Question, QuestionName, QuestionOrigin, QuestionSet};
use pinflow_serving::InvalidQuestion;
use pinflow_storage::{Location, StorageError};

use super::store::{QuestionStore, StoredQuestion};
use crate::config::{Config, QuestionText, compile_as};

/// Adds the stored questions to those of a configuration. Returns those that cannot be answered, which are logged.
///
/// # Errors
/// If the store cannot be read.
pub(crate) async fn load_stored_questions(
    config: &mut Config,
    tables: Location,
) -> Result<Vec<InvalidQuestion>, StorageError> {
    let (loaded, invalid) = read_stored_questions(config, tables).await?;
    if !loaded.is_empty() {
        let names: Vec<_> = loaded.iter().map(|question| question.name.to_string()).collect();
        tracing::info!(questions = names.join(", "), "added questions are taken up");
    }
    for InvalidQuestion { name, reason, .. } in &invalid {
        tracing::warn!(question = %name, reason, "a stored question is not answered; replace or drop it");
    }
    config.compiled_questions.extend(loaded);
    Ok(invalid)
}

/// Facts about the stored questions of a configuration, for `pinflow check`: those that a run answers, and those that it
/// does not.
///
/// # Errors
/// If the store cannot be read.
pub(crate) async fn check_stored_questions(
    config: &Config,
    tables: Location,
) -> Result<[Vec<String>; 2], StorageError> {
    let (loaded, invalid) = read_stored_questions(config, tables).await?;
    let names = loaded.iter().map(|question| format!("added question `{}`", question.name));
    let faults = invalid.iter().map(|stored| format!("added question `{}`: {}", stored.name, stored.reason));
    Ok([names.collect(), faults.collect()])
}

async fn read_stored_questions(
    config: &Config,
    tables: Location,
) -> Result<(Vec<Question>, Vec<InvalidQuestion>), StorageError> {
    let store = QuestionStore::new(tables);
    let (mut set, mut loaded, mut invalid) = (config.question_set(), Vec::new(), Vec::new());
    for stored in store.read_all().await? {
        let sql = stored.sql.clone().unwrap_or_default();
        match compile_stored(config, &store, &set, &stored) {
            Ok((larger, question)) => {
                set = larger;
                loaded.push(question);
            }
            Err(reason) => invalid.push(InvalidQuestion { name: stored.name, sql, reason }),
        }
    }
    Ok((loaded, invalid))
}

/// Compiles a stored question, and adds it to a set.
fn compile_stored(
    config: &Config,
    store: &QuestionStore,
    set: &QuestionSet,
    stored: &StoredQuestion,
) -> Result<(QuestionSet, Question), String> {
    let StoredQuestion { name, sql } = stored;
    check_name_is_free(store, set, name)?;
    let text = QuestionText { name: name.clone(), label: name.to_string(), sql: sql.clone()? };
    let question = compile_as(&text, &config.questions, QuestionOrigin::Added).map_err(|error| error.to_string())?;
    let (larger, _) = set.with_question(question.clone()).map_err(|error| error.to_string())?;
    if let Some(answers) = &config.answers.delta {
        answers.check_questions(&larger).map_err(|error| error.to_string())?;
    }
    for database in config.answers.databases() {
        check_questions(&database, database.has_changes(), &larger).map_err(|error| error.to_string())?;
    }
    Ok((larger, question))
}

/// Questions of the program and of the configuration win over stored ones of their names.
fn check_name_is_free(store: &QuestionStore, set: &QuestionSet, name: &QuestionName) -> Result<(), String> {
    let Some((_, other)) = set.iter().find(|(_, other)| other.name.eq_ignore_ascii_case(name)) else { return Ok(()) };
    let what = match other.origin {
        QuestionOrigin::BuiltIn => "a built-in question",
        QuestionOrigin::Configured => "a [[question]] of the configuration",
        QuestionOrigin::Added => "another added question",
    };
    Err(format!("{what} is named `{}`; remove {}, or rename it", other.name, store.display_path(name)))
}
