//! `GET /questions` and `GET /questions/{name}`: the questions of the run with their SQL, plan, state and costs.

use std::collections::BTreeMap;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use pinflow_dataflows::graph::QuestionUsage;
use pinflow_dataflows::questions::{Question, QuestionId, QuestionOrigin};
use serde::Serialize;

use super::answers::{self, ColumnBody};
use super::reply::{self, ApiError};
use super::{ServingState, SharedServingState, params};
use crate::answer_hub::ReadConsistency;
use crate::answer_view::AnswerView;
use crate::question_editor::InvalidQuestion;
use pinflow_core::position::Epoch;
use pinflow_engine::{EngineMetrics, QuestionPhase, QuestionState};

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
pub(super) enum QuestionStateName {
    /// It is answered.
    Live,
    /// Its answer is being computed from the rows that were there before it.
    Filling,
    /// Another question fills first.
    Waiting,
    /// It exceeded a limit, and is answered no longer.
    Stopped,
    /// It is stored, and cannot be answered.
    Invalid,
}

/// A question that waits, fills or was stopped, as `/status` shows it.
#[derive(Serialize)]
pub(super) struct QuestionStatus<'a> {
    name: &'a str,
    state: QuestionStateName,
    progress: Option<f64>,
    reason: Option<&'a str>,
}

impl QuestionStatus<'_> {
    pub(super) fn new(state: &QuestionState) -> QuestionStatus<'_> {
        let (progress, reason) = match &state.phase {
            QuestionPhase::Waiting => (None, None),
            QuestionPhase::Filling { done, total } => (Some(fill_progress(*done, *total)), None),
            QuestionPhase::Stopped { reason, .. } => (None, Some(&**reason)),
        };
        QuestionStatus { name: &state.name, state: phase_name(&state.phase), progress, reason }
    }
}

/// The state of the question with this id in a view.
pub(super) fn state_of_question(view: &AnswerView, id: QuestionId) -> Option<QuestionStateName> {
    if view.questions().get(id).is_some() {
        return Some(QuestionStateName::Live);
    }
    view.question_states.iter().find(|state| state.id == id).map(|state| phase_name(&state.phase))
}

fn phase_name(phase: &QuestionPhase) -> QuestionStateName {
    match phase {
        QuestionPhase::Waiting => QuestionStateName::Waiting,
        QuestionPhase::Filling { .. } => QuestionStateName::Filling,
        QuestionPhase::Stopped { .. } => QuestionStateName::Stopped,
    }
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
    fn new(question: &Question, state: QuestionStateName, edits: bool) -> QuestionBody<'_> {
        QuestionBody {
            name: &question.name,
            origin: origin_name(question.origin),
            state,
            progress: None,
            reason: None,
            since_epoch: None,
            sql: &question.sql,
            plan: question.explain_plan().join("\n"),
            columns: answers::column_bodies(question),
            replaces: false,
            editable: edits && question.origin == QuestionOrigin::Added,
            groups: None,
            rows: None,
            bytes: None,
            texts: None,
            faults: None,
            ns_per_ind: None,
        }
    }
}

/// What each question holds on all workers.
#[derive(Default)]
struct CostsByQuestion(BTreeMap<QuestionId, QuestionUsage>);

impl CostsByQuestion {
    fn current(metrics: &EngineMetrics) -> CostsByQuestion {
        CostsByQuestion(metrics.question_usage().into_iter().map(|usage| (usage.question, usage)).collect())
    }

    /// Adds what is known of a question.
    fn fill_in<'a>(&self, id: QuestionId, body: QuestionBody<'a>) -> QuestionBody<'a> {
        let Some(usage) = self.0.get(&id) else { return body };
        QuestionBody {
            groups: Some(usage.groups),
            bytes: Some(usage.bytes),
            texts: Some(usage.texts),
            faults: Some(usage.faults),
            ns_per_ind: nanos_per_evaluation(usage),
            ..body
        }
    }
}

/// The mean time of an evaluation, nanoseconds. `None` if it is not measured.
pub(super) fn nanos_per_evaluation(usage: &QuestionUsage) -> Option<f64> {
    (usage.evaluated > 0 && usage.nanos > 0).then(|| usage.nanos as f64 / usage.evaluated as f64)
}

