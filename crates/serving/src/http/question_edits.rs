//! `POST /questions` and `DELETE /questions/{name}`: adding, replacing, trying and dropping questions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pinflow_dataflows::questions::{QuestionId, QuestionName};
use serde::Serialize;

use super::params::{EditAction, EditParams, parse_edit_params, require_no_params};
use super::questions::{QuestionStateName, state_of_question};
use super::reply::{self, ApiError};
use super::request_body::read_body;
use super::{ServingState, SharedServingState};
use crate::answer_hub::ReadConsistency;
use crate::question_editor::{DraftProblem, QuestionDraft, QuestionEditError, QuestionEditor};

/// The longest text of a question, bytes.
pub(super) const MAX_QUESTION_BYTES: usize = 64 << 10;
/// How long a reply waits until the accepted change can be seen in `/questions`.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between two looks at the questions.
const VISIBLE_CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// Reply to an accepted question.
#[derive(Serialize)]
struct AcceptedBody<'a> {
    name: &'a str,
    state: QuestionStateName,
    /// Whether a restart keeps it.
    stored: bool,
}

/// Reply to a dropped question.
#[derive(Serialize)]
struct DroppedBody<'a> {
    name: &'a str,
}

/// An error with the problems of a text.
#[derive(Serialize)]
struct InvalidQuestionBody {
    error: &'static str,
    message: String,
    problems: Vec<DraftProblem>,
}

/// `POST /questions`
pub(super) async fn post_question(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Response> {
    let editor = allowed_editor(&shared).map_err(ApiError::into_response)?;
    let EditParams { name, action } = parse_edit_params(query.as_deref()).map_err(ApiError::into_response)?;
    let sql = read_question(body).await.map_err(ApiError::into_response)?;
    let draft = QuestionDraft { name, sql };
    let (name, editor) = (draft.name.clone(), Arc::clone(editor));
    let accepted = match action {
        EditAction::DryRun => {
            return editor.explain_question(&draft).map(|body| reply::json_response(&body)).map_err(edit_error);
        }
        EditAction::Try { limit } => {
            let tried = run_to_end(async move { editor.try_question(draft, limit).await }).await?;
            return tried.map(|body| reply::json_response(&body)).map_err(edit_error);
        }
        EditAction::Add => run_to_end(async move { editor.add_question(draft).await }).await?,
        EditAction::Replace => run_to_end(async move { editor.replace_question(draft).await }).await?,
    };
    let accepted = accepted.map_err(edit_error)?;
    let state = wait_until_visible(&shared, accepted.id).await;
    let body = AcceptedBody { name: &name, state, stored: accepted.is_stored };
    Ok(reply::json_with_status(StatusCode::ACCEPTED, &body))
}

/// `DELETE /questions/{name}`
pub(super) async fn delete_question(
    State(shared): State<SharedServingState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let editor = allowed_editor(&shared).map_err(ApiError::into_response)?;
    require_no_params(query.as_deref()).map_err(ApiError::into_response)?;
    let unknown = |_| edit_error(QuestionEditError::Unknown(format!("there is no question named {name:?}")));
    let parsed = QuestionName::parse(&name).map_err(unknown)?;
    let (editor, dropped) = (Arc::clone(editor), parsed.clone());
    run_to_end(async move { editor.drop_question(&dropped).await }).await?.map_err(edit_error)?;
    Ok(reply::json_with_status(StatusCode::ACCEPTED, &DroppedBody { name: &parsed }))
}

/// Runs a change in a task of its own: it must not end halfway because its client hangs up.
async fn run_to_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Response> {
    tokio::spawn(work).await.map_err(|panic| {
        let message = format!("the change panicked: {panic}. This is a bug in pinflow");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).into_response()
    })
}

/// The editor, if `[serve] questions` allows changes.
fn allowed_editor(shared: &ServingState) -> Result<&Arc<dyn QuestionEditor>, ApiError> {
    shared.editor.as_ref().filter(|_| shared.edits_questions).ok_or_else(|| {
        let message = "questions cannot be changed over HTTP in this run; set questions = true under [serve] in the \
                       configuration to allow it";
        ApiError::new(StatusCode::FORBIDDEN, "questions_are_fixed", message)
    })
}

/// The text of a question in a request's body.
async fn read_question(body: Body) -> Result<String, ApiError> {
    let bytes = read_body(body, MAX_QUESTION_BYTES, "the text of a question").await?;
    let text = String::from_utf8(bytes.into()).map_err(|_| ApiError::bad_request("the question is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    if text.trim().is_empty() {
        return Err(ApiError::bad_request("the body is empty; send one SELECT as it is"));
    }
    Ok(text)
}

/// Waits until an accepted question is in a published epoch, so that a client that asks next finds it.
async fn wait_until_visible(shared: &ServingState, id: QuestionId) -> QuestionStateName {
    let begun = Instant::now();
    loop {
        let view = shared.answer_hub.current_view(ReadConsistency::Live);
        match view.and_then(|view| state_of_question(&view, id)) {
            Some(state) => return state,
            None if begun.elapsed() > VISIBLE_TIMEOUT => return QuestionStateName::Waiting,
            None => tokio::time::sleep(VISIBLE_CHECK_INTERVAL).await,
        }
    }
}

fn edit_error(error: QuestionEditError) -> Response {
    let (status, name) = match &error {
        QuestionEditError::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_question"),
        QuestionEditError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_question"),
        QuestionEditError::NameInUse(_) => (StatusCode::CONFLICT, "name_in_use"),
        QuestionEditError::NotEditable(_) => (StatusCode::CONFLICT, "not_editable"),
        QuestionEditError::Refused(_) => (StatusCode::CONFLICT, "refused"),
        QuestionEditError::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
        QuestionEditError::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, "busy"),
        QuestionEditError::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage"),
    };
    match error {
        QuestionEditError::Invalid { message, problems } => {
            reply::json_with_status(status, &InvalidQuestionBody { error: name, message, problems })
        }
        other => ApiError::new(status, name, other.to_string()).into_response(),
    }
}
