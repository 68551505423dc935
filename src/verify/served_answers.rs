//! What a run says about its durable answers: rows, questions, options, and where its tables are.

use std::collections::BTreeMap;

use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::QuestionName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::compare::VerifiedAnswer;
use super::compute::AnswerToCompute;
use super::error::VerificationError;
use crate::config::{QuestionText, compile_text};
use crate::query::{QueryClient, QueryError};
use pinflow_core::position::Epoch;
use pinflow_delta::{CommittedVersion, Table};

/// The durable answers of a run as of one epoch.
#[derive(Debug)]
pub(super) struct DurableAnswers {
    /// The last epoch inside.
    pub(super) epoch: Epoch,
    /// When it was closed.
    pub(super) as_of: String,
    /// The rows of each answer, in order, as JSON text.
    pub(super) answers: BTreeMap<String, Vec<String>>,
    /// The options of the questions.
    pub(super) options: GraphOptions,
    /// Longer texts of stored rows count as null.
    pub(super) text_bytes_max: usize,
    /// Where the run writes its tables.
    pub(super) tables_url: Option<String>,
    /// Versions of the tables that have at least the rows of the epoch.
    pub(super) committed: Vec<CommittedVersion>,
    /// The name of its pipeline.
    pub(super) pipeline: String,
    /// When the run started, in its own words.
    pub(super) started_at: String,
    version: String,
    questions: Vec<ListedQuestion>,
}

/// `/answers`
#[derive(Debug, Deserialize)]
struct ServedAnswers {
    epoch: Epoch,
    as_of: String,
    answers: Vec<ServedAnswer>,
}

#[derive(Debug, Deserialize)]
struct ServedAnswer {
    answer: String,
    rows: Vec<Box<RawValue>>,
}

/// `/status`
#[derive(Debug, Deserialize)]
struct ServedStatus {
    pipeline: String,
    started_at: String,
    version: String,
    options: GraphOptions,
    text_bytes_max: usize,
    tables_url: Option<String>,
    tables: Vec<ServedTable>,
}

#[derive(Debug, Deserialize)]
struct ServedTable {
    table: String,
    version: u64,
    epoch: Epoch,
}

/// `/questions`
#[derive(Debug, Deserialize)]
struct ListedQuestions {
    questions: Vec<ListedQuestion>,
}

#[derive(Debug, Deserialize)]
struct ListedQuestion {
    name: String,
    state: String,
    progress: Option<f64>,
    reason: Option<String>,
    since_epoch: Option<Epoch>,
    sql: String,
}

/// Reads the durable answers of a run.
///
/// # Errors
/// If the run cannot be reached, has no durable answers, or is rebuilding them.
pub(super) async fn read_durable_answers(client: &QueryClient) -> Result<DurableAnswers, VerificationError> {
    let read = [("read".to_owned(), "durable".to_owned())];
    let answers: ServedAnswers = read_reply(client, "/answers", &read).await.map_err(without_tables)?;
    // After the answers: the versions must have all rows of their epoch, and those of later epochs can be told apart.
    let status: ServedStatus = read_reply(client, "/status", &[]).await?;
    let listed: ListedQuestions = read_reply(client, "/questions", &[]).await?;
    let rows = |answer: ServedAnswer| (answer.answer, answer.rows.iter().map(|row| row.get().to_owned()).collect());
    let committed = status.tables.iter().filter_map(|served| {
        let table = Table::CLEANED.into_iter().find(|table| table.name() == served.table)?;
        Some(CommittedVersion { table, version: served.version, epoch: served.epoch })
    });
    Ok(DurableAnswers {
        epoch: answers.epoch,
        as_of: answers.as_of,
        answers: answers.answers.into_iter().map(rows).collect(),
        options: status.options,
        text_bytes_max: status.text_bytes_max,
        tables_url: status.tables_url,
        committed: committed.collect(),
        pipeline: status.pipeline,
        started_at: status.started_at,
        version: status.version,
        questions: listed.questions,
    })
}

async fn read_reply<T: DeserializeOwned>(
    client: &QueryClient,
    path: &'static str,
    params: &[(String, String)],
) -> Result<T, VerificationError> {
    let bytes = client.get_bytes(path, params).await.map_err(|error| VerificationError::Run(Box::new(error)))?;
    serde_json::from_slice(&bytes).map_err(|cause| VerificationError::Reply { path, cause })
}

/// A run without tables refuses to show durable answers.
fn without_tables(error: VerificationError) -> VerificationError {
    match error {
        VerificationError::Run(refused) if matches!(&*refused, QueryError::Rejected { name, .. } if name == "bad_request") => {
            VerificationError::NoTables
        }
        other => other,
    }
}