/// All questions of a view: those with an answer, then those without, then those that are stored and invalid.
fn question_bodies<'a>(
    view: &'a AnswerView,
    invalid: &'a [InvalidQuestion],
    costs: &CostsByQuestion,
    edits: bool,
) -> Vec<QuestionBody<'a>> {
    let live = view.questions().iter().map(|(id, question)| {
        let body = costs.fill_in(id, QuestionBody::new(question, QuestionStateName::Live, edits));
        QuestionBody { since_epoch: view.live_since(id), rows: Some(view.row_count(Some(id)) as u64), ..body }
    });
    let others = view.question_states.iter().map(|state| costs.fill_in(state.id, without_answer(state, edits)));
    let invalid = invalid.iter().map(|stored| invalid_body(stored, edits));
    live.chain(others).chain(invalid).collect()
}

/// A question that waits, fills or was stopped.
fn without_answer(state: &QuestionState, edits: bool) -> QuestionBody<'_> {
    let body = QuestionBody::new(&state.question, phase_name(&state.phase), edits);
    let (progress, since_epoch, reason) = match &state.phase {
        QuestionPhase::Waiting => (None, None, None),
        QuestionPhase::Filling { done, total } => (Some(fill_progress(*done, *total)), None, None),
        QuestionPhase::Stopped { epoch, reason } => (None, Some(*epoch), Some(reason.to_string())),
    };
    QuestionBody { progress, since_epoch, reason, replaces: state.replaces.is_some(), ..body }
}

/// The part of a fill that is done, from 0 to 1.
pub(super) fn fill_progress(done: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) }
}

fn invalid_body(stored: &InvalidQuestion, edits: bool) -> QuestionBody<'_> {
    QuestionBody {
        name: &stored.name,
        origin: origin_name(QuestionOrigin::Added),
        state: QuestionStateName::Invalid,
        progress: None,
        reason: Some(stored.reason.clone()),
        since_epoch: None,
        sql: &stored.sql,
        plan: String::new(),
        columns: Vec::new(),
        replaces: false,
        editable: edits,
        groups: None,
        rows: None,
        bytes: None,
        texts: None,
        faults: None,
        ns_per_ind: None,
    }
}

/// What `/questions` shows at one moment.
struct QuestionsView {
    view: AnswerView,
    invalid: Vec<InvalidQuestion>,
    costs: CostsByQuestion,
    edits: bool,
}

impl QuestionsView {
    fn current(shared: &ServingState) -> Result<QuestionsView, ApiError> {
        let view = shared.answer_hub.current_view(ReadConsistency::Live).ok_or_else(answers::not_ready)?;
        let invalid = shared.editor.as_ref().map(|editor| editor.invalid_questions()).unwrap_or_default();
        let costs = CostsByQuestion::current(&shared.engine_metrics);
        Ok(QuestionsView { view, invalid, costs, edits: shared.edits_questions && shared.editor.is_some() })
    }

    fn bodies(&self) -> Vec<QuestionBody<'_>> {
        question_bodies(&self.view, &self.invalid, &self.costs, self.edits)
    }
}

/// `GET /questions`
pub(super) async fn get_questions(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::require_no_params(query.as_deref())?;
    let current = QuestionsView::current(&shared)?;
    let can_try = shared.editor.as_ref().is_some_and(|editor| editor.can_try());
    Ok(reply::json_response(&QuestionsBody {
        questions: current.bodies(),
        editing: current.edits,
        trying: current.edits && can_try,
    }))
}

/// `GET /questions/{name}`: the one with an answer, if there are two of this name.
pub(super) async fn get_question(
    State(shared): State<SharedServingState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::require_no_params(query.as_deref())?;
    let current = QuestionsView::current(&shared)?;
    let bodies = current.bodies();
    let body = bodies.into_iter().find(|body| body.name == name).ok_or_else(unknown_question)?;
    Ok(reply::json_response(&body))
}

fn unknown_question() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_question", "there is no such question; /questions lists them")
}
