//! The part of `/metrics` about questions.

use std::collections::BTreeMap;

use pinflow_dataflows::graph::QuestionUsage;
use pinflow_dataflows::questions::QuestionId;
use pinflow_engine::QuestionPhase;

use super::ServingState;
use super::questions::{fill_progress, nanos_per_evaluation};
use crate::answer_hub::ReadConsistency;
use crate::answer_view::AnswerView;
use pinflow_http::MetricsPage;

/// The states of questions that are not live, as label values.
const STATES: [&str; 5] = ["live", "filling", "waiting", "stopped", "invalid"];

/// Writes the state and the costs of every question.
pub(super) fn write_question_metrics(page: &mut MetricsPage, shared: &ServingState) {
    let Some(view) = shared.answer_hub.current_view(ReadConsistency::Live) else { return };
    let invalid = shared.editor.as_ref().map(|editor| editor.invalid_questions()).unwrap_or_default();
    let mut states: Vec<(String, &str)> = view.questions().names().map(|name| (name.to_string(), "live")).collect();
    states.extend(view.question_states.iter().map(|state| (state.name.to_string(), phase_label(&state.phase))));
    states.extend(invalid.iter().map(|stored| (stored.name.to_string(), "invalid")));
    write_states(page, &states);
    write_progress(page, &view);
    write_costs(page, &view, shared.engine_metrics.question_usage());
}

fn phase_label(phase: &QuestionPhase) -> &'static str {
    match phase {
        QuestionPhase::Waiting => "waiting",
        QuestionPhase::Filling { .. } => "filling",
        QuestionPhase::Stopped { .. } => "stopped",
    }
}

/// A question that is replaced is in two states.
fn write_states(page: &mut MetricsPage, states: &[(String, &str)]) {
    let by_name: BTreeMap<&str, Vec<&str>> = states.iter().fold(BTreeMap::new(), |mut by_name, (name, state)| {
        by_name.entry(name.as_str()).or_insert_with(Vec::new).push(*state);
        by_name
    });
    let mut metric = page.start_metric("pinflow_question_state", "gauge", "1 for the states that a question is in.");
    for (name, in_states) in by_name {
        for state in STATES {
            let value = if in_states.contains(&state) { 1.0 } else { 0.0 };
            metric.write_value(&[("question", name), ("state", state)], value);
        }
    }
}

fn write_progress(page: &mut MetricsPage, view: &AnswerView) {
    let mut metric = page.start_metric("pinflow_question_progress", "gauge", "How much of a question is filled.");
    for state in view.question_states.iter() {
        if let QuestionPhase::Filling { done, total } = state.phase {
            metric.write_value(&[("question", state.name.as_str())], fill_progress(done, total));
        }
    }
}

/// Writes what the live questions hold.
fn write_costs(page: &mut MetricsPage, view: &AnswerView, usage: Vec<QuestionUsage>) {
    let usage: BTreeMap<QuestionId, QuestionUsage> = usage.into_iter().map(|usage| (usage.question, usage)).collect();
    let live: Vec<_> = view.questions().iter().map(|(id, question)| (id, question.name.as_str())).collect();
    let mut metric = page.start_metric("pinflow_question_rows", "gauge", "Rows of the answer, by question.");
    for (id, name) in &live {
        metric.write_value(&[("question", name)], view.row_count(Some(*id)) as f64);
    }
    type Cost = fn(&QuestionUsage) -> Option<f64>;
    let costs: [(&str, &str, &str, Cost); 5] = [
        ("pinflow_question_groups", "gauge", "Groups held, by question.", |usage| Some(usage.groups as f64)),
        ("pinflow_question_bytes", "gauge", "Bytes held, about, by question.", |usage| Some(usage.bytes as f64)),
        ("pinflow_question_texts", "gauge", "Texts held, by question.", |usage| Some(usage.texts as f64)),
        (
            "pinflow_question_evaluation_faults_total",
            "counter",
            "Operations that had no result and gave null, by question.",
            |usage| Some(usage.faults as f64),
        ),
        ("pinflow_question_ns_per_ind", "gauge", "Mean time of an evaluation, by question.", nanos_per_evaluation),
    ];
    for (name, kind, what, cost) in costs {
        let mut metric = page.start_metric(name, kind, what);
        for (id, question) in &live {
            if let Some(value) = usage.get(id).and_then(cost) {
                metric.write_value(&[("question", question)], value);
            }
        }
    }
}