impl DurableAnswers {
    /// The questions of `wanted`, or all: those whose answers can be computed, and the others with the reason.
    pub(super) fn choose_questions(
        &self,
        wanted: &[String],
    ) -> Result<(Vec<AnswerToCompute>, Vec<VerifiedAnswer>), VerificationError> {
        let is_known =
            |name: &String| self.answers.contains_key(name) || self.questions.iter().any(|of| of.name == *name);
        if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
            return Err(VerificationError::UnknownAnswer(unknown.clone()));
        }
        let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
        for question in self.questions.iter().filter(|of| wanted.is_empty() || wanted.contains(&of.name)) {
            match self.reason_to_skip(question) {
                None => chosen.push(self.compile_question(question)?),
                Some(reason) => skipped.push(VerifiedAnswer::skipped(&question.name, reason)),
            }
        }
        let is_listed = |name: &&String| self.questions.iter().any(|of| of.name == **name && of.state == "live");
        let dropped = self.answers.keys().filter(|name| wanted.is_empty() || wanted.contains(*name));
        let dropped = dropped.filter(|name| !is_listed(name));
        skipped.extend(dropped.map(|name| VerifiedAnswer::skipped(name, "it was dropped meanwhile".to_owned())));
        Ok((chosen, skipped))
    }

    /// Why the durable answer of a question cannot be compared.
    fn reason_to_skip(&self, question: &ListedQuestion) -> Option<String> {
        let ListedQuestion { name, state, progress, reason, since_epoch, .. } = question;
        match state.as_str() {
            "live" if since_epoch.is_some_and(|since| since > self.epoch) => {
                Some("it is answered since a later epoch".to_owned())
            }
            "live" if !self.answers.contains_key(name) => Some("it has no durable answer yet".to_owned()),
            "live" => None,
            "filling" => Some(format!("it is filling: {:.0} %", progress.unwrap_or_default() * 100.0)),
            "waiting" => Some("it waits until another question is filled".to_owned()),
            other => Some(format!("it is {other}: {}", reason.as_deref().unwrap_or("no reason is given"))),
        }
    }

    fn compile_question(&self, question: &ListedQuestion) -> Result<AnswerToCompute, VerificationError> {
        let name = question.name.clone();
        let invalid = |_| VerificationError::UnknownAnswer(name.clone());
        let parsed = QuestionName::parse(&question.name).map_err(invalid)?;
        let text = QuestionText { name: parsed, label: question.name.clone(), sql: question.sql.clone() };
        let compiled = compile_text(&text, &self.options)
            .map_err(|cause| VerificationError::Question { version: self.version.clone(), cause: Box::new(cause) })?;
        Ok(AnswerToCompute { name, question: compiled })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::super::compare::AnswerVerdict;
    use super::*;

    fn listed(name: &str, state: &str, since_epoch: Option<Epoch>) -> ListedQuestion {
        let sql = "SELECT count(*) AS pins FROM pin".to_owned();
        let (progress, reason) = (Some(0.452), Some("groups_max".to_owned()));
        ListedQuestion { name: name.to_owned(), state: state.to_owned(), progress, reason, since_epoch, sql }
    }

    fn served(answers: &[&str], questions: Vec<ListedQuestion>) -> DurableAnswers {
        DurableAnswers {
            epoch: 7,
            as_of: String::new(),
            answers: answers.iter().map(|name| ((*name).to_owned(), Vec::new())).collect(),
            options: GraphOptions::default(),
            text_bytes_max: 1024,
            tables_url: None,
            committed: Vec::new(),
            pipeline: "posts".to_owned(),
            started_at: String::new(),
            version: "1".to_owned(),
            questions,
        }
    }

    #[test]
    fn questions_without_a_comparable_durable_answer_are_skipped_with_the_reason() {
        let answers = ["first", "since", "replaced", "dropped"];
        let questions = vec![
            listed("first", "live", None),
            listed("since", "live", Some(7)),
            listed("replaced", "live", Some(8)),
            listed("new", "live", Some(6)),
            listed("fills", "filling", None),
            listed("waits", "waiting", None),
            listed("over", "stopped", Some(3)),
        ];
        let (chosen, skipped) = served(&answers, questions).choose_questions(&[]).unwrap();
        let chosen: Vec<_> = chosen.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(chosen, ["first", "since"]);
        let reasons: Vec<_> = skipped
            .iter()
            .map(|of| match &of.verdict {
                AnswerVerdict::Skipped { reason } => (of.answer.as_str(), reason.as_str()),
                AnswerVerdict::Compared(_) => panic!("{} is compared", of.answer),
            })
            .collect();
        assert_eq!(
            reasons,
            [
                ("replaced", "it is answered since a later epoch"),
                ("new", "it has no durable answer yet"),
                ("fills", "it is filling: 45 %"),
                ("waits", "it waits until another question is filled"),
                ("over", "it is stopped: groups_max"),
                ("dropped", "it was dropped meanwhile"),
            ]
        );
    }

    #[test]
    fn only_the_named_answers_are_chosen_and_an_unknown_one_is_refused() {
        let state = served(&["one", "two"], vec![listed("one", "live", None), listed("two", "live", None)]);
        let (chosen, skipped) = state.choose_questions(&["two".to_owned()]).unwrap();
        assert_eq!((chosen.len(), chosen[0].name.as_str(), skipped.len()), (1, "two", 0));
        assert!(matches!(
            state.choose_questions(&["three".to_owned()]),
            Err(VerificationError::UnknownAnswer(name)) if name == "three"
        ));
    }
}
