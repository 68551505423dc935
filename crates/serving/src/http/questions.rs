//! `GET /questions` and `GET /questions/{name}`: the questions of the run with their SQL, plan, state and costs.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use pinflow_dataflows::questions::{Question, QuestionOrigin};
use serde::Serialize;

use super::answers::{self, ColumnBody};
use super::reply::{self, ApiError};
use super::{SharedServingState, params};
use crate::answer_hub::ReadConsistency;
use pinflow_core::position::Epoch;

/// JSON body of `/questions`.
#[derive(Serialize)]
struct QuestionsBody<'a> {
    questions: Vec<QuestionBody<'a>>,
    /// Whether questions can be added, replaced and dropped.
    editing: bool,
    /// Whether questions can be tried.
    trying: bool,
}

/// A question with its state and its costs.
#[derive(Serialize)]
struct QuestionBody<'a> {
    name: &'a str,
    origin: &'static str,
    state: QuestionStateName,
    /// How much of it is filled, from 0 to 1; only while it fills.
    progress: Option<f64>,
    /// Why it is stopped or invalid.
    reason: Option<String>,
    /// The epoch from which it is in this state; `None` if it was there from the start, or fills.
    since_epoch: Option<Epoch>,
    sql: &'a str,
    plan: String,
    columns: Vec<ColumnBody<'a>>,
    /// Whether it takes the place of a question of the same name once it is filled.
    replaces: bool,
    /// Whether it can be replaced and dropped.
    editable: bool,
    groups: Option<u64>,
    rows: Option<u64>,
    bytes: Option<u64>,
    texts: Option<u64>,
    faults: Option<u64>,
    ns_per_ind: Option<f64>,
}

/// The state of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum QuestionStateName {
    Live,
}

/// The name of where a question comes from.
fn origin_name(origin: QuestionOrigin) -> &'static str {
    match origin {
        QuestionOrigin::BuiltIn => "builtin",
        QuestionOrigin::Configured => "configured",
        QuestionOrigin::Added => "added",
    }
}

impl QuestionBody<'_> {
    fn live(question: &Question, rows: usize) -> QuestionBody<'_> {
        QuestionBody {
            name: &question.name,
            origin: origin_name(question.origin),
            state: QuestionStateName::Live,
            progress: None,
            reason: None,
            since_epoch: None,
            sql: &question.sql,
            plan: question.explain_plan().join("\n"),
            columns: answers::column_bodies(question),
            replaces: false,
            editable: false,
            groups: None,
            rows: Some(rows as u64),
            bytes: None,
            texts: None,
            faults: None,
            ns_per_ind: None,
        }
    }
}

/// `GET /questions`
pub(super) async fn get_questions(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::require_no_params(query.as_deref())?;
    let Some(view) = shared.answer_hub.current_view(ReadConsistency::Live) else { return Err(answers::not_ready()) };
    let questions = view.answers().map(|(question, table)| QuestionBody::live(question, table.row_count())).collect();
    Ok(reply::json_response(&QuestionsBody { questions, editing: false, trying: false }))
}

/// `GET /questions/{name}`
pub(super) async fn get_question(
    State(shared): State<SharedServingState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::require_no_params(query.as_deref())?;
    let Some(view) = shared.answer_hub.current_view(ReadConsistency::Live) else { return Err(answers::not_ready()) };
    let (question, table) = view.answers().find(|(question, _)| question.name == *name).ok_or_else(unknown_question)?;
    Ok(reply::json_response(&QuestionBody::live(question, table.row_count())))
}

fn unknown_question() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_question", "there is no such question; /questions lists them")
}
